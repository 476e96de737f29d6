"""Training on several devices and machines: a copy of the model under a strategy of TensorFlow."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_mdn._replica_batches import ReplicaBatches
from tfp_mdn.callbacks import LossPrinter, ProgressBar

__all__ = ["agreed_generator", "checked_strategy", "fit_on_replicas"]

_STRATEGIES = (
    tf.distribute.MirroredStrategy,
    tf.distribute.MultiWorkerMirroredStrategy,
    tf.distribute.OneDeviceStrategy,
)

# What Keras lets every worker write or print, though one is enough. Its other callbacks that write
# files look themselves whether theirs is the chief.
_FOR_THE_CHIEF = (
    tf_keras.callbacks.CSVLogger,
    tf_keras.callbacks.RemoteMonitor,
    LossPrinter,
    ProgressBar,
)


def checked_strategy(model: tf_keras.Model, strategy: Any) -> tf.distribute.Strategy | None:
    """Return the strategy to train under: the one given, or that of the model's scope.

    Raises:
        TypeError: If it is no strategy that trains synchronously on replicas.
        ValueError: If the model was built in the scope of another one.
    """
    own = model.distribute_strategy
    if strategy is None:
        return own if own.num_replicas_in_sync > 1 else None
    if not isinstance(strategy, _STRATEGIES):
        names = ", ".join(kind.__name__ for kind in _STRATEGIES)
        msg = f"strategy must be one of tf.distribute ({names}), got {type(strategy).__name__}."
        raise TypeError(msg)
    if isinstance(own, _STRATEGIES) and own is not strategy:
        msg = (
            "strategy must be the one in whose scope the model was built, got another. Leave it "
            "out, or build the model outside any scope."
        )
        raise ValueError(msg)
    return strategy


def agreed_generator(
    strategy: tf.distribute.Strategy, rng: np.random.Generator, *parts: Any, seeded: bool
) -> np.random.Generator:
    """Return the source of the orders of the rows, once all workers have the same task.

    Workers with other numbers of batches would wait for each other for ever, and workers with
    other rows, or another order of them, would train on a mixture that nobody asked for.

    Args:
        strategy: The strategy.
        rng: The generator of this worker.
        *parts: What must be the same in all workers: numbers, strings, arrays, structures of them.
        seeded: Whether the user gave it; if not, all take one that the chief draws.

    Raises:
        ValueError: In all workers, if a part or a given generator differs between them.
    """
    if not _has_workers(strategy):
        return rng
    digest = hashlib.sha256(str(rng.bit_generator.state if seeded else None).encode())
    for part in tf.nest.flatten(parts):
        array = np.asarray(part)
        digest.update(f"{array.dtype} {array.shape} ".encode() + array.tobytes())
    drawn = int(rng.integers(2**62)) if not seeded else 0
    own = [int.from_bytes(digest.digest()[:8], "big", signed=True), drawn]
    (of_all,) = _of_all_replicas(strategy, [tf.constant(own, tf.int64)])
    digests, draws = of_all.numpy().T
    if len(set(digests)) > 1:
        msg = (
            "all workers must call fit_mdn with the same rows in the same order, models of the "
            "same shape and the same batch_size, epochs and seed, but they differ. Read the whole "
            "data in each worker: it takes its share of every batch itself."
        )
        raise ValueError(msg)
    return rng if seeded else np.random.default_rng(int(draws[0]))


def fit_on_replicas(
    strategy: tf.distribute.Strategy,
    model: tf_keras.Model,
    x: Any,
    *,
    callbacks: Sequence[tf_keras.callbacks.Callback],
    **settings: Any,
) -> tf_keras.callbacks.History:
    """Train a model by `model.fit` under a strategy.

    A model that was built outside the strategy's scope cannot be trained under it. A copy is, with
    the same optimizer, and the weights, the optimizer's state and the history come back.

    Args:
        strategy: The strategy.
        model: The compiled and built model.
        x: `ReplicaBatches`, or what `model.fit` takes under a strategy.
        callbacks: The callbacks.
        **settings: Further arguments of `model.fit`.

    Raises:
        ValueError: If the model cannot be copied.
    """
    uneven = True
    if isinstance(x, ReplicaBatches):
        settings["steps_per_epoch"] = x.num_steps
        uneven, x = x.uneven, x.distributed()
    if not strategy.extended.should_checkpoint:
        callbacks = [each for each in callbacks if not isinstance(each, _FOR_THE_CHIEF)]
    with _under(strategy, model) as replica, _exact_means(strategy, replica, uneven=uneven):
        history = replica.fit(x, callbacks=list(callbacks), **settings)
    model.history = history
    for callback in (history, *callbacks):
        callback.model = model
    return history


@contextlib.contextmanager
def _under(strategy: tf.distribute.Strategy, model: tf_keras.Model) -> Iterator[tf_keras.Model]:
    """Give the model, or a copy in the strategy's scope whose state the model gets at the end."""
    if model.distribute_strategy is strategy:
        yield model
        return
    if not model.built:
        msg = "model has no weights yet: give input_size to build_mdn, or call it on a row first."
        raise ValueError(msg)
    with strategy.scope():
        replica = _rebuilt(model)
    pairs = list(zip(_state(model), _state(replica), strict=True))
    values = [source.read_value() for source, _ in pairs]
    if _has_workers(strategy):
        # Workers that built the model without a seed began with weights of their own.
        values = [of_all[0] for of_all in _of_all_replicas(strategy, values)]
    for (_, target), value in zip(pairs, values, strict=True):
        target.assign(value)
    for layer in replica._flatten_layers():
        if isinstance(layer, tf_keras.layers.experimental.preprocessing.PreprocessingLayer):
            layer.finalize_state()  # `Normalization` computes with what it derives from its weights
    try:
        yield replica
    except BaseException:
        # With other workers, reading a state that is kept in parts would wait for the lost one.
        if not _has_workers(strategy):
            _take_back(pairs, model, replica)
        raise
    _take_back(pairs, model, replica)


