"""The recipe of a training: its settings, its split, its plan, its schedule and its batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras
from numpy.testing import assert_allclose, assert_array_equal

from tfp_mdn.recipe import Plan, Recipe, Rows, calls, split

SETTINGS: dict[str, Any] = {
    **{"learning_rate": 0.01, "batch_size": 4, "num_steps": 100, "weight_decay": 0.5},
    **{"noise": 0.2, "validation_fraction": 0.2, "patience": None},
}


def recipe(**changes: Any) -> Recipe:
    return Recipe(**{**SETTINGS, **changes})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be finite and greater than 0"),
        ({"learning_rate": "a"}, TypeError, "learning_rate must be a number"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"num_steps": 0}, ValueError, "num_steps must be at least 1"),
        ({"num_steps": 1.5}, TypeError, "num_steps must be an integer"),
        ({"weight_decay": -1e-9}, ValueError, "weight_decay must be finite and at least 0"),
        ({"noise": -0.1}, ValueError, "noise must be finite and at least 0"),
        ({"noise": np.nan}, ValueError, "noise must be finite"),
        ({"validation_fraction": 0.0}, ValueError, "validation_fraction must be finite and great"),
        ({"validation_fraction": 1.0}, ValueError, "less than 1, got 1.0"),
        ({"patience": 0}, ValueError, "patience must be at least 1"),
        ({"patience": True}, TypeError, "patience must be an integer"),
    ],
)
def test_bad_settings(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        recipe(**changes)


@pytest.mark.parametrize(("count", "members", "size"), [(50, 5, 10), (53, 5, 11), (10, 5, 2)])
def test_members_hold_out_blocks_that_are_disjoint(count: int, members: int, size: int) -> None:
    training, held_out = split(count, members, 0.2, np.random.RandomState(0))
    together = np.concatenate(held_out)
    assert len(set(together[:count])) == min(count, members * size)
    for train, held in zip(training, held_out, strict=True):
        assert len(held) == size
        assert sorted([*train, *held]) == list(range(count))
    # Shuffled: blocks of rows in their order could be those of a day or of a place.
    assert any((np.diff(held) != 1).any() for held in held_out)


def test_blocks_cover_all_rows_before_one_is_held_out_again() -> None:
    _, held_out = split(20, 7, 0.2, np.random.RandomState(0))
    assert sorted(np.concatenate(held_out[:5])) == list(range(20))
    assert_array_equal(held_out[5], held_out[0])


@pytest.mark.parametrize("count", [2, 9])
def test_few_rows_serve_for_both(count: int) -> None:
    for part in split(count, 3, 0.5, np.random.RandomState(0)):
        assert [sorted(rows) for rows in part] == [list(range(count))] * 3


@pytest.mark.parametrize(("fraction", "held"), [(1e-9, 1), (1 - 1e-9, 49), (0.5, 25)])
def test_neither_part_of_the_split_is_empty(fraction: float, held: int) -> None:
    training, held_out = split(50, 1, fraction, np.random.RandomState(0))
    assert (len(training[0]), len(held_out[0])) == (50 - held, held)


def test_of_many_rows_a_part_is_enough_to_choose_by() -> None:
    training, held_out = split(400_000, 1, 0.1, np.random.RandomState(0))
    assert len(held_out[0]) <= 40_000
    assert len(training[0]) + len(held_out[0]) == 400_000


@pytest.mark.parametrize("num_steps", [1, 39, 40, 41, 100, 1000, 1001, 2000, 2100, 7999])
def test_a_plan_takes_the_steps_asked_for_in_at_most_40_checks(num_steps: int) -> None:
    plan = Plan.of(recipe(num_steps=num_steps), 1000)
    assert 1 <= plan.num_checks <= 40
    assert plan.num_steps == plan.num_checks * plan.calls_a_check * plan.steps_a_call
    assert num_steps <= plan.num_steps < num_steps + plan.steps_a_check


def test_a_batch_is_no_larger_than_the_rows() -> None:
    assert Plan.of(recipe(batch_size=256), 7).batch_size == 7
    assert Plan.of(recipe(batch_size=256), 700).batch_size == 256


def drawn(seed: int = 0, num_rows: int = 10, **changes: Any) -> tuple[Rows, list[Any], list[Any]]:
    """Return the rows, the picked batches of two members, (T, M, B), and the schedule's parts."""
    numbers = np.arange(num_rows, dtype=np.float32)
    rows = Rows(numbers[:, None], -numbers[:, None], 2 * numbers)
    settings = recipe(**changes)
    parts = [np.arange(num_rows), np.arange(num_rows // 2)]
    every = list(calls(Plan.of(settings, 5), settings, rows, parts, np.random.RandomState(seed)))
    batches, schedules = zip(*every, strict=True)
    return (
        rows,
        [np.concatenate(part) for part in zip(*batches, strict=True)],
        [np.concatenate(part) for part in zip(*schedules, strict=True)],
    )


def test_every_row_is_seen_once_a_pass_in_a_new_order() -> None:
    _, (x, y, weights), _ = drawn(num_steps=400)
    assert_array_equal(x, -y)
    assert_array_equal(2 * x[..., 0], weights)
    for member, count in ((0, 10), (1, 5)):
        passes = x[:, member].ravel()[: 1600 // count * count].reshape(-1, count)
        assert (np.sort(passes, axis=1) == np.arange(count)).all()
        # Each row comes first in about a count-th of the passes.
        first = np.bincount(passes[:, 0].astype(int), minlength=count)
        assert np.abs(first - len(passes) / count).max() < 5 * np.sqrt(len(passes) / count)


def test_a_seed_decides_on_the_batches_and_on_the_noise() -> None:
    _, first, schedule = drawn()
    _, again, same = drawn()
    _, other, different = drawn(seed=1)
    assert_array_equal(first[0], again[0])
    assert_array_equal(schedule[-1], same[-1])
    assert (first[0] != other[0]).any()
    assert (schedule[-1] != different[-1]).any(axis=1).all()
    assert len({tuple(pair) for pair in schedule[-1]}) == len(schedule[-1])


def test_the_rate_warms_up_and_falls_along_a_cosine() -> None:
    _, _, (rate, decay, *_) = drawn(num_steps=2000)
    step = np.arange(2000)
    reference = tf_keras.optimizers.schedules.CosineDecay(
        0.0, 1960, warmup_target=0.01, warmup_steps=40
    )
    # Its warm-up starts from 0, at step 1; its cosine starts when that is over.
    expected = np.array([float(reference(int(s) + (s < 40))) for s in step])
    adam = np.sqrt(1 - 0.999 ** (step + 1.0)) / (1 - 0.9 ** (step + 1.0))
    assert_allclose(rate / adam, expected, rtol=1e-4, atol=1e-9)
    assert_allclose(decay, 0.5 * expected, rtol=1e-4, atol=1e-9)


def test_noise_fades_to_nothing_and_averages_lengthen() -> None:
    _, _, (_, _, noise, averaging, _) = drawn(num_steps=2000)
    assert noise[0] == np.float32(0.2)
    assert (np.diff(noise) < 0).all()
    assert noise[1000] == pytest.approx(0.2 / 4)
    assert 0 < noise[-1] < 1e-6
    # After t steps of a constant weight w from 0, a plain mean would hold about w.
    assert averaging[0] < 0.2
    assert (np.diff(averaging) >= 0).all()
    assert averaging[-1] < 1
    assert not drawn(noise=0.0)[2][2].any()


@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_a_run_of_a_few_steps_has_a_finite_schedule(num_steps: int) -> None:
    _, _, schedule = drawn(num_steps=num_steps)
    assert all(np.isfinite(part).all() for part in schedule)
    assert schedule[0][0] > 0
