"""The rows that a model is trained on, as tensors that stay where the training runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from tfp_mdn._model_data import checked_data
from tfp_mdn._validation import as_finite_array

__all__ = [
    "Batches",
    "Rows",
    "SkipDone",
    "as_training_rows",
    "is_stream",
    "last_rows_held_out",
    "orders_of",
]


class Rows(NamedTuple):
    """What a model is trained or judged on, each part with the rows along its first axis."""

    x: Any  # a tensor, or a list or dictionary of them
    y: tf.Tensor
    weights: tf.Tensor  # (N,), or (N, T) for the steps of sequences

    @property
    def num_rows(self) -> int:
        """Number of rows N."""
        return int(self.weights.shape[0])

    def take(self, chosen: Any) -> tuple[Any, tf.Tensor, tf.Tensor]:
        """Return inputs, targets and weights of the rows with these numbers."""
        x, y, weights = tf.nest.map_structure(lambda part: tf.gather(part, chosen), tuple(self))
        return x, y, weights


class Batches(tf_keras.utils.Sequence):
    """Batches of rows in given orders, as `model.fit` reads them.

    Args:
        rows: The rows.
        batch_size: Rows of a batch; the last one may be smaller.
        orders: Source of an order of the rows (N,) for each epoch.
    """

    def __init__(self, rows: Rows, batch_size: int, orders: Iterator[NDArray[np.int32]]) -> None:
        self._rows, self._batch_size, self._orders = rows, batch_size, orders
        self._order = next(orders)

    @property
    def num_steps(self) -> int:
        """Number of batches of an epoch."""
        return len(self)

    def skip(self, steps: int) -> None:
        """Begin with the epoch that this batch is in."""
        for _ in range(steps // len(self)):
            self._order = next(self._orders)

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-self._rows.num_rows // self._batch_size)

    def __getitem__(self, place: int) -> tuple[Any, ...]:
        """Return inputs, targets and weights of a batch."""
        chosen = self._order[place * self._batch_size : (place + 1) * self._batch_size]
        return self._rows.take(chosen)

    def on_epoch_end(self) -> None:
        """Take the next order."""
        self._order = next(self._orders)


class SkipDone(tf_keras.callbacks.Callback):
    """Skips the batches that an interrupted run has been through, so that no order comes twice.

    Args:
        batches: `Batches`, or another source with `num_steps` of an epoch and `skip`.
    """

    def __init__(self, batches: Any) -> None:
        super().__init__()
        self._batches = batches

    def on_train_begin(self, logs: Any = None) -> None:
        """Ask where training goes on, which `BackupAndRestore` knows by now."""
        steps = self._batches.num_steps
        epoch, step = self.model._maybe_load_initial_counters_from_ckpt(steps, 0)
        self._batches.skip(int(epoch) * steps + int(step))


def is_stream(x: Any) -> bool:
    """Tell whether data are used up as they are read, like a `tf.data.Dataset` or a generator."""
    return not (
        isinstance(x, np.ndarray | tf.Tensor | list | tuple | dict)
        or hasattr(x, "iloc")
        or hasattr(x, "__array__")
    )


def as_training_rows(
    model: tf_keras.Model, x: Any, y: Any, sample_weight: Any = None, *, prefix: str = ""
) -> Rows:
    """Return arrays as tensors, of the number types that `model.fit` would give them.

    Raises:
        TypeError: If they do not hold numbers.
        ValueError: If they are missing, empty, not finite, or of uneven length, or if weights are
            negative, or not one for each row or each step of sequences.
    """
    if y is None:
        msg = f"{prefix}y must be given: the targets to train on."
        raise ValueError(msg)
    x, y = checked_data(model, x, y, sample_weight, prefix=prefix)
    x, y = tf.nest.map_structure(_as_tensor, x), _as_tensor(y)
    expected = getattr(model, "output_shape", None)
    if isinstance(expected, tuple) and len(expected) == 1:
        # Of batches that are read one by one, the loss would see no size to go by.
        y = tf.reshape(y, [-1])
    num_rows = int(y.shape[0])
    if sample_weight is None:
        return Rows(x, y, tf.ones(num_rows))
    weights = as_finite_array(f"{prefix}sample_weight", sample_weight)
    # Targets (N, T) without a last axis could be (N, D) as well.
    steps = tuple(y.shape[:-1]) if len(y.shape) > 2 else None
    if weights.shape not in ((num_rows,), steps) or (weights < 0).any():
        per_step = (
            "; for one a step, y must have shape (N, T, D)"
            if steps is None
            else f", or for each of their steps, in shape {steps}"
        )
        msg = (
            f"{prefix}sample_weight must hold one number of at least 0 for each of {num_rows} "
            f"rows{per_step if weights.ndim > 1 else ''}, got shape {weights.shape} and a minimum "
            f"of {weights.min():g}."
        )
        raise ValueError(msg)
    return Rows(x, y, tf.constant(weights, tf.float32))


def last_rows_held_out(rows: Rows, share: float) -> tuple[Rows, Rows]:
    """Return the first rows, and the last ones of that share, as `model.fit` splits them.

    Raises:
        ValueError: If one of the parts would be empty.
    """
    first = int(rows.num_rows * (1.0 - share))
    if not 0 < first < rows.num_rows:
        msg = f"validation_split of {share:g} leaves no rows on one side of {rows.num_rows}."
        raise ValueError(msg)
    return (
        tf.nest.map_structure(lambda part: part[:first], rows),
        tf.nest.map_structure(lambda part: part[first:], rows),
    )


def orders_of(
    num_rows: int, rng: np.random.Generator, *, shuffle: bool
) -> Iterator[NDArray[np.int32]]:
    """Yield an order of the rows (N,) for each epoch, without end."""
    while True:
        order = rng.permutation(num_rows) if shuffle else np.arange(num_rows)
        yield order.astype(np.int32)


def _as_tensor(values: Any) -> tf.Tensor:
    if isinstance(values, tf.Tensor):
        return values
    array = np.asarray(values)
    return tf.constant(array, tf_keras.backend.floatx() if array.dtype.kind == "f" else None)
