"""Checks of mixture parameters, which turn them into plain arrays for the kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfp_mdn._validation import FloatArray, as_finite_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["as_covariances", "as_per_component", "as_weights"]

# Softmax outputs in float32 sum to 1 only within about 1e-6, and a float32 covariance is symmetric
# and agrees with its variances only as closely; a wider gap than this is a mistake.
TOLERANCE = 1e-5


def _unshared(array: FloatArray) -> FloatArray:
    """Return an array that nobody else can write to: a copy, unless it is read-only and no view."""
    return array if array.base is None and not array.flags.writeable else array.copy()


def as_weights(value: ArrayLike) -> FloatArray:
    """Return component weights (N, K) as an unshared array whose rows sum to 1.

    A row that sums to 1 up to rounding is left as it is, so that a second check changes nothing.

    Raises:
        TypeError: If the elements are not real numbers.
        ValueError: If the shape is not (N, K), a value is negative or not finite, or a row does
            not sum to 1 within 1e-5.
    """
    weights = _unshared(as_finite_array("weights", value))
    if weights.ndim != 2 or weights.shape[1] == 0:
        msg = (
            f"weights must have shape (N, K) with K >= 1, got shape {weights.shape}. "
            "For a single mixture use weights[np.newaxis, :]."
        )
        raise ValueError(msg)
    if (weights < 0.0).any():
        place, found = _first(weights < 0.0, weights)
        msg = (
            f"weights must not be negative, got {found} at index {place}. "
            "If these are logits, apply a softmax over the last axis first."
        )
        raise ValueError(msg)
    totals = weights.sum(axis=1)
    wrong = np.abs(totals - 1.0) > TOLERANCE
    if wrong.any():
        place, found = _first(wrong, totals)
        msg = (
            f"weights must sum to 1 along each row within {TOLERANCE:g}, "
            f"got a sum of {found:.9g} in row {place[0]}. "
            "Divide by weights.sum(axis=1, keepdims=True) if they are unnormalised."
        )
        raise ValueError(msg)
    rounding = weights.shape[1] * np.finfo(np.float64).eps
    inexact = np.abs(totals - 1.0) > rounding
    if inexact.any():
        weights = weights if weights.flags.writeable else weights.copy()
        weights[inexact] /= totals[inexact, np.newaxis]
    return weights


def as_per_component(
    name: str, value: ArrayLike, weights: FloatArray, *, positive: bool = False
) -> FloatArray:
    """Return means or variances as an unshared array (N, K, D); (N, K) becomes (N, K, 1).

    Raises:
        TypeError: If the elements are not real numbers.
        ValueError: If the shape does not fit the weights (N, K), or a value is not finite, or
            not positive where it has to be.
    """
    array = _unshared(as_finite_array(name, value))
    expected = weights.shape
    if array.shape == expected:
        array = array[..., np.newaxis]
    if array.ndim != 3 or array.shape[:2] != expected or array.shape[2] == 0:
        msg = (
            f"{name} must have shape (N, K, D) with (N, K) = {expected} like weights, "
            f"or (N, K) for D = 1, got shape {np.shape(value)}."
        )
        raise ValueError(msg)
    if positive and (array <= 0.0).any():
        place, found = _first(array <= 0.0, array)
        msg = f"{name} must be positive, got {found} at index {place}."
        raise ValueError(msg)
    return array


def as_covariances(value: ArrayLike, variances: FloatArray) -> FloatArray:
    """Return covariances (N, K, D, D) as a fresh array of exactly symmetric matrices.

    Raises:
        TypeError: If the elements are not real numbers.
        ValueError: If the shape does not fit the variances (N, K, D), a value is not finite, or a
            matrix is not symmetric, has another diagonal than the variances, or is not positive
            definite.
    """
    array = as_finite_array("covariances", value)
    expected = (*variances.shape, variances.shape[-1])
    if array.shape != expected:
        msg = (
            f"covariances must have shape (N, K, D, D) = {expected} to go with variances "
            f"{variances.shape}, got shape {array.shape}."
        )
        raise ValueError(msg)
    diagonal = np.diagonal(array, axis1=-2, axis2=-1)
    differs = np.abs(diagonal - variances) > TOLERANCE * variances
    if differs.any():
        place, found = _first(differs, diagonal)
        msg = (
            f"covariances must have the variances on their diagonal, got {found} at index "
            f"{(*place, place[-1])} where variances has {variances[place]}. "
            "Pass variances=np.diagonal(covariances, axis1=-2, axis2=-1)."
        )
        raise ValueError(msg)
    transposed = np.swapaxes(array, -1, -2)
    scale = np.sqrt(diagonal)
    # Relative to both standard deviations, so that dimensions of unlike units are judged alike.
    unit = scale[..., :, np.newaxis] * scale[..., np.newaxis, :]
    with np.errstate(over="ignore"):
        skew = np.abs(array - transposed) > TOLERANCE * unit
    if skew.any():
        place, found = _first(skew, array)
        mirror = (*place[:2], place[3], place[2])
        msg = (
            f"covariances must be symmetric, got {found} at index {place} and {array[mirror]} at "
            f"index {mirror}. A Cholesky factor L gives the covariance L @ L.T."
        )
        raise ValueError(msg)
    array = 0.5 * array + 0.5 * transposed
    if not _has_cholesky_factors(array):
        matrices = np.ndindex(*array.shape[:2])
        place = next(index for index in matrices if not _has_cholesky_factors(array[index]))
        msg = (
            f"covariances must be positive definite, but the matrix at index {place} is not. "
            "If it was computed in float32, compute it in float64."
        )
        raise ValueError(msg)
    return array


def _first(bad: NDArray[np.bool_], values: FloatArray) -> tuple[tuple[int, ...], float]:
    """Return the first index where `bad` holds, and the value that stands there."""
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    return place, float(values[place])


def _has_cholesky_factors(matrices: FloatArray) -> bool:
    """Return whether all matrices (..., D, D) are positive definite."""
    try:
        np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        return False
    return True
