"""The pictures that the shell tool draws of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import pandas as pd

    from tfp_mdn.cli.places import Rows
    from tfp_mdn.estimator import MDNRegressor
    from tfp_mdn.mixture import MixtureParameters
    from tfp_mdn.tables import Columns

__all__ = ["GRID_ROWS", "check_drawable", "draw_pictures"]

GRID_ROWS = 200  # of the curves, and of the parameter table of the demonstration

_MOST_IN_CORNER = 10  # targets that `plot_corner` has room for


def check_drawable(columns: Columns, feature: str | None) -> str:
    """Return the column to vary in the pictures of a model.

    Raises:
        click.UsageError: If there is no such column of numbers.
    """
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
    """Draw the pictures of a model into a directory; return their paths.

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
    from tfp_mdn import plotting
    from tfp_mdn.tables import write_file

    at_rows = model.predict_parameters(rows.inputs)
    targets = rows.targets.to_numpy()
    drawn: dict[str, Any] = {
        "coverage": plotting.plot_coverage(at_rows, targets, rng=seed, ax=_axes()[0]),
        "history": plotting.plot_history(model.history_, ax=_axes()[0]),
    }
    if targets.shape[1] == 1:
        drawn["pit"] = plotting.plot_pit(at_rows, targets, rng=seed, ax=_axes()[0])
        drawn |= _along_a_feature(model, columns, rows, at_rows, feature, seed)
    elif targets.shape[1] <= _MOST_IN_CORNER:
        at = columns.encode(_grid(rows.shown, columns, feature), "the grid").iloc[[GRID_ROWS // 2]]
        count, names = targets.shape[1], [_plain(name) for name in rows.targets.columns]
        panels = _axes(count, count, (2.7 * count, 2.5 * count))
        corner = plotting.plot_corner(model.predict_parameters(at), labels=names, axes=panels)
        drawn["corner"] = corner.flat[0]
    paths = []
    for name, axes in drawn.items():
        paths.append(output / f"{name}.png")
        write_file(paths[-1], axes.figure.savefig)
    return paths


def _along_a_feature(
    model: MDNRegressor,
    columns: Columns,
    rows: Rows,
    at_rows: MixtureParameters,
    feature: str,
    seed: int,
) -> dict[str, Any]:
    """Return an axes of each picture of a target over one feature."""
    import numpy as np

    from tfp_mdn import plotting

    grid = _grid(rows.shown, columns, feature)
    parameters = model.predict_parameters(columns.encode(grid, "the grid"))
    (target,) = rows.targets.columns
    x, points = grid[feature], (rows.shown[feature], rows.targets[target])
    labels: dict[str, Any] = {"xlabel": _plain(feature), "ylabel": _plain(target)}
    curve = dict(labels)
    if len(columns.names) > 1:
        others = "medians" if not columns.categories else "typical values"
        curve["xlabel"] += f" (the other features at their {others})"
    beside: dict[str, Any] = {"data": points, **curve}
    samples = at_rows.sample(1, np.random.default_rng(seed))
    return {
        "density": plotting.plot_density(x, parameters, ax=_axes()[0], **beside),
        "modes": plotting.plot_modes(x, parameters, ax=_axes()[0], **beside),
        "components": plotting.plot_components(x, parameters, ax=_axes()[0], **beside),
        "parameters": plotting.plot_parameters(
            x, parameters, axes=_axes(3, 1, (6.4, 8.0)), **curve
        )[0],
        "samples": plotting.plot_samples(
            points[0], samples, data=points, axes=_axes(1, 2, (9.6, 4.4)), **labels
        )[0],
    }


def _axes(rows: int = 1, columns: int = 1, size: tuple[float, float] = (6.4, 4.4)) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(size, dpi=120, layout="constrained")
    return figure.subplots(rows, columns, squeeze=False).ravel()


def _plain(name: str) -> str:
    return name.replace("$", r"\$")  # a dollar sign would begin a formula


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
