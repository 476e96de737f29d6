"""Scorers of densities for scikit-learn's model selection; greater is better in all of them.

They are plain functions, to be passed as `scoring=` to `cross_val_score` or `GridSearchCV`. The
estimator may be an `MDNRegressor`, a pipeline that ends in one, or a search over either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline

from tfp_mdn._validation import FloatArray, as_rows
from tfp_mdn.mixture import MixtureParameters

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["neg_crps_scorer", "neg_log_likelihood_scorer"]


def neg_log_likelihood_scorer(
    estimator: Any, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> float:
    """Return the mean log likelihood, the negative of the loss that a network is trained with.

        (1/N) Σₙ log p(yₙ | xₙ)

    Args:
        estimator: Fitted estimator with `predict_parameters`, or a pipeline that ends in one.
        X: Inputs (N, F).
        y: Targets (N,) or (N, D).
        sample_weight: Weight of each row in the mean, (N,), at least 0; None weighs all alike.

    Returns:
        The mean in nats per row. It depends on the unit of y: in units c times as large it is
        D log c greater.

    Raises:
        TypeError: If the estimator predicts no density in y's units.
        ValueError: If `y` or `sample_weight` does not fit.

    References:
        I. J. Good (1952), Rational decisions, Journal of the Royal Statistical Society B 14,
        107-114, https://doi.org/10.1111/j.2517-6161.1952.tb00104.x.

    Example:
        >>> class Standard:
        ...     def predict_parameters(self, X):
        ...         return MixtureParameters(np.ones((len(X), 1)), 0 * X, 0 * X + 1)
        >>> round(neg_log_likelihood_scorer(Standard(), np.zeros((2, 1)), [0.0, 1.0]), 4)
        -1.1689
    """
    parameters, targets = _predicted(estimator, X, y)
    return _mean(parameters.log_prob(targets), sample_weight)


def neg_crps_scorer(
    estimator: Any, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> float:
    """Return minus the mean continuous ranked probability score.

    See `tfp_mdn.mixture.scores.crps`. It forgives outliers more readily than the likelihood. For
    several targets it is the mean of their marginal scores,

        −(1/(N D)) Σₙ Σ_d CRPS(p_d(· | xₙ), y_nd),

    which is proper, as each term is: in expectation, no density scores better than the true one.
    But all densities with the same marginals score alike, and targets in a larger unit count more.
    How targets depend on each other is seen by `neg_log_likelihood_scorer`.

    Args:
        estimator: Fitted estimator with `predict_parameters`, or a pipeline that ends in one.
        X: Inputs (N, F).
        y: Targets (N,) or (N, D).
        sample_weight: Weight of each row in the mean, (N,), at least 0; None weighs all alike.

    Returns:
        Minus the mean, at most 0, in the units of the targets.

    Raises:
        TypeError: If the estimator predicts no density in y's units.
        ValueError: If `y` or `sample_weight` does not fit.

    References:
        T. Gneiting, A. E. Raftery (2007), Strictly proper scoring rules, prediction, and
        estimation, Journal of the American Statistical Association 102, 359-378,
        https://doi.org/10.1198/016214506000001437.

    Example:
        >>> class Standard:
        ...     def predict_parameters(self, X):
        ...         return MixtureParameters(np.ones((len(X), 1)), 0 * X, 0 * X + 1)
        >>> round(neg_crps_scorer(Standard(), np.zeros((2, 1)), [0.0, 0.0]), 4)
        -0.2337
    """
    parameters, targets = _predicted(estimator, X, y)
    scores = [parameters.marginal(place).crps(target) for place, target in enumerate(targets.T)]
    return -_mean(np.mean(scores, axis=0), sample_weight)


def _predicted(estimator: Any, X: Any, y: ArrayLike) -> tuple[MixtureParameters, FloatArray]:
    """Return the mixtures at X and targets (N, D)."""
    parameters = _parameters(estimator, X)
    targets = as_rows("y", y, num_columns=parameters.event_size)
    if len(targets) != parameters.num_inputs:
        msg = f"y must have as many rows as X ({parameters.num_inputs}), got {len(targets)}."
        raise ValueError(msg)
    return parameters, targets


def _parameters(estimator: Any, X: Any) -> MixtureParameters:
    """Return the mixtures at X, which a pipeline's transformers have yet to change."""
    if isinstance(estimator, Pipeline):
        transformers, last = estimator[:-1], estimator[-1]
        return _parameters(last, transformers.transform(X) if len(transformers) else X)
    if hasattr(estimator, "predict_parameters"):
        return estimator.predict_parameters(X)
    if hasattr(estimator, "best_estimator_"):
        return _parameters(estimator.best_estimator_, X)
    name = type(estimator).__name__
    if isinstance(estimator, TransformedTargetRegressor):
        msg = (
            f"estimator must predict densities in y's units, but in a {name} they are in those of "
            "the transformed y. Use MDNRegressor without it, which standardises y itself, or "
            "transform y beforehand and compare scores of the transformed y."
        )
    else:
        msg = (
            f"estimator must have predict_parameters, as MDNRegressor has, or be a Pipeline that "
            f"ends in such a one; got {name}."
        )
    raise TypeError(msg)


def _mean(scores: FloatArray, sample_weight: ArrayLike | None) -> float:
    """Return the weighted mean over rows."""
    if sample_weight is None:
        return float(scores.mean())
    weights = as_rows("sample_weight", sample_weight, num_columns=1)[:, 0]
    if len(weights) != len(scores) or (weights < 0.0).any() or not weights.any():
        msg = (
            f"sample_weight must hold {len(scores)} weights of at least 0, one of them positive, "
            f"got shape {np.shape(sample_weight)}."
        )
        raise ValueError(msg)
    return float(np.average(scores, weights=weights))
