"""Log-densities of targets of which some dimensions are missing, with slopes that are finite."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["log_prob_of_seen"]

tfd = tfp.distributions

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


def log_prob_of_seen(y: tf.Tensor, mixture: Any) -> tf.Tensor:
    """Return the log-density of the dimensions of each target that are not NaN.

    Where none is, it is 0 and has no slope.

    Args:
        y: Targets of the mixture's batch and event shape.
        mixture: A mixture of normals.
    """
    components = mixture.components_distribution
    log_weights = tf.nn.log_softmax(mixture.mixture_distribution.logits_parameter())
    if mixture.event_shape.rank == 0:
        terms = _log_normal_of_seen(y[..., tf.newaxis], components.mean(), components.stddev())
        any_seen = ~tf.math.is_nan(y)
    else:
        target = y[..., tf.newaxis, :]
        if isinstance(components, tfd.MultivariateNormalTriL):
            terms = _log_correlated(target, components.loc, components.scale_tril)
        else:
            terms = tf.reduce_sum(
                _log_normal_of_seen(target, components.mean(), components.stddev()), axis=-1
            )
        any_seen = tf.reduce_any(~tf.math.is_nan(y), axis=-1)
    log_prob = tf.reduce_logsumexp(log_weights + terms, axis=-1)
    return tf.where(any_seen, log_prob, tf.zeros_like(log_prob))


def _log_normal_of_seen(y: tf.Tensor, means: tf.Tensor, scales: tf.Tensor) -> tf.Tensor:
    """Return log N(y | means, scales^2), and 0 where y is NaN."""
    seen = ~tf.math.is_nan(y)
    # A NaN that is only masked afterwards would come back in the slope, as 0 times NaN.
    log_prob = tfd.Normal(means, scales).log_prob(tf.where(seen, y, tf.stop_gradient(means)))
    return tf.where(seen, log_prob, tf.zeros_like(log_prob))


def _log_correlated(y: tf.Tensor, means: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Return log N(y_s | means_s, (L L^T)_ss), (..., K), where s are the dimensions that are seen.

    The covariance of s is A A^T with A the rows of L that belong to s. Gram and Schmidt's
    orthogonalisation of these rows gives its triangular factor, without the squares of L, whose
    digits float32 does not hold. The length of what is left of a row is at least its diagonal.

    Args:
        y: Targets, (..., 1, D), NaN where missing.
        means: Means, (..., K, D).
        factors: Lower-triangular L, (..., K, D, D).
    """
    seen = ~tf.math.is_nan(y)
    residuals = tf.where(seen, y, tf.stop_gradient(means)) - means
    seen = tf.cast(seen, means.dtype)
    total = tf.zeros_like(means[..., 0])
    directions: list[tf.Tensor] = []
    standard: list[tf.Tensor] = []
    for d in range(means.shape[-1]):
        row, residual = factors[..., d, :], residuals[..., d]
        for direction, earlier in zip(directions, standard, strict=True):
            share = tf.reduce_sum(row * direction, axis=-1)
            row -= share[..., tf.newaxis] * direction
            residual -= share * earlier
        length = tf.norm(row, axis=-1)
        now = seen[..., d]
        directions.append(now[..., tf.newaxis] * row / length[..., tf.newaxis])
        standard.append(now * residual / length)
        log_length = tf.math.log(length) + _HALF_LOG_TWO_PI
        total -= now * log_length + 0.5 * tf.square(standard[-1])
    return total
