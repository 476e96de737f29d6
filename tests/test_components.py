"""Other components than normal ones from end to end: models, training, reading, estimators."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import clone

from tfp_mdn._flat_epochs import can_be_flat
from tfp_mdn.callbacks import ComponentUsage
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.extraction import extract_parameters, to_distribution
from tfp_mdn.initializers import start_from_targets
from tfp_mdn.losses import BetaNLLLoss, NLLLoss, crps, negative_log_likelihood
from tfp_mdn.mixture import FamilyMixture, MixtureParameters
from tfp_mdn.models import build_mdn
from tfp_mdn.persistence import load, save
from tfp_mdn.training import fit_mdn
from tfp_mdn.uncertainty import split_members, split_uncertainty

tfd, tfpl = tfp.distributions, tfp.layers

FAMILIES = ["student_t", "logistic", "lognormal", "truncated_normal"]
every_family = pytest.mark.parametrize("family", FAMILIES)


def data(family: str, n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (n, 1) and targets (n,) that suit a family, far from standard units."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-2.0, 2.0, n)
    noise = rng.standard_t(3, n)
    if family in ("student_t", "logistic"):
        return x[:, np.newaxis], 50.0 + 9.0 * (np.sin(x) + 0.3 * noise)
    return x[:, np.newaxis], 200.0 * np.exp(np.sin(x) + 0.2 * noise)


def density(family: str, shape: tuple[int, ...] = (4, 3, 2)) -> tuple[Any, list[np.ndarray]]:
    """Return a distribution of TFP and its parameters (N, K, D)."""
    rng = np.random.default_rng(1)
    locs, scales = rng.normal(size=shape), np.exp(rng.normal(size=shape))
    if family == "student_t":
        df = 2.5 + np.exp(rng.normal(size=shape))
        return tfd.StudentT(df, locs, scales), [locs, scales, df]
    kind = {"logistic": tfd.Logistic, "lognormal": tfd.LogNormal}
    if family in kind:
        return kind[family](locs, scales), [locs, scales]
    low = np.zeros(shape)
    return tfd.TruncatedNormal(locs, scales, low, low + np.inf), [locs, scales]


# --- models and distributions of TFP


@every_family
def test_parameters_of_distributions_are_read_and_written(family: str) -> None:
    components, parts = density(family)
    weights = np.full((4, 3), 1 / 3)
    mixture = tfd.MixtureSameFamily(tfd.Categorical(probs=weights), tfd.Independent(components, 1))
    parameters = extract_parameters(mixture)
    assert isinstance(parameters, FamilyMixture)
    assert parameters.family == family
    assert_allclose(parameters.weights, weights)
    for found, expected in zip((parameters.locs, parameters.scales), parts[:2], strict=True):
        assert_array_equal(found, expected)
    if family == "student_t":
        assert_array_equal(parameters.df, parts[2])
    y = np.exp(np.random.default_rng(2).normal(size=(4, 2)))
    assert_allclose(parameters.log_prob(y), mixture.log_prob(y), rtol=1e-9)
    back = to_distribution(parameters)
    assert_allclose(back.log_prob(y), mixture.log_prob(y), rtol=1e-12)
    again = extract_parameters(back)
    assert isinstance(again, FamilyMixture)
    assert_array_equal(again.scales, parameters.scales)


@every_family
def test_scalar_events_and_shared_parameters_are_read(family: str) -> None:
    components, parts = density(family, (3,))
    mixture = tfd.MixtureSameFamily(tfd.Categorical(probs=np.full((5, 3), 1 / 3)), components)
    parameters = extract_parameters(mixture)
    assert isinstance(parameters, FamilyMixture)
    assert parameters.locs.shape == (5, 3, 1)
    assert_array_equal(parameters.locs[4, :, 0], parts[0])


def test_stock_models_of_logistics_are_read() -> None:
    model = tf_keras.Sequential(
        [
            tf_keras.Input((2,)),
            tf_keras.layers.Dense(tfpl.MixtureLogistic.params_size(3, (2,))),
            tfpl.MixtureLogistic(3, (2,)),
        ]
    )
    x = np.random.default_rng(0).normal(size=(6, 2)).astype("f")
    parameters = extract_parameters(model, x)
    assert isinstance(parameters, FamilyMixture)
    assert (parameters.family, parameters.locs.shape) == ("logistic", (6, 3, 2))
    y = np.zeros((6, 2), np.float32)
    assert_allclose(parameters.log_prob(y), model(x).log_prob(y), rtol=1e-5)


def test_other_truncations_are_refused() -> None:
    components = tfd.TruncatedNormal(np.zeros((2, 3)), 1.0, -1.0, np.inf)
    mixture = tfd.MixtureSameFamily(tfd.Categorical(probs=np.full((2, 3), 1 / 3)), components)
    with pytest.raises(ValueError, match="must have low=0 and high=inf"):
        extract_parameters(mixture)
    gamma = tfd.MixtureSameFamily(tfd.Categorical(probs=[1.0]), tfd.Gamma([1.0], 1.0))
    with pytest.raises(TypeError, match="components must be Normal, StudentT, .* got Gamma"):
        extract_parameters(gamma)
    with pytest.raises(
        TypeError, match="must be MixtureParameters or a FamilyMixture, got ndarray"
    ):
        to_distribution(np.zeros(3))  # type: ignore[arg-type]


# --- build_mdn, start and training


@every_family
def test_models_start_spread_over_the_targets(family: str) -> None:
    x, y = data(family)
    loc, scale = (y.mean(), y.std()) if family in FAMILIES[:2] else (0.0, y.std())
    if family == "lognormal":
        loc, scale = np.log(y).mean(), np.log(y).std()
    model = build_mdn(4, component=family, input_size=1, loc=loc, scale=scale, seed=0)
    start_from_targets(model, y)
    parameters = extract_parameters(model, x)
    assert isinstance(parameters, FamilyMixture)
    groups = np.array_split(np.sort(y), 4)
    if family == "lognormal":
        centres = [np.log(group).mean() for group in groups]
    else:
        centres = [group.mean() for group in groups]
    assert_allclose(parameters.locs[:, :, 0].mean(axis=0), centres, atol=0.2 * scale)
    # From this start the density covers the targets: within 1.5 nats of one fitted normal.
    score = parameters.log_prob(y).mean()
    assert score > stats.norm(y.mean(), y.std()).logpdf(y).mean() - 1.5


@pytest.mark.parametrize("family", FAMILIES)
def test_both_compiled_ways_train_alike(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data(family)
    y = y / 100.0
    ends = []
    for flat in (True, False):
        model = build_mdn(3, component=family, input_size=1, scale=2.0, hidden_units=(8,), seed=0)
        start_from_targets(model, y)
        model.compile(tf_keras.optimizers.Adam(1e-2), loss=negative_log_likelihood)
        if not flat:
            monkeypatch.setattr("tfp_mdn.training.can_be_flat", lambda *_: False)
        assert can_be_flat(model, tf.constant(y))
        history = fit_mdn(model, x, y, epochs=3, batch_size=32, seed=0, jit_compile=False).history
        ends.append((history["loss"], np.concatenate([w.ravel() for w in model.get_weights()])))
    assert_allclose(ends[0][0], ends[1][0], rtol=1e-5)
    assert ends[0][0][-1] < ends[0][0][0]
    assert_allclose(ends[0][1], ends[1][1], atol=1e-4)


@pytest.mark.parametrize(
    ("family", "value", "message"),
    [
        ("lognormal", 0.0, "y must be greater than 0 for log-normal components, got 0.*truncated"),
        ("lognormal", -1.0, "y must be greater than 0 .* got -1"),
        ("truncated_normal", -1.0, "y must be at least 0 .* got -1.*component='normal'"),
    ],
)
def test_targets_outside_of_the_support_are_refused(
    family: str, value: float, message: str
) -> None:
    x, y = data(family)
    y = y.copy()
    y[3] = value
    model = build_mdn(2, component=family, input_size=1)
    model.compile("adam", loss=negative_log_likelihood)
    for train in (fit_mdn, type(model).fit):
        with pytest.raises(ValueError, match=message):
            train(model, x, y)
    with pytest.raises(ValueError, match=f"validation {message}"):
        fit_mdn(model, x, np.abs(y) + 1.0, validation_data=(x, y))
    with pytest.raises(ValueError, match=message):
        start_from_targets(model, y)
    with pytest.raises(ValueError, match="have a density for y >"):
        negative_log_likelihood(y.astype("f"), model(x))
    with pytest.raises(ValueError, match=message):
        MDNRegressor(component=family).fit(x, y)


@every_family
def test_losses_of_normal_components_refuse_others(family: str) -> None:
    for event_shape in ((1,), ()):
        layer = build_mdn(2, component=family, input_size=1).layers[-1]
        head = type(layer)(2, event_shape)
        distribution = head(tf.zeros((3, head.params_size(2, event_shape))))
        y = tf.ones((3, *event_shape))
        for loss in (crps, NLLLoss(missing="marginalise"), BetaNLLLoss()):
            with pytest.raises(TypeError, match=r"normals, got one of \w+ components"):
                loss(y, distribution)
        assert np.isfinite(NLLLoss(0.5)(y, distribution))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"component": "cauchy"}, ValueError, "component must be 'normal' or 'student_t'"),
        ({"component": 3}, ValueError, "component must be .* got 3"),
        (
            {"covariance_type": "full"},
            ValueError,
            "'full' needs component='normal', got 'logistic'",
        ),
    ],
)
def test_bad_arguments(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build_mdn(2, **{"component": "logistic", **given})
    with pytest.raises(error, match=message):
        MDNRegressor(**{"component": "logistic", **given}).fit([[0.0], [1.0]], [1.0, 2.0])


def test_log_normal_components_are_restarted_on_their_own_scale() -> None:
    x, y = data("lognormal")
    model = build_mdn(2, component="lognormal", input_size=1, loc=5.0, scale=0.5, seed=0)
    bias = np.array([0.0, -50.0, 0.0, 0.0, 9.0, 0.0], np.float32)  # the second component is dead
    model.layers[-2].set_weights([np.zeros((64, 6), np.float32), bias])
    usage = ComponentUsage(x, restart_dead=True, every=1)
    model.compile(tf_keras.optimizers.SGD(0.0), loss=negative_log_likelihood)
    logs = fit_mdn(model, x, y, epochs=2, callbacks=[usage], seed=0).history
    assert logs["restarted_components"] == [1.0, 0.0]
    parameters = extract_parameters(model, x[:1])
    assert isinstance(parameters, FamilyMixture)
    scale = 0.5 * np.log(2.0)  # softplus(0)
    assert_allclose(parameters.scales[0, :, 0], [scale, scale], rtol=1e-6)
    assert_allclose(parameters.locs[0, :, 0], [5.0 + scale / 2, 5.0 - scale / 2], rtol=1e-6)


def test_truncated_components_take_no_location() -> None:
    with pytest.raises(ValueError, match="loc must be 0 for truncated normal components"):
        build_mdn(2, component="truncated_normal", loc=3.0)


# --- the estimator

Fitted = tuple[MDNRegressor, np.ndarray, np.ndarray]


@pytest.fixture(scope="module", params=FAMILIES)
def fitted(request: pytest.FixtureRequest, quick_fit: Callable[..., Any]) -> Fitted:
    x, y = data(request.param)
    return quick_fit(x, y, component=request.param), x, y


def test_every_question_is_answered(fitted: Fitted) -> None:
    model, x, y = fitted
    p = model.predict_parameters(x)
    assert isinstance(p, FamilyMixture)
    assert (p.family, p.locs.shape) == (model.component, (80, 6, 1))
    mean, std = model.predict(x, return_std=True)
    assert_allclose(mean, p.mean()[:, 0])
    assert_allclose(std, p.stddev()[:, 0])
    assert_allclose(model.model_(x).log_prob(y[:, np.newaxis]), model.log_prob(x, y), rtol=1e-6)
    low, high = model.predict_interval(x, 0.9).T
    inside = np.mean((low <= y) & (y <= high))
    assert 0.5 < inside <= 1
    assert_allclose(p.cdf(model.predict_quantile(x, 0.3)), 0.3, rtol=1e-7)
    drawn = model.sample(x, 500, random_state=0)
    assert drawn.shape == (500, 80, 1)
    middle = model.predict_quantile(x, 0.5)
    assert abs(np.mean(drawn[:, :, 0] < middle) - 0.5) < 5 * 0.5 / np.sqrt(500 * 80)
    assert np.isfinite(model.score(x, y))
    split = model.uncertainty(x, size=20, random_state=0)
    assert_allclose(split.total, std**2, rtol=1e-6)
    if model.component in ("lognormal", "truncated_normal"):
        assert (drawn >= 0).all()
        assert_array_equal(p.cdf(np.zeros(80)), 0.0)
        assert_array_equal(model.log_prob(x, np.full(80, -1.0)), -np.inf)


def test_the_history_is_in_units_of_y(fitted: Fitted) -> None:
    model, x, y = fitted
    one = MDNRegressor(
        3,
        (8,),
        component=model.component,
        ensemble_size=1,
        num_steps=40,
        random_state=0,
    ).fit(x, y, validation_data=(x, y))
    assert min(one.history_["val_loss"]) == pytest.approx(-one.log_prob(x, y).mean(), rel=1e-4)


def test_a_change_of_unit_changes_nothing_else(
    fitted: Fitted, quick_fit: Callable[..., Any]
) -> None:
    model, x, y = fitted
    other = quick_fit(x, 1e6 * y, component=model.component)
    assert_allclose(other.predict_quantile(x, 0.7), 1e6 * model.predict_quantile(x, 0.7), rtol=1e-4)
    assert_allclose(other.log_prob(x, 1e6 * y) + np.log(1e6), model.log_prob(x, y), atol=1e-3)


def test_files_pickles_and_clones_keep_the_component(fitted: Fitted, tmp_path: Path) -> None:
    model, x, y = fitted
    model.save(tmp_path / "model")
    for again in (load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert again.component == model.component
        assert_array_equal(again.log_prob(x, y), model.log_prob(x, y))
    assert clone(model).get_params() == model.get_params()
    save(model.model_, tmp_path / "plain")
    assert_array_equal(load(tmp_path / "plain")(x).mean(), model.model_(x).mean())


def test_members_are_told_apart(fitted: Fitted) -> None:
    model, x, y = fitted
    p = model.predict_parameters(x)
    members = split_members(p, 2)
    assert [member.num_components for member in members] == [3, 3]
    pooled = np.logaddexp(*(member.log_prob(y) for member in members)) - np.log(2)
    assert_allclose(pooled, p.log_prob(y), rtol=1e-6)
    split = split_uncertainty(members, size=4000, rng=0)
    # The law of total entropy, with both sides from draws.
    drawn = p.sample(4000, np.random.default_rng(1))
    entropy = -p.log_prob(drawn).mean(axis=0)
    error = 6 * (split.aleatoric_entropy_error + p.log_prob(drawn).std(axis=0) / np.sqrt(4000))
    assert (np.abs(split.entropy - entropy) < error).all()


@pytest.mark.parametrize("family", ["student_t", "truncated_normal"])
def test_several_targets_with_gaps(family: str, quick_fit: Callable[..., Any]) -> None:
    x, y = data(family)
    both = np.stack([y, y[::-1]], axis=1)
    both[::3, 1] = np.nan
    model = quick_fit(x, both, component=family, missing="marginalise")
    assert np.isfinite(model.history_["val_loss"]).all()
    log_prob = model.log_prob(x, both)
    first = model.predict_parameters(x).marginal(0).log_prob(both[:, 0])
    assert_allclose(log_prob[::3], first[::3], rtol=1e-9)


def test_warm_starts_go_on(quick_fit: Callable[..., Any]) -> None:
    x, y = data("student_t")
    model = quick_fit(x, y, component="student_t", warm_start=True)
    before = model.history_["val_loss"][-1]
    assert model.fit(x, y).history_["val_loss"][-1] <= before + 0.05
    with pytest.raises(ValueError, match="component changed since the last fit"):
        model.set_params(component="logistic").fit(x, y)


def test_what_only_normal_components_can_do_is_refused(
    quick_fit: Callable[..., Any], tmp_path: Path
) -> None:
    from tfp_mdn import export, write_report
    from tfp_mdn.sequences import generate

    x, y = data("student_t")
    with pytest.raises(ValueError, match="lattice needs component='normal', got 'student_t'"):
        quick_fit(x, np.round(y), component="student_t", lattice=1.0)
    model = quick_fit(x, y, component="student_t", num_steps=2)
    with pytest.raises(ValueError, match="a mixture of 'student_t' components cannot be exported"):
        export.export_saved_model(model, tmp_path / "exported")
    with pytest.raises(ValueError, match="a report computes with normal components only"):
        write_report(model, x, y, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []
    recurrent = tf_keras.layers.GRU(4, return_sequences=True)
    with pytest.raises(TypeError, match="generate needs a model that returns a mixture of normals"):
        generate(build_mdn(2, backbone=recurrent, component="logistic"), [[0.0]], 3)


def test_targets_far_above_0_are_no_truncated_normals() -> None:
    x, y = data("truncated_normal")
    with pytest.raises(ValueError, match="a bound there means nothing. Use component='normal'"):
        MDNRegressor(component="truncated_normal").fit(x, y + 60 * y.std())


def test_normal_components_are_as_before(quick_fit: Callable[..., Any]) -> None:
    model = quick_fit(component="normal")
    assert type(model.predict_parameters([[0.0, 0.0]])) is MixtureParameters
    assert model.model_.layers[-1].component == "normal"


@pytest.mark.slow
def test_t_components_win_where_the_noise_has_heavy_tails() -> None:
    fresh = np.random.default_rng(1000)
    x = fresh.uniform(-3.0, 3.0, 10_000)
    y = np.sin(2.0 * x) + 0.3 * fresh.standard_t(3, 10_000)
    truth = stats.t(3, np.sin(2.0 * x), 0.3).logpdf(y).mean()
    scores = {}
    rng = np.random.default_rng(0)
    x_train = rng.uniform(-3.0, 3.0, 2000)
    y_train = np.sin(2.0 * x_train) + 0.3 * rng.standard_t(3, 2000)
    for component in ("normal", "student_t"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of targets drawn in
            model = MDNRegressor(5, component=component, ensemble_size=1, random_state=0).fit(
                x_train[:, np.newaxis], y_train
            )
        scores[component] = model.log_prob(x[:, np.newaxis], y).mean()
    assert scores["normal"] < scores["student_t"] < truth


@pytest.mark.parametrize(
    ("family", "y", "message"),
    [
        ("lognormal", np.round(np.geomspace(1, 20, 80)), "lattice of step 1, where"),
        ("truncated_normal", np.maximum(np.linspace(-1, 1, 80), 0.0), "40 of 80 values"),
    ],
)
def test_repeated_targets_without_a_floor_are_warned_of(
    family: str, y: np.ndarray, message: str
) -> None:
    small = MDNRegressor(
        2, component=family, ensemble_size=1, hidden_units=(4,), num_steps=40, random_state=0
    )
    with pytest.warns(UserWarning, match=message) as caught:
        small.fit(np.linspace(-1, 1, 80)[:, np.newaxis], y)
    assert {Path(warning.filename).name for warning in caught} == {Path(__file__).name}
