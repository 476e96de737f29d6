"""Standard units: what they are for given data, and the layer that puts raw inputs into them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import ArrayLike

from tfp_mdn._validation import FloatArray, as_rows

__all__ = ["Standardize", "location_and_scale"]


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class Standardize(tf_keras.layers.Layer):
    """Maps inputs to (x - loc) / scale in float64, and to 0 where the scale is 0.

    The difference is formed before anything is rounded to float32, so inputs such as 1e9 + x keep
    their digits. `tf_keras.layers.Rescaling` rounds its constants, and `Normalization` takes no
    standard deviation below 1e-7.

    Args:
        loc: Location of each feature, (F,), in its own units.
        scale: Scale of each feature, (F,), at least 0; a feature of scale 0 carries no information
            and leaves the layer as 0.
        **kwargs: Keyword arguments of `tf_keras.layers.Layer`; `dtype` is "float64" by default.

    Raises:
        TypeError: If the numbers are not real.
        ValueError: If they are not finite, of different lengths, or a scale is negative.

    Example:
        >>> Standardize([1e9, 0.0], [2.0, 0.0])(np.array([[1e9 + 1.0, 5.0]])).numpy()
        array([[0.5, 0. ]])
    """

    def __init__(self, loc: ArrayLike, scale: ArrayLike, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float64", **kwargs})
        self._loc = as_rows("loc", loc, num_columns=1)[:, 0]
        self._scale = as_rows("scale", scale, num_columns=1)[:, 0]
        if self._scale.shape != self._loc.shape or (self._scale < 0).any():
            msg = f"scale must hold {len(self._loc)} numbers of at least 0, got {scale!r}."
            raise ValueError(msg)

    def call(self, inputs: Any) -> tf.Tensor:
        """Return the standardised inputs, of the same shape (..., F)."""
        divisor = np.where(self._scale > 0, self._scale, np.inf)
        return (inputs - tf.constant(self._loc, inputs.dtype)) / tf.constant(divisor, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain values."""
        return {
            **super().get_config(),
            "loc": self._loc.tolist(),
            "scale": self._scale.tolist(),
        }


def location_and_scale(
    name: str, values: FloatArray, weights: FloatArray, *, limit: float
) -> tuple[FloatArray, FloatArray]:
    """Return the weighted mean and standard deviation of every column.

    An input that never varied says nothing: its scale is 0, and `Standardize` drops it. A target
    that never varied keeps its unit. Both are warned about.

    Args:
        name: "X" for inputs, or "y".
        values: Finite rows (N, columns), in their own units.
        weights: Weight of each row (N,), at least 0 and not all 0.
        limit: The scales must lie between 1 / limit and limit.

    Returns:
        Location and scale, each (columns,).

    Raises:
        ValueError: If a column's scale is beyond the limits.
    """
    values, weights = values[weights > 0], weights[weights > 0]
    constant = values.min(axis=0) == values.max(axis=0)
    # Divided by the largest, neither sums nor squares leave the range of float64.
    largest = _not_zero(np.abs(values).max(axis=0))
    loc = largest * np.average(values / largest, axis=0, weights=weights)
    loc = np.where(constant, values[0], loc)
    spread = _not_zero(np.abs(values - loc).max(axis=0))
    squares = ((values - loc) / spread) ** 2
    scale = spread * np.sqrt(np.average(squares, axis=0, weights=weights))
    extreme = ~constant & ~((scale >= 1 / limit) & (scale <= limit))
    if extreme.any():
        msg = (
            f"{name} must have standard deviations between {1 / limit:g} and {limit:g}, got "
            f"{scale[extreme]} in column(s) {np.flatnonzero(extreme).tolist()}. Change the unit."
        )
        raise ValueError(msg)
    if constant.any():
        warnings.warn(
            f"column(s) {np.flatnonzero(constant).tolist()} of {name} are constant", stacklevel=3
        )
    return loc, np.where(constant, 0.0 if name == "X" else 1.0, scale)


def _not_zero(values: FloatArray) -> FloatArray:
    return np.where(values == 0, 1.0, values)
