"""Compiled training steps: against AdamW of tf_keras on separate networks, and their noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from tfp_mdn._member_steps import (
    Batches,
    Schedule,
    State,
    Structure,
    _with_noise,
    member_losses,
    training_steps,
)
from tfp_mdn.extraction import extract_parameters
from tfp_mdn.layers import MixtureMultivariateNormal, MixtureNormal, head_class
from tfp_mdn.losses import NLLLoss
from tfp_mdn.members import MemberNetwork, apply_members
from tfp_mdn.preprocessing import PiecewiseLinear

M, K, B, T = 2, 2, 6, 5
RATE, DECAY = 0.05, 0.4
ENCODE = PiecewiseLinear([[-1.0, 0.0, 1.0]])  # one feature in, three out
STRUCTURE = Structure(((3, 4), (4,), (4, 6), (6,)), tf_keras.activations.tanh, K, 1, 1e-6)
RNG = np.random.default_rng(3)
APART = [0, 1, 2, 4, 3, 5]  # both logits, both locations, both raw scales
START = RNG.normal(size=(M, 46)).astype(np.float32)
BATCHES = Batches(
    RNG.normal(size=(T, M, B, 1)).astype(np.float32),
    RNG.normal(size=(T, M, B, 1)).astype(np.float32),
    RNG.uniform(0.5, 2.0, (T, M, B)).astype(np.float32),
)
MEMBER_RATES = np.array([[1.0], [0.3]], np.float32)


def schedule(noise: float = 0.0) -> Schedule:
    """Return a constant rate, with Adam's corrections for its start as Kingma and Ba have them."""
    step = np.arange(1, T + 1)
    correction = np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    return Schedule(
        rate=np.float32(RATE * correction),
        decay=np.full(T, RATE * DECAY, np.float32),
        noise=np.full(T, noise, np.float32),
        averaging=np.array([0.1, 0.2, 0.3, 0.4, 0.5], np.float32),
        seeds=np.stack([np.full(T, 11), step], axis=1).astype(np.int32),
    )


def run(
    batches: Batches = BATCHES, noise: float = 0.0, *, jit_compile: bool = False
) -> tuple[State, Any]:
    zeros = np.zeros_like(START)
    state, losses = training_steps(STRUCTURE, jit_compile=jit_compile)(
        State(START, zeros, zeros, START), batches, schedule(noise), MEMBER_RATES, ENCODE.encoding
    )
    return State(*(part.numpy() for part in state)), losses.numpy()


def separate(member: int) -> tf_keras.Model:
    model = tf_keras.Sequential(
        [
            tf_keras.Input((3,)),
            tf_keras.layers.Dense(4, "tanh"),
            tf_keras.layers.Dense(6),
            tfp.layers.MixtureNormal(K, (1,)),
        ]
    )
    parts = np.split(START[member], np.cumsum([12, 4, 24]))
    together = np.argsort(APART)
    model.set_weights(
        [
            *(parts[0].reshape(3, 4), parts[1]),
            *(parts[2].reshape(4, 6)[:, together], parts[3][together]),
        ]
    )
    return model


def flat(model: tf_keras.Model) -> np.ndarray:
    *others, kernel, bias = model.get_weights()
    return np.concatenate([part.ravel() for part in (*others, kernel[:, APART], bias[APART])])


