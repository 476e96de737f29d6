"""Losses that train a model whose output is a distribution."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_mdn._loss_kernels as kernels
from tfp_mdn._marginal_kernels import log_prob_of_seen
from tfp_mdn._validation import as_choice, as_real

__all__ = [
    "BetaNLLLoss",
    "CRPSLoss",
    "NLLLoss",
    "NegativeLogLikelihood",
    "crps",
    "negative_log_likelihood",
]


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
def negative_log_likelihood(y: Any, distribution: Any) -> tf.Tensor:
    """Return the negative log density of each target, -log p(y | x), in nats.

    One value a row, so Keras applies sample weights and reductions as to any of its losses.

    Args:
        y: Targets of shape (N, D) or, for one-dimensional targets, (N,) and (N, 1) alike;
            (N, T, D) for sequences.
        distribution: What the model returned: a distribution with batch shape (N,) or (N, T).

    Returns:
        Tensor of the batch shape, in nats.

    Raises:
        TypeError: If `distribution` is not a distribution, or `y` does not hold floats.
        ValueError: If the shape of `y` is not that of the rows, or a value of an eager `y` is
            not finite.

    Example:
        >>> import numpy as np
        >>> import tensorflow_probability as tfp
        >>> normal = tfp.distributions.Normal(np.zeros(3), np.ones(3))
        >>> negative_log_likelihood(np.zeros((3, 1)), normal).numpy().round(4)
        array([0.9189, 0.9189, 0.9189])
    """
    if not isinstance(distribution, tfp.distributions.Distribution):
        msg = (
            "negative_log_likelihood needs a model that returns a distribution, got "
            f"{type(distribution).__name__}. End the model in tfp_mdn.layers.MixtureNormal, and "
            "name this loss as the loss only: Keras hands metrics a tensor."
        )
        raise TypeError(msg)
    return -distribution.log_prob(kernels.matched_target(y, distribution))


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
def crps(y: Any, distribution: Any) -> tf.Tensor:
    r"""Return the continuous ranked probability score of each target, in the target's units.

        CRPS = Σₖ wₖ A(y − μₖ, σₖ) − ½ Σⱼ Σₖ wⱼ wₖ A(μⱼ − μₖ, √(σⱼ² + σₖ²)),
        A(μ, σ) = E|μ + σZ| = μ erf(μ / √2σ) + σ √(2/π) exp(−μ² / 2σ²)

    As a loss it forgives outliers, whose pull on the network is bounded: unlike that of the
    likelihood it does not grow with their distance. It is the score of
    `MixtureParameters.crps`. For D > 1 it is the sum of the scores of the D marginal densities,
    to which the dependence between dimensions is nothing; scale them to like units.

    Args:
        y: As for `negative_log_likelihood`.
        distribution: What the model returned: a mixture of normals. A step takes room for the
            K² pairs of components of each row.

    Returns:
        Tensor of the batch shape, in the target's units.

    Raises:
        TypeError: If `distribution` is not a mixture of normals, or `y` does not hold floats.
        ValueError: As for `negative_log_likelihood`.

    References:
        E. P. Grimit, T. Gneiting, V. J. Berrocal, N. A. Johnson (2006), Quarterly Journal of the
        Royal Meteorological Society 132, 2925-2942, https://doi.org/10.1256/qj.05.235.

    Example:
        >>> from tfp_mdn.layers import MixtureNormal
        >>> crps(tf.constant([0.0, 3.0]), MixtureNormal(1)(tf.zeros((2, 3)))).numpy().round(4)
        array([0.162 , 2.6089], dtype=float32)
    """
    mixture = kernels.as_mixture("crps", distribution)
    return kernels.crps(kernels.matched_target(y, distribution), mixture)


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class NegativeLogLikelihood(tf_keras.metrics.Mean):
    """Mean negative log-likelihood in nats, to be watched beside another loss.

    `compile(loss=CRPSLoss(), weighted_metrics=[NegativeLogLikelihood()])` adds `nll`, and `val_nll`
    where there are held-out rows, to the logs and the history: `EarlyStopping("val_nll")` works.
    Among `metrics` it leaves sample weights out. A function cannot do this: Keras hands functions
    among the metrics a tensor, and metrics of a class of their own the distribution.

    Args:
        name: Name in the logs.
        **kwargs: Keyword arguments of `tf_keras.metrics.Mean`.

    Example:
        >>> from tfp_mdn.models import build_mdn
        >>> model = build_mdn(2, input_size=1)
        >>> model.compile("adam", CRPSLoss(), weighted_metrics=[NegativeLogLikelihood()])
        >>> sorted(model.fit(tf.zeros((4, 1)), tf.zeros((4, 1)), verbose=0).history)
        ['loss', 'nll']
    """

    def __init__(self, name: str = "nll", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Add the rows of a batch."""
        return super().update_state(negative_log_likelihood(y_true, y_pred), sample_weight)


