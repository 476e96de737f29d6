"""Batches of rows of which each device of each machine gets its share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfp_mdn._training_rows import Rows

__all__ = ["ReplicaBatches"]


class ReplicaBatches:
    """Batches of rows in given orders, of which each replica gets its share.

    Args:
        strategy: The strategy.
        rows: The rows, all of them in every worker.
        batch_size: Rows of a batch over all replicas; the last one may be smaller.
        orders: Source of an order of the rows (N,) for each epoch.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        rows: Rows,
        batch_size: int,
        orders: Iterator[NDArray[np.int32]],
    ) -> None:
        self._strategy, self._batch_size, self._orders = strategy, batch_size, orders
        with tf.device("CPU"):
            self._rows = Rows(*tf.nest.map_structure(tf.identity, tuple(rows)))
        self.num_steps = -(-rows.num_rows // batch_size)
        self._done = 0
        replicas = strategy.num_replicas_in_sync
        last = rows.num_rows - (self.num_steps - 1) * batch_size
        sizes = {last, *([batch_size] if self.num_steps > 1 else [])}
        self.uneven = any(size % replicas for size in sizes)

    def skip(self, steps: int) -> None:
        """Begin after so many batches, which an interrupted run has been through."""
        self._done = steps

    def distributed(self) -> Any:
        """Return the batches without end, as `model.fit` takes them under the strategy."""
        return self._strategy.distribute_datasets_from_function(self._of_worker)

    def _of_worker(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * local
        chosen = tf.data.Dataset.from_generator(
            lambda: self._chosen(slice(first, first + local)),
            output_signature=tf.TensorSpec((None,), tf.int32),
        )
        # Without a known cardinality, the workers would ask each other at each batch for more.
        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        return chosen.map(self._rows.take).apply(endless).prefetch(2)

    def _chosen(self, replicas: slice) -> Iterator[NDArray[np.int32]]:
        """Yield the numbers of the rows of one replica after the other, batch by batch."""
        epochs, steps = divmod(self._done, self.num_steps)
        for _ in range(epochs):
            next(self._orders)
        for order in self._orders:
            for step in range(steps, self.num_steps):
                batch = order[step * self._batch_size : (step + 1) * self._batch_size]
                yield from np.array_split(batch, self._strategy.num_replicas_in_sync)[replicas]
            steps = 0
