"""Exact densities and entropies of points scattered around a curve with Gaussian noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from tfp_mdn._validation import FloatArray

__all__ = ["Curve", "Points", "axis_entropy", "conditional_entropy", "log_density"]

# Gauss-Legendre nodes on a panel. On panels that obey _LEVEL_CHANGE the relative error of
# the integral is near 1e-14, so more nodes change nothing.
_NODES = 28
# Largest change of the log integrand between a panel's centre and its ends, in nats.
_LEVEL_CHANGE = 16.0
# A panel this many nats below the highest one is dropped; what it holds is lost in rounding.
_NEGLIGIBLE = 45.0
# Widest first panel: the curves turn at a rate of about 1 per unit of latent variable, and
# wider panels would not resolve that when the noise is so large that the level hardly changes.
_WIDEST_PANEL = 1.0
# Without it the halving never ends at points so far away that all levels round to the same.
_ROUNDING = 4 * np.finfo(np.float64).eps
# First pairs of point and panel that are worked on at a time, and points at least: bounds the
# memory at about 100 MB, and keeps a chunk's arrays near the size of a processor's cache.
_CHUNK, _FEWEST_ROWS = 4_000, 16
# Nodes of an entropy's mean over the latent variable and over the noise on an axis. On an axis
# the density jumps within a noise width where the curve turns back, so its nodes lie that close;
# along the curve the joint density is smoother.
_FEWEST_LATENT, _MOST_ON_AXIS, _MOST_IN_PLANE = 200, 8000, 1000
_LATENT_PANEL = 8
_NOISE_NODES = 12

# Real numbers for points of the line, complex numbers x + iy for points of the plane.
Points = NDArray[Any]


@final
@dataclass(frozen=True)
class Curve:
    """A smooth curve in the plane, or on the line, run through at constant latent density.

    A point of the plane is the complex number x + iy; a point of the line is a real number.

    Attributes:
        low: Lower end of the latent variable t.
        high: Upper end of t, which is uniform between the two.
        position: Maps t to the point c(t).
        velocity: Maps t to c'(t).
        speed: Upper bound of abs(c'(t)).
        bend: Upper bound of abs(c''(t)).
    """

    low: float
    high: float
    position: Callable[[FloatArray], Points]
    velocity: Callable[[FloatArray], Points]
    speed: float
    bend: float


def log_density(
    points: Points, curve: Curve, noise: float, *, num_nodes: int = _NODES
) -> FloatArray:
    r"""Log density of c(t) plus Gaussian noise, the latent t integrated out.

    .. math:: \log \frac{1}{b - a} \int_a^b N(p; c(t), \sigma^2 I) \, dt

    The range of t is halved, for each point by itself, until a second-order bound shows that the
    log integrand changes by less than a few nats on each panel; panels that cannot matter are
    dropped on the way. So the cost grows with the logarithm of 1 / noise, and the result
    holds far from the curve, where the density itself underflows.

    Args:
        points: Shape (N,). Complex: points x + iy of the plane. Real: points of the x axis, onto
            which a plane curve is projected.
        curve: The curve.
        noise: Standard deviation on each axis.
        num_nodes: Gauss-Legendre nodes on each panel.

    Returns:
        Log density in nats, shape (N,), exact up to rounding: an error near 1e-15 times the
        squared distance from the curve in noise widths, and at least 1e-12.
    """
    num_panels = max(1, int(np.ceil((curve.high - curve.low) / _WIDEST_PANEL)))
    size = max(_FEWEST_ROWS, _CHUNK // num_panels)
    out = np.empty(len(points))
    for start in range(0, len(points), size):
        rows = slice(start, start + size)
        out[rows] = _log_density(points[rows], curve, noise, num_panels, num_nodes)
    return out


def _log_density(
    points: Points, curve: Curve, noise: float, num_panels: int, num_nodes: int
) -> FloatArray:
    planar = np.iscomplexobj(points)
    row, centre, half = _resolved_panels(points, curve, noise, num_panels)
    # Rows share their panels, so the curve is evaluated once on each.
    _, first, which = np.unique(centre, return_index=True, return_inverse=True)
    node, weight = np.polynomial.legendre.leggauss(num_nodes)
    latent = centre[first, np.newaxis] + half[first, np.newaxis] * node
    position = _seen(curve.position(latent), planar=planar) / noise
    level = _squared((points / noise)[row, np.newaxis] - position[which])
    level *= -0.5
    best = np.full(len(points), -np.inf)
    np.maximum.at(best, row, level.max(axis=1))
    level -= best[row, np.newaxis]
    mass = half * (np.exp(level, out=level) @ weight)
    total = np.bincount(row, weights=mass, minlength=len(points))
    scale = (1.0 if planar else 0.5) * np.log(2 * np.pi) + (2 if planar else 1) * np.log(noise)
    return best + np.log(total) - np.log(curve.high - curve.low) - scale


def _resolved_panels(
    points: Points, curve: Curve, noise: float, num_panels: int
) -> tuple[NDArray[np.intp], FloatArray, FloatArray]:
    """Row, centre and half width of each panel that matters."""
    planar = np.iscomplexobj(points)
    half = (curve.high - curve.low) / (2 * num_panels)
    first = curve.low + half * (2 * np.arange(num_panels) + 1)
    row = np.repeat(np.arange(len(points)), num_panels)
    centre = np.tile(first, len(points))
    best = np.full(len(points), -np.inf)
    kept = []
    while row.size:
        gap = (points[row] - _seen(curve.position(centre), planar=planar)) / noise
        velocity = _seen(curve.velocity(centre), planar=planar) / noise
        squared = _squared(gap)
        level = -0.5 * squared
        # Taylor's bound on the level's change, with level' = gap . c' and, anywhere on the panel,
        # abs(level'') <= abs(c')^2 + abs(gap) abs(c'').
        slope = np.abs((np.conj(gap) * velocity).real)
        farthest = np.sqrt(squared) + curve.speed / noise * half
        curvature = (curve.speed / noise) ** 2 + farthest * curve.bend / noise
        change = half * (slope + 0.5 * half * curvature)
        np.maximum.at(best, row, level)
        matters = level + change >= best[row] - _NEGLIGIBLE
        done = matters & (change <= np.maximum(_LEVEL_CHANGE, _ROUNDING * squared))
        kept.append((row[done], centre[done], np.full(done.sum(), half), (level + change)[done]))
        split = matters & ~done
        half /= 2
        row = np.repeat(row[split], 2)
        centre = (centre[split][:, np.newaxis] + half * np.array([-1.0, 1.0])).ravel()
    row, centre, halves, ceiling = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    matters = ceiling >= best[row] - _NEGLIGIBLE
    return row[matters], centre[matters], halves[matters]


@lru_cache(maxsize=64)
def conditional_entropy(curve: Curve, noise: float) -> float:
    """Entropy h(Y | X) = h(X, Y) - h(X) of a noisy curve in the plane, by quadrature, in nats."""
    latent, latent_weight = _latent_nodes(curve, 2 * noise, _MOST_IN_PLANE)
    shift, weight = _noise_nodes(noise)
    points = curve.position(latent)[:, np.newaxis, np.newaxis]
    points = points + shift[:, np.newaxis] + 1j * shift
    joint = log_density(points.ravel(), curve, noise).reshape(points.shape)
    return -float(latent_weight @ (joint @ weight @ weight)) - axis_entropy(curve, noise)


@lru_cache(maxsize=64)
def axis_entropy(curve: Curve, noise: float) -> float:
    """Entropy h(X) of a noisy curve's first coordinate, by quadrature, in nats.

    The expectation of the log density is taken over the latent variable (Gauss-Legendre panels
    whose nodes lie about one noise width apart) and over the noise (Gauss-Hermite).
    """
    latent, latent_weight = _latent_nodes(curve, noise, _MOST_ON_AXIS)
    shift, weight = _noise_nodes(noise)
    points = curve.position(latent).real[:, np.newaxis] + shift
    marginal = log_density(points.ravel(), curve, noise).reshape(points.shape)
    return -float(latent_weight @ (marginal @ weight))


def _latent_nodes(curve: Curve, spacing: float, most: int) -> tuple[FloatArray, FloatArray]:
    """Nodes, that far apart on the curve or `most` of them, and weights of a mean over t."""
    span = curve.high - curve.low
    wanted = np.clip(span * curve.speed / spacing, _FEWEST_LATENT, most)
    num_panels = int(np.ceil(wanted / _LATENT_PANEL))
    node, weight = np.polynomial.legendre.leggauss(_LATENT_PANEL)
    left = np.arange(num_panels)[:, np.newaxis]
    latent = curve.low + span / num_panels * (left + 0.5 * (node + 1.0))
    return latent.ravel(), np.tile(0.5 * weight / num_panels, num_panels)


def _noise_nodes(noise: float) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights of the mean over N(0, noise^2)."""
    node, weight = np.polynomial.hermite_e.hermegauss(_NOISE_NODES)
    return noise * node, weight / weight.sum()


def _seen(position: Points, *, planar: bool) -> Points:
    return position if planar else position.real


def _squared(gap: Points) -> FloatArray:
    # abs() would take a square root first.
    return gap.real**2 + gap.imag**2 if np.iscomplexobj(gap) else gap * gap
