from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, stats

from tfp_mdn.mixture import MixtureParameters

MixtureFactory = Callable[..., MixtureParameters]


def expectation(p: MixtureParameters, function: Callable[[float], float]) -> float:
    knots = np.sort(p.means[0, :, 0])
    return float(
        integrate.quad(
            lambda y: p.prob(y)[0] * function(y),
            knots[0] - 20.0,
            knots[-1] + 20.0,
            points=knots,
            limit=500,
        )[0]
    )


def test_entropy_agrees_with_quadrature(make_mixture: MixtureFactory) -> None:
    p = make_mixture(1, 40, 3)
    value, error = p.entropy(size=2000, rng=0)
    exact = [expectation(row, lambda y, row=row: -row.log_prob(y)[0]) for row in p]  # type: ignore[misc]
    residuals = (value - exact) / error
    assert np.abs(residuals).max() < 4.5
    assert 0.7 < np.sqrt(np.mean(residuals**2)) < 1.4


def test_divergence_agrees_with_quadrature(make_mixture: MixtureFactory) -> None:
    p, q = make_mixture(1, 20, 3), make_mixture(2, 20, 5)
    value, error = p.kl_divergence(q, size=5000, rng=0)
    for n in range(20):
        exact = expectation(p[n], lambda y, n=n: p[n].log_prob(y)[0] - q[n].log_prob(y)[0])  # type: ignore[misc]
        assert abs(value[n] - exact) < 4.5 * error[n]


@pytest.mark.parametrize("full", [False, True])
def test_single_components_agree_with_closed_forms(
    make_mixture: MixtureFactory, *, full: bool
) -> None:
    p, q = (make_mixture(seed, 4, 1, event_size=3, full=full) for seed in (3, 4))
    value, error = p.entropy(size=20_000, rng=0)
    for n in range(4):
        exact = stats.multivariate_normal(p.mean()[n], p.covariance()[n]).entropy()
        assert abs(value[n] - exact) < 4.5 * error[n]
    value, error = p.kl_divergence(q, size=20_000, rng=1)
    for n in range(4):
        ours, theirs = p.covariance()[n], q.covariance()[n]
        gap = q.mean()[n] - p.mean()[n]
        ratio = np.linalg.solve(theirs, ours)
        exact = 0.5 * (
            np.trace(ratio)
            + gap @ np.linalg.solve(theirs, gap)
            - 3.0
            - np.log(np.linalg.det(ratio))
        )
        assert abs(value[n] - exact) < 4.5 * error[n]


@pytest.mark.parametrize("scale", [1e-12, 1e-9, 1e-8, 1e-6, 1e-3])
def test_components_as_narrow_as_the_numbers_around_them(scale: float) -> None:
    # Two that are distinct, of known entropy, and two of another ratio of scales and weights.
    means = np.array([[1e9, 1e9 + 1.0]])
    p = MixtureParameters(np.array([[0.25, 0.75]]), means, np.full((1, 2), scale**2))
    q = MixtureParameters(np.full((1, 2), 0.5), means, np.full((1, 2), 4.0 * scale**2))
    logs = np.log([0.25, 0.75])
    value, error = p.entropy(size=20_000, rng=0)
    expected = 0.5 * np.log(2.0 * np.pi * np.e * scale**2) - np.array([0.25, 0.75]) @ logs
    assert abs(value[0] - expected) < 4.5 * error[0] < 0.1
    value, error = p.kl_divergence(q, size=20_000, rng=1)
    expected = np.array([0.25, 0.75]) @ (logs - np.log(0.5)) + np.log(2.0) + 0.125 - 0.5
    assert abs(value[0] - expected) < 4.5 * error[0] < 0.1


def test_narrow_components_in_space() -> None:
    matrix = 1e-18 * np.array([[2.0, 0.6], [0.6, 1.0]])
    p = MixtureParameters(
        np.ones((1, 1)),
        np.full((1, 1, 2), 1e9),
        np.diag(matrix)[np.newaxis, np.newaxis],
        matrix[np.newaxis, np.newaxis],
    )
    value, error = p.entropy(size=20_000, rng=0)
    expected = np.log(2.0 * np.pi * np.e) + 0.5 * np.log(np.linalg.det(matrix * 1e18) * 1e-36)
    assert abs(value[0] - expected) < 4.5 * error[0] < 0.1


def test_a_mixture_does_not_diverge_from_itself(make_mixture: MixtureFactory) -> None:
    p = make_mixture(5)
    value, error = p.kl_divergence(p, rng=0)
    assert_array_equal(value, 0.0)
    assert_array_equal(error, 0.0)


def test_seeds_shapes_and_units(make_mixture: MixtureFactory) -> None:
    p = make_mixture(6)
    first, second = p.entropy(rng=3), p.entropy(rng=3)
    assert_array_equal(first, second)
    assert (p.entropy(rng=4)[0] != first[0]).all()
    assert_allclose(p.transform(scale=10.0).entropy(rng=3)[0], first[0] + np.log(10.0), rtol=1e-9)
    assert p[:0].entropy(rng=0)[0].shape == (0,)
    assert p[:0].kl_divergence(p[:0], rng=0)[1].shape == (0,)


def test_bad_arguments_are_refused(make_mixture: MixtureFactory) -> None:
    p = make_mixture()
    with pytest.raises(ValueError, match="size must be at least 2, got 1"):
        p.entropy(size=1)
    with pytest.raises(TypeError, match="other must be a MixtureParameters, got dict"):
        p.kl_divergence({})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"other must have 3 rows of 1 dimension\(s\), got 2 of 1"):
        p.kl_divergence(p[:2])
    with pytest.raises(ValueError, match=r"got 3 of 2"):
        p.kl_divergence(make_mixture(event_size=2))
