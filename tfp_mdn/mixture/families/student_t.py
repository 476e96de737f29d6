"""Student's t components: f(y) ∝ (1 + z²/ν)^(−(ν+1)/2) / s, z = (y − loc) / s, ν = df."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture.families._family import Family, Shape
from tfp_mdn.mixture.families._student import (
    log_density_at_centre,
    log_kernel,
    log_upper_tail,
    upper_tail,
)

__all__ = ["STUDENT_T"]

# Squares of standardised residuals beyond this would overflow; densities are 0 there.
LARGEST = 1e150


def standardised(y: FloatArray, loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return (y − loc) / scale."""
    with np.errstate(over="ignore"):
        result: FloatArray = (y - loc) / scale
    return result


def log_density(y: FloatArray, loc: FloatArray, scale: FloatArray, df: FloatArray) -> FloatArray:
    """Return log f = log f(loc) − ½ (ν + 1) log(1 + z²/ν)."""
    z = standardised(y, loc, scale)
    return log_density_at_centre(df) - np.log(scale) - log_kernel(z, df)


def tails(
    y: FloatArray, loc: FloatArray, scale: FloatArray, df: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return F and 1 − F."""
    z = standardised(y, loc, scale)
    small = upper_tail(np.abs(z), df)
    large = 1.0 - small
    right = z > 0.0
    return np.where(right, large, small), np.where(right, small, large)


def log_tails(
    y: FloatArray, loc: FloatArray, scale: FloatArray, df: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return log F and log (1 − F)."""
    z = standardised(y, loc, scale)
    small = log_upper_tail(np.abs(z), df)
    large = np.log1p(-np.exp(small))
    right = z > 0.0
    return np.where(right, large, small), np.where(right, small, large)


def tail_places(
    tail: FloatArray, upper: NDArray[np.bool_], loc: FloatArray, scale: FloatArray, df: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return bounds of the place of a tail and a guess.

    With the normal score u of the same tail, √(ν (exp(u²/ν) − 1)) ≤ |z| and, for ν > ½,
    |z| ≤ √(ν (exp(u²/(ν − ½)) − 1)). Besides 1 − F(z) ≤ f(0) ν^((ν+1)/2) z^(−ν) / ν for z > 0.

    References:
        D. L. Wallace (1959), Bounds on normal approximations to Student's and the chi-square
        distributions, The Annals of Mathematical Statistics 30, 1121-1130,
        https://doi.org/10.1214/aoms/1177706100.
    """
    side = np.where((tail <= 0.5) == upper, 1.0, -1.0)
    square = np.square(ndtri(tail))
    small = np.minimum(tail, 1.0 - tail)
    share = (8.0 * df + 3.0) / (8.0 * df + 1.0)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        near = np.sqrt(df * np.expm1(square / df))
        far = np.sqrt(df * np.expm1(square / np.where(df > 0.5, df - 0.5, 0.0)))
        power = log_density_at_centre(df) + 0.5 * (df - 1.0) * np.log(df) - np.log(small)
        far = np.fmin(far, np.exp(power / df))
        guess = np.clip(np.sqrt(df * np.expm1(square * share * share / df)), near, far)
        # Rounded as well, so they have to reach a little beyond.
        near, far = near * (1.0 - 1e-9), far * (1.0 + 1e-9)
        inner, outer = loc + side * scale * near, loc + side * scale * far
        place = loc + side * scale * guess
    return np.minimum(inner, outer), np.maximum(inner, outer), place


def slopes(
    y: FloatArray, loc: FloatArray, scale: FloatArray, df: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return f'/f = −(ν+1) z / (ν+z²) s and f''/f = (ν+1) ((ν+2) z² − ν) / ((ν+z²) s)²."""
    z = np.clip(standardised(y, loc, scale), -LARGEST, LARGEST)
    # In units of √ν, since ν and z² could overflow together.
    unit = np.sqrt(df)
    ratio = z / unit
    square = np.square(ratio)
    share = (df + 1.0) / df
    first = -share * z / ((1.0 + square) * scale)
    second = share * ((df + 2.0) * square - 1.0) / np.square((1.0 + square) * scale)
    return first, second


def mode(loc: FloatArray, scale: FloatArray, df: FloatArray) -> FloatArray:
    """Return loc."""
    return loc + 0.0 * scale


def knots(loc: FloatArray, scale: FloatArray, df: FloatArray) -> FloatArray:
    """Return where f'' is 0, z² = ν / (ν+2), and f''', z² = 3ν / (ν+2)."""
    unit = scale * np.sqrt(df / (df + 2.0))
    return np.stack([loc + z * unit for z in (-math.sqrt(3.0), -1.0, 1.0, math.sqrt(3.0))])


def reach(
    level: FloatArray, side: FloatArray, loc: FloatArray, scale: FloatArray, df: FloatArray
) -> FloatArray:
    """Return the place of a log density."""
    depth = np.maximum(log_density_at_centre(df) - np.log(scale) - level, 0.0)
    with np.errstate(over="ignore"):
        result: FloatArray = loc + side * scale * np.sqrt(
            df * np.expm1(2.0 * depth / (df + 1.0))
        ) * (1.0 + 1e-9)
    return result


def moments(
    loc: FloatArray, scale: FloatArray, df: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return loc, s² ν / (ν − 2), 0 and 6 / (ν − 4), where ν is large enough for each."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean = np.where(df > 1.0, loc, np.nan)
        finite = np.where(df > 2.0, np.square(scale) / (1.0 - 2.0 / df), np.inf)
        variance = np.where(df > 1.0, finite, np.nan)
        skewness = np.where(df > 3.0, 0.0, np.nan)
        kurtosis = np.where(df > 4.0, 6.0 / (df - 4.0), np.where(df > 2.0, np.inf, np.nan))
    return mean, variance, skewness, kurtosis


def distance(y: FloatArray, loc: FloatArray, scale: FloatArray, df: FloatArray) -> FloatArray:
    """Return E|X − y| = s (z (2F(z) − 1) + 2 f(z) (ν + z²) / (ν − 1)), for ν > 1."""
    z = np.abs(standardised(y, loc, scale))
    beyond = np.exp(log_density_at_centre(df) - log_kernel(z, df, exponent=-1.0))
    result: FloatArray = scale * (
        z * (1.0 - 2.0 * upper_tail(z, df)) + 2.0 * beyond / (1.0 - 1.0 / df)
    )
    return result


def draw(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Return one draw for each element."""
    loc, scale, df = shape
    result: FloatArray = loc + scale * rng.standard_t(df)
    return result


def transform(
    shift: FloatArray, factor: FloatArray, loc: FloatArray, scale: FloatArray, df: FloatArray
) -> Shape:
    """Return the shape of shift + factor X."""
    return shift + factor * loc, np.abs(factor) * scale, df


STUDENT_T = Family(
    name="student_t",
    has_df=True,
    lower_end=-math.inf,
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
