"""The share of the targets that the inputs leave unexplained, where it is known."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from tfp_mdn._neighbours import scatter_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3000, 2))
SIGNAL = np.sin(2 * X[:, :1])


def share(x: np.ndarray, y: np.ndarray, seed: int = 0) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return scatter_of(x, y, np.random.RandomState(seed)).unexplained


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3, 1.0, 3.0])
def test_it_is_the_variance_of_the_noise_over_that_of_the_target(noise: float) -> None:
    y = SIGNAL + noise * RNG.normal(size=SIGNAL.shape)
    assert share(X, y) == pytest.approx(noise**2 / y.var(), abs=0.05)


def test_several_targets_are_averaged() -> None:
    y = np.concatenate([SIGNAL, RNG.normal(size=SIGNAL.shape)], axis=1)
    assert share(X, y) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("factor", [1e-150, 1e-6, 1e150])
def test_units_and_constant_columns_do_not_matter(factor: float) -> None:
    y = SIGNAL + 0.3 * RNG.normal(size=SIGNAL.shape)
    expected = share(X, y)
    moved = factor * (X + 5.0)
    assert share(moved, y / factor) == pytest.approx(expected, abs=1e-3)
    constant = np.full((len(X), 1), 7.0)
    assert share(np.concatenate([X, constant], axis=1), y) == pytest.approx(expected)
    assert share(X, np.concatenate([y, y], axis=1)) == pytest.approx(expected)


def test_gross_outliers_do_not_decide() -> None:
    y = SIGNAL + 0.1 * RNG.normal(size=SIGNAL.shape)
    x = X.copy()
    expected = share(x, y)
    x[5, 0], y[7, 0] = 1e6, -1e5
    assert share(x, y) == pytest.approx(expected, abs=0.1)


def test_a_constant_target_is_explained_and_a_constant_input_explains_nothing() -> None:
    assert share(X, np.ones((3000, 1))) == 0.0
    assert share(np.ones((300, 2)), RNG.normal(size=(300, 1))) == pytest.approx(1.0, abs=0.15)


def test_equal_inputs_are_neighbours_of_each_other_and_not_of_themselves() -> None:
    x = np.repeat(np.arange(50.0), 6)[:, None]
    assert share(x, x**2) == 0.0
    noise = RNG.normal(size=(300, 1))
    assert share(x, noise) == pytest.approx(1.0, abs=0.2)


def noisiness(x: np.ndarray, y: np.ndarray) -> float:
    return scatter_of(x, y, np.random.RandomState(0)).noisiness


def test_noise_is_told_from_detail() -> None:
    assert noisiness(X, RNG.normal(size=(3000, 1))) == pytest.approx(1.0, abs=0.1)
    assert noisiness(X, SIGNAL) < 0.4
    assert noisiness(np.ones((300, 2)), RNG.normal(size=(300, 1))) > 0.8


@pytest.mark.parametrize("rows", [2, 3, 6])
def test_shares_of_few_rows_are_shares(rows: int) -> None:
    for y in (np.zeros((rows, 1)), RNG.normal(size=(rows, 1))):
        for x in (np.zeros((rows, 1)), X[:rows]):
            assert all(0.0 <= part <= 1.0 for part in scatter_of(x, y, np.random.RandomState(0)))


@pytest.mark.parametrize("y", [[0.0, 0.0], [0.0, 1.0]])
def test_two_rows(y: list[float]) -> None:
    assert 0.0 <= share(np.array([[0.0], [1.0]]), np.array(y)[:, None]) <= 1.0
    assert 0.0 <= share(np.zeros((2, 1)), np.array(y)[:, None]) <= 1.0


def test_of_many_rows_some_are_drawn_by_the_seed() -> None:
    x = RNG.normal(size=(25_000, 1))
    y = x + RNG.normal(size=x.shape)
    assert share(x, y) == share(x, y)
    assert share(x, y, seed=1) != share(x, y)
    assert share(x, y) == pytest.approx(0.5, abs=0.05)
