"""Checks of arguments: what passes comes out as promised, what does not is named in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tfp_mdn import _validation as v


def test_arrays_become_float64_and_are_not_copied_needlessly() -> None:
    given = np.array([1.0, 2.0])
    assert v.as_float_array("a", given) is given
    for values in ([1, 2], (1.0, 2.0), np.array([1, 2], np.uint8), np.array([1, 2], np.float16)):
        array = v.as_float_array("a", values)
        assert array.dtype == np.float64
        assert array.tolist() == [1.0, 2.0]
    assert v.as_real_array("a", np.array([1], np.int8)).dtype == np.int8
    assert np.isnan(v.as_float_array("a", [np.nan]))


@pytest.mark.parametrize(
    ("value", "shape"), [([1, 2], (2, 1)), ([[1, 2]], (1, 2)), (np.ones((3, 1)), (3, 1))]
)
def test_vectors_become_columns(value: Any, shape: tuple[int, ...]) -> None:
    assert v.as_rows("x", value).shape == shape


def test_no_rows_pass_only_where_allowed() -> None:
    assert v.as_rows("x", np.ones((0, 2)), allow_empty=True).shape == (0, 2)
    with pytest.raises(ValueError, match="at least one row"):
        v.as_rows("x", np.ones((2, 0)), allow_empty=True)


def test_numbers_of_numpy_are_numbers() -> None:
    assert type(v.as_whole_number("n", np.int64(3))) is int
    assert type(v.as_real("r", np.float32(0.5))) is float
    assert v.as_real("r", 2, minimum=2.0) == 2.0
    assert type(v.as_real("r", np.array(0.5))) is float
    assert v.as_whole_number("n", 0, minimum=0) == 0


def test_generators() -> None:
    rng = np.random.default_rng(3)
    assert v.as_generator("rng", rng) is rng
    same = v.as_generator("rng", 3).random(), v.as_generator("rng", np.int64(3)).random()
    assert same == (rng.random(),) * 2
    assert v.as_generator("rng", None).random() != v.as_generator("rng", None).random()


@pytest.mark.parametrize(
    ("check", "value", "options", "error", "message"),
    [
        (v.as_float_array, [True], {}, TypeError, r"a must hold real numbers, got dtype bool"),
        (v.as_float_array, ["1"], {}, TypeError, r"got dtype <U1.*a\.astype\('float64'\)"),
        (v.as_float_array, [1j], {}, TypeError, "got dtype complex128"),
        (v.as_float_array, [None], {}, TypeError, "got dtype object"),
        (v.as_float_array, [[1], [1, 2]], {}, ValueError, "a must be a rectangular array"),
        (
            v.as_float_array,
            np.ma.masked_greater([1.0, 2.0], 1.5),
            {},
            ValueError,
            "a has masked values. Drop or fill",
        ),
        (
            v.as_finite_array,
            [[0.0, 1.0], [np.nan, np.inf]],
            {},
            ValueError,
            r"a must be finite: 2 of 4 values .* first at index \(1, 0\) \(nan\). Drop or fill",
        ),
        (v.as_finite_array, [0.0, -np.inf], {}, ValueError, r"first at index 1 \(-inf\)"),
        (v.as_finite_array, np.nan, {}, ValueError, r"1 of 1 values .* the first \(nan\)"),
        (v.as_rows, 1.0, {}, ValueError, r"a must have shape \(N,\) or \(N, columns\), got .*\(\)"),
        (v.as_rows, np.ones((1, 1, 1)), {}, ValueError, r"got shape \(1, 1, 1\)"),
        (v.as_rows, [1, 2], {"num_columns": 2}, ValueError, r"2 column\(s\), got shape \(2,\)"),
        (v.as_rows, [], {}, ValueError, r"at least one row and one column, got shape \(0,\)"),
        (v.as_whole_number, True, {}, TypeError, "a must be an integer, got True of type bool"),
        (v.as_whole_number, np.True_, {}, TypeError, "of type bool"),
        (v.as_whole_number, 2.0, {}, TypeError, "got 2.0 of type float"),
        (v.as_whole_number, "2", {}, TypeError, "got '2' of type str"),
        (v.as_whole_number, 0, {}, ValueError, "a must be at least 1, got 0"),
        (v.as_whole_number, -1, {"minimum": 0}, ValueError, "at least 0, got -1"),
        (v.as_real, False, {}, TypeError, "a must be a number, got False of type bool"),
        (v.as_real, None, {}, TypeError, "got None of type NoneType"),
        (v.as_real, np.array("1"), {}, TypeError, "a must be a number, got"),
        (v.as_real, np.array([0.5]), {}, TypeError, r"got array\(\[0.5\]\) of type ndarray"),
        (v.as_real, np.nan, {}, ValueError, "a must be finite, got nan"),
        (v.as_real, 0.0, {"above": 0.0}, ValueError, "finite and greater than 0, got 0.0"),
        (v.as_real, -1, {"minimum": 0}, ValueError, "finite and at least 0, got -1"),
        (
            v.as_real,
            1.0,
            {"above": 0.0, "below": 1.0},
            ValueError,
            "finite and greater than 0 and less than 1, got 1.0",
        ),
        (v.as_generator, 1.5, {}, TypeError, "numpy.random.Generator, an integer seed or None"),
        (v.as_generator, True, {}, TypeError, "got True of type bool"),
        (v.as_generator, np.random, {}, TypeError, "of type module"),
        (v.as_generator, -1, {}, ValueError, "a must be at least 0, got -1"),
    ],
)
def test_bad_input(
    check: Callable[..., Any],
    value: Any,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        check("a", value, **options)
