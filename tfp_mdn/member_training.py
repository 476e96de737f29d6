"""Trains the members of a model by a recipe, and keeps the best weights that each was seen with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tf_keras
from numpy.typing import NDArray

from tfp_mdn._member_steps import State, Structure, member_losses, training_steps
from tfp_mdn._validation import FloatArray
from tfp_mdn.callbacks import LossPrinter
from tfp_mdn.layers import MixtureHead
from tfp_mdn.recipe import (
    Encoding,
    Float32Array,
    Indices,
    Plan,
    Recipe,
    Rows,
    calls,
    split,
)

__all__ = ["train_with_recipe"]

# Compiling takes 3 to 4 seconds once, and saves about 2 ms a step.
_MIN_STEPS_TO_COMPILE = 1500

_VALIDATION_CHUNK = 4096  # rows; the held-out rows are only ever evaluated

# A member that diverged goes on from its best weights, at this share of its learning rate.
_RETREAT = 0.3


def train_with_recipe(
    model: tf_keras.Model,
    rows: Rows,
    recipe: Recipe,
    *,
    held_out: Rows | None,
    rng: np.random.RandomState,
    lattice: FloatArray | None = None,
    callbacks: Sequence[tf_keras.callbacks.Callback] = (),
    verbose: int = 0,
) -> dict[str, list[float]]:
    """Train a model that `assembly.assemble` made, and leave it with its best weights.

    Args:
        model: The model.
        rows: Rows to train on, at least two.
        recipe: The settings.
        held_out: Rows that all members are judged on; None holds out rows of each member's own.
        rng: Source of the split, the order of the rows and the noise.
        lattice: Step to which each target was rounded, (D,), in its unit; the likelihood of a row
            is then the probability of what rounds to it. 0 is none, and None is none for all.
        callbacks: Callbacks of `tf_keras`; a check is an epoch to them.
        verbose: 0, 1 for a bar or 2 for a line at each check.

    Returns:
        `step`, `loss` and `val_loss` at every check, the losses in nats per row in units of y.

    Raises:
        FloatingPointError: If a member had no finite loss at any check. Whatever is raised, the
            model has the weights that it came with.
    """
    _, encode, network, head = model.layers
    structure = Structure(
        network.shapes,
        network.activation,
        network.num_components,
        network.event_size,
        head.min_scale,
        network.covariance_type,
        any(np.isnan(part.y).any() for part in (rows, held_out) if part is not None),
        () if lattice is None else tuple((0.5 * lattice / head.scale).tolist()),
        network.component,
    )
    if held_out is None:
        parts = split(len(rows.x), network.ensemble_size, recipe.validation_fraction, rng)
        held_out = rows
    else:
        everything = [[np.arange(len(part.x))] * network.ensemble_size for part in (rows, held_out)]
        parts = (everything[0], everything[1])
    start = network.flat_weights()
    monitor = _Monitor(
        model,
        callbacks,
        verbose,
        _log_unit(head, lattice, rows, parts[0]),
        _log_unit(head, lattice, held_out, parts[1]),
    )
    judge = _judge(member_losses(structure), encode.encoding, held_out, parts[1])
    try:
        _train_members(
            structure, start, encode.encoding, rows, judge, parts[0], recipe, rng, monitor
        )
    except BaseException:
        network.set_flat_weights(start)
        raise
    return monitor.history


def _train_members(
    structure: Structure,
    start: Float32Array,
    encoding: Encoding,
    rows: Rows,
    judge: Callable[[Float32Array], FloatArray],
    parts: list[Indices],
    recipe: Recipe,
    rng: np.random.RandomState,
    monitor: _Monitor,
) -> None:
    """Train all members from weights `start` (M, P), and end with the best average of each.

    Adam with decoupled weight decay, warm-up and cosine decay of its rate; the gradient of each
    member is clipped; fresh Gaussian noise of standard deviation noise (1 - t/T)^2 is added to
    inputs and targets; the running average of the weights is judged 40 times a run.
    """
    plan = Plan.of(recipe, min(map(len, parts)))
    run = training_steps(structure, jit_compile=plan.num_steps >= _MIN_STEPS_TO_COMPILE)
    source = calls(plan, recipe, rows, parts, rng)
    state = State(start, np.zeros_like(start), np.zeros_like(start), start)
    best = _Best(start, judge(start))
    rates = np.ones((len(start), 1), np.float32)
    monitor.begin(plan)
    try:
        for check in range(plan.num_checks):
            monitor.begin_check(check)
            losses, before = [], state
            for _ in range(plan.calls_a_check):
                state, loss = run(state, *next(source), rates, encoding)
                losses.append(loss)
            state = State(*(part.numpy() for part in state))
            held_out = judge(state.average)
            best.offer(state.average, held_out)
            diverged = ~np.isfinite(np.column_stack([*state, held_out])).all(axis=1)
            if diverged.any():
                state = _restored(state, before, best.weights, diverged)
                rates[diverged] *= _RETREAT
            if monitor.stops(check, np.mean(losses), held_out.mean(), state.average):
                break
            if best.num_stale == recipe.patience:
                break
    except KeyboardInterrupt:
        if not best.is_known:
            raise
        warnings.warn("training was interrupted; the best weights so far are kept.", stacklevel=5)
    finally:
        monitor.end(best.weights)
    if not best.is_known:
        msg = (
            "training diverged: no finite loss was seen on the held-out rows. "
            "Try a smaller learning_rate or a larger min_scale."
        )
        raise FloatingPointError(msg)
    if (rates < 1.0).any():
        warnings.warn(
            f"training of {(rates < 1.0).sum()} member(s) diverged, and went on from their best "
            "weights at a smaller rate. Try a smaller learning_rate or a larger min_scale.",
            stacklevel=5,
        )


class _Best:
    """The best weights that each member was seen with, those of the start among them."""

    def __init__(self, start: Float32Array, losses: FloatArray) -> None:
        self.weights = start.copy()
        self.num_stale = 0  # checks since any member was better than before
        self._losses = np.where(np.isfinite(losses), losses, np.inf)
        self._was_finite = np.zeros(len(start), bool)

    @property
    def is_known(self) -> bool:
        """Whether every member was seen with a finite loss since the start."""
        return bool(self._was_finite.all())

    def offer(self, weights: Float32Array, losses: FloatArray) -> None:
        self._was_finite |= np.isfinite(losses)
        better = losses < self._losses
        self.weights[better], self._losses[better] = weights[better], losses[better]
        self.num_stale = 0 if better.any() else self.num_stale + 1


class _Monitor:
    """Keeps the history of a training, and tells callbacks of it as `tf_keras.Model.fit` does."""

    def __init__(
        self,
        model: tf_keras.Model,
        callbacks: Sequence[tf_keras.callbacks.Callback] | tf_keras.callbacks.Callback,
        verbose: int,
        log_unit: float,
        val_log_unit: float,
    ) -> None:
        callbacks = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
        self._network = model.layers[-2]
        self._log_unit, self._val_log_unit = log_unit, val_log_unit
        self._has_callbacks = bool(callbacks)
        self._callbacks = [
            *callbacks,
            *([LossPrinter(verbose, unit_name="check")] if verbose else []),
        ]
        self._model = model
        self.history: dict[str, list[float]] = {"step": [], "loss": [], "val_loss": []}

    def begin(self, plan: Plan) -> None:
        self._steps_a_check = plan.steps_a_check
        self._list = tf_keras.callbacks.CallbackList(
            self._callbacks, model=self._model, epochs=plan.num_checks, verbose=0
        )
        self._model.stop_training = False
        self._list.on_train_begin()

    def begin_check(self, check: int) -> None:
        self._list.on_epoch_begin(check)

    def stops(self, check: int, loss: float, val_loss: float, average: Float32Array) -> bool:
        """Record a check, and tell whether a callback asked to stop."""
        logs = {"loss": loss + self._log_unit, "val_loss": val_loss + self._val_log_unit}
        self.history["step"].append(float((check + 1) * self._steps_a_check))
        for name, value in logs.items():
            self.history[name].append(float(value))
        if self._has_callbacks:
            self._network.set_flat_weights(average)
        self._list.on_epoch_end(check, logs)
        return bool(self._model.stop_training)

    def end(self, best: Float32Array) -> None:
        """Leave the model with these weights, and tell the callbacks."""
        self._network.set_flat_weights(best)
        self._list.on_train_end()


def _log_unit(
    head: MixtureHead, lattice: FloatArray | None, rows: Rows, parts: list[Indices]
) -> float:
    """Return what the mean loss of members on their rows gains in units of y: only seen values."""
    picked = np.stack(parts)
    y, weights = rows.y[picked], rows.weights[picked]
    unit = head.log_unit(y.astype(np.float64))
    counts = ~np.isnan(y)
    if lattice is not None:
        counts &= lattice == 0  # a probability has no unit
    return float((weights * np.where(counts, unit, 0.0).sum(axis=-1)).sum() / weights.sum())


def _judge(
    losses: Callable[..., Any],
    encoding: Encoding,
    rows: Rows,
    parts: list[Indices],
) -> Callable[[Float32Array], FloatArray]:
    """Return a function from weights (M, P) to the mean loss of each member on its rows, (M,)."""
    picked = np.stack(parts)  # every member holds out as many rows
    relative = rows.weights[picked]
    total = np.maximum(relative.sum(axis=1), np.finfo(np.float32).tiny)

    def judge(weights: Float32Array) -> FloatArray:
        result = np.zeros(len(weights))
        for first in range(0, picked.shape[1], _VALIDATION_CHUNK):
            now = slice(first, first + _VALIDATION_CHUNK)
            values = losses(weights, rows.x[picked[:, now]], rows.y[picked[:, now]], encoding)
            # In float64, where no finite loss overflows.
            result += (relative[:, now] * values.numpy().astype(np.float64)).sum(axis=1)
        return result / total

    return judge


def _restored(state: State, before: State, best: Float32Array, lost: NDArray[np.bool_]) -> State:
    """Return the state with the lost members at their best weights, their momentum forgotten.

    Their curvature is that of the check before: steps from none at all would be several times the
    learning rate.
    """
    new = State(*(np.array(part) for part in state))
    new.weights[lost] = new.average[lost] = best[lost]
    new.momentum[lost], new.curvature[lost] = 0.0, before.curvature[lost]
    return new
