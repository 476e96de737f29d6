from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate

from tfp_mdn.mixture import MixtureParameters, moments

MixtureFactory = Callable[..., MixtureParameters]

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 6)


@given(seed=seeds, num_components=sizes)
def test_moments_agree_with_quadrature(
    make_mixture: MixtureFactory, seed: int, num_components: int
) -> None:
    p = make_mixture(seed, 1, num_components)
    knots = np.sort(p.means[0, :, 0])

    def expectation(function: Callable[[float], float]) -> float:
        return float(
            integrate.quad(
                lambda y: function(y) * p.prob(y)[0],
                knots[0] - 40.0,
                knots[-1] + 40.0,
                points=knots,
                limit=500,
                epsabs=1e-12,
            )[0]
        )

    mean = expectation(lambda y: y)
    variance = expectation(lambda y: (y - mean) ** 2)
    assert_allclose(p.mean(), [[mean]], rtol=1e-9, atol=1e-9)
    assert_allclose(p.variance(), [[variance]], rtol=1e-8)
    assert_allclose(p.stddev(), [[np.sqrt(variance)]], rtol=1e-8)
    assert_allclose(p.covariance(), [[[variance]]], rtol=1e-8)


@pytest.mark.parametrize("full", [False, True])
def test_covariance_agrees_with_quadrature_in_the_plane(
    make_mixture: MixtureFactory, *, full: bool
) -> None:
    p = make_mixture(1, 1, 3, event_size=2, full=full)
    axis = np.linspace(-40.0, 40.0, 801)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    mass = p.prob(points[:, np.newaxis, :])[:, 0] * (axis[1] - axis[0]) ** 2
    mean = mass @ points
    centred = points - mean
    covariance = (mass[:, np.newaxis] * centred).T @ centred
    assert_allclose(p.mean()[0], mean, rtol=1e-9)
    assert_allclose(p.covariance()[0], covariance, rtol=1e-9)
    assert_allclose(p.variance()[0], np.diag(covariance), rtol=1e-9)


@pytest.mark.parametrize("full", [False, True])
def test_covariance_is_symmetric_and_definite(make_mixture: MixtureFactory, *, full: bool) -> None:
    p = make_mixture(2, 50, 6, event_size=4, full=full, loc=1e6)
    covariance = p.covariance()
    assert_array_equal(covariance, np.swapaxes(covariance, 1, 2))
    assert (np.linalg.eigvalsh(covariance) > 0.0).all()
    diagonal = np.diagonal(covariance, axis1=1, axis2=2)
    assert_allclose(diagonal, p.variance(), rtol=1e-12)
    assert_allclose(p.stddev() ** 2, p.variance(), rtol=1e-14)


@given(seed=seeds, full=st.booleans())
def test_moments_follow_an_affine_map(
    make_mixture: MixtureFactory, seed: int, *, full: bool
) -> None:
    p = make_mixture(seed, event_size=2, full=full)
    rng = np.random.default_rng(seed)
    factor = rng.uniform(0.1, 10.0, 2) * rng.choice([-1.0, 1.0], 2)
    shift = rng.normal(scale=100.0, size=2)
    covariances = None if p.covariances is None else p.covariances * np.outer(factor, factor)
    q = MixtureParameters(p.weights, p.means * factor + shift, p.variances * factor**2, covariances)
    assert_allclose(q.mean(), p.mean() * factor + shift, rtol=1e-12, atol=1e-12)
    assert_allclose(q.variance(), p.variance() * factor**2, rtol=1e-9)
    expected = p.covariance() * np.outer(factor, factor)
    assert_allclose(q.covariance(), expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_variance_splits_into_noise_and_spread() -> None:
    # Two lumps of variance 1 and 9 at -2 and 2 with equal weights: 5 inside and 4 between them.
    weights = np.array([[0.5, 0.5]])
    means = np.array([[[-2.0], [2.0]]])
    variances = np.array([[[1.0], [9.0]]])
    assert_array_equal(moments.variance_within(weights, variances), [[5.0]])
    assert_array_equal(moments.variance_between(weights, means), [[4.0]])
    assert_array_equal(moments.variance(weights, means, variances), [[9.0]])


def test_a_large_offset_costs_no_precision() -> None:
    weights = np.array([[0.3, 0.7]])
    means = np.array([[-1.0, 1.0]])
    p = MixtureParameters(weights, means + 1e9, np.array([[0.25, 0.25]]))
    # The exact values, from E[Y] = 0.4 and Var(Y) = 0.25 + 0.3 * 1.4^2 + 0.7 * 0.6^2.
    assert_allclose(p.mean() - 1e9, [[0.4]], rtol=0, atol=np.spacing(1e9))
    assert_allclose(p.variance(), [[1.09]], rtol=1e-12)
    assert_allclose(p.covariance(), [[[1.09]]], rtol=1e-12)


def test_equal_means_are_returned_exactly() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(9), 500)
    assert (weights.sum(axis=1) != 1.0).any()
    p = MixtureParameters(weights, np.full((500, 9), 1e9 + 1.0), np.full((500, 9), 1e-18))
    assert_array_equal(p.mean(), 1e9 + 1.0)
    assert_allclose(p.variance(), 1e-18, rtol=1e-14)


