"""The scikit-learn regressor: units, shapes, seeds, weights, names, files, and how well it fits."""

from __future__ import annotations

import copy
import io
import pickle
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tf_keras
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import tfp_mdn
from tfp_mdn import persistence
from tfp_mdn.datasets import inverse_sinusoid
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.mixture.scores import censored_log_score
from tfp_mdn.models import build_mdn

Rows = tuple[np.ndarray, np.ndarray]
Fit = Callable[..., MDNRegressor]


def test_the_methods_say_the_same_as_the_parameters(fitted: MDNRegressor, rows: Rows) -> None:
    x, y = rows
    p = fitted.predict_parameters(x)
    assert isinstance(p, MixtureParameters)
    assert p.means.shape == (60, 6, 1)  # two members of three components
    assert_array_equal(fitted.predict(x), p.mean()[:, 0])
    mean, std = fitted.predict(x, return_std=True)
    assert_array_equal(mean, p.mean()[:, 0])
    assert_array_equal(std, p.stddev()[:, 0])
    for target in (y, y[:, None], list(y)):
        assert_array_equal(fitted.log_prob(x, target), p.log_prob(y))
    assert fitted.score(x, y) == pytest.approx(r2_score(y, mean))
    draws = fitted.sample(x, 2000, random_state=0)
    assert draws.shape == (2000, 60, 1)
    assert np.abs((draws.mean(axis=0)[:, 0] - mean) / std).max() < 5 / np.sqrt(2000)
    assert fitted.sample(x).shape == (1, 60, 1)


def test_quantiles_and_intervals_hold_their_probability(fitted: MDNRegressor, rows: Rows) -> None:
    x, _ = rows
    p = fitted.predict_parameters(x)
    low, high = fitted.predict_quantile(x, [0.1, 0.9])
    assert_allclose(p.cdf(low), 0.1, atol=1e-9)
    assert_allclose(p.cdf(high), 0.9, atol=1e-9)
    assert_allclose(fitted.predict_interval(x, 0.8), np.stack([low, high], axis=1), rtol=1e-9)
    assert fitted.predict_quantile(x, 0.5).shape == (60,)


def test_the_model_takes_raw_inputs_and_speaks_the_target_s_units(
    fitted: MDNRegressor, rows: Rows
) -> None:
    x, y = rows
    distribution = fitted.model_(x)
    assert_allclose(distribution.log_prob(y[:, None]), fitted.log_prob(x, y), atol=1e-5)
    predicted = fitted.model_.predict(x, verbose=0)[:, 0]
    assert_allclose(predicted, fitted.predict(x), rtol=1e-5, atol=1e-7)


def test_what_was_learned(fitted: MDNRegressor, rows: Rows) -> None:
    assert fitted.n_features_in_ == 2
    assert not hasattr(fitted, "feature_names_in_")
    assert fitted.history_["step"] == [float(step) for step in range(1, 41)]
    assert set(fitted.history_) == {"step", "loss", "val_loss"}
    assert np.isfinite(fitted.history_["loss"]).all()
    assert fitted.score(*rows) > 0.1


def test_seeds_decide_and_no_global_state_is_read_or_changed(
    quick_fit: Fit, fitted: MDNRegressor, rows: Rows
) -> None:
    x, _ = rows
    random.seed(11)
    np.random.seed(11)  # noqa: NPY002
    tf.random.set_seed(11)

    def state() -> list[str]:
        generator = tf.random.get_global_generator().state.numpy()
        return [str(random.getstate()), str(np.random.get_state()), str(generator)]  # noqa: NPY002

    before = state()
    again = quick_fit(random_state=np.random.RandomState(0))
    assert_array_equal(again.predict(x), fitted.predict(x))
    assert_array_equal(fitted.sample(x, 2, random_state=4), again.sample(x, 2, random_state=4))
    assert state() == before
    first, second = (quick_fit(random_state=np.random.default_rng(0)) for _ in range(2))
    assert_array_equal(first.predict(x), second.predict(x))
    generator = np.random.default_rng(0)
    drawn_first = first.sample(x, random_state=generator)
    assert not np.array_equal(drawn_first, first.sample(x, random_state=generator))
    drawn = quick_fit(random_state=None)
    assert not np.array_equal(drawn.predict(x), fitted.predict(x))
    assert not np.array_equal(fitted.sample(x), fitted.sample(x))
    assert str(np.random.get_state()) == before[1]  # noqa: NPY002


