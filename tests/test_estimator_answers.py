"""Uncertainties of a fitted estimator, and full covariances from fit to file."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from tfp_mdn.calibration import calibration_report
from tfp_mdn.datasets import inverse_sinusoid
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.uncertainty import split_members

Rows = tuple[np.ndarray, np.ndarray]
Fit = Callable[..., MDNRegressor]


def test_both_parts_add_up_to_what_is_predicted(fitted: MDNRegressor, rows: Rows) -> None:
    x, _ = rows
    split = fitted.uncertainty(x)
    mean, std = fitted.predict(x, return_std=True)
    assert split.aleatoric.shape == split.epistemic.shape == np.shape(mean) == (60,)
    assert_allclose(np.sqrt(split.total), std, rtol=1e-5)
    p = fitted.predict_parameters(x)
    entropy, error = p.entropy(4000, rng=0)
    assert np.abs((split.entropy - entropy) / error).max() < 4.5
    means = [member.mean()[:, 0] for member in split_members(p, 2)]
    assert_allclose(split.epistemic, np.square(means[0] - means[1]) / 4, rtol=1e-9)
    assert not split.aleatoric_entropy_error.any()


def test_one_member_has_nothing_to_disagree_with(quick_fit: Fit, rows: Rows) -> None:
    split = quick_fit(ensemble_size=1).uncertainty(rows[0])
    for part in (split.epistemic, split.mutual_information, split.mutual_information_error):
        assert_array_equal(part, np.zeros(60))


def test_members_disagree_more_the_farther_from_the_data(quick_fit: Fit, rows: Rows) -> None:
    regressor = quick_fit(ensemble_size=5, num_steps=200)
    inside = regressor.uncertainty(rows[0])
    distances = np.array([3.0, 6.0, 9.0])
    for direction in (1.0, -1.0):
        x = np.stack([direction * distances, np.zeros(3)], axis=1)
        outside = regressor.uncertainty(x)
        assert (np.diff(outside.epistemic) > 0).all()
        assert outside.epistemic[-1] > 10 * np.median(inside.epistemic)
        assert outside.mutual_information[-1] > 3 * np.median(inside.mutual_information)


@pytest.mark.slow
def test_a_trained_ensemble_knows_where_it_has_seen_nothing() -> None:
    x, y = inverse_sinusoid().sample(1000, 0)
    regressor = MDNRegressor(random_state=0).fit(x, y)
    inside = regressor.uncertainty(np.linspace(-8, 8, 50)[:, None])
    for direction in (1.0, -1.0):
        outside = regressor.uncertainty(direction * np.array([[15.0], [30.0], [60.0]]))
        assert (outside.mutual_information > 3 * np.median(inside.mutual_information)).all()
        assert outside.epistemic[-1] > 3 * np.median(inside.epistemic)


@pytest.fixture(scope="module")
def plane() -> Rows:
    """Return rows of two targets that move together or against each other, as x says."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1.0, 1.0, (300, 1))
    z = rng.normal(size=(300, 2))
    return x, np.stack([z[:, 0], np.sign(x[:, 0]) * z[:, 0] + 0.2 * z[:, 1]], axis=1)


@pytest.fixture(scope="module")
def full(quick_fit: Fit, plane: Rows) -> MDNRegressor:
    """Return an estimator with full covariances; no test may change it."""
    return quick_fit(*plane, covariance_type="full", num_steps=200)


def test_full_covariances_turn_with_the_inputs(full: MDNRegressor, plane: Rows) -> None:
    x, y = plane
    p = full.predict_parameters(x)
    assert p.covariances is not None
    assert p.covariances.shape == (300, 6, 2, 2)
    correlation = p.covariance()[:, 0, 1] / p.stddev().prod(axis=1)
    assert (np.sign(correlation) == np.sign(x[:, 0]))[np.abs(x[:, 0]) > 0.3].all()
    assert np.shape(full.predict(x)) == (300, 2)
    assert full.sample(x, 3, random_state=0).shape == (3, 300, 2)
    assert_allclose(full.log_prob(x, y), full.model_(x).log_prob(y), atol=1e-4)
    assert_allclose(full.model_.predict(x, verbose=0), full.predict(x), rtol=1e-4, atol=1e-5)


def test_they_are_better_than_diagonal_ones(
    full: MDNRegressor, quick_fit: Fit, plane: Rows
) -> None:
    diagonal = quick_fit(*plane, num_steps=200)
    assert full.log_prob(*plane).mean() > diagonal.log_prob(*plane).mean() + 0.2


