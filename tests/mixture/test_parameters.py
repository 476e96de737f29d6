from __future__ import annotations

import copy
import json
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from tfp_mdn.mixture import MixtureParameters

MixtureFactory = Callable[..., MixtureParameters]

WEIGHTS = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])
MEANS = np.array([[[0.0], [1.0]], [[2.0], [-2.0]], [[5.0], [9.0]]])
VARIANCES = np.array([[[1.0], [4.0]], [[0.5], [0.25]], [[9.0], [1e-18]]])
PLANE_MEANS = np.zeros((1, 1, 2))
PLANE_VARIANCES = np.array([[[1.0, 4.0]]])
ONE = np.ones((1, 1))


def changed(array: np.ndarray, index: tuple[int, ...], value: float) -> np.ndarray:
    result = array.copy()
    result[index] = value
    return result


def plane(off_diagonal: float, *, mirrored: float | None = None, first: float = 1.0) -> np.ndarray:
    lower = off_diagonal if mirrored is None else mirrored
    return np.array([[[[first, off_diagonal], [lower, 4.0]]]])


def arrays(p: MixtureParameters) -> list[np.ndarray]:
    named = [p.weights, p.means, p.variances, p.covariances]
    return [array for array in named if array is not None]


def assert_same(p: MixtureParameters, q: MixtureParameters) -> None:
    assert (p.covariances is None) == (q.covariances is None)
    for a, b in zip(arrays(p), arrays(q), strict=True):
        assert_array_equal(a, b)


def test_sizes_types_and_repr() -> None:
    p = MixtureParameters(WEIGHTS, MEANS, VARIANCES)
    assert (p.num_inputs, p.num_components, p.event_size, len(p)) == (3, 2, 1, 3)
    assert repr(p) == "MixtureParameters(num_inputs=3, num_components=2, event_size=1)"
    assert p == p
    assert p != MixtureParameters(WEIGHTS, MEANS, VARIANCES)
    lists: list[Any] = [array.tolist() for array in (WEIGHTS, MEANS, VARIANCES)]
    assert_same(MixtureParameters(*lists), p)
    singles: list[Any] = [array.astype(np.float32) for array in (WEIGHTS, MEANS, VARIANCES)]
    single = MixtureParameters(*singles)
    assert all(array.dtype == np.float64 for array in arrays(single))


def test_means_without_the_axis_of_dimensions_are_one_dimensional() -> None:
    p = MixtureParameters(WEIGHTS, MEANS[..., 0], VARIANCES[..., 0])
    assert_same(p, MixtureParameters(WEIGHTS, MEANS, VARIANCES))


def test_arrays_are_read_only_and_not_shared_with_the_caller(make_mixture: MixtureFactory) -> None:
    source = make_mixture(event_size=2, full=True)
    given = [array.copy() for array in arrays(source)]
    p = MixtureParameters(*given)
    for array in given:
        array[:] = 7.0
    assert_same(p, source)
    for q in (p, p[1], p[:2], p[[0, 2]], p.sorted(), MixtureParameters.concatenate([p, p])):
        for array in arrays(q):
            with pytest.raises(ValueError, match="read-only"):
                array[:] = 0.0
    with pytest.raises(AttributeError, match="cannot assign"):
        p.weights = WEIGHTS  # type: ignore[misc]


def test_weights_within_tolerance_are_renormalised_once() -> None:
    p = MixtureParameters(np.array([[0.300003, 0.700003]]), MEANS[:1], VARIANCES[:1])
    np.testing.assert_allclose(p.weights.sum(axis=1), 1.0, rtol=0, atol=1e-15)
    np.testing.assert_allclose(p.weights[0, 0] / p.weights[0, 1], 0.300003 / 0.700003, rtol=1e-15)
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(7), 1000) * rng.uniform(1 - 9e-6, 1 + 9e-6, (1000, 1))
    means = np.zeros_like(weights)
    first = MixtureParameters(weights, means, means + 1.0)
    second = MixtureParameters(first.weights, means, means + 1.0)
    assert_array_equal(first.weights, second.weights)