@pytest.mark.parametrize(
    ("x_factor", "x_offset", "y_factor", "y_offset"),
    [
        (1e-6, 1e4, 1e6, -1e12),
        pytest.param(1e-6, 0.0, 1e6, 5e7, marks=pytest.mark.slow),
        pytest.param(1.0, 1e9, 1.0, -1e9, marks=pytest.mark.slow),
        pytest.param(1e-200, 0.0, 1e-9, 0.0, marks=pytest.mark.slow),
        pytest.param(1e200, -1e203, 1e29, 0.0, marks=pytest.mark.slow),
    ],
)
def test_units_do_not_matter(
    quick_fit: Fit,
    fitted: MDNRegressor,
    rows: Rows,
    x_factor: float,
    x_offset: float,
    y_factor: float,
    y_offset: float,
) -> None:
    x, y = x_factor * rows[0] + x_offset, y_factor * rows[1] + y_offset
    twin = quick_fit(x, y)
    expected = fitted.log_prob(*rows)
    assert_allclose(twin.log_prob(x, y) + np.log(y_factor), expected, atol=1e-4)
    predicted = np.asarray(twin.predict(x))
    assert_allclose((predicted - y_offset) / y_factor, fitted.predict(rows[0]), atol=1e-5)
    history = np.array(twin.history_["val_loss"]) - np.log(y_factor)
    assert_allclose(history, fitted.history_["val_loss"], atol=1e-4)


def test_constant_columns_are_warned_about_and_say_nothing(
    quick_fit: Fit, fitted: MDNRegressor, rows: Rows
) -> None:
    x = np.insert(rows[0], 1, 7.0, axis=1)
    with pytest.warns(UserWarning, match=r"column\(s\) \[1\] of X are constant"):
        regressor = quick_fit(x)
    moved = x.copy()
    moved[:, 1] = -1e6
    assert_array_equal(regressor.predict(moved), regressor.predict(x))
    assert regressor.score(x, rows[1]) > 0.1


@pytest.mark.slow
def test_a_constant_target(quick_fit: Fit, rows: Rows) -> None:
    with pytest.warns(UserWarning, match=r"column\(s\) \[0\] of y are constant"):
        regressor = quick_fit(y=np.full(60, 1e9))
    mean, std = regressor.predict(rows[0], return_std=True)
    assert_allclose(mean, 1e9, atol=0.5)
    assert (std > 0).all()


