"""Pictures of calibration: where held-out targets fall in the densities that foretold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfp_mdn._validation import FloatArray, as_generator, as_real, as_whole_number
from tfp_mdn.calibration import density_levels, pit_values, share_below
from tfp_mdn.calibration.checks import MOST_BINS, ROWS_PER_BIN
from tfp_mdn.calibration.coverage import Coverage
from tfp_mdn.calibration.pit import paired_targets
from tfp_mdn.plotting._inputs import as_axes
from tfp_mdn.plotting._looks import SMALL
from tfp_mdn.plotting._mixtures import as_scalar_targets
from tfp_mdn.plotting._style import BLACK, BLUE, component_style, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from tfp_mdn.mixture._methods import Mixture

__all__ = ["plot_coverage", "plot_pit"]

# Grey of what calibrated densities give, and of the words in the corners.
_BAND_COLOUR, _WORDS = "#B0B0B0", "#4D4D4D"
_BAR_COLOUR = "#8FBFE0"
_LEVELS = np.arange(1, 100) / 100.0
_SQUARE = (4.8, 4.8)
_LINE_WIDTH = 1.8
# The range of the differences is never less than this, so that noise does not look like news.
_LEAST_DIFFERENCE = 0.05


def plot_pit(
    parameters: Mixture,
    y: ArrayLike,
    *,
    num_bins: int | None = None,
    lattice: ArrayLike | None = None,
    confidence: float = 0.95,
    rng: np.random.Generator | int | None = 0,
    ax: Axes | None = None,
    xlabel: str = "PIT value P(Y ≤ y)",
    ylabel: str = "density",
) -> Axes:
    """Draw the histogram of the PIT values, which is flat if the densities are calibrated.

    The heights are densities, so that a flat histogram has height 1. High ends mean densities that
    are too narrow, a hump in the middle ones that are too wide, a slope a bias: high on the left if
    the targets lie below their densities. The band holds each bar of calibrated densities with
    probability `confidence`, from the binomial distribution of its count: of 20 bars, one is
    outside on average.

    Args:
        parameters: Mixtures of N rows, for targets of one dimension.
        y: Targets (N,) or (N, 1), held out from the fit, in the target's units.
        num_bins: Bins of equal width, at least 2; None takes one for each 10 rows, at most 20.
        lattice: Step of the lattice to whose nearest points targets were rounded, in the target's
            units, or None. PIT values are then randomised; see `calibration.pit_values`.
        confidence: Probability of the band, for each bar.
        rng: Generator, integer seed, or None for fresh randomness; used for a lattice alone.
        ax: Axes to draw on, or None for a new figure.
        xlabel: Label of the x axis.
        ylabel: Label of the y axis.

    Returns:
        The axes that were drawn on.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If D is not 1, `y` is not finite or does not fit, `num_bins` is below 2,
            `confidence` is not between 0 and 1, or targets are not on the lattice.

    References:
        T. Gneiting, F. Balabdaoui, A. E. Raftery (2007), Probabilistic forecasts, calibration and
        sharpness, Journal of the Royal Statistical Society B 69, 243-268,
        https://doi.org/10.1111/j.1467-9868.2007.00587.x.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> ones = np.ones((100, 1))
        >>> y = np.random.default_rng(0).normal(size=100)
        >>> ax = plot_pit(MixtureParameters(ones, 0 * ones, ones), y, ax=Figure().subplots())
        >>> len(ax.containers[0])
        10
    """
    targets = as_scalar_targets(parameters, y)
    size = min(MOST_BINS, max(2, len(targets) // ROWS_PER_BIN))
    bins = size if num_bins is None else as_whole_number("num_bins", num_bins, minimum=2)
    share = as_real("confidence", confidence, above=0.0, below=1.0)
    values = pit_values(parameters, targets, lattice=lattice, rng=rng)[:, 0]
    # The band of one bar is that of the first level: all bars are equally probable.
    band = share_below(values, 1.0 / bins, confidence=share)
    ax = new_axes()[0] if ax is None else as_axes(ax)

    heights, edges = np.histogram(values, bins, (0.0, 1.0), density=True)
    ax.bar(
        edges[:-1],
        heights,
        width=1.0 / bins,
        align="edge",
        color=_BAR_COLOUR,
        edgecolor=BLUE,
        linewidth=1.0,
        label=f"{len(targets)} target{'s' if len(targets) > 1 else ''}",
    )
    low, high = band.lower[0] * bins, band.upper[0] * bins
    label = f"{100.0 * share:g} % band"
    ax.axhspan(low, high, color=BLACK, alpha=0.18, linewidth=0.0, label=label)
    for edge in (low, high):
        ax.axhline(edge, color=BLACK, linewidth=0.8, linestyle="dotted")
    ax.axhline(1.0, color=BLACK, linewidth=1.2, linestyle="dashed")
    ax.set(xlim=(0.0, 1.0), ylim=(0.0, 1.3 * max(float(heights.max()), high)))
    ax.legend(loc="upper center", ncols=2, **SMALL)
    ax.set(xlabel=xlabel, ylabel=ylabel, title="PIT histogram")
    return ax


def plot_coverage(
    parameters: Mixture,
    y: ArrayLike,
    *,
    difference: bool = False,
    lattice: ArrayLike | None = None,
    confidence: float = 0.95,
    num_draws: int = 100,
    rng: np.random.Generator | int | None = 0,
    ax: Axes | None = None,
    xlabel: str = "nominal coverage",
    ylabel: str | None = None,
) -> Axes:
    """Draw the share of targets in intervals and regions against the share that they claim.

    Lines are the central intervals, for D > 1 one for each dimension, and the highest-density
    regions, for D > 1 those of all dimensions together. Lines below the diagonal belong to
    densities that are too narrow. Calibrated densities are inside the band with probability
    `confidence` at each level, by the binomial distribution; along a whole line they leave it more
    often than that.

    Args:
        parameters: Mixtures of N rows in D dimensions.
        y: Targets (N, D), or (N,) for D = 1, held out from the fit, in the target's units.
        difference: Whether to draw observed less nominal coverage, which shows more where there
            are many rows and the lines hug the diagonal.
        lattice: As for `calibration.density_levels`, if targets were rounded.
        confidence: Probability of the band, for each level.
        num_draws: Draws for each row that estimate its highest-density regions.
        rng: Generator or integer seed of these draws, or None for fresh randomness.
        ax: Axes to draw on, or None for a new figure.
        xlabel: Label of the x axis.
        ylabel: Label of the y axis; None says what is drawn.

    Returns:
        The axes that were drawn on.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `y` is not finite or does not fit, `confidence` is not between 0 and 1,
            `num_draws` is below 1, or targets are not on the lattice.

    References:
        As for `plot_pit`.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> ones = np.ones((100, 1))
        >>> y = np.random.default_rng(0).normal(size=100)
        >>> ax = plot_coverage(MixtureParameters(ones, 0 * ones, ones), y, ax=Figure().subplots())
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['95 % band', 'central', 'highest density']
    """
    targets = paired_targets(parameters, y)
    if not isinstance(difference, bool):
        msg = f"difference must be True or False, got {difference!r}."
        raise TypeError(msg)
    share = as_real("confidence", confidence, above=0.0, below=1.0)
    generator = as_generator("rng", rng)
    # In the order of `calibration_report`, so that the same seed gives the same numbers.
    pit = pit_values(parameters, targets, lattice=lattice, rng=generator)
    depth = density_levels(parameters, targets, lattice=lattice, num_draws=num_draws, rng=generator)
    size = pit.shape[1]
    values = {
        "central" if size == 1 else f"central, y{d}": np.abs(2.0 * column - 1.0)
        for d, column in enumerate(pit.T)
    } | {"highest density": depth}
    tables = {name: share_below(u, _LEVELS, confidence=share) for name, u in values.items()}
    ax = new_axes(size=_SQUARE)[0] if ax is None else as_axes(ax)

    _draw_coverage(ax, tables, f"{100.0 * share:g} % band", difference=difference)
    if ylabel is None:
        ylabel = "observed less nominal coverage" if difference else "observed coverage"
    ax.set(xlabel=xlabel, ylabel=ylabel, title="Coverage")
    return ax


def _draw_coverage(
    ax: Axes, tables: dict[str, Coverage], band_label: str, *, difference: bool
) -> None:
    """Draw band, diagonal and one line for each table."""
    nominal = np.concatenate([[0.0], _LEVELS, [1.0]])
    base = nominal if difference else np.zeros_like(nominal)
    # The band depends on the number of rows and the levels alone, which all tables share.
    table = next(iter(tables.values()))
    low, high = (_between_ends(values) - base for values in (table.lower, table.upper))
    ax.fill_between(
        nominal, low, high, color=_BAND_COLOUR, alpha=0.6, linewidth=0, label=band_label
    )
    ax.plot(nominal, nominal - base, color=BLACK, linewidth=1.0, linestyle="dashed")
    reach = max(_LEAST_DIFFERENCE, float(np.abs([low, high]).max()))
    for k, (name, table) in enumerate(tables.items()):
        color, dashes = component_style(k)
        if k == len(tables) - 1:
            # Of one normal component, intervals and regions are the same.
            dashes = (4.0, 1.5)
        values = _between_ends(table.observed) - base
        reach = max(reach, float(np.abs(values).max()))
        ax.plot(nominal, values, color=color, dashes=dashes, linewidth=_LINE_WIDTH, label=name)
    ax.set_xlim(0.0, 1.0)
    if difference:
        # Room for the legend above the lines.
        ax.set_ylim(-1.2 * reach, 1.7 * reach)
    else:
        ax.set(ylim=(0.0, 1.0), aspect="equal")
    ax.legend(loc="upper left", **SMALL)
    look: dict[str, Any] = {
        "transform": ax.transAxes,
        "fontsize": "small",
        "color": _WORDS,
        "style": "italic",
    }
    ax.text(0.97, 0.03, "too narrow", ha="right", va="bottom", **look)


def _between_ends(values: Sequence[float]) -> FloatArray:
    """Return shares with those of the levels 0 and 1 before and behind them."""
    return np.concatenate([[0.0], values, [1.0]])
