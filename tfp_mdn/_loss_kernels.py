"""Kernels of the losses: from targets and the distribution that a model returned to numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_mdn._keras import reject_keras3
from tfp_mdn._parameter_tensors import support_of, unwrapped

__all__ = ["as_mixture", "beta_nll", "component_weights", "crps", "matched_target"]

tfd = tfp.distributions

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)

# Larger standardised residuals count as this: their squares, divided by a small standard deviation
# as in the gradient, would overflow float32.
_LARGEST_RESIDUAL = 1e12

_NORMALS = (tfd.Normal, tfd.MultivariateNormalDiag, tfd.MultivariateNormalTriL)


def matched_target(
    y: Any, distribution: tfp.distributions.Distribution, *, allow_missing: bool = False
) -> tf.Tensor:
    """Return `y` as a tensor of the distribution's dtype and exactly its batch and event shape.

    Args:
        y: Targets.
        distribution: The distribution.
        allow_missing: Whether values may be NaN.

    Raises:
        TypeError: If `y` does not hold floats.
        ValueError: If its shape is not that of the rows, or a value of an eager one is not finite.
    """
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
    refused = tf.math.is_inf(matched) if allow_missing else ~tf.math.is_finite(matched)
    if tf.executing_eagerly():
        _check_support(matched, distribution)
    if tf.executing_eagerly() and tf.reduce_any(refused):
        what = "infinite" if allow_missing else "NaN or infinite"
        msg = f"y must be finite, got {what} values. Drop those rows first."
        raise ValueError(msg)
    if not (matched.shape.is_fully_defined() and expected.is_fully_defined()):
        # Sizes that are known only when the graph runs: unlike the subtraction in a density, a
        # reshape does not stretch a target of length 1 over many rows or steps.
        sizes = [distribution.batch_shape_tensor(), distribution.event_shape_tensor()]
        matched = tf.reshape(matched, tf.concat(sizes, axis=0))
    return matched


def _check_support(y: tf.Tensor, distribution: tfp.distributions.Distribution) -> None:
    support = support_of(distribution)
    outside = {"y > 0": y <= 0, "y >= 0": y < 0}.get(str(support))
    if outside is not None and tf.reduce_any(outside):
        msg = (
            f"these components have a density for {support} only, got y of "
            f"{float(tf.reduce_min(y)):g}. Build the model with component='normal', or "
            "'truncated_normal' if 0 is the least value."
        )
        raise ValueError(msg)


def as_mixture(name: str, distribution: Any) -> Any:
    """Return the mixture of normals inside what a model returned.

    Raises:
        TypeError: If there is none.
    """
    mixture = getattr(distribution, "tensor_distribution", distribution)
    components = getattr(mixture, "components_distribution", None)
    components = getattr(components, "tensor_distribution", components)
    # A log-normal has a normal inside as well, that of its logarithm.
    if not isinstance(components, (*_NORMALS, tfd.LogNormal)):
        components = getattr(components, "distribution", components)
    if not isinstance(components, _NORMALS):
        given = type(mixture).__name__
        if components is not None:
            given = f"one of {type(components).__name__} components"
        msg = (
            f"{name} needs a model that returns a mixture of normals, got {given}. End the model "
            "in tfp_mdn.layers.MixtureNormal, and name this loss as the loss only: Keras hands "
            "metrics a tensor."
        )
        raise TypeError(msg)
    return mixture


def component_weights(name: str, distribution: Any) -> tfp.distributions.Categorical:
    """Return the distribution over components of any mixture, or raise as `as_mixture` does."""
    mixture = unwrapped(distribution)
    if not hasattr(mixture, "mixture_distribution"):
        mixture = as_mixture(name, distribution)
    return mixture.mixture_distribution


def crps(y: tf.Tensor, mixture: Any) -> tf.Tensor:
    """Return the sum over dimensions of E|Y − y| − ½ E|Y − Y'|, of the batch shape.

    Args:
        y: Targets of the mixture's batch and event shape.
        mixture: A mixture of normals.
    """
    weights = mixture.mixture_distribution.probs_parameter()
    target, means, scales = _in_columns(y, mixture)
    distance = _mean_size(target - means, scales)
    gaps = means[..., tf.newaxis, :] - means[..., tf.newaxis, :, :]
    widths = _hypotenuse(scales[..., tf.newaxis, :], scales[..., tf.newaxis, :, :])
    spread = tf.einsum("...j,...k,...jkd->...d", weights, weights, _mean_size(gaps, widths))
    return tf.reduce_sum(tf.einsum("...k,...kd->...d", weights, distance) - 0.5 * spread, axis=-1)


def beta_nll(y: tf.Tensor, mixture: Any, beta: float, unit: float) -> tf.Tensor:
    """Return the surrogate of `BetaNLLLoss`, of the batch shape.

    Args:
        y: Targets of the mixture's batch and event shape.
        mixture: A mixture of normals whose components have independent dimensions.
        beta: Exponent of the variances.
        unit: What the standard deviations are measured in.

    Raises:
        TypeError: If the components have full covariances.
    """
    if isinstance(mixture.components_distribution, tfd.MultivariateNormalTriL):
        msg = (
            "BetaNLLLoss weighs each dimension by its own variance, which components with full "
            "covariances do not have. Use NLLLoss, or components with a diagonal covariance."
        )
        raise TypeError(msg)
    target, means, scales = _in_columns(y, mixture)
    terms = _log_normal(target - means, scales)
    log_weights = tf.nn.log_softmax(mixture.mixture_distribution.logits_parameter())
    shares = tf.stop_gradient(tf.nn.softmax(log_weights + tf.reduce_sum(terms, axis=-1)))
    factors = tf.stop_gradient(tf.pow(scales / unit, 2.0 * beta))
    parts = log_weights + tf.reduce_sum(factors * terms, axis=-1)
    # The entropy of the shares is a constant, which makes the value at β = 0 the likelihood's. A
    # share of 0 makes its product 0, whatever the other factor.
    entropy = tf.math.multiply_no_nan(tf.math.log(shares), shares)
    return tf.reduce_sum(entropy - tf.math.multiply_no_nan(parts, shares), axis=-1)


def _in_columns(y: tf.Tensor, mixture: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return targets (..., 1, D), means and standard deviations (..., K, D)."""
    components = mixture.components_distribution
    target, means, scales = y[..., tf.newaxis], components.mean(), components.stddev()
    if mixture.event_shape.rank == 0:
        return target[..., tf.newaxis], means[..., tf.newaxis], scales[..., tf.newaxis]
    return y[..., tf.newaxis, :], means, scales


