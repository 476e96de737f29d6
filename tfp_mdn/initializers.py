"""Starts a mixture layer from the targets, so that its components cover the data from step one."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow_probability as tfp
import tf_keras

from tfp_mdn._validation import FloatArray, as_rows
from tfp_mdn.layers import IndependentHead, MixtureHead, MixtureMultivariateNormal, head_class
from tfp_mdn.members import KERNEL_FACTOR

__all__ = ["spread_start", "start_from_targets"]

# Wide enough that neighbouring components overlap: K of them, spread over the data, with standard
# deviations of 4 / K times that of the target leave no gap between them.
_OVERLAP = 4.0


def start_from_targets(model: tf_keras.Model, y: Any) -> tf_keras.Model:
    """Set the layer before a mixture head so that its components start spread over the targets.

    The rows of `y` are ordered along their first principal axis and cut into K equal groups:
    component k starts at the mean of group k, with weight 1/K and a standard deviation of at least
    4/K of the target's, without correlation. A component that starts far from all data receives no
    gradient and stays dead; from this start none is far. Log-normal components are spread over the
    logarithms of the targets, and those of Student's t start with 6 degrees of freedom.

    Args:
        model: Model whose last two layers are `Dense` and a mixture layer of `tfp_mdn.layers`, with
            weights.
        y: Targets of shape (N,) or (N, D), in target units.

    Returns:
        The same model.

    Raises:
        TypeError: If the model does not end in those layers.
        ValueError: If it has no weights yet or no bias, or `y` is of the wrong shape or not finite.

    Example:
        >>> import numpy as np
        >>> from tfp_mdn.models import build_mdn
        >>> model = start_from_targets(build_mdn(2, input_size=1), np.array([0.0, 1.0, 4.0, 5.0]))
        >>> model.layers[-2].bias.numpy()[2::2].round(3)
        array([0.5, 4.5], dtype=float32)
    """
    if len(model.layers) < 2 or not isinstance(model.layers[-1], MixtureHead):
        msg = (
            "model must end in a Dense layer and a mixture layer of tfp_mdn.layers, such as "
            "MixtureNormal."
        )
        raise TypeError(msg)
    dense, head = model.layers[-2], model.layers[-1]
    if not isinstance(dense, tf_keras.layers.Dense):
        msg = f"the layer before the mixture must be Dense, got {type(dense).__name__}."
        raise TypeError(msg)
    if not dense.use_bias:
        msg = "the Dense layer before the mixture must have a bias, got use_bias=False."
        raise ValueError(msg)
    if not dense.built:
        msg = "the model has no weights yet: give build_mdn an input_size, or call it on data."
        raise ValueError(msg)
    (size,) = head.event_shape or (1,)
    targets = as_rows("y", y, num_columns=size)
    head.check_targets("y", targets)
    standardised = (head.transformed(targets) - head.loc) / head.scale
    kernel, _ = dense.get_weights()
    full = isinstance(head, MixtureMultivariateNormal)
    bias = spread_start(
        standardised,
        head.num_components,
        head.min_scale,
        "full" if full else "diag",
        head.component,
    )
    dense.set_weights([KERNEL_FACTOR * kernel, bias])
    return model


def spread_start(
    y: FloatArray,
    num_components: int,
    min_scale: float,
    covariance_type: str = "diag",
    component: str = "normal",
) -> FloatArray:
    """Return parameters of a mixture layer whose components are spread over targets.

    Args:
        y: Targets in standard units, (N, D).
        num_components: Number of components K.
        min_scale: Floor of the standard deviations.
        covariance_type: "diag" or "full".
        component: "normal", "student_t", "logistic", "lognormal" or "truncated_normal".

    Returns:
        Parameters in the order of the mixture layer of such components, without correlation.
    """
    head = head_class(covariance_type, component)
    means, scales = _spread_components(y, num_components)
    if issubclass(head, IndependentHead):
        scales = scales / head.first_stddev
    floored = np.maximum(scales, min_scale)
    raw_scales = floored + np.log(-np.expm1(-floored))  # the inverse of softplus
    if covariance_type == "full":
        raw_scales = tfp.math.fill_triangular_inverse(
            raw_scales[..., np.newaxis] * np.eye(y.shape[1])
        )
    parts = [means, raw_scales]
    if issubclass(head, IndependentHead):
        parts += [np.full_like(means, value) for value in head.first_extras]
    components = np.concatenate(parts, axis=1)
    return np.concatenate([np.zeros(num_components), components.ravel()])


def _spread_components(y: FloatArray, num_components: int) -> tuple[FloatArray, FloatArray]:
    """Return means and standard deviations (K, D) of groups along the first principal axis."""
    centred = y - y.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    # With fewer rows than components, rows serve more than one of them.
    repeats = -(-num_components // len(y))
    ordered = np.repeat(y[np.argsort(centred @ axis, kind="stable")], repeats, axis=0)
    groups = np.array_split(ordered, num_components)
    means = np.stack([group.mean(axis=0) for group in groups])
    within = np.stack([group.std(axis=0) for group in groups])
    return means, np.maximum(within, _OVERLAP / num_components * y.std(axis=0))
