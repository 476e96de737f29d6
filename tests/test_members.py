"""Several networks as one layer: against separate networks that are merged by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from numpy.testing import assert_allclose, assert_array_equal

from tfp_mdn.layers import MixtureMultivariateNormal, MixtureNormal
from tfp_mdn.members import MemberNetwork, apply_members, merge_members

tfd = tfp.distributions

M, K, D, F = 3, 2, 2, 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, F)).astype(np.float32)
Y = RNG.normal(size=(7, D)).astype(np.float32)


def network(**options: Any) -> MemberNetwork:
    layer = MemberNetwork(M, K, D, **{"hidden_units": (5, 6), "activation": "tanh", **options})
    layer(X)
    layer.start(RNG.normal(size=K * (1 + 2 * D)), seed=1)
    return layer


def separate(layer: MemberNetwork, member: int) -> tf_keras.Model:
    """Return one member as a plain network that ends in the head of TFP."""
    model = tf_keras.Sequential(
        [
            tf_keras.Input((F,)),
            *(tf_keras.layers.Dense(units, "tanh") for units in layer.hidden_units),
            tf_keras.layers.Dense(tfp.layers.MixtureNormal.params_size(K, (D,))),
            tfp.layers.MixtureNormal(K, (D,)),
        ]
    )
    model.set_weights([variable.numpy()[member] for variable in layer.weights])
    return model


def test_it_is_the_equal_mixture_of_separate_networks() -> None:
    layer = network()
    merged = MixtureNormal(M * K, (D,))(layer(X))
    members = [separate(layer, member)(X) for member in range(M)]
    expected = tf.reduce_logsumexp([each.log_prob(Y) for each in members], axis=0) - np.log(M)
    assert_allclose(merged.log_prob(Y), expected, rtol=1e-5)
    assert_allclose(merged.mean(), np.mean([each.mean() for each in members], axis=0), atol=1e-6)
    weights = tf.reshape(merged.mixture_distribution.probs_parameter(), (-1, M, K))
    assert_allclose(tf.reduce_sum(weights, axis=-1), 1 / M, rtol=1e-6)


def test_members_with_full_covariances_merge_as_others_do() -> None:
    layer = MemberNetwork(M, K, D, hidden_units=(5,), covariance_type="full")
    layer(X)
    layer.start(RNG.normal(size=K * (1 + D + 3)), seed=1)
    merged = MixtureMultivariateNormal(M * K, D)(layer(X))
    copies = np.broadcast_to(X, (M, *X.shape))
    answers = apply_members(layer.weights, copies, layer.activation)
    members = [MixtureMultivariateNormal(K, D)(answer) for answer in answers]
    expected = tf.reduce_logsumexp([each.log_prob(Y) for each in members], axis=0) - np.log(M)
    assert_allclose(merged.log_prob(Y), expected, rtol=1e-4)
    covariances = merged.components_distribution.covariance()
    for member, each in enumerate(members):
        own = covariances[:, member * K : (member + 1) * K]
        assert_allclose(own, each.components_distribution.covariance(), rtol=1e-5, atol=1e-6)


def test_a_file_without_a_kind_of_component_holds_diagonal_normal_ones() -> None:
    config = network().get_config()
    assert config.pop("covariance_type") == "diag"
    assert config.pop("component") == "normal"
    again = MemberNetwork.from_config(config)
    assert (again.covariance_type, again.component) == ("diag", "normal")


def test_members_may_be_given_inputs_of_their_own() -> None:
    layer = network()
    own = RNG.normal(size=(M, 5, F)).astype(np.float32)
    answers = apply_members(layer.weights, own, tf.tanh)
    for member in range(M):
        alone = tf_keras.Sequential(separate(layer, member).layers[:-1])
        assert_allclose(answers[member], alone(own[member]), rtol=1e-5, atol=1e-6)


def test_a_member_s_large_logits_take_no_weight_from_the_others() -> None:
    separate_parameters = np.zeros((2, 1, 2 * 3), np.float32)
    separate_parameters[0, 0, :2] = 300.0, 299.0
    merged = merge_members(tf.constant(separate_parameters), 2)
    probs = tf.nn.softmax(merged[0, :4]).numpy()
    share = 1 / (1 + np.exp(-1.0))
    assert_allclose(probs, [share / 2, (1 - share) / 2, 0.25, 0.25], rtol=1e-4)


def test_flat_weights_go_out_and_come_back() -> None:
    layer = network()
    flat, answers = layer.flat_weights(), layer(X).numpy()
    assert flat.shape == (M, sum(int(np.prod(shape)) for shape in layer.shapes))
    assert layer.shapes == ((4, 5), (5,), (5, 6), (6,), (6, 10), (10,))
    assert_array_equal(flat[1, :20].reshape(4, 5), layer.weights[0][1])
    # Logits, locations and raw scales of both components stand apart.
    assert_array_equal(flat[1, -10:], layer.weights[-1].numpy()[1, [0, 1, 2, 3, 6, 7, 4, 5, 8, 9]])
    layer.set_flat_weights(np.zeros_like(flat))
    assert not layer.flat_weights().any()
    layer.set_flat_weights(flat)
    assert_array_equal(layer(X), answers)


def test_the_start_is_seeded_and_near_the_wanted_answer() -> None:
    layer = network()
    wanted = np.linspace(-1.0, 1.0, K * (1 + 2 * D))
    layer.start(wanted, seed=7)
    first = layer.flat_weights()
    layer.start(wanted, seed=8)
    other = layer.flat_weights()
    layer.start(wanted, seed=7)
    assert_array_equal(layer.flat_weights(), first)
    assert (other != first).any(axis=1).all()
    assert len({tuple(member) for member in first}) == M
    kernels = [variable.numpy() for variable in layer.weights[::2]]
    for place, kernel in enumerate(kernels):
        limit = np.sqrt(6 / sum(kernel.shape[1:])) * (0.1 if place == len(kernels) - 1 else 1.0)
        assert 0.8 * limit < np.abs(kernel).max() <= limit
    assert_array_equal(layer.weights[-1], np.tile(wanted.astype(np.float32), (M, 1)))
    assert not layer.weights[1].numpy().any()
    answers = apply_members(layer.weights, tf.zeros((M, 1, F)), tf.tanh)
    assert_allclose(answers[:, 0], np.tile(wanted, (M, 1)), rtol=1e-5)


def test_it_is_saved_with_a_model(tmp_path: Path) -> None:
    model = tf_keras.Sequential(
        [tf_keras.Input((F,)), network(), MixtureNormal(M * K, (D,))], name="mdn"
    )
    model.save(tmp_path / "m.keras")
    loaded = tf_keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    assert_array_equal(loaded(X).log_prob(Y), model(X).log_prob(Y))
    assert loaded.layers[0].get_config() == model.layers[0].get_config()


def test_no_hidden_layer_is_a_linear_network() -> None:
    layer = MemberNetwork(1, 1, 1, hidden_units=())
    assert_allclose(layer(2 * X) - layer(0 * X), 2 * (layer(X) - layer(0 * X)), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((0, 1, 1), {}, ValueError, "ensemble_size must be at least 1, got 0"),
        ((1, 2.5, 1), {}, TypeError, "num_components must be an integer"),
        ((1, 1, 0), {}, ValueError, "event_size must be at least 1"),
        ((1, 1, 1), {"hidden_units": 8}, TypeError, r"hidden_units must be a sequence .* got 8"),
        ((1, 1, 1), {"hidden_units": "88"}, TypeError, "hidden_units must be a sequence"),
        ((1, 1, 1), {"hidden_units": (8, 0)}, ValueError, "hidden_units must be at least 1"),
        ((1, 1, 1), {"activation": "gelo"}, ValueError, "gelo"),
        (
            (1, 1, 1),
            {"covariance_type": "tied"},
            ValueError,
            "must be 'diag' or 'full', got 'tied'",
        ),
    ],
)
def test_bad_arguments(
    arguments: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        MemberNetwork(*arguments, **options)


@pytest.mark.parametrize("policy", ["float64", "mixed_float16"])
def test_the_policy_of_a_program_changes_nothing(policy: str) -> None:
    x = np.zeros((2, 3), np.float32)
    network = MemberNetwork(2, 3, 1)
    expected = network(x).dtype
    try:
        tf_keras.mixed_precision.set_global_policy(policy)
        other = MemberNetwork(2, 3, 1)
        assert other(x).dtype == expected == tf.float32
        assert other.weights[0].dtype == tf.float32
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
