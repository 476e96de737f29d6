"""The command `sample`: draws from the densities of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfp_mdn.cli.options import (
    model_argument,
    quiet_option,
    reads_table,
    seed_option,
    writes_table,
)

if TYPE_CHECKING:
    from tfp_mdn.cli.places import TableSink, TableSource

__all__ = ["sample"]


@click.command()
@model_argument
@click.option(
    "-n",
    "--size",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="SIZE",
    help="Draws for each row of DATA.",
)
@seed_option
@click.option(
    "--temperature",
    type=click.FloatRange(0.0),
    default=1.0,
    show_default=True,
    metavar="NUMBER",
    help="Below 1 prefers heavy components, above 1 evens them out; 0 takes the heaviest.",
)
@click.option(
    "--scale-temperature",
    type=click.FloatRange(0.0),
    default=1.0,
    show_default=True,
    metavar="NUMBER",
    help="Factor of the variances of the components; 0 draws their means.",
)
@reads_table()
@writes_table
@quiet_option
def sample(
    model: Path,
    data: TableSource,
    size: int,
    seed: int,
    temperature: float,
    scale_temperature: float,
    output: TableSink,
) -> None:
    """Draw targets at random from the densities at the rows of DATA.

    The table has a line for each row and draw: row and sample, numbered from 0, the inputs, and the
    targets drawn.
    """
    import numpy as np
    import pandas as pd

    from tfp_mdn.cli.models import open_model
    from tfp_mdn.cli.params import beside_rows

    output.check_apart(data)
    saved = open_model(model)
    rows = data.rows(saved.columns)
    clash = [name for name in saved.targets if name in ("row", "sample")]
    if clash:
        message = f"the model has a target {clash[0]!r}, which the table uses; rename it and fit."
        raise click.UsageError(message)
    drawn = saved.predict(rows.inputs).sample(
        size, seed, temperature=temperature, scale_temperature=scale_temperature
    )
    num_rows = len(rows.table)
    columns: dict[str, Any] = {
        "row": np.repeat(np.arange(num_rows), size),
        "sample": np.tile(np.arange(size), num_rows),
    }
    for place, name in enumerate(saved.targets):
        columns[name] = drawn[:, :, place].T.ravel()
    table = beside_rows(rows.shown, pd.DataFrame(columns))
    table.insert(1, "sample", table.pop("sample"))
    output.write(table)
