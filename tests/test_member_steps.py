"""Compiled training steps: against AdamW of tf_keras on separate networks, and their noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from numpy.testing import assert_allclose, assert_array_equal

from tfp_mdn._member_steps import (
    Batches,
    Schedule,
    State,
    Structure,
    _with_noise,
    member_losses,
    training_steps,
)
from tfp_mdn.layers import MixtureMultivariateNormal
from tfp_mdn.preprocessing import PiecewiseLinear

M, K, B, T = 2, 2, 6, 5
RATE, DECAY = 0.05, 0.4
ENCODE = PiecewiseLinear([[-1.0, 0.0, 1.0]])  # one feature in, three out
STRUCTURE = Structure(((3, 4), (4,), (4, 6), (6,)), tf_keras.activations.tanh, K, 1, 1e-6)
RNG = np.random.default_rng(3)
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
    model.set_weights([parts[0].reshape(3, 4), parts[1], parts[2].reshape(4, 6), parts[3]])
    return model


def flat(model: tf_keras.Model) -> np.ndarray:
    return np.concatenate([part.ravel() for part in model.get_weights()])


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