@tf.custom_gradient
def _log_normal(residual: tf.Tensor, scale: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Return log N(residual | 0, scale²), with slopes that are finite however far out it lies."""
    z = tf.clip_by_value(residual / scale, -_LARGEST_RESIDUAL, _LARGEST_RESIDUAL)
    value = -0.5 * tf.square(z) - tf.math.log(scale) - _HALF_LOG_TWO_PI

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return -upstream * z / scale, upstream * (tf.square(z) - 1.0) / scale

    return value, gradient


@tf.custom_gradient
def _mean_size(mean: tf.Tensor, scale: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Return E|mean + scale Z| for a standard normal Z.

    Its slopes are 2Φ(z) − 1 and 2φ(z) with z = mean / scale: bounded, unlike the terms of which
    automatic differentiation would make them up.
    """
    z = mean / tf.maximum(
        scale, scale.dtype.as_numpy_dtype(np.finfo(scale.dtype.as_numpy_dtype).tiny)
    )
    slope = tf.math.erf(z * math.sqrt(0.5))
    density = math.sqrt(2.0 / math.pi) * tf.exp(-0.5 * tf.square(z))

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return upstream * slope, upstream * density

    return mean * slope + scale * density, gradient


def _hypotenuse(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Return √(a² + b²) of positive numbers without overflow or underflow of the squares."""
    longer, shorter = tf.maximum(first, second), tf.minimum(first, second)
    return longer * tf.sqrt(1.0 + tf.square(shorter / longer))
