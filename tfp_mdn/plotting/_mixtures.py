"""Checks of mixtures that pictures take with targets, without inputs, or one row at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfp_mdn._validation import FloatArray, as_rows
from tfp_mdn.calibration.pit import paired_targets
from tfp_mdn.mixture._arguments import as_dimensions
from tfp_mdn.mixture._methods import Mixture

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from tfp_mdn.mixture import MixtureParameters

__all__ = ["as_dims", "as_labels", "as_mixture", "as_one_row", "as_points", "as_scalar_targets"]


def as_mixture(parameters: Mixture, *, event_size: int | None = None) -> None:
    """Raise if there is no row, or if the target has another number of dimensions than asked for.

    Raises:
        TypeError: If `parameters` is not a `MixtureParameters`.
        ValueError: If N is 0, or D is not `event_size`.
    """
    if not isinstance(parameters, Mixture):
        msg = (
            f"parameters must be a MixtureParameters, got {type(parameters).__name__}. "
            "Get one from extract_parameters(model, x) or MDNRegressor.predict_parameters(x)."
        )
        raise TypeError(msg)
    if len(parameters) == 0:
        msg = "parameters must have at least one row, got none."
        raise ValueError(msg)
    if event_size is not None and parameters.event_size != event_size:
        remedy = f"parameters.marginal({list(range(event_size)) if event_size > 1 else 0})"
        msg = (
            f"parameters.event_size must be {event_size} for this picture, "
            f"got {parameters.event_size}."
        )
        if parameters.event_size > event_size:
            msg += f" Take a margin first, for instance {remedy}."
        raise ValueError(msg)


def as_scalar_targets(parameters: Mixture, y: ArrayLike) -> FloatArray:
    """Return targets of one dimension (N,), one for each row of the mixtures.

    Raises:
        TypeError: If `parameters` is not a `MixtureParameters`, or `y` does not hold real numbers.
        ValueError: If D is not 1, or `y` is empty, not finite or does not fit.
    """
    if isinstance(parameters, Mixture) and parameters.event_size != 1:
        msg = (
            "this picture is for targets of one dimension: parameters.event_size must be 1, "
            f"got {parameters.event_size}. Pass parameters.marginal(d) and y[:, d]."
        )
        raise ValueError(msg)
    return paired_targets(parameters, y)[:, 0]


def as_one_row(parameters: MixtureParameters) -> None:
    """Raise if there is not exactly one mixture of at least two dimensions.

    Raises:
        TypeError: If `parameters` is not a `MixtureParameters`.
        ValueError: If components are not normal, N is not 1, or D is 1.
    """
    as_mixture(parameters)
    if parameters.family != "normal":
        msg = (
            "this picture is for normal components, got family "
            f"{parameters.family!r}. Draw one dimension at a time with parameters.marginal(d)."
        )
        raise ValueError(msg)
    if len(parameters) != 1:
        msg = (
            f"parameters must hold one row, got {len(parameters)}. "
            "Pick the mixture to draw with parameters[row]."
        )
        raise ValueError(msg)
    if parameters.event_size < 2:
        msg = (
            "parameters.event_size must be at least 2 for this picture, got 1. "
            "Use plot_slices for a target of one dimension."
        )
        raise ValueError(msg)


def as_points(data: ArrayLike, event_size: int) -> FloatArray:
    """Return data points (M, D); a vector (D,) is one point.

    Raises:
        TypeError: If `data` does not hold real numbers.
        ValueError: If the shape is another, or a value is not finite.
    """
    if np.ndim(data) == 1 and len(np.asarray(data)) == event_size:
        data = np.asarray(data)[np.newaxis]
    return as_rows("data", data, num_columns=event_size)


def as_dims(dims: int | Sequence[int] | None, event_size: int, *, most: int) -> list[int]:
    """Return the dimensions to draw, two at least; None takes all.

    Raises:
        TypeError: If they are not integers.
        ValueError: If one is repeated or does not exist, or there are too few or too many.
    """
    chosen = list(range(event_size)) if dims is None else as_dimensions("dims", dims, event_size)
    if not 2 <= len(chosen) <= most:
        msg = f"dims must name 2 to {most} dimensions, got {len(chosen)}."
        if dims is None:
            msg += f" Pass dims=, for instance dims={list(range(min(event_size, 5)))}."
        raise ValueError(msg)
    return chosen


def as_labels(name: str, labels: Sequence[str] | None, dims: Sequence[int]) -> list[str]:
    """Return one label for each of some dimensions; None names them y0, y1, ...

    Raises:
        TypeError: If `labels` is not a sequence of texts.
        ValueError: If there are more or fewer.
    """
    if labels is None:
        return [f"y{d}" for d in dims]
    if isinstance(labels, str) or not isinstance(labels, Sequence | np.ndarray):
        msg = f"{name} must be a sequence of {len(dims)} texts, got {type(labels).__name__}."
        raise TypeError(msg)
    for i, label in enumerate(labels):
        if not isinstance(label, str):
            msg = f"{name}[{i}] must be a text, got {label!r} of type {type(label).__name__}."
            raise TypeError(msg)
    if len(labels) != len(dims):
        msg = f"{name} must hold {len(dims)} texts, one for each dimension, got {len(labels)}."
        raise ValueError(msg)
    return list(labels)
