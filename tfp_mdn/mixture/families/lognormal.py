"""Log-normal components: log y is normal with mean loc and standard deviation s."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture.families._family import Family, Shape, around

__all__ = ["LOGNORMAL"]

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


def standardised(y: FloatArray, loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return u = (log y − loc) / s, and -inf for a y that is not positive."""
    with np.errstate(divide="ignore", over="ignore"):
        result: FloatArray = (np.log(np.maximum(y, 0.0)) - loc) / scale
    return result


def log_density(y: FloatArray, loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return log f = −u² / 2 − log s − log y − ½ log 2π."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        log_y = np.log(np.maximum(y, 0.0))
        terms = -0.5 * np.square((log_y - loc) / scale) - log_y - np.log(scale) - HALF_LOG_TWO_PI
    return np.where(y > 0.0, terms, -np.inf)


def tails(y: FloatArray, loc: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return F and 1 − F."""
    u = standardised(y, loc, scale)
    return ndtr(u), ndtr(-u)


def log_tails(y: FloatArray, loc: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return log F and log (1 − F)."""
    u = standardised(y, loc, scale)
    return log_ndtr(u), log_ndtr(-u)


def tail_places(
    tail: FloatArray, upper: NDArray[np.bool_], loc: FloatArray, scale: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the place of a tail: exp(loc ± s Φ⁻¹(p))."""
    u = ndtri(tail)
    with np.errstate(over="ignore"):
        place = np.exp(loc + scale * np.where(upper, -u, u))
    return around(place, np.zeros_like(place), place)


def slopes(y: FloatArray, loc: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return f'/f = −(1 + v) / y and f''/f = ((1 + v) (2 + v) − 1 / s²) / y² with v = u / s."""
    v = standardised(y, loc, scale) / scale
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return -(1.0 + v) / y, ((1.0 + v) * (2.0 + v) - 1.0 / np.square(scale)) / np.square(y)


def mode(loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return exp(loc − s²)."""
    result: FloatArray = np.exp(loc - np.square(scale))
    return result


def knots(loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return where f'' and f''' are 0, from the roots of their polynomials in v s² = log y − loc.

    With σ² the square of the scale, f'' has (v + 1) (v + 2) = 1/σ², and f''' has
    x³ = (1 + 3/σ²) x for x = v + 2.
    """
    square = np.square(scale)
    bend = 0.5 * scale * np.sqrt(square + 4.0)
    turn = scale * np.sqrt(square + 3.0)
    places = [-1.5 * square - bend, -1.5 * square + bend, -2.0 * square - turn, -2.0 * square]
    with np.errstate(over="ignore"):
        return np.stack([np.exp(loc + place) for place in (*places, -2.0 * square + turn)])


def reach(level: FloatArray, side: FloatArray, loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return the place of a log density: (u + s)² = s² − 2 (loc + log s + ½ log 2π + level)."""
    square = np.square(scale) - 2.0 * (loc + np.log(scale) + HALF_LOG_TWO_PI + level)
    with np.errstate(over="ignore"):
        result: FloatArray = np.exp(loc + scale * (side * np.sqrt(np.maximum(square, 0.0)) - scale))
    return result


def moments(
    loc: FloatArray, scale: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return exp(loc + s²/2), the mean's square times exp(s²) − 1, and the shape's two."""
    square = np.square(scale)
    with np.errstate(over="ignore"):
        mean = np.exp(loc + 0.5 * square)
        excess = np.expm1(square)
        variance = np.exp(2.0 * loc + square) * excess
        skewness = (excess + 3.0) * np.sqrt(excess)
        # With e = exp(s²): e⁴ + 2e³ + 3e² − 6 = (e − 1) (e³ + 3e² + 6e + 6).
        rise = excess + 1.0
        kurtosis = excess * (((rise + 3.0) * rise + 6.0) * rise + 6.0)
    return mean, variance, skewness, kurtosis


def distance(y: FloatArray, loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return E|X − y| = y (2Φ(u) − 1) + m (1 − 2Φ(u − s)), m the mean; m − y for y ≤ 0."""
    u = standardised(y, loc, scale)
    with np.errstate(over="ignore"):
        mean = np.exp(loc + 0.5 * np.square(scale))
    result: FloatArray = y * (ndtr(u) - ndtr(-u)) + mean * (ndtr(scale - u) - ndtr(u - scale))
    return result


def draw(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Return one draw for each element."""
    loc, scale = shape
    with np.errstate(over="ignore"):
        result: FloatArray = np.exp(loc + scale * rng.standard_normal(np.shape(loc)))
    return result


def transform(shift: FloatArray, factor: FloatArray, loc: FloatArray, scale: FloatArray) -> Shape:
    """Return the shape of factor X, for a positive factor and a shift of 0."""
    return loc + np.log(factor) + shift, scale + 0.0 * factor


LOGNORMAL = Family(
    name="lognormal",
    has_df=False,
    lower_end=0.0,
    log_density=log_density,
    log_tails=log_tails,
    tails=tails,
    tail_places=tail_places,
    slopes=slopes,
    mode=mode,
    knots=knots,
    reach=reach,
    moments=moments,
    distance=distance,
    draw=draw,
    transform=transform,
)
