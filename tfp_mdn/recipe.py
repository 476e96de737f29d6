"""The default way to train: which rows, how many steps, what rates and how much noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfp_mdn._member_steps import BETA_1, BETA_2, Batches, Schedule
from tfp_mdn._validation import as_real, as_whole_number

__all__ = ["Plan", "Recipe", "Rows", "calls", "split"]

Encoding = tuple[NDArray[Any], ...]
Float32Array = NDArray[np.float32]
Indices = NDArray[np.int64]

# How often the averaged weights are tried on the held-out rows. More checks cost time, fewer miss
# the best moment of a model that overfits early.
_NUM_CHECKS = 40

# Below this many rows nothing is held out: a few rows say less about the end of training than
# they add to it.
_MIN_ROWS_TO_SPLIT = 10

# Held-out rows beyond these would measure the loss more finely than choosing needs.
_MAX_HELD_OUT = 10_000

_WARM_UP = 0.02  # share of the steps over which the learning rate rises to its peak
_EMA_MOMENTUM = 0.995  # averages the weights over about 200 steps, over fewer at the beginning

_STEPS_A_CALL = 25  # more would make the gathered batches large


@dataclass(frozen=True)
class Recipe:
    """Settings of the training; `MDNRegressor` says what each is for and why it has its default.

    Raises:
        TypeError: If one has the wrong type.
        ValueError: If one is out of range.
    """

    learning_rate: float
    batch_size: int
    num_steps: int
    weight_decay: float
    noise: float
    validation_fraction: float
    patience: int | None

    def __post_init__(self) -> None:
        """Check the numbers."""
        as_real("learning_rate", self.learning_rate, above=0.0)
        as_whole_number("batch_size", self.batch_size)
        as_real("weight_decay", self.weight_decay, minimum=0.0)
        as_real("noise", self.noise, minimum=0.0)
        as_real("validation_fraction", self.validation_fraction, above=0.0, below=1.0)
        as_whole_number("num_steps", self.num_steps)
        if self.patience is not None:
            as_whole_number("patience", self.patience)


@dataclass(frozen=True)
class Rows:
    """Rows to learn from or to judge by, in standard units."""

    x: Float32Array  # (N, F)
    y: Float32Array  # (N, D)
    weights: Float32Array  # (N,)


def split(
    count: int, num_members: int, fraction: float, rng: np.random.RandomState
) -> tuple[list[Indices], list[Indices]]:
    """Return the indices that each member trains on, and those held out from it.

    The rows are shuffled once, and members hold out successive blocks of them, starting again when
    the rows are used up. Of fewer than 10 rows, all serve for both.
    """
    order = rng.permutation(count)
    if count < _MIN_ROWS_TO_SPLIT:
        return [order] * num_members, [order] * num_members
    size = min(max(1, round(fraction * count)), count - 1, _MAX_HELD_OUT)
    turned = [np.roll(order, -size * member) for member in range(num_members)]
    return [rows[size:] for rows in turned], [rows[:size] for rows in turned]


@dataclass(frozen=True)
class Plan:
    """How many steps there are, and how they are grouped."""

    batch_size: int
    steps_a_call: int
    calls_a_check: int
    num_checks: int

    @classmethod
    def of(cls, recipe: Recipe, num_rows: int) -> Plan:
        """Return the plan for members that train on so many rows each."""
        steps_a_check = -(-recipe.num_steps // _NUM_CHECKS)
        steps_a_call = min(steps_a_check, _STEPS_A_CALL)
        calls_a_check = -(-steps_a_check // steps_a_call)
        num_checks = -(-recipe.num_steps // (steps_a_call * calls_a_check))
        return cls(min(recipe.batch_size, num_rows), steps_a_call, calls_a_check, num_checks)

    @property
    def steps_a_check(self) -> int:
        """Steps between two looks at the held-out rows."""
        return self.steps_a_call * self.calls_a_check

    @property
    def num_steps(self) -> int:
        """Steps of a whole run, a multiple of the steps of a call."""
        return self.steps_a_check * self.num_checks


def calls(
    plan: Plan,
    recipe: Recipe,
    rows: Rows,
    parts: list[Indices],
    rng: np.random.RandomState,
) -> Iterator[tuple[Batches, Schedule]]:
    """Yield the batches and the schedule of one call after another."""
    seed = rng.randint(2**31 - 1)
    sources = [_shuffled(part, plan.batch_size, rng) for part in parts]
    schedule = _schedule(plan.num_steps, recipe, seed)
    for first in range(0, plan.num_steps, plan.steps_a_call):
        picked = np.stack([[next(source) for source in sources] for _ in range(plan.steps_a_call)])
        now = slice(first, first + plan.steps_a_call)
        yield (
            Batches(rows.x[picked], rows.y[picked], rows.weights[picked]),
            Schedule(*(values[now] for values in schedule)),
        )


def _shuffled(rows: Indices, batch_size: int, rng: np.random.RandomState) -> Iterator[Indices]:
    """Yield batches of rows, each row once in every pass, the last rows with the next pass."""
    left = rows[:0]
    while True:
        left = np.concatenate([left, rng.permutation(rows)])
        while len(left) >= batch_size:
            yield left[:batch_size]
            left = left[batch_size:]


def _schedule(num_steps: int, recipe: Recipe, seed: int) -> Schedule:
    step = np.arange(num_steps)
    warm_up = max(1, round(_WARM_UP * num_steps))
    falling = np.clip((step - warm_up) / max(1, num_steps - warm_up), 0.0, 1.0)
    rate = np.minimum((step + 1) / warm_up, 1.0) * 0.5 * (1.0 + np.cos(np.pi * falling))
    correction = np.sqrt(1.0 - BETA_2 ** (step + 1)) / (1.0 - BETA_1 ** (step + 1))
    return Schedule(
        rate=np.float32(recipe.learning_rate * rate * correction),
        decay=np.float32(recipe.learning_rate * rate * recipe.weight_decay),
        noise=np.float32(recipe.noise * (1.0 - step / num_steps) ** 2),
        averaging=np.float32(np.minimum(_EMA_MOMENTUM, (1.0 + step) / (10.0 + step))),
        seeds=np.stack([np.full(num_steps, seed), step], axis=1).astype(np.int32),
    )
