"""What is asked of a mixture, in operations that every export format has."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from tfp_mdn.export._network import Mixture

__all__ = ["as_float64", "log_prob", "mean", "parameters", "quantile", "sample"]

# Steps of the search for a quantile. A step halves the error of the tail or, at the latest every
# second time, the bracket, which then is as narrow as float64 can tell; five to ten are enough for
# nearly all.
_MOST_STEPS = 200

# A quantile is found when the logarithm of its tail probability is right to this.
_TOLERANCE = 1e-12

# Standard deviations beyond which the tail of a normal distribution underflows in float64.
_FARTHEST = 39.0

# Φ(-z) = exp(-z²/2) P(z) / Q(z) for 0 <= z < 7.07 (Hart et al. 1968, no. 5666, as given by G. West
# 2005, Better approximations to cumulative normal functions, Wilmott Magazine, May, 70-76); beyond,
# a continued fraction. Formats without erfc in float64 can compute it.
_LIMIT = 7.07106781186547
_P = (
    *(3.52624965998911e-2, 0.700383064443688, 6.37396220353165, 33.912866078383),
    *(112.079291497871, 221.213596169931, 220.206867912376),
)
_Q = (
    *(8.83883476483184e-2, 1.75566716318264, 16.064177579207, 86.7807322029461),
    *(296.564248779674, 637.333633378831, 793.826512519948, 440.413735824752),
)


def as_float64(mixture: Mixture) -> Mixture:
    """Return a mixture in float64, with weights that sum to 1 there."""
    weights, means, scales = (tf.cast(part, tf.float64) for part in mixture)
    return Mixture(weights / tf.reduce_sum(weights, axis=-1, keepdims=True), means, scales)


def parameters(mixture: Mixture) -> dict[str, tf.Tensor]:
    """Return weights (N, K), means and variances (N, K, D), and covariances if they are full."""
    weights, means, scales = mixture
    named = {"weights": weights, "means": means}
    if not mixture.is_full:
        return {**named, "variances": tf.square(scales)}
    # A product of matrices would become an operation that ONNX Runtime 1.23 lacks in float64.
    columns = tf.unstack(scales, axis=-1)
    covariances = tf.add_n([c[..., tf.newaxis] * c[..., tf.newaxis, :] for c in columns])
    variances = tf.reduce_sum(tf.square(scales), axis=-1)
    return {**named, "variances": variances, "covariances": covariances}


def mean(mixture: Mixture) -> tf.Tensor:
    """Return the mean, (N, D)."""
    return tf.reduce_sum(mixture.weights[..., tf.newaxis] * mixture.means, axis=1)


def log_prob(mixture: Mixture, y: tf.Tensor) -> tf.Tensor:
    """Return log p(y) of targets (N, D), (N,), in nats."""
    weights, means, scales = mixture
    size = means.shape[-1]
    residuals = y[:, tf.newaxis] - means
    if mixture.is_full:
        # Forward substitution, since not all formats can solve triangular systems.
        solved: list[tf.Tensor] = []
        for i in range(size):
            known = [scales[..., i, j] * part for j, part in enumerate(solved)]
            rest = residuals[..., i] - tf.add_n(known) if known else residuals[..., i]
            solved.append(rest / scales[..., i, i])
        standard = tf.stack(solved, axis=-1)
        widths = tf.stack([scales[..., i, i] for i in range(size)], axis=-1)
    else:
        standard, widths = residuals / scales, scales
    kernel = tf.reduce_sum(0.5 * tf.square(standard) + tf.math.log(widths), axis=-1)
    terms = tf.math.log(weights) - kernel
    # Written out, because formats differ in what they make of a logsumexp without finite terms.
    largest = tf.maximum(tf.reduce_max(terms, axis=-1, keepdims=True), terms.dtype.min)
    total = tf.reduce_sum(tf.exp(terms - largest), axis=-1)
    constant = tf.constant(0.5 * size * math.log(2.0 * math.pi), terms.dtype)
    return largest[:, 0] + tf.math.log(total) - constant


def sample(mixture: Mixture, n: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw n targets for each row, (n, N, D); a seed gives the same ones again."""
    weights, means, scales = mixture
    rows, size = tf.shape(means)[0], means.shape[-1]
    seed = tf.cast(seed, tf.int64)
    # The product stays below the last sum, so that a component of weight 0 is never drawn.
    ladder = tf.cumsum(weights, axis=-1)
    place = tf.random.stateless_uniform((rows, n), tf.stack([seed, 0]), dtype=tf.float64)
    drawn = tf.searchsorted(ladder, place * ladder[:, -1:], side="right")
    noise = tf.random.stateless_normal((rows, n, size), tf.stack([seed, 1]), dtype=tf.float64)
    spread = tf.gather(scales, drawn, batch_dims=1)
    noise = tf.linalg.matvec(spread, noise) if mixture.is_full else spread * noise
    return tf.transpose(tf.gather(means, drawn, batch_dims=1) + noise, (1, 0, 2))


