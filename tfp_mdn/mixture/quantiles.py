"""Kernel for the quantiles of mixtures, which have no closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tfp_mdn.mixture import moments
from tfp_mdn.mixture._normal import normal_cdf
from tfp_mdn.mixture._roots import find_roots
from tfp_mdn.mixture.density import line_components, row_blocks

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray

__all__ = ["Tail", "quantile", "solved"]

ROOT_TWO_PI = np.sqrt(2.0 * np.pi)

# A root is good when its tail probability is right to this share of itself, times 1 + u^2 for a
# normal score u: this is how rounding in a standardised residual grows into the tails, so that a
# narrower bound would be chased without end.
TAIL_TOLERANCE = 1e-13

# Below it the tail of a single component is the better start, above it that of a normal
# distribution with the same mean and variance.
SMALL_TAIL = 0.2


def quantile(
    tails: FloatArray,
    upper: NDArray[np.bool_],
    weights: FloatArray,
    means: FloatArray,
    variances: FloatArray,
) -> FloatArray:
    """Return the roots y of P(Y ≤ y) = tail, or of P(Y > y) = tail, for D = 1.

    Every root lies between the smallest and the largest component quantile. In between, the tail
    probability T is put on the scale of normal scores, u(y) = Φ⁻¹(T(y)), where a mixture is close
    to a line (and a single component is one), and Halley's steps are guarded by bisection. They
    end when the tail is right to 1e-13 of itself (times 1 + u²), or when Taylor's remainder says
    that it will be after the next step. The levels are solved from the outer ones inwards: a level
    between two known quantiles starts from the cubic that has their places and slopes, inside the
    bracket that they form.

    Args:
        tails: Tail probabilities (Q,), strictly between 0 and 1, best at most 1/2.
        upper: Whether each is an upper tail (Q,). An upper tail of 1e-20 is solved as such, where
            the level 1 − 1e-20 would be 1.
        weights: Component weights (N, K).
        means: Component means (N, K, 1).
        variances: Component variances (N, K, 1).

    Returns:
        Array (Q, N), in the target's units, in the order of the levels in each row.
    """
    arrays = weights, means, variances
    return solved(
        tails, upper, weights.shape, lambda rows: _Normals(*(array[rows] for array in arrays))
    )


class Tail(Protocol):
    """How far the lower tails of C mixtures are from the wanted ones, in normal scores.

    Attributes:
        slopes: dy/du at the last place of each column (C,).
    """

    slopes: FloatArray

    def bracket(self, *, tight: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return ends of a bracket of the quantile, and a start that is right far out."""

    def __call__(
        self, places: FloatArray, active: NDArray[np.intp]
    ) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        """Return u(y) − u, Halley's step and whether the root is found, for `find_roots`."""


