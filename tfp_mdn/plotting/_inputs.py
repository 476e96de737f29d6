"""Checks of what the pictures are drawn from, which turn it into plain sorted arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tfp_mdn._validation import FloatArray, as_finite_array, as_rows
from tfp_mdn.mixture._methods import Mixture

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "AxesArray",
    "Pair",
    "as_axes",
    "as_axes_array",
    "as_column",
    "as_mixture_over",
    "as_pair",
    "as_samples",
]

AxesArray = NDArray[np.object_]
Pair: TypeAlias = tuple[FloatArray, FloatArray]


def as_column(name: str, value: ArrayLike) -> FloatArray:
    """Return numbers of shape (N,) or (N, 1) as a finite vector (N,).

    Raises:
        TypeError: If the elements are not real numbers.
        ValueError: If the shape is another, a value is not finite, or the array is empty.
    """
    return as_rows(name, value, num_columns=1)[:, 0]


def as_mixture_over(x: ArrayLike, parameters: Mixture) -> tuple[FloatArray, Mixture]:
    """Return inputs (N,) in ascending order, and the mixtures in the same order.

    Raises:
        TypeError: If `parameters` is not a `MixtureParameters`, or `x` does not hold real numbers.
        ValueError: If D is not 1, lengths differ, `x` is not finite or all its values are equal.
    """
    if not isinstance(parameters, Mixture):
        msg = (
            f"parameters must be a MixtureParameters, got {type(parameters).__name__}. "
            "Get one from extract_parameters(model, x) or MDNRegressor.predict_parameters(x)."
        )
        raise TypeError(msg)
    if parameters.event_size != 1:
        msg = (
            "pictures are for targets of one dimension: parameters.event_size must be 1, "
            f"got {parameters.event_size}. Take one dimension's margin first."
        )
        raise ValueError(msg)
    inputs = as_column("x", x)
    if len(inputs) != parameters.num_inputs:
        msg = (
            f"x must have one value for each of the {parameters.num_inputs} rows of parameters, "
            f"got {len(inputs)}. Pass the inputs that the parameters were computed for."
        )
        raise ValueError(msg)
    if inputs.min() == inputs.max():
        msg = (
            "x must hold at least two different values to draw over, "
            f"got {len(inputs)} value(s) equal to {inputs[0]:g}."
        )
        raise ValueError(msg)
    order = np.argsort(inputs, kind="stable")
    return inputs[order], parameters[order]


def as_pair(name: str, value: object) -> Pair:
    """Return data points (x, y) as two finite vectors of the same length.

    Raises:
        TypeError: If `value` is not a pair, or does not hold real numbers.
        ValueError: If lengths differ, or values are not finite.
    """
    if not isinstance(value, tuple | list) or len(value) != 2:
        length = f" of length {len(value)}" if isinstance(value, tuple | list) else ""
        msg = (
            f"{name} must be a pair (x, y), got {type(value).__name__}{length}. "
            f"For a table with two columns pass {name}=(table[:, 0], table[:, 1])."
        )
        raise TypeError(msg)
    x, y = as_column(f"{name}[0]", value[0]), as_column(f"{name}[1]", value[1])
    if len(x) != len(y):
        msg = f"{name} must be a pair (x, y) of equal lengths, got {len(x)} and {len(y)}."
        raise ValueError(msg)
    return x, y


def as_samples(samples: ArrayLike, num_inputs: int) -> FloatArray:
    """Return samples (S, N, 1) as a finite matrix (S, N).

    Raises:
        TypeError: If the elements are not real numbers.
        ValueError: If the shape is another, or a value is not finite.
    """
    array = as_finite_array("samples", samples)
    if array.ndim != 3 or array.shape[0] == 0 or array.shape[1:] != (num_inputs, 1):
        msg = (
            f"samples must have shape (S, N, D) = (S, {num_inputs}, 1) to go with x, as "
            f"parameters.sample(S) gives them, got shape {array.shape}."
        )
        raise ValueError(msg)
    return array[..., 0]


def as_axes(ax: object) -> Axes:
    """Return `ax` if it is a Matplotlib axes.

    Raises:
        TypeError: If it is something else.
    """
    if not isinstance(ax, Axes):
        msg = f"ax must be a matplotlib.axes.Axes or None, got {type(ax).__name__}."
        raise TypeError(msg)
    return ax


def as_axes_array(axes: object, size: int) -> AxesArray:
    """Return `size` axes, given in a sequence or an array of any shape, as an array (size,).

    Raises:
        TypeError: If an element is not a Matplotlib axes.
        ValueError: If there are more or fewer.
    """
    if not isinstance(axes, Sequence | np.ndarray):
        msg = f"axes must be a sequence of {size} matplotlib.axes.Axes, got {type(axes).__name__}."
        raise TypeError(msg)
    array = np.array(axes, dtype=object).ravel()
    for i, ax in enumerate(array):
        if not isinstance(ax, Axes):
            msg = f"axes[{i}] must be a matplotlib.axes.Axes, got {type(ax).__name__}."
            raise TypeError(msg)
    if len(array) != size:
        msg = f"axes must hold {size} matplotlib.axes.Axes, got {len(array)}."
        raise ValueError(msg)
    return array