def test_rows_of_weight_zero_are_as_if_dropped(quick_fit: Fit, rows: Rows) -> None:
    x, y = (part.copy() for part in rows)
    sample_weight = 1.0 + np.arange(60) % 2
    sample_weight[::3] = 0.0
    kept = sample_weight > 0
    x[~kept], y[~kept] = 1e12, -1e12
    with_zeros = quick_fit(x, y, 1e300 * sample_weight)
    dropped = quick_fit(x[kept], y[kept], sample_weight[kept])
    assert_allclose(with_zeros.predict(rows[0]), dropped.predict(rows[0]), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_weights_draw_the_fit_towards_their_rows(quick_fit: Fit) -> None:
    x, y = np.zeros((200, 1)), np.repeat([0.0, 1.0], 100)
    x[:, 0] = np.tile(np.linspace(-1, 1, 100), 2)
    heavy = quick_fit(x, y, np.repeat([1.0, 9.0], 100), num_steps=600)
    assert np.mean(heavy.predict(x)) == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize(
    "num_rows",
    [2, pytest.param(3, marks=pytest.mark.slow), pytest.param(10, marks=pytest.mark.slow)],
)
def test_few_rows_and_a_column_of_targets_stays_a_column(
    quick_fit: Fit, rows: Rows, num_rows: int
) -> None:
    x, y = rows[0][:num_rows], rows[1][:num_rows, None]
    regressor = quick_fit(x, y)
    assert np.isfinite(regressor.log_prob(x, y)).all()
    assert np.isfinite(regressor.history_["val_loss"]).all()
    mean, std = regressor.predict(x, return_std=True)
    assert mean.shape == std.shape == (num_rows, 1)


def test_several_targets_and_their_names(quick_fit: Fit, rows: Rows, tmp_path: Path) -> None:
    x = pd.DataFrame(rows[0], columns=["width", "height"])
    y = pd.DataFrame({"price": 1e3 * rows[1], "age": rows[0][:, 1]})
    regressor = quick_fit(x, y)
    mean, std = regressor.predict(x, return_std=True)
    assert mean.shape == std.shape == (60, 2)
    assert regressor.log_prob(x, y).shape == (60,)
    assert regressor.sample(x, 3).shape == (3, 60, 2)
    assert std[:, 0].mean() > 50 * std[:, 1].mean()
    assert list(regressor.feature_names_in_) == ["width", "height"]
    regressor.save(tmp_path / "model")
    loaded = MDNRegressor.load(tmp_path / "model")
    assert_array_equal(loaded.predict(x), mean)
    for each in (regressor, loaded):
        with pytest.raises(ValueError, match="feature names should match"):
            each.predict(x[["height", "width"]])
        with pytest.warns(UserWarning, match="does not have valid feature names"):
            each.predict(rows[0])


def test_files_hold_the_whole_estimator(
    fitted: MDNRegressor, quick_fit: Fit, rows: Rows, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "model")
    for loaded in (MDNRegressor.load(tmp_path / "model"), tfp_mdn.load(tmp_path / "model")):
        assert type(loaded) is MDNRegressor
        assert loaded.get_params() == fitted.get_params()
        assert loaded.history_ == fitted.history_
        assert loaded.n_features_in_ == 2
        assert_array_equal(loaded.predict(rows[0]), fitted.predict(rows[0]))
        assert np.shape(loaded.predict(rows[0])) == (60,)
    # A loaded estimator can be saved and fitted again.
    loaded.save(tmp_path / "model")
    again = MDNRegressor.load(tmp_path / "model").fit(*rows)
    assert_array_equal(again.predict(rows[0]), fitted.predict(rows[0]))


def test_arguments_of_numpy_are_saved(fitted: MDNRegressor, tmp_path: Path) -> None:
    arguments = {
        "num_components": np.int64(3),
        "hidden_units": (np.int32(8),),
        "learning_rate": np.float32(0.01),
        "random_state": np.int64(0),
    }
    fitted.save(tmp_path / "first")
    regressor = MDNRegressor.load(tmp_path / "first").set_params(**arguments)
    regressor.save(tmp_path / "model")
    parameters = MDNRegressor.load(tmp_path / "model").get_params()
    assert parameters["num_components"] == 3
    assert parameters["hidden_units"] == (8,)
    assert parameters["learning_rate"] == pytest.approx(0.01)
    assert parameters["random_state"] == 0
    regressor.set_params(random_state=np.random.RandomState(0), activation=tf.nn.gelu)
    regressor.save(tmp_path / "model")
    parameters = MDNRegressor.load(tmp_path / "model").get_params()
    assert parameters["random_state"] is None
    assert parameters["activation"] == "gelu"
    regressor.set_params(activation=object())
    with pytest.raises(TypeError, match="cannot be saved as an argument .* give its name"):
        regressor.save(tmp_path / "model")
    assert MDNRegressor.load(tmp_path / "model").get_params()["activation"] == "gelu"


def test_a_plain_model_is_no_estimator(tmp_path: Path) -> None:
    tfp_mdn.save(build_mdn(2, input_size=1), tmp_path / "model")
    with pytest.raises(ValueError, match="holds a plain model, not an MDNRegressor"):
        MDNRegressor.load(tmp_path / "model")


def test_nothing_works_before_fit(rows: Rows, tmp_path: Path) -> None:
    regressor = MDNRegressor(noise=-1.0)
    for _ in range(2):
        for use in (
            lambda: regressor.predict(rows[0]),
            lambda: regressor.predict_parameters(rows[0]),
            lambda: regressor.sample(rows[0]),
            lambda: regressor.log_prob(*rows),
            lambda: regressor.save(tmp_path / "model"),
            lambda: tfp_mdn.save(regressor, tmp_path / "model"),
        ):
            with pytest.raises(NotFittedError):
                use()
        # A failed fit is not a fit.
        with pytest.raises(ValueError, match="noise must be finite and at least 0"):
            regressor.fit(*rows)
    assert list(tmp_path.iterdir()) == []


X, Y = np.arange(20.0).reshape(10, 2), np.arange(10.0)
TWICE = pd.DataFrame(X, columns=["a", "a"])


@pytest.mark.parametrize(
    ("options", "data", "error", "message"),
    [
        ({"num_components": 0}, (X, Y), ValueError, "num_components must be at least 1"),
        ({"num_components": 2.5}, (X, Y), TypeError, "num_components must be an integer"),
        ({"hidden_units": 8}, (X, Y), TypeError, "hidden_units must be a sequence"),
        ({"activation": "gelo"}, (X, Y), ValueError, "activation must be .*'gelu'.* got 'gelo'"),
        ({"activation": 3}, (X, Y), TypeError, "activation must be a function, or the name"),
        ({"warm_start": "no"}, (X, Y), TypeError, "warm_start must be True or False, got 'no'"),
        ({"verbose": "a"}, (X, Y), ValueError, r"verbose must be 0 \(silent\), 1 .*, got 'a'"),
        ({"verbose": 3}, (X, Y), ValueError, "verbose must be 0"),
        ({}, (TWICE, Y), ValueError, "X has more than one column named 'a'. Rename"),
        ({}, (X, TWICE), ValueError, "y has more than one column named 'a'. Rename"),
        ({"min_scale": 0.0}, (X, Y), ValueError, "min_scale must be finite and greater than 0"),
        ({"learning_rate": -1}, (X, Y), ValueError, "learning_rate must be finite and greater"),
        ({"batch_size": 0}, (X, Y), ValueError, "batch_size must be at least 1"),
        ({"num_steps": 0}, (X, Y), ValueError, "num_steps must be at least 1"),
        ({"noise": np.nan}, (X, Y), ValueError, "noise must be finite"),
        ({"validation_fraction": 1}, (X, Y), ValueError, "validation_fraction must be finite"),
        ({"ensemble_size": 0}, (X, Y), ValueError, "ensemble_size must be at least 1"),
        ({"num_intervals": 0}, (X, Y), ValueError, "num_intervals must be at least 1"),
        ({"weight_decay": -1}, (X, Y), ValueError, "weight_decay must be finite and at least 0"),
        ({"patience": 0}, (X, Y), ValueError, "patience must be at least 1"),
        ({}, ([["a", "b"]] * 10, Y), ValueError, "could not convert string to float"),
        ({}, (X, ["a"] * 10), ValueError, "could not convert string to float"),
        ({}, (X + 0j, Y), ValueError, "Complex data not supported"),
        ({}, (X, Y + 0j), ValueError, "Complex data not supported"),
        ({}, (X, Y, np.eye(10)[3]), ValueError, "positive for at least two rows, got 1"),
        ({"random_state": "a"}, (X, Y), ValueError, "random_state must be None, .*Generator"),
        ({"random_state": -1}, (X, Y), ValueError, "an integer from 0 to"),
        ({}, (X[:, 0], Y), ValueError, "Expected 2D array, got 1D array"),
        ({}, (X, Y[:9]), ValueError, "inconsistent numbers of samples"),
        ({}, (X[:1], Y[:1]), ValueError, "minimum of 2 is required"),
        ({}, (X * np.nan, Y), ValueError, "Input X contains NaN"),
        (
            {},
            (X, np.where(np.eye(10, 2) > 0, np.nan, 1.0)),
            ValueError,
            r"y contains NaN: 2 of 10 rows miss a value, in dimension\(s\) \[0, 1\]. .* missing=",
        ),
        ({"lattice": "fine"}, (X, Y), ValueError, "or 'auto', got 'fine'"),
        ({"lattice": [1.0, 1.0]}, (X, Y), ValueError, "lattice must be 'auto', or a step or 1 st"),
        ({"lattice": -1.0}, (X, Y), ValueError, "of at least 0, got -1.0"),
        ({"lattice": np.nan}, (X, Y), ValueError, "lattice must be finite"),
        (
            {"lattice": 1.0, "covariance_type": "full"},
            (X, Y),
            ValueError,
            "lattice needs covariance_type='diag', got 'full'.*Set .* or lattice=None",
        ),
        ({"missing": "drop"}, (X, Y), ValueError, "missing must be 'error' or 'marginalise'"),
        (
            {"missing": "marginalise"},
            (X, np.where(np.arange(10) > 0, np.nan, 1.0)),
            ValueError,
            "at least two rows for each dimension, got 1 in dimension 0",
        ),
        ({"missing": "marginalise"}, (X, np.full(10, np.inf)), ValueError, "contains infinity"),
        ({}, (X, np.full(10, np.inf)), ValueError, "Input y contains infinity"),
        ({}, (X, np.zeros((10, 1, 1))), ValueError, "Found array with dim 3"),
        ({}, (X, None), ValueError, "requires y to be passed"),
        ({}, (X, Y, -Y), ValueError, "Negative values in data passed to `sample_weight`"),
        ({}, (X, Y, 0 * Y), ValueError, "positive for at least two rows|one non-zero"),
        ({}, (X, Y, Y[:3]), ValueError, "sample_weight.shape"),
        ({}, (X, 1e-35 * Y), ValueError, r"y must have standard deviations between 1e-30 and 1e\+"),
        ({}, (X, 1e35 * Y), ValueError, r"got \[.*e\+35\] in column\(s\) \[0\]. Change the unit"),
        ({}, (X * [1, 1e-305], Y), ValueError, r"X must have .* in column\(s\) \[1\]"),
    ],
)
def test_bad_input(
    options: dict[str, Any], data: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        MDNRegressor(**{"num_steps": 1, **options}).fit(*data)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda m: m.predict(X[:, :1]), "X has 1 features, but MDNRegressor is expecting 2"),
        (lambda m: m.predict(X * np.nan), "Input X contains NaN"),
        (lambda m: m.log_prob(X, Y[:9]), r"y must .*\(9,\)"),
        (lambda m: m.log_prob(X, 3.0), r"each row of X, got 3.0. .* np.full\(len\(X\), y\)"),
        (lambda m: m.score(X, 3.0), r"each row of X, got 3.0. .* np.full\(len\(X\), y\)"),
        (
            lambda m: m.score(X, np.where(Y > 7, np.nan, Y)),
            r"2 of 10 values are NaN or infinite, the first at index 8 .*Drop or fill them",
        ),
        (lambda m: m.predict(TWICE), "X has more than one column named 'a'. Rename"),
        (lambda m: m.log_prob(X, np.zeros((10, 2))), r"y must .*\(10, 2\)"),
        (lambda m: m.sample(X, -1), "size must be at least 0"),
    ],
)
def test_bad_questions(fitted: MDNRegressor, use: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        use(fitted)


def test_arguments_are_kept_as_given() -> None:
    given: dict[str, Any] = {"num_components": 4, "hidden_units": [3], "random_state": 5}
    regressor = MDNRegressor(**given)
    assert {name: regressor.get_params()[name] for name in given} == given
    assert clone(regressor).get_params() == regressor.get_params()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:column.* are constant:UserWarning")  # some checks fit those
def test_conventions_of_scikit_learn() -> None:
    small = MDNRegressor(num_components=2, hidden_units=(8,), num_steps=300, random_state=0)
    results = check_estimator(small, on_fail=None, on_skip=None)
    failed = {
        result["check_name"]: result["exception"]
        for result in results
        if result["status"] == "failed"
    }
    # Rows given twice are drawn, and held out, otherwise than one row of weight two.
    assert failed.keys() == {"check_sample_weight_equivalence_on_dense_data"}, failed
    assert sum(result["status"] == "passed" for result in results) > 50


@pytest.mark.slow
def test_quality_on_the_inverse_sinusoid() -> None:
    problem = inverse_sinusoid()
    x, y = problem.sample(3000, rng=1)
    fresh_x, fresh_y = problem.sample(20000, rng=2)
    regressor = MDNRegressor(random_state=0).fit(x, y[:, 0])
    log_prob = regressor.log_prob(fresh_x, fresh_y[:, 0])
    # Held against the true density on the same rows, so that their chance cancels.
    gap = (problem.log_prob(fresh_x, fresh_y) - log_prob).mean()
    assert 0.0 < gap < 0.06
    assert -log_prob.mean() - problem.entropy() < 0.06


def test_a_duplicate_column_changes_little(quick_fit: Fit, rows: Rows) -> None:
    x = np.concatenate([rows[0], rows[0][:, :1]], axis=1)
    assert quick_fit(x).score(x, rows[1]) > 0.5


@pytest.mark.parametrize("at", ["x", "y"])
def test_a_gross_outlier_does_not_ruin_the_rest(quick_fit: Fit, at: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    y = np.sin(2 * x[:, 0]) + 0.2 * rng.normal(size=400)
    options = {"num_steps": 400, "noise": 0.2}
    expected = quick_fit(x, y, **options).log_prob(x, y)[1:].mean()
    spoilt_x, spoilt_y = x.copy(), y.copy()
    if at == "x":
        spoilt_x[0, 0] = 1e6
        regressor = quick_fit(spoilt_x, spoilt_y, **options)
    else:
        spoilt_y[0] = 1e4
        with pytest.warns(UserWarning, match="1 of 400 rows have a target more than 100") as seen:
            regressor = quick_fit(spoilt_x, spoilt_y, **options)
        assert Path(seen[0].filename).name == "conftest.py"  # where fit was called
    # With units that the outlier sets, a nat is lost.
    assert regressor.log_prob(x, y)[1:].mean() > expected - 0.25


def test_any_finite_input_has_an_answer(fitted: MDNRegressor) -> None:
    x = np.array([[1e300, 0.0], [-1e300, 1e308], [0.0, -1e30]])
    mean, std = fitted.predict(x, return_std=True)
    assert np.isfinite(mean).all()
    assert (std > 0).all()


@pytest.mark.parametrize("num_targets", [1, 2])
def test_scales_of_lattice_targets_hold_the_step(
    quick_fit: Fit, rows: Rows, num_targets: int
) -> None:
    y = np.clip(np.round(2.5 + 1.5 * rows[0][:, :num_targets]), 0, 5)
    variances = quick_fit(y=y).predict_parameters(rows[0]).variances
    # The floor is one for all targets, in the units of each.
    steps = np.sqrt(12 * variances.min(axis=(0, 1)))
    assert steps.min() >= 0.8 if num_targets > 1 else steps.min() >= 1 - 1e-6


def test_weights_that_differ_beyond_float32(quick_fit: Fit, rows: Rows) -> None:
    weights = np.where(np.arange(60) < 30, 1.0, 1e-60)
    kept = quick_fit(rows[0][:30], rows[1][:30])
    assert_allclose(quick_fit(sample_weight=weights).predict(rows[0]), kept.predict(rows[0]))


def test_a_warm_start_goes_on_from_where_the_last_fit_ended(quick_fit: Fit, rows: Rows) -> None:
    warm = quick_fit(warm_start=True)
    model, first = warm.model_, min(warm.history_["val_loss"])
    start = warm.log_prob(*rows).mean()
    warm.set_params(num_steps=2, learning_rate=1e-3).fit(*rows)
    assert warm.model_ is model
    # The same rows are held out, so that those once learned from judge nothing.
    assert abs(warm.history_["val_loss"][0] - first) < 0.2
    assert warm.log_prob(*rows).mean() == pytest.approx(start, abs=0.2)
    cold = quick_fit(num_steps=2, learning_rate=1e-3)
    assert cold.log_prob(*rows).mean() < start - 0.2


def test_a_warm_start_of_another_structure_is_refused_and_changes_nothing(
    quick_fit: Fit, rows: Rows
) -> None:
    x, y = rows
    warm = quick_fit(warm_start=True)
    expected, before = warm.predict(x), set(vars(warm))
    with pytest.raises(ValueError, match="X has 3 features, but MDNRegressor is expecting 2"):
        warm.fit(np.ones((60, 3)), y)
    with pytest.raises(ValueError, match="event_size changed since the last fit"):
        warm.fit(x, np.stack([y, y], axis=1))
    with pytest.raises(ValueError, match="num_components changed since the last fit"):
        warm.set_params(num_components=2).fit(x, y)
    assert set(vars(warm)) == before
    assert_array_equal(warm.predict(x), expected)


def test_a_fit_that_fails_leaves_the_last_one(quick_fit: Fit, rows: Rows) -> None:
    x = pd.DataFrame(rows[0], columns=["a", "b"])
    regressor = quick_fit(x)
    expected = regressor.predict(x)
    stop = tf_keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        regressor.fit(x[["b"]], rows[1], callbacks=[stop])
    assert list(regressor.feature_names_in_) == ["a", "b"]
    assert_array_equal(regressor.predict(x), expected)


def test_given_rows_judge_and_all_others_train(quick_fit: Fit, rows: Rows) -> None:
    x, y = rows
    regressor = quick_fit(num_steps=3)
    regressor.fit(x[:50], y[:50], validation_data=(x[50:], y[50:]))
    assert np.isfinite(regressor.history_["val_loss"]).all()
    far = quick_fit(num_steps=3).fit(x[:50], y[:50], validation_data=(x[50:], y[50:] + 5.0))
    assert far.history_["val_loss"][-1] > regressor.history_["val_loss"][-1] + 1.0
    assert far.history_["loss"] == regressor.history_["loss"]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (X, TypeError, r"validation_data must be a pair \(X, y\), got ndarray"),
        ((X, Y, Y), TypeError, r"validation_data must be a pair \(X, y\), got tuple"),
        ((X[:, :1], Y), ValueError, "X has 1 features, but MDNRegressor is expecting 2"),
        ((X, Y[:3]), ValueError, "inconsistent numbers of samples"),
        ((X, np.stack([Y, Y], axis=1)), ValueError, r"must have 1 target\(s\) a row, got 2"),
        ((X * np.nan, Y), ValueError, "Input X contains NaN"),
        ((X, Y * np.nan), ValueError, "Input y contains NaN"),
        ((X[:0], Y[:0]), ValueError, "minimum of 1 is required"),
    ],
)
def test_bad_validation_data(given: Any, error: type[Exception], message: str) -> None:
    regressor = MDNRegressor(num_steps=1)
    with pytest.raises(error, match=message):
        regressor.fit(X, Y, validation_data=given)
    assert not hasattr(regressor, "model_")


