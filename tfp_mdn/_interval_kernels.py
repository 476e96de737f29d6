"""The log-probability of an interval under a normal, in float32 and with slopes that are finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["log_interval", "log_prob_of_rounded"]

tfd = tfp.distributions

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)

# Below it, (1 + |z|) times half the width in standard deviations, the series is right to 1e-6, and
# the difference of two distribution functions would lose its digits.
_NARROW = 0.1


def log_prob_of_rounded(y: tf.Tensor, mixture: Any, steps: Any) -> tf.Tensor:
    """Return log P of the interval of width `steps` about each target, of the batch shape.

    A dimension whose step is 0 counts with its density.

    Args:
        y: Targets of the mixture's batch and event shape.
        mixture: A mixture of normals with independent dimensions.
        steps: Width of the intervals, a number or (D,), in the target's units.

    Raises:
        TypeError: If the components have full covariances.
        ValueError: If there are neither one nor D steps.
    """
    components = mixture.components_distribution
    if isinstance(components, tfd.MultivariateNormalTriL):
        msg = (
            "lattice needs components with independent dimensions: the probability of a box under "
            'a full covariance has no closed form. Use covariance_type="diag".'
        )
        raise TypeError(msg)
    means, scales = components.mean(), components.stddev()
    axis = -1 if mixture.event_shape.rank == 0 else -2
    target = tf.expand_dims(y, axis)
    size = 1 if axis == -1 else y.shape[-1]
    if np.size(steps) not in (1, size):
        msg = f"lattice must be a number or {size} of them, one for each dimension, got {steps}."
        raise ValueError(msg)
    halves = 0.5 * tf.constant(np.broadcast_to(steps, (size,)), y.dtype)
    interval = log_interval(target, means, scales, tf.where(halves > 0, halves, 1.0))
    terms = tf.where(halves > 0, interval, tfd.Normal(means, scales).log_prob(target))
    if axis == -2:
        terms = tf.reduce_sum(terms, axis=-1)
    log_weights = tf.nn.log_softmax(mixture.mixture_distribution.logits_parameter())
    return tf.reduce_logsumexp(log_weights + terms, axis=-1)


def log_interval(y: tf.Tensor, means: tf.Tensor, scales: tf.Tensor, half: Any) -> tf.Tensor:
    """Return log P(y - half < Y <= y + half) for Y ~ N(means, scales^2); `half` is above 0."""
    return _log_interval((y - means) / scales, half / scales)


@tf.custom_gradient
def _log_interval(z: tf.Tensor, half: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Return log P(z - half < Z <= z + half) of a standard normal Z.

    With a = |z| - half and b = |z| + half, it is in the tail, where a >= 0,

        -a^2 / 2 + log((erfcx(a / sqrt 2) - exp(-2 |z| half) erfcx(b / sqrt 2)) / 2),

    about the centre log((erf(b / sqrt 2) - erf(a / sqrt 2)) / 2), which adds two positive numbers,
    and in a narrow interval log(2 half phi(z) (1 + half^2 (z^2 - 1) / 6)). Its slopes follow from
    phi(a) / P and phi(b) / P = exp(-2 |z| half) phi(a) / P.
    """
    root = math.sqrt(0.5)
    size = tf.abs(z)
    near, far = size - half, size + half
    decay = tf.exp(-2.0 * size * half)
    edge = tf.maximum(near, 0.0)
    gap = tfp.math.erfcx(root * edge) - decay * tfp.math.erfcx(root * far)
    centre = 0.5 * (tf.math.erf(root * far) - tf.math.erf(root * near))
    bend = tf.square(half) * (tf.square(size) - 1.0) / 6.0
    is_tail, is_narrow = near >= 0.0, half * (1.0 + size) < _NARROW
    value = tf.where(is_tail, -0.5 * tf.square(edge) + tf.math.log(0.5 * gap), tf.math.log(centre))
    series = tf.math.log(2.0 * half) - 0.5 * tf.square(size) - _HALF_LOG_TWO_PI
    value = tf.where(is_narrow, series + tf.math.log1p(bend), value)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        density = tf.exp(-0.5 * tf.square(near) - _HALF_LOG_TWO_PI)
        ratio = tf.where(is_tail, math.sqrt(2.0 / math.pi) / gap, density / centre)
        by_size = tf.where(is_narrow, -size + tf.square(half) * size / 3.0, -ratio * (1.0 - decay))
        by_half = tf.where(
            is_narrow,
            1.0 / half + half * (tf.square(size) - 1.0) / 3.0,
            ratio * (1.0 + decay),
        )
        return upstream * tf.sign(z) * by_size, upstream * by_half

    return value, gradient
