"""The loss of a network of dense layers, as a function of tensors in place of its weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from numpy.typing import NDArray

from tfp_mdn.layers._head import lower_bound

__all__ = ["StandardLosses", "dense_variables", "leaves"]

tfd = tfp.distributions


class StandardLosses:
    """The negative log-likelihood of each row, computed in standard units from given weights.

    In the layers of TFP, the location and the scale of a component lie side by side, which keeps
    XLA from reading them in blocks and makes a step up to half as long again. Here the columns of
    the last dense layer stand apart: first the logits, then all locations, then all scales.
    """

    def __init__(self, model: tf_keras.Model) -> None:
        head = model.layers[-1]
        self._head, self._size = head, (head.event_shape or (1,))[0]
        self._network = tf_keras.Model(model.inputs, head.input)
        self._places = dense_variables(model)
        count = head.num_components
        pairs = np.arange(2 * count * self._size).reshape(count, 2, self._size) + count
        self._columns = np.append(np.arange(count), pairs.transpose(1, 0, 2))

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
        return tf.cast((y - loc) / scale, tf.float32)

    def __call__(self, weights: Sequence[tf.Tensor], x: Any, y: tf.Tensor) -> tf.Tensor:
        """Return -log p(y | x) of each row, (N,), for standard targets (N, D)."""
        with _replaced(self._places, weights):
            parameters = self._network(x, training=True)
        count, size = self._head.num_components, self._size
        logits, locations, raw_scales = tf.split(
            parameters, [count, count * size, count * size], axis=-1
        )
        scales = lower_bound(tf.nn.softplus(raw_scales), self._head.min_scale)
        log_prob = tfd.Normal(locations, scales).log_prob(tf.tile(y, (1, count)))
        if size > 1:
            log_prob = tf.reduce_sum(tf.reshape(log_prob, (-1, count, size)), axis=-1)
        unit = np.log(np.broadcast_to(self._head.scale, (size,))).sum()
        weighted = tf.nn.log_softmax(logits) + log_prob
        return tf.constant(unit, tf.float32) - tf.reduce_logsumexp(weighted, axis=-1)


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
