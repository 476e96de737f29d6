"""Where XLA pays in `fit_mdn`, and where the time of one of its steps goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from benchmarks.racers.tf_ways import FitMdn
from benchmarks.racers.workloads import LEARNING_RATE, WORKLOADS, Workload
from tfp_mdn._flat_epochs import (
    _XLA_COMPILE_SECONDS,
    _XLA_SAVES_PER_STEP,
    _XLA_SAVES_PER_UNIT,
    FlatEpochs,
    units_of,
)
from tfp_mdn._standard_losses import StandardLosses
from tfp_mdn._training_rows import Rows
from tfp_mdn.losses import negative_log_likelihood
from tfp_mdn.models import build_mdn

__all__ = ["break_even", "parts_of_a_step"]


def break_even(workload: Workload, seed: int) -> dict[str, float]:
    """Measure what XLA takes to compile and saves at a step; return the steps that make them equal.

    The cost of compiling is what a first fit takes more than a second one.
    """
    step, start = {}, {}
    for jit_compile in (False, True):
        racer = FitMdn(workload, seed, jit_compile=jit_compile)
        short, more = workload.compared_after, workload.timed_compiled
        cold = _seconds(lambda: racer.fit(short))  # noqa: B023
        warm = _seconds(lambda: racer.fit(short))  # noqa: B023
        long = _seconds(lambda: racer.fit(short + more))  # noqa: B023
        step[jit_compile] = (long - warm) / (more * workload.num_steps)
        start[jit_compile] = cold - warm
    compiling, saved = start[True] - start[False], step[False] - step[True]
    model = build_mdn(
        workload.num_components,
        workload.event_size,
        hidden_units=workload.hidden_units,
        input_size=workload.num_features,
    )
    units = workload.batch_size * units_of(model)
    expected = _XLA_COMPILE_SECONDS / (_XLA_SAVES_PER_STEP + _XLA_SAVES_PER_UNIT * units)
    return {
        "compiling": compiling,
        "step": 1e6 * step[False],
        "step_xla": 1e6 * step[True],
        "saved": 1e6 * saved,
        "units": float(units),
        "even": compiling / saved,
        "auto": expected,
    }


def _seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def parts_of_a_step(name: str, seed: int) -> dict[str, float]:
    """Time compiled loops that each do a part more of a training step; return microseconds.

    What a loop computes goes into its weights, too small to matter, so that XLA can neither leave
    it out nor do it once for all steps.
    """
    workload = WORKLOADS[name]
    model = build_mdn(
        workload.num_components,
        hidden_units=workload.hidden_units,
        activation=workload.activation,
        input_size=1,
        seed=seed,
    )
    model.compile(tf_keras.optimizers.Adam(LEARNING_RATE), loss=negative_log_likelihood)
    x, y = workload.rows(seed)
    rows = Rows(tf.constant(x), tf.constant(y), tf.ones(len(x)))
    batch, steps = workload.batch_size, workload.num_steps
    count = -(-8192 // steps)
    orders = tf.constant(workload.orders(seed, count))
    weights = tf.concat([tf.reshape(v, [-1]) for v in model.trainable_variables], 0)
    epochs = FlatEpochs(model, len(x), batch)
    epochs.begin(0)
    losses = StandardLosses(model)
    shapes = [variable.shape for variable in model.trainable_variables]

    def unpacked(vector: tf.Tensor) -> list[tf.Tensor]:
        parts = tf.split(vector, [int(np.prod(shape)) for shape in shapes])
        return [tf.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)]

    def network(vector: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        activation = {"relu": tf.nn.relu, "tanh": tf.tanh}[workload.activation]
        *hidden, kernel, bias = unpacked(vector)
        for k, b in zip(hidden[::2], hidden[1::2], strict=True):
            x = activation(x @ k + b)
        return x @ kernel + bias

    def gather(vector: tf.Tensor, chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if steps == 1:
            return rows.x, rows.y
        return tf.gather(rows.x, chosen), tf.gather(rows.y, chosen)

    def loop(vector: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
        return vector + 1e-20 * tf.cast(chosen[0], tf.float32)

    def gathering(vector: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
        taken = gather(vector, chosen)
        return vector + 1e-20 * (tf.reduce_sum(taken[0]) + tf.reduce_sum(taken[1]))

    def products(vector: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
        x, y = gather(vector, chosen)
        return vector + 1e-20 * (tf.reduce_sum(network(vector, x)) + tf.reduce_sum(y))

    def density(vector: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
        x, y = gather(vector, chosen)
        return vector + 1e-20 * tf.reduce_mean(losses(unpacked(vector), x, y))

    def backward(vector: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
        x, y = gather(vector, chosen)
        with tf.GradientTape() as tape:
            tape.watch(vector)
            loss = tf.reduce_mean(losses(unpacked(vector), x, y))
        return vector - 1e-20 * tape.gradient(loss, vector)

    totals = {
        part.__name__: _microseconds(part, weights, orders)
        for part in (loop, gathering, products, density, backward)
    }
    # The whole step, as `fit_mdn` runs it.
    order = np.stack([np.random.default_rng(seed).permutation(len(x)) for _ in range(count)])

    def whole() -> None:
        epochs(rows, order.astype(np.int32), count)

    totals["adam"] = 1e6 * _best(whole) / (count * steps)
    previous, parts = 0.0, {}
    for part, total in totals.items():
        parts[part], previous = total - previous, total
    return parts | {"whole": totals["adam"]}


def _microseconds(step: Callable[..., tf.Tensor], weights: tf.Tensor, orders: tf.Tensor) -> float:
    count, steps = orders.shape[:2]

    @tf.function(jit_compile=True, autograph=False)
    def run(weights: tf.Tensor, orders: tf.Tensor) -> tf.Tensor:
        def epoch(place: tf.Tensor, vector: tf.Tensor) -> Any:
            def body(number: tf.Tensor, vector: tf.Tensor) -> Any:
                return number + 1, step(vector, orders[place, number])

            start = (tf.constant(0), vector)
            return place + 1, tf.while_loop(lambda number, _: number < steps, body, start)[1]

        return tf.while_loop(lambda place, _: place < count, epoch, (tf.constant(0), weights))[1]

    return 1e6 * _best(lambda: run(weights, orders).numpy()) / (count * steps)


def _best(work: Callable[[], Any]) -> float:
    """Return the CPU seconds of the quickest of five times, after a first one that compiles."""
    work()
    return min(_seconds(work) for _ in range(5))
