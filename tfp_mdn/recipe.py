"""The default way to train: noise that fades, averaged weights, the best on held-out rows kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from tfp_mdn._validation import FloatArray, as_real, as_whole_number
from tfp_mdn.callbacks import KeepBestAverage
from tfp_mdn.losses import negative_log_likelihood

__all__ = ["train_with_recipe"]

# How often the average of the weights is tried on the held-out rows. More checks cost time, fewer
# miss the best moment of a model that overfits early.
_NUM_CHECKS = 40

# Below this many rows nothing is held out: a few rows say less about the end of training than
# they add to it.
_MIN_ROWS_TO_SPLIT = 10

_WARM_UP = 0.02  # share of the steps over which the learning rate rises to its peak
_EMA_MOMENTUM = 0.995  # averages the weights over about 200 steps
_CLIP_NORM = 10.0  # keeps one bad batch from throwing the weights far away
_VALIDATION_BATCH = 4096  # rows; the held-out rows are only ever evaluated


def train_with_recipe(
    network: tf_keras.Model,
    x: FloatArray,
    y: FloatArray,
    weights: FloatArray,
    *,
    learning_rate: float,
    batch_size: int,
    num_steps: int | None,
    noise: float,
    validation_fraction: float,
    rng: np.random.RandomState,
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
    verbose: int = 0,
) -> dict[str, list[float]]:
    """Train a network that ends in `layers.MixtureNormal`, and leave it with its best weights.

    Adam with warm-up and cosine decay; fresh Gaussian noise on inputs and targets at every step,
    of standard deviation noise (1 - t/T)^2 in standard units; the running average of the weights
    is validated 40 times a run, and the best one is kept.

    Args:
        network: Network for standardised inputs.
        x: Standardised inputs, (N, F).
        y: Targets, (N, D), in units in which the mixture layer has `loc` 0.
        weights: Weight of each row, (N,); rows of weight 0 are left out.
        learning_rate: Peak learning rate.
        batch_size: Rows per step.
        num_steps: Number of steps; None takes 0.8 per row, at least 2000 and at most 8000.
        noise: Standard deviation of the noise at the first step, in standard units.
        validation_fraction: Share of the rows that is held out; of fewer than 10 rows, all serve
            for both.
        rng: Source of the split, the order of the rows and the noise.
        callbacks: Callbacks of `tf_keras`; a check is an epoch to them.
        verbose: As in `tf_keras.Model.fit`.

    Returns:
        `step`, `loss` and `val_loss` at every check, the losses in nats per row.

    Raises:
        TypeError: If a number has the wrong type.
        ValueError: If it is out of range.
        FloatingPointError: If no finite loss was seen on the held-out rows.
    """
    training, held_out = _split(weights, validation_fraction, rng)
    if num_steps is None:
        num_steps = int(np.clip(0.8 * len(training), 2000, 8000))
    num_steps = as_whole_number("num_steps", num_steps)
    batch_size = min(as_whole_number("batch_size", batch_size), len(training))
    steps_per_check = -(-num_steps // _NUM_CHECKS)
    num_checks = -(-num_steps // steps_per_check)
    num_steps = num_checks * steps_per_check
    network.compile(
        _optimizer(as_real("learning_rate", learning_rate, above=0.0), num_steps),
        negative_log_likelihood,
        weighted_metrics=[],
        steps_per_execution=steps_per_check,
    )
    relative = weights / weights[training].mean()
    data = [part.astype(np.float32) for part in (x, y, relative)]
    noise = as_real("noise", noise, minimum=0.0)
    batches = _noisy_batches(
        [tf.constant(part[training]) for part in data],
        batch_size,
        num_steps,
        np.full(x.shape[1], noise, np.float32),
        np.full(y.shape[1], noise * network.layers[-1].scale, np.float32),
        int(rng.randint(2**31 - 1)),
    )
    best = KeepBestAverage()
    history = network.fit(
        batches,
        steps_per_epoch=steps_per_check,
        epochs=num_checks,
        validation_data=tuple(part[held_out] for part in data),
        validation_batch_size=_VALIDATION_BATCH,
        callbacks=[best, *callbacks],
        verbose=verbose,
    ).history
    if not np.isfinite(best.best_loss):
        msg = (
            "training diverged: no finite loss was seen on the held-out rows. "
            "Try a smaller learning_rate or a larger min_scale."
        )
        raise FloatingPointError(msg)
    steps = [float(steps_per_check * (check + 1)) for check in range(len(history["loss"]))]
    return {"step": steps, "loss": history["loss"], "val_loss": history["val_loss"]}


def _split(
    weights: FloatArray, fraction: float, rng: np.random.RandomState
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the rows to train on and of those held out."""
    fraction = as_real("validation_fraction", fraction, above=0.0, below=1.0)
    rows = rng.permutation(np.flatnonzero(weights))
    if len(rows) < _MIN_ROWS_TO_SPLIT:
        return rows, rows
    count = min(max(1, round(fraction * len(rows))), len(rows) - 1)
    return rows[count:], rows[:count]


def _optimizer(peak: float, num_steps: int) -> tf_keras.optimizers.Optimizer:
    warm_up = max(1, round(_WARM_UP * num_steps))
    schedule = tf_keras.optimizers.schedules.CosineDecay(
        0.0, max(1, num_steps - warm_up), warmup_target=peak, warmup_steps=warm_up
    )
    return tf_keras.optimizers.Adam(
        schedule, global_clipnorm=_CLIP_NORM, use_ema=True, ema_momentum=_EMA_MOMENTUM
    )


def _noisy_batches(
    data: Sequence[tf.Tensor],
    batch_size: int,
    num_steps: int,
    x_noise: NDArray[np.float32],
    y_noise: NDArray[np.float32],
    seed: int,
) -> tf.data.Dataset:
    """Return a data set of shuffled batches, each with fresh noise that fades over the steps."""
    x, y, weights = data
    sizes = [len(x_noise), len(y_noise)]

    def batch(step: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        fading = (1.0 - tf.cast(step, tf.float32) / num_steps) ** 2
        key = tf.stack([tf.constant(seed, tf.int64), step])
        draws = fading * tf.random.stateless_normal([batch_size, sum(sizes)], key)
        noise_x, noise_y = tf.split(draws, sizes, axis=1)
        return (
            tf.gather(x, rows) + x_noise * noise_x,
            tf.gather(y, rows) + y_noise * noise_y,
            tf.gather(weights, rows),
        )

    def shuffled(epoch: tf.Tensor) -> tf.data.Dataset:
        # The shuffle of tf.data would mix TensorFlow's global seed into this one.
        key = tf.stack([tf.constant(seed, tf.int64), -1 - epoch])  # a batch never has this key
        order = tf.random.experimental.stateless_shuffle(tf.range(len(x)), key)
        return tf.data.Dataset.from_tensor_slices(order)

    rows = tf.data.Dataset.counter().flat_map(shuffled)
    steps = tf.data.Dataset.range(num_steps)
    return tf.data.Dataset.zip(steps, rows.batch(batch_size, drop_remainder=True)).map(batch)
