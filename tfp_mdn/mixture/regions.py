"""Kernel for the highest density regions of mixtures in one dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tfp_mdn.mixture._critical import CriticalPoints, critical_points
from tfp_mdn.mixture._lines import Lines, NormalLines
from tfp_mdn.mixture._roots import find_roots
from tfp_mdn.mixture.density import row_blocks
from tfp_mdn.mixture.modes import CELLS_PER_COMPONENT

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray

__all__ = ["LevelSets", "highest_density_region", "highest_density_regions"]

ROOT_TWO_PI = np.sqrt(2.0 * np.pi)

EPSILON = float(np.finfo(np.float64).eps)

# Relative error of the probability outside a region at which the search for its threshold ends.
MASS_TOLERANCE = 1e-12

# Error of v, relative to v, at which an end of an interval is found.
DEPTH_TOLERANCE = 1e-14

# Close to a mode log p is flat, so that its rounding blurs v by 4 eps / v and the mass by as much,
# at most by this when the whole interval is blurred. Searches that want more would not end.
LARGEST_BLUR = 5e-9

# Doublings of the rounding of log p, and halvings between two sets, that are enough for any row.
LARGEST_NUMBER_OF_STEPS = 60


def highest_density_region(
    outside: float, weights: FloatArray, means: FloatArray, variances: FloatArray
) -> list[FloatArray]:
    """Return the intervals of {y: p(y) ≥ t} whose probability is 1 − `outside`, N arrays (R_i, 2).

    Between neighbouring critical points the density is monotone and crosses a threshold t once at
    most, so that the region for a t has exact ends, and its mass is a sum of values of the
    distribution function. The threshold is the root of that, in v = √(2 (log p_max − log t)):
    the mass of one component alone is 2Φ(v) − 1, so that normal scores of it are a line.

    Args:
        outside: Probability outside the region, strictly between 0 and 1.
        weights: Component weights (N, K).
        means: Component means (N, K, 1).
        variances: Component variances (N, K, 1).
    """
    return highest_density_regions(outside, NormalLines.of(weights, means, variances))


def highest_density_regions(outside: float, lines: Lines) -> list[FloatArray]:
    """Return the intervals of mixtures of any components, N arrays (R_i, 2).

    Args:
        outside: Probability outside the region, strictly between 0 and 1.
        lines: The mixtures.
    """
    num_rows, num_components = lines.size
    result: list[FloatArray] = []
    for rows in row_blocks(num_rows, CELLS_PER_COMPONENT * num_components**2):
        block = lines.take(rows)
        levels = LevelSets(critical_points(block), block)
        start = np.full(block.size[0], -float(ndtri(0.5 * outside)))
        search = _OutsideMass(outside, levels)
        upper = 2.0 * start
        # A few doublings at most: v = 38 is a threshold of exp(-722) below the highest mode.
        while True:
            short = search(upper, np.arange(len(upper)))[0] < 0.0
            if not short.any():
                break
            upper[short] *= 2.0
        depths = find_roots(search, np.zeros_like(start), upper, start)
        ends = levels.ends(depths)
        regions = levels.intervals(depths, ends)
        flat = np.flatnonzero(np.abs(levels.mass_outside(ends) - outside) > 2.0 * LARGEST_BLUR)
        if len(flat):
            block = block.take(flat)
            levels = LevelSets(critical_points(block), block)
            for row, region in zip(flat, _filled(outside, levels, depths[flat]), strict=True):
                regions[row] = region
        result += regions
    return result


def _filled(outside: float, levels: LevelSets, depths: FloatArray) -> list[FloatArray]:
    """Return regions of rows whose density is so flat that the threshold's rounding shows.

    The mass jumps between the sets of two thresholds that differ by rounding alone. All that lies
    between them is as good, and the ends are put where the mass is right.

    Args:
        outside: Probability outside the regions.
        levels: Level sets of these rows.
        depths: The depths v (B,) at which the mass jumps.
    """
    squares = np.square(depths)
    slack = EPSILON * (8.0 + np.abs(levels.top) + squares)
    for _ in range(LARGEST_NUMBER_OF_STEPS):
        inner, outer = np.sqrt(np.maximum(squares - slack, 0.0)), np.sqrt(squares + slack)
        near, far = levels.ends(inner), levels.ends(outer)
        misses = (levels.mass_outside(near) < outside) | (levels.mass_outside(far) > outside)
        if not misses.any():
            break
        slack[misses] *= 2.0
    low, high = np.zeros_like(depths), np.ones_like(depths)
    for _ in range(LARGEST_NUMBER_OF_STEPS):
        share = 0.5 * low + 0.5 * high
        ends = near + share[levels.rows] * (far - near)
        short = levels.mass_outside(ends) > outside
        low, high = np.where(short, share, low), np.where(short, high, share)
    return levels.intervals(outer, ends)


class _OutsideMass:
    """How far the probability outside the level sets is from the wanted one, in normal scores."""

    def __init__(self, outside: float, levels: LevelSets) -> None:
        """Take the wanted probability and the level sets of a block of rows."""
        self.outside = outside
        self.score = -float(ndtri(0.5 * outside))
        self.levels = levels

    def __call__(
        self, depths: FloatArray, active: NDArray[np.intp]
    ) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        """Return −Φ⁻¹(outside / 2) less its target, Newton's step and whether it is right."""
        mass, slope, rounding = self.levels.outside(depths, active)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            score = -ndtri(0.5 * np.clip(mass, 0.0, 1.0))
            value = score - self.score
            # d mass / dv = -slope v, and d mass / d score = -2 φ(score).
            rate = slope * depths * 0.5 * ROOT_TWO_PI * np.exp(0.5 * np.square(score))
            step = -value / rate
            blur = np.minimum(4.0 * EPSILON / depths, LARGEST_BLUR)
        tolerance = MASS_TOLERANCE * self.outside + blur + rounding
        done = np.abs(mass - self.outside) <= tolerance
        step[done] = 0.0
        return value, step, done


