"""Whole epochs of training as one compiled call, for any model that tf_keras can train."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from tfp_mdn._training_rows import Rows

__all__ = ["Judge", "KerasEpochs", "SpareModel", "warn_not_finite"]


class KerasEpochs:
    """Epochs by the model's own `train_step`: any optimizer, loss and metrics.

    Args:
        model: A compiled model that was built; it is referred to weakly.
        rows: Rows as it will be trained on.
        batch_size: Rows per step; what is left over makes a smaller last batch.
        jit_compile: Whether to compile with XLA.
    """

    def __init__(
        self, model: tf_keras.Model, rows: Rows, batch_size: int, *, jit_compile: bool
    ) -> None:
        self._model: Callable[[], Any] = weakref.ref(model)
        self.batch_size = batch_size
        self._in_full = rows.num_rows // batch_size * batch_size
        # Variables cannot be made inside the loop: those of the metrics are made by a first call.
        model.test_step(tf.nest.map_structure(lambda part: part[:1], tuple(rows)))
        model.optimizer.build(model.trainable_variables)
        self._run = tf.function(self._epoch, jit_compile=jit_compile, autograph=False)

    def __call__(
        self, rows: Rows, orders: NDArray[np.int32], at_once: int = 1
    ) -> list[Mapping[str, Any]]:
        """Train for the one epoch whose order of rows (1, N) is given; return its logs.

        An epoch whose loss is not finite leaves model and optimizer as they were.
        """
        self._model().reset_metrics()
        full = orders[0, : self._in_full].reshape(-1, self.batch_size)
        return [self._run(rows, tf.constant(full), tf.constant(orders[0, self._in_full :]))]

    def _epoch(self, rows: Rows, full: tf.Tensor, rest: tf.Tensor) -> Mapping[str, Any]:
        model = self._model()
        variables = [*model.variables, *model.optimizer.variables]
        before = [variable.read_value() for variable in variables]
        _over_batches(model.train_step, rows, full, rest)
        logs = model.get_metrics_result()
        _keep_if_finite(logs["loss"], variables, before)
        return logs


class Judge:
    """Judges a model on rows by its own `test_step`.

    Args:
        model: A compiled model; it is referred to weakly.
        num_rows: Number of rows N.
        batch_size: Rows per step.
    """

    def __init__(self, model: tf_keras.Model, num_rows: int, batch_size: int) -> None:
        self._model: Callable[[], Any] = weakref.ref(model)
        in_full = num_rows // batch_size * batch_size
        places = np.arange(num_rows, dtype=np.int32)
        self._full, self._rest = places[:in_full].reshape(-1, batch_size), places[in_full:]
        self._run = tf.function(self._judged, autograph=False)

    def __call__(self, rows: Rows) -> Mapping[str, Any]:
        """Return the loss and the metrics."""
        self._model().reset_metrics()
        return self._run(rows)

    def _judged(self, rows: Rows) -> Mapping[str, Any]:
        model = self._model()
        _over_batches(model.test_step, rows, tf.constant(self._full), tf.constant(self._rest))
        return model.get_metrics_result()


class SpareModel(tf_keras.callbacks.Callback):
    """Ends training at an epoch whose loss is not finite, and takes the model back before it."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remember what the epoch may spoil."""
        slots = self.model.optimizer.variables
        # A legacy optimizer has a method where the others have a property.
        self._variables = [*self.model.variables, *(slots() if callable(slots) else slots)]
        self._before = [variable.numpy() for variable in self._variables]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Put it back if the epoch did spoil it."""
        if not np.isfinite(logs["loss"]):
            warn_not_finite(logs["loss"], epoch, stacklevel=7)
            self.model.stop_training = True
            for variable, value in zip(self._variables, self._before, strict=True):
                variable.assign(value)


def warn_not_finite(loss: float, epoch: int, *, stacklevel: int) -> None:
    """Say that training ended at an epoch, counted from 0, and what to try."""
    warnings.warn(
        f"the loss was {loss} in epoch {epoch + 1}, so training ended; the model is as it was "
        "before that epoch. Try a lower learning rate, clipnorm=1.0 in the optimizer, or a larger "
        "min_scale.",
        stacklevel=stacklevel,
    )


def _keep_if_finite(loss: tf.Tensor, variables: list[Any], before: list[tf.Tensor]) -> None:
    """Put back what variables held before, unless the loss is finite."""
    for variable, old in zip(variables, before, strict=True):
        variable.assign(tf.where(tf.math.is_finite(loss), variable.read_value(), old))


def _over_batches(step: Callable[[Any], Any], rows: Rows, full: tf.Tensor, rest: tf.Tensor) -> None:
    """Call a step of Keras on batches of one size (S, B), and on a smaller last one (R,).

    What a step returns is in the variables of the model's metrics, too, summed over the steps.
    """

    def body(place: tf.Tensor) -> tf.Tensor:
        step(rows.take(full[place]))
        return place + 1

    tf.while_loop(lambda place: place < full.shape[0], body, [tf.constant(0)])
    if rest.shape[0]:
        step(rows.take(rest))
