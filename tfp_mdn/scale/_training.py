"""One run of training on a stream of rows: how many steps, at which rates, and the best weights."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_mdn._validation import FloatArray
from tfp_mdn.callbacks import KeepBestAverage, LossPrinter
from tfp_mdn.preprocessing import draw_in
from tfp_mdn.scale.shards import batches_of, one_pass
from tfp_mdn.scale.stream import RowStream
from tfp_mdn.training import fit_mdn

__all__ = ["Run", "optimizer_for", "train"]

# Looks at the held-out rows in a run, as `MDNRegressor` has them, and rows in one step of a look.
_NUM_CHECKS = 40
_JUDGED_AT_ONCE = 4096

# XLA takes 2 to 3 seconds to compile, and then halves the time of a step.
_MIN_STEPS_TO_COMPILE = 500
_STEPS_PER_CALL = 16  # starting the compiled function costs as much as a small step

_WARM_UP = 0.02  # share of the steps over which the learning rate rises to its peak
_EMA_MOMENTUM = 0.995  # averages the weights over about 200 steps
_CLIP_NORM = 10.0  # keeps one bad batch from throwing the weights far away

# Standard units beyond which a target is drawn in: its log-density would outweigh all others.
_GROSS_OUTLIER = 100.0


@final
@dataclass(frozen=True)
class Run:
    """How many steps there are.

    Attributes:
        batch_size: Rows of a step.
        steps_a_check: Steps from one look at the held-out rows to the next.
        num_checks: Looks at the held-out rows.
    """

    batch_size: int
    steps_a_check: int
    num_checks: int

    @classmethod
    def of(cls, num_rows: int, epochs: int, batch_size: int) -> Run:
        """Return the run that goes through so many training rows so often, as nearly as it can."""
        batch_size = min(batch_size, num_rows)
        num_steps = max(1, epochs * num_rows // batch_size)
        steps = -(-num_steps // min(_NUM_CHECKS, num_steps))
        return cls(batch_size, steps, -(-num_steps // steps))

    @property
    def num_steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_a_check * self.num_checks

    @property
    def steps_per_call(self) -> int:
        """Steps of one call of the compiled function."""
        return min(_STEPS_PER_CALL, self.steps_a_check)

    @property
    def xla_pays(self) -> bool:
        """Whether the run is so long that compiling with XLA makes it shorter."""
        return self.num_steps >= _MIN_STEPS_TO_COMPILE


def optimizer_for(run: Run, rate: float, decay: float) -> tf_keras.optimizers.Optimizer:
    """Return Adam with warm-up, a rate that falls to 0 along a cosine, and averaged weights."""
    warm_up = max(1, round(_WARM_UP * run.num_steps))
    schedule = tf_keras.optimizers.schedules.CosineDecay(
        rate / warm_up,  # from 0 the first step would be none
        max(1, run.num_steps - warm_up),
        warmup_target=rate,
        warmup_steps=warm_up,
    )
    optimizer = tf_keras.optimizers.AdamW(
        schedule,
        weight_decay=decay,
        global_clipnorm=_CLIP_NORM,
        use_ema=True,
        # In a short run over its last tenth: the start would stay in a longer average.
        ema_momentum=min(_EMA_MOMENTUM, max(0.0, 1.0 - 10.0 / run.num_steps)),
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def train(
    model: tf_keras.Model,
    stream: RowStream,
    held_out: FloatArray,
    run: Run,
    *,
    shuffle_rows: int,
    seed: int,
    patience: int | None,
    callbacks: Sequence[tf_keras.callbacks.Callback],
    verbose: int,
) -> dict[str, list[float]]:
    """Train a compiled model, and leave it with the best averaged weights.

    Args:
        model: Model that ends in a mixture layer, whose optimizer averages the weights.
        stream: Rows of inputs and then targets to train on.
        held_out: Rows to judge by, likewise.
        run: Its steps.
        shuffle_rows: Rows of the buffer that is shuffled.
        seed: Seed of the order.
        patience: Looks without a better loss after which training ends, or None.
        callbacks: Callbacks of `tf_keras`.
        verbose: 0, 1 for a bar or 2 for a line at each look.

    Returns:
        `step`, `loss` and `val_loss` at every look.

    Raises:
        FloatingPointError: If the held-out loss was never finite.
        Exception: What reading the files raised.
    """
    head = model.layers[-1]
    num_targets = len(head.loc)
    num_inputs = len(stream.columns) - num_targets
    rows = _Segments(stream, run.steps_a_check * run.batch_size, shuffle_rows, seed, head)
    batches = batches_of(rows.segment, num_inputs, num_targets, run.batch_size)
    # Of even batches: a smaller last one would be compiled once more.
    even = len(held_out) - len(held_out) % _JUDGED_AT_ONCE or len(held_out)
    judged = rows.drawn_in(held_out[:even])
    best, logs = KeepBestAverage(), tf_keras.callbacks.History()
    listeners = [logs, best, *callbacks]
    if verbose:
        listeners.append(LossPrinter(verbose, unit_name="check"))
    if patience is not None:
        listeners.append(tf_keras.callbacks.EarlyStopping("val_loss", patience=patience))
    try:
        fit_mdn(
            model,
            batches.apply(tf.data.experimental.assert_cardinality(run.steps_a_check)),
            validation_data=tf.data.Dataset.from_tensor_slices(
                (judged[:, :num_inputs], judged[:, num_inputs:])
            ).batch(_JUDGED_AT_ONCE),
            epochs=run.num_checks,
            callbacks=listeners,
        )
    except tf.errors.OpError:
        # TensorFlow makes a text of what a generator raises.
        if rows.error is None:
            raise
        raise rows.error from None
    except KeyboardInterrupt:
        if not math.isfinite(best.best_loss):
            raise
        best.on_train_end()
        warnings.warn("training was interrupted; the best weights so far are kept.", stacklevel=3)
    if not math.isfinite(best.best_loss):
        msg = (
            "training diverged: no finite loss was seen on the held-out rows. "
            "Try a smaller learning_rate or a larger min_scale."
        )
        raise FloatingPointError(msg)
    val_losses = [float(value) for value in logs.history["val_loss"]]
    steps = range(1, len(val_losses) + 1)
    return {
        "step": [float(run.steps_a_check * step) for step in steps],
        "loss": [float(value) for value in logs.history["loss"][: len(val_losses)]],
        "val_loss": val_losses,
    }


class _Segments:
    """Rows without end, in pieces of one size: each call goes on where the one before ended."""

    def __init__(
        self,
        stream: RowStream,
        size: int,
        shuffle_rows: int,
        seed: int,
        head: tf_keras.layers.Layer,
    ) -> None:
        self.error: Exception | None = None
        self._size, self._loc, self._scale = size, head.loc, head.scale
        passes = (one_pass(stream, shuffle_rows, seed, number) for number in itertools.count())
        self._blocks = itertools.chain.from_iterable(passes)
        self._left: FloatArray = np.empty((0, len(stream.columns)))

    def segment(self) -> Iterator[FloatArray]:
        """Yield blocks of rows, as many rows as a piece has."""
        wanted = self._size
        try:
            while wanted:
                rows = self._left if len(self._left) else self.drawn_in(next(self._blocks))
                self._left = rows[wanted:]
                rows = rows[:wanted]
                wanted -= len(rows)
                yield rows
        except Exception as error:
            self.error = error
            raise

    def drawn_in(self, rows: FloatArray) -> FloatArray:
        """Return rows whose gross outliers among the targets are nearer."""
        first = rows.shape[1] - len(self._loc)
        standard = (rows[:, first:] - self._loc) / self._scale
        if np.abs(standard).max() <= _GROSS_OUTLIER:
            return rows
        nearer = draw_in(tf.constant(standard), _GROSS_OUTLIER).numpy()
        return np.concatenate([rows[:, :first], self._loc + self._scale * nearer], axis=1)
