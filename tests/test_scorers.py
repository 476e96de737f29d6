"""Scorers in scikit-learn's model selection: estimators, pipelines, weights, and bad input."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.scorers import neg_crps_scorer, neg_log_likelihood_scorer

Rows = tuple[np.ndarray, np.ndarray]
SCORERS = [neg_log_likelihood_scorer, neg_crps_scorer]


class LinearDensity(RegressorMixin, BaseEstimator):  # type: ignore[misc, unused-ignore]
    """Least squares with normal densities, so that its scores are known in closed form."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def fit(self, X: Any, y: Any) -> LinearDensity:
        self.line_ = LinearRegression().fit(X, np.reshape(y, (len(X), -1)))
        return self

    def predict(self, X: Any) -> np.ndarray:
        result: np.ndarray = self.line_.predict(X)
        return result

    def predict_parameters(self, X: Any) -> MixtureParameters:
        means = self.predict(X)[:, np.newaxis, :]
        return MixtureParameters(
            np.ones(means.shape[:2]), means, np.full_like(means, self.scale**2)
        )


@pytest.fixture(scope="module")
def line(rows: Rows) -> LinearDensity:
    return LinearDensity(0.2).fit(*rows)


def test_the_log_likelihood_is_the_mean_of_log_densities(line: LinearDensity, rows: Rows) -> None:
    x, y = rows
    expected = stats.norm.logpdf(y, line.predict(x)[:, 0], 0.2).mean()
    for target in (y, y[:, np.newaxis], y.tolist(), pd.Series(y)):
        assert_allclose(neg_log_likelihood_scorer(line, x, target), expected)


def test_the_crps_is_negated(line: LinearDensity, rows: Rows) -> None:
    x, y = rows
    # Gneiting and Raftery (2007), for a normal density.
    z = (y - line.predict(x)[:, 0]) / 0.2
    each = 0.2 * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert_allclose(neg_crps_scorer(line, x, y), -each.mean())


@pytest.mark.parametrize("scorer", SCORERS)
def test_a_weight_counts_as_so_many_rows(
    scorer: Callable[..., float], line: LinearDensity, rows: Rows
) -> None:
    x, y = rows
    weights = np.arange(60) % 3
    repeated = np.repeat(x, weights, axis=0), np.repeat(y, weights)
    assert_allclose(scorer(line, x, y, sample_weight=weights), scorer(line, *repeated))
    assert_allclose(scorer(line, x, y, sample_weight=np.full(60, 1e-3)), scorer(line, x, y))


@pytest.mark.parametrize("scorer", SCORERS)
def test_the_scale_of_the_residuals_is_chosen(scorer: Callable[..., float], rows: Rows) -> None:
    search = GridSearchCV(LinearDensity(), {"scale": [1e-3, 0.1, 10.0]}, scoring=scorer, cv=3)
    search.fit(*rows)
    assert search.best_params_ == {"scale": 0.1}
    assert_allclose(scorer(search, *rows), scorer(search.best_estimator_, *rows))
    assert_allclose(search.score(*rows), scorer(search, *rows))
    scores = cross_val_score(LinearDensity(0.1), *rows, scoring=scorer, cv=3)
    assert_allclose(scores.mean(), search.best_score_)


@pytest.mark.parametrize("scorer", SCORERS)
def test_pipelines_are_scored_on_transformed_inputs(
    scorer: Callable[..., float], line: LinearDensity, rows: Rows
) -> None:
    x, y = rows
    expected = scorer(line, x, y)
    # Least squares do not depend on the scale of the inputs.
    for pipeline in (
        make_pipeline(StandardScaler(), LinearDensity(0.2)),
        make_pipeline(LinearDensity(0.2)),
        make_pipeline(StandardScaler(), make_pipeline("passthrough", LinearDensity(0.2))),
    ):
        assert_allclose(scorer(pipeline.fit(x, y), x, y), expected)
    frame = pd.DataFrame(x, columns=["a", "b"])
    named = make_pipeline(StandardScaler(), LinearDensity(0.2)).fit(frame, y)
    assert_allclose(scorer(named, frame, y), expected)
    grid = {"lineardensity__scale": [0.1, 10.0]}
    search = GridSearchCV(named, grid, scoring=scorer, cv=3).fit(frame, y)
    assert search.best_params_ == {"lineardensity__scale": 0.1}


