"""Kernels for marginal, conditional and affinely mapped mixtures, which are mixtures again.

Shapes: weights (N, K), means and variances (N, K, D), covariances (N, K, D, D) or None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfp_mdn.mixture import density

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray

    Arrays = tuple[FloatArray, FloatArray, FloatArray, FloatArray | None]

__all__ = ["condition", "marginal", "transform"]


def marginal(
    dims: list[int],
    weights: FloatArray,
    means: FloatArray,
    variances: FloatArray,
    covariances: FloatArray | None = None,
) -> Arrays:
    """Return the mixture of some dimensions: the same weights, and their part of the parameters.

    Args:
        dims: The dimensions that are kept, in their new order.
        weights: Component weights (N, K).
        means: Component means (N, K, D).
        variances: Component variances (N, K, D).
        covariances: Component covariances (N, K, D, D), or None for diagonal ones.
    """
    full = None
    if covariances is not None and len(dims) > 1:
        full = _part(covariances, dims, dims)
    # Indexing with a list copies, but in an order that is not C's.
    mean, spread = (np.ascontiguousarray(array[..., dims]) for array in (means, variances))
    return weights, mean, spread, full


def condition(
    dims: list[int],
    values: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    variances: FloatArray,
    covariances: FloatArray | None = None,
) -> Arrays:
    """Return the mixture of the other dimensions, a, given the values of these, b.

        wₖ ∝ wₖ N(v | μ_b, Σ_bb),   μ = μ_a + Σ_ab Σ_bb⁻¹ (v − μ_b),   Σ = Σ_aa − Σ_ab Σ_bb⁻¹ Σ_ba

    With Σ_bb = L Lᵀ and C = L⁻¹ Σ_ba, the latter is Σ_aa − Cᵀ C. A row of weights is NaN where
    the values have no density even in log space.

    Args:
        dims: The dimensions that are known.
        values: Their values (N, len(dims)).
        weights: Component weights (N, K).
        means: Component means (N, K, D).
        variances: Component variances (N, K, D).
        covariances: Component covariances (N, K, D, D), or None for diagonal ones.
    """
    rest = [d for d in range(means.shape[2]) if d not in dims]
    known = marginal(dims, weights, means, variances, covariances)
    shares = density.responsibilities(values, *known)
    if covariances is None:
        return (shares, *marginal(rest, weights, means, variances)[1:])
    factors = density.cholesky_factors(_part(covariances, dims, dims))
    gain = np.linalg.solve(factors, _part(covariances, dims, rest))
    offset = values[:, np.newaxis, :] - means[..., dims]
    whitened = np.linalg.solve(factors, offset[..., np.newaxis])[..., 0]
    shifted = means[..., rest] + np.einsum("nkba,nkb->nka", gain, whitened)
    left = _part(covariances, rest, rest) - np.einsum("nkbi,nkbj->nkij", gain, gain)
    left = 0.5 * (left + np.swapaxes(left, -1, -2))
    return shares, shifted, _diagonal(left), left if len(rest) > 1 else None


def transform(
    loc: FloatArray,
    scale: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    variances: FloatArray,
    covariances: FloatArray | None = None,
) -> Arrays:
    """Return the mixture of loc + scale Y, dimension by dimension.

    Args:
        loc: Offsets (N, D).
        scale: Factors (N, D), none of them 0.
        weights: Component weights (N, K).
        means: Component means (N, K, D).
        variances: Component variances (N, K, D).
        covariances: Component covariances (N, K, D, D), or None for diagonal ones.
    """
    factor = scale[:, np.newaxis, :]
    full = None
    if covariances is not None:
        full = covariances * factor[..., :, np.newaxis] * factor[..., np.newaxis, :]
    spread = variances * np.square(factor) if full is None else _diagonal(full)
    return weights, loc[:, np.newaxis, :] + factor * means, spread, full


def _part(matrices: FloatArray, rows: list[int], columns: list[int]) -> FloatArray:
    """Return the chosen rows and columns of matrices (..., D, D)."""
    return np.ascontiguousarray(matrices[..., rows, :][..., columns])


def _diagonal(matrices: FloatArray) -> FloatArray:
    """Return a copy of the diagonals (..., D) of matrices (..., D, D)."""
    return np.diagonal(matrices, axis1=-2, axis2=-1).copy()
