"""Losses other than the likelihood: the CRPS and the beta-NLL."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

import tfp_mdn._loss_kernels as kernels
from tfp_mdn._validation import as_real
from tfp_mdn.losses._base import MixtureLoss

__all__ = ["BetaNLLLoss", "CRPSLoss", "crps"]


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
class CRPSLoss(MixtureLoss):
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
class BetaNLLLoss(MixtureLoss):
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