def through_joblib(regressor: MDNRegressor) -> MDNRegressor:
    file = io.BytesIO()
    joblib.dump(regressor, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, through_joblib, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_give_the_same_predictions(
    fitted: MDNRegressor, rows: Rows, copied: Callable[[MDNRegressor], MDNRegressor]
) -> None:
    other = copied(fitted)
    assert other.model_ is not fitted.model_
    assert_array_equal(other.predict(rows[0]), fitted.predict(rows[0]))
    assert other.history_ == fitted.history_
    assert clone(other).get_params() == fitted.get_params()
    copied(MDNRegressor())  # one that is not fitted


def test_a_pickle_holds_the_model_in_the_format_that_is_checked(fitted: MDNRegressor) -> None:
    lambda_layer = tf_keras.Sequential(
        [tf_keras.Input((1,)), tf_keras.layers.Lambda(lambda values: values)]
    )
    state = fitted.__getstate__()
    assert type(state["model_"]) is bytes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state["model_"] = persistence.model_to_bytes(lambda_layer)
    for content in (state["model_"], b"PK", b""):
        forged = MDNRegressor.__new__(MDNRegressor)
        with pytest.raises(ValueError, match="may not be loaded|damaged or not a Keras model"):
            forged.__setstate__({**state, "model_": content})
        assert not hasattr(forged, "model_")


def test_it_works_in_a_pipeline(rows: Rows, quick_fit: Fit) -> None:
    small = clone(quick_fit(num_steps=1)).set_params(num_steps=40)
    pipeline = make_pipeline(StandardScaler(), small).fit(*rows)
    assert pipeline.score(*rows) > 0.5
    assert pipeline.predict(rows[0]).shape == (60,)


@pytest.mark.slow
def test_it_works_in_searches_of_several_processes(rows: Rows, fitted: MDNRegressor) -> None:
    small = clone(fitted)
    grid = GridSearchCV(small, {"hidden_units": [(4,), (8,)]}, cv=2, n_jobs=2).fit(*rows)
    assert grid.best_estimator_.predict(rows[0]).shape == (60,)
    assert np.isfinite(grid.cv_results_["mean_test_score"]).all()
    assert np.isfinite(cross_val_score(small, *rows, cv=2, n_jobs=2)).all()


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_what_is_printed(quick_fit: Fit, verbose: int, capsys: pytest.CaptureFixture[str]) -> None:
    quick_fit(verbose=verbose)
    printed = capsys.readouterr().out
    assert printed.count("val_loss") == 0 if verbose == 0 else printed.count("val_loss") > 0
    assert len(printed.splitlines()) == 40 or verbose < 2


def test_dates_and_masks_are_refused_and_a_single_callback_is_taken(rows: Rows) -> None:
    x, y = rows
    dates = pd.Series(pd.date_range("2020", periods=len(y)))
    with pytest.raises(TypeError, match="y holds dates or times"):
        MDNRegressor().fit(x, dates)
    with pytest.raises(TypeError, match="X holds dates or times"):
        MDNRegressor().fit(dates.to_frame(), y)
    with pytest.raises(ValueError, match="y has masked values"):
        MDNRegressor().fit(x, np.ma.masked_greater(y, np.median(y)))
    seen: list[int] = []
    callback = tf_keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: seen.append(epoch))
    MDNRegressor(2, (4,), ensemble_size=2, num_steps=3, random_state=0).fit(
        x, y, callbacks=callback
    )
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("kind", ["list", "frame"])
def test_rows_without_a_target_are_as_if_dropped(quick_fit: Fit, rows: Rows, kind: str) -> None:
    x, y = rows
    hidden = np.where(np.arange(60) % 5 == 0, np.nan, y)
    given: Any = list(hidden) if kind == "list" else pd.Series(hidden).convert_dtypes()
    kept = ~np.isnan(hidden)
    dropped = quick_fit(x[kept], y[kept])
    fitted = quick_fit(x, given, missing="marginalise")
    assert_array_equal(fitted.predict(x), dropped.predict(x))
    assert_array_equal(fitted.log_prob(x, hidden)[kept], dropped.log_prob(x, y)[kept])
    assert not fitted.log_prob(x, hidden)[~kept].any()


