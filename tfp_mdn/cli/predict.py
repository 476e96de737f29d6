"""The command `predict`: a table with predictions beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfp_mdn.cli.options import model_argument, quiet_option, reads_table, writes_table

if TYPE_CHECKING:
    from tfp_mdn.cli.places import TableSink, TableSource
    from tfp_mdn.mixture import MixtureParameters

__all__ = ["predict"]

_INSIDE = click.FloatRange(0.0, 1.0, min_open=True, max_open=True)


@click.command()
@model_argument
@click.option(
    "--quantile",
    "quantiles",
    multiple=True,
    type=_INSIDE,
    metavar="LEVEL",
    help="Add this quantile, 0.5 for the median, as TARGET_q0.5; repeatable.",
)
@click.option(
    "--interval",
    "intervals",
    multiple=True,
    type=_INSIDE,
    metavar="COVERAGE",
    help="Add the central interval, as TARGET_lower0.9 and TARGET_upper0.9; repeatable.",
)
@click.option("--mode", is_flag=True, help="Add the most probable value, as TARGET_mode.")
@reads_table()
@writes_table
@quiet_option
def predict(
    model: Path,
    data: TableSource,
    quantiles: tuple[float, ...],
    intervals: tuple[float, ...],
    output: TableSink,
    *,
    mode: bool,
) -> None:
    """Add predictions to the table DATA.

    These are the conditional mean and standard deviation of each target, as TARGET_mean and
    TARGET_stddev, and what the options ask for. All columns of DATA are kept.
    """
    from tfp_mdn.cli.models import open_model
    from tfp_mdn.tables.columns import with_numbers

    output.check_apart(data)
    saved = open_model(model)
    rows = data.rows(saved.columns)
    wanted = _names(saved.targets, quantiles, intervals, mode=mode)
    twice = sorted({name for name in wanted if wanted.count(name) > 1})
    if twice:
        raise click.UsageError(f"{', '.join(twice)} is asked for twice.")
    taken = [name for name in wanted if name in rows.table.columns]
    if taken:
        message = f"{data.name} has a column {', '.join(taken)} already; rename it."
        raise click.UsageError(message)
    answers = _answers(saved.predict(rows.inputs), saved.targets, quantiles, intervals, mode=mode)
    # CSV goes out as it came in; other formats know numbers from text.
    table = rows.table if output.is_text else with_numbers(rows.table)
    output.write(table.assign(**answers))


def _names(
    targets: list[str], quantiles: tuple[float, ...], intervals: tuple[float, ...], *, mode: bool
) -> list[str]:
    """Return the columns to add, in order; those that are named alike are there twice."""
    parts = ["mean", "stddev", *(["mode"] if mode else []), *(f"q{level:g}" for level in quantiles)]
    parts += [f"{end}{level:g}" for level in intervals for end in ("lower", "upper")]
    return [f"{target}_{part}" for target in targets for part in parts]


def _answers(
    parameters: MixtureParameters,
    targets: list[str],
    quantiles: tuple[float, ...],
    intervals: tuple[float, ...],
    *,
    mode: bool,
) -> dict[str, Any]:
    """Return the values of the columns to add; quantiles and intervals target by target."""
    mean, stddev = parameters.mean(), parameters.stddev()
    modes = parameters.mode() if mode else None
    columns = []
    for place in range(len(targets)):
        columns += [mean[:, place], stddev[:, place]]
        if modes is not None:
            columns.append(modes[:, place])
        margin = parameters.marginal(place)
        columns += [margin.quantile(level) for level in quantiles]
        for level in intervals:
            columns += list(margin.interval(level).T)
    names = _names(targets, quantiles, intervals, mode=mode)
    return dict(zip(names, columns, strict=True))