def by_tf_keras(batches: Batches, member: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return weights, averaged weights and mean loss of one member, trained by itself."""
    model = separate(member)
    adam = tf_keras.optimizers.AdamW(
        RATE * float(MEMBER_RATES[member, 0]),
        weight_decay=DECAY,
        epsilon=1e-7,
        global_clipnorm=10.0,
    )
    adam.exclude_from_weight_decay(var_names=["bias"])
    average, losses = START[member], []
    for step in range(T):
        x, y, weights = (part[step, member] for part in batches)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(weights * -model(ENCODE(x)).log_prob(y))
        gradients = tape.gradient(loss, model.trainable_variables)
        adam.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        old = schedule().averaging[step]
        average = old * average + (1 - old) * flat(model)
        losses.append(float(loss))
    return flat(model), average, float(np.mean(losses))


@pytest.mark.parametrize("reach", [1.0, 100.0])
def test_steps_are_those_of_adamw_on_separate_networks(reach: float) -> None:
    # Targets at a hundred standard deviations have gradients that must be clipped.
    batches = BATCHES._replace(y=np.float32(reach) * BATCHES.y)
    state, losses = run(batches)
    for member in range(M):
        weights, average, loss = by_tf_keras(batches, member)
        assert_allclose(state.weights[member], weights, rtol=1e-4, atol=1e-5)
        assert_allclose(state.average[member], average, rtol=1e-4, atol=1e-5)
        assert losses[member] == pytest.approx(loss, rel=1e-5)
    assert np.abs(state.weights - START).max() > 0.1


def test_compiled_by_xla_the_steps_are_the_same() -> None:
    for one, other in zip(run()[0], run(jit_compile=True)[0], strict=True):
        assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_losses_are_those_of_separate_networks() -> None:
    x, y = BATCHES.x[0], BATCHES.y[0]
    losses = member_losses(STRUCTURE)(START, x, y, ENCODE.encoding)
    for member in range(M):
        expected = -separate(member)(ENCODE(x[member])).log_prob(y[member])
        assert_allclose(losses[member], expected, rtol=1e-5)


@pytest.mark.parametrize("activation", ["gelu", "softmax"])
@pytest.mark.parametrize("size", [1, 3])
def test_losses_and_gradients_are_those_of_the_layers(activation: str, size: int) -> None:
    layer = MemberNetwork(M, K, size, hidden_units=(5, 4), activation=activation)
    x, y = RNG.normal(size=(M, B, 1)), RNG.normal(size=(M, B, size))
    x, y = x.astype(np.float32), y.astype(np.float32)
    layer(ENCODE(x[0]))
    layer.start(RNG.normal(size=K * (1 + 2 * size)), seed=2)
    with tf.GradientTape() as tape:
        answers = apply_members(layer.weights, ENCODE(x), layer.activation)
        expected = -MixtureNormal(K, (size,), min_scale=0.5)(answers).log_prob(y)
    gradients = tape.gradient(expected, layer.weights)
    structure = Structure(layer.shapes, layer.activation, K, size, 0.5)
    weights = tf.constant(layer.flat_weights())
    with tf.GradientTape() as tape:
        tape.watch(weights)
        losses = member_losses(structure)(weights, x, y, ENCODE.encoding)
    assert_allclose(losses, expected, rtol=1e-5)
    layer.set_flat_weights(tape.gradient(losses, weights).numpy())
    for variable, gradient in zip(layer.weights, gradients, strict=True):
        assert_allclose(variable, gradient, rtol=1e-4, atol=1e-5)


def test_a_structure_is_compiled_once() -> None:
    again = STRUCTURE._replace(min_scale=float(STRUCTURE.min_scale))
    assert training_steps(again, jit_compile=False) is training_steps(STRUCTURE, jit_compile=False)
    assert member_losses(again) is member_losses(STRUCTURE)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_full_covariances_are_trained_on_their_own_density(jit_compile: bool) -> None:  # noqa: FBT001
    # Without hidden layers the parameters are linear in the inputs, and seen at once.
    structure = Structure(((3, 6), (6,)), tf_keras.activations.tanh, 1, 2, 1e-6, "full")
    start = 0.3 * RNG.normal(size=(M, 24)).astype(np.float32)
    y = RNG.normal(size=(T, M, B, 2)).astype(np.float32)
    batches = Batches(BATCHES.x, y, BATCHES.weights)
    zeros = np.zeros_like(start)
    still = schedule()._replace(rate=np.zeros(T, np.float32), decay=np.zeros(T, np.float32))
    state, losses = training_steps(structure, jit_compile=jit_compile)(
        State(start, zeros, zeros, start), batches, still, MEMBER_RATES, ENCODE.encoding
    )
    assert_array_equal(state.weights, start)
    for member in range(M):
        kernel, bias = start[member, :18].reshape(3, 6), start[member, 18:]
        params = ENCODE(BATCHES.x[:, member]) @ kernel + bias
        rows = -MixtureMultivariateNormal(1, 2)(params).log_prob(y[:, member])
        expected = (BATCHES.weights[:, member] * rows).numpy().mean()
        assert losses.numpy()[member] == pytest.approx(expected, rel=1e-4)
    moving = schedule()
    after, _ = training_steps(structure, jit_compile=jit_compile)(
        State(start, zeros, zeros, start), batches, moving, MEMBER_RATES, ENCODE.encoding
    )
    assert np.isfinite(after.weights).all()
    assert (after.weights.numpy() != start).mean() > 0.9


@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_missing_dimensions_are_left_out_of_the_training(covariance_type: str) -> None:
    layer = MemberNetwork(M, K, 2, hidden_units=(4,), covariance_type=covariance_type)
    layer(ENCODE(BATCHES.x[0, 0]))
    layer.start(RNG.normal(size=layer.shapes[-1]), seed=2)
    structure = Structure(layer.shapes, layer.activation, K, 2, 1e-3, covariance_type)
    structure = structure._replace(has_missing=True)
    y = RNG.normal(size=(T, M, B, 2)).astype(np.float32)
    y[RNG.random(y.shape) < 0.4] = np.nan
    start = layer.flat_weights()
    losses = member_losses(structure)(start, BATCHES.x[0], y[0], ENCODE.encoding)
    head = head_class(covariance_type)(K, (2,), min_scale=1e-3)
    mixture = head(apply_members(layer.weights, ENCODE(BATCHES.x[0]), layer.activation))
    expected = NLLLoss(missing="marginalise", reduction="none")(y[0], mixture)
    assert_allclose(losses, expected, rtol=1e-5, atol=1e-6)
    zeros = np.zeros_like(start)
    state, means = training_steps(structure, jit_compile=True)(
        State(start, zeros, zeros, start),
        BATCHES._replace(y=y),
        schedule(0.1),
        MEMBER_RATES,
        ENCODE.encoding,
    )
    assert all(np.isfinite(part).all() for part in (*state, means))


@pytest.mark.parametrize("has_missing", [False, True])
def test_on_a_lattice_the_probability_of_the_interval_is_trained(has_missing: bool) -> None:  # noqa: FBT001
    layer = MemberNetwork(M, K, 2, hidden_units=(4,))
    layer(ENCODE(BATCHES.x[0, 0]))
    layer.start(RNG.normal(size=layer.shapes[-1]), seed=2)
    half_steps = (0.25, 0.0)  # the second dimension keeps its density
    structure = Structure(layer.shapes, layer.activation, K, 2, 1e-3)._replace(
        has_missing=has_missing, half_steps=half_steps
    )
    y = np.round(2 * RNG.normal(size=(T, M, B, 2))).astype(np.float32) / 2
    if has_missing:
        y[RNG.random(y.shape) < 0.3] = np.nan
    start = layer.flat_weights()
    losses = member_losses(structure)(start, BATCHES.x[0], y[0], ENCODE.encoding)
    for member in range(M):
        answers = apply_members(layer.weights, ENCODE(BATCHES.x[0]), layer.activation)[member]
        p = extract_parameters(MixtureNormal(K, (2,), min_scale=1e-3)(answers))
        scales, target = np.sqrt(p.variances), y[0, member]
        first, second = (target[:, None, d] for d in range(2))
        normals = [stats.norm(p.means[..., d], scales[..., d]) for d in range(2)]
        inside = normals[0].cdf(first + 0.25) - normals[0].cdf(first - 0.25)
        parts = [np.where(np.isnan(first), 1.0, inside), normals[1].pdf(second)]
        parts[1] = np.where(np.isnan(second), 1.0, parts[1])
        expected = -np.log((p.weights * parts[0] * parts[1]).sum(axis=1))
        assert_allclose(losses[member], expected, rtol=1e-4, atol=1e-5)
    zeros = np.zeros_like(start)
    state, _ = training_steps(structure, jit_compile=True)(
        State(start, zeros, zeros, start),
        BATCHES._replace(y=y),
        schedule(0.1),
        MEMBER_RATES,
        ENCODE.encoding,
    )
    assert all(np.isfinite(part).all() for part in state)


def noise_of(seed: tuple[int, int], size: float, rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    zeros = Batches(tf.zeros((2, rows, 3)), tf.zeros((2, rows, 1)), None)
    now = Schedule(None, None, np.float32(size), None, np.array(seed, np.int32))
    x, y = _with_noise(zeros, now)
    return x.numpy(), y.numpy()


def test_noise_is_normal_of_the_size_asked_for_and_independent() -> None:
    x, y = noise_of((0, 0), 0.5)
    assert x.std() == pytest.approx(0.5, rel=0.03)
    assert y.std() == pytest.approx(0.5, rel=0.03)
    columns = np.concatenate([x, y], axis=-1).transpose(1, 0, 2).reshape(4000, 8)
    correlations = np.corrcoef(columns, rowvar=False) - np.eye(8)
    assert np.abs(correlations).max() < 5 / np.sqrt(4000)
    assert np.abs(np.quantile(x / 0.5, [0.025, 0.975]) - [-1.96, 1.96]).max() < 0.08


def test_noise_is_decided_by_its_seed_and_fresh_at_each_step() -> None:
    tf.random.set_seed(1)
    first = noise_of((4, 0), 1.0)[0]
    tf.random.set_seed(2)
    assert_array_equal(noise_of((4, 0), 1.0)[0], first)
    for seed in ((4, 1), (5, 0)):
        assert (noise_of(seed, 1.0)[0] != first).mean() > 0.999
    assert not noise_of((4, 0), 0.0)[0].any()


def test_noise_changes_the_course_of_the_training() -> None:
    quiet, noisy, again = run()[0], run(noise=0.3)[0], run(noise=0.3)[0]
    assert_array_equal(noisy.weights, again.weights)
    assert (np.abs(noisy.weights - quiet.weights).max(axis=1) > 1e-3).all()
