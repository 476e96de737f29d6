"""A mixture of normals whose dimensions are independent, as the last layer of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_mdn.layers._head import DEFAULT_MIN_SCALE, MixtureHead, lower_bound

__all__ = ["MixtureNormal"]

tfd = tfp.distributions


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class MixtureNormal(MixtureHead, tfp.layers.MixtureNormal):
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
            above 10,000 scales has no room in float32: pass `dtype="float64"` too.
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

    def __init__(
        self,
        num_components: int,
        event_shape: int | Sequence[int] = (1,),
        convert_to_tensor_fn: str | Callable[[Any], Any] = "mean",
        *,
        min_scale: float = DEFAULT_MIN_SCALE,
        loc: Any = 0.0,
        scale: Any = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            *(num_components, event_shape, convert_to_tensor_fn),
            min_scale=min_scale,
            loc=loc,
            scale=scale,
            **kwargs,
        )

    # TFP's, which the shared part would hide.
    params_size = staticmethod(tfp.layers.MixtureNormal.params_size)

    def _components(self, params: tf.Tensor) -> tfp.distributions.Distribution:
        location, raw_scale = tf.split(params, 2, axis=-1)
        unit = tf.constant(self._scale, params.dtype)
        means = tf.constant(self._loc, params.dtype) + unit * location
        scales = unit * lower_bound(tf.nn.softplus(raw_scale), self._min_scale)
        if self.event_shape:
            return tfd.Independent(tfd.Normal(means, scales), reinterpreted_batch_ndims=1)
        return tfd.Normal(means[..., 0], scales[..., 0])