@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_incomplete_rows_teach_more_than_the_complete_ones_alone(covariance_type: str) -> None:
    rng = np.random.default_rng(0)
    slopes = np.array([[1.0, 100.0], [-2.0, 0.0], [3.0, -50.0], [0.5, 200.0]])
    x = rng.normal(size=(250, 2))
    means = x @ slopes.T
    y = means + 20.0 * rng.normal(size=(250, 1)) + 5.0 * rng.normal(size=(250, 4))
    y[rng.random(y.shape) < 0.3] = np.nan
    complete = ~np.isnan(y).any(axis=1)
    assert 0.15 < complete.mean() < 0.35
    options: dict[str, Any] = {
        **{"num_components": 2, "hidden_units": (16,), "ensemble_size": 2, "num_steps": 600},
        **{"covariance_type": covariance_type, "random_state": 0},
    }
    every = MDNRegressor(**options, missing="marginalise").fit(x, y)
    few = MDNRegressor(**options).fit(x[complete], y[complete])
    fresh = rng.normal(size=(2000, 2))
    truth = fresh @ slopes.T
    errors = [np.sqrt(np.square(m.predict(fresh) - truth).mean()) for m in (every, few)]
    assert errors[0] < 0.8 * errors[1]
    targets = truth + 20.0 * rng.normal(size=(2000, 1)) + 5.0 * rng.normal(size=(2000, 4))
    assert every.log_prob(fresh, targets).mean() > few.log_prob(fresh, targets).mean()
    # The losses are those of the values that are there, in their own units.
    own = -every.log_prob(x, y).mean()
    assert min(every.history_["val_loss"]) == pytest.approx(own, abs=1.0)


