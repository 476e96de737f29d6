"""Standardisation, places among quantiles and lattices: exact where numbers are extreme."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from numpy.testing import assert_allclose, assert_array_equal

from tfp_mdn.preprocessing import (
    PiecewiseLinear,
    Standardize,
    draw_in,
    location_and_scale,
    quantile_edges,
)


def test_keeps_the_digits_of_a_large_offset() -> None:
    x = 1e9 + np.array([[0.0], [0.25], [1.0]])
    assert_array_equal(Standardize([1e9], [0.5])(x).numpy(), [[0.0], [0.5], [2.0]])


def test_takes_any_unit_and_drops_a_constant_feature() -> None:
    x = np.array([[1e-12, 7.0], [3e-12, 9.0]])
    assert_allclose(Standardize([2e-12, 7.0], [1e-12, 0.0])(x).numpy(), [[-1.0, 0.0], [1.0, 0.0]])


def test_is_part_of_a_model_and_of_its_file(tmp_path: Path) -> None:
    raw = tf_keras.Input((2,), dtype="float64")
    model = tf_keras.Model(raw, Standardize([1e9, 3.0], [2.0, 4.0])(raw))
    model.save(tmp_path / "m.keras")
    x = np.array([[1e9 + 1.0, 5.0]])
    assert_array_equal(model(x).numpy(), [[0.5, 0.5]])
    assert_array_equal(tf_keras.models.load_model(tmp_path / "m.keras")(x).numpy(), [[0.5, 0.5]])


@pytest.mark.parametrize(
    ("loc", "scale", "error", "message"),
    [
        ([0.0], [-1.0], ValueError, "scale must hold 1 numbers of at least 0"),
        ([0.0, 1.0], [1.0], ValueError, "scale must hold 2 numbers"),
        ([np.nan], [1.0], ValueError, "loc must be finite"),
        (["a"], [1.0], TypeError, "loc must hold real numbers"),
        ([[1.0, 2.0]], [1.0], ValueError, "loc must have 1 column"),
    ],
)
def test_refuses_in_words(
    loc: list[float], scale: list[float], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Standardize(loc, scale)


def test_weighted_moments_equal_those_of_repeated_rows() -> None:
    values = np.array([[1.0, 10.0], [2.0, 30.0], [4.0, 20.0]])
    loc, scale = location_and_scale("X", values, np.array([2.0, 1.0, 3.0]), limit=1e300)
    repeated = np.repeat(values, [2, 1, 3], axis=0)
    assert_allclose(loc, repeated.mean(axis=0), rtol=1e-14)
    assert_allclose(scale, repeated.std(axis=0), rtol=1e-14)


def test_moments_neither_overflow_nor_vanish() -> None:
    values = np.array([[-1e200, 1e-200], [1e200, 3e-200]])
    loc, scale = location_and_scale("X", values, np.ones(2), limit=1e300)
    assert_allclose(loc, [0.0, 2e-200], rtol=1e-14)
    assert_allclose(scale, [1e200, 1e-200], rtol=1e-14)


@pytest.mark.parametrize(("name", "scale"), [("X", 0.0), ("y", 1.0)])
def test_a_constant_column_is_warned_about(name: str, scale: float) -> None:
    values = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 4.0]])
    with pytest.warns(UserWarning, match=rf"column\(s\) \[0\] of {name} are constant"):
        loc, scales = location_and_scale(name, values, np.ones(3), limit=1e30)
    assert loc[0] == 0.1
    assert scales[0] == scale


def test_rows_of_weight_zero_do_not_count() -> None:
    values = np.array([[1.0], [3.0], [1e9]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loc, scale = location_and_scale("y", values, np.array([1.0, 1.0, 0.0]), limit=1e30)
    assert_array_equal([loc, scale], [[2.0], [1.0]])


def test_a_unit_beyond_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="standard deviations between 1e-30 and 1e[+]30"):
        location_and_scale("y", np.array([[0.0], [1e40]]), np.ones(2), limit=1e30)


def places(x: np.ndarray, edges: list[float]) -> np.ndarray:
    """Return the places of x (N,) in intervals by their definition, (N, intervals)."""
    columns = []
    for left, right in itertools.pairwise(edges):
        lowest, highest = -float(left == edges[0]), 1.0 + float(right == edges[-1])
        columns.append(np.clip((x - left) / (right - left), lowest, highest))
    return np.stack(columns, axis=1)


def test_features_are_followed_by_their_places() -> None:
    edges = [[-1.0, 0.0, 0.5, 2.0], [0.0, 1.0], [3.0], [], [1.0, 5.0, 6.0]]
    x = np.random.default_rng(0).uniform(-5, 9, (200, 5)).astype(np.float32)
    encoded = PiecewiseLinear(edges)(x).numpy()
    # A feature of one interval or none is only passed on.
    expected = np.concatenate([x, places(x[:, 0], edges[0]), places(x[:, 4], edges[4])], axis=1)
    assert_allclose(encoded, expected, rtol=1e-5, atol=1e-6)
    several = PiecewiseLinear(edges)(x.reshape(4, 50, 5)).numpy()
    assert_array_equal(several, encoded.reshape(4, 50, -1))


def test_places_are_part_of_a_model_and_of_its_file(tmp_path: Path) -> None:
    edges = [[-1.0, 0.1, 2.0], [0.0]]
    model = tf_keras.Sequential([tf_keras.Input((2,)), PiecewiseLinear(edges)])
    model.save(tmp_path / "m.keras")
    x = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    loaded = tf_keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
    assert_array_equal(loaded(x), model(x))
    assert loaded.layers[0].get_config()["edges"] == edges


@pytest.mark.parametrize(
    ("edges", "error", "message"),
    [
        ([[0.0, 0.0, 1.0]], ValueError, r"edges must increase, got .* for feature 0"),
        ([[0.0], [2.0, 1.0]], ValueError, "for feature 1"),
        ([[0.0, np.inf]], ValueError, "edges must be finite"),
        ([["a", "b"]], TypeError, "edges must hold real numbers"),
    ],
)
def test_edges_that_are_refused(edges: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PiecewiseLinear(edges)


def test_intervals_hold_equal_shares_of_the_rows() -> None:
    values = np.random.default_rng(0).exponential(size=(1000, 1))
    (edges,) = quantile_edges(values, 8)
    assert len(edges) == 9
    # Edges are rounded to float32, so the first and the last row may lie outside.
    assert_allclose(np.histogram(values, edges)[0], 125, atol=1)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([7.0] * 50, [7.0]),
        ([0.0, 1.0] * 25, [0.0, 1.0]),
        ([0.0] * 49 + [1.0], [0.0, 1.0]),
        ([0.0, 1.0, 2.0, 5.0] * 20, [0.0, 1.0, 2.0, 5.0]),
        ([3.0], [3.0]),
    ],
)
def test_few_distinct_values_have_few_edges(column: list[float], expected: list[float]) -> None:
    (edges,) = quantile_edges(np.array(column)[:, np.newaxis], 16)
    # Interpolated quantiles may fall between two values.
    assert {edges[0], edges[-1]} == {expected[0], expected[-1]}
    assert set(expected) <= set(edges) or len(expected) > 2
    assert sorted(set(edges)) == edges
    PiecewiseLinear([edges])


def test_values_that_float32_cannot_tell_apart_share_an_edge() -> None:
    (edges,) = quantile_edges(1.0 + 1e-12 * np.arange(100.0)[:, np.newaxis], 8)
    assert edges == [1.0]


@pytest.mark.parametrize("farthest", [10.0, 100.0])
def test_drawn_in_values_keep_their_order_and_stay_small(farthest: float) -> None:
    x = np.array([0.0, 1.0, farthest, farthest + 1e-3, 1e6, 1e300, np.finfo(float).max])
    drawn = draw_in(tf.constant(x), farthest).numpy()
    assert_array_equal(drawn[:3], x[:3])
    assert drawn[3] == pytest.approx(x[3], abs=1e-6)
    assert (np.diff(drawn) > 0).all() or drawn[-1] >= drawn[-2]
    assert drawn[-1] < farthest + 800
    assert_array_equal(draw_in(tf.constant(-x), farthest), -drawn)
    assert np.isfinite(draw_in(tf.constant([np.inf]), farthest)).all()


def test_any_finite_input_is_standardised_to_a_number_of_float32() -> None:
    layer = Standardize([1e3, 0.0], [1e-9, 1e200])
    x = np.array([[1e300, -1e308], [-1e300, 1e308]])
    assert np.isfinite(layer(x).numpy().astype(np.float32)).all()


@pytest.mark.parametrize("size", [10, 1000])
@pytest.mark.parametrize("outlier", [1e4, 1e12, -1e200])
def test_a_gross_outlier_does_not_set_the_unit(size: int, outlier: float) -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, (size, 1))
    expected = location_and_scale("y", values[1:], np.ones(size - 1), limit=1e30)
    values[0] = outlier
    found = location_and_scale("y", values, np.ones(size), limit=1e30)
    assert_allclose(found, expected, rtol=0.15 if size > 10 else 1e-12)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).normal(size=1000),
        np.random.default_rng(1).lognormal(0.0, 1.5, 1000),
        np.repeat([0.0, 1.0], [995, 5]),  # a rare mark is no outlier
        np.concatenate([np.random.default_rng(1).normal(0, 0.01, 760), np.full(240, 9.0)]),
    ],
)
def test_what_is_no_gross_outlier_counts(values: np.ndarray) -> None:
    found = location_and_scale("X", values[:, np.newaxis], np.ones(1000), limit=1e30)
    assert_allclose(np.ravel(found), [values.mean(), values.std()], rtol=1e-12)
