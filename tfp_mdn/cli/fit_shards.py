"""The part of the command `fit` that streams: from files larger than memory to a saved model."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tfp_mdn.cli.places import is_quiet

if TYPE_CHECKING:
    from tfp_mdn.estimator import MDNRegressor

__all__ = ["fit_from_shards", "is_streamed"]

# Options of `fit` that need the whole table, and what to do instead.
_NEEDS_TABLE = {
    "categorical": "write one column of 0 and 1 for each category",
    "decimal": "write the files with decimal points",
    "drop_missing": "write the files without those rows",
    "members": "one network is trained on all rows",
    "separator": "write the files with commas",
    "steps": "give --epochs, passes over the rows",
    "weight": "fit a sample of the rows",
}

_INTERRUPTED = "training was interrupted"


def is_streamed(path: Path, more: Sequence[Path]) -> bool:
    """Tell whether what was named is more than one table: a folder, a pattern or several files."""
    is_pattern = any(sign in str(path) for sign in "*?[") and not path.exists()
    return bool(more) or path.is_dir() or is_pattern


def fit_from_shards(
    paths: Sequence[Path],
    output: Path,
    *,
    targets: Sequence[str],
    features: Sequence[str],
    ignore: Sequence[str],
    components: int,
    hidden: tuple[int, ...] | None,
    epochs: int | None,
    validation_fraction: float,
    seed: int,
    as_json: bool,
) -> None:
    """Train on files that are read in blocks, save the model and say what was done.

    Raises:
        click.UsageError: If an option was given that needs the whole table.
        click.exceptions.Exit: If training was interrupted; what was best so far is saved.
    """
    context = click.get_current_context()

    def was_given(name: str) -> bool:
        return context.get_parameter_source(name) is ParameterSource.COMMANDLINE

    for name, remedy in _NEEDS_TABLE.items():
        if was_given(name):
            option = f"--{name.replace('_', '-')}"
            message = f"{option} needs a table that fits in memory; for files that do not, {remedy}"
            raise click.UsageError(message)
    from tfp_mdn.model_directory import check_place

    check_place(output)
    names = list(features) or _all_but([*targets, *ignore], paths)
    settings: dict[str, Any] = {"num_components": components, "seed": seed}
    if hidden is not None:
        settings["hidden_units"] = hidden
    if epochs is not None:
        settings["epochs"] = epochs
    if was_given("validation_fraction"):
        settings["validation_share"] = validation_fraction
    model, was_interrupted = _trained(
        paths, target=targets[0] if len(targets) == 1 else list(targets), features=names, **settings
    )
    model.save(output)
    summary = {
        **{"model": str(output), "rows": model.num_rows_, "columns": names},
        **{"targets": list(targets), "components": components},
        **{"steps": int(model.history_["step"][-1]), "interrupted": was_interrupted},
        **{"held_out_log_score": min(model.history_["val_loss"]), "seed": seed},
    }
    if as_json:
        click.echo(json.dumps(summary, ensure_ascii=False))
    elif not is_quiet():
        click.echo(
            f"{model.num_rows_} rows, {len(names)} feature(s), one network of {components} "
            f"components, {summary['steps']} steps\n"
            f"log score on rows held out to choose the weights: "
            f"{summary['held_out_log_score']:.4f} nats per row (-log p; lower is better)\n"
            f"model written to {output}"
        )
    if was_interrupted:
        click.echo(
            f"tfp-mdn: interrupted; the best weights so far were written to {output}", err=True
        )
        context.exit(1)


def _all_but(others: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Return the columns that all files have, without some of them."""
    from tfp_mdn.scale.files import find_shards, shared_columns

    shards = find_shards(list(paths))
    shared_columns(shards, others)
    return [name for name in shared_columns(shards, None) if name not in others]


def _trained(paths: Sequence[Path], **settings: Any) -> tuple[MDNRegressor, bool]:
    """Return the fitted model, and whether training was interrupted."""
    from tfp_mdn._startup import import_quietly

    import_quietly()
    from tfp_mdn.callbacks import ProgressBar
    from tfp_mdn.scale.fitting import fit_shards

    bar = None if is_quiet() else ProgressBar()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = fit_shards(list(paths), callbacks=[] if bar is None else [bar], **settings)
    finally:
        if bar is not None:
            bar.close()
    ended = [str(warning.message).startswith(_INTERRUPTED) for warning in caught]
    for warning, is_end in zip(caught, ended, strict=True):
        if not is_end:
            warnings.showwarning(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return model, any(ended)
