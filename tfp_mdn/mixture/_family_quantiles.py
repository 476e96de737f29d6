"""Kernel for the quantiles of mixtures of any family."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tfp_mdn.mixture import moments
from tfp_mdn.mixture._family_lines import FamilyLines
from tfp_mdn.mixture.quantiles import Tail, solved
from tfp_mdn.mixture.quantiles import quantile as normal_quantile

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray
    from tfp_mdn.mixture.families import Family, Shape

__all__ = ["quantile"]

ROOT_TWO_PI = np.sqrt(2.0 * np.pi)

# A root is good when its tail probability is right to this share of itself, times 1 + u^2 for a
# normal score u: distribution functions of heavy tails are right to a little less than this.
TAIL_TOLERANCE = 1e-12

# No start is further from the means than this many scales would make it: variances of heavy tails
# can be as large as they like.
LARGEST_SPREAD = 3.0


def quantile(
    tails: FloatArray,
    upper: NDArray[np.bool_],
    family: Family,
    weights: FloatArray,
    shape: Shape,
) -> FloatArray:
    """Return the roots y of P(Y ≤ y) = tail, or of P(Y > y) = tail, for D = 1, (Q, N).

    They are found as those of normal components are; see `quantiles.quantile`. Log-normal ones are
    the exponentials of these.

    Args:
        tails: Tail probabilities (Q,), strictly between 0 and 1, best at most 1/2.
        upper: Whether each is an upper tail (Q,).
        family: The kind of components.
        weights: Component weights (N, K).
        shape: Its parameters (N, K, 1) each.
    """
    if family.name == "lognormal":
        loc, scale = shape
        variance = np.maximum(np.square(scale), np.finfo(np.float64).tiny)
        with np.errstate(over="ignore"):
            return np.exp(normal_quantile(tails, upper, weights, loc, variance))
    return solved(
        tails,
        upper,
        weights.shape,
        lambda rows: _Components(family, weights[rows], tuple(part[rows] for part in shape)),
    )


class _Components:
    """A block of mixtures of one family."""

    def __init__(self, family: Family, weights: FloatArray, shape: Shape) -> None:
        """Take the parameters (B, K) and (B, K, 1)."""
        self.lines = FamilyLines.of(family, weights, shape)

    def centre_and_spread(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation (B,), or something like them."""
        lines = self.lines
        loc, scale = lines.shape[:2]
        mean, variance = lines.family.moments(*lines.shape)[:2]
        centre = np.where(np.isfinite(mean), mean, loc)
        with np.errstate(invalid="ignore"):
            spread = np.fmin(np.sqrt(variance), LARGEST_SPREAD * scale)
        weights, means, spreads = lines.weights.T, centre.T[..., np.newaxis], spread.T
        total = moments.stddev(weights, means, np.square(spreads)[..., np.newaxis])[:, 0]
        return moments.mean(weights, means)[:, 0], total

    def tail(self, tails: FloatArray, mirror: FloatArray, columns: NDArray[np.intp]) -> Tail:
        """Return the tails of mixtures of some rows."""
        return _FamilyTail(tails, mirror, self.lines.take(columns))


class _FamilyTail:
    """How far the lower tails of C mixtures are from the wanted ones, in normal scores.

    Where `mirror` is -1 they are upper tails, and places have the opposite sign.
    """

    def __init__(self, tails: FloatArray, mirror: FloatArray, lines: FamilyLines) -> None:
        """Take tail probabilities (C,), signs (C,) and as many mixtures."""
        self.tails, self.mirror, self.lines = tails, mirror, lines
        self.scores = ndtri(tails)
        self.slopes = np.zeros(len(tails))
        self.narrowest = lines.shape[1].min(axis=0)
        # The largest curvature of each component's density relative to its height.
        self.bends = np.abs(lines.family.slopes(lines.modes(), *lines.shape)[1])

    def bracket(self, *, tight: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return ends of a bracket of the quantile, and a start that is right far out, each (C,).

        The mixture's quantile lies between those of its components. For a tight bracket, F ≥ wₖ Fₖ
        puts it below the place where any one component reaches the tail on its own.
        """
        family, shape, upper = self.lines.family, self.lines.shape, self.mirror < 0.0
        below, above, guess = self._mirrored(family.tail_places(self.tails, upper, *shape))
        lower, higher, start = below.min(axis=0), above.max(axis=0), guess.max(axis=0)
        if tight:
            with np.errstate(divide="ignore"):
                alone = np.minimum(self.tails / self.lines.weights, 1.0)
            _, ends, guess = self._mirrored(family.tail_places(alone, upper, *shape))
            higher = np.clip(ends.min(axis=0), lower, higher)
            start = np.clip(guess.min(axis=0), lower, higher)
        return lower, higher, start

    def __call__(
        self, places: FloatArray, active: NDArray[np.intp]
    ) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        """Return u(y) − u, Halley's step and whether the root is found, for `find_roots`."""
        everything = len(active) == len(self.tails)
        lines = self.lines if everything else self.lines.take(active)
        tails, target, mirror = self.tails[active], self.scores[active], self.mirror[active]
        weights = lines.weights
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            y = mirror * places
            density, lower, upper, slope, bend = lines.at(y)
            tail = np.einsum("kc,kc->c", weights, np.where(mirror > 0.0, lower, upper))
            density *= weights
            first = density.sum(axis=0)
            second = mirror * np.einsum("kc,kc->c", density, slope)
            score = ndtri(np.minimum(tail, 1.0))
            # u' = T' / φ(u) and u'' / u' = T'' / T' + u u', from Φ(u) = T.
            rise = first * ROOT_TWO_PI * np.exp(0.5 * np.square(score))
            value = score - target
            newton = -value / rise
            curve = 1.0 + 0.5 * newton * (second / first + score * rise)
            # A factor outside these limits means that the parabola does not describe the curve.
            step = newton / np.clip(curve, 0.5, 2.0)
            self.slopes[active] = np.where(rise > 0.0, 1.0 / rise, np.inf)
            tolerance = TAIL_TOLERANCE * tails * (1.0 + np.square(target))
            error = np.abs(tail - tails)
            good = error <= tolerance
            step[good] = 0.0
            # As for normal components: what the step leaves over, by its third derivative.
            size = np.abs(bend) + self.bends[:, active]
            third = np.einsum("kc,kc->c", density, size)
            left = np.abs(step) ** 3 * third + error * np.square(curve - 1.0)
            good |= (left <= 0.5 * tolerance) & (np.abs(step) <= 0.1 * self.narrowest[active])
        return value, step, good

    def _mirrored(
        self, places: tuple[FloatArray, FloatArray, FloatArray]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return a place below, a place above and a guess, as they stand in the mirror."""
        below, above, guess = places
        right = self.mirror > 0.0
        first, last = np.where(right, below, -above), np.where(right, above, -below)
        return first, last, self.mirror * guess
