"""Logistic components: f(y) = sech²(z / 2) / 4s with z = (y − loc) / s."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture.families._family import Family, Shape, around

__all__ = ["LOGISTIC"]

# Where f'' is 0: F (1 − F) = 1/6; and f''': F (1 − F) = 1/12.
INFLECTION, TURN = math.log(2.0 + math.sqrt(3.0)), math.log(5.0 + 2.0 * math.sqrt(6.0))


def standardised(y: FloatArray, loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return (y − loc) / scale."""
    with np.errstate(over="ignore"):
        result: FloatArray = (y - loc) / scale
    return result


def log_density(y: FloatArray, loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return log f = −|z| − 2 log(1 + exp(−|z|)) − log s."""
    size = np.abs(standardised(y, loc, scale))
    result: FloatArray = 2.0 * log_expit(size) - size - np.log(scale)
    return result


def tails(y: FloatArray, loc: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return F and 1 − F."""
    z = standardised(y, loc, scale)
    return expit(z), expit(-z)


def log_tails(y: FloatArray, loc: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return log F and log (1 − F)."""
    z = standardised(y, loc, scale)
    return log_expit(z), log_expit(-z)


def tail_places(
    tail: FloatArray, upper: NDArray[np.bool_], loc: FloatArray, scale: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the place of a tail: loc ± s log(p / (1 − p))."""
    with np.errstate(divide="ignore"):
        z = np.log(tail) - np.log1p(-tail)
    return around(loc + scale * np.where(upper, -z, z), loc, scale)


def slopes(y: FloatArray, loc: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return f'/f = −tanh(z / 2) / s and f''/f = (1 − 6 F (1 − F)) / s²."""
    z = standardised(y, loc, scale)
    first = -np.tanh(0.5 * z) / scale
    return first, (1.0 - 6.0 * expit(z) * expit(-z)) / np.square(scale)


def mode(loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return loc."""
    return loc + 0.0 * scale


def knots(loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return where f'' and f''' are 0."""
    return np.stack([loc + z * scale for z in (-TURN, -INFLECTION, INFLECTION, TURN)])


def reach(level: FloatArray, side: FloatArray, loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return a place of less log density: since log f < −|z| − log s."""
    return loc + side * scale * np.maximum(-np.log(scale) - level, 0.0)


def moments(
    loc: FloatArray, scale: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return loc, π² s² / 3, 0 and 6/5."""
    with np.errstate(over="ignore"):
        variance = np.square(scale) * (math.pi**2 / 3.0)
    zero = np.zeros_like(variance)
    return loc + zero, variance, zero, zero + 1.2


def distance(y: FloatArray, loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return E|X − y| = s (|z| + 2 log(1 + exp(−|z|)))."""
    size = np.abs(standardised(y, loc, scale))
    result: FloatArray = scale * (size - 2.0 * log_expit(size))
    return result


def draw(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Return one draw for each element."""
    loc, scale = shape
    result: FloatArray = loc + scale * rng.logistic(size=np.shape(loc))
    return result


def transform(shift: FloatArray, factor: FloatArray, loc: FloatArray, scale: FloatArray) -> Shape:
    """Return the shape of shift + factor X."""
    return shift + factor * loc, np.abs(factor) * scale


LOGISTIC = Family(
    name="logistic",
    has_df=False,
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
