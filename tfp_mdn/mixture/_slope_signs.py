"""Kernel that finds the sign of the slope of mixtures in one dimension everywhere, without a grid.

The slope of the density is a difference of two sums of positive terms: p' = R − L, where the
components with means to the right of y make up R and those to the left L. The means and the places
one and √3 standard deviations from them cut the line into cells on which each term of p', and each
of p'', is monotone, so that its values at the ends of a cell are its bounds inside. A cell where
the bounds fix the sign of p' has no critical point; one where they fix the sign of p'' has one at
most, and none unless p' changes its sign. On any other cell p' is close to a polynomial, or the
cell is halved. All of it is done with logarithms, since in a gap between distant components each
term would underflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfp_mdn.mixture._marks import Brackets, Marks, brackets, marks_at_ends, marks_inside
from tfp_mdn.mixture._slope_polynomials import LARGEST_RESIDUAL, ROUNDING, SlopePolynomials

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray

__all__ = ["isolate", "log_sums", "one_sign"]

# A bound must win by more than the rounding of its sum, so that it agrees with the sums at the
# ends of the cell.
MARGIN = 1e-12


def isolate(weights: FloatArray, means: FloatArray, scales: FloatArray) -> Brackets:
    """Return brackets with one critical point each, modes and antimodes in turn.

    Args:
        weights: Component weights (K, B).
        means: Component means (K, B).
        scales: Component standard deviations (K, B).
    """
    first, last = means.min(axis=0), means.max(axis=0)
    offsets = np.array([-np.sqrt(3.0), -1.0, 0.0, 1.0, np.sqrt(3.0)]).reshape(-1, 1, 1)
    knots = np.clip(means + offsets * scales, first, last)
    knots = np.sort(knots.reshape(-1, means.shape[1]), axis=0)
    signs = _signs(knots, weights, means, scales)
    found = [_decided(knots, signs)]
    place, rows = np.nonzero((signs == 0) & (knots[:-1] < knots[1:]))
    lower, upper = knots[place, rows], knots[place + 1, rows]
    while len(rows):
        arrays = [array.take(rows, axis=1) for array in (weights, means, scales)]
        cells = _Cells(lower, upper, *arrays)
        sign = cells.slope_signs()
        known = sign != 0
        found.append(marks_inside(rows[known], lower[known], upper[known], sign[known]))
        rows, lower, upper, cells = rows[~known], lower[~known], upper[~known], cells[~known]
        middle = 0.5 * lower + 0.5 * upper
        final = cells.bends_one_way() | (middle <= lower) | (middle >= upper)
        ends = cells[final].signs_at_ends()
        found.append(marks_at_ends(rows[final], lower[final], upper[final], *ends).known())
        rows, lower, upper = rows[~final], lower[~final], upper[~final]
        arrays = [array.take(rows, axis=1) for array in (weights, means, scales)]
        polynomials = SlopePolynomials(lower, upper, *arrays)
        short = polynomials.fit()
        found.append(polynomials.signs(short, rows))
        rows, middle = np.tile(rows[~short], 2), polynomials.middle[~short]
        lower, upper = (
            np.concatenate([lower[~short], middle]),
            np.concatenate([middle, upper[~short]]),
        )
    return brackets(Marks.join(found), first, last)


def _decided(knots: FloatArray, signs: NDArray[np.int8]) -> Marks:
    """Return marks in those cells between knots (J, B) next to which the sign (J - 1, B) differs.

    The others would add nothing to them.
    """
    differs = signs[1:] != signs[:-1]
    chosen = np.zeros(signs.shape, dtype=np.bool_)
    chosen[1:] = differs
    chosen[:-1] |= differs
    place, rows = np.nonzero(chosen & (signs != 0))
    return marks_inside(rows, knots[place, rows], knots[place + 1, rows], signs[place, rows])


def _signs(
    knots: FloatArray, weights: FloatArray, means: FloatArray, scales: FloatArray
) -> NDArray[np.int8]:
    """Return the sign of p' in each cell between knots (J, B), 0 where it is open, (J - 1, B).

    The first look at all cells, without the logarithms that make the second one slow: where the
    density underflows, both bounds are 0 and the cell is left for that.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        residuals = (knots - means[:, np.newaxis, :]) / scales[:, np.newaxis, :]
        peaks = weights / scales
        peaks /= peaks.max(axis=0) * scales
        terms = np.square(residuals)
        terms *= -0.5
        np.exp(terms, out=terms)
        terms *= peaks[:, np.newaxis, :]
        terms *= residuals
        np.abs(terms, out=terms)
        is_right = residuals[:, :-1] + residuals[:, 1:] < 0.0
        least = np.minimum(terms[:, :-1], terms[:, 1:])
        most = np.maximum(terms[:, :-1], terms[:, 1:])
        least_rise = np.einsum("kjb,kjb->jb", least, is_right)
        most_rise = np.einsum("kjb,kjb->jb", most, is_right)
        least_fall = least.sum(axis=0) - least_rise
        most_fall = most.sum(axis=0) - most_rise
        # Differences of sums are rounded on the scale of the sums.
        slack = MARGIN * (most_rise + most_fall)
        rises, falls = least_rise > most_fall + slack, least_fall > most_rise + slack
    return rises.astype(np.int8) - falls.astype(np.int8)


