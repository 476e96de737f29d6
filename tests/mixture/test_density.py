from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, special, stats

from tfp_mdn.mixture import MixtureParameters, density

MixtureFactory = Callable[..., MixtureParameters]

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 6)


def reference_log_terms(p: MixtureParameters, y: np.ndarray) -> np.ndarray:
    """Return log w + log N for y (N, D), one SciPy distribution for each row and component."""
    terms = np.empty(p.weights.shape)
    for n, k in np.ndindex(*terms.shape):
        if p.covariances is None:
            normal = stats.norm(p.means[n, k], np.sqrt(p.variances[n, k]))
            log_normal = normal.logpdf(y[n]).sum()
        else:
            normal = stats.multivariate_normal(p.means[n, k], p.covariances[n, k])
            log_normal = normal.logpdf(y[n])
        weight = p.weights[n, k]
        terms[n, k] = -np.inf if weight == 0.0 else np.log(weight) + log_normal
    return terms


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("event_size", [1, 2, 4])
def test_density_agrees_with_scipy(
    make_mixture: MixtureFactory, event_size: int, *, full: bool
) -> None:
    p = make_mixture(3, num_inputs=20, event_size=event_size, full=full, zero_weight=True)
    y = np.random.default_rng(1).normal(scale=4.0, size=(20, event_size))
    terms = reference_log_terms(p, y)
    expected = special.logsumexp(terms, axis=1)
    assert_allclose(p.log_prob(y), expected, rtol=1e-11)
    assert_allclose(p.prob(y), np.exp(expected), rtol=1e-9)
    assert_allclose(p.responsibilities(y), special.softmax(terms, axis=1), rtol=1e-10)
    assert_array_equal(p.responsibilities(y)[:, 0], 0.0)


@pytest.mark.parametrize("kind", ["line", "diagonal", "full"])
def test_density_agrees_with_tfp(make_mixture: MixtureFactory, kind: str) -> None:
    with warnings.catch_warnings():
        # TensorFlow and TFP use deprecated parts of NumPy and of the standard library on import.
        warnings.simplefilter("ignore")
        import tensorflow_probability as tfp

        tfd = tfp.distributions
        assert tfd.MixtureSameFamily is not None  # TFP loads itself on the first access.

    event_size = 1 if kind == "line" else 3
    p = make_mixture(4, num_inputs=10, event_size=event_size, full=kind == "full")
    if p.covariances is not None:
        components = tfd.MultivariateNormalTriL(p.means, np.linalg.cholesky(p.covariances))
    else:
        components = tfd.MultivariateNormalDiag(p.means, np.sqrt(p.variances))
    mixture = tfd.MixtureSameFamily(tfd.Categorical(probs=p.weights), components)
    y = np.random.default_rng(2).normal(scale=4.0, size=(7, 10, event_size))
    assert_allclose(p.log_prob(y), mixture.log_prob(y).numpy(), rtol=1e-11)
    assert_allclose(p.responsibilities(y), mixture.posterior_marginal(y).probs_parameter())


@given(seed=seeds, num_components=sizes, zero_weight=st.booleans())
def test_density_integrates_to_the_cdf(
    make_mixture: MixtureFactory, seed: int, num_components: int, *, zero_weight: bool
) -> None:
    p = make_mixture(seed, 1, num_components, zero_weight=zero_weight)
    y = p.means[0, :, 0].mean()
    knots = np.sort(p.means[0, :, 0])
    low, high = knots[0] - 40.0, knots[-1] + 40.0

    def area(start: float, stop: float) -> float:
        inside = knots[(knots > start) & (knots < stop)]
        return float(
            integrate.quad(
                lambda t: p.prob(t)[0], start, stop, points=inside, limit=500, epsabs=1e-12
            )[0]
        )

    assert_allclose(area(low, y), p.cdf(y)[0], atol=1e-9)
    assert_allclose(area(low, high), 1.0, atol=1e-9)


