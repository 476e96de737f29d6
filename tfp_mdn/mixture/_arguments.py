"""Checks of what a mixture is asked: targets, rows, probability levels and dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfp_mdn._validation import FloatArray, as_finite_array, as_float_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["as_dimensions", "as_each_dimension", "as_levels", "as_row_index", "as_targets"]


def as_targets(
    name: str,
    value: ArrayLike,
    num_inputs: int,
    event_size: int,
    *,
    allow_infinite: bool = False,
    allow_grid: bool = True,
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
        allow_grid: Whether a grid is allowed.

    Returns:
        Array (N, D) or (M, N, D), possibly a read-only view.

    Raises:
        TypeError: If the elements are not real numbers, or a distribution is given.
        ValueError: If the shape is another or ambiguous, or a value is not finite.

    Example:
        >>> as_targets("y", [1.0, 2.0, 3.0], num_inputs=3, event_size=1).shape
        (3, 1)
        >>> as_targets("y", [[[0.0]], [[0.5]]], num_inputs=3, event_size=1).shape
        (2, 3, 1)
    """
    if hasattr(value, "log_prob"):
        msg = f"{name} must be an array of targets, got a distribution ({type(value).__name__})."
        raise TypeError(msg)
    if allow_infinite:
        array = as_float_array(name, value)
        as_finite_array(name, np.where(np.isinf(array), 0.0, array))
    else:
        array = as_finite_array(name, value)
    rows = (num_inputs, event_size)
    if array.shape == rows:
        return array
    if event_size == 1 and array.ndim == 0:
        return np.broadcast_to(array, rows)
    if event_size == 1 and array.shape == (num_inputs,):
        return array[:, np.newaxis]
    if num_inputs == 1 and array.shape == (event_size,):
        return array[np.newaxis, :]
    if not allow_grid:
        msg = f"{name} must hold one target a row, (N, D) = {rows}, got shape {array.shape}."
        raise ValueError(msg)
    if array.ndim == 3 and array.shape[1] in {1, num_inputs} and array.shape[2] == event_size:
        return np.broadcast_to(array, (array.shape[0], *rows))
    if event_size == 1 and array.ndim == 2 and array.shape[1] == num_inputs:
        return array[..., np.newaxis]
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


def as_levels(name: str, value: ArrayLike) -> FloatArray:
    """Return probabilities as an array () or (Q,).

    Raises:
        TypeError: If the elements are not real numbers.
        ValueError: If there is more than one axis, or a value is not from 0 to 1.
    """
    levels = as_finite_array(name, value)
    if levels.ndim > 1:
        msg = f"{name} must be one level or an array (Q,), got shape {levels.shape}."
        raise ValueError(msg)
    outside = (levels < 0.0) | (levels > 1.0)
    if outside.any():
        msg = (
            f"{name} must hold levels from 0 to 1, got {float(levels[outside][0])}. "
            "Divide percentages by 100."
        )
        raise ValueError(msg)
    return levels


def as_dimensions(name: str, value: object, event_size: int) -> list[int]:
    """Return dimensions as distinct numbers from 0 to D - 1.

    Raises:
        TypeError: If they are not integers.
        ValueError: If there is none, one is repeated or one does not exist.
    """
    try:
        given = np.atleast_1d(np.asarray(value))
    except ValueError:
        given = np.array([value], dtype=object)
    if given.size and (given.dtype.kind not in "iu" or given.ndim > 1):
        msg = f"{name} must be an integer or a sequence of integers, got {value!r}."
        raise TypeError(msg)
    if not given.size:
        msg = f"{name} must name at least one dimension, got none."
        raise ValueError(msg)
    outside = (given < -event_size) | (given >= event_size)
    if outside.any():
        msg = f"{name} must be from 0 to D - 1 = {event_size - 1}, got {given[outside][0]}."
        raise ValueError(msg)
    dims = [int(d) % event_size for d in given]
    if len(set(dims)) < len(dims):
        msg = f"{name} must not repeat a dimension, got {value!r}."
        raise ValueError(msg)
    return dims


def as_each_dimension(name: str, value: ArrayLike, num_inputs: int, event_size: int) -> FloatArray:
    """Return numbers for each row and dimension (N, D), from a number, (D,) or (N, D).

    Raises:
        TypeError: If the elements are not real numbers.
        ValueError: If a value is not finite, or the shape is another.
    """
    array = as_finite_array(name, value)
    rows = num_inputs, event_size
    if array.shape not in {(), rows[1:], rows}:
        msg = (
            f"{name} must be a number or have shape (D,) = ({rows[1]},) or (N, D) = {rows}, "
            f"got shape {array.shape}."
        )
        raise ValueError(msg)
    return np.broadcast_to(array, rows)


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