@pytest.mark.parametrize("scorer", SCORERS)
def test_scorers_travel_to_other_processes(scorer: Callable[..., float]) -> None:
    assert pickle.loads(pickle.dumps(scorer)) is scorer


def test_targets_of_several_dimensions_have_a_likelihood(rows: Rows) -> None:
    x, _ = rows
    line = LinearDensity(0.5).fit(x, 2.0 * x)
    assert_allclose(neg_log_likelihood_scorer(line, x, 2.0 * x), 2 * stats.norm.logpdf(0, 0, 0.5))


def test_several_targets_have_the_mean_of_their_marginal_crps(rows: Rows) -> None:
    x, _ = rows
    y = 2.0 * x + np.random.default_rng(1).normal(size=x.shape)
    both = LinearDensity(0.5).fit(x, y)
    each = [neg_crps_scorer(LinearDensity(0.5).fit(x, column), x, column) for column in y.T]
    assert_allclose(neg_crps_scorer(both, x, y), np.mean(each))
    scores = cross_val_score(LinearDensity(0.5), x, y, scoring=neg_crps_scorer, cv=3)
    assert np.isfinite(scores).all()


def test_a_network_is_scored_alone_and_in_a_pipeline(fitted: Any, rows: Rows) -> None:
    x, y = rows

    def expected(network: Any, x: np.ndarray, y: np.ndarray) -> list[float]:
        p = network.predict_parameters(x)
        return [p.log_prob(y).mean(), -p.crps(y).mean()]

    assert_allclose([scorer(fitted, x, y) for scorer in SCORERS], expected(fitted, x, y))
    result = cross_validate(
        make_pipeline(StandardScaler(), clone(fitted)),
        x,
        y,
        scoring={"likelihood": neg_log_likelihood_scorer, "crps": neg_crps_scorer},
        cv=2,
        error_score="raise",
        return_estimator=True,
        return_indices=True,
    )
    for fold, held_out in enumerate(result["indices"]["test"]):
        scaler, network = result["estimator"][fold]
        scores = [result[f"test_{name}"][fold] for name in ("likelihood", "crps")]
        assert_allclose(scores, expected(network, scaler.transform(x[held_out]), y[held_out]))


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (LinearRegression(), "must have predict_parameters.*got LinearRegression"),
        (make_pipeline(StandardScaler(), LinearRegression()), "got LinearRegression"),
        (make_pipeline(StandardScaler(), "passthrough"), "got str"),
        (
            TransformedTargetRegressor(LinearDensity(), func=np.log, inverse_func=np.exp),
            "TransformedTargetRegressor they are in those of the transformed y",
        ),
        (
            make_pipeline(StandardScaler(), TransformedTargetRegressor(LinearDensity())),
            "TransformedTargetRegressor they are in those",
        ),
    ],
)
def test_estimators_without_densities_are_refused(
    scorer: Callable[..., float], estimator: Any, message: str, rows: Rows
) -> None:
    if isinstance(estimator, Pipeline):
        estimator[:-1].fit(rows[0])
    with pytest.raises(TypeError, match=message):
        scorer(estimator, *rows)


def test_an_estimator_that_is_not_fitted_says_so(rows: Rows) -> None:
    from tfp_mdn.estimator import MDNRegressor

    with pytest.raises(NotFittedError):
        neg_log_likelihood_scorer(MDNRegressor(), *rows)


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": np.zeros(59)}, r"y must have as many rows as X \(60\), got 59"),
        ({"y": np.zeros((60, 60))}, r"y must have 1 column\(s\), got shape \(60, 60\)"),
        ({"y": np.full(60, np.nan)}, "y must be finite"),
        ({"sample_weight": np.ones(59)}, "sample_weight must hold 60 weights of at least 0"),
        ({"sample_weight": -np.ones(60)}, "sample_weight must hold 60 weights of at least 0"),
        ({"sample_weight": np.zeros(60)}, "one of them positive"),
        ({"sample_weight": np.full(60, np.inf)}, "sample_weight must be finite"),
    ],
)
def test_bad_arguments_are_refused(
    scorer: Callable[..., float],
    arguments: dict[str, Any],
    message: str,
    line: LinearDensity,
    rows: Rows,
) -> None:
    with pytest.raises(ValueError, match=message):
        scorer(line, **{"X": rows[0], "y": rows[1], **arguments})
