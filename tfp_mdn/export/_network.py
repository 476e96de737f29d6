"""The network in front of a mixture layer, and the layer's own map, as plain TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from numpy.typing import NDArray

from tfp_mdn._estimator_files import SavableEstimator
from tfp_mdn._keras import reject_keras3_in_model
from tfp_mdn._validation import FloatArray
from tfp_mdn.layers import MixtureHead, MixtureMultivariateNormal, MixtureNormal
from tfp_mdn.preprocessing import Standardize

__all__ = ["Mixture", "Network", "network_of"]

# float32 keeps 24 bits: with a location of more scales than this, fewer than about three digits of
# a standardised number are left.
_MAX_FLOAT32_RATIO = 1e4


class Mixture(NamedTuple):
    """Weights (N, K), means (N, K, D), standard deviations (N, K, D) or factors (N, K, D, D)."""

    weights: tf.Tensor
    means: tf.Tensor
    scales: tf.Tensor

    @property
    def is_full(self) -> bool:
        """Whether the scales are lower-triangular factors of covariance matrices."""
        return len(self.scales.shape) == 4


@dataclass(frozen=True)
class Network:
    """A model taken apart: what makes its raw parameters, and its mixture layer.

    Attributes:
        model: The whole model.
        body: The function from inputs to the raw parameters (N, P).
        head: The mixture layer.
        input_spec: Shape and dtype of the inputs.
        names: Names of features and targets, where they are known.
    """

    model: tf_keras.Model
    body: Callable[[tf.Tensor], tf.Tensor]
    head: MixtureHead
    input_spec: tf.TensorSpec
    names: dict[str, list[str] | None]

    @property
    def event_size(self) -> int:
        """Number of target dimensions D."""
        return int(np.prod(self.head.event_shape, dtype=int))

    def mixture(self, inputs: tf.Tensor, *, single: bool = False) -> Mixture:
        """Return the mixture at inputs (N, ...), as the layer computes it.

        Args:
            inputs: Inputs of the model.
            single: Whether to compute in float32 also where the layer does in float64.
        """
        raw = self._single_body(inputs) if single else self.body(inputs)
        head, size = self.head, self.event_size
        dtype = tf.float32 if single or head.compute_dtype != "float64" else tf.float64
        raw = tf.cast(raw, dtype)
        count = head.num_components
        weights = tf.nn.softmax(raw[:, :count])
        rest = tf.reshape(raw[:, count:], (-1, count, raw.shape[-1] // count - 1))
        unit, loc = (
            tf.constant(np.broadcast_to(value, (size,)), dtype) for value in (head.scale, head.loc)
        )
        means = loc + unit * rest[..., :size]
        if isinstance(head, MixtureMultivariateNormal):
            place, lower = _triangle(size)
            filled = tf.reshape(
                tf.gather(rest[..., size:], place, axis=-1), (-1, count, size, size)
            )
            floor = tf.maximum(tf.nn.softplus(filled), tf.constant(head.min_scale, dtype))
            below, diagonal = (
                tf.constant(part, dtype) for part in (np.tril(lower, -1), np.eye(size))
            )
            scales = unit[:, tf.newaxis] * (filled * below + floor * diagonal)
        else:
            scales = unit * tf.maximum(
                tf.nn.softplus(rest[..., size:]), tf.constant(head.min_scale, dtype)
            )
        return Mixture(weights, means, scales)

    def check_single(self) -> None:
        """Raise ValueError if float32 has no room for the units that the model works in."""
        units = [("targets", self.head.loc, self.head.scale)]
        units += [
            ("inputs", layer._loc, np.where(layer._scale > 0, layer._scale, np.inf))
            for layer in self.model.layers
            if isinstance(layer, Standardize)
        ]
        for name, loc, scale in units:
            if (np.abs(loc) > _MAX_FLOAT32_RATIO * scale).any():
                msg = (
                    f"the {name} lie around {loc} with a spread of {scale}, and the digits of "
                    "their differences are lost in float32, in which this format computes. "
                    "Subtract a constant before the fit, or export as saved_model or onnx."
                )
                raise ValueError(msg)

    def _single_body(self, inputs: tf.Tensor) -> tf.Tensor:
        first = self.model.layers[0]
        if not isinstance(first, Standardize):
            return self.body(inputs)
        # Its own `__call__` would turn the inputs into float64.
        return _in_turn(self.model.layers[1:-1], first.call(inputs))


def network_of(model_or_estimator: Any) -> Network:
    """Take a model or an estimator apart.

    Raises:
        TypeError: If it is something else.
        ValueError: If it is not fitted or built, does not end in a mixture layer of this package,
            or is a model of sequences or of several inputs.
    """
    names: dict[str, list[str] | None] = {"feature_names": None, "target_names": None}
    model = model_or_estimator
    if isinstance(model, SavableEstimator):
        names = {name: model._saved_metadata()[name] for name in names if model._saved_model()}
        model = model._saved_model()
    reject_keras3_in_model("model", model)
    if not isinstance(model, tf_keras.Model):
        msg = f"model must be a tf_keras model or an MDNRegressor, got {type(model).__name__}."
        raise TypeError(msg)
    if not model.built or not model.inputs:
        msg = "the model has no weights yet: call it on data or give build_mdn an input_size."
        raise ValueError(msg)
    head = model.layers[-1]
    if isinstance(head, MixtureHead) and head.component != "normal":
        msg = (
            f"a mixture of {head.component!r} components cannot be exported, one of normal "
            "components can. Keep the model with tfp_mdn.save, or fit with component='normal'."
        )
        raise ValueError(msg)
    if type(head) not in (MixtureNormal, MixtureMultivariateNormal):
        msg = (
            f"the model must end in a mixture layer of tfp_mdn.layers, got {type(head).__name__}. "
            "A stock tfp.layers head can be replaced by tfp_mdn.layers.MixtureNormal, which takes "
            "its weights."
        )
        raise ValueError(msg)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        msg = f"the model must have one input and one output, got {len(model.inputs)} inputs."
        raise ValueError(msg)
    if len(head.input_shape) != 2:
        msg = (
            "a model of sequences, with a mixture at every step, cannot be exported; export a "
            "backbone whose output has shape (N, units), or apply extract_parameters instead."
        )
        raise ValueError(msg)
    (given,) = model.inputs
    spec = tf.TensorSpec((None, *given.shape[1:]), given.dtype, name="x")
    return Network(model, _body(model), head, spec, names)


def _body(model: tf_keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function from inputs to what the last layer is given."""
    if isinstance(model, tf_keras.Sequential):
        return lambda inputs: _in_turn(model.layers[:-1], inputs)
    inner = tf_keras.Model(model.inputs, model.layers[-1].input)
    return lambda inputs: inner(inputs, training=False)


def _in_turn(layers: list[tf_keras.layers.Layer], values: tf.Tensor) -> tf.Tensor:
    for layer in layers:
        takes_training = layer._expects_training_arg
        values = layer(values, training=False) if takes_training else layer(values)
    return values


def _triangle(size: int) -> tuple[NDArray[np.int32], FloatArray]:
    """Return the place of each entry of a matrix in a row of parameters, and the lower triangle."""
    row = np.arange(size * (size + 1) // 2, dtype=np.float64)
    with tf.init_scope():  # computed now, not in the graph that is being written
        filled = tfp.math.fill_triangular(row).numpy()
    return filled.astype(np.int32).ravel(), np.tril(np.ones((size, size)))