class Block(Protocol):
    """A block of mixtures whose quantiles are wanted."""

    def centre_and_spread(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation (B,), or something like them."""

    def tail(self, tails: FloatArray, mirror: FloatArray, columns: NDArray[np.intp]) -> Tail:
        """Return the tails of mixtures (C,) of some rows, mirrored at 0 where `mirror` is -1."""


def solved(
    tails: FloatArray,
    upper: NDArray[np.bool_],
    shape: tuple[int, ...],
    block_of: Callable[[slice], Block],
) -> FloatArray:
    """Return the roots (Q, N) of mixtures of any kind; see `quantile` for how.

    Args:
        tails: Tail probabilities (Q,).
        upper: Whether each is an upper tail (Q,).
        shape: Numbers of rows and components (N, K).
        block_of: Gives the mixtures of some rows.
    """
    num_rows, num_components = shape
    scores, first, place = np.unique(
        np.where(upper, -ndtri(tails), ndtri(tails)), return_index=True, return_inverse=True
    )
    result = np.empty((len(scores), num_rows))
    for rows in row_blocks(num_rows, num_components * max(1, len(scores) // 2)):
        result[:, rows] = _solve(tails[first], upper[first], scores, block_of(rows))
    ascending = len(place) == len(scores) and bool((place[:-1] < place[1:]).all())
    return result if ascending else result[place]


def _solve(
    tails: FloatArray, upper: NDArray[np.bool_], scores: FloatArray, block: Block
) -> FloatArray:
    """Return the quantiles (Q, B) of one block of rows, at ascending levels."""
    mean, spread = block.centre_and_spread()
    num_levels, num_rows = len(tails), len(mean)
    result = np.empty((num_levels, num_rows))
    slopes = np.empty_like(result)
    for levels in _generations(num_levels):
        # The levels of a generation stand side by side as columns, one for each level and row.
        level = np.repeat(levels, num_rows)
        columns = np.tile(np.arange(num_rows), len(levels))
        mirror = np.where(upper[level], -1.0, 1.0)
        tail = block.tail(tails[level], mirror, columns)
        inner = levels[0] > 0
        lower, higher, start = tail.bracket(tight=not inner)
        if (mirror < 0.0).any():
            flip = mirror < 0.0
            lower, higher = np.where(flip, -higher, lower), np.where(flip, -lower, higher)
            start = mirror * start
        if not inner:
            normal = mean[columns] + scores[level] * spread[columns]
            start = np.where(tails[level] > SMALL_TAIL, normal, start)
        else:
            below, above = _neighbours(levels, num_levels)
            near, far = result[below].ravel(), result[above].ravel()
            # The neighbours are rounded too, so the bracket has to reach a little beyond them.
            lower = np.clip(np.nextafter(near, -np.inf), lower, higher)
            higher = np.clip(np.nextafter(far, np.inf), lower, higher)
            gap = scores[above] - scores[below]
            start = _cubic(
                np.repeat((scores[levels] - scores[below]) / gap, num_rows),
                near,
                far,
                (slopes[below] * gap[:, np.newaxis]).ravel(),
                (slopes[above] * gap[:, np.newaxis]).ravel(),
            )
        first, last = np.where(mirror > 0.0, (lower, higher), (-higher, -lower))
        roots = mirror * find_roots(tail, first, last, mirror * start)
        if inner:
            roots = np.clip(roots, near, far)
        result[levels] = roots.reshape(-1, num_rows)
        slopes[levels] = tail.slopes.reshape(-1, num_rows)
    # Levels that differ by rounding alone can come out in the wrong order at the outer ends.
    return np.maximum.accumulate(result, axis=0)


class _Normals:
    """A block of mixtures of normal distributions."""

    def __init__(self, weights: FloatArray, means: FloatArray, variances: FloatArray) -> None:
        """Take the parameters (B, K) and (B, K, 1)."""
        self.given = weights, means, variances
        self.arrays = line_components(weights, means, variances)

    def centre_and_spread(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation (B,)."""
        weights, means, variances = self.given
        spread = moments.stddev(weights, means, variances)[:, 0]
        return moments.mean(weights, means)[:, 0], spread

    def tail(self, tails: FloatArray, mirror: FloatArray, columns: NDArray[np.intp]) -> Tail:
        """Return the tails of mixtures of some rows."""
        once = len(columns) == self.arrays[0].shape[1]
        weights, means, scales = (
            array if once else array.take(columns, axis=1) for array in self.arrays
        )
        return _LowerTail(tails, weights, mirror * means, scales)


class _LowerTail:
    """How far the lower tails of C mixtures are from the wanted ones, in normal scores."""

    def __init__(
        self, tails: FloatArray, weights: FloatArray, means: FloatArray, scales: FloatArray
    ) -> None:
        """Take tail probabilities (C,) and parameters (K, C)."""
        self.tails = tails
        self.scores = ndtri(tails)
        self.arrays = weights, means, 1.0 / scales
        self.scales = scales
        # dy/du at the last place of each column: 0 where it was never evaluated.
        self.slopes = np.zeros(len(tails))
        self.narrowest = scales.min(axis=0)
        # Fresh arrays of this size cost more than the arithmetic in them.
        self.scratch = np.empty((9, weights.size))

    def bracket(self, *, tight: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return ends of a bracket of the quantile, and a start that is right far out, each (C,).

        The mixture's quantile lies between those of its components. For a tight bracket, F ≥ wₖ Φₖ
        puts it below the place where any one component reaches the tail on its own; one of them
        does nearly all of it far out.
        """
        (weights, means, _), scales = self.arrays, self.scales
        ends = means + self.scores * scales
        lower, upper = ends.min(axis=0), ends.max(axis=0)
        start = upper
        if tight:
            with np.errstate(divide="ignore", over="ignore"):
                alone = means + scales * ndtri(np.minimum(self.tails / weights, 1.0))
            start = np.clip(alone.min(axis=0), lower, upper)
        # The ends are rounded as well; but where they agree, they are the quantile itself.
        apart = lower < upper
        lower = np.where(apart, np.nextafter(lower, -np.inf), lower)
        upper = np.where(apart, np.nextafter(start, np.inf), upper)
        return lower, upper, start

    def __call__(
        self, places: FloatArray, active: NDArray[np.intp]
    ) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        """Return u(y) − u, Halley's step and whether the root is found, for `find_roots`."""
        weights, means, inverses = self.arrays
        tails, target, narrowest = self.tails, self.scores, self.narrowest
        shape = len(weights), len(active)
        residuals, kernel, terms, *spare = self.scratch[:, : math.prod(shape)].reshape(9, *shape)
        if len(active) < len(tails):
            weights, means, inverses = (
                array.take(active, axis=1, out=out, mode="clip")
                for array, out in zip(self.arrays, spare[3:], strict=True)
            )
            tails, target, narrowest = tails[active], target[active], narrowest[active]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            np.subtract(places, means, out=residuals)
            residuals *= inverses
            normal_cdf(residuals, kernel, terms, spare[:3])
            tail = np.einsum("kc,kc->c", weights, terms)
            kernel *= weights
            kernel *= inverses
            first = kernel.sum(axis=0) / ROOT_TWO_PI
            residuals *= inverses
            second = np.einsum("kc,kc->c", kernel, residuals) / -ROOT_TWO_PI
            score = ndtri(np.minimum(tail, 1.0))
            # u' = T' / φ(u) and u'' / u' = T'' / T' + u u', from Φ(u) = T.
            slope = first * ROOT_TWO_PI * np.exp(0.5 * np.square(score))
            value = score - target
            newton = -value / slope
            bend = 1.0 + 0.5 * newton * (second / first + score * slope)
            # A factor outside these limits means that the parabola does not describe the curve.
            step = newton / np.clip(bend, 0.5, 2.0)
            self.slopes[active] = np.where(slope > 0.0, 1.0 / slope, np.inf)
            tolerance = TAIL_TOLERANCE * tails * (1.0 + np.square(target))
            error = np.abs(tail - tails)
            good = error <= tolerance
            step[good] = 0.0
            # No third derivative is larger, so Taylor's remainder tells what the step leaves over.
            third = np.einsum("kc,kc,kc->c", kernel, residuals, residuals)
            third += np.einsum("kc,kc,kc->c", kernel, inverses, inverses)
            left = np.abs(step) ** 3 * third + error * np.square(bend - 1.0)
            good |= (left <= 0.5 * tolerance) & (np.abs(step) <= 0.1 * narrowest)
        return value, step, good


def _cubic(
    at: FloatArray, below: FloatArray, above: FloatArray, left: FloatArray, right: FloatArray
) -> FloatArray:
    """Return the cubic over [0, 1] with given ends and slopes, kept increasing.

    Slopes of at most three times the secant's make a cubic monotone (Fritsch and Carlson 1980,
    https://doi.org/10.1137/0717021).
    """
    rise = above - below
    left, right = np.minimum(left, 3.0 * rise), np.minimum(right, 3.0 * rise)
    rest = 1.0 - at
    share = at * at * (3.0 - 2.0 * at)
    result: FloatArray = below + rise * share + at * rest * (rest * left - at * right)
    return result


def _generations(size: int) -> list[NDArray[np.intp]]:
    """Return the levels in the order of their solution: the outer ones, then all that halve gaps.

    Each generation halves the gaps between the levels that are solved before it.
    """
    generations = [np.unique([0, size - 1])] if size else []
    step = _largest_step(size)
    while step >= 1:
        generations.append(np.arange(step, size - 1, 2 * step))
        step //= 2
    return [levels for levels in generations if len(levels)]


def _neighbours(levels: NDArray[np.intp], size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the solved levels next below and above those of an inner generation."""
    # The first of a generation is its step away from level 0.
    return levels - levels[0], np.minimum(levels + levels[0], size - 1)


def _largest_step(size: int) -> int:
    """Return the largest power of two below the last level, or 0 if no level lies inside."""
    return 1 << ((size - 2).bit_length() - 1) if size > 2 else 0