def test_density_of_the_plane_integrates_to_one(make_mixture: MixtureFactory) -> None:
    for full in (False, True):
        p = make_mixture(5, 1, 3, event_size=2, full=full)
        axis = np.linspace(-40.0, 40.0, 801)
        points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 1, 2)
        # The rectangle rule converges exponentially for a smooth density that dies out.
        area = p.prob(points).sum() * (axis[1] - axis[0]) ** 2
        assert_allclose(area, 1.0, rtol=1e-10)


@given(seed=seeds, num_components=sizes, event_size=st.integers(1, 3), full=st.booleans())
def test_the_order_of_components_means_nothing(
    make_mixture: MixtureFactory, seed: int, num_components: int, event_size: int, *, full: bool
) -> None:
    p = make_mixture(seed, 3, num_components, event_size, full=full)
    rng = np.random.default_rng(seed)
    order = rng.permutation(num_components)
    covariances = None if p.covariances is None else p.covariances[:, order]
    q = MixtureParameters(
        p.weights[:, order], p.means[:, order], p.variances[:, order], covariances
    )
    y = rng.normal(scale=3.0, size=(3, event_size))
    assert_allclose(q.log_prob(y), p.log_prob(y), rtol=1e-12)
    assert_allclose(q.responsibilities(y), p.responsibilities(y)[:, order], rtol=1e-9, atol=1e-300)


@given(seed=seeds, share=st.floats(0.0, 1.0))
def test_splitting_a_component_changes_nothing(
    make_mixture: MixtureFactory, seed: int, share: float
) -> None:
    p = make_mixture(seed)
    weights = np.concatenate([p.weights, p.weights[:, :1] * share], axis=1)
    weights[:, 0] *= 1.0 - share
    means = np.concatenate([p.means, p.means[:, :1]], axis=1)
    variances = np.concatenate([p.variances, p.variances[:, :1]], axis=1)
    q = MixtureParameters(weights, means, variances)
    y = np.random.default_rng(seed).normal(scale=3.0, size=3)
    assert_allclose(q.log_prob(y), p.log_prob(y), rtol=1e-12, atol=1e-12)
    assert_allclose(q.cdf(y), p.cdf(y), rtol=1e-12)
    merged = q.responsibilities(y)
    assert_allclose(merged[:, 0] + merged[:, -1], p.responsibilities(y)[:, 0], rtol=1e-10)


@given(seed=seeds, event_size=st.integers(1, 3), full=st.booleans())
def test_an_affine_map_shifts_the_log_density_by_its_determinant(
    make_mixture: MixtureFactory, seed: int, event_size: int, *, full: bool
) -> None:
    p = make_mixture(seed, event_size=event_size, full=full)
    rng = np.random.default_rng(seed)
    factor = rng.uniform(0.1, 10.0, event_size) * rng.choice([-1.0, 1.0], event_size)
    shift = rng.normal(scale=5.0, size=event_size)
    covariances = None if p.covariances is None else p.covariances * np.outer(factor, factor)
    q = MixtureParameters(p.weights, p.means * factor + shift, p.variances * factor**2, covariances)
    y = rng.normal(scale=3.0, size=(3, event_size))
    expected = p.log_prob(y) - np.log(np.abs(factor)).sum()
    assert_allclose(q.log_prob(y * factor + shift), expected, rtol=1e-8, atol=1e-8)


def test_diagonal_covariances_equal_variances(make_mixture: MixtureFactory) -> None:
    p = make_mixture(6, event_size=3)
    covariances = p.variances[..., np.newaxis] * np.eye(3)
    q = MixtureParameters(p.weights, p.means, p.variances, covariances)
    y = np.random.default_rng(0).normal(size=(3, 3))
    assert_allclose(q.log_prob(y), p.log_prob(y), rtol=1e-13)


def test_one_dimension_may_have_covariances(make_mixture: MixtureFactory) -> None:
    p = make_mixture(6)
    q = MixtureParameters(p.weights, p.means, p.variances, p.variances[..., np.newaxis])
    assert_array_equal(q.log_prob([0.0, 1.0, 2.0]), p.log_prob([0.0, 1.0, 2.0]))
    assert_array_equal(q.cdf([0.0, 1.0, 2.0]), p.cdf([0.0, 1.0, 2.0]))


