"""Callbacks: which weights a training ends with, bars, and components that died."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import tf_keras

from tfp_mdn.callbacks import (
    ComponentUsage,
    KeepBestAverage,
    LossPrinter,
    ProgressBar,
    _split_component,
)
from tfp_mdn.extraction import extract_parameters
from tfp_mdn.layers import MixtureNormal
from tfp_mdn.losses import negative_log_likelihood
from tfp_mdn.models import build_mdn
from tfp_mdn.training import fit_mdn

X, Y = np.ones((4, 1), np.float32), np.zeros((4, 1), np.float32)


def linear(*, start: float = 1.0, rate: float = 0.1, use_ema: bool = True) -> tf_keras.Model:
    """Return y = w x with one weight, whose every step by hand is w -= 2 rate w."""
    kernel = tf_keras.initializers.Constant(start)
    dense = tf_keras.layers.Dense(1, use_bias=False, kernel_initializer=kernel)
    model = tf_keras.Sequential([tf_keras.Input((1,)), dense])
    options = {"use_ema": True, "ema_momentum": 0.5} if use_ema else {}
    model.compile(tf_keras.optimizers.SGD(rate, **options), "mse")
    return model


def weight(model: tf_keras.Model) -> float:
    return float(model.get_weights()[0].item())


class Recorder(tf_keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.weights: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.weights.append(weight(self.model))


@pytest.mark.parametrize("rate", [0.1, 1.05])
def test_the_best_average_is_kept_and_training_goes_on_from_the_weights(rate: float) -> None:
    # At 0.1 the weight decays to 0; at 1.05 it swings -1.1-fold a step, and only averages help.
    model, best, steps = linear(rate=rate), KeepBestAverage(), Recorder()
    history = model.fit(
        X, Y, epochs=5, validation_data=(X, Y), callbacks=[best, steps], verbose=0
    ).history
    path = (1 - 2 * rate) ** np.arange(1, 6)
    np.testing.assert_allclose(steps.weights, path, rtol=1e-5)
    averages, average = [], 1.0
    for value in path:
        average = 0.5 * average + 0.5 * value
        averages.append(average)
    np.testing.assert_allclose(history["val_loss"], np.square(averages), rtol=1e-4)
    assert best.best_loss == pytest.approx(min(np.square(averages)), rel=1e-4)
    expected = averages[int(np.argmin(np.square(averages)))]
    assert weight(model) == pytest.approx(expected, rel=1e-4)


def test_a_loss_that_is_never_finite_is_never_kept() -> None:
    model, best = linear(), KeepBestAverage()
    model.fit(X, Y, validation_data=(X, Y * np.nan), callbacks=[best], verbose=0)
    assert best.best_loss == np.inf
    # What Keras leaves by itself at the end: the average of 1.0 and 0.8.
    assert weight(model) == pytest.approx(0.9)


def test_without_averages_the_best_weights_are_kept() -> None:
    model = linear(rate=1.05, use_ema=False)
    model.fit(X, Y, epochs=4, validation_data=(X, Y), callbacks=[KeepBestAverage()], verbose=0)
    assert weight(model) == pytest.approx(-1.1, rel=1e-5)


def test_the_bar_is_silent_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar()
    linear().fit(X, Y, epochs=2, validation_data=(X, Y), callbacks=[bar], verbose=0)
    linear().fit(X, Y, epochs=1, callbacks=[bar], verbose=0)
    bar.close()
    captured = capfd.readouterr()
    assert (captured.out, captured.err.strip()) == ("", "")


def test_the_bar_shows_losses_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    bar = ProgressBar()
    linear().fit(X, Y, epochs=2, validation_data=(X, Y), callbacks=[bar], verbose=0)
    shown = capsys.readouterr().err
    assert "training" in shown
    assert "held-out" in shown
    assert "100%" in shown


def test_the_bar_names_the_extra_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(ImportError, match=r'needs the package rich: pip install "tfp-mdn\[cli\]"'):
        linear().fit(X, Y, callbacks=[ProgressBar()], verbose=0)


def shown(printer: LossPrinter, checks: int, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what is printed in a training of ten checks that ends after so many."""
    printer.set_params({"epochs": 10})
    printer.on_train_begin()
    for check in range(checks):
        printer.on_epoch_end(check, {"loss": 1.25, "val_loss": -0.5})
    printer.on_train_end()
    return capsys.readouterr().out


