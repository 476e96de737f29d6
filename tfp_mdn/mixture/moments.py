"""Kernels for the mean, variance and covariance of mixtures, free of cancellation.

Shapes: weights (N, K), means and variances (N, K, D), covariances (N, K, D, D) or None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray

__all__ = [
    "covariance",
    "covariance_between",
    "covariance_within",
    "kurtosis",
    "mean",
    "skewness",
    "standardised",
    "stddev",
    "variance",
    "variance_between",
    "variance_within",
]


def mean(weights: FloatArray, means: FloatArray) -> FloatArray:
    """Return E[Y] = Σₖ wₖ μₖ, (N, D), in the target's units.

    Summed as μ* + Σₖ wₖ (μₖ − μ*) around the heaviest component's mean μ*, so that weights whose
    sum is 1 only up to rounding cost nothing where the target sits far from zero.

    Args:
        weights: Component weights (N, K).
        means: Component means (N, K, D).

    Example:
        >>> mean(np.array([[0.25, 0.75]]), np.array([[[0.0], [4.0]]]))
        array([[3.]])
    """
    heaviest = weights.argmax(axis=1)
    centre: FloatArray = means[np.arange(len(means)), heaviest]
    offset: FloatArray = np.einsum("nk,nkd->nd", weights, _deviations(weights, means, centre))
    return centre + offset


def variance_within(weights: FloatArray, variances: FloatArray) -> FloatArray:
    """Return E[Var(Y | k)] = Σₖ wₖ σₖ², (N, D): the noise inside the components.

    Args:
        weights: Component weights (N, K).
        variances: Component variances (N, K, D).
    """
    result: FloatArray = np.einsum("nk,nkd->nd", weights, variances)
    return result


def variance_between(weights: FloatArray, means: FloatArray) -> FloatArray:
    """Return Var(E[Y | k]) = Σₖ wₖ (μₖ − E[Y])², (N, D): the spread of the component means.

    Args:
        weights: Component weights (N, K).
        means: Component means (N, K, D).
    """
    deviations = _deviations(weights, means, mean(weights, means))
    with np.errstate(over="ignore"):
        result: FloatArray = np.einsum("nk,nkd,nkd->nd", weights, deviations, deviations)
    return result


def variance(weights: FloatArray, means: FloatArray, variances: FloatArray) -> FloatArray:
    """Return Var(Y) = E[Var(Y | k)] + Var(E[Y | k]), (N, D), in the target's units squared.

    This is the law of total variance; both terms are sums of squares, where E[Y²] − E[Y]² would
    lose every digit for a target of 1e9 ± 1.

    Args:
        weights: Component weights (N, K).
        means: Component means (N, K, D).
        variances: Component variances (N, K, D).

    Example:
        >>> variance(np.array([[0.5, 0.5]]), np.array([[[-2.0], [2.0]]]), np.ones((1, 2, 1)))
        array([[5.]])
    """
    return variance_within(weights, variances) + variance_between(weights, means)


def stddev(weights: FloatArray, means: FloatArray, variances: FloatArray) -> FloatArray:
    """Return √Var(Y), (N, D), in the target's units, also where Var(Y) overflows or vanishes.

    Args:
        weights: Component weights (N, K).
        means: Component means (N, K, D).
        variances: Component variances (N, K, D).
    """
    deviations, scales, unit = _relative(weights, means, variances)
    squares = np.square(deviations) + np.square(scales)
    result: FloatArray = unit * np.sqrt(np.einsum("nk,nkd->nd", weights, squares))
    return result


def covariance(
    weights: FloatArray,
    means: FloatArray,
    variances: FloatArray,
    covariances: FloatArray | None = None,
) -> FloatArray:
    """Return Cov(Y) = E[Cov(Y | k)] + Cov(E[Y | k]), (N, D, D), in the target's units squared.

    Args:
        weights: Component weights (N, K).
        means: Component means (N, K, D).
        variances: Component variances (N, K, D).
        covariances: Component covariances (N, K, D, D), or None for diagonal ones.
    """
    return covariance_within(weights, variances, covariances) + covariance_between(weights, means)


def covariance_within(
    weights: FloatArray, variances: FloatArray, covariances: FloatArray | None = None
) -> FloatArray:
    """Return E[Cov(Y | k)] = Σₖ wₖ Σₖ, (N, D, D): the noise inside the components.

    Args:
        weights: Component weights (N, K).
        variances: Component variances (N, K, D).
        covariances: Component covariances (N, K, D, D), or None for diagonal ones.
    """
    if covariances is not None:
        result: FloatArray = np.einsum("nk,nkij->nij", weights, covariances)
        return result
    num_rows, _, event_size = variances.shape
    result = np.zeros((num_rows, event_size, event_size))
    diagonal = np.arange(event_size)
    result[:, diagonal, diagonal] = variance_within(weights, variances)
    return result


def covariance_between(weights: FloatArray, means: FloatArray) -> FloatArray:
    """Return Cov(E[Y | k]) = Σₖ wₖ (μₖ − E[Y]) (μₖ − E[Y])ᵀ, (N, D, D): the spread of the means.

    Args:
        weights: Component weights (N, K).
        means: Component means (N, K, D).
    """
    deviations = _deviations(weights, means, mean(weights, means))
    weighted = weights[..., np.newaxis] * deviations
    with np.errstate(over="ignore"):
        result: FloatArray = np.swapaxes(weighted, 1, 2) @ deviations
    # The products above are rounded in an order that the matrix multiplication chooses.
    return 0.5 * (result + np.swapaxes(result, 1, 2))


def skewness(weights: FloatArray, means: FloatArray, variances: FloatArray) -> FloatArray:
    """Return E[(Y − E[Y])³] / Var(Y)^(3/2) = Σₖ wₖ (δₖ³ + 3 δₖ sₖ²) for D = 1, (N,).

    δₖ and sₖ are the components' deviations from the mean and their scales, both in units of the
    mixture's own standard deviation.

    Args:
        weights: Component weights (N, K).
        means: Component means (N, K, 1).
        variances: Component variances (N, K, 1).
    """
    deviation, spread = standardised(weights, means, variances)
    result: FloatArray = np.einsum(
        "nk,nk->n", weights, deviation * (np.square(deviation) + 3.0 * spread)
    )
    return result


def kurtosis(weights: FloatArray, means: FloatArray, variances: FloatArray) -> FloatArray:
    """Return the excess E[(Y − E[Y])⁴] / Var(Y)² − 3 for D = 1, (N,); 0 for one component.

    With δₖ and sₖ as for the skewness, and since Σₖ wₖ (δₖ² + sₖ²) = 1, it is
    Σₖ wₖ (δₖ⁴ + 6 δₖ² sₖ² + 3 sₖ⁴) − 3 = 3 Σₖ wₖ (δₖ² + sₖ² − 1)² − 2 Σₖ wₖ δₖ⁴.

    Args:
        weights: Component weights (N, K).
        means: Component means (N, K, 1).
        variances: Component variances (N, K, 1).
    """
    deviation, spread = standardised(weights, means, variances)
    squares = np.square(deviation)
    terms = 3.0 * np.square(squares + spread - 1.0) - 2.0 * np.square(squares)
    result: FloatArray = np.einsum("nk,nk->n", weights, terms)
    return result


def standardised(
    weights: FloatArray, means: FloatArray, variances: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return deviations from the mean and variances (N, K) in units of the mixture's spread."""
    deviations, scales, _ = (part[..., 0] for part in _relative(weights, means, variances))
    spread = np.square(scales)
    total = np.einsum("nk,nk->n", weights, np.square(deviations) + spread)[:, np.newaxis]
    return deviations / np.sqrt(total), spread / total


def _relative(
    weights: FloatArray, means: FloatArray, variances: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return deviations from the mean and scales (N, K, D) relative to a unit, and it (N, D).

    The unit is the largest of them, so that squares do not overflow. A component of weight 0 has
    neither deviation nor scale.
    """
    deviations = _deviations(weights, means, mean(weights, means))
    scales = np.where(weights[..., np.newaxis] == 0.0, 0.0, np.sqrt(variances))
    unit = np.maximum(np.abs(deviations), scales).max(axis=1)
    return deviations / unit[:, np.newaxis], scales / unit[:, np.newaxis], unit


def _deviations(weights: FloatArray, means: FloatArray, centre: FloatArray) -> FloatArray:
    """Return μₖ − centre (N, K, D), with 0 for components of weight 0, however far they are."""
    with np.errstate(over="ignore"):
        deviations = means - centre[:, np.newaxis, :]
    deviations[weights == 0.0] = 0.0
    return deviations
