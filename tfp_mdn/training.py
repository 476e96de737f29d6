"""Trains a mixture density network in whole compiled epochs, with the callbacks of tf_keras."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from tfp_mdn._compiled import compile_as_usual, needs_keras, warn_of_point_loss
from tfp_mdn._epochs import Judge, KerasEpochs, SpareModel, warn_not_finite
from tfp_mdn._flat_epochs import FlatEpochs, can_be_flat, xla_after
from tfp_mdn._keras import checked_callbacks, reject_keras3, reject_keras3_in_model
from tfp_mdn._replica_batches import ReplicaBatches
from tfp_mdn._strategies import agreed_generator, checked_strategy, fit_on_replicas
from tfp_mdn._training_rows import (
    Batches,
    Rows,
    SkipDone,
    as_training_rows,
    is_stream,
    last_rows_held_out,
    orders_of,
)
from tfp_mdn._validation import as_generator, as_real, as_whole_number
from tfp_mdn.callbacks import LossPrinter, ProgressBar

__all__ = ["fit_mdn"]

# Callbacks that only read the logs, so that they can be told of several epochs after a call.
_ONLY_READS_LOGS = (
    tf_keras.callbacks.History,
    tf_keras.callbacks.CSVLogger,
    LossPrinter,
    ProgressBar,
)

# A call takes at least this many steps where no callback waits for the end of each epoch: starting
# a compiled function costs as much as one to three small steps.
_STEPS_PER_CALL = 256

# The orders of the rows of one call, in rows: 16 MB.
_ORDERS_PER_CALL = 4_000_000

# Held-out rows in one step where only their mean negative log-likelihood is wanted.
_JUDGED_AT_ONCE = 4096

# What the last call compiled for a model, so that training can go on without compiling again.
_COMPILED: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()


def fit_mdn(
    model: tf_keras.Model,
    x: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    validation_data: Any = None,
    validation_split: float = 0.0,
    epochs: int = 200,
    batch_size: int = 128,
    shuffle: bool = True,
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
    seed: int | np.random.Generator | None = None,
    strategy: tf.distribute.Strategy | None = None,
    jit_compile: bool | str = "auto",
    verbose: int = 0,
) -> tf_keras.callbacks.History:
    """Train a model as `model.fit` does, several times faster.

    The rows stay on the device and whole epochs run inside one compiled function, where `model.fit`
    goes back to Python for every batch. What is trained, called back and returned is the same: the
    weights, the state of the optimizer, the logs and the history. There are three ways, the first
    that can serve is taken:

    - Networks of dense layers under plain `Adam` and `negative_log_likelihood`: all weights in one
      flat vector, one fused step.
    - Any other model: its own `train_step`, so any optimizer, loss and metric.
    - `tf.data` and other sources that are used up as they are read, callbacks with hooks at each
      batch, a `train_step` of your own, a `strategy`: `model.fit` itself.

    An epoch whose loss is not finite ends the training with a warning, and leaves the model as it
    was before that epoch.

    Args:
        model: A `tf_keras` model that returns a distribution. One that was not compiled is compiled
            with Adam at a rate of 0.005 and the negative log-likelihood.
        x: Inputs of shape (N, F), or whatever the model takes; or a `tf.data.Dataset` of batches of
            inputs, targets and, if wanted, weights.
        y: Targets of shape (N, D), or (N,) for one dimension; None with a data set.
        sample_weight: Weight of each row's loss, (N,), or of each step's, (N, T), where y has shape
            (N, T, D). Keras divides by the number of rows or steps, not by the sum of weights;
            steps that a `Masking` layer hides do not count.
        validation_data: Held-out `(x, y)` or `(x, y, sample_weight)`, judged after each epoch.
        validation_split: Share of the rows, the last ones before any shuffling, to hold out if
            there is no `validation_data`.
        epochs: Number of times that all rows are gone through.
        batch_size: Rows per step; the last batch of an epoch may be smaller.
        shuffle: Whether each epoch goes through the rows in a new order.
        callbacks: Callbacks of `tf_keras`, called as by `model.fit`.
        seed: Seed or generator of the order of the rows; None draws one. With the same seed and
            start, training ends with the same weights on the same machine.
        strategy: A `tf.distribute` strategy, mirrored or of several workers, to train on several
            devices or machines: the same loss and steps as on one, each device computing its share
            of the `batch_size` rows of a step. Every worker is given all rows. What is trained, and
            what callbacks see, is a copy of a model that was built outside the strategy's scope;
            the model gets its weights in the end.
        jit_compile: Whether to compile with XLA, which takes 2 to 3 seconds and then makes a step
            up to three times as fast, the smallest most; "auto" decides by the number of steps and
            their size. Where a callback may end the training early, "auto" begins without and
            compiles once as much time was spent as would have been saved.
        verbose: 0 is silent, 1 shows a bar with losses and remaining time, 2 a line for each epoch.

    Returns:
        A `History`: its attribute `history` is a dictionary of lists, one value for each epoch:
        "loss" and, with held-out rows, "val_loss", in nats per row, and the metrics.

    Raises:
        TypeError: If an argument has the wrong type, or comes from Keras 3.
        ValueError: If data are NaN, infinite, empty or of uneven length, or a number is out of
            range.

    Example:
        >>> import numpy as np
        >>> from tfp_mdn.models import build_mdn
        >>> x = np.linspace(-1, 1, 300)
        >>> model = build_mdn(num_components=3, input_size=1, seed=0)
        >>> history = fit_mdn(model, x, np.sin(3 * x), epochs=5, seed=0)
        >>> len(history.history["loss"])
        5
    """
    if not isinstance(model, tf_keras.Model):
        reject_keras3("model", model)
        msg = f"model must be a tf_keras model, got {type(model).__name__}."
        raise TypeError(msg)
    reject_keras3_in_model("model", model)
    epochs = as_whole_number("epochs", epochs)
    batch_size = as_whole_number("batch_size", batch_size)
    split = as_real("validation_split", validation_split, minimum=0.0, below=1.0)
    rng = as_generator("seed", seed)
    if jit_compile not in (True, False, "auto"):
        msg = f'jit_compile must be True, False or "auto", got {jit_compile!r}.'
        raise ValueError(msg)
    if verbose not in (0, 1, 2):
        msg = f"verbose must be 0, 1 or 2, got {verbose!r}."
        raise ValueError(msg)
    strategy = checked_strategy(model, strategy)
    if not model._is_compiled:
        compile_as_usual(model)
    warn_of_point_loss(model)
    all_callbacks = [*checked_callbacks(callbacks), *([LossPrinter(verbose)] if verbose else [])]
    fit = functools.partial(fit_on_replicas, strategy, model) if strategy else model.fit
    by_keras = functools.partial(fit, epochs=epochs, verbose=0)
    if x is None:
        msg = "x must be given: the inputs to train on."
        raise ValueError(msg)
    if is_stream(x):
        if split or y is not None or sample_weight is not None:
            msg = (
                f"x is a {type(x).__name__}, which must hold targets and weights itself: y, "
                "sample_weight and validation_split need x as an array."
            )
            raise ValueError(msg)
        return by_keras(
            x, validation_data=validation_data, callbacks=[*all_callbacks, SpareModel()]
        )
    rows, held_out = as_training_rows(model, x, y, sample_weight), None
    if validation_data is None and split:
        rows, held_out = last_rows_held_out(rows, split)
    elif validation_data is not None and not is_stream(validation_data):
        if len(validation_data) not in (2, 3):
            msg = (
                "validation_data must be (x, y) or (x, y, sample_weight), "
                f"got {len(validation_data)} part(s)."
            )
            raise ValueError(msg)
        held_out = as_training_rows(model, *validation_data, prefix="validation ")
    if not model.built:
        with model.distribute_strategy.scope():
            model(tf.nest.map_structure(lambda part: part[:1], rows.x))
    if strategy:
        task = (rows, held_out or (), batch_size, epochs, [str(w.shape) for w in model.weights])
        rng = agreed_generator(strategy, rng, task, seeded=seed is not None)
    orders = orders_of(rows.num_rows, rng, shuffle=shuffle)
    judged_on_stream = validation_data is not None and held_out is None
    if strategy or judged_on_stream or needs_keras(model, all_callbacks):
        batches = (
            ReplicaBatches(strategy, rows, batch_size, orders)
            if strategy
            else Batches(rows, batch_size, orders)
        )
        return by_keras(
            batches,
            callbacks=[*all_callbacks, SkipDone(batches), SpareModel()],
            validation_data=validation_data if held_out is None else tuple(held_out),
            validation_batch_size=None if held_out is None else batch_size,
            shuffle=False,
        )
    batch_size = min(batch_size, rows.num_rows)
    flat = can_be_flat(model, rows.y)
    if flat:
        train_epochs = _reused(
            *("train", model, rows.num_rows, batch_size),
            make=lambda: FlatEpochs(model, rows.num_rows, batch_size),
        )
        if jit_compile == "auto":
            steps = epochs * -(-rows.num_rows // batch_size)
            may_stop = not _only_read_logs(all_callbacks)
            train_epochs.begin(xla_after(model, steps, batch_size, may_stop=may_stop))
        else:
            train_epochs.begin(0 if jit_compile else None)
    else:
        by_xla = bool(model.jit_compile if jit_compile == "auto" else jit_compile)
        train_epochs = _reused(
            *("train", model, rows.num_rows, batch_size, by_xla),
            make=lambda: KerasEpochs(model, rows, batch_size, jit_compile=by_xla),
        )
    judge = None
    if held_out is not None:
        at_once = max(batch_size, _JUDGED_AT_ONCE) if flat else batch_size
        compiled = _reused(
            *("judge", model, held_out.num_rows, at_once),
            make=lambda: Judge(model, held_out.num_rows, at_once),
        )
        judge = functools.partial(compiled, held_out)
    return _train(model, rows, orders, train_epochs, judge, epochs, all_callbacks)


def _reused(purpose: str, model: tf_keras.Model, *sizes: Any, make: Callable[[], Any]) -> Any:
    """Return what was compiled by the last call for this purpose, if it still fits, or make it."""
    # `compile` replaces both, and what was traced holds their variables.
    key = (weakref.ref(model.optimizer), weakref.ref(model.compiled_loss), *sizes)
    last = _COMPILED.setdefault(model, {})
    if purpose not in last or last[purpose][0] != key:
        last[purpose] = (key, make())
    return last[purpose][1]


def _train(
    model: tf_keras.Model,
    rows: Rows,
    orders: Iterator[NDArray[np.int32]],
    train_epochs: FlatEpochs | KerasEpochs,
    judge: Callable[[], Mapping[str, Any]] | None,
    epochs: int,
    callbacks: list[tf_keras.callbacks.Callback],
) -> tf_keras.callbacks.History:
    """Run the epochs, with the calls of callbacks that `model.fit` makes for an epoch."""
    steps = -(-rows.num_rows // train_epochs.batch_size)
    listeners = tf_keras.callbacks.CallbackList(
        callbacks, add_history=True, model=model, verbose=0, epochs=epochs, steps=steps
    )
    at_once = 1
    nobody_waits = judge is None and _only_read_logs(listeners.callbacks)
    if isinstance(train_epochs, FlatEpochs) and nobody_waits:
        at_once = _epochs_per_call(steps, rows.num_rows)
    model.stop_training = False
    listeners.on_train_begin()
    # Where `BackupAndRestore` found a backup, training goes on from there.
    epoch, _ = model._maybe_load_initial_counters_from_ckpt(steps, 0)
    for _ in range(epoch):
        next(orders)
    logs: dict[str, Any] = {}
    while epoch < epochs and not model.stop_training:
        listeners.on_epoch_begin(epoch)
        chosen = [next(orders) for _ in range(min(at_once, epochs - epoch))]
        done = train_epochs(rows, np.stack(chosen), at_once)
        for place, training_logs in enumerate(done):
            if place:
                listeners.on_epoch_begin(epoch)
            logs = _as_numbers(training_logs)
            if judge is not None:
                listeners.on_test_begin()
                judged = _as_numbers(judge())
                listeners.on_test_end(judged)
                logs |= {f"val_{name}": value for name, value in judged.items()}
            listeners.on_epoch_end(epoch, logs)
            epoch += 1
        if not np.isfinite(logs["loss"]):
            warn_not_finite(logs["loss"], epoch - 1, stacklevel=4)
            break
    if getattr(model.optimizer, "use_ema", False):
        model.optimizer.finalize_variable_values(model.trainable_variables)
    listeners.on_train_end(logs)
    return model.history


def _only_read_logs(callbacks: Sequence[tf_keras.callbacks.Callback]) -> bool:
    return all(type(callback) in _ONLY_READS_LOGS for callback in callbacks)


def _epochs_per_call(steps: int, num_rows: int) -> int:
    """Return the most epochs of a call, the same for all runs so that none compiles anew."""
    return max(1, min(-(-_STEPS_PER_CALL // steps), _ORDERS_PER_CALL // num_rows))


def _as_numbers(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Return logs as `model.fit` has them: scalars as numbers of Python."""
    return {
        name: value.item() if np.ndim(value) == 0 else value
        for name, value in ((name, np.asarray(value)) for name, value in logs.items())
    }
