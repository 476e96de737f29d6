"""Kernels of the scores that have a formula of their own; the functions are in `scores`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_ndtr

from tfp_mdn.mixture._normal import mean_size
from tfp_mdn.mixture.density import line_components, log_sum_exp, row_blocks

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray
    from tfp_mdn.mixture._mixture import MixtureKernels

__all__ = ["censored_log_prob", "crps", "energy_score", "interval_score", "quantile_loss"]

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)

# Below this half width, in standard deviations times 1 + |z|, the difference of two values of the
# distribution function loses digits, and the first two terms of its Taylor series have them all.
NARROW = 1e-3

# From here on, z²/2 is all that counts in the logarithm, and soon it overflows.
FAR = 1e100


def crps(
    y: FloatArray, weights: FloatArray, means: FloatArray, variances: FloatArray
) -> FloatArray:
    r"""Return E|Y − y| − ½ E|Y − Y'| for D = 1, (..., N), in the target's units.

    With A(μ, σ) = E|μ + σZ| = μ erf(μ / √2σ) + σ √(2/π) exp(−μ² / 2σ²) for a standard normal Z,

        CRPS = Σₖ wₖ A(y − μₖ, σₖ) − ½ Σⱼ Σₖ wⱼ wₖ A(μⱼ − μₖ, √(σⱼ² + σₖ²)).

    Each pair of components is visited once, one component against the rest, so that memory stays
    at that of a block (K, rows).

    Args:
        y: Targets (..., N, 1).
        weights: Component weights (N, K).
        means: Component means (N, K, 1).
        variances: Component variances (N, K, 1).
    """
    num_rows, num_components, _ = means.shape
    result = np.empty(y.shape[:-1])
    # Twice, since ten arrays of this size are worked in at once.
    row_size = 2 * max(num_components, math.prod(y.shape[:-2]))
    for rows in row_blocks(num_rows, row_size):
        # Halves, so that neither a gap nor a sum of variances overflows before the result does.
        share, mean, scale = line_components(weights[rows], 0.5 * means[rows], variances[rows])
        scale *= 0.5
        target = 0.5 * y[..., rows, 0]
        variance = np.square(scale)
        # A(0, √2 σ) = 2σ / √π stands on the diagonal.
        spread = np.einsum("kb,kb,kb->b", share, share, scale) / math.sqrt(math.pi)
        distance = np.zeros_like(target)
        away, *spare = np.empty((5, *target.shape))
        gap, width, *scratch = np.empty((6, *share.shape))
        for k in range(num_components):
            np.abs(np.subtract(target, mean[k], out=away), out=away)
            distance += share[k] * mean_size(away, scale[k], spare)
            rest = slice(k + 1, None)
            np.abs(np.subtract(mean[rest], mean[k], out=gap[rest]), out=gap[rest])
            np.sqrt(np.add(variance[rest], variance[k], out=width[rest]), out=width[rest])
            sizes = mean_size(gap[rest], width[rest], [part[rest] for part in scratch])
            spread += share[k] * np.einsum("kb,kb->b", share[rest], sizes)
        # Not negative but for rounding, where the target sits in the middle of narrow components.
        with np.errstate(over="ignore"):
            result[..., rows] = 2.0 * np.maximum(distance - spread, 0.0)
    return result


def interval_score(y: FloatArray, alpha: float, ends: FloatArray) -> FloatArray:
    """Return (u − l) + 2/α ((l − y)⁺ + (y − u)⁺) for D = 1, (..., N), in the target's units.

    Args:
        y: Targets (..., N, 1).
        alpha: Probability outside the central interval [l, u].
        ends: The ends l and u of that interval (2, N).
    """
    lower, upper = ends
    target = y[..., 0]
    with np.errstate(over="ignore"):
        outside = np.maximum(lower - target, 0.0) + np.maximum(target - upper, 0.0)
        return (upper - lower) + (2.0 / alpha) * outside


def quantile_loss(y: FloatArray, levels: FloatArray, places: FloatArray) -> FloatArray:
    """Return (y − y_q) (q − 1{y < y_q}) for D = 1, (Q, ..., N), in the target's units.

    Args:
        y: Targets (..., N, 1).
        levels: Levels q (Q,), strictly between 0 and 1.
        places: Quantiles at these levels (Q, N).
    """
    grid = tuple(range(1, y.ndim - 1))
    with np.errstate(over="ignore"):
        gaps = y[..., 0] - np.expand_dims(places, grid)
    result: FloatArray = gaps * (np.expand_dims(levels, (*grid, y.ndim - 1)) - (gaps < 0.0))
    return result


def censored_log_prob(
    y: FloatArray,
    half_width: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    variances: FloatArray,
) -> FloatArray:
    """Return log P(y − h < Y ≤ y + h) for D = 1, (..., N), in nats.

    The difference of two values of Φ is taken in its smaller tail and in log space, and by Taylor's
    series 2h φ(z) (1 + (z² − 1) h² / 6) / σ where the two lie so close that it would cancel.

    Args:
        y: Centres of the intervals (..., N, 1).
        half_width: Half widths h (N,), positive.
        weights: Component weights (N, K).
        means: Component means (N, K, 1).
        variances: Component variances (N, K, 1).
    """
    num_rows, num_components, _ = means.shape
    result = np.empty(y.shape[:-1])
    for rows in row_blocks(num_rows, num_components * math.prod(y.shape[:-2])):
        scale = np.sqrt(variances[rows, :, 0])
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            # Mirrored to the left half, where log Φ keeps its digits.
            gap = np.abs(y[..., rows, :] - means[rows, :, 0])
            half = half_width[rows, np.newaxis]
            high = log_ndtr((half - gap) / scale)
            low = log_ndtr((-half - gap) / scale)
            # Where both ends round to one place, the one nearer to the mean stands for both.
            terms = high + np.where(low < high, np.log(-np.expm1(low - high)), 0.0)
            centre, width = gap / scale, half / scale
            narrow = (width * (1.0 + centre) < NARROW) & (centre < FAR)
            series = np.log1p((np.square(centre) - 1.0) * np.square(width) / 6.0)
            series += np.log(2.0 * width) - 0.5 * np.square(centre) - HALF_LOG_TWO_PI
            terms = np.where(narrow, series, terms) + np.log(weights[rows])
        result[..., rows] = np.minimum(log_sum_exp(terms), 0.0)
    return result


def energy_score(
    y: FloatArray, size: int, mixture: MixtureKernels, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Estimate E‖Y − y‖ − ½ E‖Y − Y'‖ and the standard error of that, each (N,).

    Every one of `size` independent pairs (Y, Y') gives ½ (‖Y − y‖ + ‖Y' − y‖ − ‖Y − Y'‖), whose
    mean is the score.

    Args:
        y: Targets (N, D).
        size: Number of pairs, at least 2.
        mixture: Mixtures of N rows.
        rng: Source of random numbers.
    """
    num_rows, event_size = y.shape
    score, error = np.empty(num_rows), np.empty(num_rows)
    for rows in row_blocks(num_rows, 2 * size * event_size):
        draws = mixture[rows]._sample(2 * size, rng)
        first, second = draws[:size], draws[size:]
        values = _length(first - y[rows]) + _length(second - y[rows]) - _length(first - second)
        # In units of the largest value, since sums and squares of such might overflow.
        unit = np.maximum(np.abs(values).max(axis=0), np.finfo(np.float64).tiny)
        values /= unit
        unit *= 0.5
        score[rows] = unit * values.mean(axis=0)
        error[rows] = unit * values.std(axis=0, ddof=1) / math.sqrt(size)
    return score, error


def _length(vectors: FloatArray) -> FloatArray:
    """Return the Euclidean length of vectors (..., D)."""
    # Squares would overflow or vanish beyond 1e±154.
    result: FloatArray = np.hypot.reduce(vectors, axis=-1)
    return result
