"""Pictures compared with stored ones, without texts: these depend on fonts.

`python tests/plotting/test_images.py` from the root of the repository stores them anew.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.testing.compare import compare_images
from matplotlib.testing.decorators import remove_ticks_and_titles

from tests.plotting.conftest import P, X, Y, make_plane
from tfp_mdn import plotting
from tfp_mdn._validation import FloatArray

BASELINE = Path(__file__).parent / "baseline"
# Root mean square difference of the 256 values of a colour. Versions of Matplotlib differ in
# smoothing, by less than 1; the smallest of the changes below makes more than 3.
TOLERANCE = 2.0
PLANE, SPACE = make_plane(), make_plane(event_size=3)


def pit(figure: Figure, change: bool) -> None:  # noqa: FBT001
    plotting.plot_pit(P, Y, num_bins=9 if change else 8, ax=figure.subplots())


def quantiles(figure: Figure, change: bool) -> None:  # noqa: FBT001
    levels = (0.08, 0.25, 0.5, 0.75, 0.92) if change else (0.05, 0.25, 0.5, 0.75, 0.95)
    plotting.plot_quantiles(X, P, levels=levels, ax=figure.subplots())


def slices(figure: Figure, change: bool) -> None:  # noqa: FBT001
    rows = [5, 110]
    plotting.plot_slices(X[rows], P[rows], coverage=0.7 if change else 0.9, axes=figure.subplots(2))


def joint(figure: Figure, change: bool) -> None:  # noqa: FBT001
    plotting.plot_joint(PLANE, components=not change, ax=figure.subplots())


def corner(figure: Figure, change: bool) -> None:  # noqa: FBT001
    coverages = (0.5, 0.9) if change else (0.5, 0.8, 0.95)
    plotting.plot_corner(SPACE, coverages=coverages, axes=figure.subplots(3, 3))


DRAWINGS = [pit, quantiles, slices, joint, corner]
each_drawing = pytest.mark.parametrize("draw", DRAWINGS)


def store(draw: Callable[[Figure, bool], None], path: Path, *, change: bool = False) -> None:
    with plt.style.context("default"):
        figure = Figure((3.0, 2.4), dpi=60)
        FigureCanvasAgg(figure)
        draw(figure, change)
        remove_ticks_and_titles(figure)
        for ax in figure.axes:
            ax.set(xlabel="", ylabel="")
            ax.set_title("", loc="left")
            legend = ax.get_legend()
            if legend is not None:
                legend.remove()
        figure.savefig(path, metadata={"Software": None})


@each_drawing
def test_picture_is_the_stored_one(draw: Callable[[Figure, bool], None], tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    store(draw, path)
    assert compare_images(str(BASELINE / f"{draw.__name__}.png"), str(path), TOLERANCE) is None


@each_drawing
def test_a_small_change_is_noticed(draw: Callable[[Figure, bool], None], tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    store(draw, path, change=True)
    assert compare_images(str(BASELINE / f"{draw.__name__}.png"), str(path), TOLERANCE)


@each_drawing
def test_stored_pictures_are_small_and_not_empty(draw: Callable[[Figure, bool], None]) -> None:
    path = BASELINE / f"{draw.__name__}.png"
    assert path.stat().st_size < 20_000
    pixels: FloatArray = plt.imread(path)[..., :3]
    assert np.mean(pixels.min(axis=-1) < 0.95) > 0.03


if __name__ == "__main__":
    for drawing in DRAWINGS:
        store(drawing, BASELINE / f"{drawing.__name__}.png")