def test_cdf_agrees_with_scipy_and_reaches_its_limits(make_mixture: MixtureFactory) -> None:
    p = make_mixture(7, num_inputs=5, zero_weight=True)
    y = np.linspace(-9.0, 9.0, 5)
    parts = stats.norm.cdf(y[:, np.newaxis], p.means[..., 0], np.sqrt(p.variances[..., 0]))
    assert_allclose(p.cdf(y), (p.weights * parts).sum(axis=1), rtol=1e-13)
    assert_array_equal(p.cdf(-np.inf), 0.0)
    assert_allclose(p.cdf(np.inf), 1.0, rtol=1e-15)


def test_cdf_never_exceeds_one() -> None:
    # In floating point 0.1 + 0.2 + 0.7 is below 1 and 0.7 + 0.2 + 0.1 + ... may lie above it.
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(9), 2000)
    assert (weights.sum(axis=1) > 1.0).any()
    p = MixtureParameters(weights, np.zeros((2000, 9)), np.ones((2000, 9)))
    assert p.cdf(50.0).max() == 1.0


def test_lower_tail_of_the_cdf_keeps_its_digits() -> None:
    p = MixtureParameters(np.ones((1, 1)), np.zeros((1, 1)), np.ones((1, 1)))
    # Abramowitz and Stegun, Handbook of Mathematical Functions (1964), table 26.2: -log Q(30).
    assert_allclose(-np.log10(p.cdf(-30.0)), 197.30921, atol=5e-6)


# Offsets, scales and weights at the edge of float64.


def test_a_large_offset_costs_no_precision() -> None:
    near = MixtureParameters(
        np.array([[0.25, 0.75]]), np.array([[-1.0, 1.0]]), np.array([[0.25, 4.0]])
    )
    far = MixtureParameters(near.weights, near.means + 1e9, near.variances)
    y = np.linspace(-4.0, 4.0, 33).reshape(-1, 1, 1)
    assert_array_equal(far.log_prob(1e9 + y), near.log_prob(y))
    assert_array_equal(far.cdf(1e9 + y), near.cdf(y))


def test_a_tiny_scale_costs_no_precision(make_mixture: MixtureFactory) -> None:
    unit, tiny = make_mixture(8), make_mixture(8, scale=1e-9)
    y = np.linspace(-4.0, 4.0, 33).reshape(-1, 1, 1)
    assert_allclose(tiny.log_prob(1e-9 * y), unit.log_prob(y) + np.log(1e9), rtol=1e-12)
    assert_allclose(tiny.cdf(1e-9 * y), unit.cdf(y), rtol=1e-12)


def test_scales_twelve_orders_apart() -> None:
    scales = np.array([[1e-6, 1e6]])
    p = MixtureParameters(np.array([[0.5, 0.5]]), np.zeros((1, 2)), scales**2)
    for y in (0.0, 2e-6, 1e-3, 2e6):
        terms = np.log(0.5) + stats.norm.logpdf(y, 0.0, scales[0])
        assert_allclose(p.log_prob(y)[0], special.logsumexp(terms), rtol=1e-13)
        assert_allclose(p.cdf(y)[0], 0.5 * stats.norm.cdf(y, 0.0, scales[0]).sum(), rtol=1e-13)


def test_log_density_far_out_does_not_underflow(make_mixture: MixtureFactory) -> None:
    p = MixtureParameters(np.array([[0.5, 0.5]]), np.zeros((1, 2)), np.ones((1, 2)))
    assert_allclose(p.log_prob(1e6), -5e11 - 0.5 * np.log(2.0 * np.pi), rtol=1e-15)
    assert_array_equal(p.responsibilities(1e6), [[0.5, 0.5]])
    shares = make_mixture(9).responsibilities(np.array([-1e8, 1e8, 1e12]))
    assert_allclose(shares.sum(axis=-1), 1.0, rtol=1e-15)
    for full in (False, True):
        # Beyond 1e154 standard deviations even the logarithm overflows, and must do so quietly.
        q = make_mixture(9, 1, 2, event_size=2, full=full)
        assert_array_equal(q.log_prob(np.array([[1e200, 0.0]])), -np.inf)
        assert_array_equal(q.prob(np.array([[1e200, 0.0]])), 0.0)
        assert np.isnan(q.responsibilities(np.array([[1e200, 0.0]]))).all()


