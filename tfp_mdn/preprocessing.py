"""What a network is given in place of raw numbers: standard units, and places among quantiles."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import ArrayLike, NDArray

from tfp_mdn._validation import FloatArray, as_finite_array, as_rows

__all__ = [
    "PiecewiseLinear",
    "Standardize",
    "draw_in",
    "encode",
    "location_and_scale",
    "quantile_edges",
    "robust_moments",
]

# Rows that may be gross outliers: a share of them at most, or one row. They are if the standard
# deviation with them is more than so many times the one without: in its unit, all other rows would
# look the same.
_GROSS_SHARE, _GROSS_RATIO = 0.01, 10.0

# Standard units up to which a network is given its inputs as they are.
_FARTHEST = 10.0


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class Standardize(tf_keras.layers.Layer):
    """Maps inputs to (x - loc) / scale in float64, and to 0 where the scale is 0.

    Beyond 10 scales they are drawn in, so that any finite number can be an input. The difference is
    formed before anything is rounded to float32, so inputs such as 1e9 + x keep their digits.
    `tf_keras.layers.Rescaling` rounds its constants, and `Normalization` takes no standard
    deviation below 1e-7.

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
        centred = inputs - tf.constant(self._loc, inputs.dtype)
        return draw_in(centred / tf.constant(divisor, inputs.dtype), _FARTHEST)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain values."""
        return {
            **super().get_config(),
            "loc": self._loc.tolist(),
            "scale": self._scale.tolist(),
        }


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class PiecewiseLinear(tf_keras.layers.Layer):
    """Adds to each feature its place among intervals, which lets a network bend sharply in it.

    For the interval [a, b] of a feature, the added value is (x - a) / (b - a), held between 0 and
    1: a row has ones for the intervals below x, zeros for those above. Outside all intervals, the
    first goes down to -1 and the last up to 2. With edges at quantiles, a dense layer can change
    its mind within a small share of the rows, as trees do and smooth networks hardly can.

    Args:
        edges: Increasing edges of the intervals of each feature, F lists; a feature with fewer than
            three edges is only passed on.
        **kwargs: Keyword arguments of `tf_keras.layers.Layer`; `dtype` is float32 if not given.

    Raises:
        ValueError: If edges do not increase.

    References:
        Gorishniy, Rubachev & Babenko (2022), On embeddings for numerical features in tabular deep
        learning, https://arxiv.org/abs/2203.05556.

    Example:
        >>> PiecewiseLinear([[0.0, 1.0, 3.0]])(np.array([[2.0]], np.float32)).numpy()
        array([[2. , 1. , 0.5]], dtype=float32)
    """

    def __init__(self, edges: Sequence[Sequence[float]], **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self._edges = [as_finite_array("edges", values).tolist() for values in edges]
        self.encoding = _encoding(self._edges)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the inputs (..., F) followed by their places in the intervals."""
        return encode(inputs, *self.encoding)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain values."""
        return {**super().get_config(), "edges": self._edges}


def draw_in(values: tf.Tensor, farthest: float) -> tf.Tensor:
    """Return values that grow as a logarithm does beyond `farthest`, and are as given up to it.

    So a row far out neither rules over the others nor leaves the range of float32, and still lies
    beyond those that are less far out.
    """
    size = tf.minimum(tf.abs(values), values.dtype.max)
    beyond = tf.math.log1p(tf.maximum(size - farthest, 0.0))
    return tf.where(size > farthest, tf.sign(values) * (farthest + beyond), values)


def encode(
    inputs: tf.Tensor, features: Any, starts: Any, widths: Any, lowest: Any, highest: Any
) -> tf.Tensor:
    """Return inputs (..., F) followed by their places in E intervals; see `PiecewiseLinear`.

    Args:
        inputs: Inputs, (..., F).
        features: Index of the feature that each interval belongs to, (E,).
        starts: Lower edges of the intervals, (E,).
        widths: Their widths, (E,).
        lowest: Values that the places do not fall below, (E,).
        highest: Values that they do not rise above, (E,).
    """
    places = (tf.gather(inputs, features, axis=-1) - starts) / widths
    return tf.concat([inputs, tf.clip_by_value(places, lowest, highest)], axis=-1)


def quantile_edges(values: FloatArray, num_intervals: int) -> list[list[float]]:
    """Return edges that cut each column of `values` (N, F) into intervals of equal shares of rows.

    Equal edges are merged, so a column of few distinct values gets fewer intervals; one of a single
    value gets none.
    """
    levels = np.linspace(0.0, 1.0, num_intervals + 1)
    columns = np.quantile(values, levels, axis=0).astype(np.float32).T
    return [np.unique(column).tolist() for column in columns]


def _encoding(edges: Sequence[Sequence[float]]) -> tuple[NDArray[Any], ...]:
    """Return what `encode` needs besides the inputs."""
    parts: list[tuple[int, float, float, float, float]] = []
    for feature, values in enumerate(edges):
        widths = np.diff(values)
        if (widths <= 0).any():
            msg = f"edges must increase, got {values} for feature {feature}."
            raise ValueError(msg)
        last = len(widths) - 1
        if last > 0:  # one interval alone would repeat the feature
            parts += [
                (feature, start, width, -1.0 * (place == 0), 1.0 + (place == last))
                for place, (start, width) in enumerate(zip(values[:-1], widths, strict=True))
            ]
    features, *others = zip(*parts, strict=True) if parts else ((),) * 5
    return np.asarray(features, np.int32), *(np.asarray(part, np.float32) for part in others)


def location_and_scale(
    name: str, values: FloatArray, weights: FloatArray, *, limit: float
) -> tuple[FloatArray, FloatArray]:
    """Return the weighted mean and standard deviation of every column, gross outliers left out.

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
    loc, scale = np.array([robust_moments(column, weights) for column in values.T]).T
    extreme = ~constant & ~((scale >= 1 / limit) & (scale <= limit))
    if extreme.any():
        msg = (
            f"{name} must have standard deviations between {1 / limit:g} and {limit:g}, got "
            f"{scale[extreme]} in column(s) {np.flatnonzero(extreme).tolist()}. Change the unit."
        )
        raise ValueError(msg)
    if constant.any():
        warnings.warn(
            f"column(s) {np.flatnonzero(constant).tolist()} of {name} are constant", stacklevel=5
        )
    return loc, np.where(constant, 0.0 if name == "X" else 1.0, scale)


def robust_moments(values: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Return the weighted mean and standard deviation of numbers (N,), gross outliers left out.

    The farthest 1% of the rows, or the farthest row, are left out where they make up more than 99%
    of the variance.
    """
    loc, scale = _moments(values, weights)
    order = np.argsort(np.abs(values - np.median(values)), kind="stable")
    inner = order[np.cumsum(weights[order]) <= (1.0 - _GROSS_SHARE) * weights.sum()]
    if len(inner) > 1:
        ordinary = _moments(values[inner], weights[inner])
        if 0 < _GROSS_RATIO * ordinary[1] < scale:
            return ordinary
    return loc, scale


def _moments(values: FloatArray, weights: FloatArray) -> tuple[float, float]:
    if values.min() == values.max():
        return float(values[0]), 0.0
    # Divided by the largest, neither sums nor squares leave the range of float64.
    largest = float(np.abs(values).max())
    loc = largest * float(np.average(values / largest, weights=weights))
    spread = float(np.abs(values - loc).max())
    squares = ((values - loc) / spread) ** 2
    return loc, spread * float(np.sqrt(np.average(squares, weights=weights)))
