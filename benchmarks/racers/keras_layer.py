"""Training and answers by keras-mdn-layer, whose backend is set by `KERAS_BACKEND`."""

from __future__ import annotations

import importlib
from typing import Any

import keras
import numpy as np

from benchmarks.racers.workloads import LEARNING_RATE, Array, Workload

__all__ = ["KerasMdnLayer", "keras_model"]

_STEPS_OF_FULL_BATCH = 500


def keras_model(workload: Workload, seed: int) -> Any:
    """Return the network with its mixture layer and the same start; its scales are elu + 1."""
    mdn = importlib.import_module("keras_mdn_layer")
    model = keras.Sequential(
        [
            keras.Input((workload.num_features,)),
            *(keras.layers.Dense(u, workload.activation) for u in workload.hidden_units),
            mdn.MDN(workload.event_size, workload.num_components),
        ]
    )
    *hidden, (kernel, bias) = workload.start(seed)
    count, size = workload.num_components, workload.event_size
    parts = np.split(np.arange(count * (1 + 2 * size)), [count, count * (1 + size)])
    heads = [(kernel[:, part], bias[part]) for part in (parts[1], parts[2], parts[0])]
    model.set_weights([array for layer in (*hidden, *heads) for array in layer])
    return model


class _StopAt(keras.callbacks.Callback):
    """Ends training once the held-out loss is low enough."""

    def __init__(self, target: float) -> None:
        super().__init__()
        self._target = target

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = logs["val_loss"] <= self._target


class KerasMdnLayer:
    """`model.fit` of Keras 3 with an epoch in one call of the compiled function.

    Args:
        workload: What is trained.
        seed: Seed of data, start and order.
    """

    def __init__(self, workload: Workload, seed: int) -> None:
        mdn = importlib.import_module("keras_mdn_layer")
        keras.utils.set_random_seed(seed)
        self._workload = workload
        self._rows, self._judged = workload.rows(seed), workload.held_out()
        self._model = keras_model(workload, seed)
        steps = _STEPS_OF_FULL_BATCH if workload.num_steps == 1 else workload.num_steps
        self._model.compile(
            keras.optimizers.Adam(LEARNING_RATE),
            loss=mdn.get_mixture_loss_func(workload.event_size, workload.num_components),
            steps_per_execution=steps,
        )

    def fit(self, epochs: int) -> None:
        """Train."""
        if self._workload.num_steps > 1:
            self._model.fit(
                *self._rows, batch_size=self._workload.batch_size, epochs=epochs, verbose=0
            )
        else:
            steps = min(epochs, _STEPS_OF_FULL_BATCH)
            self._model.fit(
                _Repeated(self._rows, steps), epochs=epochs // steps, shuffle=False, verbose=0
            )

    def fit_until(self, target: float, most: int) -> int:
        """Train until the held-out loss is this low; return the number of epochs."""
        history = self._model.fit(
            *self._rows,
            batch_size=self._workload.batch_size,
            epochs=most,
            validation_data=self._judged,
            validation_batch_size=len(self._judged[0]),
            callbacks=[_StopAt(target)],
            verbose=0,
        )
        return len(history.history["loss"])

    def held_out_loss(self) -> float:
        """Return the mean negative log-likelihood of held-out rows."""
        x, y = self._judged
        return float(self._model.evaluate(x, y, batch_size=len(x), verbose=0))


class _Repeated(keras.utils.PyDataset):
    """The same batch as many times as an epoch has steps."""

    def __init__(self, rows: tuple[Array, Array], steps: int) -> None:
        super().__init__()
        self._rows, self._steps = rows, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        return self._rows
