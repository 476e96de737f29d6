"""The log-probability of an interval under a normal, in float32 and with slopes that are finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["log_interval"]

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)

# Below it, (1 + |z|) times half the width in standard deviations, the series is right to 1e-6, and
# the difference of two distribution functions would lose its digits.
_NARROW = 0.1


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