@pytest.mark.parametrize("lattice", [1.0, "auto", (1.0,)])
def test_rounded_targets_are_scored_no_worse_by_the_likelihood_of_what_rounds_to_them(
    lattice: Any,
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 2))
    y = np.clip(np.round(2.5 + x[:, 0] + 0.4 * rng.normal(size=600)), 0, 5)
    options: dict[str, Any] = {
        **{"num_components": 5, "hidden_units": (16,), "ensemble_size": 2, "num_steps": 400},
        **{"random_state": 0},
    }
    scores = [
        censored_log_score(m.fit(x[:300], y[:300]).predict_parameters(x[300:]), y[300:], 0.5)
        for m in (MDNRegressor(**options, lattice=lattice), MDNRegressor(**options))
    ]
    assert scores[0].mean() < scores[1].mean()
    assert scores[0].mean() < 1.0


def test_a_lattice_that_the_targets_do_not_lie_on_is_named() -> None:
    x = np.arange(40.0)[:, np.newaxis]
    y = np.round(x[:, 0] / 3) / 2
    settings: dict[str, Any] = {"ensemble_size": 1, "num_steps": 20, "random_state": 0}
    message = r"lattice=0.3, but \d+ of 40 values of target 0 do not"
    with pytest.warns(UserWarning, match=message) as caught:
        MDNRegressor(3, (8,), lattice=0.3, **settings).fit(x, y)
    assert {Path(warning.filename).name for warning in caught} == {Path(__file__).name}
    MDNRegressor(3, (8,), lattice=0.5, **settings).fit(x, y)
    with pytest.raises(ValueError, match="lattice must be a step, a step for each target, or"):
        MDNRegressor(3, (8,), lattice="foo", **settings).fit(x, y)