def test_covariances_become_symmetric_and_set_the_variances() -> None:
    rounded = plane(0.5, mirrored=0.500001, first=1.000001)
    p = MixtureParameters(ONE, PLANE_MEANS, PLANE_VARIANCES, rounded)
    assert p.covariances is not None
    assert_array_equal(p.covariances, np.swapaxes(p.covariances, -1, -2))
    assert_array_equal(p.variances[0, 0], [1.000001, 4.0])
    assert repr(p).endswith("event_size=2, covariance='full')")


@pytest.mark.parametrize("units", [1e-12, 1.0, 1e12])
def test_covariances_of_unlike_units_are_judged_alike(units: float) -> None:
    to_units = np.diag([1.0, units])
    given = to_units @ plane(1.9) @ to_units
    variances = np.diagonal(given, axis1=-2, axis2=-1)
    p = MixtureParameters(ONE, PLANE_MEANS, variances, given)
    np.testing.assert_allclose(p.covariance(), given[0], rtol=1e-14)
    asymmetric = to_units @ plane(1.9, mirrored=1.8) @ to_units
    with pytest.raises(ValueError, match="must be symmetric"):
        MixtureParameters(ONE, PLANE_MEANS, variances, asymmetric)


GOOD: dict[str, Any] = {"weights": WEIGHTS, "means": MEANS, "variances": VARIANCES}
PLANE: dict[str, Any] = {"weights": ONE, "means": PLANE_MEANS, "variances": PLANE_VARIANCES}


@pytest.mark.parametrize(
    ("given", "argument", "value", "error", "message"),
    [
        (GOOD, "weights", WEIGHTS[0], ValueError, r"weights must have shape \(N, K\).*np.newaxis"),
        (GOOD, "weights", np.ones((3, 0)), ValueError, r"weights must have shape .*K >= 1"),
        (GOOD, "weights", WEIGHTS > 0, TypeError, "weights must hold real numbers, got dtype bool"),
        (GOOD, "weights", [[0.5, 0.5], [1.0]], ValueError, "weights must be a rectangular array"),
        (GOOD, "weights", changed(WEIGHTS, (1, 0), np.nan), ValueError, "weights must be finite"),
        (
            GOOD,
            "weights",
            np.array([[0.25, 0.75], [0.5, 0.5], [1.1, -0.1]]),
            ValueError,
            r"weights must not be negative, got -0.1 at index \(2, 1\).*softmax",
        ),
        (
            GOOD,
            "weights",
            changed(WEIGHTS, (1, 0), 0.50002),
            ValueError,
            "weights must sum to 1 .* 1e-05, got a sum of 1.00002 in row 1. Divide",
        ),
        (GOOD, "means", MEANS[:2], ValueError, r"means must have shape .*\(3, 2\).*got .*\(2, 2"),
        (GOOD, "means", MEANS[0], ValueError, r"means must have shape"),
        (GOOD, "means", np.zeros((3, 2, 0)), ValueError, r"means must have shape"),
        (GOOD, "means", changed(MEANS, (2, 1, 0), np.inf), ValueError, r"finite.*\(2, 1, 0\)"),
        (GOOD, "means", np.array([["a"]]), TypeError, "means must hold real numbers"),
        (GOOD, "variances", np.ones((3, 2, 2)), ValueError, "variances must have the shape of me"),
        (
            GOOD,
            "variances",
            changed(VARIANCES, (0, 1, 0), 0.0),
            ValueError,
            r"variances must be positive, got 0.0 at index \(0, 1, 0\)",
        ),
        (GOOD, "variances", -VARIANCES, ValueError, "variances must be positive, got -1.0"),
        (GOOD, "variances", changed(VARIANCES, (0, 0, 0), np.nan), ValueError, "must be finite"),
        (PLANE, "covariances", np.eye(2), ValueError, r"covariances must have shape.*\(1, 1, 2, 2"),
        (PLANE, "covariances", plane(np.nan), ValueError, "covariances must be finite"),
        (
            PLANE,
            "covariances",
            plane(0.0, mirrored=0.5),
            ValueError,
            r"symmetric, got 0.0 at index \(0, 0, 0, 1\) and 0.5 at .*\(0, 0, 1, 0\).*L @ L.T",
        ),
        (
            PLANE,
            "covariances",
            plane(0.5, first=2.0),
            ValueError,
            r"variances on their diagonal, got 2.0 at index \(0, 0, 0, 0\) where .* 1.0. Pass",
        ),
        (
            PLANE,
            "covariances",
            plane(2.5),
            ValueError,
            r"positive definite, but the matrix at index \(0, 0\) is not.*float64",
        ),
    ],
)
def test_bad_arrays_are_refused(
    given: dict[str, Any], argument: str, value: Any, error: type[Exception], message: str
) -> None:
    MixtureParameters(**given)
    with pytest.raises(error, match=message):
        MixtureParameters(**{**given, argument: value})


