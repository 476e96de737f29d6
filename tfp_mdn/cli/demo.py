"""The command `demo`: all of it on real data."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import click

from tfp_mdn.cli.options import FOLDER, quiet_option, seed_option

__all__ = ["demo"]

_COMPONENTS = 5  # enough for two kinds of eruption


@click.command()
@click.option(
    "-o",
    "--output",
    type=FOLDER,
    default=Path("demo"),
    show_default=True,
    metavar="FOLDER",
    help="Folder for model, table and pictures.",
)
@seed_option
@quiet_option
def demo(output: Path, seed: int) -> None:
    """Run all of it on real data: how long Old Faithful erupts, given the wait before.

    After a wait of about 65 minutes eruptions are either short or long, and hardly ever of the
    length between that a mean would predict.
    """
    from tfp_mdn.cli.models import fit_model, held_out_score
    from tfp_mdn.cli.params import beside_rows
    from tfp_mdn.cli.pictures import GRID_ROWS, draw_pictures
    from tfp_mdn.cli.places import TableSource, is_quiet
    from tfp_mdn.tables import Columns, grid_table, write_table

    columns = Columns(("waiting",), {})
    with as_file(files("tfp_mdn") / "data" / "faithful.csv") as path:
        rows = TableSource(path, None, ".", drop_missing=False).rows(columns, ["eruptions"])
    # A single network, whose components can be told apart in a picture.
    settings = {"num_components": _COMPONENTS, "ensemble_size": 1, "random_state": seed}
    place = output / "model"
    model, _ = fit_model(rows.inputs, rows.targets, place, columns=columns, **settings)
    low, high = rows.inputs["waiting"].min(), rows.inputs["waiting"].max()
    grid = grid_table([f"waiting={low}:{high}:{GRID_ROWS}"], ["waiting"])
    table = beside_rows(grid, model.predict_parameters(grid).to_dataframe())
    write_table(table, output / "parameters.csv")
    pictures = draw_pictures(model, columns, rows, output, "waiting", seed)
    if is_quiet():
        return
    click.echo(
        f"A mixture density network learned {len(rows.table)} eruptions of Old Faithful.\n"
        "log score on the rows held out to choose the weights: "
        f"{held_out_score(model):.4f} nats per row (-log p; lower is better)\n"
        f"model:      {place}\n"
        f"parameters: {output / 'parameters.csv'} ({GRID_ROWS} waiting times, "
        f"{_COMPONENTS} components)"
    )
    for picture in pictures:
        click.echo(f"picture:    {picture}")
