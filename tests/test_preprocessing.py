"""Standardisation: exact where offsets are large, units are extreme or a column is constant."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import tf_keras
from numpy.testing import assert_allclose, assert_array_equal

from tfp_mdn.preprocessing import Standardize, location_and_scale


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