def test_the_first_matrix_that_is_not_positive_definite_is_named() -> None:
    covariances = np.tile(plane(0.5), (3, 2, 1, 1))
    covariances[1, 1] = plane(2.5)
    variances = np.tile(PLANE_VARIANCES, (3, 2, 1))
    with pytest.raises(ValueError, match=r"matrix at index \(1, 1\)"):
        MixtureParameters(WEIGHTS, np.zeros((3, 2, 2)), variances, covariances)


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (0, [0]),
        (-1, [2]),
        (np.int32(1), [1]),
        (slice(1, None), [1, 2]),
        (slice(None, None, -1), [2, 1, 0]),
        (slice(5, 9), []),
        (np.array([True, False, True]), [0, 2]),
        ([False, True, False], [1]),
        (np.array([2, 2, -3]), [2, 2, 0]),
        (np.array([1], dtype=np.uint8), [1]),
        ([], []),
    ],
)
@pytest.mark.parametrize("full", [False, True])
def test_rows_are_selected_and_keep_their_axis(
    make_mixture: MixtureFactory, index: Any, rows: list[int], *, full: bool
) -> None:
    p = make_mixture(event_size=2, full=full)
    selected = p[index]
    assert len(selected) == len(rows)
    for whole, part in zip(arrays(p), arrays(selected), strict=True):
        expected = np.array([whole[row] for row in rows]).reshape(len(rows), *whole.shape[1:])
        assert_array_equal(part, expected)


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (3, IndexError, "row 3 does not exist; there are 3 rows"),
        (-4, IndexError, "row -4 does not exist"),
        (np.array([0, 7]), IndexError, "row 7 does not exist"),
        (np.array([True, False]), IndexError, "mask of rows must have length N = 3, got length 2"),
        (np.ones((3, 2), dtype=bool), IndexError, r"one axis, got shape \(3, 2\)"),
        (np.array([[0, 1]]), IndexError, r"one axis, got shape \(1, 2\)"),
        ((0, 1), TypeError, r"got \(0, 1\).*Only the axis N"),
        (True, TypeError, "integer, a slice, a boolean mask or an array of integers, got True"),
        (1.0, TypeError, "got 1.0"),
        (np.array([0.0, 1.0]), TypeError, "dtype float64"),
        ("first", TypeError, "got 'first'"),
        (None, TypeError, "got None"),
    ],
)
def test_bad_rows_are_refused(index: Any, error: type[Exception], message: str) -> None:
    p = MixtureParameters(WEIGHTS, MEANS, VARIANCES)
    with pytest.raises(error, match=message):
        p[index]


def test_iteration_visits_every_row(make_mixture: MixtureFactory) -> None:
    p = make_mixture()
    assert_same(MixtureParameters.concatenate(list(p)), p)