def test_residuals_that_overflow_give_no_nan() -> None:
    variances = np.full((1, 1, 2), 1e-20)
    covariances = variances[..., np.newaxis] * np.eye(2)
    p = MixtureParameters(np.ones((1, 1)), np.zeros((1, 1, 2)), variances, covariances)
    assert_array_equal(p.log_prob(np.array([[1e300, 0.0]])), -np.inf)


def test_a_weight_of_zero_takes_no_part_wherever_it_sits() -> None:
    p = MixtureParameters(
        np.array([[0.0, 1.0]]), np.array([[1e308, 0.0]]), np.array([[1e-300, 1.0]])
    )
    single = p.weights[:, 1:], p.means[:, 1:], p.variances[:, 1:]
    q = MixtureParameters(*single)
    assert_array_equal(p.log_prob(0.5), q.log_prob(0.5))
    assert_array_equal(p.cdf(0.5), q.cdf(0.5))
    assert_array_equal(p.responsibilities(0.5), [[0.0, 1.0]])


# Shapes of y.


@pytest.mark.parametrize(
    ("num_inputs", "event_size", "shape", "expected"),
    [
        (3, 1, (), (3,)),
        (3, 1, (3,), (3,)),
        (3, 1, (3, 1), (3,)),
        (3, 1, (3, 3), (3, 3)),
        (3, 1, (1, 3), (1, 3)),
        (3, 1, (5, 3), (5, 3)),
        (3, 1, (0, 3), (0, 3)),
        (3, 1, (5, 3, 1), (5, 3)),
        (3, 1, (5, 1, 1), (5, 3)),
        (3, 1, (3, 1, 1), (3, 3)),
        (1, 1, (), (1,)),
        (1, 1, (1,), (1,)),
        (1, 1, (1, 1), (1,)),
        (1, 1, (5, 1), (5, 1)),
        (1, 1, (1, 1, 1), (1, 1)),
        (3, 2, (3, 2), (3,)),
        (3, 2, (5, 3, 2), (5, 3)),
        (3, 2, (5, 1, 2), (5, 3)),
        (2, 2, (2, 2), (2,)),
        (1, 2, (2,), (1,)),
        (1, 2, (1, 2), (1,)),
        (1, 2, (5, 1, 2), (5, 1)),
    ],
)
@pytest.mark.parametrize("full", [False, True])
def test_shapes_of_targets(
    make_mixture: MixtureFactory,
    num_inputs: int,
    event_size: int,
    shape: tuple[int, ...],
    expected: tuple[int, ...],
    *,
    full: bool,
) -> None:
    p = make_mixture(num_inputs=num_inputs, event_size=event_size, full=full)
    y = np.random.default_rng(0).normal(size=shape)
    result = p.log_prob(y)
    assert result.shape == expected
    assert p.responsibilities(y).shape == (*expected, 4)
    if event_size == 1:
        assert p.cdf(y).shape == expected

    # Every place of the result is the density of one target under one row.
    axes = y[..., 0] if y.ndim == 3 or y.shape == (num_inputs, event_size) else y
    for place in np.ndindex(*expected):
        row = place[-1]
        if event_size == 1:
            target = np.broadcast_to(axes, expected)[place].reshape(1, 1)
        else:
            whole = np.broadcast_to(y, (*expected, event_size))
            target = whole[place].reshape(1, event_size)
        assert_allclose(result[place], density.log_prob(target, *rows_of(p, row))[0], rtol=1e-13)


def rows_of(p: MixtureParameters, row: int) -> tuple[Any, ...]:
    covariances = None if p.covariances is None else p.covariances[[row]]
    return p.weights[[row]], p.means[[row]], p.variances[[row]], covariances