class _MixtureLoss(tf_keras.losses.Loss):
    """A loss of each row, and the penalty on the entropy of its component weights."""

    def __init__(self, entropy_penalty: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.entropy_penalty = as_real("entropy_penalty", entropy_penalty)

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        """Return the loss of each row."""
        loss = self._row_loss(y_true, y_pred)
        if self.entropy_penalty:
            mixture = kernels.as_mixture(type(self).__name__, y_pred)
            loss += self.entropy_penalty * mixture.mixture_distribution.entropy()
        return loss

    def _row_loss(self, y: Any, distribution: Any) -> tf.Tensor:
        raise AssertionError("each loss has its own")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "entropy_penalty": self.entropy_penalty}


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class NLLLoss(_MixtureLoss):
    """`negative_log_likelihood` as a class, which takes a penalty on the component weights.

    The loss of a row is −log p(y | x) + λ H, with H = −Σₖ wₖ log wₖ the entropy of the weights at
    x in nats, from 0 for one component to log K for equal weights. A positive λ makes the network
    explain a row with few components; a negative one keeps weight on all of them, so that none
    dies. Either way the densities are no longer those of the best likelihood: watch it with
    `NegativeLogLikelihood`.

    With `missing="marginalise"` a dimension of y that is NaN is integrated out: the loss is the
    negative log density of the dimensions that are there, with their exact marginal, and nothing is
    imputed. A row with none has no gradient, and does not count in the mean of a batch.

    Args:
        entropy_penalty: λ, in units of the loss per nat.
        missing: "error" refuses NaN in an eager y; "marginalise" takes it for a missing value,
            which is right where what is missing does not depend on its value.
        **kwargs: Keyword arguments of `tf_keras.losses.Loss`: `reduction` and `name`.

    Raises:
        TypeError: If `entropy_penalty` is not a number.
        ValueError: If it is not finite, or `missing` is another word.

    References:
        R. J. A. Little, D. B. Rubin (2002), Statistical Analysis with Missing Data, chapter 6,
        https://doi.org/10.1002/9781119013563.

    Example:
        >>> from tfp_mdn.layers import MixtureNormal
        >>> equal = MixtureNormal(2)(tf.zeros((1, 6)))
        >>> difference = NLLLoss(0.5)([[0.0]], equal) - NLLLoss()([[0.0]], equal)
        >>> round(float(difference), 4)  # log(2) / 2
        0.3466
    """

    def __init__(
        self, entropy_penalty: float = 0.0, *, missing: str = "error", **kwargs: Any
    ) -> None:
        super().__init__(entropy_penalty, **kwargs)
        self.missing = as_choice("missing", missing, ("error", "marginalise"))

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        """Return the loss of each row."""
        loss = super().call(y_true, y_pred)
        if self.missing == "marginalise":
            target = kernels.matched_target(y_true, y_pred, allow_missing=True)
            seen = ~tf.math.is_nan(target)
            if y_pred.event_shape.rank:
                seen = tf.reduce_any(seen, axis=-1)
            loss = tf.where(seen, loss, tf.zeros_like(loss))
            loss._keras_mask = seen  # what Keras leaves out of the mean
        return loss

    def _row_loss(self, y: Any, distribution: Any) -> tf.Tensor:
        if self.missing == "error":
            return negative_log_likelihood(y, distribution)
        mixture = kernels.as_mixture("NLLLoss(missing='marginalise')", distribution)
        target = kernels.matched_target(y, distribution, allow_missing=True)
        return -log_prob_of_seen(target, mixture)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "missing": self.missing}


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class CRPSLoss(_MixtureLoss):
    """`crps` as a class, which a file names and another version of Keras can reload.

    Args:
        entropy_penalty: As for `NLLLoss`, in the target's units per nat.
        **kwargs: Keyword arguments of `tf_keras.losses.Loss`: `reduction` and `name`.

    Raises:
        TypeError: If `entropy_penalty` is not a number.
        ValueError: If it is not finite.

    Example:
        >>> from tfp_mdn.layers import MixtureNormal
        >>> round(float(CRPSLoss()([[0.0]], MixtureNormal(1)(tf.zeros((1, 3))))), 4)
        0.162
    """

    def _row_loss(self, y: Any, distribution: Any) -> tf.Tensor:
        return crps(y, distribution)


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class BetaNLLLoss(_MixtureLoss):
    r"""The likelihood with pulls that do not fade where the predicted variance is large.

    The gradient of the negative log-likelihood of one normal with respect to its mean is
    (μ − y) / σ²: rows that the network takes for noisy hardly move it, and so stay noisy. β-NLL
    multiplies the loss of a row by σ^{2β}, held constant. In a mixture each component k has
    variances of its own, and a row counts for it by the responsibility rₖ = p(k | x, y). By
    Fisher's identity, the gradient of −log p(y | x) is that of

        −Σₖ rₖ (log wₖ + Σ_d log N(y_d | μₖ_d, σₖ_d²))

    with the rₖ held constant. Here it becomes that of

        −Σₖ rₖ (log wₖ + Σ_d (σₖ_d / scale)^{2β} log N(y_d | μₖ_d, σₖ_d²))

    with rₖ and the factors held constant. β = 0 is the likelihood; with β = 1 means are pulled as
    by a squared error. The weights keep their own gradient: with the factors on it, they would
    drift to wide components. So at each x the gradient vanishes where the likelihood's does; what
    changes is how much rows and components count where the network cannot fit all. For K = 1 it
    is the loss of the paper. Its value is no likelihood: watch that with `NegativeLogLikelihood`.

    Args:
        beta: β, from 0 to 1; the paper recommends 0.5.
        scale: What the standard deviations are measured in, in the target's units, its standard
            deviation for instance: in units in which σ is 1000, or 0.001, the components would
            drown the weights, or the weights them.
        entropy_penalty: As for `NLLLoss`.
        **kwargs: Keyword arguments of `tf_keras.losses.Loss`: `reduction` and `name`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `beta` is not from 0 to 1, or `scale` not above 0.

    References:
        M. Seitzer, A. Tavakoli, D. Antic, G. Martius (2022), On the pitfalls of heteroscedastic
        uncertainty estimation with probabilistic neural networks, International Conference on
        Learning Representations, https://openreview.net/forum?id=aPOpXlnV1T.

    Example:
        >>> from tfp_mdn.layers import MixtureNormal
        >>> round(float(BetaNLLLoss(beta=0.5)([[0.0]], MixtureNormal(1)(tf.zeros((1, 3))))), 4)
        0.3829
    """

    def __init__(
        self, beta: float = 0.5, scale: float = 1.0, entropy_penalty: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(entropy_penalty, **kwargs)
        self.beta = as_real("beta", beta, minimum=0.0)
        if self.beta > 1.0:
            msg = f"beta must be from 0 to 1, got {beta!r}."
            raise ValueError(msg)
        self.scale = as_real("scale", scale, above=0.0)

    def _row_loss(self, y: Any, distribution: Any) -> tf.Tensor:
        mixture = kernels.as_mixture("BetaNLLLoss", distribution)
        target = kernels.matched_target(y, distribution)
        return kernels.beta_nll(target, mixture, self.beta, self.scale)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "beta": self.beta, "scale": self.scale}
