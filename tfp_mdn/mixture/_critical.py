"""Kernel that finds all critical points of mixtures in one dimension, without a grid to miss one.

The slope of the density is a difference of two sums of positive terms: p' = R − L, where the
components with means to the right of y make up R and those to the left L. The means and the places
one and √3 standard deviations from them cut the line into cells on which each term of p', and each
of p'', is monotone, so that its values at the ends of a cell are its bounds inside. A cell where
the bounds fix the sign of p' has no critical point; one where they fix the sign of p'' has one at
most, and none unless p' changes its sign; any other cell is halved. All of it is done with
logarithms, since in a gap between distant components each term would underflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfp_mdn.mixture._roots import find_roots
from tfp_mdn.mixture.density import HALF_LOG_TWO_PI, resolved_components

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray

__all__ = ["CriticalPoints", "critical_points", "log_density_and_score"]

# Two critical points this close, in local standard deviations, differ in density by less than its
# rounding; without the bound, cells around a flat top would be halved by the million.
SMALLEST_CELL = 1e-6

# Terms smaller than the largest by exp(-40) < 2^-57 do not count in a sum of float64 numbers.
NEGLIGIBLE = 40.0

# A bound must win by more than the rounding of its sum, so that it agrees with the sums at the
# ends of the cell.
MARGIN = 1e-12

# Standardised residuals are held to this, so that their squares remain finite.
LARGEST_RESIDUAL = 1e100

# A dip in log p is rounding unless it is deeper than this, times 8 + |log p|.
SMALLEST_DIP = 4.0 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class CriticalPoints:
    """Modes and antimodes of B mixtures, in turn and ascending, one after another row by row.

    Args:
        rows: Row of each point (C,), ascending.
        places: The points (C,), in the target's units.
        log_density: log p at each (C,).
        is_mode: Whether each is a mode (C,); the first and the last one of a row always are.
    """

    rows: NDArray[np.intp]
    places: FloatArray
    log_density: FloatArray
    is_mode: NDArray[np.bool_]


def critical_points(
    weights: FloatArray, means: FloatArray, variances: FloatArray
) -> CriticalPoints:
    """Return all critical points of mixtures in one dimension.

    All of them lie between the outermost means, where p' is positive on the left end and negative
    on the right one; modes and antimodes alternate.

    Args:
        weights: Component weights (B, K).
        means: Component means (B, K, 1).
        variances: Component variances (B, K, 1).
    """
    arrays = resolved_components(weights, means, variances)
    rows, lower, upper, rises = _isolate(*arrays)
    gathered = tuple(array.take(rows, axis=1) for array in arrays)
    direction = np.where(rises, -1.0, 1.0)

    def score(
        places: FloatArray, active: NDArray[np.intp]
    ) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        """Return ±p'/p, Newton's step and whether it is 0 up to its rounding."""
        _, value, slope, size = log_density_and_score(
            places, *(array.take(active, axis=1) for array in gathered)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            step = -value / slope
        done = np.abs(value) <= np.finfo(np.float64).eps * size
        step[done] = 0.0
        return direction[active] * value, step, done

    places = find_roots(score, lower, upper, 0.5 * lower + 0.5 * upper)
    # Where all means agree there is no cell to search, and the mean is the mode.
    empty = np.setdiff1d(np.arange(len(weights)), rows)
    rows = np.concatenate([rows, empty])
    places = np.concatenate([places, arrays[1][0, empty]])
    is_mode = np.concatenate([rises, np.ones(len(empty), dtype=np.bool_)])
    order = np.lexsort((places, rows))
    rows, places, is_mode = rows[order], places[order], is_mode[order]
    heights = log_density_and_score(places, *(array.take(rows, axis=1) for array in arrays))[0]
    return _without_shallow_dips(CriticalPoints(rows, places, heights, is_mode))


def log_density_and_score(
    places: FloatArray, weights: FloatArray, means: FloatArray, scales: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return log p, its first two derivatives, and the sum of sizes that the first is made of.

    Args:
        places: Places (C,), one for each column of the parameters.
        weights: Component weights (K, C).
        means: Component means (K, C).
        scales: Component standard deviations (K, C).
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        residuals = (places - means) / scales
        np.clip(residuals, -LARGEST_RESIDUAL, LARGEST_RESIDUAL, out=residuals)
        terms = np.log(weights / scales) - 0.5 * np.square(residuals)
        peak = terms.max(axis=0)
        shares = np.exp(terms - peak)
        total = shares.sum(axis=0)
        shares /= total
        pulls = residuals / scales
        first = -np.einsum("kc,kc->c", shares, pulls)
        second = np.einsum("kc,kc,kc->c", shares, pulls, pulls)
        second -= np.einsum("kc,kc->c", shares, np.square(1.0 / scales)) + np.square(first)
        size = np.einsum("kc,kc->c", shares, np.abs(pulls))
    return peak + np.log(total) - HALF_LOG_TWO_PI, first, second, size


def _isolate(
    weights: FloatArray, means: FloatArray, scales: FloatArray
) -> tuple[NDArray[np.intp], FloatArray, FloatArray, NDArray[np.bool_]]:
    """Return row, lower and upper end of cells with one critical point each, and if it is a mode.

    Args:
        weights: Component weights (K, B).
        means: Component means (K, B).
        scales: Component standard deviations (K, B).
    """
    offsets = np.array([-np.sqrt(3.0), -1.0, 0.0, 1.0, np.sqrt(3.0)]).reshape(-1, 1, 1)
    knots = np.clip(means + offsets * scales, means.min(axis=0), means.max(axis=0))
    knots = np.sort(knots.reshape(-1, means.shape[1]), axis=0)
    lower, upper = knots[:-1].T.ravel(), knots[1:].T.ravel()
    rows = np.repeat(np.arange(means.shape[1]), len(knots) - 1)
    inside = (lower < upper) & _undecided(knots, weights, means, scales).T.ravel()
    rows, lower, upper = rows[inside], lower[inside], upper[inside]
    found: list[tuple[NDArray[np.intp], FloatArray, FloatArray, NDArray[np.bool_]]] = []
    while len(rows):
        cells = _Cells(
            lower, upper, *(array.take(rows, axis=1) for array in (weights, means, scales))
        )
        open_ = ~cells.slope_has_one_sign()
        cells, rows, lower, upper = cells.select(open_), rows[open_], lower[open_], upper[open_]
        middle = 0.5 * lower + 0.5 * upper
        final = cells.bend_has_one_sign() | (upper - lower <= SMALLEST_CELL * cells.local_scale())
        final |= (middle <= lower) | (middle >= upper)
        left, right = cells.slopes_are_positive()
        change = final & (left != right)
        found.append((rows[change], lower[change], upper[change], left[change]))
        split = ~final
        rows = np.concatenate([rows[split], rows[split]])
        lower, upper = (
            np.concatenate([lower[split], middle[split]]),
            np.concatenate([middle[split], upper[split]]),
        )
    if not found:
        empty = np.zeros(0)
        return np.zeros(0, dtype=np.intp), empty, empty, np.zeros(0, dtype=np.bool_)
    parts = tuple(np.concatenate(part) for part in zip(*found, strict=True))
    return parts[0], parts[1], parts[2], parts[3]


def _undecided(
    knots: FloatArray, weights: FloatArray, means: FloatArray, scales: FloatArray
) -> NDArray[np.bool_]:
    """Return for each cell between knots (J, B) whether p' could be 0 in it, (J - 1, B).

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
        return ~((least_rise > most_fall + slack) | (least_fall > most_rise + slack))


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

    def select(self, chosen: NDArray[np.bool_]) -> _Cells:
        """Return some of the cells."""
        cells = object.__new__(_Cells)
        for name, array in vars(self).items():
            setattr(cells, name, array[..., chosen])
        return cells

    def slope_has_one_sign(self) -> NDArray[np.bool_]:
        """Return whether the bounds leave p' no sign but one."""
        return _one_sign(self.slopes, self.is_right)

    def bend_has_one_sign(self) -> NDArray[np.bool_]:
        """Return whether the bounds leave p'' no sign but one."""
        squares = np.square(self.residuals)
        with np.errstate(divide="ignore"):
            bends = self.terms + np.log(np.abs(squares - 1.0)) - 2.0 * np.log(self.scales)
        return _one_sign(bends, squares[0] + squares[1] > 2.0)

    def slopes_are_positive(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return whether p' ≥ 0 at the lower and at the upper ends."""
        (rise, fall), (later_rise, later_fall) = (
            _log_sums(slopes, self.is_right) for slopes in self.slopes
        )
        return rise >= fall, later_rise >= later_fall

    def local_scale(self) -> FloatArray:
        """Return the shortest length over which a component that counts in a cell changes."""
        size = self.slopes.max(axis=0)
        counts = size >= size.max(axis=0) - NEGLIGIBLE
        lengths = self.scales / (1.0 + np.abs(self.residuals).max(axis=0))
        shortest: FloatArray = np.where(counts, lengths, np.inf).min(axis=0)
        return shortest


def _one_sign(logs: FloatArray, positive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether terms with logarithms (2, K, C) at the ends add up to one sign in between."""
    least_above, least_below = _log_sums(logs.min(axis=0), positive)
    most_above, most_below = _log_sums(logs.max(axis=0), positive)
    return (least_above > most_below + MARGIN) | (least_below > most_above + MARGIN)


def _log_sums(logs: FloatArray, positive: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
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


def _without_shallow_dips(points: CriticalPoints) -> CriticalPoints:
    """Return the points without neighbours whose difference in density is rounding alone."""
    while True:
        rows, heights = points.rows, points.log_density
        gaps = np.abs(np.diff(heights))
        shallow = (gaps <= SMALLEST_DIP * (8.0 + np.abs(heights[:-1]))) & (rows[:-1] == rows[1:])
        # One pair of a row at a time, since what is left becomes new neighbours.
        first = np.unique(rows[:-1][shallow], return_index=True)[1]
        if not len(first):
            return points
        place = np.flatnonzero(shallow)[first]
        keep = np.ones(len(rows), dtype=np.bool_)
        keep[place] = keep[place + 1] = False
        points = CriticalPoints(
            rows[keep], points.places[keep], heights[keep], points.is_mode[keep]
        )
