"""A mixture of log-normal densities, for positive targets, as the last layer of a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_mdn._lattice import lattice_step
from tfp_mdn._validation import FloatArray
from tfp_mdn.layers._independent import IndependentHead, bounded_location, bounded_scale

__all__ = ["MixtureLogNormal"]

tfd = tfp.distributions

# A step of so many standard deviations leaves few values, each of which repeats often.
_COARSE = 0.05


class _LogNormal(tfp.distributions.LogNormal):
    """TFP's, whose mean and variance are the largest numbers where they overflow.

    An infinite mean of a component without weight would make that of the mixture NaN.
    """

    def _mean(self) -> tf.Tensor:
        # Its square still has room.
        return tf.minimum(super()._mean(), tf.constant(0.5 * np.sqrt(self.dtype.max), self.dtype))

    def _variance(self) -> tf.Tensor:
        exponent = 2.0 * self.loc + 2.0 * tf.square(self.scale)
        overflows = exponent > np.log(self.dtype.max) - 2.0
        largest = tf.constant(self.dtype.max / 4.0, self.dtype)
        return tf.where(overflows, largest, super()._variance())

    def _log_prob(self, value: tf.Tensor) -> tf.Tensor:
        # The logarithm of a negative number would be NaN, and not only there: a NaN that is masked
        # afterwards comes back in the slopes.
        inside = value > 0
        log_prob = super()._log_prob(tf.where(inside, value, tf.ones_like(value)))
        return tf.where(inside, log_prob, -np.inf)


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class MixtureLogNormal(IndependentHead):
    """A mixture of independent log-normal densities as the last layer of a `tf_keras` model.

    The density that it returns for parameters `logits` (K), and `location` and `raw_scale` (K, D),
    is that of a y > 0 whose logarithm has the density of `MixtureNormal`:

        p(y) = sum_k softmax(logits)_k prod_d N(log y_d | m_kd, s_kd^2) / y_d,
        m = loc + scale * location,    s = scale * max(softplus(raw_scale), min_scale)

    The affine map acts on log y: `loc` and `scale` are the mean and the standard deviation of the
    logarithms of the targets.

    Args:
        num_components: Number of components K.
        event_shape: Shape of one target: `(D,)`, an integer D, or `()` for a scalar.
        min_scale: Floor of every s, in units of `scale`.
        loc: Location of the affine map of log y: a number or D numbers.
        scale: Scale of that map, likewise; the network then works in standard units.
        convert_to_tensor_fn: What stands in for the distribution as a tensor, in `model.predict`
            for instance: "mean", "sample", "stddev" or "variance". The mean of a component is
            exp(m + s^2 / 2), which one wide component can carry far beyond all targets.
        **kwargs: Keyword arguments of `tf_keras.layers.Layer`, such as `name` and `dtype`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range or a shape does not fit `event_shape`.

    Example:
        >>> import tensorflow as tf
        >>> layer = MixtureLogNormal(3)
        >>> layer(tf.zeros((2, layer.params_size(3)))).log_prob([[-1.0], [0.0]]).numpy()
        array([-inf, -inf], dtype=float32)
    """

    component: ClassVar[str] = "lognormal"

    @staticmethod
    def density(
        parts: Sequence[tf.Tensor], min_scale: float, loc: Any = 0.0, scale: Any = 1.0
    ) -> tfp.distributions.Distribution:
        """Return log-normal densities for locations and raw scales."""
        location, raw_scale = parts
        return _LogNormal(
            loc + scale * bounded_location(location), scale * bounded_scale(raw_scale, min_scale)
        )

    @classmethod
    def standard_density(
        cls, parts: Sequence[tf.Tensor], min_scale: float
    ) -> tfp.distributions.Distribution:
        """Return the normal densities of standardised logarithms."""
        location, raw_scale = parts
        return tfd.Normal(bounded_location(location), bounded_scale(raw_scale, min_scale))

    @staticmethod
    def check_targets(name: str, y: FloatArray) -> None:
        """Raise ValueError if a target is not positive."""
        if (y <= 0).any():
            msg = (
                f"{name} must be greater than 0 for log-normal components, got {np.nanmin(y):g}. "
                "Use component='truncated_normal' if 0 is a value, or 'normal' if negative "
                "numbers are."
            )
            raise ValueError(msg)

    @staticmethod
    def doubts_about_targets(y: FloatArray) -> Iterator[str]:
        """Yield warnings of targets on a lattice, which on the scale of logarithms is none."""
        for place, column in enumerate(y.T):
            seen = column[~np.isnan(column)]
            step = lattice_step(seen)
            if step > _COARSE * seen.std():
                yield (
                    f"target {place} lies on a lattice of step {step:g}, where narrow log-normal "
                    "components can raise the likelihood without end. Use component='normal' with "
                    "lattice='auto'."
                )

    @staticmethod
    def transformed(y: Any) -> Any:
        """Return log y."""
        return tf.math.log(y) if isinstance(y, tf.Tensor) else np.log(y)

    def log_unit(self, standard: Any) -> Any:
        """Return log(dy / dz) of y = exp(loc + scale z), which is log(scale) + log(y)."""
        return standard * self._scale + (self._loc + np.log(self._scale))
