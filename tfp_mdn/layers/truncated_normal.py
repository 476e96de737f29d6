"""A mixture of normals cut off at 0, for targets of at least 0, as the last layer of a model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_mdn._validation import FloatArray
from tfp_mdn.layers._head import lower_bound
from tfp_mdn.layers._independent import IndependentHead, bounded_location, bounded_scale

__all__ = ["MixtureTruncatedNormal"]

tfd = tfp.distributions

# Scales that a location may lie below 0: what is left above is then an exponential density to
# 1 part in 400, and further out float32 would know neither its mean nor its normalisation.
_DEEPEST = 20.0

# Share of targets that may be exactly 0 where a density begins there, as some round to it.
_MOST_ZEROS = 0.05


class _PositiveNormal(tfp.distributions.TruncatedNormal):
    """TFP's, from 0 to infinity, in a form in which nothing cancels."""

    def _log_normalizer(self, **kwargs: Any) -> tf.Tensor:
        return tfd.Normal(tf.zeros([], self.dtype), 1.0).log_cdf(self.loc / self.scale)

    def _mean(self) -> tf.Tensor:
        return tf.cast(self._moments()[0], self.dtype)

    def _variance(self) -> tf.Tensor:
        return tf.cast(self._moments()[1], self.dtype)

    def _moments(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Return mean and variance, in float64, where their differences keep their digits.

        With r = loc / scale and h = phi(r) / Phi(r) they are scale (r + h) and
        scale^2 (1 - h (r + h)).
        """
        loc, scale = tf.cast(self.loc, tf.float64), tf.cast(self.scale, tf.float64)
        ratio = loc / scale
        half = -ratio * math.sqrt(0.5)
        # erfcx overflows where next to nothing is cut off.
        hazard = math.sqrt(2.0 / math.pi) / tfp.math.erfcx(tf.maximum(half, -25.0))
        return scale * (ratio + hazard), tf.square(scale) * (1.0 - hazard * (ratio + hazard))


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class MixtureTruncatedNormal(IndependentHead):
    """A mixture of normals restricted to y >= 0 as the last layer of a `tf_keras` model.

    The density that it returns at y >= 0 for parameters `logits` (K), and `location` and
    `raw_scale` (K, D); below 0 it is 0:

        p(y) = sum_k softmax(logits)_k prod_d N(y_d | m_kd, s_kd^2) / Phi(m_kd / s_kd),
        s = scale * max(softplus(raw_scale), min_scale),    m = max(scale * location, -20 s)

    A component far above 0 is a normal; one whose m is far below 0 falls from 0 on as an
    exponential density does. m and s are those of the normal before it is cut off, not mean and
    standard deviation of the component.

    Args:
        num_components: Number of components K.
        event_shape: Shape of one target: `(D,)`, an integer D, or `()` for a scalar.
        min_scale: Floor of every s, in units of `scale`.
        loc: 0, since a shift would move the bound; it is there so that all mixture layers take the
            same arguments.
        scale: Scale of the targets, a number or D numbers in their units; the network then works in
            this unit.
        convert_to_tensor_fn: What stands in for the distribution as a tensor, in `model.predict`
            for instance: "mean", "sample", "stddev" or "variance".
        **kwargs: Keyword arguments of `tf_keras.layers.Layer`, such as `name` and `dtype`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, a shape does not fit `event_shape`, or `loc` is
            not 0.

    Example:
        >>> import tensorflow as tf
        >>> layer = MixtureTruncatedNormal(3)
        >>> distribution = layer(tf.zeros((1, layer.params_size(3))))
        >>> distribution.log_prob([[-1.0]]).numpy(), bool(distribution.log_prob([[0.0]]) > -1)
        (array([-inf], dtype=float32), True)
    """

    component: ClassVar[str] = "truncated_normal"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self._loc.any():
            msg = (
                f"loc must be 0 for truncated normal components, whose bound is at 0, got "
                f"{self._loc.tolist()}. Give a scale alone."
            )
            raise ValueError(msg)

    @staticmethod
    def density(
        parts: Sequence[tf.Tensor], min_scale: float, loc: Any = 0.0, scale: Any = 1.0
    ) -> tfp.distributions.Distribution:
        """Return truncated normal densities for locations and raw scales; `loc` is 0."""
        location, raw_scale = parts
        scales = bounded_scale(raw_scale, min_scale)
        deep = bounded_location(location) / scales
        locations = lower_bound(deep, -_DEEPEST) * scales
        locations = loc + scale * locations
        # As large as the others, so that rows can be selected of each.
        low = tf.zeros_like(locations)
        return _PositiveNormal(locations, scale * scales, low, low + np.inf)

    @staticmethod
    def inside(standard: tf.Tensor) -> tf.Tensor:
        """Return standard units, such as targets with noise, mirrored at the bound."""
        return tf.abs(standard)

    @staticmethod
    def check_targets(name: str, y: FloatArray) -> None:
        """Raise ValueError if a target is negative."""
        if (y < 0).any():
            msg = (
                f"{name} must be at least 0 for truncated normal components, got "
                f"{np.nanmin(y):g}. Use component='normal' if negative numbers are values."
            )
            raise ValueError(msg)

    @staticmethod
    def doubts_about_targets(y: FloatArray) -> Iterator[str]:
        """Yield warnings of targets of which many are 0."""
        for place, column in enumerate(y.T):
            seen = column[~np.isnan(column)]
            num_zero = int((seen == 0.0).sum())
            if num_zero > _MOST_ZEROS * len(seen):
                yield (
                    f"{num_zero} of {len(seen)} values of target {place} are 0: a share of zeros "
                    "is no density, and the components become a spike there. Model whether it is "
                    "0 apart, and fit the rest."
                )
