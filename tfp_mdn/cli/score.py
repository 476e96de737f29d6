"""The command `score`: a folder of Parquet files of any size, scored file by file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from tfp_mdn.cli.options import FOLDER, FULL_PATH, json_option, quiet_option

__all__ = ["score"]

_LEVELS = "0.05,0.5,0.95"


@click.command()
@click.argument("source", type=FULL_PATH, metavar="IN_DIR")
@click.argument("destination", type=FOLDER, metavar="OUT_DIR")
@click.argument("model", type=FOLDER)
@click.option(
    "--quantiles",
    default=_LEVELS,
    show_default=True,
    metavar="LEVELS",
    help="Add these quantiles, as TARGET_q0.5; '' for none.",
)
@click.option(
    "--keep", "kept", multiple=True, metavar="COLUMN", help="Write this column too; repeatable."
)
@click.option(
    "--target",
    multiple=True,
    metavar="COLUMN",
    help="Add log density and PIT of this column; for several targets once each.",
)
@click.option(
    "--feature",
    "features",
    multiple=True,
    metavar="COLUMN",
    help="Column that the model reads, in its order; for a model that knows no names.",
)
@click.option("--no-parameters", is_flag=True, help="Leave out the parameters of the components.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="NUMBER",
    help="Batches to answer at the same time.",
)
@click.option(
    "--batch-rows",
    type=click.IntRange(1),
    default=32768,
    show_default=True,
    metavar="NUMBER",
    help="Rows in a batch; fewer need less memory.",
)
@click.option("--overwrite", is_flag=True, help="Remove first what was scored to OUT_DIR before.")
@json_option
@quiet_option
def score(
    source: Path,
    destination: Path,
    model: Path,
    quantiles: str,
    kept: tuple[str, ...],
    target: tuple[str, ...],
    features: tuple[str, ...],
    workers: int,
    batch_rows: int,
    *,
    no_parameters: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Score the Parquet files in IN_DIR with MODEL to files of the same names in OUT_DIR.

    \b
    tfp-mdn score new/ scored/ model --keep id

    For each row there are mean, standard deviation and quantiles, and lists of the parameters of
    the components. A file appears when it is whole; after an interruption, the same command goes
    on with the files that are missing.
    """  # noqa: D301
    from tfp_mdn.cli.places import is_quiet
    from tfp_mdn.scale._scoring_answers import Answers
    from tfp_mdn.scale.scoring import plan_scoring

    answers = Answers.checked(
        _levels(quantiles), kept, target or None, parameters=not no_parameters, mean=True
    )
    plan = plan_scoring(
        model,
        source,
        destination,
        answers=answers,
        features=features or None,
        batch_rows=batch_rows,
        workers=workers,
        overwrite=overwrite,
    )
    from tfp_mdn._startup import import_quietly

    import_quietly()
    try:
        with _bar(plan.num_rows) as progress:
            summary = plan.run(progress)
    except KeyboardInterrupt as error:
        message = "finished files stay, and the same command goes on with the others"
        raise click.Abort(message) from error
    if as_json:
        click.echo(json.dumps(asdict(summary)))
    elif not is_quiet():
        before = f", {summary.files_before} of them before" if summary.files_before else ""
        click.echo(
            f"{summary.rows} rows in {summary.files} file(s){before}, "
            f"{summary.seconds:.1f} seconds: {destination}"
        )


def _levels(text: str) -> list[float]:
    """Return the levels that are written with commas between them."""
    try:
        return [float(word) for word in text.split(",")] if text.strip() else []
    except ValueError as error:
        message = f"--quantiles must be levels such as {_LEVELS}, got {text!r}."
        raise click.UsageError(message) from error


@contextmanager
def _bar(num_rows: int) -> Iterator[Callable[[int, int], None]]:
    """Show how many rows are done and how long the others will take, on a terminal alone."""
    from rich import console, progress

    from tfp_mdn.cli.places import is_quiet

    terminal = console.Console(stderr=True)
    with progress.Progress(
        progress.TextColumn("scoring"),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.completed:,.0f} rows"),
        progress.TimeRemainingColumn(),
        console=terminal,
        disable=is_quiet() or not terminal.is_terminal,
    ) as shown:
        task = shown.add_task("", total=num_rows)
        yield lambda done, _: shown.update(task, completed=done)
