"""The command `plot`: pictures of a model beside a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfp_mdn.cli.options import (
    FOLDER,
    model_argument,
    quiet_option,
    reads_table,
    seed_option,
)

if TYPE_CHECKING:
    from tfp_mdn.cli.places import TableSource

__all__ = ["plot"]


@click.command()
@model_argument
@click.option(
    "-o",
    "--output",
    type=FOLDER,
    required=True,
    metavar="FOLDER",
    help="Folder for the pictures; those of the same names are replaced.",
)
@click.option(
    "--feature",
    metavar="COLUMN",
    help="Column of numbers to vary; the others stay at their median or most frequent value in "
    "DATA.  [default: the first]",
)
@seed_option
@reads_table()
@quiet_option
def plot(model: Path, data: TableSource, output: Path, feature: str | None, seed: int) -> None:
    """Draw a model beside the rows of DATA.

    The pictures of one target show density, modes, components, parameters, samples, PIT and
    coverage; those of several targets their coverage and their joint density at typical inputs.
    The learning curve is drawn of both.
    """
    from tfp_mdn.cli.models import open_model
    from tfp_mdn.cli.pictures import check_drawable, draw_pictures
    from tfp_mdn.cli.places import is_quiet

    saved = open_model(model)
    varied = check_drawable(saved.columns, feature)
    rows = data.rows(saved.columns, saved.targets)
    for path in draw_pictures(saved.load(), saved.columns, rows, output, varied, seed):
        if not is_quiet():
            click.echo(path)
