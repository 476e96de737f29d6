"""Checks what scikit-learn users hand to an estimator, and makes float64 rows of it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import _check_sample_weight, validate_data

from tfp_mdn._validation import FloatArray, as_finite_array, reject_masked
from tfp_mdn.preprocessing import lattice_step

__all__ = [
    "checked_lattice",
    "checked_rows",
    "checked_validation_rows",
    "column_names",
    "source_of_randomness",
    "unchanged_if_it_fails",
    "weighted_rows",
]

# Against the heaviest, a row of less weight than this could as well not be there.
_LEAST_WEIGHT = 1e-12

# Share of a step by which a value on a lattice may be off, for the rounding of its last digits.
_MOST_BETWEEN = 1e-3


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


def checked_lattice(lattice: Any, targets: FloatArray, covariance_type: str) -> FloatArray | None:
    """Return the step to which each target was rounded, (D,), 0 for none; None if all are 0."""
    if lattice is None:
        return None
    size = targets.shape[1]
    if isinstance(lattice, str):
        if lattice != "auto":
            msg = f"lattice must be a step, a step for each target, or 'auto', got {lattice!r}."
            raise ValueError(msg)
        steps = np.array([lattice_step(column[~np.isnan(column)]) for column in targets.T])
    else:
        steps = as_finite_array("lattice", lattice)
        if steps.shape not in ((), (size,)) or (steps < 0).any():
            msg = (
                f"lattice must be 'auto', or a step or {size} steps (one for each target) of at "
                f"least 0, got {lattice!r}."
            )
            raise ValueError(msg)
        steps = np.broadcast_to(steps, (size,))
        _warn_of_values_between(steps, targets)
    if not steps.any():
        return None
    if covariance_type == "full":
        msg = (
            "lattice needs covariance_type='diag', got 'full': a correlated normal has no closed "
            "form for the probability of a box."
        )
        raise ValueError(msg)
    return steps


def _warn_of_values_between(steps: FloatArray, targets: FloatArray) -> None:
    """Warn of targets that do not lie whole steps apart."""
    for place in np.flatnonzero(steps):
        seen = targets[~np.isnan(targets[:, place]), place]
        apart = (seen - seen.min()) / steps[place]
        num_between = int((np.abs(apart - np.round(apart)) > _MOST_BETWEEN).sum())
        if num_between:
            warnings.warn(
                f"lattice={steps[place]:g}, but {num_between} of {len(seen)} values of target "
                f"{place} do not lie whole steps from the smallest. lattice='auto' finds the step.",
                stacklevel=4,
            )


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
