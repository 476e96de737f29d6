"""Callbacks for training mixture density networks with tf_keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras

__all__ = ["KeepBestAverage", "LossPrinter", "ProgressBar"]


class KeepBestAverage(tf_keras.callbacks.Callback):
    """Validates the running average of the weights, and ends training with the best one seen.

    The model must be compiled with an optimizer that has `use_ema=True`. Averaging takes the
    noise of the last steps out of the weights (Polyak & Juditsky 1992,
    doi:10.1137/0330046); training itself goes on from the weights as they are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.best_loss = np.inf
        self._best_weights: list[Any] | None = None
        self._current_weights: list[Any] = []

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Put the averages in place of the weights."""
        self._current_weights = self.model.get_weights()
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Remember averages that are the best so far, and put the weights back."""
        loss = (logs or {})["loss"]
        if loss < self.best_loss:
            self.best_loss = loss
            self._best_weights = self.model.get_weights()
        self.model.set_weights(self._current_weights)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Leave the model with the best averages."""
        if self._best_weights is not None:
            self.model.set_weights(self._best_weights)


class LossPrinter(tf_keras.callbacks.Callback):
    """Prints the losses of each epoch, as a bar with the time left or as a line.

    Args:
        verbose: 1 for a bar, anything else for a line at each epoch.
    """

    def __init__(self, verbose: int = 1) -> None:
        super().__init__()
        self._as_bar = verbose == 1
        self._bar: Any = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Open the bar."""
        self._num_done = 0
        self._bar = tf_keras.utils.Progbar(
            self.params["epochs"], stateful_metrics=["loss", "val_loss"], unit_name="check"
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Advance the bar, or print the line."""
        logs, self._num_done = logs or {}, epoch + 1
        if self._as_bar:
            self._bar.update(epoch + 1, list(logs.items()))
        else:
            losses = " - ".join(f"{name} {value:.4f}" for name, value in logs.items())
            print(f"check {epoch + 1}/{self.params['epochs']} - {losses}")

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """End the line of a bar that was not filled."""
        if self._as_bar and 0 < self._num_done < self.params["epochs"]:
            self._bar.update(self._num_done, finalize=True)


class ProgressBar(tf_keras.callbacks.Callback):
    """Shows a bar with the losses and the remaining time on a terminal, and nothing elsewhere.

    It needs the package `rich`, which comes with the extra "cli".
    """

    def __init__(self) -> None:
        super().__init__()
        self._progress: Any = None
        self._task: Any = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Open the bar."""
        try:
            from rich import console, progress
        except ImportError as error:
            msg = 'ProgressBar needs the package rich: pip install "tfp-mdn[cli]".'
            raise ImportError(msg) from error
        terminal = console.Console(stderr=True)
        self._progress = progress.Progress(
            progress.TextColumn("training"),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[losses]}"),
            progress.TimeRemainingColumn(),
            console=terminal,
            disable=not terminal.is_terminal,
        )
        self._task = self._progress.add_task("", total=self.params["epochs"], losses="")
        self._progress.start()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Advance the bar."""
        logs = logs or {}
        losses = f"loss {logs['loss']:.3f}"
        if "val_loss" in logs:
            losses += f"  held-out {logs['val_loss']:.3f} nats"
        self._progress.update(self._task, completed=epoch + 1, losses=losses)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Give the terminal back, also after training was interrupted."""
        if self._progress is not None:
            self._progress.stop()
