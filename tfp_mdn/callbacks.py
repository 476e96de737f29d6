"""Callbacks for training mixture density networks with tf_keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras

__all__ = ["KeepBestAverage"]


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
