"""Normal components restricted to y ≥ 0: f(y) = φ(z) / (s Φ(loc / s)) with z = (y − loc) / s."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri, ndtri_exp

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture.families._family import Family, Shape, around
from tfp_mdn.mixture.families._half_normal import FAR, excess_ratios, hazard, log_mills

__all__ = ["TRUNCATED_NORMAL"]

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)

# Residuals are held to this, so that their squares do not overflow.
LARGEST = 1e150

# Nodes for the probability of a short stretch above 0, where differences of Φ would cancel.
NODES, WEIGHTS = np.polynomial.legendre.leggauss(10)
NODES, WEIGHTS = 0.5 + 0.5 * NODES, 0.5 * WEIGHTS

# Up to here Φ(−a) and Φ(a) are far from underflow.
LARGEST_DIRECT = 30.0

# Steps that bring the guess of a place to its last digits but few.
STEPS = 4


def standardised(
    y: FloatArray, loc: FloatArray, scale: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return t = y / s ≥ 0, a = −loc / s and z = t + a."""
    with np.errstate(over="ignore"):
        t = np.minimum(np.maximum(y, 0.0) / scale, LARGEST)
        a = np.clip(-loc / scale, -LARGEST, LARGEST)
        z = np.clip((np.maximum(y, 0.0) - loc) / scale, -LARGEST, LARGEST)
    return t, a, z


def fall(t: FloatArray, a: FloatArray, z: FloatArray) -> FloatArray:
    """Return log φ(z) / Φ(−a), without the squares of a and z where a > 0."""
    near = np.where(a > 0.0, 0.0, a)
    left = -0.5 * np.square(np.where(a > 0.0, 0.0, z)) - log_ndtr(-near)
    far = np.maximum(a, 0.0)
    with np.errstate(over="ignore"):
        right = -0.5 * t * (t + 2.0 * far) - log_mills(far)
    result: FloatArray = np.where(a > 0.0, right, left) - HALF_LOG_TWO_PI
    return result


