"""A mixture of normals whose dimensions are independent, as the last layer of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_mdn.layers._head import lower_bound
from tfp_mdn.layers._independent import IndependentHead

__all__ = ["MixtureNormal"]

tfd = tfp.distributions


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class MixtureNormal(IndependentHead, tfp.layers.MixtureNormal):
    """A mixture of independent normals as the last layer of a `tf_keras` model.

    The density that it returns for parameters `logits` (K), and `location` and `raw_scale` (K, D):

        p(y) = sum_k softmax(logits)_k prod_d N(y_d | m_kd, s_kd^2),
        m = loc + scale * location,    s = scale * max(softplus(raw_scale), min_scale)

    The order of the parameters is that of `tfp.layers.MixtureNormal`, so weights trained with it
    give equal outputs here. Unlike it, the layer saves and reloads in safe mode, never divides by a
    vanished scale, and becomes the conditional mean where Keras needs a tensor.

    Args:
        num_components: Number of components K.
        event_shape: Shape of one target: `(D,)`, an integer D, or `()` for a scalar.
        min_scale: Floor of every standard deviation, in units of `scale`.
        loc: Location of the affine map of the target: a number or D numbers, in target units.
        scale: Scale of that map, likewise; the network then works in standard units. A location
            above 10,000 scales has no room in float32: pass `dtype="float64"` too, and train with
            `fit_mdn` or a model of `build_mdn`; `fit` and `evaluate` of other models round arrays
            of targets to float32.
        convert_to_tensor_fn: What stands in for the distribution as a tensor, in `model.predict`
            for instance: "mean", "sample", "stddev" or "variance".
        **kwargs: Keyword arguments of `tf_keras.layers.Layer`, such as `name` and `dtype`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range or a shape does not fit `event_shape`.

    References:
        C. M. Bishop (1994), Mixture density networks, technical report NCRG/94/004, Aston
        University.

    Example:
        >>> import tensorflow as tf
        >>> layer = MixtureNormal(3, event_shape=(2,))
        >>> layer(tf.zeros((5, layer.params_size(3, (2,))))).batch_shape
        TensorShape([5])
    """

    component: ClassVar[str] = "normal"

    @staticmethod
    def density(
        parts: Sequence[tf.Tensor], min_scale: float, loc: Any = 0.0, scale: Any = 1.0
    ) -> tfp.distributions.Distribution:
        """Return normal densities for locations and raw scales."""
        location, raw_scale = parts
        return tfd.Normal(
            loc + scale * location, scale * lower_bound(tf.nn.softplus(raw_scale), min_scale)
        )

    @classmethod
    def standard_density(
        cls, parts: Sequence[tf.Tensor], min_scale: float
    ) -> tfp.distributions.Distribution:
        """Return the densities of targets in standard units."""
        location, raw_scale = parts
        return tfd.Normal(location, lower_bound(tf.nn.softplus(raw_scale), min_scale))