@pytest.mark.parametrize("full", [False, True])
def test_concatenate_undoes_a_split(make_mixture: MixtureFactory, *, full: bool) -> None:
    p = make_mixture(num_inputs=5, event_size=2, full=full)
    parts = (part for part in (p[:2], p[2:2], p[2], p[3:]))
    assert_same(MixtureParameters.concatenate(parts), p)


def test_concatenate_refuses_what_does_not_fit(make_mixture: MixtureFactory) -> None:
    p = make_mixture(event_size=2)
    with pytest.raises(ValueError, match="at least one MixtureParameters"):
        MixtureParameters.concatenate([])
    with pytest.raises(TypeError, match="parts must be a sequence of MixtureParameters, got int"):
        MixtureParameters.concatenate(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"parts\[1\] must be a MixtureParameters, got dict"):
        MixtureParameters.concatenate([p, {}])  # type: ignore[list-item]
    others = [
        make_mixture(event_size=2, num_components=3),
        make_mixture(event_size=1),
        make_mixture(event_size=2, full=True),
    ]
    for other in others:
        with pytest.raises(ValueError, match=r"parts must agree .* as parts\[1\]"):
            MixtureParameters.concatenate([p, other])


@pytest.mark.parametrize("full", [False, True])
def test_sorted_orders_components_and_keeps_the_density(
    make_mixture: MixtureFactory, *, full: bool
) -> None:
    p = make_mixture(num_inputs=20, event_size=2, full=full)
    q = p.sorted()
    assert (np.diff(q.means[..., 0], axis=1) >= 0.0).all()
    assert not (np.diff(p.means[..., 0], axis=1) >= 0.0).all()
    y = np.random.default_rng(0).normal(size=(20, 2))
    np.testing.assert_allclose(q.log_prob(y), p.log_prob(y), rtol=1e-12)


def test_sorted_keeps_the_order_of_equal_means() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(40), 3)
    p = MixtureParameters(weights, np.zeros((3, 40)), np.ones((3, 40)))
    assert_same(p.sorted(), p)


