"""Functions of Student's t distribution with any number of degrees of freedom."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import gammaln, stdtr

from tfp_mdn._validation import FloatArray

__all__ = ["log_density_at_centre", "log_kernel", "log_upper_tail", "upper_tail"]

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)

# From here on, log Γ(x + ½) − log Γ(x) comes from its series: the difference loses digits.
MANY = 50.0
SERIES = (-1.0 / 8.0, 1.0 / 192.0, -1.0 / 640.0, 17.0 / 14336.0)

# Smaller probabilities lose their digits, so that the logarithm is computed as such. So far out the
# continued fraction needs a few terms only.
TINY = 1e-280
TERMS = 12


def log_density_at_centre(df: FloatArray) -> FloatArray:
    """Return log f(0) = log Γ((ν + 1) / 2) − log Γ(ν / 2) − ½ log πν."""
    half = 0.5 * np.asarray(df)
    inverse = 1.0 / np.maximum(half, 0.5 * MANY)
    series = np.zeros_like(half)
    for coefficient in reversed(SERIES):
        series = coefficient + series * np.square(inverse)
    few = np.minimum(half, 0.5 * MANY)
    exact = gammaln(few + 0.5) - gammaln(few) - 0.5 * np.log(2.0 * math.pi * few)
    result: FloatArray = np.where(half > 0.5 * MANY, series * inverse - HALF_LOG_TWO_PI, exact)
    return result


def log_kernel(z: FloatArray, df: FloatArray, exponent: float = 1.0) -> FloatArray:
    """Return ½ (ν + exponent) log(1 + z²/ν)."""
    with np.errstate(over="ignore", divide="ignore"):
        ratio = np.abs(z) / np.sqrt(df)
        square = np.square(ratio)
        far = 2.0 * np.log(ratio)
    result: FloatArray = 0.5 * (df + exponent) * np.where(square < 1e300, np.log1p(square), far)
    return result


def upper_tail(z: FloatArray, df: FloatArray) -> FloatArray:
    """Return P(T > z) for z ≥ 0."""
    result: FloatArray = stdtr(df, -z)
    return result


def log_upper_tail(z: FloatArray, df: FloatArray) -> FloatArray:
    """Return log P(T > z) for z ≥ 0, where P itself underflows by a continued fraction.

    References:
        A. R. Didonato, A. H. Morris (1992), Algorithm 708: significant digit computation of the
        incomplete beta function ratios, ACM Transactions on Mathematical Software 18, 360-373,
        https://doi.org/10.1145/131766.131776.
    """
    z, df = np.broadcast_arrays(z, df)
    tail = np.asarray(upper_tail(z, df))
    result = np.log(np.maximum(tail, TINY))
    far = tail < TINY
    if far.any():
        place, many = z[far], df[far]
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            log_density = log_density_at_centre(many) - log_kernel(place, many)
            value = np.log(0.5 * place) + log_density - np.log(_fraction(place, many))
        result[far] = np.where(np.isinf(place), -np.inf, value)
    return result


def _fraction(z: FloatArray, df: FloatArray) -> FloatArray:
    """Return z f(z) / 2 P(T > z), for z far out in the tail.

    It is the fraction of I_x(a, b) with a = ν/2, b = ½, x = ν / (ν + z²) and y = 1 − x.
    """
    square = np.square(z / np.sqrt(df))
    a, x, y = 0.5 * df, 1.0 / (1.0 + square), 1.0 / (1.0 + 1.0 / square)
    rise = a * y - 0.5 * x + 1.0
    value = np.ones_like(a)
    for n in range(TERMS, -1, -1):
        own = n + (a + n) / (a + 2.0 * n + 1.0) * (rise + n * (1.0 + y))
        if n:
            own += n * (0.5 - n) * x / (a + 2.0 * n - 1.0)
        m = n + 1.0
        above = (a + n) * (a + n + 0.5) * m * (0.5 - m) * np.square(x / (a + 2.0 * n + 1.0))
        value = own + above / value
    return value
