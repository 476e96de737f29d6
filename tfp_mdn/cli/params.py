"""The command `params`: the parameters of the mixtures as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfp_mdn.cli.options import model_argument, quiet_option, reads_table, writes_table

if TYPE_CHECKING:
    import pandas as pd

    from tfp_mdn.cli.places import TableSink, TableSource

__all__ = ["beside_rows", "params"]


@click.command()
@model_argument
@click.option(
    "--grid",
    multiple=True,
    metavar="NAME=...",
    help="Instead of DATA, for each column START:STOP:COUNT or one VALUE; all combinations.",
)
@reads_table(required=False)
@writes_table
@quiet_option
def params(model: Path, data: TableSource | None, grid: tuple[str, ...], output: TableSink) -> None:
    """Write weights, means and variances, a line per row and component, for DATA or a grid.

    \b
    tfp-mdn params model data.csv -o parameters.csv
    tfp-mdn params model --grid temperature=0:30:100 --grid hour=12
    """  # noqa: D301
    from tfp_mdn.cli.models import open_model
    from tfp_mdn.tables import grid_table

    if (data is None) == (not grid):
        raise click.UsageError("give either a table or --grid.")
    if data is not None:
        output.check_apart(data)
    saved = open_model(model)
    if data is None:
        shown = grid_table(grid, saved.columns.names, saved.columns.categories)
        inputs = saved.columns.encode(shown, "the grid")
    else:
        rows = data.rows(saved.columns)
        shown, inputs = rows.shown, rows.inputs
    output.write(beside_rows(shown, saved.predict(inputs).to_dataframe()))


def beside_rows(shown: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return a tidy table with the inputs of each row after its number, that of the file."""
    places = table["row"].to_numpy()
    result = table.assign(row=shown.index.to_numpy()[places])
    for place, name in enumerate(shown.columns, start=1):
        free = name if name not in table.columns else f"input_{name}"
        result.insert(place, free, shown[name].to_numpy()[places])
    return result