class _Cells:
    """Intervals on which every term of p' and of p'' is monotone."""

    def __init__(
        self,
        lower: FloatArray,
        upper: FloatArray,
        weights: FloatArray,
        means: FloatArray,
        scales: FloatArray,
    ) -> None:
        """Take the ends (C,) and the parameters (K, C) of their rows."""
        with np.errstate(over="ignore", divide="ignore"):
            self.scales = scales
            self.residuals = np.stack([(end - means) / scales for end in (lower, upper)])
            np.clip(self.residuals, -LARGEST_RESIDUAL, LARGEST_RESIDUAL, out=self.residuals)
            self.terms = np.log(weights / scales) - 0.5 * np.square(self.residuals)
            self.slopes = self.terms + np.log(np.abs(self.residuals)) - np.log(scales)
        # The middle decides on which side a component lies, whatever rounding does to the ends.
        self.is_right = self.residuals[0] + self.residuals[1] < 0.0

    def __getitem__(self, chosen: NDArray[np.bool_]) -> _Cells:
        """Return some of the cells."""
        cells = object.__new__(_Cells)
        for name, array in vars(self).items():
            setattr(cells, name, array[..., chosen])
        return cells

    def slope_signs(self) -> NDArray[np.int8]:
        """Return the sign that the bounds leave p', 0 where they leave both."""
        return one_sign(self.slopes, self.is_right)

    def bends_one_way(self) -> NDArray[np.bool_]:
        """Return whether the bounds leave p'' no sign but one."""
        squares = np.square(self.residuals)
        with np.errstate(divide="ignore"):
            bends = self.terms + np.log(np.abs(squares - 1.0)) - 2.0 * np.log(self.scales)
        return one_sign(bends, squares[0] + squares[1] > 2.0) != 0

    def signs_at_ends(self) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """Return the signs of p' at the lower and at the upper ends, 0 up to rounding."""
        first, last = (self._signs_at(slopes) for slopes in self.slopes)
        return first, last

    def _signs_at(self, slopes: FloatArray) -> NDArray[np.int8]:
        """Return the signs (C,) of sums of terms with logarithms (K, C)."""
        rise, fall = log_sums(slopes, self.is_right)
        with np.errstate(invalid="ignore"):
            slack = ROUNDING * (1.0 + np.abs(np.maximum(rise, fall)))
            return (rise > fall + slack).astype(np.int8) - (fall > rise + slack).astype(np.int8)


def one_sign(logs: FloatArray, positive: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Return the sign in a cell of sums of terms with logarithms (2, K, C) at its ends, or 0."""
    least_above, least_below = log_sums(logs.min(axis=0), positive)
    most_above, most_below = log_sums(logs.max(axis=0), positive)
    above, below = least_above > most_below + MARGIN, least_below > most_above + MARGIN
    return above.astype(np.int8) - below.astype(np.int8)


def log_sums(logs: FloatArray, positive: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Return the logarithms of the sums (C,) of positive and of negative terms (K, C) over K."""
    above = np.where(positive, logs, -np.inf).max(axis=0)
    below = np.where(positive, -np.inf, logs).max(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.exp(logs - np.where(positive, above, below))
        # Without a finite term there is nothing to add up, and -inf - (-inf) was not a number.
        terms[np.isnan(terms)] = 0.0
        above += np.log(np.where(positive, terms, 0.0).sum(axis=0))
        below += np.log(np.where(positive, 0.0, terms).sum(axis=0))
    return above, below
