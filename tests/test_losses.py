"""The losses: values and slopes against references, in every way Keras runs them, and bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from scipy import stats

from tfp_mdn.extraction import extract_parameters
from tfp_mdn.layers import MixtureMultivariateNormal, MixtureNormal
from tfp_mdn.losses import (
    BetaNLLLoss,
    CRPSLoss,
    NegativeLogLikelihood,
    NLLLoss,
    crps,
    negative_log_likelihood,
)
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.mixture.scores import censored_log_score
from tfp_mdn.models import build_mdn
from tfp_mdn.persistence import load, save
from tfp_mdn.training import fit_mdn

tfd = tfp.distributions

MEANS = np.array([0.0, 1.0, -2.0, 0.5, 3.0])
SCALES = np.array([1.0, 0.5, 2.0, 1.5, 0.1])
TARGETS = np.array([0.5, 1.0, -1.0, 4.0, 3.1])
EXPECTED = -stats.norm.logpdf(TARGETS, MEANS, SCALES)


def scalar() -> Any:
    return tfd.Normal(MEANS, SCALES)


def vector() -> Any:
    return tfd.MultivariateNormalDiag(MEANS[:, None], SCALES[:, None])


@pytest.mark.parametrize("make", [scalar, vector])
@pytest.mark.parametrize("y", [TARGETS, TARGETS[:, None]])
def test_one_value_a_row_whatever_the_axes(make: Callable[[], Any], y: np.ndarray) -> None:
    loss = negative_log_likelihood(y, make())
    assert loss.shape == (5,)
    np.testing.assert_allclose(loss, EXPECTED, rtol=1e-12)


def test_several_dimensions_and_sequences() -> None:
    plane = tfd.MultivariateNormalDiag(np.stack([MEANS, MEANS], 1), np.stack([SCALES, SCALES], 1))
    loss = negative_log_likelihood(np.stack([TARGETS, TARGETS], axis=1), plane)
    np.testing.assert_allclose(loss, 2 * EXPECTED)
    means, scales = np.tile(MEANS[:, None], (1, 3)), np.tile(SCALES[:, None], (1, 3))
    y = np.tile(TARGETS[:, None], (1, 3))
    steps = [
        (tfd.Normal(means, scales), y),
        (tfd.Normal(means, scales), y[..., None]),
        (tfd.MultivariateNormalDiag(means[..., None], scales[..., None]), y),
        (tfd.MultivariateNormalDiag(means[..., None], scales[..., None]), y[..., None]),
    ]
    for distribution, target in steps:
        loss = negative_log_likelihood(target, distribution)
        np.testing.assert_allclose(loss, np.tile(EXPECTED[:, None], (1, 3)))


def test_targets_take_the_distribution_s_precision() -> None:
    loss = negative_log_likelihood(TARGETS.astype(np.float32), vector())
    assert loss.dtype == tf.float64
    single = tfd.Normal(MEANS.astype(np.float32), SCALES.astype(np.float32))
    np.testing.assert_allclose(negative_log_likelihood(TARGETS, single), EXPECTED, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "y", "error", "message"),
    [
        (scalar, np.zeros(4), ValueError, r"y has shape \(4,\), .* expects \(5,\)"),
        (scalar, np.zeros((5, 5)), ValueError, r"y has shape \(5, 5\)"),
        (scalar, np.zeros((1, 5)), ValueError, r"y has shape \(1, 5\)"),
        (scalar, np.zeros((5, 1, 1)), ValueError, r"y has shape \(5, 1, 1\)"),
        (scalar, np.float64(0.0), ValueError, r"y has shape \(\)"),
        (vector, np.zeros(4), ValueError, r"y has shape \(4,\), .* expects \(5, 1\)"),
        (vector, np.zeros((1, 1)), ValueError, r"y has shape \(1, 1\)"),
        (vector, np.zeros((5, 2)), ValueError, r"y has shape \(5, 2\)"),
        (vector, np.zeros((5, 5, 1)), ValueError, r"y has shape \(5, 5, 1\)"),
        (vector, np.zeros((1, 5, 1)), ValueError, r"y has shape \(1, 5, 1\)"),
        (vector, np.zeros(5, int), TypeError, r"y must hold floating.* int64.*astype\('float32'"),
        (vector, np.zeros(5, bool), TypeError, "y must hold floating-point numbers, got bool"),
        (vector, np.array(["a"] * 5), TypeError, "got string"),
        (vector, np.full(5, np.nan), ValueError, "y must be finite, got NaN"),
        (vector, np.full(5, np.inf), ValueError, "y must be finite"),
        (lambda: np.zeros(5), TARGETS, TypeError, "that returns a distribution, got ndarray"),
        (lambda: tf.zeros(5), TARGETS, TypeError, r"End the model in tfp_mdn.layers.MixtureNor"),
    ],
)
def test_bad_input(make: Callable[[], Any], y: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        negative_log_likelihood(y, make())


def test_keras_3_targets_are_refused() -> None:
    with pytest.raises(TypeError, match="y holds a Keras 3 object"):
        negative_log_likelihood(keras.Input((1,)), vector())


@pytest.mark.parametrize(
    ("y", "right"),
    [
        (np.zeros((4, 3, 1)), True),
        (np.zeros((4, 3)), True),
        (np.zeros((4, 1)), False),
        (np.zeros((1, 3)), False),
        (np.zeros((1, 1, 1)), False),
    ],
)
def test_sizes_known_only_at_run_time_are_checked_too(y: np.ndarray, right: bool) -> None:  # noqa: FBT001
    layer = MixtureNormal(2)

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, 6), tf.float32),
            tf.TensorSpec([None] * y.ndim, tf.float32),
        ]
    )
    def loss(params: Any, target: Any) -> Any:
        return negative_log_likelihood(target, layer(params))

    params = np.zeros((4, 3, 6), np.float32)
    if right:
        assert loss(params, y.astype(np.float32)).shape == (4, 3)
    else:
        with pytest.raises(tf.errors.InvalidArgumentError):
            loss(params, y.astype(np.float32))


@pytest.mark.parametrize(
    ("event_shape", "mode"),
    [((), {}), ((1,), {}), ((1,), {"run_eagerly": True}), ((1,), {"jit_compile": True})],
)
def test_sample_weights_through_keras_equal_a_hand_computation(
    event_shape: tuple[int, ...], mode: dict[str, Any]
) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 12, 1)).astype(np.float32)
    weights = rng.uniform(0.0, 3.0, 12)
    layers = [tf_keras.layers.Dense(6), MixtureNormal(2, event_shape)]
    model = tf_keras.Sequential([tf_keras.Input((1,)), *layers])
    model.compile(tf_keras.optimizers.SGD(0.0), negative_log_likelihood, **mode)
    mixture = model(x).tensor_distribution
    log_prob = mixture.log_prob(y if event_shape else y[:, 0]).numpy()
    plain, weighted = -log_prob.mean(), -(weights * log_prob).mean()
    for target in (y, y[:, 0]):
        options: dict[str, Any] = {"verbose": 0, "batch_size": 4}
        assert model.evaluate(x, target, **options) == pytest.approx(plain, rel=1e-5)
        options["sample_weight"] = weights
        assert model.evaluate(x, target, **options) == pytest.approx(weighted, rel=1e-5)
    history = model.fit(x, y, sample_weight=weights, verbose=0)
    assert history.history["loss"] == pytest.approx([weighted], rel=1e-5)


def test_a_weight_of_two_moves_the_weights_like_a_doubled_row() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 6, 1))
    weights, rows = np.array([1.0, 2.0, 0.0, 1.0, 1.0, 1.0]), [0, 1, 1, 3, 4, 5]
    trained = []
    for data, options in (((x, y), {"sample_weight": weights}), ((x[rows], y[rows]), {})):
        model = build_mdn(2, hidden_units=(4,), input_size=1, seed=0)
        model.compile(tf_keras.optimizers.SGD(0.1), negative_log_likelihood)
        model.fit(*data, batch_size=6, shuffle=False, verbose=0, **options)
        trained.append(np.concatenate([array.ravel() for array in model.get_weights()]))
    np.testing.assert_allclose(trained[0], trained[1], rtol=1e-5, atol=1e-7)


def test_wrong_targets_stop_the_training_of_any_model() -> None:
    model = tf_keras.Sequential([tf_keras.layers.Dense(6), MixtureNormal(2)])
    model.compile("sgd", negative_log_likelihood)
    with pytest.raises(ValueError, match=r"y has shape \(None, 2\)"):
        model.fit(np.zeros((4, 1)), np.zeros((4, 2)), verbose=0)
    plain = tf_keras.Sequential([tf_keras.layers.Dense(1)])
    plain.compile("sgd", negative_log_likelihood)
    with pytest.raises(TypeError, match="needs a model that returns a distribution"):
        plain.fit(np.zeros((4, 1)), np.zeros((4, 1)), verbose=0)


def test_the_loss_is_a_registered_name() -> None:
    name = tf_keras.saving.get_registered_name(negative_log_likelihood)
    assert name == "tfp_mdn>negative_log_likelihood"
    assert tf_keras.saving.get_registered_object(name) is negative_log_likelihood


def mixture(event_size: int = 1, dtype: Any = np.float64) -> Any:
    """Return 20 mixtures of four components in one or more dimensions."""
    rng = np.random.default_rng(3)
    shape = (20, 4, event_size) if event_size else (20, 4)
    means, scales = rng.normal(scale=3.0, size=shape), rng.uniform(0.1, 2.0, shape)
    normal = tfd.Normal(means.astype(dtype), scales.astype(dtype))
    components = tfd.Independent(normal, 1) if event_size else normal
    logits = rng.normal(size=(20, 4)).astype(dtype)
    return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), components)


def targets(event_size: int = 1) -> np.ndarray:
    return np.random.default_rng(4).normal(scale=4.0, size=(20, event_size or 1))


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 2e-5)])
@pytest.mark.parametrize("event_size", [0, 1, 3])
def test_the_crps_is_that_of_the_parameters(event_size: int, dtype: Any, rtol: float) -> None:
    distribution, y = mixture(event_size, dtype), targets(event_size)
    parameters = extract_parameters(mixture(event_size or 1))
    expected = sum(parameters.marginal(d).crps(y[:, d]) for d in range(y.shape[1]))
    np.testing.assert_allclose(crps(y, distribution), expected, rtol=rtol)
    if y.shape[1] == 1:
        np.testing.assert_allclose(crps(y[:, 0], distribution), expected, rtol=rtol)


def test_the_crps_of_full_covariances_is_that_of_their_margins() -> None:
    tril = np.linalg.cholesky(np.array([[1.0, 0.8], [0.8, 2.0]]))
    full = tfd.MultivariateNormalTriL(np.zeros((1, 1, 2)), tril)
    loss = crps(
        np.array([[0.5, -1.0]]), tfd.MixtureSameFamily(tfd.Categorical(np.zeros((1, 1))), full)
    )
    ones = np.ones((2, 1))
    margins = MixtureParameters(ones, 0.0 * ones, np.array([[1.0], [2.0]]))
    np.testing.assert_allclose(loss, margins.crps([0.5, -1.0]).sum(), rtol=1e-6)


def gradients(loss: Callable[..., Any], y: Any, *arrays: Any, dtype: str = "float64") -> list[Any]:
    """Return the value (N,) and its gradients by logits, means and scales of scalar mixtures."""
    logits, means, scales = (tf.constant(array, dtype) for array in arrays)
    with tf.GradientTape() as tape:
        tape.watch([logits, means, scales])
        normal = tfd.Normal(means, scales)
        value = loss(tf.constant(y, dtype), tfd.MixtureSameFamily(tfd.Categorical(logits), normal))
    return [value, *tape.gradient(value, [logits, means, scales])]


def arrays() -> tuple[Any, ...]:
    distribution = mixture(0)
    components = distribution.components_distribution
    logits = distribution.mixture_distribution.logits
    return targets(0)[:, 0], logits, components.mean(), components.stddev()


def test_the_slopes_of_the_crps_are_its_differences() -> None:
    y, *parts = (np.array(part) for part in arrays())
    found = gradients(crps, y, *parts)[1:]
    for i, slopes in enumerate(found):
        step = np.zeros_like(parts[i])
        step[:, 1] = 1e-5
        ends = [
            gradients(crps, y, *(part + sign * step * (i == j) for j, part in enumerate(parts)))[0]
            for sign in (1.0, -1.0)
        ]
        np.testing.assert_allclose(slopes[:, 1], (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-8)


def test_beta_0_is_the_likelihood_and_its_gradient() -> None:
    expected = gradients(negative_log_likelihood, *arrays())
    found = gradients(BetaNLLLoss(0.0, reduction="none"), *arrays())
    for ours, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, reference, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("beta", "scale"), [(0.5, 1.0), (1.0, 1.0), (0.3, 20.0)])
def test_pulls_on_a_component_are_scaled_by_its_own_deviation(beta: float, scale: float) -> None:
    y, logits, means, scales = arrays()
    _, *expected = gradients(negative_log_likelihood, y, logits, means, scales)
    loss = BetaNLLLoss(beta, scale, reduction="none")
    _, *found = gradients(loss, y, logits, means, scales)
    factor = (scales / scale) ** (2.0 * beta)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[1], factor * expected[1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[2], factor * expected[2], rtol=1e-9, atol=1e-12)


def test_one_component_is_the_loss_of_the_paper() -> None:
    # Seitzer et al. (2022), equation 5, in every dimension.
    y = np.stack([TARGETS, TARGETS + 1.0], axis=1)
    means, scales = np.stack([MEANS, -MEANS], 1), np.stack([SCALES, 2.0 * SCALES], 1)
    normal = tfd.MultivariateNormalDiag(means[:, None], scales[:, None])
    loss = BetaNLLLoss(0.5, reduction="none")(
        y, tfd.MixtureSameFamily(tfd.Categorical(np.zeros((5, 1))), normal)
    )
    expected = -(scales * stats.norm.logpdf(y, means, scales)).sum(axis=1)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


@pytest.mark.parametrize("loss", [crps, BetaNLLLoss(0.5), BetaNLLLoss(1.0), CRPSLoss(0.3)])
@pytest.mark.parametrize(
    ("logits", "means", "scales", "y"),
    [
        ([0.0, 0.0], [0.0, 0.0], [1e-30, 1e-30], 0.0),
        ([0.0, -1e4], [0.0, 1e20], [1.0, 1e15], 0.0),
        ([1e4, -1e4], [0.0, 0.0], [1e-6, 1e-6], 1e30),
        ([0.0, 0.0], [1e18, -1e18], [1e-10, 1e18], 1e5),
        ([0.0, -np.inf], [0.0, 1.0], [1.0, 1.0], 0.0),
        ([0.0, 0.0], [0.0, 0.0], [1e15, 1e15], 1e17),
    ],
)
def test_gradients_are_finite_in_hostile_corners(
    loss: Any, logits: Any, means: Any, scales: Any, y: float
) -> None:
    for values in gradients(loss, [y], [logits], [means], [scales], dtype="float32"):
        assert np.isfinite(values).all()


@pytest.mark.parametrize(("make", "plain"), [(NLLLoss, negative_log_likelihood), (CRPSLoss, crps)])
def test_the_penalty_is_the_entropy_of_the_weights(make: Any, plain: Any) -> None:
    distribution, y = mixture(), targets()
    weights = tf.nn.softmax(distribution.mixture_distribution.logits).numpy()
    for penalty in (0.0, 0.7, -0.2):
        expected = plain(y, distribution) + penalty * stats.entropy(weights, axis=1)
        loss = make(penalty, reduction="none")(y, distribution)
        np.testing.assert_allclose(loss, expected, rtol=1e-9)


LOSSES = [NLLLoss(0.1), CRPSLoss(-0.1), BetaNLLLoss(0.25, scale=3.0, entropy_penalty=0.2)]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_training_watching_and_reloading(loss: Any, tmp_path: Path) -> None:
    rng, loc = np.random.default_rng(5), 5.0  # with a location, the head computes in float64
    x = rng.normal(size=(30, 1))
    y, weights = x + loc + 0.1 * rng.normal(size=(30, 1)), rng.uniform(0.0, 2.0, 30)
    model = build_mdn(3, hidden_units=(8,), input_size=1, loc=loc, seed=0)
    watch = NegativeLogLikelihood()
    model.compile(tf_keras.optimizers.Adam(0.02), loss, weighted_metrics=[watch])
    history = model.fit(
        *(x, y), sample_weight=weights, epochs=15, validation_data=(x, y), verbose=0
    ).history
    assert history["val_loss"][-1] < history["val_loss"][0]
    log_prob = model(x).tensor_distribution.log_prob(y).numpy()
    assert history["val_nll"][-1] == pytest.approx(-log_prob.mean(), rel=1e-5)
    weighted = model.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
    assert weighted["nll"] == pytest.approx(-np.average(log_prob, weights=weights), rel=1e-5)
    model.save(tmp_path / "model.keras")
    again = tf_keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert again.loss.get_config() == loss.get_config()
    assert again.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0))
    save(model, tmp_path / "saved")
    assert load(tmp_path / "saved").loss.get_config() == loss.get_config()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: NLLLoss(cast(Any, "a")), TypeError, "entropy_penalty must be a number"),
        (lambda: CRPSLoss(np.nan), ValueError, "entropy_penalty must be finite"),
        (lambda: BetaNLLLoss(1.5), ValueError, "beta must be from 0 to 1, got 1.5"),
        (lambda: BetaNLLLoss(-0.1), ValueError, "beta must be finite and at least 0"),
        (lambda: BetaNLLLoss(scale=0.0), ValueError, "scale must be finite and greater than 0"),
        (lambda: crps(TARGETS, scalar()), TypeError, "crps needs .* a mixture of normals, got Nor"),
        (lambda: crps(TARGETS, tf.zeros(5)), TypeError, "Keras hands metrics a tensor"),
        (lambda: crps(np.zeros(3), mixture()), ValueError, r"y has shape \(3,\)"),
        (lambda: BetaNLLLoss()(TARGETS, scalar()), TypeError, "BetaNLLLoss needs .* a mixture"),
        (lambda: BetaNLLLoss()(np.zeros(3), mixture()), ValueError, r"y has shape \(3,\)"),
        (
            lambda: BetaNLLLoss()(
                np.zeros((1, 2)),
                tfd.MixtureSameFamily(
                    tfd.Categorical(np.zeros((1, 1))),
                    tfd.MultivariateNormalTriL(np.zeros((1, 1, 2)), np.eye(2)),
                ),
            ),
            TypeError,
            "full covariances do not have. Use NLLLoss",
        ),
    ],
)
def test_bad_arguments(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_other_mixtures_are_refused() -> None:
    laplace = tfd.Laplace(np.zeros((2, 1)), np.ones((2, 1)))
    other = tfd.MixtureSameFamily(tfd.Categorical(np.zeros((2, 1))), laplace)
    with pytest.raises(TypeError, match="crps needs a model that returns a mixture of normals"):
        crps(np.zeros(2), other)


@pytest.mark.parametrize("event_shape", [(), (1,), (2,)])
def test_a_lattice_counts_the_interval(event_shape: tuple[int, ...]) -> None:
    size = int(np.prod(event_shape))
    head = MixtureNormal(3, event_shape)
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(6, 3 + 6 * size)).astype(np.float32)
    y = np.round(rng.normal(size=(6, *event_shape))).astype(np.float32)
    p = extract_parameters(head(raw))
    steps = np.array([1.0, 0.5])[:size]
    low, high = (
        stats.norm.cdf(y.reshape(6, 1, size) + side * steps / 2, p.means, np.sqrt(p.variances))
        for side in (-1, 1)
    )
    expected = -np.log((p.weights * (high - low).prod(axis=-1)).sum(axis=1))
    loss = NLLLoss(lattice=steps.tolist() if size > 1 else 1.0, reduction="none")
    np.testing.assert_allclose(loss(y, head(raw)).numpy(), expected, rtol=2e-5)


def test_a_dimension_without_a_lattice_counts_with_its_density() -> None:
    distribution = MixtureNormal(1, (2,))(tf.constant([[0.0, 0.1, -0.3, 0.2, 0.4]]))
    p = extract_parameters(distribution)
    expected = -stats.norm.logpdf(0.7, p.means[0, 0, 1], np.sqrt(p.variances[0, 0, 1])) - np.log(
        np.diff(stats.norm.cdf([0.5, 1.5], p.means[0, 0, 0], np.sqrt(p.variances[0, 0, 0])))
    )
    loss = NLLLoss(lattice=[1.0, 0.0])(np.array([[1.0, 0.7]], np.float32), distribution)
    np.testing.assert_allclose(loss, expected[0], rtol=1e-5)


def test_narrow_components_on_a_lattice_have_no_better_loss_than_0() -> None:
    narrow = MixtureNormal(1)(tf.constant([[0.0, 2.0, -30.0]]))
    assert float(negative_log_likelihood(np.array([2.0], np.float32), narrow)[0]) < -10
    assert float(NLLLoss(lattice=1.0)(np.array([2.0], np.float32), narrow)) == 0.0


def test_a_network_trains_on_a_lattice_and_reloads(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(400, 1))
    y = np.round(3 * x + rng.normal(0, 0.4, size=(400, 1)))
    model = build_mdn(2, input_size=1, seed=0)
    model.compile(tf_keras.optimizers.Adam(1e-2), NLLLoss(lattice=1.0))
    before = model.evaluate(x, y, verbose=0)
    fit_mdn(model, x, y, epochs=30, seed=0)
    after = model.evaluate(x, y, verbose=0)
    assert 0.0 < after < before - 0.5
    assert after == pytest.approx(
        np.mean(censored_log_score(extract_parameters(model, x), y, 0.5)), rel=1e-4
    )
    save(model, tmp_path / "model")
    assert load(tmp_path / "model").loss.get_config() == model.loss.get_config()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: NLLLoss(lattice=-1.0),
            ValueError,
            "lattice must hold steps of at least 0, got -1",
        ),
        (lambda: NLLLoss(lattice=cast("Any", "auto")), TypeError, "lattice must hold real numbers"),
        (lambda: NLLLoss(lattice=1.0, missing="marginalise"), ValueError, "without gaps"),
        (
            lambda: NLLLoss(lattice=[1.0, 2.0])([[0.0]], MixtureNormal(1)(tf.zeros((1, 3)))),
            ValueError,
            "lattice must be a number or 1 of them",
        ),
        (
            lambda: NLLLoss(lattice=1.0)(
                [[0.0, 0.0]], MixtureMultivariateNormal(1, (2,))(tf.zeros((1, 6)))
            ),
            TypeError,
            "lattice needs components with independent dimensions",
        ),
    ],
)
def test_bad_lattices(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