def _take_back(pairs: list[tuple[Any, Any]], model: tf_keras.Model, replica: Any) -> None:
    for target, source in pairs:
        target.assign(source.numpy())
    if isinstance(getattr(model.optimizer, "_learning_rate", None), tf.Variable):
        model.optimizer.learning_rate = replica.optimizer.learning_rate.numpy()


def _rebuilt(model: tf_keras.Model) -> tf_keras.Model:
    """Return a new model of the same configuration, compiled as the model is."""
    optimizer = model.optimizer
    remedy = "Build and compile it inside `with strategy.scope():`."
    if isinstance(optimizer, tf_keras.optimizers.legacy.Optimizer) or any(
        getattr(optimizer, f"_exclude_from_weight_decay{names}", None) for names in ("", "_names")
    ):
        msg = (
            "model has an optimizer that cannot be copied to the replicas: a legacy one, or one "
            f"that excludes variables from weight decay. {remedy}"
        )
        raise ValueError(msg)
    try:
        replica = tf_keras.models.clone_model(model)
        if type(replica) is not type(model):  # the clone of a Sequential is a plain one
            replica = type(model)(replica.layers, name=model.name)
            replica.build((None, *model._build_input_shape[1:]))
        compiled = dict(model._compile_config.config)
        for kind in ("metrics", "weighted_metrics"):
            compiled[kind] = tf.nest.map_structure(_anew, compiled[kind])
        replica.compile(**compiled | {"optimizer": _anew(optimizer)})
    except Exception as error:
        msg = f"model cannot be copied to the replicas ({error}). {remedy}"
        raise ValueError(msg) from error
    return replica


def _anew(part: Any) -> Any:
    """Return an optimizer or a metric of the same settings with variables of its own."""
    if isinstance(part, tf_keras.optimizers.Optimizer | tf_keras.metrics.Metric):
        return type(part).from_config(part.get_config())
    return part


def _state(model: tf_keras.Model) -> list[Any]:
    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


@contextlib.contextmanager
def _exact_means(
    strategy: tf.distribute.Strategy, model: tf_keras.Model, *, uneven: bool
) -> Iterator[None]:
    """Make the loss of a batch the mean over its rows where they do not split evenly.

    Keras takes the mean of the replicas' means. With replica r's mean weighted by R n_r / Σ n_r,
    that is the mean over all rows, penalties on weights included, since these factors add up to R.
    """
    usual = model.compute_loss
    reductions = {getattr(loss, "reduction", "auto") for loss in tf.nest.flatten(model.loss)}
    if (
        not uneven
        or type(model).compute_loss is not tf_keras.Model.compute_loss
        or not reductions <= {"auto", "sum_over_batch_size"}  # sums add up by themselves
    ):
        yield
        return

    def weighted(x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> tf.Tensor:
        loss = usual(x, y, y_pred, sample_weight)
        own = tf.cast(tf.shape(tf.nest.flatten(y)[0])[0], loss.dtype)
        replica = tf.distribute.get_replica_context()
        share = own / replica.all_reduce(tf.distribute.ReduceOp.SUM, own)
        return loss * share * strategy.num_replicas_in_sync

    model.compute_loss = weighted
    model.train_function = model.test_function = None  # what was traced holds the other one
    try:
        yield
    finally:
        del model.compute_loss
        model.train_function = model.test_function = None


def _has_workers(strategy: tf.distribute.Strategy) -> bool:
    return bool(strategy.extended._in_multi_worker_mode())


def _of_all_replicas(
    strategy: tf.distribute.Strategy, values: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """Return what each replica holds of some values, the chief's first, along a new first axis."""

    @tf.function(autograph=False)
    def gathered() -> Any:
        def gather() -> list[tf.Tensor]:
            replica = tf.distribute.get_replica_context()
            return [replica.all_gather(value[tf.newaxis], axis=0) for value in values]

        return strategy.run(gather)

    return [strategy.experimental_local_results(value)[0] for value in gathered()]