def log_density(y: FloatArray, loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return log f, -inf for y < 0."""
    return np.where(y >= 0.0, fall(*standardised(y, loc, scale)) - np.log(scale), -np.inf)


def log_tails(y: FloatArray, loc: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return log F and log (1 − F)."""
    t, a, z = np.broadcast_arrays(*standardised(y, loc, scale))
    far = np.maximum(a, 0.0)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        beyond = log_mills(far + t) - log_mills(far) - 0.5 * t * (t + 2.0 * far)
        upper = np.where(a > 0.0, beyond, log_ndtr(-z) - log_ndtr(-np.minimum(a, 0.0)))
        upper = np.where(np.isinf(y) & (y > 0.0), -np.inf, np.minimum(upper, 0.0))
        low = np.minimum(a, 0.0)
        lower = log_ndtr(z) + np.log(-np.expm1(log_ndtr(low) - log_ndtr(z))) - log_ndtr(-low)
        lower = np.where(upper > -0.7, lower, np.log1p(-np.exp(upper)))
        lower = np.where((a > 0.0) | (lower > 0.0), np.log(-np.expm1(upper)), lower)
    short = np.nonzero(t * (1.0 + np.abs(a)) <= 1.0)
    if len(short[0]):
        # F = t ∫ f(ut) du over [0, 1].
        width, start = t[short], a[short]
        part = width * NODES[:, np.newaxis]
        terms = np.exp(-0.5 * part * (part + 2.0 * start))
        with np.errstate(divide="ignore"):
            lower[short] = np.log(WEIGHTS @ terms * width) + fall(0.0 * width, start, start)
    return np.where(y < 0.0, -np.inf, lower), np.where(y < 0.0, 0.0, upper)


def tails(y: FloatArray, loc: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return F and 1 − F, by way of their logarithms where differences of Φ would cancel."""
    t, a, z = np.broadcast_arrays(*standardised(y, loc, scale))
    total = ndtr(-a)
    with np.errstate(divide="ignore", invalid="ignore"):
        beyond = ndtr(-z)
        upper = beyond / total
        lower = np.where(a > 0.0, total - beyond, ndtr(z) - ndtr(a)) / total
    hard = (t * (1.0 + np.abs(a)) <= 1.0) | (np.abs(a) > LARGEST_DIRECT)
    if hard.any():
        parts = (part[hard] for part in np.broadcast_arrays(y, loc, scale))
        lower[hard], upper[hard] = (np.exp(part) for part in log_tails(*parts))
    return lower, upper


def tail_places(
    tail: FloatArray, upper: NDArray[np.bool_], loc: FloatArray, scale: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return a place below, a place above and the place of a tail.

    Where a > 3, Newton's steps on log (1 − F), which is concave, come down from the place where
    −t (t + 2a) / 2 alone would reach it.
    """
    tail, upper, loc, scale = np.broadcast_arrays(tail, upper, loc, scale)
    a = np.clip(-loc / scale, -LARGEST, LARGEST)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        log_upper = np.where(upper, np.log(tail), np.log1p(-tail))
        near = np.minimum(a, FAR)
        above = -ndtri_exp(log_upper + log_ndtr(-near)) - near
        mass = np.where(upper, 1.0 - tail, tail)
        below = ndtri(np.exp(log_ndtr(near)) + mass * np.exp(log_ndtr(-near))) - near
        t = np.maximum(np.where(log_upper > -0.7, below, above), 0.0)
        start = np.maximum(a, FAR)
        far = -2.0 * log_upper / (start + np.sqrt(np.square(start) - 2.0 * log_upper))
        for _ in range(STEPS):
            miss = log_mills(start + far) - log_mills(start) - 0.5 * far * (far + 2.0 * start)
            far = np.maximum(far + (miss - log_upper) / hazard(start + far), 0.0)
        place = scale * np.where(a > FAR, far, t)
    return around(np.where(log_upper == -np.inf, np.inf, place), np.zeros_like(place), scale)


def slopes(y: FloatArray, loc: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return f'/f = −z / s and f''/f = (z² − 1) / s²."""
    _, _, z = standardised(y, loc, scale)
    with np.errstate(over="ignore"):
        return -z / scale, (np.square(z) - 1.0) / np.square(scale)


def mode(loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return loc, or 0 if that is negative."""
    return np.maximum(loc + 0.0 * scale, 0.0)


def knots(loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return where f'' and f''' are 0."""
    return np.stack([loc + z * scale for z in (-math.sqrt(3.0), -1.0, 1.0, math.sqrt(3.0))])


def reach(level: FloatArray, side: FloatArray, loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return the place of a log density."""
    _, a, _ = standardised(np.zeros_like(loc), loc, scale)
    zero = np.zeros_like(a)
    # With a > 0 it falls from 0 on as −t (t + 2a) / 2, and otherwise from loc on as −z² / 2.
    far = np.maximum(a, 0.0)
    top = fall(zero, a, np.where(a > 0.0, a, zero)) - np.log(scale)
    depth = 2.0 * np.maximum(top - level, 0.0)
    gap = depth / (far + np.sqrt(np.square(far) + depth) + np.finfo(np.float64).tiny)
    return np.maximum(loc, 0.0) + side * scale * gap * (1.0 + 1e-9)


def moments(
    loc: FloatArray, scale: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return mean, variance, skewness and excess kurtosis.

    For a ≤ 3 they follow from the hazard h = φ(a) / Φ(−a), E[Z] = h and E[Z²] = 1 + ah among
    others; for a > 3 from the ratios of moments of y / s.
    """
    _, a, _ = standardised(np.zeros_like(loc), loc, scale)
    # φ(-40) is 0 already.
    near = np.clip(a, -40.0, FAR)
    h = hazard(near)
    gap = h - near
    second = 1.0 - h * gap
    third = h * (gap * (h + gap) - 1.0)
    fourth = 3.0 + h * (
        near * (3.0 + near**2) - h * (2.0 + 4.0 * near**2 - h * (6.0 * near - 3.0 * h))
    )
    mean = loc + scale * h
    beyond = a > FAR
    if beyond.any():
        ratios = excess_ratios(np.maximum(a, FAR), 4)
        m1, m2, m3, m4 = np.cumprod(ratios, axis=0)
        mean = np.where(beyond, scale * m1, mean)
        second = np.where(beyond, m1 * (ratios[1] - m1), second)
        third = np.where(beyond, m3 - 3.0 * m1 * m2 + 2.0 * m1**3, third)
        inner = m4 - 4.0 * m1 * m3 + 6.0 * m1**2 * m2 - 3.0 * m1**4
        fourth = np.where(beyond, inner, fourth)
    with np.errstate(over="ignore", under="ignore"):
        variance = np.square(scale) * second
    return mean, variance, third / second**1.5, fourth / second**2 - 3.0


def distance(y: FloatArray, loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return E|X − y| = y − m + 2 ∫ (1 − F) above y, and m − y for y ≤ 0, with m the mean."""
    y, loc, scale = np.broadcast_arrays(y, loc, scale)
    mean = moments(loc, scale)[0]
    _, _, z = standardised(y, loc, scale)
    near = np.minimum(z, FAR)
    excess = np.where(z > FAR, excess_ratios(np.maximum(z, FAR), 1)[0], hazard(near) - near)
    beyond = np.exp(log_tails(y, loc, scale)[1]) * excess * scale
    return np.where(y > 0.0, (y - mean) + 2.0 * beyond, mean - y)


def draw(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Return one draw for each element, by inversion of the upper tail."""
    loc, scale = shape
    uniform = 1.0 - rng.random(np.shape(loc))
    return tail_places(uniform, np.ones(np.shape(loc), dtype=np.bool_), loc, scale)[2]


def transform(shift: FloatArray, factor: FloatArray, loc: FloatArray, scale: FloatArray) -> Shape:
    """Return the shape of factor X, for a positive factor and a shift of 0."""
    return factor * loc + shift, factor * scale


TRUNCATED_NORMAL = Family(
    name="truncated_normal",
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
