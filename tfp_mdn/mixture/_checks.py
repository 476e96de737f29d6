"""Checks of mixture parameters and targets, which turn them into plain arrays for the kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfp_mdn._validation import FloatArray, as_finite_array, as_float_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["as_covariances", "as_per_component", "as_row_index", "as_targets", "as_weights"]

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
    skew = np.abs(array - transposed) > TOLERANCE * unit
    if skew.any():
        place, found = _first(skew, array)
        mirror = (*place[:2], place[3], place[2])
        msg = (
            f"covariances must be symmetric, got {found} at index {place} and {array[mirror]} at "
            f"index {mirror}. A Cholesky factor L gives the covariance L @ L.T."
        )
        raise ValueError(msg)
    array = 0.5 * (array + transposed)
    if not _has_cholesky_factors(array):
        matrices = np.ndindex(*array.shape[:2])
        place = next(index for index in matrices if not _has_cholesky_factors(array[index]))
        msg = (
            f"covariances must be positive definite, but the matrix at index {place} is not. "
            "If it was computed in float32, compute it in float64."
        )
        raise ValueError(msg)
    return array


def as_targets(
    name: str,
    value: ArrayLike,
    num_inputs: int,
    event_size: int,
    *,
    allow_infinite: bool = False,
) -> FloatArray:
    """Return targets as an array (N, D), one for each row, or (M, N, D), a grid of M for each row.

    One value a row: (N, D), and for D = 1 also (N,) or a scalar that every row shares. For N = 1
    a single target (D,) is taken as well. A grid: (M, N, D) or (M, 1, D), and for D = 1 also
    (M, N). (N, 1) is always one value a row. Everything else would have to be guessed, above all
    (M,) and (M, 1) with M ≠ N: a grid, or targets of other rows than these?

    Args:
        name: Name of the argument, for the message.
        value: The targets.
        num_inputs: N of the mixture.
        event_size: D of the mixture.
        allow_infinite: Whether -inf and +inf are allowed; NaN never is.

    Returns:
        Array (N, D) or (M, N, D), possibly a read-only view.

    Raises:
        TypeError: If the elements are not real numbers.
        ValueError: If the shape is another or ambiguous, or a value is not finite.

    Example:
        >>> as_targets("y", [1.0, 2.0, 3.0], num_inputs=3, event_size=1).shape
        (3, 1)
        >>> as_targets("y", [[[0.0]], [[0.5]]], num_inputs=3, event_size=1).shape
        (2, 3, 1)
    """
    if allow_infinite:
        array = as_float_array(name, value)
        as_finite_array(name, np.where(np.isinf(array), 0.0, array))
    else:
        array = as_finite_array(name, value)
    rows = (num_inputs, event_size)
    if array.shape == rows:
        return array
    if array.ndim == 3 and array.shape[1] in {1, num_inputs} and array.shape[2] == event_size:
        return np.broadcast_to(array, (array.shape[0], *rows))
    if event_size == 1:
        if array.ndim == 0:
            return np.broadcast_to(array, rows)
        if array.shape == (num_inputs,):
            return array[:, np.newaxis]
        if array.ndim == 2 and array.shape[1] == num_inputs:
            return array[..., np.newaxis]
    elif num_inputs == 1 and array.shape == (event_size,):
        return array[np.newaxis, :]
    raise ValueError(_targets_message(name, array, num_inputs, event_size))


def as_row_index(rows: object, num_inputs: int) -> slice | NDArray[np.intp]:
    """Return an index that selects rows and keeps their axis.

    Raises:
        IndexError: If a row does not exist, or a mask has another length than N.
        TypeError: If `rows` is neither an integer, a slice, a mask nor an array of integers.
    """
    if isinstance(rows, slice):
        return rows
    index = np.asarray(rows)
    if index.size == 0 and index.ndim == 1 and isinstance(rows, list):
        index = index.astype(np.intp)
    kind = "a scalar" if index.ndim == 0 else f"an array of dtype {index.dtype}"
    if (
        isinstance(rows, tuple)
        or index.dtype.kind not in "biu"
        or (index.dtype.kind == "b" and index.ndim == 0)
    ):
        msg = (
            "rows must be selected with an integer, a slice, a boolean mask or an array of "
            f"integers, got {rows!r} ({kind}). Only the axis N can be indexed; use .weights, "
            ".means or .variances for the others."
        )
        raise TypeError(msg)
    if index.ndim > 1:
        msg = f"an index of rows must have one axis, got shape {index.shape}."
        raise IndexError(msg)
    if index.dtype.kind == "b":
        if len(index) != num_inputs:
            msg = f"a mask of rows must have length N = {num_inputs}, got length {len(index)}."
            raise IndexError(msg)
        return np.flatnonzero(index)
    index = np.atleast_1d(index)
    outside = (index < -num_inputs) | (index >= num_inputs)
    if outside.any():
        msg = f"row {index[outside][0]} does not exist; there are {num_inputs} rows."
        raise IndexError(msg)
    return index.astype(np.intp)


def _targets_message(name: str, array: FloatArray, num_inputs: int, event_size: int) -> str:
    """Return what is wrong with the shape of the targets, and what to do about it."""
    if event_size == 1:
        expected = f"(N,) or (N, 1) with N = {num_inputs}, or (M, N) or (M, 1, 1) for a grid"
    else:
        expected = f"(N, D) = ({num_inputs}, {event_size}), or (M, N, D) or (M, 1, D) for a grid"
    msg = f"{name} must have shape {expected}, got shape {array.shape}."
    if event_size == 1 and array.ndim in {1, 2} and array.shape[1:] in {(), (1,)}:
        msg += (
            f" If these are {array.shape[0]} values to try for every row, "
            f"pass {name}.reshape(-1, 1, 1)."
        )
    elif event_size > 1 and array.ndim == 1 and array.shape[0] == event_size:
        msg += f" If this is one target for every row, pass {name}[np.newaxis, np.newaxis, :]."
    elif event_size > 1 and array.ndim == 2 and array.shape[1] == event_size:
        msg += (
            f" If these are {array.shape[0]} targets to try for every row, "
            f"pass {name}[:, np.newaxis, :]."
        )
    return msg


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
