"""The pictures that the shell tool draws of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd

    from tfp_mdn.cli.places import Rows
    from tfp_mdn.estimator import MDNRegressor
    from tfp_mdn.tables import Columns

__all__ = ["GRID_ROWS", "check_drawable", "draw_pictures"]

GRID_ROWS = 200  # of the curves, and of the parameter table of the demonstration


def check_drawable(columns: Columns, targets: list[str], feature: str | None) -> str:
    """Return the column to vary in the pictures of a model.

    Raises:
        click.UsageError: If the model has several targets, or no such column of numbers.
    """
    if len(targets) != 1:
        message = f"the pictures are for one target, the model has {', '.join(targets)}."
        raise click.UsageError(message)
    if feature is None:
        if not columns.numeric:
            raise click.UsageError("the pictures need a feature of numbers, the model has none.")
        return columns.numeric[0]
    if feature not in columns.numeric:
        message = f"--feature {feature!r} is not one of {', '.join(columns.numeric)}."
        raise click.UsageError(message)
    return feature


def draw_pictures(
    model: MDNRegressor, columns: Columns, rows: Rows, output: Path, feature: str, seed: int
) -> list[Path]:
    """Draw the pictures of a model of one target into a directory; return their paths.

    Args:
        model: The model.
        columns: The columns that it reads.
        rows: Rows to draw beside it.
        output: The directory.
        feature: The column to vary along the curves.
        seed: Seed of the samples.

    Raises:
        OSError: If the directory cannot be written.
    """
    import numpy as np
    from matplotlib.figure import Figure

    from tfp_mdn import plotting
    from tfp_mdn.tables import write_file

    grid = _grid(rows.shown, columns, feature)
    parameters = model.predict_parameters(columns.encode(grid, "the grid"))
    (target,) = rows.targets.columns
    x, points = grid[feature], (rows.shown[feature], rows.targets[target])
    samples = model.predict_parameters(rows.inputs).sample(1, np.random.default_rng(seed))
    # A dollar sign would begin a formula.
    xlabel, ylabel = (name.replace("$", r"\$") for name in (feature, target))
    labels: dict[str, Any] = {"xlabel": xlabel, "ylabel": ylabel}
    curve_labels = dict(labels)
    if len(columns.names) > 1:
        others = "medians" if not columns.categories else "typical values"
        curve_labels["xlabel"] = f"{xlabel} (the other features at their {others})"

    def canvas(rows: int = 1, columns: int = 1, size: tuple[float, float] = (6.4, 4.4)) -> Any:
        return Figure(size, dpi=120, layout="constrained").subplots(rows, columns, squeeze=False)

    drawn = {
        "density": plotting.plot_density(
            x, parameters, data=points, ax=canvas()[0, 0], **curve_labels
        ).figure,
        "components": plotting.plot_components(
            x, parameters, data=points, ax=canvas()[0, 0], **curve_labels
        ).figure,
        "parameters": plotting.plot_parameters(
            x, parameters, axes=canvas(3, 1, (6.4, 8.0))[:, 0], **curve_labels
        )[0].figure,
        "samples": plotting.plot_samples(
            points[0], samples, data=points, axes=canvas(1, 2, (9.6, 4.4))[0], **labels
        )[0].figure,
        "history": plotting.plot_history(model.history_, ax=canvas()[0, 0]).figure,
    }
    paths = []
    for name, figure in drawn.items():
        paths.append(output / f"{name}.png")
        write_file(paths[-1], figure.savefig)
    return paths


def _grid(shown: pd.DataFrame, columns: Columns, feature: str) -> pd.DataFrame:
    """Return rows along one column, the others at their median or most frequent value."""
    import numpy as np
    import pandas as pd

    low, high = shown[feature].min(), shown[feature].max()
    fixed = {
        name: shown[name].mode()[0] if name in columns.categories else shown[name].median()
        for name in columns.names
    }
    return pd.DataFrame({**fixed, feature: np.linspace(low, high, GRID_ROWS)})
