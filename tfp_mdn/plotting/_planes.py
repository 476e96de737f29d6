"""Highest density regions of one mixture in two dimensions, with its components' ellipses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.patches import Patch

from tfp_mdn._validation import FloatArray
from tfp_mdn.plotting._looks import component_looks, tint
from tfp_mdn.plotting._style import BLACK, limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tfp_mdn.mixture import MixtureParameters

__all__ = ["Regions", "draw_plane", "region_patches", "regions_of", "span_of"]

# Points of the even grid along an axis, and how many a component's standard deviation should get.
_FEWEST_POINTS, _POINTS_PER_STDDEV = 160, 3.0
# Places of a narrow component's own lines of the grid, in its standard deviations, and for how
# many components there are such lines: the densities of a finer grid would take seconds.
_OWN_POINTS, _MOST_OWN = np.linspace(-4.0, 4.0, 25), 12
# A correlation ρ makes a component narrower by √(1 − ρ²), to which the grid follows to this limit,
# for components of at least this weight.
_NARROWEST, _LEAST_WEIGHT = 0.4, 0.01
# Levels of contours must ascend, which those of nearly equal coverages may not do by rounding.
_NUDGE = 1e-9
# Log density below the outermost region at which the contours' input is cut off.
_DEEP = 50.0
_POINTS_AT_ONCE = 1 << 21
# Quadrature points of all components together, and the golden angle that spreads them.
_QUADRATURE, _GOLDEN = 40_000, np.pi * (3.0 - np.sqrt(5.0))
# Margin of the limits around the outermost region, relative to its width.
_MARGIN = 0.12
# Greys of the outermost and the innermost region, on which all colours of components are seen.
_PALEST, _DEEPEST, _OUTLINE = 0.1, 0.42, 0.6
_ANGLES = np.linspace(0.0, 2.0 * np.pi, 181)
_FAINTEST = 0.35


class Regions(NamedTuple):
    """Highest density regions of one mixture in two dimensions.

    Attributes:
        log_densities: Log density on the edge of each region, (C,).
        box: Least and greatest coordinates of the outermost region, (2, 2): dimension, end.
    """

    log_densities: FloatArray
    box: FloatArray


def regions_of(mixture: MixtureParameters, coverages: Sequence[float]) -> Regions:
    """Return log t with P(p(Y) ≥ t) = coverage for one mixture, and how far the regions reach.

    Each component is replaced by points of equal weight on a spiral μ + L r (cos θ, sin θ)ᵀ, with
    r² = −2 log(1 − u) at even u and θ a multiple of the golden angle: the quantiles of the density
    at these points are the thresholds. Nothing is drawn at random, and components of very
    different scales are met alike, which no even grid would do.

    Args:
        mixture: One row, D = 2.
        coverages: Probabilities of the regions, ascending.
    """
    weights, means = mixture.weights[0], mixture.means[0]
    used = np.flatnonzero(weights > 0.0)
    size = max(1, _QUADRATURE // len(used))
    u = (np.arange(size) + 0.5) / size
    angle = _GOLDEN * np.arange(size)
    disc = np.sqrt(-2.0 * np.log1p(-u)) * np.stack([np.cos(angle), np.sin(angle)])
    points = np.swapaxes(means[used, :, np.newaxis] + _factors(mixture)[used] @ disc, 1, 2)
    points = points.reshape(-1, 2)
    log_density = _log_prob(mixture, points)
    order = np.argsort(-log_density, kind="stable")
    mass = np.repeat(weights[used] / size, size)[order]
    edges = np.interp(coverages, np.cumsum(mass) - 0.5 * mass, log_density[order])
    inside = points[log_density >= edges[-1]]
    return Regions(edges, np.stack([inside.min(axis=0), inside.max(axis=0)], axis=1))


def span_of(boxes: Sequence[FloatArray], data: FloatArray | None) -> tuple[float, float]:
    """Return limits of one dimension that hold the ends of some regions, and the data."""
    low, high = np.min(boxes), np.max(boxes)
    margin = _MARGIN * (high - low)
    return limits(np.array([low - margin, high + margin]), *([] if data is None else [data]))


def draw_plane(
    ax: Axes,
    mixture: MixtureParameters,
    spans: Sequence[tuple[float, float]],
    regions: Regions,
    *,
    components: Sequence[int],
) -> None:
    """Draw regions, and the ellipses of some components.

    Args:
        ax: Axes to draw on.
        mixture: One row, D = 2.
        spans: Limits of the two axes.
        regions: The regions of the mixture.
        components: Components whose ellipses are drawn.
    """
    grids = [_grid(mixture, d, span) for d, span in enumerate(spans)]
    points = np.stack(np.meshgrid(*grids), axis=-1)
    log_density = _log_prob(mixture, points.reshape(-1, 2)).reshape(points.shape[:2])
    size = len(regions.log_densities)
    levels = regions.log_densities[::-1] + _NUDGE * np.arange(size)
    # In log density, between whose values on the grid straight lines fit better.
    heights = np.maximum(log_density, levels[0] - _DEEP)
    top = max(float(heights.max()), float(levels[-1])) + 1.0
    ax.contourf(*grids, heights, levels=[*levels, top], colors=_shades(size)[::-1])
    outline = tint(BLACK, _OUTLINE)
    ax.contour(*grids, heights, levels, colors=[outline], linewidths=0.6, linestyles="solid")
    _draw_ellipses(ax, mixture, components)
    ax.set(xlim=spans[0], ylim=spans[1])


def region_patches(coverages: Sequence[float]) -> list[Patch]:
    """Return the entries of a legend for regions of ascending coverages."""
    outline = tint(BLACK, _OUTLINE)
    return [
        Patch(facecolor=shade, edgecolor=outline, linewidth=0.6, label=f"{100.0 * share:g} %")
        for shade, share in zip(_shades(len(coverages)), coverages, strict=True)
    ]


def _draw_ellipses(ax: Axes, mixture: MixtureParameters, components: Sequence[int]) -> None:
    """Draw μ + L (cos θ, sin θ)ᵀ of components, faded by √weight relative to the largest."""
    weights = mixture.weights[0]
    circle = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)])
    ellipses = mixture.means[0][..., np.newaxis] + _factors(mixture) @ circle
    for k, look in component_looks(components).items():
        alpha = max(_FAINTEST, float(np.sqrt(weights[k] / weights.max())))
        ax.plot(*ellipses[k], alpha=alpha, **look)


def _grid(mixture: MixtureParameters, d: int, span: tuple[float, float]) -> FloatArray:
    """Return lines of the grid along one axis, denser where narrow components need it."""
    weights, scales = mixture.weights[0], np.sqrt(mixture.variances[0, :, d])
    shrink = 1.0
    if mixture.covariances is not None:
        heavy = weights >= min(_LEAST_WEIGHT, 0.5 / len(weights))
        deviations = np.sqrt(mixture.variances[0, heavy])
        correlations = mixture.covariances[0, heavy, 0, 1] / deviations.prod(axis=-1)
        shrink = float(np.sqrt(max(0.0, 1.0 - np.square(correlations).max())))
    even = np.linspace(*span, int(_FEWEST_POINTS / max(shrink, _NARROWEST)))
    narrow = np.flatnonzero(scales < _POINTS_PER_STDDEV * (even[1] - even[0]))
    heaviest = narrow[np.argsort(-weights[narrow], kind="stable")][:_MOST_OWN]
    own = mixture.means[0, heaviest, d] + np.multiply.outer(_OWN_POINTS, scales[heaviest])
    grid = np.unique(np.concatenate([even, own.ravel()]))
    return grid[(grid >= span[0]) & (grid <= span[1])]


def _factors(mixture: MixtureParameters) -> FloatArray:
    """Return lower triangular L with L Lᵀ = Σ of each component of one row, (K, D, D)."""
    if mixture.covariances is None:
        return np.sqrt(mixture.variances[0])[..., np.newaxis] * np.eye(mixture.event_size)
    return np.linalg.cholesky(mixture.covariances[0])


def _log_prob(mixture: MixtureParameters, points: FloatArray) -> FloatArray:
    """Return log densities (M,) at points (M, 2); all at once they could fill the memory."""
    size = max(1, _POINTS_AT_ONCE // mixture.num_components)
    blocks = (points[start : start + size] for start in range(0, len(points), size))
    return np.concatenate([mixture.log_prob(block[:, np.newaxis])[:, 0] for block in blocks])


def _shades(size: int) -> list[tuple[float, float, float]]:
    """Return colours of regions of ascending coverages, the smallest region darkest."""
    return [tint(BLACK, share) for share in np.linspace(_DEEPEST, _PALEST, max(size, 2))[:size]]
