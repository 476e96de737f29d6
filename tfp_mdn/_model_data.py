"""Checks of the rows that a model is given, for what Keras would only fail on cryptically."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from tfp_mdn._keras import check_input_shape, check_target_shape
from tfp_mdn._validation import as_real_array, check_finite

__all__ = ["checked_data"]


def checked_data(
    model: Any, x: Any, y: Any = None, sample_weight: Any = None, *, prefix: str = ""
) -> tuple[Any, Any]:
    """Return x and y, or raise if they are unfit to be trained on or predicted from.

    Datasets, generators and other sources that cannot be looked into without using them up pass.
    """
    if not isinstance(x, np.ndarray | tf.Tensor | list | tuple | dict) and not hasattr(x, "iloc"):
        return x, y
    inputs = [_checked_rows(f"{prefix}x", leaf) for leaf in tf.nest.flatten(x)]
    for array in inputs:
        check_input_shape(f"{prefix}x", array.shape, model)
        if array.dtype.kind != "f" and not model.built:
            msg = f"{prefix}x must hold floating-point numbers, got {array.dtype}."
            raise TypeError(msg)
        if (
            array.ndim == 1
            and not model.built
            and isinstance(model.layers[0], tf_keras.layers.Dense)
        ):
            msg = (
                f"{prefix}x must have shape (N, F), got {array.shape}; write x[:, None] for F = 1."
            )
            raise ValueError(msg)
    num_rows = len(inputs[0])
    named = [(f"{prefix}y", y), (f"{prefix}sample_weight", sample_weight)]
    for name, values in [(name, values) for name, values in named if values is not None]:
        # A loss that takes NaN for a missing target says so.
        allow_nan = values is y and getattr(model.loss, "missing", "error") == "marginalise"
        array = _checked_rows(name, values, allow_nan=allow_nan)
        if len(array) != num_rows:
            msg = f"{name} must have {num_rows} rows as {prefix}x has, got {len(array)}."
            raise ValueError(msg)
    if y is not None:
        target = np.asarray(y)
        check_target_shape(f"{prefix}y", target.shape, model)
        if target.dtype.kind != "f":
            msg = (
                f"{prefix}y must hold floating-point numbers, got {target.dtype}. "
                "Convert it first, for instance with y.astype('float32')."
            )
            raise TypeError(msg)
        if hasattr(model.layers[-1], "check_targets"):
            model.layers[-1].check_targets(f"{prefix}y", target)
    # Keras rounds arrays to float32, but not tensors: where the model computes in float64, a target
    # or an input of 1e9 + 1 would lose its last digits without a word.
    if model.inputs and model.inputs[0].dtype == tf.float64:
        x = tf.nest.map_structure(_as_float64, x)
    if y is not None and model.layers[-1].compute_dtype == "float64":
        y = _as_float64(y)
    return x, y


def _as_float64(values: Any) -> tf.Tensor:
    return tf.convert_to_tensor(np.asarray(values, np.float64))


def _checked_rows(name: str, values: Any, *, allow_nan: bool = False) -> NDArray[Any]:
    array = as_real_array(name, values)
    if array.ndim == 0 or array.size == 0:
        msg = (
            f"{name} must be an array with at least one row, got shape {array.shape}. "
            f"Make one array of nested lists: numpy.asarray({name})."
        )
        raise ValueError(msg)
    check_finite(name, np.where(np.isnan(array), 0, array) if allow_nan else array)
    return array