@pytest.mark.parametrize("full", [False, True])
def test_copies_and_pickles_are_equal_and_read_only(
    make_mixture: MixtureFactory, *, full: bool
) -> None:
    p = make_mixture(num_components=7, event_size=2, full=full)
    for q in (copy.copy(p), copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert_same(q, p)
        assert not any(array.flags.writeable for array in arrays(q))


@pytest.mark.parametrize("num_inputs", [0, 1, 3])
@pytest.mark.parametrize("full", [False, True])
def test_dictionaries_survive_json_to_the_last_bit(
    make_mixture: MixtureFactory, num_inputs: int, *, full: bool
) -> None:
    p = make_mixture(num_inputs=num_inputs, num_components=7, event_size=2, full=full)
    data = json.loads(json.dumps(p.to_dict()))
    assert_same(MixtureParameters.from_dict(data), p)


@pytest.mark.parametrize(
    ("entry", "value", "error", "message"),
    [
        ("means", None, TypeError, "means must hold real numbers"),
        ("means", [[0.0]], ValueError, r"means must have shape \(3, 2, 1\) .* got \(1, 1\)"),
        ("num_inputs", 4, ValueError, r"weights must have shape \(4, 2\)"),
        ("num_inputs", 3.0, TypeError, "num_inputs must be an integer"),
        ("event_size", 0, ValueError, "event_size must be at least 1"),
        ("covariances", [1.0], ValueError, r"covariances must have shape \(3, 2, 1, 1\)"),
        ("weights", (WEIGHTS * 2).tolist(), ValueError, "weights must sum to 1"),
    ],
)
def test_bad_dictionaries_are_refused(
    entry: str, value: Any, error: type[Exception], message: str
) -> None:
    data = MixtureParameters(WEIGHTS, MEANS, VARIANCES).to_dict()
    with pytest.raises(error, match=message):
        MixtureParameters.from_dict({**data, entry: value})


def test_dictionaries_must_be_whole() -> None:
    data = MixtureParameters(WEIGHTS, MEANS, VARIANCES).to_dict()
    del data["means"], data["event_size"]
    with pytest.raises(ValueError, match=r"missing: \['event_size', 'means'\]"):
        MixtureParameters.from_dict(data)
    with pytest.raises(TypeError, match="data must be a mapping .* got list"):
        MixtureParameters.from_dict([])  # type: ignore[arg-type]


def test_dataframe_is_tidy(make_mixture: MixtureFactory) -> None:
    p = make_mixture(num_inputs=3, num_components=2, event_size=2, full=True)
    assert p.covariances is not None
    table = p.to_dataframe()
    assert list(table.columns) == [
        *("row", "component", "weight", "mean_0", "mean_1", "variance_0", "variance_1"),
        "covariance_0_1",
    ]
    assert len(table) == 6
    for line in table.to_dict("records"):
        place = int(line["row"]), int(line["component"])
        assert line["weight"] == p.weights[place]
        assert [line["mean_0"], line["mean_1"]] == p.means[place].tolist()
        assert [line["variance_0"], line["variance_1"]] == p.variances[place].tolist()
        assert line["covariance_0_1"] == p.covariances[place][0, 1]
    assert table.groupby(["row", "component"]).size().eq(1).all()


def test_dataframe_of_no_rows_has_the_columns(make_mixture: MixtureFactory) -> None:
    table = make_mixture(num_inputs=0).to_dataframe()
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == ["row", "component", "weight", "mean_0", "variance_0"]
    assert len(table) == 0


def test_dataframe_names_the_extra_when_pandas_is_missing(
    make_mixture: MixtureFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r'pip install "tfp-mdn\[cli\]"'):
        make_mixture().to_dataframe()


@pytest.mark.parametrize("full", [False, True])
def test_no_rows_at_all_give_empty_results(make_mixture: MixtureFactory, *, full: bool) -> None:
    p = make_mixture(num_inputs=0, event_size=2, full=full)
    assert p.mean().shape == p.variance().shape == p.stddev().shape == (0, 2)
    assert p.covariance().shape == (0, 2, 2)
    assert p.log_prob(np.zeros((0, 2))).shape == (0,)
    assert p.prob(np.zeros((5, 1, 2))).shape == (5, 0)
    assert p.responsibilities(np.zeros((0, 2))).shape == (0, 4)
    assert p.sample(3, rng=0).shape == (3, 0, 2)
    assert len(p.sorted()) == 0
    line = make_mixture(num_inputs=0)
    assert line.cdf(np.zeros(0)).shape == (0,)


def test_frozen_arrays_are_kept_and_others_copied() -> None:
    frozen = np.array([[0.25, 0.75]])
    frozen.setflags(write=False)
    means, variances = np.zeros((1, 2, 1)), np.ones((1, 2, 1))
    view = variances.view()
    view.setflags(write=False)
    p = MixtureParameters(frozen, means, view)
    assert p.weights is frozen
    means[:], variances[:] = 7.0, 7.0
    np.testing.assert_array_equal(p.means, np.zeros((1, 2, 1)))
    np.testing.assert_array_equal(p.variances, np.ones((1, 2, 1)))


def test_frozen_weights_are_renormalised_in_a_copy() -> None:
    frozen = np.array([[0.25, 0.75 + 1e-7]])
    frozen.setflags(write=False)
    p = MixtureParameters(frozen, np.zeros((1, 2, 1)), np.ones((1, 2, 1)))
    assert p.weights.sum() == pytest.approx(1.0, abs=1e-15)
    assert frozen[0, 1] == 0.75 + 1e-7


def test_huge_covariances_do_not_overflow() -> None:
    matrix = 1.5e308 * np.array([[1.0, 0.5], [0.5, 1.0]])
    p = MixtureParameters(
        np.ones((1, 1)),
        np.zeros((1, 1, 2)),
        np.full((1, 1, 2), 1.5e308),
        matrix[np.newaxis, np.newaxis],
    )
    assert_array_equal(p.covariances, [[matrix]])