@pytest.mark.parametrize("callbacks", [[1], 1, tf_keras.callbacks.Callback])
def test_what_is_no_callback_is_refused(callbacks: Any) -> None:
    x = np.arange(20.0)[:, np.newaxis]
    with pytest.raises(TypeError, match="callbacks must hold callbacks of tf_keras, got"):
        MDNRegressor(3, (8,), num_steps=20).fit(x, x[:, 0], callbacks=callbacks)


def test_the_losses_on_a_lattice_are_probabilities_without_a_unit(
    quick_fit: Fit, rows: Rows, tmp_path: Path
) -> None:
    x, y = rows
    hundreds = 100.0 * np.round(2.0 * y)
    fitted = quick_fit(x, hundreds, lattice=100.0)
    scaled = quick_fit(x, hundreds / 100.0, lattice=1.0)
    assert_allclose(fitted.history_["val_loss"], scaled.history_["val_loss"], rtol=1e-3)
    alone = MDNRegressor(3, (8,), ensemble_size=1, num_steps=40, lattice=100.0, random_state=0)
    alone.fit(x, hundreds, validation_data=(x, hundreds))
    score = censored_log_score(alone.predict_parameters(x), hundreds, 50.0)
    assert min(alone.history_["val_loss"]) == pytest.approx(score.mean(), rel=1e-4)
    fitted.save(tmp_path / "saved")
    assert MDNRegressor.load(tmp_path / "saved").lattice == 100.0
    both = quick_fit(x, np.column_stack([hundreds, y]), lattice=(100.0, 0.0))
    assert np.isfinite(both.history_["loss"]).all()