def quantile(mixture: Mixture, q: tf.Tensor) -> tf.Tensor:
    """Return where the distribution function of a target of one dimension is q (Q,): (Q, N).

    Newton's steps on the logarithm of the nearer tail, guarded by bisection. The levels 0 and 1
    give the infinite ends, and what is no probability NaN.
    """
    weights, means, scales = mixture.weights, mixture.means[..., 0], mixture.scales[..., 0]
    level = q[:, tf.newaxis]
    mirror = tf.where(level <= 0.5, tf.ones_like(level), -tf.ones_like(level))
    inside = tf.logical_and(level > 0.0, level < 1.0)
    tail = tf.where(inside, tf.where(level <= 0.5, level, 1.0 - level), tf.ones_like(level) / 2.0)
    target = tf.math.log(tail)
    # An upper tail is the lower tail of the mirrored mixture.
    start = mirror * tf.reduce_sum(weights * means, axis=-1)
    low = tf.reduce_min(mirror[..., tf.newaxis] * means - _FARTHEST * scales, axis=-1)
    high = tf.reduce_max(mirror[..., tf.newaxis] * means + _FARTHEST * scales, axis=-1)

    def unfinished(
        step: tf.Tensor, place: tf.Tensor, low: tf.Tensor, high: tf.Tensor, last: tf.Tensor
    ) -> tf.Tensor:
        return tf.logical_and(step < _MOST_STEPS, tf.reduce_any(last > _TOLERANCE))

    def improved(
        step: tf.Tensor, place: tf.Tensor, low: tf.Tensor, high: tf.Tensor, last: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        z = (place[..., tf.newaxis] - mirror[..., tf.newaxis] * means) / scales
        below = tf.reduce_sum(weights * _normal_cdf(z), axis=-1)
        density = tf.reduce_sum(weights / scales * tf.exp(-0.5 * tf.square(z)), axis=-1)
        error = tf.math.log(below) - target
        low = tf.where(error <= 0.0, place, low)
        high = tf.where(error >= 0.0, place, high)
        newton = place - error * below / density * math.sqrt(2.0 * math.pi)
        size = tf.abs(error)
        takes = tf.logical_and(size <= 0.5 * last, tf.logical_and(newton > low, newton < high))
        middle = 0.5 * low + 0.5 * high
        closed = tf.logical_or(middle <= low, middle >= high)
        done = tf.logical_or(closed, size <= _TOLERANCE)
        place = tf.where(done, place, tf.where(takes, newton, middle))
        # A step forced by the guard does not have to halve the error.
        endless = tf.fill(tf.shape(size), tf.constant(np.inf, size.dtype))
        last = tf.where(done, tf.zeros_like(size), tf.where(takes, size, endless))
        return step + 1, place, low, high, last

    endless = tf.fill(tf.shape(start), tf.constant(np.inf, start.dtype))
    _, place, *_ = tf.while_loop(unfinished, improved, (tf.constant(0), start, low, high, endless))
    ends = tf.where(
        level <= 0.0, tf.constant(-np.inf, place.dtype), tf.constant(np.inf, place.dtype)
    )
    proper = tf.logical_and(level >= 0.0, level <= 1.0)
    ends = tf.where(proper, ends, tf.constant(np.nan, place.dtype))
    return tf.where(inside, mirror * place, ends)


def _normal_cdf(z: tf.Tensor) -> tf.Tensor:
    size = tf.minimum(tf.abs(z), _FARTHEST)
    kernel = tf.exp(-0.5 * tf.square(size))
    middle = kernel * _polynomial(_P, size) / _polynomial(_Q, size)
    fraction = size + 0.65
    for numerator in (4.0, 3.0, 2.0, 1.0):
        fraction = size + numerator / fraction
    tail = tf.where(size < _LIMIT, middle, kernel / fraction / math.sqrt(2.0 * math.pi))
    return tf.where(z > 0.0, 1.0 - tail, tail)


def _polynomial(coefficients: tuple[float, ...], x: tf.Tensor) -> tf.Tensor:
    result = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        result = result * x + coefficient
    return result
