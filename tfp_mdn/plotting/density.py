"""Heat map of a conditional density."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import PowerNorm

from tfp_mdn._validation import FloatArray, as_real
from tfp_mdn.plotting._inputs import Pair, as_axes, as_column, as_mixture_over, as_pair
from tfp_mdn.plotting._style import draw_points, limits, mass_range, new_axes, thinned

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from tfp_mdn.mixture._methods import Mixture

__all__ = ["plot_density"]

_COLOUR_MAP = "viridis"
# Exponent of the colour scale: a branch with a fiftieth of the top density gets a fifth of the
# colours.
_GAMMA = 0.4
# Where the ticks of the colour bar stand, as shares of its length, and how they are rounded. At
# round steps of the density they would crowd together at its upper end.
_TICKS = ((0.0, ".1g"), (0.25, ".1g"), (0.5, ".1g"), (0.75, ".1g"), (0.97, ".2g"))
# The colours end at this percentile of the columns' highest densities, so that a few spikes do not
# turn everything else dark.
_TOP_PERCENTILE = 90.0
# Rows of the default grid: enough to meet the narrowest component, within what can be drawn.
_FEWEST_ROWS, _MOST_ROWS = 400, 1200
_ROWS_PER_STDDEV = 2.0
# Components lighter than this do not make the grid finer.
_LEAST_WEIGHT = 0.05


def plot_density(
    x: ArrayLike,
    parameters: Mixture,
    *,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    y: ArrayLike | None = None,
    ax: Axes | None = None,
    colorbar: bool = True,
    vmax: float | None = None,
    xlabel: str = "x",
    ylabel: str = "y",
) -> Axes:
    """Draw the conditional density p(y | x) as a heat map, with the data on top.

    A density with narrow peaks hides all else on a linear scale. So the colours follow the density
    to the power 0.4, from 0 to the 90th percentile, over x, of the highest density at each x.
    What lies above has the last colour, and the colour bar then ends in an arrow; its ticks are
    true densities.

    Args:
        x: Inputs of shape (N,) or (N, 1), in any order, in their own units. Of more than 2000
            inputs, 2000 are drawn.
        parameters: Mixtures at those inputs, for targets of one dimension.
        data: Pair (x, y) of vectors of data points, or None for none.
        y: Targets (M,) at which the density is computed, in the target's units; None takes 400 to
            1200 that cover the data and 99.9 % of the mixtures' mass.
        ax: Axes to draw on, or None for a new figure.
        colorbar: Whether to draw a colour bar, which takes its space from `ax`.
        vmax: Density at which the colours end, in place of that percentile; give several pictures
            the same one to compare them.
        xlabel: Label of the x axis.
        ylabel: Label of the y axis.

    Returns:
        The axes that were drawn on.

    Raises:
        TypeError: If `ax` is not an axes, `parameters` not a `MixtureParameters`, `data` not a
            pair, or an array does not hold real numbers.
        ValueError: If `parameters.event_size` is not 1, lengths differ, a value is NaN or
            infinite, or `x` or `y` holds fewer than two different values.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> x = np.linspace(0.0, 1.0, 50)
        >>> means = np.stack([np.sin(6 * x), -np.sin(6 * x)], axis=1)
        >>> p = MixtureParameters(np.full((50, 2), 0.5), means, np.full((50, 2), 0.01))
        >>> ax = plot_density(x, p, ax=Figure().subplots(), xlabel="time (s)")
        >>> ax.get_xlabel()
        'time (s)'
    """
    inputs, mixture = as_mixture_over(x, parameters)
    points = None if data is None else as_pair("data", data)
    vmax = None if vmax is None else as_real("vmax", vmax, above=0.0)
    targets = _targets(mixture, points) if y is None else _as_targets(y)
    ax = new_axes()[0] if ax is None else as_axes(ax)

    inputs, mixture = thinned(inputs, mixture)
    density = mixture.prob(targets.reshape(-1, 1, 1))
    peaks = density.max(axis=0)
    top = float(np.percentile(peaks, _TOP_PERCENTILE)) if vmax is None else vmax
    # No density on the grid at all: any scale will do, but 0 to 0 is none.
    norm = PowerNorm(_GAMMA, vmin=0.0, vmax=top or 1.0, clip=True)
    mesh = ax.pcolormesh(
        inputs,
        targets,
        density,
        norm=norm,
        cmap=_COLOUR_MAP,
        shading="nearest",
        rasterized=True,
    )
    if points is not None:
        draw_points(
            ax, points, color="white", markeredgecolor="black", markeredgewidth=0.3, label="data"
        )
    if colorbar:
        extend = "max" if peaks.max() > top else "neither"
        ticks = [float(f"{norm.inverse(place):{form}}") for place, form in _TICKS]
        bar = ax.figure.colorbar(mesh, ax=ax, label="p(y | x)", extend=extend)
        bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    if points is None:
        ax.set_xlim(inputs[0], inputs[-1])
    else:
        ax.set_xlim(min(inputs[0], points[0].min()), max(inputs[-1], points[0].max()))
    ax.set_ylim(targets[0], targets[-1])
    ax.set(xlabel=xlabel, ylabel=ylabel, title="Conditional density")
    return ax


def _targets(mixture: Mixture, points: Pair | None) -> FloatArray:
    """Return the default grid of targets (M,)."""
    spans = [mass_range(mixture)] + ([] if points is None else [points[1]])
    low, high = limits(*spans)
    # Of K components, one at least weighs 1/K.
    least = min(_LEAST_WEIGHT, 0.5 / mixture.num_components)
    narrowest = float(mixture._component_spreads()[1][mixture.weights >= least].min())
    wanted = _ROWS_PER_STDDEV * (high - low) / narrowest
    return np.linspace(low, high, int(np.clip(wanted, _FEWEST_ROWS, _MOST_ROWS)))


def _as_targets(y: ArrayLike) -> FloatArray:
    """Return the caller's grid of targets in ascending order, (M,)."""
    targets = np.unique(as_column("y", y))
    if len(targets) < 2:
        msg = f"y must hold at least two different values, got only {targets[0]:g}."
        raise ValueError(msg)
    return targets
