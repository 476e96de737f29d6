"""Losses that train a model whose output is a distribution."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_mdn._keras import reject_keras3

__all__ = ["negative_log_likelihood"]


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
def negative_log_likelihood(y: Any, distribution: Any) -> tf.Tensor:
    """Return the negative log density of each target, -log p(y | x), in nats.

    One value a row, so Keras applies sample weights and reductions as to any of its losses.

    Args:
        y: Targets of shape (N, D) or, for one-dimensional targets, (N,) and (N, 1) alike;
            (N, T, D) for sequences.
        distribution: What the model returned: a distribution with batch shape (N,) or (N, T).

    Returns:
        Tensor of the batch shape, in nats.

    Raises:
        TypeError: If `distribution` is not a distribution, or `y` does not hold floats.
        ValueError: If the shape of `y` is not that of the rows, or a value of an eager `y` is
            not finite.

    Example:
        >>> import numpy as np
        >>> import tensorflow_probability as tfp
        >>> normal = tfp.distributions.Normal(np.zeros(3), np.ones(3))
        >>> negative_log_likelihood(np.zeros((3, 1)), normal).numpy().round(4)
        array([0.9189, 0.9189, 0.9189])
    """
    if not isinstance(distribution, tfp.distributions.Distribution):
        msg = (
            "negative_log_likelihood needs a model that returns a distribution, got "
            f"{type(distribution).__name__}. End the model in tfp_mdn.layers.MixtureNormal, and "
            "name this loss as the loss only: Keras hands metrics a tensor."
        )
        raise TypeError(msg)
    return -distribution.log_prob(_matched_target(y, distribution))


def _matched_target(y: Any, distribution: tfp.distributions.Distribution) -> tf.Tensor:
    """Return `y` as a tensor of the distribution's dtype and exactly its batch and event shape."""
    reject_keras3("y", y)
    y = tf.convert_to_tensor(y)
    if not y.dtype.is_floating:
        msg = (
            f"y must hold floating-point numbers, got {y.dtype.name}. "
            "Convert it first, for instance with y.astype('float32')."
        )
        raise TypeError(msg)
    y = tf.cast(y, distribution.dtype)
    batch_shape, event_shape = distribution.batch_shape, distribution.event_shape
    expected = batch_shape.concatenate(event_shape)
    if y.shape.rank == batch_shape.rank and event_shape.as_list() == [1]:
        matched = y[..., tf.newaxis]
    elif y.shape.rank == batch_shape.rank + 1 and y.shape[-1] == 1 and event_shape.rank == 0:
        matched = y[..., 0]
    else:
        matched = y
    if not matched.shape.is_compatible_with(expected):
        msg = f"y has shape {tuple(y.shape)}, but the distribution expects {tuple(expected)}."
        raise ValueError(msg)
    if tf.executing_eagerly() and not tf.reduce_all(tf.math.is_finite(matched)):
        msg = "y must be finite, got NaN or infinite values. Drop those rows first."
        raise ValueError(msg)
    if not (matched.shape.is_fully_defined() and expected.is_fully_defined()):
        # Sizes that are known only when the graph runs: unlike the subtraction in a density, a
        # reshape does not stretch a target of length 1 over many rows or steps.
        sizes = [distribution.batch_shape_tensor(), distribution.event_shape_tensor()]
        matched = tf.reshape(matched, tf.concat(sizes, axis=0))
    return matched
