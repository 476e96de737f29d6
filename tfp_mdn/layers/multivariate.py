"""A mixture of normals with full covariance matrices, as the last layer of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_mdn._validation import as_whole_number
from tfp_mdn.layers._head import DEFAULT_MIN_SCALE, MixtureHead, as_event_shape, lower_bound

__all__ = ["MixtureMultivariateNormal"]

tfd = tfp.distributions


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class MixtureMultivariateNormal(MixtureHead):
    """A mixture of normals with full covariance matrices as the last layer of a `tf_keras` model.

    The density that it returns for parameters `logits` (K), `location` (K, D) and lower-triangular
    `raw` (K, D, D):

        p(y) = sum_k softmax(logits)_k N(y | m_k, L_k L_k^T),
        m = loc + scale * location,    L = diag(scale) T,
        T_ii = max(softplus(raw_ii), min_scale),    T_ij = raw_ij for j < i

    A row of the input holds the logits, and then for each component its location and the
    D (D + 1) / 2 entries of `raw`, in the order of `tfp.math.fill_triangular`: raw_11, raw_10,
    raw_00 for D = 2, and raw_22, raw_21, raw_20, raw_00, raw_11, raw_10 for D = 3. It is the order
    of `tfp.layers.MixtureSameFamily` with `tfp.layers.MultivariateNormalTriL`, whose weights can be
    taken over: TFP adds 1e-5 to the diagonal, where this layer has a floor.

    Args:
        num_components: Number of components K.
        event_shape: Shape of one target: `(D,)` or an integer D.
        min_scale: Floor of the diagonal of T: the least standard deviation of the first dimension,
            and of each further one where those before it are known, in units of `scale`.
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
        P. M. Williams (1996), Using neural networks to model conditional multivariate densities,
        Neural Computation 8, https://doi.org/10.1162/neco.1996.8.4.843.

    Example:
        >>> import tensorflow as tf
        >>> layer = MixtureMultivariateNormal(3, event_shape=(2,))
        >>> distribution = layer(tf.zeros((5, layer.params_size(3, (2,)))))
        >>> distribution.components_distribution.covariance().shape
        TensorShape([5, 3, 2, 2])
    """

    def __init__(
        self,
        num_components: int,
        event_shape: int | Sequence[int],
        *,
        min_scale: float = DEFAULT_MIN_SCALE,
        loc: Any = 0.0,
        scale: Any = 1.0,
        convert_to_tensor_fn: str | Callable[[Any], Any] = "mean",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            *(num_components, _as_vector_shape(event_shape), convert_to_tensor_fn),
            min_scale=min_scale,
            loc=loc,
            scale=scale,
            **kwargs,
        )

    @staticmethod
    def params_size(num_components: int, event_shape: int | Sequence[int]) -> int:
        """Return the number of parameters of a row, K (1 + D + D (D + 1) / 2)."""
        (size,) = _as_vector_shape(event_shape)
        count = as_whole_number("num_components", num_components)
        return count * (1 + size + size * (size + 1) // 2)

    def _components(self, params: tf.Tensor) -> tfp.distributions.Distribution:
        (size,) = self.event_shape
        location, raw = params[..., :size], tfp.math.fill_triangular(params[..., size:])
        unit = tf.constant(self._scale, params.dtype)
        means = tf.constant(self._loc, params.dtype) + unit * location
        diagonal = lower_bound(tf.nn.softplus(tf.linalg.diag_part(raw)), self._min_scale)
        scales = unit[..., tf.newaxis] * tf.linalg.set_diag(raw, diagonal)
        return tfd.MultivariateNormalTriL(means, scales)


def _as_vector_shape(event_shape: int | Sequence[int]) -> tuple[int, ...]:
    shape = as_event_shape(event_shape)
    if not shape:
        msg = "event_shape must be (D,), got (): a covariance matrix needs a vector."
        raise ValueError(msg)
    return shape
