"""What a conditional density says at each input, drawn over the inputs: quantiles and modes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LogNorm

from tfp_mdn._validation import as_real
from tfp_mdn.calibration.coverage import as_inner_levels
from tfp_mdn.plotting._inputs import as_axes, as_mixture_over, as_pair
from tfp_mdn.plotting._looks import BESIDE, tint
from tfp_mdn.plotting._style import BLACK, BLUE, draw_points, limits, new_axes, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from tfp_mdn.mixture._methods import Mixture

__all__ = ["plot_modes", "plot_quantiles"]

_DATA_COLOUR = "#707070"
# How much of the colour, the rest white, the outermost and the innermost band have.
_PALEST, _DEEPEST = 0.2, 0.65
# Dark for the highest modes, which must stand out on white and in grey.
_MODE_MAP = "viridis_r"
# Diameters in points of the faintest and of the highest modes.
_SMALL, _LARGE = 1.5, 4.0
_DATA_LAYER, _MODE_LAYER = 1.0, 2.0


def plot_quantiles(
    x: ArrayLike,
    parameters: Mixture,
    *,
    levels: ArrayLike = (0.05, 0.25, 0.5, 0.75, 0.95),
    data: tuple[ArrayLike, ArrayLike] | None = None,
    ax: Axes | None = None,
    xlabel: str = "x",
    ylabel: str = "y",
) -> Axes:
    """Draw conditional quantiles over x as a fan: bands between pairs of levels, a line in between.

    The lowest level is paired with the highest, the second with the second highest and so on; of
    an odd number of levels the middle one is the line. Where a density has several modes, a band
    covers the empty space between them: `plot_density` and `plot_modes` show what is there.

    Args:
        x: Inputs of shape (N,) or (N, 1), in any order, in their own units. Of more than 2000
            inputs, 2000 are drawn.
        parameters: Mixtures at those inputs, for targets of one dimension.
        levels: Levels (Q,), strictly between 0 and 1, in any order.
        data: Pair (x, y) of vectors of data points, or None for none.
        ax: Axes to draw on, or None for a new figure.
        xlabel: Label of the x axis.
        ylabel: Label of the y axis.

    Returns:
        The axes that were drawn on.

    Raises:
        TypeError: If `ax` is not an axes, `parameters` not a `MixtureParameters`, `data` not a
            pair, or an array does not hold real numbers.
        ValueError: If `parameters.event_size` is not 1, lengths differ, a value is NaN or
            infinite, a level is not between 0 and 1, or `x` holds fewer than two different values.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> p = MixtureParameters([[1.0]] * 2, [[0.0], [1.0]], [[1.0], [4.0]])
        >>> ax = plot_quantiles([0.0, 1.0], p, levels=[0.1, 0.5, 0.9], ax=Figure().subplots())
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['10 % to 90 %', 'median']
    """
    inputs, mixture = as_mixture_over(x, parameters)
    nominal = np.unique(as_inner_levels("levels", levels))
    points = None if data is None else as_pair("data", data)
    ax = new_axes()[0] if ax is None else as_axes(ax)

    inputs, mixture = thinned(inputs, mixture)
    quantiles = mixture.quantile(nominal)
    if points is not None:
        draw_points(ax, points, color=_DATA_COLOUR, zorder=_MODE_LAYER, label="data")
    num_bands = len(nominal) // 2
    shades = np.linspace(_PALEST, _DEEPEST, num_bands) if num_bands > 1 else [0.4]
    for i in range(num_bands):
        # Opaque, so that the shade of a band does not depend on how many are below it.
        ax.fill_between(
            inputs,
            quantiles[i],
            quantiles[-1 - i],
            color=tint(BLUE, shades[i]),
            linewidth=0.0,
            label=f"{100.0 * nominal[i]:g} % to {100.0 * nominal[-1 - i]:g} %",
        )
    if len(nominal) % 2:
        level = nominal[num_bands]
        name = "median" if level == 0.5 else f"{100.0 * level:g} % quantile"
        ax.plot(inputs, quantiles[num_bands], color=BLACK, linewidth=1.8, zorder=2.5, label=name)
    spans = [(inputs, quantiles.ravel())] + ([] if points is None else [points])
    x_values, y_values = zip(*spans, strict=True)
    ax.set_xlim(limits(*x_values))
    ax.set_ylim(limits(*y_values))
    ax.legend(**BESIDE)
    ax.set(xlabel=xlabel, ylabel=ylabel, title="Conditional quantiles")
    return ax


def plot_modes(
    x: ArrayLike,
    parameters: Mixture,
    *,
    min_ratio: float = 0.01,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    ax: Axes | None = None,
    colorbar: bool = True,
    xlabel: str = "x",
    ylabel: str = "y",
) -> Axes:
    """Draw all modes of the density at each x: where branches begin, end, split and merge.

    Colour and size of a mode follow the logarithm of its density relative to the highest mode at
    the same x: dark and large is the highest one, pale and small a faint one.

    Args:
        x: Inputs of shape (N,) or (N, 1), in any order, in their own units. Of more than 2000
            inputs, 2000 are drawn.
        parameters: Mixtures at those inputs, for targets of one dimension.
        min_ratio: Modes with less density than this, relative to the highest at the same x, are
            not drawn; above 0 and below 1. The colours begin there.
        data: Pair (x, y) of vectors of data points to draw below, or None for none.
        ax: Axes to draw on, or None for a new figure.
        colorbar: Whether to draw a colour bar, which takes its space from `ax`.
        xlabel: Label of the x axis.
        ylabel: Label of the y axis.

    Returns:
        The axes that were drawn on.

    Raises:
        TypeError: If `ax` is not an axes, `parameters` not a `MixtureParameters`, `data` not a
            pair, or an array does not hold real numbers.
        ValueError: If `parameters.event_size` is not 1, lengths differ, a value is NaN or
            infinite, `min_ratio` is out of range, or `x` holds fewer than two different values.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> p = MixtureParameters([[0.5, 0.5]] * 2, [[0.0, 0.0], [-3.0, 3.0]], [[1.0, 1.0]] * 2)
        >>> ax = plot_modes([0.0, 1.0], p, ax=Figure().subplots())
        >>> len(ax.collections[0].get_offsets())
        3
    """
    inputs, mixture = as_mixture_over(x, parameters)
    points = None if data is None else as_pair("data", data)
    least = as_real("min_ratio", min_ratio, above=0.0, below=1.0)
    ax = new_axes()[0] if ax is None else as_axes(ax)

    inputs, mixture = thinned(inputs, mixture)
    found = mixture.modes()
    counts = [len(places) for places in found]
    rows = np.repeat(np.arange(len(found)), counts)
    places = np.concatenate(found)[:, 0]
    log_density = mixture[rows].log_prob(places)
    # Modes come highest first.
    highest = log_density[np.cumsum(counts) - counts]
    ratios = np.exp(np.minimum(log_density - highest[rows], 0.0))
    # The highest last, on top of what is faint.
    order = np.argsort(ratios, kind="stable")
    order = order[ratios[order] >= least]
    if points is not None:
        draw_points(ax, points, color="#9A9A9A", zorder=_DATA_LAYER, label="data")
    norm = LogNorm(least, 1.0)
    diameters = _SMALL + (_LARGE - _SMALL) * np.asarray(norm(ratios[order]))
    marks = ax.scatter(
        inputs[rows[order]],
        places[order],
        s=np.square(diameters),
        c=ratios[order],
        norm=norm,
        cmap=_MODE_MAP,
        linewidths=0.0,
        zorder=_MODE_LAYER,
        rasterized=True,
    )
    if colorbar:
        label = "density / highest at x"
        bar = ax.figure.colorbar(marks, ax=ax, label=label)
        bar.ax.yaxis.set_major_formatter("{x:g}")
    spans = [(inputs, places[order])] + ([] if points is None else [points])
    x_values, y_values = zip(*spans, strict=True)
    ax.set_xlim(limits(*x_values))
    ax.set_ylim(limits(*y_values))
    ax.set(xlabel=xlabel, ylabel=ylabel, title="Conditional modes")
    return ax
