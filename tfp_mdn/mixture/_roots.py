"""A safeguarded root finder for many increasing functions of one variable at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tfp_mdn._validation import FloatArray

__all__ = ["Evaluate", "find_roots"]

Evaluate = Callable[
    [FloatArray, NDArray[np.intp]], tuple[FloatArray, FloatArray, NDArray[np.bool_]]
]

# Halving an interval that spans many orders of magnitude takes up to 2000 steps of arithmetic
# bisection. From this step on, each second one halves the number of float64 values instead, of
# which there are 2^64, so that the search ends within 30 + 2 * 64 steps.
FIRST_REPRESENTATION_STEP = 30
LARGEST_NUMBER_OF_STEPS = 200


def find_roots(
    evaluate: Evaluate, lower: FloatArray, upper: FloatArray, start: FloatArray
) -> FloatArray:
    """Return where each of R increasing functions is 0, inside its own bracket.

    A proposed step (Newton's or Halley's) is taken where it stays inside the bracket and the last
    one at least halved the residual; elsewhere the bracket is halved. Functions that are done are
    no longer evaluated.

    Args:
        evaluate: Takes places (A,) and the indices (A,) of the functions to be evaluated there,
            and returns their values, the proposed steps (NaN for none), and whether the root is
            found as soon as the step is taken, each (A,).
        lower: Lower ends of the brackets (R,), where no function is positive.
        upper: Upper ends of the brackets (R,), where no function is negative.
        start: First places (R,), brought into the brackets if they lie outside.

    Returns:
        Array (R,): places at which `evaluate` calls the root found, or from which one more step
        leads no further than to the next float64 number.
    """
    roots = np.clip(start, lower, upper)
    active = np.arange(len(roots))
    places, low, high = roots.copy(), lower.copy(), upper.copy()
    last = np.full(len(roots), np.inf)
    open_ = low < high
    if not open_.all():
        active, places, low, high, last = (
            array[open_] for array in (active, places, low, high, last)
        )
    for number in range(LARGEST_NUMBER_OF_STEPS):
        if not len(active):
            break
        values, steps, done = evaluate(places, active)
        low = np.where(values <= 0.0, places, low)
        high = np.where(values >= 0.0, places, high)
        size = np.abs(values)
        with np.errstate(invalid="ignore"):
            proposed = places + steps
            # A step too small to leave the place is rounded up: the neighbour's sign closes the
            # bracket, whereas the step alone may be wrong about a function that jumps.
            neighbours = np.nextafter(places, np.where(values > 0.0, -np.inf, np.inf))
            proposed = np.where(proposed == places, neighbours, proposed)
            take = (size <= 0.5 * last) & (proposed > low) & (proposed < high)
        if number >= FIRST_REPRESENTATION_STEP and number % 2:
            middle = _middle_number(low, high)
            take[:] = False
        else:
            middle = 0.5 * low + 0.5 * high
        following = np.where(take, proposed, middle)
        # A bracket whose ends are neighbours has no number between them.
        done |= (following <= low) | (following >= high)
        # A step forced by the guard does not have to halve the residual.
        last = np.where(take, size, np.inf)
        if done.any():
            last_steps = np.where(np.isfinite(steps[done]), steps[done], 0.0)
            roots[active[done]] = np.clip(places[done] + last_steps, low[done], high[done])
            left = ~done
            active, following, low, high, last = (
                array[left] for array in (active, following, low, high, last)
            )
        places = following
    roots[active] = places
    return roots


def _middle_number(low: FloatArray, high: FloatArray) -> FloatArray:
    """Return the number with as many float64 values between it and `low` as `high`."""
    first, second = _ordinals(low), _ordinals(high)
    # The halves are added, since the sum of both could exceed an integer's range.
    ordinal = (first >> 1) + (second >> 1) + (first & second & 1)
    bits = np.where(ordinal < 0, np.iinfo(np.int64).min - ordinal, ordinal)
    return bits.view(np.float64)


def _ordinals(values: FloatArray) -> NDArray[np.int64]:
    """Return integers in the order of the numbers, with neighbours one apart."""
    bits = np.ascontiguousarray(values).view(np.int64)
    return np.where(bits < 0, np.iinfo(np.int64).min - bits, bits)
