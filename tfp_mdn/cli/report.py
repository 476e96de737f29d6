"""The command `report`: one HTML page on a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfp_mdn.cli.options import (
    FULL_PATH,
    lattice_option,
    lattice_steps,
    model_argument,
    quiet_option,
    reads_table,
    seed_option,
)

if TYPE_CHECKING:
    from tfp_mdn.cli.places import TableSource

__all__ = ["report"]


@click.command()
@model_argument
@click.option(
    "-o",
    "--output",
    type=FULL_PATH,
    required=True,
    metavar="FILE",
    help="HTML file to write; one that is there is replaced.",
)
@click.option("--title", metavar="TEXT", help="Title of the page.  [default: TARGET given COLUMN]")
@lattice_option
@seed_option
@reads_table()
@quiet_option
def report(
    model: Path,
    data: TableSource,
    output: Path,
    title: str | None,
    lattice: tuple[float, ...],
    seed: int,
) -> None:
    """Write a page on the model, judged by the table DATA, whose rows it should not have seen.

    It shows data, model, learning curve and calibration, and lets its reader set every input and
    see the density that follows. The file needs neither a network nor other files.
    """
    from tfp_mdn.cli.models import open_model
    from tfp_mdn.cli.places import is_quiet

    saved = open_model(model)
    steps = lattice_steps(lattice, saved.targets)
    rows = data.rows(saved.columns, saved.targets)
    fitted = saved.load()
    from tfp_mdn.report import write_report

    path = write_report(
        fitted, rows.inputs, rows.targets, output, title=title, lattice=steps, seed=seed
    )
    if not is_quiet():
        click.echo(path)
