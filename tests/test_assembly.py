"""The untrained model: raw inputs in, a mixture in the targets' units out, spread over them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tfp_mdn.assembly import assemble, check_same_structure, standard_rows
from tfp_mdn.extraction import extract_parameters

RNG = np.random.default_rng(0)
X = 1e4 + 1e-6 * RNG.normal(size=(200, 2))
Y = 5e7 + 1e6 * RNG.normal(size=(200, 1))
ONES = np.ones(200)
STRUCTURE: dict[str, Any] = {
    **{"ensemble_size": 2, "num_components": 3},
    **{"hidden_units": (4,), "activation": "tanh"},
}


def model_for(x: np.ndarray = X, y: np.ndarray = Y, weights: np.ndarray = ONES, **o: Any) -> Any:
    options = {"num_intervals": 4, "min_scale": 1e-3, "seed": 0, **STRUCTURE, **o}
    return assemble(x, y, weights, **options)


def test_it_starts_as_the_marginal_of_the_targets_in_their_own_units() -> None:
    start = extract_parameters(model_for(), X)
    assert start.means.shape == (200, 6, 1)
    assert_allclose(start.mean(), Y.mean(), atol=0.3 * Y.std())
    assert (np.abs(start.stddev() / Y.std() - 1.0) < 0.7).all()
    # Each member has its components at the means of equal groups of the targets.
    thirds = np.array_split(np.sort(Y[:, 0]), 3)
    expected = np.sort(np.tile([third.mean() for third in thirds], 2))
    assert_allclose(np.sort(start.means[:, :, 0].mean(axis=0)), expected, atol=0.3 * Y.std())


def test_standard_rows_are_the_rows_in_standard_units() -> None:
    rows = standard_rows(model_for(), X, Y, 3 * ONES)
    assert {part.dtype for part in (rows.x, rows.y, rows.weights)} == {np.dtype("float32")}
    assert_allclose(rows.x, (X - X.mean(axis=0)) / X.std(axis=0), atol=1e-4)
    assert_allclose(rows.y, (Y - Y.mean(axis=0)) / Y.std(axis=0), atol=1e-6)
    assert_array_equal(rows.weights, 1.0)


def test_weights_move_the_units() -> None:
    weights = np.where(Y[:, 0] > Y.mean(), 1.0, 1e-3)
    *_, head = model_for(weights=weights).layers
    assert head.loc[0] == pytest.approx(np.average(Y[:, 0], weights=weights))


@pytest.mark.parametrize("offset", [0.0, 1e9])
@pytest.mark.parametrize("step", [1.0, 0.1])
def test_scales_do_not_fall_below_what_a_lattice_has_rounded_away(
    step: float, offset: float
) -> None:
    y = offset + step * RNG.integers(0, 6, size=(200, 1))
    *_, head = model_for(y=y).layers
    assert head.min_scale * head.scale[0] == pytest.approx(step / np.sqrt(12), rel=1e-4)


def test_the_floor_of_several_targets_is_that_of_the_finest() -> None:
    lattice = RNG.integers(0, 6, size=(200, 1)).astype(float)
    *_, head = model_for(y=np.concatenate([lattice, Y], axis=1), min_scale=0.01).layers
    assert head.min_scale == 0.01


def test_the_likelihood_of_rounded_values_needs_no_floor_of_its_own() -> None:
    y = np.round(RNG.normal(size=(200, 1)))
    assert model_for(y=y, lattice=np.ones(1)).layers[-1].min_scale == 1e-3
    assert model_for(y=y).layers[-1].min_scale > 0.1


def test_units_and_start_are_those_of_the_values_that_are_there() -> None:
    y = np.column_stack([Y[:, 0], np.round(3.0 + 2.0 * RNG.normal(size=200))])
    seen = RNG.random(y.shape) < 0.6
    hidden = np.where(seen, y, np.nan)
    model = model_for(y=hidden)
    head = model.layers[-1]
    for d in range(2):
        assert_allclose(head.loc[d], y[seen[:, d], d].mean(), rtol=1e-12)
        assert_allclose(head.scale[d], y[seen[:, d], d].std(), rtol=1e-12)
    start = extract_parameters(model, X)
    assert_allclose((start.mean() - head.loc) / head.scale, np.zeros((200, 2)), atol=0.4)
    found = standard_rows(model, X, hidden, ONES).y
    assert_array_equal(np.isnan(found), ~seen)
    assert_allclose(found[seen], ((y - head.loc) / head.scale)[seen], rtol=1e-5, atol=1e-6)
    hidden[seen[:, 1], 1] = 4.0
    with pytest.warns(UserWarning, match=r"column\(s\) \[0\] of y\[:, 1\] are constant"):
        model_for(y=hidden)


def test_a_fine_lattice_keeps_the_floor_asked_for() -> None:
    *_, head = model_for(y=np.round(Y), min_scale=0.02).layers
    assert head.min_scale == 0.02


def test_a_gross_outlier_leaves_the_units_to_the_others_and_is_drawn_in() -> None:
    x, y = X.copy(), Y.copy()
    x[0, 0], y[1, 0] = 1e9, 1e30
    model = model_for(x, y)
    with pytest.warns(UserWarning, match="1 of 200 rows have a target more than 100 standard"):
        rows = standard_rows(model, x, y, ONES)
    assert_allclose(rows.y[2:], standard_rows(model_for(), X, Y, ONES).y[2:], atol=0.3)
    assert 0.9 < rows.x[1:, 0].std() < 1.1
    assert 10 < rows.x[0, 0] < 100
    assert 100 < rows.y[1, 0] < 200
    start = extract_parameters(model, X)
    assert (start.stddev() < 20 * Y.std()).all()


def test_ordinary_rows_are_left_as_they_are_without_a_word() -> None:
    y = RNG.standard_t(3, size=(200, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = standard_rows(model_for(y=y), X, y, ONES)
    assert np.corrcoef(rows.y[:, 0], y[:, 0])[0, 1] > 1 - 1e-6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_components": 4}, "num_components changed since the last fit. Set warm_start=False"),
        ({"ensemble_size": 3, "activation": "relu"}, "ensemble_size, activation changed"),
        ({"hidden_units": (4, 4)}, "hidden_units changed"),
    ],
)
def test_another_structure_is_refused(changes: dict[str, Any], message: str) -> None:
    model = model_for()
    check_same_structure(model, Y, STRUCTURE)
    with pytest.raises(ValueError, match=message):
        check_same_structure(model, Y, {**STRUCTURE, **changes})
    with pytest.raises(ValueError, match="event_size changed"):
        check_same_structure(model, np.concatenate([Y, Y], axis=1), STRUCTURE)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_intervals": 0}, ValueError, "num_intervals must be at least 1"),
        ({"num_intervals": 2.5}, TypeError, "num_intervals must be an integer"),
        ({"min_scale": 0.0}, ValueError, "min_scale must be finite and greater than 0"),
    ],
)
def test_bad_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        model_for(**options)