@pytest.mark.parametrize("checks", [1, 4, 10])
def test_a_bar_of_losses_ends_its_line(checks: int, capsys: pytest.CaptureFixture[str]) -> None:
    printed = shown(LossPrinter(1), checks, capsys)
    assert f"{checks}/10" in printed
    assert "loss: 1.2500 - val_loss: -0.5000" in printed
    assert printed.endswith("\n")


def test_a_bar_shows_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert "ETA" in shown(LossPrinter(1), 1, capsys)


def test_no_check_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(LossPrinter(1), 0, capsys) == shown(LossPrinter(2), 0, capsys) == ""


def test_lines_of_losses(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(LossPrinter(2), 2, capsys).splitlines()
    assert lines == [f"epoch {epoch}/10 - loss 1.2500 - val_loss -0.5000" for epoch in (1, 2)]


def killed(optimizer: Any = None, *, num_alive: int = 2) -> tf_keras.Model:
    """Return a model of six components, the last of which were given no weight and no data."""
    model = build_mdn(6, hidden_units=(16,), input_size=1, seed=0)
    dense = model.layers[-2]
    kernel, bias = dense.get_weights()
    bias[num_alive:6], bias[6 + 2 * num_alive :: 2] = -40.0, 50.0
    dense.set_weights([kernel, bias])
    model.compile(optimizer or tf_keras.optimizers.Adam(0.01), negative_log_likelihood)
    return model


def branches(num_rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of four branches, for which two components are too few."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.0, 1.0, (num_rows, 1))
    y = x + 2.0 * rng.integers(0, 4, (num_rows, 1)) + 0.1 * rng.normal(size=(num_rows, 1))
    return x.astype(np.float32), y.astype(np.float32)


@pytest.mark.parametrize("fit", ["model.fit", "fit_mdn"])
def test_restarted_components_explain_what_dead_ones_left(fit: str) -> None:
    x, y = branches()
    lowest, dead = {}, {}
    for restart in (False, True):
        model, usage = killed(), ComponentUsage(x, restart_dead=restart)
        options: dict[str, Any] = {"epochs": 60, "batch_size": 100, "callbacks": [usage]}
        if fit == "fit_mdn":
            history = fit_mdn(model, x, y, **options, seed=0, verbose=0).history
        else:
            tf_keras.utils.set_random_seed(0)
            history = model.fit(x, y, **options, verbose=0).history
        lowest[restart], dead[restart] = history["loss"][-1], history["dead_components"]
        assert ("restarted_components" in history) is restart
    assert dead[False] == [4.0] * 60
    assert dead[True][0] == 4.0
    assert dead[True][-1] == 0.0
    assert history["restarted_components"][0] == 4.0
    assert lowest[True] < lowest[False] - 0.3


def test_a_split_halves_the_weight_and_moves_the_means_apart() -> None:
    x, y = branches(50)
    model = killed(tf_keras.optimizers.SGD(0.0), num_alive=5)
    before = extract_parameters(model, x)
    usage = ComponentUsage(x, restart_dead=True, every=2)
    options: dict[str, Any] = {"callbacks": [usage], "verbose": 0}
    # Every second epoch, and never the last one.
    history = model.fit(x, y, epochs=2, **options).history
    assert history["restarted_components"] == [0.0, 0.0]
    history = model.fit(x, y, epochs=3, **options).history
    assert history["dead_components"] == [1.0, 1.0, 0.0]
    assert history["restarted_components"] == [0.0, 1.0, 0.0]
    after = extract_parameters(model, x)
    heaviest = int(before.weights.mean(axis=0).argmax())
    for k in (heaviest, 5):
        np.testing.assert_allclose(after.weights[:, k], 0.5 * before.weights[:, heaviest], 1e-5)
        np.testing.assert_allclose(after.variances[:, k], before.variances[:, heaviest], 1e-5)
    np.testing.assert_allclose(after.mean(), before.mean(), atol=1e-5)
    gap = after.means[:, heaviest, 0] - after.means[:, 5, 0]
    np.testing.assert_allclose(gap, np.sqrt(before.variances[:, heaviest, 0]).mean(), rtol=1e-4)


def test_the_other_dimensions_take_their_turn() -> None:
    model = build_mdn(4, event_size=2, hidden_units=(4,), input_size=1, seed=0)
    dense = model.layers[-2]
    kernel, bias = dense.get_weights()
    bias[2:4] = -40.0
    dense.set_weights([kernel, bias])
    model.compile(tf_keras.optimizers.SGD(0.0), negative_log_likelihood)
    x, y = np.zeros((8, 1)), np.zeros((8, 2))
    model.fit(x, y, epochs=2, callbacks=[ComponentUsage(x, restart_dead=True)], verbose=0)
    after = extract_parameters(model, x[:1])
    first, second = (
        np.abs(after.means[0, np.delete(np.arange(4), k)] - after.means[0, k]) for k in (2, 3)
    )
    # Each has a sibling that differs in one dimension alone, the first or the second.
    assert ((first[:, 1] < 1e-6) & (first[:, 0] > 0.1)).any()
    assert ((second[:, 0] < 1e-6) & (second[:, 1] > 0.1)).any()


@pytest.mark.parametrize(
    "optimizer",
    [
        tf_keras.optimizers.Adam(1e-3, use_ema=True),
        tf_keras.optimizers.SGD(1e-3, momentum=0.9),
        tf_keras.optimizers.legacy.Adam(1e-3),
    ],
    ids=["Adam", "SGD", "legacy Adam"],
)
def test_what_the_optimizer_stored_of_split_columns_starts_again(optimizer: Any) -> None:
    x, y = branches(50)
    model = killed(optimizer, num_alive=5)
    model.fit(x, y, epochs=3, verbose=0)
    dense = model.layers[-2]
    # Components 0 and 5 of six, each a logit, a location and a scale.
    columns, others = np.array([0, 6, 7, 5, 16, 17]), np.array([1, 2, 3, 4, 8, 9, 10, 11])
    _split_component(model, 0, 5, np.array([0.1]))
    all_variables = optimizer.variables
    slots = all_variables() if callable(all_variables) else all_variables
    moments = [slot for slot in slots if slot.shape == dense.kernel.shape]
    assert moments
    for slot in moments:
        values = slot.numpy()
        if slot.name.startswith("average/"):
            np.testing.assert_array_equal(values[:, columns], dense.kernel.numpy()[:, columns])
        else:
            assert (values[:, columns] == 0.0).all()
        assert (values[:, others] != 0.0).any()


def without_bias() -> tf_keras.Model:
    layers = [tf_keras.layers.Dense(6, use_bias=False), MixtureNormal(2)]
    model = tf_keras.Sequential([tf_keras.Input((1,)), *layers])
    model.compile("sgd", negative_log_likelihood)
    return model


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ComponentUsage([[np.nan]]), ValueError, "x must be finite"),
        (lambda: ComponentUsage([["a"]]), TypeError, "x must hold real numbers"),
        (lambda: ComponentUsage(X, threshold=0.0), ValueError, "threshold must be .* greater"),
        (
            lambda: ComponentUsage(X, threshold=cast(Any, "1%")),
            TypeError,
            "threshold must be a number",
        ),
        (
            lambda: ComponentUsage(X, restart_dead=cast(Any, 1)),
            TypeError,
            "restart_dead must be True or Fal",
        ),
        (lambda: ComponentUsage(X, every=0), ValueError, "every must be at least 1"),
        (
            lambda: linear().fit(X, Y, callbacks=[ComponentUsage(X)], verbose=0),
            TypeError,
            "ComponentUsage needs a model that returns a mixture",
        ),
        (
            lambda: linear().fit(X, Y, callbacks=[ComponentUsage(X, restart_dead=True)], verbose=0),
            TypeError,
            "restart_dead needs a model that ends in Dense and a mixture",
        ),
        (
            lambda: without_bias().fit(X, Y, callbacks=[ComponentUsage(X, restart_dead=True)]),
            TypeError,
            "restart_dead needs a Dense layer with a bias before the mixture, got Dense",
        ),
    ],
)
def test_bad_usage(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_count_needs_no_other_logs() -> None:
    usage = ComponentUsage(X)
    usage.set_model(without_bias())
    usage.on_train_begin()
    usage.on_epoch_end(0)
    logs: dict[str, float] = {}
    usage.on_epoch_end(0, logs)
    assert logs == {"dead_components": 0.0}
