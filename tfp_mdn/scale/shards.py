"""Batches of rows of files larger than memory, as a `tf.data.Dataset`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_mdn._validation import FloatArray, as_choice, as_real, as_whole_number
from tfp_mdn.scale.files import Shard, check_numbers, find_shards, shared_columns
from tfp_mdn.scale.statistics import as_names
from tfp_mdn.scale.stream import PARTS, RowStream

__all__ = ["batches_of", "checked_columns", "one_pass", "read_shards"]


def read_shards(
    paths: Any,
    *,
    features: Sequence[str] | None = None,
    targets: Sequence[str] | str,
    batch_size: int = 1024,
    shuffle_rows: int = 200_000,
    seed: int = 0,
    part: str = "all",
    validation_share: float = 0.0,
    epochs: int | None = 1,
) -> tf.data.Dataset:
    r"""Return batches of inputs and targets of Parquet or CSV files, read in blocks.

    `fit_mdn(model, dataset)` and `model.fit` take it. A row is held out by a rule of the name of
    its file and its place in it: the same rows in each epoch, each process and for each seed. Row
    groups of Parquet files, or whole CSV files, come in an order that `seed` draws, four at a time,
    and fill a buffer in which the rows are shuffled. Every pass has an order of its own.

    Args:
        paths: A folder of `.parquet` or `.csv` files at any depth, a file, a pattern such as
            "data/*.parquet", or a list of these. Files without rows are passed over.
        features: Columns of inputs; None takes all but the targets.
        targets: Column of the target, or columns.
        batch_size: Rows of a batch; the last one may be smaller.
        shuffle_rows: Rows of the buffer, which takes 8 bytes for each of their numbers, and three
            times that for a moment; 0 keeps the order of the files.
        seed: Seed of the order.
        part: "all" rows, those for "training", or those held out, for "validation".
        validation_share: Share of the rows that is held out, less than 1.
        epochs: Passes over the rows in one iteration of the dataset; None goes on without end.

    Returns:
        A dataset of pairs of float64 arrays, (B, F) and (B, D).

    Raises:
        TypeError: If an argument has the wrong type.
        FileNotFoundError: If there is no such file.
        ImportError: If pyarrow is not installed.
        ValueError: If a number is out of range, or a file cannot be read or lacks a column. What is
            found later, such as a missing value, ends the iteration with an error of TensorFlow
            whose text names the file.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = pathlib.Path(folder, "a.csv").write_text("x,y\n1,5\n2,6\n3,7\n")
        ...     rows = read_shards(folder, targets="y", batch_size=2, shuffle_rows=0)
        ...     [y[:, 0].tolist() for x, y in rows.as_numpy_iterator()]
        [[5.0, 6.0], [7.0]]
    """
    batch_size = as_whole_number("batch_size", batch_size)
    shuffle_rows = as_whole_number("shuffle_rows", shuffle_rows, minimum=0)
    seed = as_whole_number("seed", seed, minimum=0)
    part = as_choice("part", part, PARTS)
    share = as_real("validation_share", validation_share, minimum=0.0, below=1.0)
    if part == "validation" and not share:
        msg = 'part="validation" needs a validation_share greater than 0.'
        raise ValueError(msg)
    passes = None if epochs is None else as_whole_number("epochs", epochs)
    shards = find_shards(paths)
    inputs, outputs = checked_columns(shards, features, targets)
    stream = RowStream(shards, [*inputs, *outputs], part, share)
    numbers = itertools.count()

    def blocks() -> Iterator[FloatArray]:
        for _ in itertools.count() if passes is None else range(passes):
            empty = True
            for rows in one_pass(stream, shuffle_rows, seed, next(numbers)):
                empty = False
                yield rows
            if empty:
                msg = f"the files have no rows for part={part!r}."
                raise ValueError(msg)

    return batches_of(blocks, len(inputs), len(outputs), batch_size)


def one_pass(stream: RowStream, shuffle_rows: int, seed: int, number: int) -> Iterator[FloatArray]:
    """Yield the rows of a stream once, in the order that belongs to the seed and this pass."""
    rng = np.random.default_rng([seed, number])
    blocks = stream.shuffled(shuffle_rows, rng) if shuffle_rows else stream.in_order()
    return (rows for rows, _ in blocks)


def batches_of(
    blocks: Callable[[], Iterator[FloatArray]],
    num_inputs: int,
    num_targets: int,
    batch_size: int,
) -> tf.data.Dataset:
    """Return pairs of batches from a function that starts blocks of rows (n, inputs + targets).

    Blocks of any size go from Python to TensorFlow, which cuts batches out of them: a call for each
    batch would take ten times as long.
    """
    dataset = tf.data.Dataset.from_generator(
        lambda: ((rows[:, :num_inputs], rows[:, num_inputs:]) for rows in blocks()),
        output_signature=(
            tf.TensorSpec((None, num_inputs), tf.float64),
            tf.TensorSpec((None, num_targets), tf.float64),
        ),
    )
    options = tf.data.Options()
    # Several workers would each look for a share of the files, which a generator has not.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.rebatch(batch_size).prefetch(2).with_options(options)


def checked_columns(
    shards: Sequence[Shard],
    features: Sequence[str] | None,
    targets: Sequence[str] | str,
    *,
    name: str = "targets",
) -> tuple[list[str], list[str]]:
    """Return the columns of inputs and of targets, once all files have them as numbers.

    Messages call the targets by `name`.

    Raises:
        TypeError: If they are not names.
        ValueError: If a file lacks one, one is named twice, or holds something else than numbers.
    """
    outputs = as_names(name, [targets] if isinstance(targets, str) else targets)
    if features is None:
        every = shared_columns(shards, None)
        shared_columns(shards, outputs)
        inputs = [column for column in every if column not in outputs]
        if not inputs:
            msg = f"{shards[0].path} has no column beside the targets to predict from."
            raise ValueError(msg)
    else:
        inputs = as_names("features", features)
        shared_columns(shards, [*inputs, *outputs])
        both = [column for column in inputs if column in outputs]
        if both:
            msg = f"features and {name} must differ, got {both[0]!r} in both."
            raise ValueError(msg)
    check_numbers(shards, [*inputs, *outputs])
    return inputs, outputs
