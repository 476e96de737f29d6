"""Training by `model.fit` of plain TensorFlow Probability, and by `fit_mdn`."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from benchmarks.racers.workloads import LEARNING_RATE, Dense, Workload
from tfp_mdn.losses import negative_log_likelihood
from tfp_mdn.models import build_mdn
from tfp_mdn.training import fit_mdn

__all__ = ["FitMdn", "Tfpl", "in_tfpl_order", "plain_model"]

# Steps of what stands for an epoch where the data are one batch.
_STEPS_OF_FULL_BATCH = 500


def plain_model(workload: Workload, start: list[Dense]) -> tf_keras.Model:
    """Return the network as the documentation of TFP writes it."""
    components, size = workload.num_components, workload.event_size
    model = tf_keras.Sequential(
        [
            tf_keras.Input((workload.num_features,)),
            *(tf_keras.layers.Dense(u, workload.activation) for u in workload.hidden_units),
            tf_keras.layers.Dense(tfp.layers.MixtureNormal.params_size(components, [size])),
            tfp.layers.MixtureNormal(components, [size]),
        ]
    )
    model.set_weights(in_tfpl_order(workload, start))
    return model


def in_tfpl_order(workload: Workload, start: list[Dense]) -> list[Any]:
    """Return weights as TFP has them: each component's scales next to its locations."""
    count, size = workload.num_components, workload.event_size
    pairs = np.arange(2 * count * size).reshape(2, count, size).transpose(1, 0, 2) + count
    columns = np.append(np.arange(count), pairs)
    *hidden, (kernel, bias) = start
    layers = [*hidden, (kernel[:, columns], bias[columns])]
    return [array for layer in layers for array in layer]


class _StopAt(tf_keras.callbacks.Callback):
    """Ends training once the held-out loss is low enough."""

    def __init__(self, target: float) -> None:
        super().__init__()
        self._target = target

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = logs["val_loss"] <= self._target


class Tfpl:
    """`model.fit` with a lambda for a loss.

    Args:
        workload: What is trained.
        seed: Seed of data, start and order.
        at_once: Whether a call of the compiled function runs an epoch rather than a step.
    """

    def __init__(self, workload: Workload, seed: int, *, at_once: bool = False) -> None:
        tf_keras.utils.set_random_seed(seed)
        self._workload, self._at_once = workload, at_once
        self._rows, self._judged = workload.rows(seed), workload.held_out()
        self._model = plain_model(workload, workload.start(seed))
        steps = _STEPS_OF_FULL_BATCH if workload.num_steps == 1 else workload.num_steps
        self._model.compile(
            tf_keras.optimizers.Adam(LEARNING_RATE),
            loss=lambda y, density: -density.log_prob(y),
            steps_per_execution=steps if at_once else 1,
        )

    def fit(self, epochs: int) -> None:
        """Train."""
        if self._workload.num_steps > 1:
            self._model.fit(
                *self._rows, batch_size=self._workload.batch_size, epochs=epochs, verbose=0
            )
        else:
            # As the published recipes do: an iterator made for each step would cost more than it.
            data = tf.data.Dataset.from_tensors(self._rows).repeat()
            steps = min(epochs, _STEPS_OF_FULL_BATCH)
            self._model.fit(data, steps_per_epoch=steps, epochs=epochs // steps, verbose=0)

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
        return float(-tf.reduce_mean(self._model(x).log_prob(y)))


class FitMdn:
    """`fit_mdn` on a model of `build_mdn`.

    Args:
        workload: What is trained.
        seed: Seed of data, start and order.
        jit_compile: Whether XLA compiles.
    """

    def __init__(self, workload: Workload, seed: int, *, jit_compile: bool | str = "auto") -> None:
        self._workload, self._seed, self._jit_compile = workload, seed, jit_compile
        self._rows, self._judged = workload.rows(seed), workload.held_out()
        self._model = build_mdn(
            workload.num_components,
            workload.event_size,
            hidden_units=workload.hidden_units,
            activation=workload.activation,
            input_size=workload.num_features,
        )
        self._model.set_weights(in_tfpl_order(workload, workload.start(seed)))
        adam = tf_keras.optimizers.Adam(LEARNING_RATE)
        self._model.compile(adam, loss=negative_log_likelihood)

    def fit(self, epochs: int) -> None:
        """Train."""
        self._fit(epochs)

    def fit_until(self, target: float, most: int) -> int:
        """Train until the held-out loss is this low; return the number of epochs."""
        history = self._fit(most, validation_data=self._judged, callbacks=[_StopAt(target)])
        return len(history.history["loss"])

    def held_out_loss(self) -> float:
        """Return the mean negative log-likelihood of held-out rows."""
        x, y = self._judged
        return float(-tf.reduce_mean(self._model(x).log_prob(y)))

    def _fit(self, epochs: int, **options: Any) -> Any:
        return fit_mdn(
            self._model,
            *self._rows,
            epochs=epochs,
            batch_size=self._workload.batch_size,
            seed=self._seed,
            jit_compile=self._jit_compile,
            **options,
        )
