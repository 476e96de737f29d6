"""Kernels in log space for the density, distribution function and responsibilities of mixtures.

Shapes: y (N, D) or (M, N, D), weights (N, K), means and variances (N, K, D), covariances
(N, K, D, D) or None. The kernels check nothing; `MixtureParameters` has the checked methods.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_ndtr, ndtr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tfp_mdn._validation import FloatArray

__all__ = [
    "cdf",
    "cholesky_factors",
    "line_components",
    "log_cdf",
    "log_joint",
    "log_prob",
    "log_sum_exp",
    "resolved_components",
    "responsibilities",
    "row_blocks",
]

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)

# Elements of one temporary (..., rows, K): without a bound, a million rows of ten components
# would walk arrays of 80 MB through memory once for every operation instead of staying in cache.
BLOCK_SIZE = 1 << 17

# Standardised residuals of correlated components are held to this: its square overflows, so the
# density is 0 as it must be, but without the bound 0 * inf would turn it into NaN.
LARGEST_RESIDUAL = 1e200

# No standard deviation counts as less than this many steps between float64 numbers at the mean:
# on a narrower component no slope could be seen, and its mode would be missed.
RESOLUTION = 4.0


def row_blocks(num_rows: int, row_size: int) -> Iterator[slice]:
    """Yield slices that cover `num_rows` in order, with about `BLOCK_SIZE` elements in each.

    Args:
        num_rows: Number of rows N.
        row_size: Elements of a temporary that one row costs.

    Example:
        >>> [block.indices(5)[:2] for block in row_blocks(5, row_size=BLOCK_SIZE // 2)]
        [(0, 2), (2, 4), (4, 5)]
    """
    step = max(1, BLOCK_SIZE // max(1, row_size))
    for start in range(0, num_rows, step):
        yield slice(start, start + step)


def cholesky_factors(covariances: FloatArray) -> FloatArray:
    """Return the lower triangular L with L Lᵀ = Σ of every matrix, (..., D, D)."""
    return np.linalg.cholesky(covariances).astype(np.float64, copy=False)


def log_sum_exp(terms: FloatArray) -> FloatArray:
    """Return log Σₖ exp(terms[..., k]); a row of -inf gives -inf.

    Args:
        terms: Array (..., K) without NaN or +inf.

    Returns:
        Array (...).

    Example:
        >>> bool(np.isclose(log_sum_exp(np.array([-1000.0, -1000.0])), np.log(2.0) - 1000.0))
        True
    """
    peak = terms.max(axis=-1)
    # exp(-inf - (-inf)) would be NaN; subtracting 0 instead leaves exp(-inf) = 0.
    shift = np.where(np.isneginf(peak), 0.0, peak)
    scaled = terms - shift[..., np.newaxis]
    np.exp(scaled, out=scaled)
    with np.errstate(divide="ignore"):
        result: FloatArray = np.log(scaled.sum(axis=-1)) + shift
    return result


def log_joint(
    y: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    variances: FloatArray,
    covariances: FloatArray | None = None,
) -> FloatArray:
    r"""Return log wₖ + log N(y | μₖ, Σₖ) for every component.

    With Σ = L Lᵀ the residual z solves L z = y − μ by forward substitution, so that

        log N(y | μ, Σ) = −½ zᵀz − Σ_d log L_dd − ½ D log 2π,

    without a matrix inverse or a determinant. A component of weight 0 gives -inf.

    Args:
        y: Targets (..., N, D).
        weights: Component weights (N, K).
        means: Component means (N, K, D).
        variances: Component variances (N, K, D).
        covariances: Component covariances (N, K, D, D), or None for diagonal ones.

    Returns:
        Array (..., N, K), in nats.
    """
    event_size = means.shape[-1]
    factors = None if covariances is None or event_size == 1 else cholesky_factors(covariances)
    squares = np.zeros((*y.shape[:-1], weights.shape[-1]))
    residuals: list[FloatArray] = []
    with np.errstate(divide="ignore", over="ignore"):
        constant = np.log(weights)
        for d in range(event_size):
            residual = y[..., np.newaxis, d] - means[..., d]
            if factors is None:
                scale = np.sqrt(variances[..., d])
                residual /= scale
            else:
                for j, earlier in enumerate(residuals):
                    residual -= factors[..., d, j] * earlier
                scale = factors[..., d, d]
                residual /= scale
                np.clip(residual, -LARGEST_RESIDUAL, LARGEST_RESIDUAL, out=residual)
                residuals.append(residual)
            constant -= np.log(scale)
            squares += np.square(residual)
    constant -= event_size * HALF_LOG_TWO_PI
    squares *= -0.5
    squares += constant
    return squares


def log_prob(
    y: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    variances: FloatArray,
    covariances: FloatArray | None = None,
) -> FloatArray:
    """Return log p(y) = log Σₖ wₖ N(y | μₖ, Σₖ), (..., N), in nats.

    Args:
        y: Targets (..., N, D).
        weights: Component weights (N, K).
        means: Component means (N, K, D).
        variances: Component variances (N, K, D).
        covariances: Component covariances (N, K, D, D), or None for diagonal ones.
    """
    result = np.empty(y.shape[:-1])
    for rows in _blocks(y, means):
        block = None if covariances is None else covariances[rows]
        terms = log_joint(y[..., rows, :], weights[rows], means[rows], variances[rows], block)
        result[..., rows] = log_sum_exp(terms)
    return result


def responsibilities(
    y: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    variances: FloatArray,
    covariances: FloatArray | None = None,
) -> FloatArray:
    """Return p(component k | y) = wₖ N(y | μₖ, Σₖ) / p(y), (..., N, K).

    Rows sum to 1. A row is NaN where p(y) is 0 even in log space, that is, beyond 1e154 standard
    deviations from every component.

    Args:
        y: Targets (..., N, D).
        weights: Component weights (N, K).
        means: Component means (N, K, D).
        variances: Component variances (N, K, D).
        covariances: Component covariances (N, K, D, D), or None for diagonal ones.
    """
    result = np.empty((*y.shape[:-1], weights.shape[-1]))
    for rows in _blocks(y, means):
        block = None if covariances is None else covariances[rows]
        terms = log_joint(y[..., rows, :], weights[rows], means[rows], variances[rows], block)
        # Relative to the peak and not to log p(y): far out, where the terms are huge, log p(y)
        # rounds away the logarithm of the number of components that share it.
        peak = terms.max(axis=-1, keepdims=True)
        terms -= np.where(np.isneginf(peak), np.nan, peak)
        np.exp(terms, out=terms)
        np.divide(terms, terms.sum(axis=-1, keepdims=True), out=result[..., rows, :])
    return result


def cdf(y: FloatArray, weights: FloatArray, means: FloatArray, variances: FloatArray) -> FloatArray:
    """Return P(Y ≤ y) = Σₖ wₖ Φ((y − μₖ) / σₖ) for D = 1, (..., N).

    Args:
        y: Targets (..., N, 1), infinite values allowed.
        weights: Component weights (N, K).
        means: Component means (N, K, 1).
        variances: Component variances (N, K, 1).
    """
    result = np.empty(y.shape[:-1])
    for rows in _blocks(y, means):
        with np.errstate(over="ignore"):
            terms = (y[..., rows, :] - means[rows, :, 0]) / np.sqrt(variances[rows, :, 0])
        ndtr(terms, out=terms)
        terms *= weights[rows]
        terms.sum(axis=-1, out=result[..., rows])
    # The weights sum to 1 but for rounding, and a probability must not exceed it.
    return np.minimum(result, 1.0, out=result)


def log_cdf(
    y: FloatArray, weights: FloatArray, means: FloatArray, variances: FloatArray
) -> FloatArray:
    """Return log P(Y ≤ y) for D = 1, (..., N), in nats, right to its last digits at both ends.

    Args:
        y: Targets (..., N, 1), infinite values allowed.
        weights: Component weights (N, K).
        means: Component means (N, K, 1).
        variances: Component variances (N, K, 1).
    """
    result = np.empty(y.shape[:-1])
    for rows in _blocks(y, means):
        with np.errstate(over="ignore", divide="ignore"):
            terms = (y[..., rows, :] - means[rows, :, 0]) / np.sqrt(variances[rows, :, 0])
            log_weights = np.log(weights[rows])
            # Near 1 the complement has the digits: log F = log1p(-(1 - F)).
            above = np.minimum((ndtr(-terms) * weights[rows]).sum(axis=-1), 1.0)
            below = log_sum_exp(log_ndtr(terms) + log_weights)
            result[..., rows] = np.where(above < 0.5, np.log1p(-above), np.minimum(below, 0.0))
    return result


def line_components(
    weights: FloatArray, means: FloatArray, variances: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return weights, means and scales for D = 1 as contiguous arrays (K, N).

    A component of weight 0 gets the place of the heaviest one, since its own could lie so far out
    that arithmetic with it overflows. With the components first, sums over them run along rows.

    Args:
        weights: Component weights (N, K).
        means: Component means (N, K, 1).
        variances: Component variances (N, K, 1).
    """
    mean, variance = means[..., 0], variances[..., 0]
    empty = weights == 0.0
    if empty.any():
        heaviest = np.arange(len(weights))[:, np.newaxis], weights.argmax(axis=1)[:, np.newaxis]
        mean = np.where(empty, mean[heaviest], mean)
        variance = np.where(empty, variance[heaviest], variance)
    return (
        np.ascontiguousarray(weights.T),
        np.ascontiguousarray(mean.T),
        np.sqrt(np.ascontiguousarray(variance.T)),
    )


def resolved_components(
    weights: FloatArray, means: FloatArray, variances: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return weights, means and scales (K, N), no scale below the resolution at its mean.

    Args:
        weights: Component weights (N, K).
        means: Component means (N, K, 1).
        variances: Component variances (N, K, 1).
    """
    weights, means, scales = line_components(weights, means, variances)
    return weights, means, np.maximum(scales, RESOLUTION * np.spacing(np.abs(means)))


def _blocks(y: FloatArray, means: FloatArray) -> Iterator[slice]:
    """Yield row slices for which the temporaries (..., rows, K) have a bounded size."""
    num_rows, num_components, _ = means.shape
    return row_blocks(num_rows, math.prod(y.shape[:-2]) * num_components)
