"""Checks what scikit-learn users hand to an estimator, and makes float64 rows of it."""

from __future__ import annotations

import numbers
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import _check_sample_weight, validate_data

from tfp_mdn._validation import FloatArray, check_finite, reject_masked

__all__ = [
    "check_flags",
    "checked_rows",
    "checked_targets",
    "checked_validation_rows",
    "column_names",
    "reject_repeated_names",
    "reject_scalar",
    "source_of_randomness",
    "unchanged_if_it_fails",
    "weighted_rows",
]

# Against the heaviest, a row of less weight than this could as well not be there.
_LEAST_WEIGHT = 1e-12


def checked_rows(
    estimator: BaseEstimator, X: Any, y: Any, *, missing: str = "error", **checks: Any
) -> tuple[FloatArray, FloatArray, int]:
    """Return inputs (N, F), targets (N, D), and the number of axes that the targets had.

    With `missing="marginalise"`, targets are NaN where they are missing.
    """
    for name, values in (("X", X), ("y", y)):
        if np.asarray(values).dtype.kind in "mM":
            msg = f"{name} holds dates or times; turn them into numbers of a unit first."
            raise TypeError(msg)
        reject_masked(name, values)
        reject_repeated_names(name, values)
    checks = {"ensure_min_samples": 2, **checks}
    filled, hidden = y, None
    if missing == "marginalise" and y is not None:
        filled = check_array(
            y, dtype=np.float64, ensure_2d=False, ensure_all_finite="allow-nan", input_name="y"
        )
        hidden = np.isnan(filled)
        filled = np.where(hidden, 0.0, filled)
    try:
        inputs, targets = validate_data(
            estimator, X, filled, dtype=np.float64, multi_output=True, y_numeric=True, **checks
        )
    except ValueError as error:
        if str(error).startswith("Input y contains NaN"):
            raise ValueError(_missing_message(y)) from None
        raise
    ndim, targets = targets.ndim, targets.astype(np.float64).reshape(len(inputs), -1)
    if hidden is not None:
        targets = np.where(hidden.reshape(targets.shape), np.nan, targets)
    return inputs, targets, ndim


def _missing_message(y: Any) -> str:
    values = check_array(y, dtype=np.float64, ensure_2d=False, ensure_all_finite=False)
    hidden = np.isnan(values.reshape(len(values), -1))
    return (
        f"Input y contains NaN: {hidden.any(axis=1).sum()} of {len(hidden)} rows miss a value, in "
        f"dimension(s) {np.flatnonzero(hidden.any(axis=0)).tolist()}. Drop those rows, or set "
        "missing='marginalise' to learn from what they have."
    )


def checked_validation_rows(
    estimator: BaseEstimator, validation_data: Any, event_size: int, missing: str = "error"
) -> tuple[FloatArray, FloatArray]:
    """Return inputs and targets of rows to judge by, which must be like those of the fit."""
    if not isinstance(validation_data, list | tuple) or len(validation_data) != 2:
        msg = f"validation_data must be a pair (X, y), got {type(validation_data).__name__}."
        raise TypeError(msg)
    inputs, targets, _ = checked_rows(
        estimator, *validation_data, missing=missing, reset=False, ensure_min_samples=1
    )
    if targets.shape[1] != event_size:
        msg = f"validation_data must have {event_size} target(s) a row, got {targets.shape[1]}."
        raise ValueError(msg)
    labelled = ~np.isnan(targets).all(axis=1)
    if not labelled.any():
        msg = "validation_data must have a target in at least one row, got NaN alone."
        raise ValueError(msg)
    return inputs[labelled], targets[labelled]