def test_one_dimension_at_a_time_has_quantiles(full: MDNRegressor, plane: Rows) -> None:
    x, _ = plane
    with pytest.raises(ValueError, match=r"predict_parameters\(X\).marginal\(d\).quantile\(...\)"):
        full.predict_quantile(x, 0.5)
    with pytest.raises(ValueError, match=r"predict_parameters\(X\).marginal\(d\).interval\(...\)"):
        full.predict_interval(x)
    margin = full.predict_parameters(x).marginal(1)
    assert_allclose(margin.interval(0.8), margin.quantile([0.1, 0.9]).T)


def test_what_follows_from_a_mixture_follows_from_theirs(full: MDNRegressor, plane: Rows) -> None:
    x, y = plane
    p = full.predict_parameters(x)
    joint = p.marginal(0).log_prob(y[:, 0]) + p.condition(0, y[:, 0]).log_prob(y[:, 1])
    assert_allclose(joint, p.log_prob(y), atol=1e-9)
    assert len(calibration_report(p, y).to_dict()) > 0


def test_uncertainty_in_the_plane_is_drawn_from_its_seed(full: MDNRegressor, plane: Rows) -> None:
    x = plane[0][:20]
    split, again = (full.uncertainty(x, random_state=0) for _ in range(2))
    assert split.aleatoric.shape == split.epistemic.shape == (20, 2)
    assert split.mutual_information.shape == (20,)
    assert_array_equal(split.mutual_information, again.mutual_information)
    assert_allclose(split.total, full.predict_parameters(x).variance(), rtol=1e-5)
    entropy, error = full.predict_parameters(x).entropy(4000, rng=1)
    spread = np.hypot(
        error, np.hypot(split.aleatoric_entropy_error, split.mutual_information_error)
    )
    assert np.abs((split.entropy - entropy) / spread).max() < 4.5
    fewer = full.uncertainty(x, size=100, random_state=0)
    assert (fewer.aleatoric_entropy_error > 2 * split.aleatoric_entropy_error).all()


def test_they_are_saved_and_pickled(full: MDNRegressor, plane: Rows, tmp_path: Path) -> None:
    full.save(tmp_path / "full")
    for again in (MDNRegressor.load(tmp_path / "full"), pickle.loads(pickle.dumps(full))):
        assert again.covariance_type == "full"
        assert_array_equal(again.log_prob(*plane), full.log_prob(*plane))


def test_a_warm_start_keeps_the_covariance_type(quick_fit: Fit, plane: Rows) -> None:
    regressor = quick_fit(*plane, covariance_type="full", warm_start=True)
    before = regressor.log_prob(*plane).mean()
    assert regressor.fit(*plane).log_prob(*plane).mean() > before
    regressor.set_params(covariance_type="diag")
    with pytest.raises(ValueError, match="covariance_type changed since the last fit"):
        regressor.fit(*plane)


def test_a_lattice_raises_the_floor(quick_fit: Fit, plane: Rows) -> None:
    x, y = plane
    p = quick_fit(x, np.round(2 * y), covariance_type="full").predict_parameters(x)
    assert p.covariances is not None
    pivots = np.diagonal(np.linalg.cholesky(p.covariances), axis1=-2, axis2=-1)
    scale = np.round(2 * y).std(axis=0)
    assert (pivots >= scale * (1 / np.sqrt(12)) / scale.max() * (1 - 1e-4)).all()


def test_targets_that_determine_each_other(quick_fit: Fit, plane: Rows) -> None:
    x, y = plane
    y = np.stack([y[:, 0], 1e6 * y[:, 0] + 1e9], axis=1)
    regressor = quick_fit(x, y, covariance_type="full", num_steps=200)
    covariance = regressor.predict_parameters(x).covariance()
    correlation = covariance[:, 0, 1] / np.sqrt(covariance[:, 0, 0] * covariance[:, 1, 1])
    assert (correlation > 0.95).all()


@pytest.mark.parametrize("given", ["tied", None, 3])
def test_other_covariance_types_are_refused(quick_fit: Fit, plane: Rows, given: Any) -> None:
    with pytest.raises(ValueError, match="covariance_type must be 'diag' or 'full', got"):
        quick_fit(*plane, covariance_type=given)


def test_bad_arguments_of_uncertainty(full: MDNRegressor, plane: Rows) -> None:
    with pytest.raises(ValueError, match="size must be at least 2 for each of 2 members"):
        full.uncertainty(plane[0], size=2)
    with pytest.raises(ValueError, match="X has 2 features"):
        full.uncertainty(np.ones((3, 2)))
    with pytest.raises(NotFittedError):
        MDNRegressor().uncertainty(plane[0])
