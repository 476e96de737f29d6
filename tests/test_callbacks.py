"""Callbacks: which weights a training run ends with, and a bar that only a terminal sees."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import tf_keras

from tfp_mdn.callbacks import KeepBestAverage, LossPrinter, ProgressBar

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
    assert lines == [f"check {check}/10 - loss 1.2500 - val_loss -0.5000" for check in (1, 2)]