GRID = r"reshape\(-1, 1, 1\)"


@pytest.mark.parametrize(
    ("num_inputs", "event_size", "shape", "message"),
    [
        (3, 1, (5,), rf"y must have shape \(N,\) or \(N, 1\) with N = 3.*got shape \(5,\).*{GRID}"),
        (3, 1, (5, 1), rf"got shape \(5, 1\). If these are 5 values to try for every row.*{GRID}"),
        (3, 1, (1,), GRID),
        (3, 1, (1, 1), GRID),
        (1, 1, (5,), GRID),
        (3, 1, (3, 2), r"got shape \(3, 2\)\.$"),
        (3, 1, (3, 3, 2), r"got shape \(3, 3, 2\)\.$"),
        (3, 1, (5, 2, 1), r"got shape \(5, 2, 1\)\.$"),
        (3, 1, (1, 1, 3, 1), r"got shape \(1, 1, 3, 1\)\.$"),
        (3, 2, (), r"\(N, D\) = \(3, 2\).*got shape \(\)\.$"),
        (3, 2, (3,), r"got shape \(3,\)\.$"),
        (3, 2, (2,), r"one target for every row, pass y\[np.newaxis, np.newaxis, :\]"),
        (3, 2, (5, 2), r"5 targets to try for every row, pass y\[:, np.newaxis, :\]"),
        (1, 2, (5, 2), r"pass y\[:, np.newaxis, :\]"),
        (3, 2, (3, 1), r"got shape \(3, 1\)\.$"),
        (3, 2, (5, 3), r"got shape \(5, 3\)\.$"),
        (3, 2, (5, 3, 1), r"got shape \(5, 3, 1\)\.$"),
    ],
)
def test_shapes_that_do_not_fit_or_could_mean_two_things_are_refused(
    make_mixture: MixtureFactory,
    num_inputs: int,
    event_size: int,
    shape: tuple[int, ...],
    message: str,
) -> None:
    p = make_mixture(num_inputs=num_inputs, event_size=event_size)
    methods = [p.log_prob, p.prob, p.responsibilities, *([p.cdf] if event_size == 1 else [])]
    for method in methods:
        with pytest.raises(ValueError, match=message):
            method(np.zeros(shape))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([0.0, np.nan, 1.0], ValueError, r"y must be finite: 1 of 3 .* at index 1 \(nan\)"),
        ([0.0, 1.0, np.inf], ValueError, r"y must be finite: .* at index 2 \(inf\)"),
        (["a", "b", "c"], TypeError, "y must hold real numbers"),
        ([1j, 0j, 0j], TypeError, "y must hold real numbers, got dtype complex128"),
        ([[0.0], [1.0, 2.0]], ValueError, "y must be a rectangular array"),
    ],
)
def test_bad_targets_are_refused(
    make_mixture: MixtureFactory, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_mixture().log_prob(value)


def test_cdf_refuses_nan_and_more_than_one_dimension(make_mixture: MixtureFactory) -> None:
    with pytest.raises(ValueError, match=r"y must be finite: 1 of 3 .* index 1 \(nan\)"):
        make_mixture().cdf([np.inf, np.nan, 0.0])
    with pytest.raises(ValueError, match="cdf is for targets of one dimension .* event_size 2"):
        make_mixture(event_size=2).cdf(np.zeros((3, 2)))


@pytest.mark.parametrize("shape", [(700, 1), (4, 700, 1)])
def test_blocks_of_rows_join_without_a_seam(
    make_mixture: MixtureFactory, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    p = make_mixture(num_inputs=700)
    y = np.random.default_rng(0).normal(size=shape)
    whole = p.log_prob(y), p.responsibilities(y), p.cdf(y)
    monkeypatch.setattr(density, "BLOCK_SIZE", 50)
    for joined, expected in zip(
        (p.log_prob(y), p.responsibilities(y), p.cdf(y)), whole, strict=True
    ):
        assert_allclose(joined, expected, rtol=1e-14)
