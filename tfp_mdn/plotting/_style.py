"""What the pictures have in common: figures, colours, limits and the look of points."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

import matplotlib.pyplot as plt
import numpy as np

from tfp_mdn._validation import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tfp_mdn.mixture._methods import Mixture
    from tfp_mdn.plotting._inputs import AxesArray, Pair

__all__ = [
    "BLACK",
    "BLUE",
    "DATA_COLOUR",
    "SAMPLE_COLOUR",
    "GREEN",
    "VERMILLION",
    "component_style",
    "draw_points",
    "limits",
    "mass_range",
    "new_axes",
    "thinned",
]

# Okabe and Ito's palette for all kinds of colour vision, without yellow, which fades on white.
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
# Solid, dashed, dotted; lengths in line widths. Seven colours in three styles tell 21 apart.
Dashes: TypeAlias = tuple[float, ...]
_DASHES: tuple[Dashes, ...] = ((), (4.0, 1.5), (1.0, 1.2))
_STYLES = tuple((colour, dashes) for dashes, colour in product(_DASHES, _COLOURS))
DATA_COLOUR, SAMPLE_COLOUR = "#4D4D4D", VERMILLION

# Width and height of one panel in inches.
_PANEL = (6.0, 4.0)
_MARGIN = 0.03
# Without a bound, the range of a mixture of a million rows would take as long as its fit.
_MOST_ROWS = 1000
# More columns than a wide screen has pixels cost seconds and show nothing.
_MOST_COLUMNS = 2000
# Share of the mixture's mass beyond either end of its range.
_TAIL = 5e-4
_BISECTIONS = 60


def new_axes(
    num_rows: int = 1, num_columns: int = 1, *, size: tuple[float, float] = _PANEL
) -> AxesArray:
    """Return the axes of a new figure as a vector, with axes and limits shared between panels."""
    _, axes = plt.subplots(
        num_rows,
        num_columns,
        figsize=size,
        layout="constrained",
        squeeze=False,
        sharex=True,
        sharey=num_rows == 1,
    )
    return axes.ravel()


def component_style(k: int) -> tuple[str, Dashes]:
    """Return colour and dashes of component k, the same in every picture."""
    return _STYLES[k % len(_STYLES)]


def draw_points(ax: Axes, points: Pair, *, color: str = DATA_COLOUR, **style: Any) -> None:
    """Draw points that are smaller and fainter the more there are, so that crowds stay legible."""
    x, y = points
    size = float(np.clip(30.0 / len(x) ** 0.3, 1.5, 5.0))
    alpha = float(np.clip(12.0 / len(x) ** 0.5, 0.08, 0.6))
    look: dict[str, Any] = {"markersize": size, "alpha": alpha, "markeredgewidth": 0, **style}
    # As vectors, 100,000 points would make a file that no viewer opens quickly.
    ax.plot(x, y, linestyle="none", marker="o", color=color, rasterized=True, **look)


def limits(*arrays: FloatArray) -> tuple[float, float]:
    """Return an interval that holds all values, with a small margin."""
    low = min(float(array.min()) for array in arrays)
    high = max(float(array.max()) for array in arrays)
    # All values equal: an interval of width 0 is no axis.
    width = (high - low) or abs(high) or 1.0
    return low - _MARGIN * width, high + _MARGIN * width


def thinned(x: FloatArray, parameters: Mixture) -> tuple[FloatArray, Mixture]:
    """Return at most 2000 inputs, the first and the last among them, and their mixtures."""
    if len(x) <= _MOST_COLUMNS:
        return x, parameters
    rows = np.linspace(0, len(x) - 1, _MOST_COLUMNS).astype(int)
    return x[rows], parameters[rows]


def mass_range(parameters: Mixture) -> FloatArray:
    """Return the central 99.9 % interval, (2,), of the mixture averaged over its rows (D = 1).

    It is found by bisection of the averaged distribution function, so that one wide component
    with hardly any weight does not stretch the picture.
    """
    rows = np.linspace(0, len(parameters) - 1, min(len(parameters), _MOST_ROWS)).astype(int)
    mixture = parameters[rows]
    levels = np.array([_TAIL, 1.0 - _TAIL])
    # The average reaches a level between the first and the last row that does.
    places = mixture.quantile(levels)
    low, high = places.min(axis=1), places.max(axis=1)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        below = mixture.cdf(middle[:, np.newaxis, np.newaxis]).mean(axis=1) < levels
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)
