"""Kernel that finds the sign of the slope of mixtures of any family, cell by cell.

As for normal components (`_slope_signs`), knots cut the line into cells on which each component's
f' and f'' are monotone, so that their values at the ends of a cell bound p' and p'' inside. A cell
where these bounds fix the sign of p' has no critical point; one where they fix that of p'' has one
at most. Other cells are halved, until they are narrow beside every component near by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfp_mdn.mixture._marks import Brackets, Marks, brackets, marks_at_ends, marks_inside
from tfp_mdn.mixture._slope_polynomials import ROUNDING
from tfp_mdn.mixture._slope_signs import log_sums, one_sign

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray
    from tfp_mdn.mixture.families import Family, Shape

__all__ = ["isolate"]

# A cell is not halved any more below this share of the local scale of each component, which far
# from its mode is a share of the distance.
FINEST, FAR = 1.0 / 64.0, 1.0 / 32.0


def isolate(family: Family, weights: FloatArray, shape: Shape) -> Brackets:
    """Return brackets with one critical point each, modes and antimodes in turn.

    Args:
        family: The kind of components.
        weights: Component weights (K, B).
        shape: Its parameters (K, B) each.
    """
    modes, turns = family.mode(*shape), family.knots(*shape)
    first, last = modes.min(axis=0), modes.max(axis=0)
    units = _units(modes, turns)
    knots = np.concatenate([modes[np.newaxis], turns]).reshape(-1, modes.shape[1])
    knots = np.sort(np.clip(knots, first, last), axis=0)
    place, rows = np.nonzero(knots[:-1] < knots[1:])
    lower, upper = knots[place, rows], knots[place + 1, rows]
    cells = _Cells(family, weights, shape, modes)
    found = [cells.marks_where_it_begins(first)]
    while len(rows):
        slopes, bends, positive, convex = cells.bounds(lower, upper, rows)
        sign = one_sign(slopes, positive)
        known = sign != 0
        found.append(marks_inside(rows[known], lower[known], upper[known], sign[known]))
        open_ = ~known
        rows, lower, upper = rows[open_], lower[open_], upper[open_]
        slopes, bends = slopes[..., open_], bends[..., open_]
        positive, convex = positive[:, open_], convex[:, open_]
        middle = 0.5 * lower + 0.5 * upper
        local = np.maximum(units[:, rows], FAR * np.abs(middle - modes[:, rows])).min(axis=0)
        final = (one_sign(bends, convex) != 0) | (upper - lower <= FINEST * local)
        final |= (middle <= lower) | (middle >= upper)
        ends = [_sign(slopes[end][:, final], positive[:, final]) for end in (0, 1)]
        found.append(marks_at_ends(rows[final], lower[final], upper[final], *ends).known())
        rows, middle = np.tile(rows[~final], 2), middle[~final]
        lower, upper = (
            np.concatenate([lower[~final], middle]),
            np.concatenate([middle, upper[~final]]),
        )
    return brackets(Marks.join(found), first, last)


class _Cells:
    """Bounds of p' and p'' on cells of a block of mixtures."""

    def __init__(
        self, family: Family, weights: FloatArray, shape: Shape, modes: FloatArray
    ) -> None:
        """Take the kind of components, and parameters and modes (K, B)."""
        with np.errstate(divide="ignore"):
            self.log_weights = np.log(weights)
        self.family, self.shape, self.modes = family, shape, modes

    def bounds(
        self, lower: FloatArray, upper: FloatArray, rows: NDArray[np.intp]
    ) -> tuple[FloatArray, FloatArray, NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the logarithms of |wₖ f'| and |wₖ f''| at both ends (2, K, C), and their signs."""
        shape = tuple(part[:, rows] for part in self.shape)
        ends = np.stack([lower, upper])[:, np.newaxis]
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            terms = self.log_weights[:, rows] + self.family.log_density(ends, *shape)
            slope, bend = self.family.slopes(ends, *shape)
            slopes, bends = terms + np.log(np.abs(slope)), terms + np.log(np.abs(bend))
        # The end with the larger value decides on the sign: the other one can be 0.
        convex = np.where(bends[0] > bends[1], bend[0], bend[1]) > 0.0
        return slopes, bends, 0.5 * lower + 0.5 * upper < self.modes[:, rows], convex

    def marks_where_it_begins(self, first: FloatArray) -> Marks:
        """Return marks at the end of the support, for rows with a component that falls from it."""
        rows = np.flatnonzero(first == self.family.lower_end)
        places = first[rows]
        # With no other mode at or below the end, nothing rises there but components inside.
        slopes, _, positive, _ = self.bounds(places, places, rows)
        return Marks(
            rows, places, _sign(slopes[0], positive), np.zeros(len(rows), dtype=np.bool_)
        ).known()


def _units(modes: FloatArray, turns: FloatArray) -> FloatArray:
    """Return the scale (K, B) on which each component's slope changes near its mode."""
    low, high = turns.min(axis=0), turns.max(axis=0)
    nearer = np.minimum(modes - low, high - modes)
    result: FloatArray = np.where(nearer > 0.0, nearer, 0.5 * (high - low)) / np.sqrt(3.0)
    return result


def _sign(slopes: FloatArray, positive: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Return the signs (C,) of sums of terms with logarithms (K, C), 0 up to rounding."""
    rise, fall = log_sums(slopes, positive)
    with np.errstate(invalid="ignore"):
        slack = ROUNDING * (1.0 + np.abs(np.maximum(rise, fall)))
        return (rise > fall + slack).astype(np.int8) - (fall > rise + slack).astype(np.int8)
