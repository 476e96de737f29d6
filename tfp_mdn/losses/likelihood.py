"""The negative log-likelihood as a loss and as a metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

import tfp_mdn._loss_kernels as kernels
from tfp_mdn._interval_kernels import log_prob_of_rounded
from tfp_mdn._marginal_kernels import log_prob_of_seen
from tfp_mdn._validation import as_choice, as_finite_array
from tfp_mdn.losses._base import MixtureLoss

__all__ = ["NLLLoss", "NegativeLogLikelihood", "negative_log_likelihood"]


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
        >>> from tfp_mdn.losses import CRPSLoss
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


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class NLLLoss(MixtureLoss):
    """`negative_log_likelihood` as a class, which takes a penalty on the component weights.

    The loss of a row is −log p(y | x) + λ H, with H = −Σₖ wₖ log wₖ the entropy of the weights at
    x in nats, from 0 for one component to log K for equal weights. A positive λ makes the network
    explain a row with few components; a negative one keeps weight on all of them, so that none
    dies. Either way the densities are no longer those of the best likelihood: watch it with
    `NegativeLogLikelihood`.

    With `missing="marginalise"` a dimension of y that is NaN is integrated out: the loss is the
    negative log density of the dimensions that are there, with their exact marginal, and nothing is
    imputed. A row with none has no gradient, and does not count in the mean of a batch.

    With a `lattice` of step h the loss is −log P(y − h/2 < Y ≤ y + h/2 | x), for targets that were
    rounded: narrow components on the points of a lattice cannot raise it without end.

    Args:
        entropy_penalty: λ, in units of the loss per nat.
        missing: "error" refuses NaN in an eager y; "marginalise" takes it for a missing value,
            which is right where what is missing does not depend on its value.
        lattice: Step to which y was rounded, in its unit: a number, or one for each dimension, 0
            where there is none; None for a density. Needs components whose dimensions are
            independent, and targets without gaps.
        **kwargs: Keyword arguments of `tf_keras.losses.Loss`: `reduction` and `name`.

    Raises:
        TypeError: If `entropy_penalty` or `lattice` does not hold numbers.
        ValueError: If one is not finite, `missing` is another word, or a step is negative.

    References:
        D. F. Heitjan (1989), Inference from grouped continuous data, Statistical Science 4,
        164-179, https://doi.org/10.1214/ss/1177012601.
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
        self,
        entropy_penalty: float = 0.0,
        *,
        missing: str = "error",
        lattice: float | Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(entropy_penalty, **kwargs)
        self.missing = as_choice("missing", missing, ("error", "marginalise"))
        steps = None if lattice is None else as_finite_array("lattice", lattice)
        if steps is not None and (steps < 0.0).any():
            msg = f"lattice must hold steps of at least 0, got {lattice}."
            raise ValueError(msg)
        self.lattice = None if steps is None else steps.tolist()
        if lattice is not None and self.missing == "marginalise":
            msg = 'lattice needs targets without gaps: leave missing="error".'
            raise ValueError(msg)

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
        if self.lattice is not None:
            mixture = kernels.as_mixture("NLLLoss(lattice=)", distribution)
            target = kernels.matched_target(y, distribution)
            return -log_prob_of_rounded(target, mixture, self.lattice)
        if self.missing == "error":
            return negative_log_likelihood(y, distribution)
        mixture = kernels.as_mixture("NLLLoss(missing='marginalise')", distribution)
        target = kernels.matched_target(y, distribution, allow_missing=True)
        return -log_prob_of_seen(target, mixture)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "missing": self.missing, "lattice": self.lattice}
