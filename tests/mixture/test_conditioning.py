from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tfp_mdn.mixture import MixtureParameters

MixtureFactory = Callable[..., MixtureParameters]

seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, full=st.booleans(), known=st.permutations([0, 1, 2, 3]), size=st.integers(1, 3))
def test_the_product_rule(
    make_mixture: MixtureFactory, seed: int, known: list[int], size: int, *, full: bool
) -> None:
    p = make_mixture(seed, event_size=4, full=full, zero_weight=True)
    dims = known[:size]
    rest = [d for d in range(4) if d not in dims]
    y = np.random.default_rng(seed).normal(scale=3.0, size=(3, 4))
    marginal, conditional = p.marginal(dims), p.condition(dims, y[:, dims])
    assert conditional.event_size == len(rest)
    joint = marginal.log_prob(y[:, dims]) + conditional.log_prob(y[:, rest])
    assert_allclose(joint, p.log_prob(y), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("full", [False, True])
def test_the_margin_integrates_the_joint_density(
    make_mixture: MixtureFactory, *, full: bool
) -> None:
    p = make_mixture(1, 1, 3, event_size=2, full=full)
    axis = np.linspace(-40.0, 40.0, 4001)
    for d, value in ((0, 0.7), (1, -1.2)):
        points = np.empty((len(axis), 1, 2))
        points[..., d], points[..., 1 - d] = value, axis[:, np.newaxis]
        area = p.prob(points).sum() * (axis[1] - axis[0])
        assert_allclose(p.marginal(d).prob(value), area, rtol=1e-9)
        expected = p.prob(points)[:, 0] / area
        found = p.condition(d, value).prob(axis.reshape(-1, 1, 1))[:, 0]
        assert_allclose(found, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("full", [False, True])
def test_margins_keep_moments_and_order(make_mixture: MixtureFactory, *, full: bool) -> None:
    p = make_mixture(2, 5, event_size=3, full=full)
    q = p.marginal([2, 0])
    assert_array_equal(q.mean(), p.mean()[:, [2, 0]])
    assert_allclose(q.covariance(), p.covariance()[:, [2, 0]][..., [2, 0]], rtol=1e-12, atol=1e-12)
    assert_array_equal(p.marginal(-1).means, p.marginal([2]).means)
    assert p.marginal(0).covariances is None
    assert p.marginal(0).quantile([0.1, 0.9]).shape == (2, 5)
    assert not q.means.flags.writeable
    assert p[:0].marginal(0).means.shape == (0, 4, 1)
    assert p[:0].condition(0, np.zeros((0, 1))).means.shape == (0, 4, 2)
    everything = p.marginal([0, 1, 2])
    y = np.zeros((5, 3))
    assert_array_equal(everything.log_prob(y), p.log_prob(y))


def test_values_for_all_rows_or_each(make_mixture: MixtureFactory) -> None:
    p = make_mixture(3, event_size=2, full=True)
    for values in (0.5, np.full(3, 0.5), np.full((3, 1), 0.5)):
        assert_array_equal(p.condition(1, values).means, p.condition([1], 0.5).means)


@given(seed=seeds, full=st.booleans(), event_size=st.integers(1, 3))
def test_transform_maps_moments_and_densities(
    make_mixture: MixtureFactory, seed: int, event_size: int, *, full: bool
) -> None:
    p = make_mixture(seed, event_size=event_size, full=full)
    rng = np.random.default_rng(seed)
    factor = rng.uniform(0.1, 10.0, event_size) * rng.choice([-1.0, 1.0], event_size)
    shift = rng.normal(size=(3, event_size))
    q = p.transform(shift, factor)
    assert_allclose(q.mean(), shift + factor * p.mean(), rtol=1e-12, atol=1e-12)
    expected = p.covariance() * np.outer(factor, factor)
    assert_allclose(q.covariance(), expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    y = rng.normal(scale=3.0, size=(3, event_size))
    log_volume = np.log(np.abs(factor)).sum()
    mapped = q.log_prob(shift + factor * y)
    assert_allclose(mapped + log_volume, p.log_prob(y), rtol=1e-8, atol=1e-8)
    back = q.transform(-shift / factor, 1.0 / factor)
    assert_allclose(back.means, p.means, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("method", "arguments", "error", "message"),
    [
        ("marginal", (3,), ValueError, "dims must be from 0 to D - 1 = 2, got 3"),
        ("marginal", (-4,), ValueError, "dims must be from 0 to D - 1 = 2, got -4"),
        ("marginal", ([],), ValueError, "dims must name at least one dimension"),
        ("marginal", ([0, -3],), ValueError, "dims must not repeat a dimension"),
        ("marginal", (1.0,), TypeError, "dims must be an integer"),
        ("marginal", ([[0]],), TypeError, "dims must be an integer"),
        ("marginal", ([[0], [0, 1]],), TypeError, "dims must be an integer"),
        ("condition", ([0, 1, 2], np.zeros((3, 3))), ValueError, "leave at least one of 3"),
        ("condition", (0, np.zeros(5)), ValueError, r"one target a row, .* got shape \(5,\)\.$"),
        (
            "condition",
            (0, np.zeros((4, 3))),
            ValueError,
            r"one target a row, .* got shape \(4, 3\)",
        ),
        ("condition", (0, [0.0, np.nan, 0.0]), ValueError, "values must be finite"),
        ("condition", (0, 1e200), ValueError, r"within 1e154 .* got \[1e\+200\] in row 0"),
        ("transform", (0.0, 0.0), ValueError, "scale must not be 0"),
        ("transform", (0.0, 1e-300), ValueError, "variances positive and finite"),
        ("transform", (0.0, 1e300), ValueError, "variances positive and finite"),
        ("transform", (np.zeros(2),), ValueError, r"loc must be a number .* got shape \(2,\)"),
        ("transform", (np.inf,), ValueError, "loc must be finite"),
        ("transform", ("a",), TypeError, "loc must hold real numbers"),
    ],
)
def test_bad_arguments_are_refused(
    make_mixture: MixtureFactory,
    method: str,
    arguments: tuple[Any, ...],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        getattr(make_mixture(event_size=3), method)(*arguments)
