"""The loss: one value a row against SciPy, in every way Keras runs it, and every wrong target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from scipy import stats

from tfp_mdn.layers import MixtureNormal
from tfp_mdn.losses import negative_log_likelihood
from tfp_mdn.models import build_mdn

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
