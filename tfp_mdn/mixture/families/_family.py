"""What a kind of component has to answer: one record of bare functions for each family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfp_mdn._validation import FloatArray

__all__ = ["Family", "Shape", "around"]

# Locations, scales and, for Student's t, degrees of freedom: what the functions take after places.
Shape = tuple[FloatArray, ...]


@dataclass(frozen=True)
class Family:
    """The functions of one distribution in one dimension, all element by element.

    "Shape" below stands for its parameters: loc and scale, and df where `has_df`. Places and
    parameters broadcast against each other. Places may be infinite where it is said.

    Attributes:
        name: Name of the family.
        has_df: Whether there are degrees of freedom among the parameters.
        lower_end: Where the support begins.
        log_density: log f of places and shape, -inf outside of the support.
        log_tails: log F and log (1 − F) of places (infinite ones too) and shape, each right in its
            own tail.
        tails: F and 1 − F likewise.
        tail_places: Where a tail begins: of probabilities, whether they are upper tails, and shape,
            a place below it, a place above it, and a guess in between.
        slopes: f'/f and f''/f of places inside the support and shape.
        mode: Where the density is highest, of the shape.
        knots: Places (J, ...) at which f' or f'' turn, besides the mode, of the shape; in any
            order, outside of the support too.
        reach: Of a log density, a side (-1 or 1) and the shape: a place on that side of the mode
            beyond which the log density is lower.
        moments: Means, variances, skewness and excess kurtosis of the shape; NaN or inf where there
            are none.
        distance: E|X − y| of places and shape.
        draw: Of a generator and a shape: one draw for each element.
        transform: Of loc, scale and the shape: the shape of loc + scale X.
    """

    name: str
    has_df: bool
    lower_end: float
    log_density: Callable[..., FloatArray]
    log_tails: Callable[..., tuple[FloatArray, FloatArray]]
    tails: Callable[..., tuple[FloatArray, FloatArray]]
    tail_places: Callable[..., tuple[FloatArray, FloatArray, FloatArray]]
    slopes: Callable[..., tuple[FloatArray, FloatArray]]
    mode: Callable[..., FloatArray]
    knots: Callable[..., FloatArray]
    reach: Callable[..., FloatArray]
    moments: Callable[..., tuple[FloatArray, FloatArray, FloatArray, FloatArray]]
    distance: Callable[..., FloatArray]
    draw: Callable[[np.random.Generator, Shape], FloatArray]
    transform: Callable[..., Shape]


# Formulas for the place of a tail are right to this share of their distance from loc, or better.
SLACK = 1e-6


def around(
    place: FloatArray, centre: FloatArray, scale: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return a place below, a place above and the place itself, for formulas that are exact.

    Args:
        place: The place, but for its rounding.
        centre: What it was computed as a distance from.
        scale: Scale of the component.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        gap = SLACK * (np.abs(place - centre) + scale)
        low, high = place - gap, place + gap
    return np.minimum(low, place), np.maximum(high, place), place