def test_a_tiny_scale_costs_no_precision(make_mixture: MixtureFactory) -> None:
    unit, tiny = make_mixture(3), make_mixture(3, scale=1e-9)
    assert_allclose(tiny.mean(), 1e-9 * unit.mean(), rtol=1e-12)
    assert_allclose(tiny.variance(), 1e-18 * unit.variance(), rtol=1e-12)


def test_a_weight_of_zero_takes_no_part_wherever_it_sits() -> None:
    weights, variances = np.array([[0.0, 1.0]]), np.array([[[1e300], [2.0]]])
    p = MixtureParameters(weights, np.array([[[1e308], [-1e308]]]), variances)
    assert_array_equal(p.mean(), [[-1e308]])
    assert_array_equal(p.variance(), [[2.0]])
    assert_array_equal(p.covariance(), [[[2.0]]])


@given(seed=seeds, num_components=sizes)
def test_skewness_and_kurtosis_agree_with_quadrature(
    make_mixture: MixtureFactory, seed: int, num_components: int
) -> None:
    p = make_mixture(seed, 1, num_components)
    mean, spread = p.mean()[0, 0], p.stddev()[0, 0]
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    # Gauss-Hermite quadrature of each component is exact for polynomials.
    places = p.means[0] + np.sqrt(p.variances[0]) * nodes
    share = p.weights[0][:, np.newaxis] * weights / weights.sum()
    residuals = (places - mean) / spread
    assert_allclose(p.skewness()[0], (share * residuals**3).sum(), rtol=1e-10, atol=1e-12)
    assert_allclose(p.kurtosis()[0], (share * residuals**4).sum() - 3.0, rtol=1e-10, atol=1e-12)


def test_skewness_and_kurtosis_of_a_normal_distribution_are_zero() -> None:
    p = MixtureParameters(np.ones((1, 1)), np.array([[1e9]]), np.array([[1e-6]]))
    assert_array_equal(p.skewness(), 0.0)
    assert_array_equal(p.kurtosis(), 0.0)
    # Two points at -1 and 1 have the least kurtosis there is, 1 - 3.
    points = MixtureParameters(
        np.full((1, 2), 0.5), np.array([[-1.0, 1.0]]), np.full((1, 2), 1e-200)
    )
    assert_allclose(points.kurtosis(), -2.0, rtol=1e-15)
    empty = MixtureParameters(
        np.array([[0.0, 1.0]]), np.array([[1e308, 0.0]]), np.array([[1e308, 1e-300]])
    )
    assert_array_equal(empty.kurtosis(), 0.0)


@pytest.mark.parametrize("full", [False, True])
def test_the_parts_of_the_spread_add_up(make_mixture: MixtureFactory, *, full: bool) -> None:
    p = make_mixture(4, 20, event_size=3, full=full)
    within, between = p.covariance_within(), p.covariance_between()
    assert_allclose(within + between, p.covariance(), rtol=1e-13, atol=1e-13)
    for matrix, vector in ((within, p.variance_within()), (between, p.variance_between())):
        assert_allclose(np.diagonal(matrix, axis1=1, axis2=2), vector, rtol=1e-12)
    expected = sum(
        p.weights[:, k, np.newaxis, np.newaxis]
        * (p.variances[:, k, :, np.newaxis] * np.eye(3) if not full else covariance)
        for k, covariance in enumerate(
            np.moveaxis(p.covariances, 1, 0) if p.covariances is not None else [None] * 4
        )
    )
    assert_allclose(within, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("factor", [1e-155, 1e-150, 1e150, 1e200])
def test_spread_and_shape_where_the_variance_overflows_or_vanishes(factor: float) -> None:
    weights, means = np.array([[0.3, 0.7]]), np.array([[0.0, 4.0]])
    if 1e-154 < factor < 1e154:
        plain = MixtureParameters(weights, means, np.ones((1, 2)))
        far = plain.transform(scale=factor)
        assert_allclose(far.stddev(), factor * plain.stddev(), rtol=1e-14)
        assert_allclose(far.skewness(), plain.skewness(), rtol=1e-13)
        assert_allclose(far.kurtosis(), plain.kurtosis(), rtol=1e-13)
    points = MixtureParameters(weights, factor * means, np.full((1, 2), 5e-324))
    assert_allclose(points.stddev(), [[factor * np.sqrt(0.21) * 4.0]], rtol=1e-13)
    # Two points: (1 - 2 w) / sqrt(w (1 - w)) and 1 / (w (1 - w)) - 6.
    assert_allclose(points.skewness(), -0.4 / np.sqrt(0.21), rtol=1e-13)
    assert_allclose(points.kurtosis(), 1.0 / 0.21 - 6.0, rtol=1e-13)