def weighted_rows(
    inputs: FloatArray, targets: FloatArray, sample_weight: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the rows of positive weight, at least two, and their weights against the largest."""
    weights = _check_sample_weight(
        sample_weight, inputs, dtype=np.float64, ensure_non_negative=True
    )
    # Only their ratios count; their sums must not overflow, nor they themselves vanish in float32.
    weights = weights / (weights.max() or 1.0)
    used = weights > _LEAST_WEIGHT
    if used.sum() < 2:
        msg = (
            f"sample_weight must be positive for at least two rows, got {used.sum()}; one of less "
            f"than {_LEAST_WEIGHT:g} times the largest counts as 0."
        )
        raise ValueError(msg)
    # A row without any target says nothing of the density.
    used &= ~np.isnan(targets).all(axis=1)
    num_seen = (~np.isnan(targets[used])).sum(axis=0)
    if (num_seen < 2).any():
        msg = (
            "y must have a value in at least two rows for each dimension, got "
            f"{num_seen.min()} in dimension {num_seen.argmin()}."
        )
        raise ValueError(msg)
    return inputs[used], targets[used], weights[used]


def checked_targets(y: Any) -> NDArray[Any]:
    """Return targets to score a prediction against.

    Raises:
        ValueError: If there is one value instead of one a row, or values are NaN or infinite.
    """
    reject_scalar("y", y)
    targets = check_array(y, dtype=None, ensure_2d=False, ensure_all_finite=False, input_name="y")
    if targets.dtype.kind == "f":
        check_finite("y", targets)
    return targets


def reject_scalar(name: str, value: Any) -> None:
    """Raise if one number stands where there must be one for each row.

    Raises:
        ValueError: If it does.
    """
    if np.ndim(value) == 0:
        msg = (
            f"{name} must hold a value for each row of X, got {value!r}. To take it for all of "
            f"them, pass np.full(len(X), {name})."
        )
        raise ValueError(msg)


def check_flags(warm_start: Any, verbose: Any) -> None:
    """Raise unless the arguments that switch something have one of their values.

    Raises:
        TypeError: If `warm_start` is neither True nor False.
        ValueError: If `verbose` is not 0, 1 or 2.
    """
    if not isinstance(warm_start, bool | np.bool_):
        msg = f"warm_start must be True or False, got {warm_start!r}."
        raise TypeError(msg)
    if not isinstance(verbose, bool | numbers.Integral) or verbose not in (0, 1, 2):
        msg = f"verbose must be 0 (silent), 1 (a bar) or 2 (a line a check), got {verbose!r}."
        raise ValueError(msg)


def reject_repeated_names(name: str, table: Any) -> None:
    """Raise if a data frame has two columns of one name.

    Raises:
        ValueError: If it has.
    """
    counts = Counter(getattr(table, "columns", ()))
    twice = sorted(str(column) for column, count in counts.items() if count > 1)
    if twice:
        msg = (
            f"{name} has more than one column named {', '.join(map(repr, twice))}. "
            "Rename them, or leave out all but one."
        )
        raise ValueError(msg)


def column_names(y: Any) -> list[str] | None:
    """Return the names of the targets if `y` is a data frame or a named series."""
    if hasattr(y, "columns"):
        return [str(name) for name in y.columns]
    return None if getattr(y, "name", None) is None else [str(y.name)]


def source_of_randomness(seed: Any) -> np.random.RandomState:
    """Return a source of random numbers that is never NumPy's global one.

    A `Generator`, which scikit-learn refuses, is drawn from as a `RandomState` of its bits.

    Raises:
        ValueError: If it is no seed and no source of random numbers.
    """
    if seed is None:
        return np.random.RandomState()
    if isinstance(seed, np.random.Generator):
        return np.random.RandomState(seed.bit_generator)
    try:
        return check_random_state(seed)
    except ValueError as error:
        msg = (
            "random_state must be None, an integer from 0 to 2**32 - 1, a numpy.random.Generator "
            f"or a numpy.random.RandomState, got {seed!r}."
        )
        raise ValueError(msg) from error


@contextmanager
def unchanged_if_it_fails(estimator: BaseEstimator) -> Iterator[None]:
    """Leave the attributes as they were if an error or Ctrl-C ends what is done within."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
