"""Residuals against the conditional mean, beside the spread that was foretold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfp_mdn._validation import FloatArray
from tfp_mdn.plotting._inputs import as_axes, as_column
from tfp_mdn.plotting._looks import tint
from tfp_mdn.plotting._mixtures import as_scalar_targets
from tfp_mdn.plotting._style import BLACK, BLUE, VERMILLION, draw_points, limits, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from tfp_mdn.mixture._methods import Mixture

__all__ = ["plot_residuals"]

# Half widths of the bands in predicted standard deviations, the wide one first.
_BANDS = ((2.0, 0.15), (1.0, 0.35))
# Groups of rows over which spread and mean are taken: at most so many, of at least so many rows.
_MOST_GROUPS, _ROWS_PER_GROUP = 20, 20
# Percentiles of the residuals that the limits hold; one far out would flatten the rest.
_RANGE = (0.1, 99.9)


def plot_residuals(
    parameters: Mixture,
    y: ArrayLike,
    *,
    x: ArrayLike | None = None,
    standardise: bool = False,
    ax: Axes | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
) -> Axes:
    """Draw y − E[Y | x] over the conditional mean, with bands of the predicted spread.

    The bands are one and two predicted standard deviations wide on either side, the root mean
    square over groups of neighbouring rows. The solid line is the mean residual of each group; it
    should stay close to 0. A mixture is not normal, so that no fixed share of the residuals
    belongs into a band: what a picture of residuals can show is bias and spread, and
    `plot_coverage` shows the rest. The limits hold the bands and 99.8 % of the residuals.

    Args:
        parameters: Mixtures of N rows, for targets of one dimension.
        y: Targets (N,) or (N, 1), held out from the fit, in the target's units.
        x: What to draw the residuals over, (N,) or (N, 1), for instance one of the inputs; None
            takes the conditional mean.
        standardise: Whether to divide by the predicted standard deviation of each row; the
            residuals of calibrated densities then have mean 0 and variance 1 everywhere.
        ax: Axes to draw on, or None for a new figure.
        xlabel: Label of the x axis; None says what is drawn.
        ylabel: Label of the y axis; None says what is drawn.

    Returns:
        The axes that were drawn on.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If D is not 1, or `y` or `x` is not finite or does not fit.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> p = MixtureParameters([[1.0]] * 2, [[0.0], [5.0]], [[1.0], [4.0]])
        >>> ax = plot_residuals(p, [1.0, 4.0], standardise=True, ax=Figure().subplots())
        >>> ax.lines[0].get_ydata()
        array([ 1. , -0.5])
    """
    targets = as_scalar_targets(parameters, y)
    means, stddevs = parameters.mean()[:, 0], parameters.stddev()[:, 0]
    places = means if x is None else as_column("x", x)
    if len(places) != len(targets):
        msg = f"x must have one value for each of the {len(targets)} targets, got {len(places)}."
        raise ValueError(msg)
    if not isinstance(standardise, bool):
        msg = f"standardise must be True or False, got {standardise!r}."
        raise TypeError(msg)
    ax = new_axes()[0] if ax is None else as_axes(ax)

    residuals = targets - means
    if standardise:
        residuals, stddevs = residuals / stddevs, np.ones_like(stddevs)
    draw_points(ax, (places, residuals), label="targets")
    edges, groups = _groups(places)
    spread = np.array([np.sqrt(np.mean(np.square(stddevs[rows]))) for rows in groups])
    bias = np.array([residuals[rows].mean() for rows in groups])
    for width, share in _BANDS:
        ax.stairs(
            width * spread,
            edges,
            baseline=-width * spread,
            fill=True,
            color=tint(BLUE, share),
            zorder=1.0,
            label=f"±{width:g} predicted sd",
        )
    ax.axhline(0.0, color=BLACK, linewidth=1.0, linestyle="dashed")
    ax.stairs(bias, edges, baseline=None, color=VERMILLION, linewidth=1.8, label="mean residual")
    ends = _BANDS[0][0] * spread.max()
    ax.set_ylim(limits(_inner(residuals), np.array([-ends, ends])))
    ax.set_xlim(limits(places))
    ax.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0.0,
        fontsize="small",
        frameon=False,
    )
    if xlabel is None:
        xlabel = "conditional mean" if x is None else "x"
    if ylabel is None:
        ylabel = "residual / standard deviation" if standardise else "residual"
    ax.set(xlabel=xlabel, ylabel=ylabel, title="Residuals")
    return ax


def _inner(values: FloatArray) -> FloatArray:
    """Return the range of all but a few values far out, and of all if they are few."""
    low, high = _RANGE
    ends = np.percentile(values, low, method="lower"), np.percentile(values, high, method="higher")
    return np.array(ends)


def _groups(places: FloatArray) -> tuple[FloatArray, list[NDArray[np.intp]]]:
    """Return edges (G + 1,) of groups of about as many rows each, and the rows of each group.

    Equal places are never torn apart, so that there can be fewer groups than wanted.
    """
    wanted = int(np.clip(len(places) // _ROWS_PER_GROUP, 1, _MOST_GROUPS))
    shares = np.linspace(0.0, 1.0, wanted + 1)
    edges = np.unique(np.quantile(places, shares, method="lower"))
    if len(edges) == 1:
        return np.array(limits(places)), [np.arange(len(places))]
    number = np.clip(np.searchsorted(edges, places, side="right") - 1, 0, len(edges) - 2)
    return edges, [np.flatnonzero(number == g) for g in range(len(edges) - 1)]
