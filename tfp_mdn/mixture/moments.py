"""Kernels for the mean, variance and covariance of mixtures, free of cancellation.

Shapes: weights (N, K), means and variances (N, K, D), covariances (N, K, D, D) or None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray

__all__ = ["covariance", "mean", "variance", "variance_between", "variance_within"]


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
    deviations = _deviations(weights, means, mean(weights, means))
    weighted = weights[..., np.newaxis] * deviations
    result: FloatArray = np.swapaxes(weighted, 1, 2) @ deviations
    if covariances is None:
        diagonal = np.arange(means.shape[2])
        result[:, diagonal, diagonal] += variance_within(weights, variances)
    else:
        result += np.einsum("nk,nkij->nij", weights, covariances)
    # The products above are rounded in an order that the matrix multiplication chooses.
    return 0.5 * (result + np.swapaxes(result, 1, 2))


def _deviations(weights: FloatArray, means: FloatArray, centre: FloatArray) -> FloatArray:
    """Return μₖ − centre (N, K, D), with 0 for components of weight 0, however far they are."""
    with np.errstate(over="ignore"):
        deviations = means - centre[:, np.newaxis, :]
    deviations[weights == 0.0] = 0.0
    return deviations
