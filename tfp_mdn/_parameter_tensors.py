"""Reads the parameters off what a model with a mixture at its end returned, as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["parameter_tensors", "support_of", "unwrapped"]

tfd = tfp.distributions

# Where a part cannot be a composite tensor, as inside the layers of TFP, their constructors return
# these parents instead of their own class.
_MixtureSameFamily, _Independent = (
    public.__bases__[0] for public in (tfd.MixtureSameFamily, tfd.Independent)
)

# Families of which a component in one dimension has a location and a scale, and what it has beside.
_FAMILIES: dict[str, tuple[type, tuple[str, ...]]] = {
    "student_t": (tfd.StudentT, ("df",)),
    "logistic": (tfd.Logistic, ()),
    "lognormal": (tfd.LogNormal, ()),
    "truncated_normal": (tfd.TruncatedNormal, ()),
}


def parameter_tensors(distribution: Any) -> tuple[str, list[tf.Tensor]]:
    """Return the family of the components, and their parameters with the batch as one axis of rows.

    Those of "normal" are weights (R, K), means (R, K, D) and scales: (R, K, D), or (R, K, D, D) if
    they are triangular. The scales leave as standard deviations and are squared in float64, where
    they cannot vanish. Those of another family are weights (R, K), locations and scales (R, K, D)
    and, for "student_t", degrees of freedom; for "truncated_normal", whether the bounds are 0 and
    infinity, as 1 or 0.

    Raises:
        TypeError: If it is no mixture, or one of other components.
    """
    mixture = unwrapped(distribution)
    if not isinstance(mixture, _MixtureSameFamily):
        msg = (
            "the parameters can be read off a tfd.MixtureSameFamily only, got "
            f"{type(mixture).__name__}. End the model in tfp_mdn.layers.MixtureNormal."
        )
        raise TypeError(msg)
    components = unwrapped(mixture.components_distribution)
    family = family_of(components)
    if family == "normal":
        parts = [components.mean(), _scales(components)]
    else:
        density = components if components.event_shape.rank == 0 else components.distribution
        density = unwrapped(density)
        extras = (getattr(density, name) for name in _FAMILIES[family][1])
        parts = [density.loc, density.scale, *extras]
        if family == "truncated_normal":
            is_positive = tf.equal(density.low, 0.0) & tf.equal(density.high, np.inf)
            parts.append(tf.cast(is_positive, density.dtype))
        parts = [tf.broadcast_to(part, density.batch_shape_tensor()) for part in parts]
    weights = mixture.mixture_distribution.probs_parameter()
    if mixture.event_shape.rank == 0:
        parts = [part[..., tf.newaxis] for part in parts]
    batch_shape = mixture.batch_shape_tensor()
    ndims = [1, *(part.shape.rank - components.batch_shape.rank + 1 for part in parts)]
    return family, [
        _flat_rows(tensor, batch_shape, rank)
        for tensor, rank in zip([weights, *parts], ndims, strict=True)
    ]


def family_of(components: Any) -> str:
    """Return the family of the components of a mixture.

    Raises:
        TypeError: If they are of none that is known.
    """
    inner = components
    if isinstance(components, _Independent):
        inner = unwrapped(components.distribution)
    for family, (kind, _) in _FAMILIES.items():
        if isinstance(inner, kind) and components.event_shape.rank in (0, 1):
            return family
    if isinstance(inner, tfd.Normal) and components.event_shape.rank in (0, 1):
        return "normal"
    joint = (tfd.MultivariateNormalDiag, tfd.MultivariateNormalTriL)
    if isinstance(inner, joint) and inner is components:
        return "normal"
    msg = (
        "the components must be Normal, StudentT, Logistic, LogNormal or TruncatedNormal, "
        "Independent of these, MultivariateNormalDiag or MultivariateNormalTriL, got "
        f"{type(inner).__name__} with event shape {components.event_shape}."
    )
    raise TypeError(msg)


def support_of(distribution: Any) -> str | None:
    """Return "y > 0" or "y >= 0" for a mixture of components that have densities only there."""
    components = getattr(unwrapped(distribution), "components_distribution", None)
    inner = unwrapped(getattr(unwrapped(components), "distribution", components))
    if isinstance(unwrapped(components), tfd.LogNormal) or isinstance(inner, tfd.LogNormal):
        return "y > 0"
    return "y >= 0" if isinstance(inner, tfd.TruncatedNormal) else None


def unwrapped(distribution: Any) -> Any:
    """Return the distribution inside the wrapper that the layers of TFP put around theirs."""
    return getattr(distribution, "tensor_distribution", distribution)


def _scales(normal: Any) -> tf.Tensor:
    """Return standard deviations, or lower-triangular scales if the components have them."""
    if not isinstance(normal, tfd.MultivariateNormalTriL):
        return normal.stddev()
    tril = normal.scale.to_dense()
    shape = tf.concat([normal.batch_shape_tensor(), tf.shape(tril)[-2:]], axis=0)
    return tf.broadcast_to(tril, shape)


def _flat_rows(tensor: tf.Tensor, batch_shape: tf.Tensor, ndims: int) -> tf.Tensor:
    """Broadcast a parameter of `ndims` axes over the batch and make that one axis of rows."""
    last = tf.shape(tensor)[-ndims:]
    full = tf.broadcast_to(tensor, tf.concat([batch_shape, last], axis=0))
    return tf.reshape(full, tf.concat([[-1], last], axis=0))
