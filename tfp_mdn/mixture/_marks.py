"""Places at which the sign of the slope of a density is known, and the brackets between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray

__all__ = ["Brackets", "Marks", "brackets", "marks_at_ends", "marks_inside"]


@dataclass(frozen=True)
class Marks:
    """Signs of p' at places, in any order.

    Args:
        rows: Rows (C,).
        places: Places (C,), in the target's units.
        signs: Signs (C,) of p' there, 1 or -1, or 0 for both ends of a cell on which p' cannot be
            told from its rounding.
        begins: Whether each is the lower end of a cell (C,); at one place it comes after the upper
            end of another.
    """

    rows: NDArray[np.intp]
    places: FloatArray
    signs: NDArray[np.int8]
    begins: NDArray[np.bool_]

    @classmethod
    def join(cls, parts: Sequence[Marks]) -> Marks:
        """Return the marks of at least one part together."""
        return cls(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.places for part in parts]),
            np.concatenate([part.signs for part in parts]),
            np.concatenate([part.begins for part in parts]),
        )

    def known(self) -> Marks:
        """Return the marks whose sign is not 0."""
        chosen = self.signs != 0
        return Marks(
            self.rows[chosen], self.places[chosen], self.signs[chosen], self.begins[chosen]
        )


@dataclass(frozen=True)
class Brackets:
    """Intervals with one critical point each, row by row and ascending.

    Args:
        rows: Rows (C,).
        lower: Lower ends (C,).
        upper: Upper ends (C,), equal to the lower ones where the critical point is known.
        rises: Whether p' is positive below and negative above (C,): a mode.
    """

    rows: NDArray[np.intp]
    lower: FloatArray
    upper: FloatArray
    rises: NDArray[np.bool_]


def marks_at_ends(
    rows: NDArray[np.intp],
    lower: FloatArray,
    upper: FloatArray,
    first: NDArray[np.int8],
    last: NDArray[np.int8],
) -> Marks:
    """Return the marks of cells (C,) on which p' changes its sign at most once, or is flat."""
    begins = np.repeat([True, False], len(rows))
    return Marks(
        np.tile(rows, 2), np.concatenate([lower, upper]), np.concatenate([first, last]), begins
    )


def marks_inside(
    rows: NDArray[np.intp], lower: FloatArray, upper: FloatArray, signs: NDArray[np.int8]
) -> Marks:
    """Return the marks of cells (C,) on which p' has one sign, in their middles."""
    return Marks(rows, 0.5 * lower + 0.5 * upper, signs, np.ones(len(rows), dtype=np.bool_))


def brackets(marks: Marks, first: FloatArray, last: FloatArray) -> Brackets:
    """Return the intervals between marks of unlike sign.

    Where p' is flat between them, up to rounding, the middle of the flat stretch is taken for the
    critical point.

    Args:
        marks: The marks of B rows.
        first: Places (B,) below which p' is positive.
        last: Places (B,) above which p' is negative.
    """
    num_rows = len(first)
    every = np.arange(num_rows)
    outer = np.full(num_rows, np.inf)
    sign = np.ones(num_rows, dtype=np.int8)
    marks = Marks.join([marks, marks_at_ends(every, -outer, outer, sign, -sign)])
    order = np.lexsort((marks.begins, marks.places, marks.rows))
    rows, places, signs = marks.rows[order], marks.places[order], marks.signs[order]
    places = np.clip(places, first[rows], last[rows])
    known = np.flatnonzero(signs)
    # Each row begins with a positive mark and ends with a negative one, so that a change of sign
    # between rows is always one from - to +.
    change = np.flatnonzero((signs[known[:-1]] != signs[known[1:]]) & (np.diff(rows[known]) == 0))
    before, after = known[change], known[change + 1]
    lower, upper = places[before], places[after]
    # All marks between two neighbours among those known are flat ones.
    flat = after - before > 1
    middle = 0.5 * places[before[flat] + 1] + 0.5 * places[after[flat] - 1]
    lower[flat] = upper[flat] = middle
    return Brackets(rows[before], lower, upper, signs[before] > 0)
