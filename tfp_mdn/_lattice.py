"""Lattices: values that were rounded to multiples of a step."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from tfp_mdn._validation import FloatArray, as_finite_array

__all__ = ["checked_lattice", "lattice_step"]

# A lattice of a finer step, against the spread of the values, is taken for a continuum.
_FINEST_STEP = 1e-6

# Share of a step by which a value on a lattice may be off, for the rounding of its last digits.
_MOST_BETWEEN = 1e-3


def lattice_step(values: FloatArray) -> float:
    """Return the step of the lattice that all values lie on, or 0 if there is none.

    The step is the smallest difference of two values, if all others are multiples of it.

    Args:
        values: Numbers, (N,).

    Example:
        >>> lattice_step(np.array([3.5, 4.0, 6.0])), lattice_step(np.array([0.0, 1.0, np.pi]))
        (0.5, 0.0)
    """
    differences = np.diff(np.unique(values))
    spread = float(np.ptp(values))
    # Of two values alone, any difference would be a lattice.
    if len(differences) < 2 or (step := float(differences.min())) < _FINEST_STEP * spread:
        return 0.0
    multiples = differences / step
    rounding = 1e-3 + 8 * np.finfo(float).eps * np.abs(values).max() / step
    return step if (np.abs(multiples - np.round(multiples)) < rounding).all() else 0.0


def checked_lattice(
    lattice: Any, targets: FloatArray, covariance_type: str, component: str = "normal"
) -> FloatArray | None:
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
    if component != "normal":
        msg = (
            f"lattice needs component='normal', got {component!r}. Use normal components, or set "
            "lattice=None."
        )
        raise ValueError(msg)
    if covariance_type == "full":
        msg = (
            "lattice needs covariance_type='diag', got 'full': a correlated normal has no closed "
            "form for the probability of a box. Set covariance_type='diag', or lattice=None."
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
                stacklevel=5,
            )
