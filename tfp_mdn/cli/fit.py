"""The command `fit`: from a table to a saved model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfp_mdn.cli.options import (
    FULL_PATH,
    json_option,
    quiet_option,
    reads_table,
    seed_option,
)

if TYPE_CHECKING:
    from tfp_mdn.cli.places import TableSource

__all__ = ["fit"]

# As in `tfp_mdn.layers.choice.COMPONENTS`, which only TensorFlow could tell.
_COMPONENTS = ("normal", "student_t", "logistic", "lognormal", "truncated_normal")


def _as_units(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        units = tuple(int(number) for number in value.split(","))
    except ValueError:
        units = ()
    if not units or min(units) < 1:
        message = f"{value!r} is not a list of whole numbers such as 64,64."
        raise click.BadParameter(message)
    return units


@click.command()
@click.option(
    "-o", "--output", type=FULL_PATH, required=True, metavar="MODEL", help="Directory to write."
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    required=True,
    metavar="COLUMN",
    help="Column to predict; repeat it for several at once.",
)
@click.option(
    "--feature",
    "features",
    multiple=True,
    metavar="COLUMN",
    help="Column to predict from; repeatable.  [default: all others]",
)
@click.option(
    "--categorical",
    multiple=True,
    metavar="COLUMN",
    help="Feature of names, not numbers, to encode one-hot; repeatable.",
)
@click.option("--ignore", multiple=True, metavar="COLUMN", help="No feature; repeatable.")
@click.option("--weight", metavar="COLUMN", help="How much each row counts.")
@click.option(
    "--components",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar="NUMBER",
    help="Densities that each network mixes.",
)
@click.option(
    "--component",
    type=click.Choice(_COMPONENTS),
    default="normal",
    show_default=True,
    help="Density of a component: student_t or logistic for outliers, lognormal for y > 0, "
    "truncated_normal for y >= 0.",
)
@click.option(
    "--members",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    metavar="NUMBER",
    help="Networks, trained on different rows and merged into one model.",
)
@click.option(
    "--hidden",
    callback=_as_units,
    metavar="UNITS",
    help="Hidden layers, such as 64,64.  [default: by the table]",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    metavar="NUMBER",
    help="Training steps.  [default: 0.8 per row, 2000 to 8000]",
)
@click.option(
    "--validation-fraction",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    metavar="SHARE",
    help="Share of the rows that a network does not learn from, but is chosen by.",
)
@click.option(
    "--stream",
    is_flag=True,
    help="Read in blocks, for a file larger than memory.  [default for folders and several files]",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    metavar="NUMBER",
    help="Passes over the rows of what is read in blocks.  [default: 5]",
)
@seed_option
@reads_table()
@click.argument("more", nargs=-1, type=FULL_PATH, metavar="[DATA]...")
@json_option
@quiet_option
def fit(
    data: TableSource,
    more: tuple[Path, ...],
    output: Path,
    targets: tuple[str, ...],
    features: tuple[str, ...],
    categorical: tuple[str, ...],
    ignore: tuple[str, ...],
    weight: str | None,
    components: int,
    component: str,
    members: int,
    hidden: tuple[int, ...] | None,
    steps: int | None,
    validation_fraction: float,
    seed: int,
    epochs: int | None,
    *,
    stream: bool,
    as_json: bool,
) -> None:
    """Train on the table DATA and save the model.

    A folder of .parquet or .csv files, several of them, or a quoted pattern such as 'data/*.csv',
    are one table that need not fit in memory: Ctrl-C then saves the best weights so far.

    The model is written as a directory, in place of an older model of that name. Ctrl-C leaves the
    older one.
    """
    from tfp_mdn.cli.fit_shards import fit_from_shards, is_streamed

    if stream or is_streamed(data.path, more):
        if component != "normal":
            message = "--component is for a table that is read at once; what is read in blocks is"
            raise click.UsageError(f"{message} fitted with normal components.")
        fit_from_shards(
            [data.path, *more],
            output,
            targets=targets,
            features=features,
            ignore=ignore,
            components=components,
            hidden=hidden,
            epochs=epochs,
            validation_fraction=validation_fraction,
            seed=seed,
            as_json=as_json,
        )
        return
    if epochs is not None:
        message = "--epochs is for what is read in blocks; give --steps, or --stream too."
        raise click.UsageError(message)
    from tfp_mdn.cli.models import fit_model, held_out_score
    from tfp_mdn.cli.places import is_quiet
    from tfp_mdn.cli.roles import check_numeric, features_of
    from tfp_mdn.tables import Columns, numeric_columns

    table = data.read()
    names = features_of(table, data.name, features, categorical, (*targets, *ignore), weight)
    weights = () if weight is None else (weight,)
    kept = data.without_missing(table, [*names, *targets, *weights])
    check_numeric(kept, [*names, *targets, *weights], names, categorical, data.name)
    if len(kept) < 2:
        message = f"{data.name} has one row to learn from; a fit takes two, a good one hundreds."
        raise click.UsageError(message)
    columns = Columns.learn(kept, names, categorical, data.name)
    settings = {
        **{"num_components": components, "component": component, "ensemble_size": members},
        "hidden_units": hidden,
        **{"num_steps": steps, "validation_fraction": validation_fraction, "random_state": seed},
    }
    model, stopped = fit_model(
        columns.encode(kept, data.name),
        numeric_columns(kept, targets, data.name),
        output,
        columns=columns,
        weights=numeric_columns(kept, weights, data.name)[weight] if weight else None,
        **settings,
    )
    score = held_out_score(model)
    summary: dict[str, Any] = {
        **{"model": str(output), "rows": len(kept), "rows_dropped": len(table) - len(kept)},
        **{"columns": list(names), "categories": columns.to_dict(), "targets": list(targets)},
        **{"members": members, "components": components, "component": component},
        "steps": int(model.history_["step"][-1]),
        **{"stopped_early": stopped, "held_out_log_score": score, "seed": seed},
    }
    if as_json:
        click.echo(json.dumps(summary, ensure_ascii=False))
    elif not is_quiet():
        end = f" (ended early: no better for {model.patience} checks)" if stopped else ""
        click.echo(
            f"{len(kept)} rows, {len(columns.features)} feature(s), "
            f"{members} network(s) of {components} components, {summary['steps']} steps{end}\n"
            f"log score on the rows held out to choose the weights: {score:.4f} nats per row "
            "(-log p; lower is better)\n"
            f"model written to {output}"
        )
