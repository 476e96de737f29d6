"""Checks what scikit-learn users hand to an estimator, and makes float64 rows of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, validate_data

from tfp_mdn._validation import FloatArray, reject_masked

__all__ = [
    "checked_rows",
    "checked_validation_rows",
    "column_names",
    "source_of_randomness",
    "unchanged_if_it_fails",
    "weighted_rows",
]

# Against the heaviest, a row of less weight than this could as well not be there.
_LEAST_WEIGHT = 1e-12


def checked_rows(
    estimator: BaseEstimator, X: Any, y: Any, **checks: Any
) -> tuple[FloatArray, FloatArray, int]:
    """Return inputs (N, F), targets (N, D), and the number of axes that the targets had."""
    for name, values in (("X", X), ("y", y)):
        if np.asarray(values).dtype.kind in "mM":
            msg = f"{name} holds dates or times; turn them into numbers of a unit first."
            raise TypeError(msg)
        reject_masked(name, values)
    checks = {"ensure_min_samples": 2, **checks}
    inputs, targets = validate_data(
        estimator, X, y, dtype=np.float64, multi_output=True, y_numeric=True, **checks
    )
    return inputs, targets.astype(np.float64).reshape(len(inputs), -1), targets.ndim


def checked_validation_rows(
    estimator: BaseEstimator, validation_data: Any, event_size: int
) -> tuple[FloatArray, FloatArray]:
    """Return inputs and targets of rows to judge by, which must be like those of the fit."""
    if not isinstance(validation_data, list | tuple) or len(validation_data) != 2:
        msg = f"validation_data must be a pair (X, y), got {type(validation_data).__name__}."
        raise TypeError(msg)
    inputs, targets, _ = checked_rows(
        estimator, *validation_data, reset=False, ensure_min_samples=1
    )
    if targets.shape[1] != event_size:
        msg = f"validation_data must have {event_size} target(s) a row, got {targets.shape[1]}."
        raise ValueError(msg)
    return inputs, targets


def weighted_rows(
    inputs: FloatArray, targets: FloatArray, sample_weight: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the rows of positive weight, at least two, and their weights against the largest."""
    weights = _check_sample_weight(
        sample_weight, inputs, dtype=np.float64, ensure_non_negative=True
    )
    # Only their ratios count; their sums must not overflow, nor they themselves vanish in float32.
    weights = weights / weights.max()
    used = weights > _LEAST_WEIGHT
    if used.sum() < 2:
        msg = f"sample_weight must be positive for at least two rows, got {used.sum()}."
        raise ValueError(msg)
    return inputs[used], targets[used], weights[used]


def column_names(y: Any) -> list[str] | None:
    """Return the names of the targets if `y` is a data frame or a named series."""
    if hasattr(y, "columns"):
        return [str(name) for name in y.columns]
    return None if getattr(y, "name", None) is None else [str(y.name)]


def source_of_randomness(seed: Any) -> np.random.RandomState:
    """Return a source of random numbers that is never NumPy's global one."""
    return np.random.RandomState() if seed is None else check_random_state(seed)


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
