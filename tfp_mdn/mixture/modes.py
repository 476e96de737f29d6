"""Kernels for the modes of mixtures: all of them on a line, those reached by ascent elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfp_mdn.mixture import density, moments
from tfp_mdn.mixture._critical import critical_points
from tfp_mdn.mixture._lines import Lines, NormalLines
from tfp_mdn.mixture.density import RESOLUTION, row_blocks

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray

__all__ = ["modes", "modes_on_lines"]

# The search on the line keeps about 5 K cells of K terms for each row, but little of it for long.
CELLS_PER_COMPONENT = 2

LARGEST_NUMBER_OF_STEPS = 1000

# The ascent has arrived when its step is this small, in standard deviations of the component that
# is narrowest there. Newton's last step squares it.
SMALLEST_STEP = 1e-9

# Two ends of ascents this close, in standard deviations of the narrowest component, are one mode.
SAME_MODE = 1e-5

# Heights that differ by less, relative to 1 + |log p|, are the same but for rounding.
ROUNDING = 8.0 * np.finfo(np.float64).eps

# Where a saddle is left, the first step along its rising direction, in standard deviations.
FIRST_STEP = 1e-3


def modes(
    weights: FloatArray,
    means: FloatArray,
    variances: FloatArray,
    covariances: FloatArray | None = None,
) -> list[FloatArray]:
    """Return the modes of each row, N arrays (M_i, D), the highest first.

    Args:
        weights: Component weights (N, K).
        means: Component means (N, K, D).
        variances: Component variances (N, K, D).
        covariances: Component covariances (N, K, D, D), or None for diagonal ones.
    """
    num_rows, num_components, event_size = means.shape
    result: list[FloatArray] = []
    if event_size == 1:
        for rows in row_blocks(num_rows, CELLS_PER_COMPONENT * num_components**2):
            result += _modes_on_a_line(weights[rows], means[rows], variances[rows])
        return result
    num_starts = num_components * (num_components + 1) // 2 + 1
    for rows in row_blocks(num_rows, num_starts * num_components * event_size**2):
        full = variances[rows, :, :, np.newaxis] * np.eye(event_size)
        if covariances is not None:
            full = covariances[rows]
        result += _modes_in_space(weights[rows], means[rows], full)
    return result


def modes_on_lines(lines: Lines) -> list[FloatArray]:
    """Return the modes of mixtures of any components on a line, N arrays (M_i, 1).

    Args:
        lines: The mixtures.
    """
    num_rows, num_components = lines.size
    result: list[FloatArray] = []
    for rows in row_blocks(num_rows, CELLS_PER_COMPONENT * num_components**2):
        points = critical_points(lines.take(rows))
        row, places = points.rows[points.is_mode], points.places[points.is_mode]
        order = np.lexsort((-points.log_density[points.is_mode], row))
        ends = np.cumsum(np.bincount(row, minlength=lines.take(rows).size[0]))
        result += np.split(places[order, np.newaxis], ends[:-1])
    return result


def _modes_on_a_line(
    weights: FloatArray, means: FloatArray, variances: FloatArray
) -> list[FloatArray]:
    """Return the modes (M_i, 1) of each row of one block."""
    points = critical_points(NormalLines.of(weights, means, variances))
    rows, places = points.rows[points.is_mode], points.places[points.is_mode]
    order = np.lexsort((-_heights(places, weights[rows], means[rows], variances[rows]), rows))
    ends = np.cumsum(np.bincount(rows, minlength=len(weights)))
    return np.split(places[order, np.newaxis], ends[:-1]) if len(weights) else []


def _heights(
    places: FloatArray, weights: FloatArray, means: FloatArray, variances: FloatArray
) -> FloatArray:
    """Return log p (P,) at modes (P,) on a line, each with the parameters of its own row.

    A mean that differs from the mode by rounding alone is the mode: a component may be so narrow
    that the next float64 number lies outside of it.
    """
    places = places[:, np.newaxis]
    gaps = np.abs(means - places[..., np.newaxis])
    close = gaps <= RESOLUTION * np.spacing(np.abs(means))
    means = np.where(close, places[..., np.newaxis], means)
    return density.log_prob(places, weights, means, variances)


def _modes_in_space(
    weights: FloatArray, means: FloatArray, covariances: FloatArray
) -> list[FloatArray]:
    """Return the modes (M_i, D) of a block that ascents reach.

    They start at the component means, at the overall mean, and where the ridges of two components
    cross: in several dimensions there can be more modes than components.
    """
    num_rows, _, event_size = means.shape
    landscape = _Landscape(weights, means, covariances)
    overall = moments.mean(weights, means)[:, np.newaxis]
    starts = np.concatenate([landscape.means, overall, landscape.crossings()], axis=1)
    rows = np.repeat(np.arange(num_rows), starts.shape[1])
    ends = landscape.climb(starts.reshape(-1, event_size), rows)
    for _ in range(event_size):
        curvature, axes = np.linalg.eigh(landscape.look(ends, rows).bend)
        saddle = curvature[:, -1] > 0.0
        if not saddle.any():
            break
        # An ascent along a plane of symmetry ends on a saddle, from which it goes on to both sides.
        away = FIRST_STEP * axes[saddle, :, -1] * landscape.scale[rows[saddle]]
        both = np.concatenate([ends[saddle] + away, ends[saddle] - away])
        sides = np.concatenate([rows[saddle], rows[saddle]])
        ends = np.concatenate([ends[~saddle], landscape.climb(both, sides)])
        rows = np.concatenate([rows[~saddle], sides])
    last = landscape.look(ends, rows)
    peak = np.linalg.eigvalsh(last.bend)[:, -1] < 0.0
    rows, ends, heights = rows[peak], ends[peak], last.height[peak]
    order = np.lexsort((-heights, rows))
    rows, ends = rows[order], ends[order]
    bounds = np.searchsorted(rows, np.arange(num_rows + 1))
    return [
        _distinct(ends[first:stop], landscape.scale[row])
        for row, (first, stop) in enumerate(zip(bounds[:-1], bounds[1:], strict=True))
    ]


def _distinct(ends: FloatArray, scale: FloatArray) -> FloatArray:
    """Return the ends (M, D) of ascents without those that coincide with an earlier one."""
    kept: list[int] = []
    for place, end in enumerate(ends):
        if not (np.abs((ends[kept] - end) / scale).max(axis=1) <= SAME_MODE).any():
            kept.append(place)
    return ends[kept]


@dataclass(frozen=True)
class _View:
    """What a climber sees at P places.

    Args:
        height: log p (P,).
        gradient: Gradient of log p (P, D), in units of the row's scale.
        shift: The fixed-point step (P, D), in the target's units.
        bend: Hessian of log p (P, D, D), in units of the row's scale.
    """

    height: FloatArray
    gradient: FloatArray
    shift: FloatArray
    bend: FloatArray


class _Landscape:
    """The log densities of a block of mixtures in several dimensions, and how to climb them."""

    def __init__(self, weights: FloatArray, means: FloatArray, covariances: FloatArray) -> None:
        """Take weights (B, K), means (B, K, D) and covariances (B, K, D, D)."""
        # Components of weight 0 join the heaviest one, since they could lie beyond all numbers.
        empty = weights == 0.0
        heaviest = np.arange(len(weights))[:, np.newaxis], weights.argmax(axis=1)[:, np.newaxis]
        self.means = np.where(empty[..., np.newaxis], means[heaviest], means)
        full = np.where(empty[..., np.newaxis, np.newaxis], covariances[heaviest], covariances)
        variances = np.diagonal(full, axis1=-2, axis2=-1)
        self.arrays = weights, self.means, variances, full
        precisions = np.linalg.inv(full)
        # The narrowest conditional scales (B, D) free derivatives of the target's units.
        sharpest = np.diagonal(precisions, axis1=-2, axis2=-1).max(axis=1)
        self.scale = 1.0 / np.sqrt(sharpest)
        self.precisions = (
            precisions * np.einsum("bi,bj->bij", self.scale, self.scale)[:, np.newaxis]
        )

    def crossings(self) -> FloatArray:
        """Return the means (B, K (K - 1) / 2, D) of the products of two components' densities."""
        first, second = np.triu_indices(self.means.shape[1], k=1)
        ours, theirs = self.precisions[:, first], self.precisions[:, second]
        scale = self.scale[:, np.newaxis]
        gap = (self.means[:, second] - self.means[:, first]) / scale
        pull = np.einsum("bpij,bpj->bpi", theirs, gap)
        step = np.linalg.solve(ours + theirs, pull[..., np.newaxis])[..., 0]
        return self.means[:, first] + scale * step

    def height(self, places: FloatArray, rows: NDArray[np.intp]) -> FloatArray:
        """Return log p (P,) at places (P, D), each in its row (P,)."""
        return density.log_prob(places, *(array[rows] for array in self.arrays))

    def look(self, places: FloatArray, rows: NDArray[np.intp]) -> _View:
        """Return height, gradient, fixed-point step and Hessian at places (P, D)."""
        share = density.responsibilities(places, *(array[rows] for array in self.arrays))
        precisions = self.precisions[rows]
        scale = self.scale[rows]
        gap = (self.means[rows] - places[:, np.newaxis, :]) / scale[:, np.newaxis, :]
        pull = np.einsum("pkij,pkj->pki", precisions, gap)
        gradient = np.einsum("pk,pkd->pd", share, pull)
        precision = np.einsum("pk,pkij->pij", share, precisions)
        shift = np.linalg.solve(precision, gradient[..., np.newaxis])[..., 0]
        bend = np.einsum("pk,pki,pkj->pij", share, pull, pull) - precision
        bend -= gradient[:, :, np.newaxis] * gradient[:, np.newaxis, :]
        return _View(self.height(places, rows), gradient, scale * shift, bend)

    def climb(self, places: FloatArray, rows: NDArray[np.intp]) -> FloatArray:
        """Return where ascents from places (P, D) end, none of them ever going down.

        The fixed-point step never lowers the density (it is a step of expectation-maximisation);
        Newton's takes its place where the Hessian is negative definite and leads as high, and
        makes the end exact.
        """
        ends = places.copy()
        active = np.arange(len(places))
        for _ in range(LARGEST_NUMBER_OF_STEPS):
            here, row = ends[active], rows[active]
            view = self.look(here, row)
            step = view.shift
            hill = np.flatnonzero(np.linalg.eigvalsh(view.bend)[:, -1] < 0.0)
            if len(hill):
                pull = view.gradient[hill, :, np.newaxis]
                newton = -np.linalg.solve(view.bend[hill], pull)[..., 0] * self.scale[row[hill]]
                reached = self.height(here[hill] + newton, row[hill])
                plain = self.height(here[hill] + step[hill], row[hill])
                better = reached >= plain - ROUNDING * (1.0 + np.abs(plain))
                step[hill[better]] = newton[better]
            ends[active] = here + step
            active = active[(np.abs(step) > SMALLEST_STEP * self.scale[row]).any(axis=1)]
            if not len(active):
                break
        return ends
