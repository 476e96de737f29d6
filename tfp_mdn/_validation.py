"""Checks of arguments whose messages name the argument, what was expected and what was given."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "FloatArray",
    "as_choice",
    "as_finite_array",
    "as_float_array",
    "as_generator",
    "as_real",
    "as_real_array",
    "as_rows",
    "as_whole_number",
    "as_whole_numbers",
    "check_finite",
    "reject_masked",
]

FloatArray = NDArray[np.float64]


def as_float_array(name: str, value: ArrayLike) -> FloatArray:
    """Return `value` as a float64 array; booleans, text, objects and complex numbers are refused.

    Args:
        name: Name of the argument, for the message.
        value: Anything that NumPy turns into an array of integers or floats.

    Returns:
        A float64 array of the same shape; the input itself when it is one already.

    Raises:
        TypeError: If the elements are not real numbers.
        ValueError: If nested sequences have uneven lengths.
    """
    return as_real_array(name, value).astype(np.float64, copy=False)


def as_real_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return `value` as an array of integers or floats, whatever their width.

    Raises:
        TypeError: If the elements are not real numbers.
        ValueError: If nested sequences have uneven lengths, or values are masked.
    """
    reject_masked(name, value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        msg = f"{name} must be a rectangular array of numbers; its rows have different lengths."
        raise ValueError(msg) from error
    if array.dtype.kind not in "iuf":
        msg = (
            f"{name} must hold real numbers, got dtype {array.dtype}. "
            f"Convert it first, for instance with {name}.astype('float64')."
        )
        raise TypeError(msg)
    return array


def reject_masked(name: str, value: Any) -> None:
    """Raise if values are masked: as an array they would come back as if they had been seen.

    Raises:
        ValueError: If an element is masked.
    """
    if np.ma.is_masked(value):
        msg = f"{name} has masked values. Drop or fill them first."
        raise ValueError(msg)


def as_finite_array(name: str, value: ArrayLike) -> FloatArray:
    """Return `value` as a float64 array without NaN or infinity.

    Raises:
        TypeError: If the elements are not real numbers.
        ValueError: If an element is NaN or infinite; the message counts them and names the first.
    """
    array = as_float_array(name, value)
    check_finite(name, array)
    return array


def check_finite(name: str, array: NDArray[Any]) -> None:
    """Raise if an array of numbers holds NaN or infinity.

    Raises:
        ValueError: If an element is NaN or infinite; the message counts them and names the first.
    """
    finite = np.isfinite(array)
    if not finite.all():
        bad = np.argwhere(~finite)
        first = tuple(int(i) for i in bad[0])
        place = f" at index {first if len(first) > 1 else first[0]}" if first else ""
        msg = (
            f"{name} must be finite: {len(bad)} of {array.size} values are NaN or infinite, "
            f"the first{place} ({array[first]}). Drop or fill them first."
        )
        raise ValueError(msg)


def as_rows(
    name: str, value: ArrayLike, *, num_columns: int | None = None, allow_empty: bool = False
) -> FloatArray:
    """Return `value` as a finite (N, columns) float64 matrix; a vector (N,) becomes (N, 1).

    Args:
        name: Name of the argument, for the message.
        value: Array of shape (N,) or (N, columns).
        num_columns: Number of columns that must be there, or None for any.
        allow_empty: Whether N = 0 is allowed.

    Raises:
        TypeError: If the elements are not real numbers.
        ValueError: If the shape is another, a value is not finite, or the array is empty.
    """
    array = as_finite_array(name, value)
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2:
        msg = f"{name} must have shape (N,) or (N, columns), got shape {np.shape(value)}."
        raise ValueError(msg)
    if num_columns is not None and array.shape[1] != num_columns:
        msg = f"{name} must have {num_columns} column(s), got shape {np.shape(value)}."
        raise ValueError(msg)
    if array.shape[1] == 0 or (array.shape[0] == 0 and not allow_empty):
        msg = f"{name} must hold at least one row and one column, got shape {np.shape(value)}."
        raise ValueError(msg)
    return array


def as_whole_number(name: str, value: object, *, minimum: int = 1) -> int:
    """Return `value` as an int of at least `minimum`; booleans and fractions are refused.

    Raises:
        TypeError: If `value` is not an integer.
        ValueError: If it is below `minimum`.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        msg = f"{name} must be an integer, got {value!r} of type {type(value).__name__}."
        raise TypeError(msg)
    if value < minimum:
        msg = f"{name} must be at least {minimum}, got {value}."
        raise ValueError(msg)
    return int(value)


def as_whole_numbers(name: str, value: Any) -> list[int]:
    """Return a list or tuple of whole numbers of at least 1 as a list of `int`.

    Raises:
        TypeError: If it is no list or tuple, or an element is not an integer.
        ValueError: If an element is less than 1.
    """
    if not isinstance(value, list | tuple):
        msg = f"{name} must be a sequence such as (64, 64), got {value!r}."
        raise TypeError(msg)
    return [as_whole_number(name, number) for number in value]


def as_real(
    name: str,
    value: object,
    *,
    above: float | None = None,
    minimum: float | None = None,
    below: float | None = None,
) -> float:
    """Return `value` as a finite float within bounds.

    Args:
        name: Name of the argument, for the message.
        value: A real number, or an array without axes that holds one.
        above: Exclusive lower bound, if any.
        minimum: Inclusive lower bound, if any.
        below: Exclusive upper bound, if any.

    Raises:
        TypeError: If `value` is not a real number.
        ValueError: If it is NaN, infinite or out of bounds.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        msg = f"{name} must be a number, got {value!r} of type {type(value).__name__}."
        raise TypeError(msg)
    number = float(value)
    bounds = []
    if above is not None:
        bounds.append((f"greater than {above:g}", number > above))
    if minimum is not None:
        bounds.append((f"at least {minimum:g}", number >= minimum))
    if below is not None:
        bounds.append((f"less than {below:g}", number < below))
    if not np.isfinite(number) or not all(holds for _, holds in bounds):
        expected = " and ".join(["finite", *(words for words, _ in bounds)])
        msg = f"{name} must be {expected}, got {value!r}."
        raise ValueError(msg)
    return number


def as_choice(name: str, value: object, choices: tuple[str, ...]) -> str:
    """Return a word if it is one of those that can be chosen.

    Raises:
        ValueError: If it is not.
    """
    if isinstance(value, str) and value in choices:
        return value
    msg = f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}."
    raise ValueError(msg)


def as_generator(name: str, rng: np.random.Generator | int | None) -> np.random.Generator:
    """Return a random generator made from a seed, from fresh entropy (None), or the one given.

    Raises:
        TypeError: If `rng` is neither a `numpy.random.Generator`, an integer nor None.
        ValueError: If a seed is negative.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None:
        return np.random.default_rng()
    if isinstance(rng, bool | np.bool_) or not isinstance(rng, numbers.Integral):
        msg = (
            f"{name} must be a numpy.random.Generator, an integer seed or None, "
            f"got {rng!r} of type {type(rng).__name__}."
        )
        raise TypeError(msg)
    return np.random.default_rng(as_whole_number(name, rng, minimum=0))
