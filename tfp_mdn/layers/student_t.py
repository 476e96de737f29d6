"""A mixture of Student's t densities, for targets with outliers, as the last layer of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_mdn.layers._independent import IndependentHead, bounded_location, bounded_scale

__all__ = ["MIN_DF", "MixtureStudentT"]

tfd = tfp.distributions

# Up to 1 degree of freedom a t has no mean, and up to 2 no variance: the mean that `predict`
# returns and all that is made of variances would be NaN or infinite. With this floor, the variance
# of a component is at most 21 times its squared scale.
MIN_DF = 2.1

# Beyond it a t cannot be told from a normal, and float32 loses digits of its normalisation.
_MAX_DF = 1e4

_FIRST_DF = 6.0


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class MixtureStudentT(IndependentHead):
    """A mixture of independent Student's t densities as the last layer of a `tf_keras` model.

    The density that it returns for parameters `logits` (K), and `location`, `raw_scale` and
    `raw_df` (K, D):

        p(y) = sum_k softmax(logits)_k prod_d t(y_d | df_kd, m_kd, s_kd),
        m = loc + scale * location,    s = scale * max(softplus(raw_scale), min_scale),
        df = 2.1 + softplus(raw_df)

    A t of few degrees of freedom has heavy tails, so that outliers neither widen nor move a
    component much; one of many is a normal, and the network chooses for each component, dimension
    and input. The degrees of freedom stay above 2, since below there is no variance, and below 1 no
    mean; beyond 10,000 they count as that.

    Args:
        num_components: Number of components K.
        event_shape: Shape of one target: `(D,)`, an integer D, or `()` for a scalar.
        min_scale: Floor of every scale s, in units of `scale`; the standard deviation of a
            component is s sqrt(df / (df - 2)).
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
        K. L. Lange, R. J. A. Little, J. M. G. Taylor (1989), Robust statistical modeling using the
        t distribution, Journal of the American Statistical Association 84,
        https://doi.org/10.1080/01621459.1989.10478852. D. Peel, G. J. McLachlan (2000), Robust
        mixture modelling using the t distribution, Statistics and Computing 10,
        https://doi.org/10.1023/A:1008981510081.

    Example:
        >>> import tensorflow as tf
        >>> layer = MixtureStudentT(3)
        >>> layer(tf.zeros((5, layer.params_size(3)))).batch_shape
        TensorShape([5])
    """

    component: ClassVar[str] = "student_t"
    first_stddev: ClassVar[float] = math.sqrt(_FIRST_DF / (_FIRST_DF - 2.0))
    first_extras: ClassVar[tuple[float, ...]] = (math.log(math.expm1(_FIRST_DF - MIN_DF)),)

    @staticmethod
    def density(
        parts: Sequence[tf.Tensor], min_scale: float, loc: Any = 0.0, scale: Any = 1.0
    ) -> tfp.distributions.Distribution:
        """Return t densities for locations, raw scales and raw degrees of freedom."""
        location, raw_scale, raw_df = parts
        return tfd.StudentT(
            tf.minimum(MIN_DF + tf.nn.softplus(raw_df), _MAX_DF),
            loc + scale * bounded_location(location),
            scale * bounded_scale(raw_scale, min_scale),
        )
