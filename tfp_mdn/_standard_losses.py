"""The loss of a network of dense layers, as a function of tensors in place of its weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from tfp_mdn._interval_kernels import log_interval
from tfp_mdn.layers import IndependentHead

__all__ = [
    "StandardLosses",
    "columns_apart",
    "dense_variables",
    "leaves",
    "mixture_losses",
]


class StandardLosses:
    """The negative log-likelihood of each row, computed in standard units from given weights.

    In the layers of TFP, the location and the scale of a component lie side by side, which keeps
    XLA from reading them in blocks and makes a step up to half as long again. Here the columns of
    the last dense layer stand apart: first the logits, then all locations, then all scales, and
    then whatever else the components have.
    """

    def __init__(self, model: tf_keras.Model) -> None:
        head = model.layers[-1]
        self._head, self._size = head, (head.event_shape or (1,))[0]
        self._network = tf_keras.Model(model.inputs, head.input)
        self._places = dense_variables(model)
        self._columns = columns_apart(head.num_components, self._size, head.num_parts())

    def with_columns_apart(self, variables: Sequence[Any]) -> list[tf.Tensor]:
        """Return what belongs to kernels and biases with the last columns as they are used here."""
        return self._in_order(variables, self._columns)

    def with_columns_together(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return the same as the layer has it."""
        return self._in_order(tensors, np.argsort(self._columns))

    def _in_order(self, tensors: Sequence[Any], columns: NDArray[np.int64]) -> list[tf.Tensor]:
        last = self._head.input._keras_history.layer
        return [
            tf.gather(tensor, columns, axis=-1) if layer is last else tensor
            for tensor, (layer, _) in zip(tensors, self._places, strict=True)
        ]

    def standard_targets(self, y: tf.Tensor) -> tf.Tensor:
        """Return targets as (N, D) in the units that the network works in."""
        y = tf.reshape(y, (-1, self._size))
        loc, scale = (tf.constant(value, y.dtype) for value in (self._head.loc, self._head.scale))
        return tf.cast((self._head.transformed(y) - loc) / scale, tf.float32)

    def __call__(self, weights: Sequence[tf.Tensor], x: Any, y: tf.Tensor) -> tf.Tensor:
        """Return -log p(y | x) of each row, (N,), for standard targets (N, D)."""
        with _replaced(self._places, weights):
            parameters = self._network(x, training=True)
        losses = mixture_losses(
            type(self._head), parameters, y, self._head.num_components, self._head.min_scale
        )
        return tf.reduce_sum(self._head.log_unit(y), axis=-1) + losses


def columns_apart(num_components: int, event_size: int, num_parts: int = 2) -> NDArray[np.int64]:
    """Return where all logits, all locations and all raw scales stand among a layer's parameters.

    The mixture layers have the locations and raw scales of a component side by side, and whatever
    else it has: `num_parts` numbers for each dimension.
    """
    shape = (num_components, num_parts, event_size)
    places = np.arange(np.prod(shape)).reshape(shape)
    return np.append(np.arange(num_components), num_components + places.transpose(1, 0, 2))


def mixture_losses(
    head: type[IndependentHead],
    parameters: tf.Tensor,
    y: tf.Tensor,
    num_components: int,
    min_scale: float,
    *,
    has_missing: bool = False,
    half_steps: Sequence[float] = (),
) -> tf.Tensor:
    """Return -log p(y), (N, ...), in standard units, of mixtures of independent densities.

    Args:
        head: Mixture layer that the components are of.
        parameters: Logits (N, K, ...), locations (N, K D, ...), raw scales (N, K D, ...) and
            whatever else the components have in one tensor, in the order of `columns_apart`.
        y: Targets, (N, D, ...).
        num_components: Components K.
        min_scale: Floor of the standard deviations.
        has_missing: Whether dimensions of y may be NaN, and are to be left out.
        half_steps: Half the width of the interval about y whose probability takes the place of the
            density, for each dimension, where it is above 0; none are given where none is, and
            none for other components than normal ones.
    """
    count, size = num_components, y.shape[1]
    logits, *parts = tf.split(parameters, [count, *[count * size] * head.num_parts()], axis=1)
    density = head.standard_density(parts, min_scale)
    copies = tf.tile(y, (1, count, *[1] * (len(y.shape) - 2)))
    if has_missing:
        # A NaN that is only masked afterwards would come back in the slope, as 0 times NaN.
        seen = ~tf.math.is_nan(copies)
        copies = tf.where(seen, copies, tf.stop_gradient(head.inside(parts[0])))
    log_prob = density.log_prob(copies)
    if half_steps:
        halves = tf.reshape(
            tf.constant(np.tile(half_steps, count), y.dtype), (1, -1, *[1] * (len(y.shape) - 2))
        )
        interval = log_interval(
            copies, density.loc, density.scale, tf.where(halves > 0, halves, 1.0)
        )
        log_prob = tf.where(halves > 0, interval, log_prob)
    if has_missing:
        log_prob = tf.where(seen, log_prob, tf.zeros_like(log_prob))
    if size > 1:
        shape = tf.concat([tf.shape(logits)[:2], [size], tf.shape(logits)[2:]], axis=0)
        log_prob = tf.reduce_sum(tf.reshape(log_prob, shape), axis=2)
    return -tf.reduce_logsumexp(tf.nn.log_softmax(logits, axis=1) + log_prob, axis=1)


def leaves(model: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    """Return the layers of a model and of the models inside it."""
    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if not isinstance(layer, tf_keras.Model)
    ]


def dense_variables(model: tf_keras.Model) -> list[tuple[Any, str]]:
    """Return the layer and the name of each trained kernel and bias, in the order of the model."""
    places = {
        id(getattr(layer, name)): (layer, name)
        for layer in leaves(model)
        if type(layer) is tf_keras.layers.Dense
        for name in ("kernel", "bias")
        if getattr(layer, name) is not None
    }
    return [places[id(v)] for v in model.trainable_variables if id(v) in places]


@contextlib.contextmanager
def _replaced(
    places: Sequence[tuple[tf_keras.layers.Layer, str]], tensors: Sequence[tf.Tensor]
) -> Iterator[None]:
    """Let layers compute with tensors in place of their kernels and biases, while traced."""
    variables = [getattr(layer, name) for layer, name in places]
    try:
        for (layer, name), tensor in zip(places, tensors, strict=True):
            layer.__dict__[name] = tensor  # `setattr` would have Keras track it
        yield
    finally:
        for (layer, name), variable in zip(places, variables, strict=True):
            layer.__dict__[name] = variable