class LevelSets:
    """The sets {y: log p(y) ≥ top − v²/2} of a block of rows, piece by monotone piece.

    A piece reaches from a mode to the antimode, or to the end of the line, on one of its sides.
    """

    def __init__(self, points: CriticalPoints, lines: Lines) -> None:
        """Take the critical points and the mixtures of the block."""
        self.lines = lines
        peaks = np.flatnonzero(points.is_mode)
        self.rows = np.repeat(points.rows[peaks], 2)
        self.side = np.tile([-1.0, 1.0], len(peaks))
        neighbours = np.repeat(peaks, 2) + self.side.astype(np.intp)
        size = len(points.rows)
        inner = (neighbours >= 0) & (neighbours < size)
        inner &= points.rows[np.clip(neighbours, 0, size - 1)] == self.rows
        neighbours = np.where(inner, neighbours, 0)
        self.mode = np.repeat(points.places[peaks], 2)
        self.height = np.repeat(points.log_density[peaks], 2)
        self.valley = np.where(inner, points.places[neighbours], self.side * np.inf)
        self.floor = np.where(inner, points.log_density[neighbours], -np.inf)
        if np.isfinite(lines.lower_end):
            # The line ends there, at the density that it has from there on.
            outer = ~inner & (self.side < 0.0)
            self.valley[outer] = lines.lower_end
            last = lines.take(self.rows[outer])
            self.floor[outer] = last.look(np.full(last.size[0], lines.lower_end))[0]
        self.top = np.full(lines.size[0], -np.inf)
        np.maximum.at(self.top, self.rows, self.height)
        # Where the normal curve through a mode with its curvature would have sunk by 1/2.
        _, _, bend, _ = lines.take(self.rows).look(self.mode)
        self.reach = 1.0 / np.sqrt(np.maximum(-bend, np.finfo(np.float64).tiny))

    def outside(
        self, depths: FloatArray, active: NDArray[np.intp]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the mass outside the sets of some rows, t Σ 1 / |(log p)'|, and a rounding error.

        The sum is over the ends of intervals, the error the mass that their last digits stand for.
        """
        threshold = np.full(self.top.shape, np.nan)
        threshold[active] = self.top[active] - 0.5 * np.square(depths)
        pieces = np.flatnonzero(~np.isnan(threshold[self.rows]))
        rows = self.rows[pieces]
        ends, crossing = self._ends(pieces, threshold[rows])
        # The probability between the end and the valley, which is all of the piece that lies
        # outside; from the end of the line it is a tail.
        mass = self.lines.take(rows).between(ends, self.valley[pieces])
        slope, rounding = np.zeros(len(pieces)), np.zeros(len(pieces))
        cut = pieces[crossing]
        score = self.lines.take(self.rows[cut]).look(ends[crossing])[1]
        with np.errstate(divide="ignore"):
            density = np.exp(threshold[self.rows[cut]])
            slope[crossing] = density / np.abs(score)
            rounding[crossing] = density * np.spacing(np.abs(ends[crossing]))
        sums = np.zeros((3, len(self.top)))
        for total, parts in zip(sums, (mass, slope, rounding), strict=True):
            np.add.at(total, rows, parts)
        return sums[0, active], sums[1, active], sums[2, active]

    def ends(self, depths: FloatArray) -> FloatArray:
        """Return where the set of each row's depth (B,) ends in each piece (P,)."""
        threshold = self.top - 0.5 * np.square(depths)
        return self._ends(np.arange(len(self.rows)), threshold[self.rows])[0]

    def mass_outside(self, ends: FloatArray) -> FloatArray:
        """Return the probability (B,) outside sets that end there (P,) in each piece."""
        mass = self.lines.take(self.rows).between(ends, self.valley)
        total: FloatArray = np.bincount(self.rows, mass, len(self.top)).astype(np.float64)
        return total

    def intervals(self, depths: FloatArray, ends: FloatArray) -> list[FloatArray]:
        """Return the intervals (R_i, 2) of each row, those that meet at a valley made one."""
        threshold = self.top - 0.5 * np.square(depths)
        shown = self.height[::2] >= threshold[self.rows[::2]]
        rows, lower, upper = self.rows[::2][shown], ends[::2][shown], ends[1::2][shown]
        valley = self.valley[1::2][shown]
        # An interval that reaches its valley goes on into the next one.
        joined = (upper[:-1] == valley[:-1]) & (rows[:-1] == rows[1:])
        first = np.concatenate([[True], ~joined])
        last = np.concatenate([~joined, [True]])
        result = np.stack([lower[first], upper[last]], axis=1)
        counts = np.bincount(rows[first], minlength=len(self.top))
        return np.split(result, np.cumsum(counts)[:-1])

    def _ends(
        self, pieces: NDArray[np.intp], threshold: FloatArray
    ) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Return the ends of the set in some pieces, and whether the density crosses t there.

        An end is the mode if the piece lies below t, and the valley if it lies above.
        """
        height, floor = self.height[pieces], self.floor[pieces]
        crossing = (floor < threshold) & (threshold < height)
        ends = np.where(threshold < height, self.valley[pieces], self.mode[pieces])
        chosen = pieces[crossing]
        if not len(chosen):
            return ends, crossing
        side, mode, top = self.side[chosen], self.mode[chosen], self.height[chosen]
        lines = self.lines.take(self.rows[chosen])
        level = threshold[crossing]
        depth = np.sqrt(2.0 * (top - level))
        bound = lines.beyond(side, level)
        lower = side * mode
        upper = np.where(
            np.isinf(self.valley[chosen]), np.maximum(bound, lower), side * self.valley[chosen]
        )

        def sunk(
            places: FloatArray, active: NDArray[np.intp]
        ) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
            """Return √(2 (log p(mode) − log p(y))) less that of t: a line for one component."""
            log_density, score, _, _ = lines.take(active).look(side[active] * places)
            sink = np.sqrt(2.0 * np.maximum(top[active] - log_density, 0.0))
            value = sink - depth[active]
            with np.errstate(divide="ignore", invalid="ignore"):
                step = value * sink / (side[active] * score)
            blur = EPSILON * (4.0 + np.abs(level[active])) / depth[active]
            good = np.abs(value) <= DEPTH_TOLERANCE * depth[active] + blur
            step[good] = 0.0
            return value, step, good

        start = lower + depth * self.reach[chosen]
        ends[crossing] = side * find_roots(sunk, lower, upper, start)
        return ends, crossing
