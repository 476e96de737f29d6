"""The training recipe: its split, its steps, its noise, and what it promises about seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfp_mdn.models import build_mdn
from tfp_mdn.recipe import _noisy_batches, _split, train_with_recipe

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 1))
Y = X + 0.1 * RNG.normal(size=(50, 1))
ONES = np.ones(50)


def train(x: Any = X, y: Any = Y, sample_weight: Any = ONES, **options: Any) -> tuple[Any, Any]:
    """Return the network and the history of a short run."""
    network = build_mdn(2, hidden_units=(4,), input_size=1, seed=0)
    settings = {
        **{"learning_rate": 0.01, "batch_size": 16, "num_steps": 40, "noise": 0.2},
        **{"validation_fraction": 0.2, "rng": np.random.RandomState(0)},
        **options,
    }
    return network, train_with_recipe(network, x, y, sample_weight, **settings)


class Count(tf_keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.checks = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.checks += 1


@pytest.fixture(scope="module")
def run() -> tuple[Any, Any, Any]:
    """Return the network, the history and the callback of a run of 100 steps."""
    counter = Count()
    network, history = train(num_steps=100, callbacks=[counter])
    return network, history, counter


def test_history_is_one_entry_a_check(run: tuple[Any, Any, Any]) -> None:
    _, history, counter = run
    # 100 steps make 34 checks of 3 steps, the fewest that are not more than 40 checks.
    assert history["step"] == [3.0 * check for check in range(1, 35)]
    assert len(history["loss"]) == len(history["val_loss"]) == counter.checks == 34
    assert np.isfinite(history["loss"] + history["val_loss"]).all()
    assert history["val_loss"][-1] < history["val_loss"][0]


def test_the_best_weights_on_the_held_out_rows_are_left(run: tuple[Any, Any, Any]) -> None:
    network, history, _ = run
    _, held_out = _split(ONES, 0.2, np.random.RandomState(0))
    log_prob = network(X[held_out].astype(np.float32)).log_prob(Y[held_out].astype(np.float32))
    assert -np.mean(log_prob) == pytest.approx(min(history["val_loss"]), rel=1e-5)


@pytest.mark.parametrize(
    ("num_rows", "num_trained", "num_held_out"), [(1, 1, 1), (9, 9, 9), (10, 8, 2), (50, 40, 10)]
)
def test_few_rows_serve_for_both(num_rows: int, num_trained: int, num_held_out: int) -> None:
    given = np.concatenate([np.zeros(3), np.ones(num_rows)])
    training, held_out = _split(given, 0.2, np.random.RandomState(0))
    assert (len(training), len(held_out)) == (num_trained, num_held_out)
    assert set(training) | set(held_out) == set(range(3, num_rows + 3))
    assert bool(set(training) & set(held_out)) is (num_rows < 10)


@pytest.mark.parametrize("fraction", [1e-9, 1 - 1e-9])
def test_neither_part_of_the_split_is_empty(fraction: float) -> None:
    sizes = [len(part) for part in _split(ONES, fraction, np.random.RandomState(0))]
    assert sorted(sizes) == [1, 49]


def batches(
    noise: float, num_steps: int = 400, num_rows: int = 10, seed: int = 7
) -> list[np.ndarray]:
    column = np.arange(num_rows, dtype=np.float32)[:, None]
    data = [tf.constant(column), tf.constant(-column), tf.constant(column[:, 0])]
    size = np.full(1, noise, np.float32)
    drawn = list(_noisy_batches(data, 4, num_steps, size, 2 * size, seed).as_numpy_iterator())
    return [np.stack([batch[part] for batch in drawn]) for part in range(3)]


def test_every_row_is_seen_once_a_pass_in_a_new_order() -> None:
    x, y, given = batches(noise=0.0)
    np.testing.assert_array_equal(x, -y)
    np.testing.assert_array_equal(x[..., 0], given)
    passes = x.ravel().reshape(-1, 10)
    assert (np.sort(passes, axis=1) == np.arange(10)).all()
    assert len({tuple(order) for order in passes}) > 150
    # each row comes first in about a tenth of the passes
    first = np.bincount(passes[:, 0].astype(int), minlength=10)
    assert first.min() > 0
    assert first.max() < 40


def test_a_seed_decides_and_tensorflow_s_global_seed_does_not() -> None:
    drawn = []
    for seed, global_seed in ((0, 1), (0, 2), (1, 2)):
        tf.random.set_seed(global_seed)
        drawn.append(np.concatenate(batches(noise=0.5, num_steps=20, seed=seed)[:2]))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[1] != drawn[2]).all()


def test_noise_is_fresh_normal_and_fades() -> None:
    quiet, noisy = batches(noise=0.0), batches(noise=0.5)
    draws = (noisy[0] - quiet[0])[..., 0]
    fading = 0.5 * (1 - np.arange(400) / 400) ** 2
    standard = draws[:300] / fading[:300, None]
    assert abs(standard.mean()) < 4 / np.sqrt(standard.size)
    assert standard.std() == pytest.approx(1.0, abs=0.08)
    assert np.abs(draws[-4:]).max() < 1e-3
    of_y = ((noisy[1] - quiet[1])[..., 0])[:300] / (2 * fading[:300, None])
    assert of_y.std() == pytest.approx(1.0, abs=0.08)
    assert abs(np.corrcoef(standard.ravel(), of_y.ravel())[0, 1]) < 0.15
    np.testing.assert_array_equal(noisy[2], quiet[2])


def test_divergence_is_said() -> None:
    with pytest.raises(FloatingPointError, match=r"diverged: .*smaller learning_rate or a larger"):
        train(y=Y * 1e37, x=X)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be finite and greater than 0"),
        ({"learning_rate": "a"}, TypeError, "learning_rate must be a number"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"num_steps": 0}, ValueError, "num_steps must be at least 1"),
        ({"num_steps": 1.5}, TypeError, "num_steps must be an integer"),
        ({"noise": -0.1}, ValueError, "noise must be finite and at least 0"),
        ({"validation_fraction": 0.0}, ValueError, "validation_fraction must be finite and great"),
        ({"validation_fraction": 1.0}, ValueError, "less than 1, got 1.0"),
    ],
)
def test_bad_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        train(**options)
