"""Trains an estimator on the rows of files larger than memory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_mdn._keras import checked_callbacks
from tfp_mdn._validation import FloatArray, as_real, as_whole_number, as_whole_numbers
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.losses import negative_log_likelihood
from tfp_mdn.members import MemberNetwork
from tfp_mdn.scale._network import copy_of, network_for
from tfp_mdn.scale._training import Run, optimizer_for, train
from tfp_mdn.scale.files import find_shards
from tfp_mdn.scale.shards import checked_columns
from tfp_mdn.scale.statistics import ColumnStatistics, LowestNumbers, Moments, as_statistics
from tfp_mdn.scale.stream import RowStream

__all__ = ["fit_shards"]

# Rows in memory: those that edges, first components and gross outliers are found from, and the
# held-out ones, of which more would measure the loss more finely than choosing needs.
_SAMPLE_ROWS, _MOST_HELD_OUT = 50_000, 16_384


def fit_shards(
    paths: Any,
    *,
    target: Sequence[str] | str,
    features: Sequence[str] | None = None,
    num_components: int = 10,
    hidden_units: Sequence[int] = (64, 64, 64),
    activation: str = "gelu",
    covariance_type: str = "diag",
    num_intervals: int = 32,
    min_scale: float = 1e-3,
    epochs: int = 5,
    batch_size: int = 1024,
    learning_rate: float = 1e-2,
    weight_decay: float = 0.1,
    validation_share: float = 0.05,
    patience: int | None = 20,
    shuffle_rows: int = 200_000,
    seed: int = 0,
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
    strategy: tf.distribute.Strategy | None = None,
    verbose: int = 0,
) -> MDNRegressor:
    r"""Train a network on Parquet or CSV files larger than memory, and return an estimator.

    The files are read once for units, quantiles and the held-out rows, and then once in each epoch,
    in blocks: memory does not grow with the number of rows. The model has one network with the
    layers of `MDNRegressor`, and everything that can be asked of a fitted `MDNRegressor` can be
    asked of what is returned.

    Ctrl-C ends the training with a warning, and the best weights so far are returned; before the
    first look at the held-out rows it ends the call.

    Args:
        paths: A folder of `.parquet` or `.csv` files at any depth, a file, a pattern such as
            "data/*.parquet", or a list of these.
        target: Column to predict, or columns.
        features: Columns to predict from, all of numbers; None takes all but the targets.
        num_components: Components K of the mixture.
        hidden_units: Units of each hidden layer.
        activation: Activation of the hidden layers.
        covariance_type: "diag" or "full", as `MDNRegressor` has it.
        num_intervals: Intervals between quantiles that each feature is placed in; likewise.
        min_scale: Floor of the standard deviations, in standard deviations of the target.
        epochs: Passes over the training rows.
        batch_size: Rows per step.
        learning_rate: Peak rate of Adam; it warms up first and falls to 0 along a cosine.
        weight_decay: Share of the kernels that a step takes away, per unit of learning rate.
        validation_share: Share of the rows that is not learned from, but chosen by, between 0 and
            1; `read_shards` says which. At most 16,384 of them are looked at.
        patience: Training ends after so many of the 40 looks at the held-out rows without a better
            loss; None trains to the end.
        shuffle_rows: Rows of the buffer that is shuffled.
        seed: Seed of the order and of the first weights.
        callbacks: Callbacks of `tf_keras`; each look at the held-out rows is an epoch to them.
        strategy: Strategy to distribute the training by, such as `tf.distribute.MirroredStrategy`;
            its replicas share each batch.
        verbose: 0 is silent, 1 shows a bar with losses and remaining time, 2 a line for each look.

    Returns:
        A fitted estimator, whose `feature_names_in_` and `target_names_` are the columns, and
        `num_rows_` the number of rows that were read. `history_` has `step`, `loss` and
        `val_loss`, in nats per row in units of the target.

    Raises:
        TypeError: If an argument has the wrong type.
        FileNotFoundError: If a file is not there, or not any more.
        ImportError: If pyarrow is not installed.
        ValueError: If a number is out of range, or a file cannot be read, lacks a column, has
            changed, or holds something else than finite numbers.
        FloatingPointError: If the loss was never finite.

    Example:
        >>> import tempfile, pathlib
        >>> table = "x,y\n" + "".join(f"{i},{i % 7}\n" for i in range(200))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = pathlib.Path(folder, "a.csv").write_text(table)
        ...     model = fit_shards(folder, target="y", epochs=2, batch_size=50)
        >>> model.feature_names_in_.tolist(), model.target_names_, model.num_rows_
        (['x'], ['y'], 200)
    """
    settings: dict[str, Any] = {
        **{"num_components": as_whole_number("num_components", num_components)},
        **{"hidden_units": tuple(as_whole_numbers("hidden_units", hidden_units))},
        **{"activation": activation, "covariance_type": covariance_type},
        **{"num_intervals": as_whole_number("num_intervals", num_intervals)},
        **{"min_scale": as_real("min_scale", min_scale, above=0.0)},
    }
    epochs = as_whole_number("epochs", epochs)
    batch_size = as_whole_number("batch_size", batch_size)
    rate = as_real("learning_rate", learning_rate, above=0.0)
    decay = as_real("weight_decay", weight_decay, minimum=0.0)
    share = as_real("validation_share", validation_share, above=0.0, below=1.0)
    patience = None if patience is None else as_whole_number("patience", patience)
    shuffle_rows = as_whole_number("shuffle_rows", shuffle_rows, minimum=0)
    seed = as_whole_number("seed", seed, minimum=0)
    if verbose not in (0, 1, 2):
        msg = f"verbose must be 0, 1 or 2, got {verbose!r}."
        raise ValueError(msg)
    if strategy is not None and not isinstance(strategy, tf.distribute.Strategy):
        msg = f"strategy must be a tf.distribute.Strategy, got {type(strategy).__name__}."
        raise TypeError(msg)
    listeners = [*checked_callbacks(callbacks)]
    shards = find_shards(paths)
    inputs, targets = checked_columns(shards, features, target, name="target")
    # Before hours of reading: it refuses what no network can be made of.
    MemberNetwork(
        1, num_components, len(targets), hidden_units, activation, covariance_type=covariance_type
    )
    columns = [*inputs, *targets]
    statistics, held_out, num_rows = _survey(RowStream(shards, columns), share)
    run = Run.of(statistics.count, epochs, batch_size)
    with nullcontext() if strategy is None else strategy.scope():
        model = network_for(statistics, len(inputs), seed=seed, **settings)
        model.compile(
            optimizer_for(run, rate, decay),
            negative_log_likelihood,
            steps_per_execution=run.steps_per_call,
            jit_compile=strategy is None and run.xla_pays,
        )
    history = train(
        model,
        RowStream(shards, columns, "training", share),
        held_out,
        run,
        shuffle_rows=shuffle_rows,
        seed=seed,
        patience=patience,
        callbacks=listeners,
        verbose=verbose,
    )
    estimator = MDNRegressor(
        **settings,
        ensemble_size=1,
        learning_rate=rate,
        weight_decay=decay,
        batch_size=run.batch_size,
        num_steps=run.num_steps,
        noise=0.0,
        validation_fraction=share,
        patience=patience,
        random_state=seed,
        verbose=verbose,
    )
    estimator.model_ = copy_of(model)
    estimator.history_ = history
    estimator.n_features_in_ = len(inputs)
    estimator.feature_names_in_ = np.asarray(inputs, dtype=object)
    estimator.target_names_ = targets
    estimator.num_rows_ = num_rows
    estimator._target_ndim = 1 if isinstance(target, str) else 2
    return estimator


def _survey(stream: RowStream, share: float) -> tuple[ColumnStatistics, FloatArray, int]:
    """Return statistics of the training rows, the rows to judge by, and the number of all rows."""
    num_columns, num_rows = len(stream.columns), 0
    moments, sample = Moments(num_columns), LowestNumbers(_SAMPLE_ROWS, num_columns)
    judged = LowestNumbers(_MOST_HELD_OUT, num_columns)
    for rows, numbers in stream.in_order():
        num_rows += len(rows)
        held_out = numbers < share
        judged.add(rows[held_out], numbers[held_out])
        if not held_out.all():
            moments.add(rows[~held_out])
            sample.add(rows[~held_out], numbers[~held_out])
    if moments.count < 2 or not len(judged.rows):
        msg = (
            f"at least two rows to learn from and one to choose by are needed; of {num_rows} rows, "
            f"validation_share={share:g} holds out {num_rows - moments.count}. Give more rows, or "
            f"a {'smaller' if moments.count < 2 and len(judged.rows) else 'larger'} share."
        )
        raise ValueError(msg)
    return as_statistics(stream.columns, moments, sample), judged.rows, num_rows
