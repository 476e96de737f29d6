"""A mixture of logistic densities as the last layer of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_mdn.layers._independent import IndependentHead, bounded_location, bounded_scale

__all__ = ["MixtureLogistic"]

tfd = tfp.distributions


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class MixtureLogistic(IndependentHead):
    """A mixture of independent logistic densities as the last layer of a `tf_keras` model.

    The density that it returns for parameters `logits` (K), and `location` and `raw_scale` (K, D):

        p(y) = sum_k softmax(logits)_k prod_d sech^2((y_d - m_kd) / 2 s_kd) / 4 s_kd,
        m = loc + scale * location,    s = scale * max(softplus(raw_scale), min_scale)

    Its tails fall as exp(-|y| / s): heavier than a normal's, so that outliers pull with a bounded
    force, and much lighter than a Student's t. The distribution function is in closed form. The
    order of the parameters is that of `tfp.layers.MixtureLogistic`, so weights trained with it give
    equal outputs here.

    Args:
        num_components: Number of components K.
        event_shape: Shape of one target: `(D,)`, an integer D, or `()` for a scalar.
        min_scale: Floor of every scale s, in units of `scale`; the standard deviation of a
            component is s pi / sqrt(3).
        loc: Location of the affine map of the target: a number or D numbers, in target units.
        scale: Scale of that map, likewise; the network then works in standard units. A location
            above 10,000 scales has no room in float32: pass `dtype="float64"` too.
        convert_to_tensor_fn: What stands in for the distribution as a tensor, in `model.predict`
            for instance: "mean", "sample", "stddev" or "variance".
        **kwargs: Keyword arguments of `tf_keras.layers.Layer`, such as `name` and `dtype`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range or a shape does not fit `event_shape`.

    References:
        T. Salimans, A. Karpathy, X. Chen, D. P. Kingma (2017), PixelCNN++: improving the PixelCNN
        with discretized logistic mixture likelihood, https://arxiv.org/abs/1701.05517.

    Example:
        >>> import tensorflow as tf
        >>> layer = MixtureLogistic(3)
        >>> layer(tf.zeros((5, layer.params_size(3)))).batch_shape
        TensorShape([5])
    """

    component: ClassVar[str] = "logistic"
    first_stddev: ClassVar[float] = math.pi / math.sqrt(3.0)

    @staticmethod
    def density(
        parts: Sequence[tf.Tensor], min_scale: float, loc: Any = 0.0, scale: Any = 1.0
    ) -> tfp.distributions.Distribution:
        """Return logistic densities for locations and raw scales."""
        location, raw_scale = parts
        return tfd.Logistic(
            loc + scale * bounded_location(location), scale * bounded_scale(raw_scale, min_scale)
        )
