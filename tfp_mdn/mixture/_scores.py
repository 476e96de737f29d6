"""Kernels of the scores that have a formula of their own; the functions are in `scores`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import erf, log_ndtr

from tfp_mdn.mixture.density import line_components, log_sum_exp, row_blocks
from tfp_mdn.mixture.sampling import sample

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray

__all__ = ["censored_log_prob", "crps", "energy_score"]

ROOT_HALF = math.sqrt(0.5)
ROOT_TWO_OVER_PI = math.sqrt(2.0 / math.pi)
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)

# Below this half width, in standard deviations times 1 + |z|, the difference of two values of the
# distribution function loses digits, and the first two terms of its Taylor series have them all.
NARROW = 1e-3


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
    for rows in row_blocks(num_rows, max(num_components, math.prod(y.shape[:-2]))):
        share, mean, scale = line_components(weights[rows], means[rows], variances[rows])
        variance = np.square(scale)
        # A(0, √2 σ) = 2σ / √π stands on the diagonal.
        spread = np.einsum("kb,kb,kb->b", share, share, scale) / math.sqrt(math.pi)
        distance = np.zeros_like(y[..., rows, 0])
        # Fresh arrays of this size cost more than the arithmetic in them.
        gap, width, kernel = np.empty((3, *share.shape))
        for k in range(num_components):
            away = y[..., rows, 0] - mean[k]
            distance += share[k] * _mean_size(away, scale[k], np.empty_like(away))
            rest = slice(k + 1, None)
            np.subtract(mean[rest], mean[k], out=gap[rest])
            np.add(variance[rest], variance[k], out=width[rest])
            np.sqrt(width[rest], out=width[rest])
            pairs = _mean_size(gap[rest], width[rest], kernel[rest])
            spread += share[k] * np.einsum("kb,kb->b", share[rest], pairs)
        # Not negative but for rounding, where the target sits in the middle of narrow components.
        result[..., rows] = np.maximum(distance - spread, 0.0)
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
            centre = -np.abs(y[..., rows, :] - means[rows, :, 0]) / scale
            width = half_width[rows, np.newaxis] / scale
            high = log_ndtr(centre + width)
            low = log_ndtr(centre - width)
            terms = high + np.log(-np.expm1(low - high))
            narrow = (width * (1.0 - centre) < NARROW) | np.isneginf(high)
            series = np.log1p((np.square(centre) - 1.0) * np.square(width) / 6.0)
            series += np.log(2.0 * width) - 0.5 * np.square(centre) - HALF_LOG_TWO_PI
            terms = np.where(narrow, series, terms) + np.log(weights[rows])
        result[..., rows] = np.minimum(log_sum_exp(terms), 0.0)
    return result


def energy_score(
    y: FloatArray,
    size: int,
    weights: FloatArray,
    means: FloatArray,
    variances: FloatArray,
    covariances: FloatArray | None,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Estimate E‖Y − y‖ − ½ E‖Y − Y'‖ and the standard error of that, each (N,).

    Every one of `size` independent pairs (Y, Y') gives ½ (‖Y − y‖ + ‖Y' − y‖ − ‖Y − Y'‖), whose
    mean is the score.

    Args:
        y: Targets (N, D).
        size: Number of pairs, at least 2.
        weights: Component weights (N, K).
        means: Component means (N, K, D).
        variances: Component variances (N, K, D).
        covariances: Component covariances (N, K, D, D), or None for diagonal ones.
        rng: Source of random numbers.
    """
    num_rows, _, event_size = means.shape
    score, error = np.empty(num_rows), np.empty(num_rows)
    for rows in row_blocks(num_rows, 2 * size * event_size):
        full = None if covariances is None else covariances[rows]
        arrays = weights[rows], means[rows], variances[rows], full
        draws = sample(2 * size, *arrays, rng)
        first, second = draws[:size], draws[size:]
        values = _length(first - y[rows]) + _length(second - y[rows]) - _length(first - second)
        values *= 0.5
        score[rows] = values.mean(axis=0)
        error[rows] = values.std(axis=0, ddof=1) / math.sqrt(size)
    return score, error


def _mean_size(mean: FloatArray, scale: FloatArray, kernel: FloatArray) -> FloatArray:
    """Return A(μ, σ) = E|μ + σZ| for a standard normal Z; `kernel` is overwritten with it."""
    with np.errstate(over="ignore"):
        residual = mean / scale
        residual *= ROOT_HALF
        np.square(residual, out=kernel)
    np.negative(kernel, out=kernel)
    np.exp(kernel, out=kernel)
    kernel *= scale
    kernel *= ROOT_TWO_OVER_PI
    erf(residual, out=residual)
    residual *= mean
    kernel += residual
    return kernel


def _length(vectors: FloatArray) -> FloatArray:
    """Return the Euclidean length of vectors (..., D)."""
    return np.sqrt(np.einsum("...d,...d->...", vectors, vectors))
