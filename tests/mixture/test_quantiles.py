from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize, special, stats

from tfp_mdn.mixture import MixtureParameters, density

MixtureFactory = Callable[..., MixtureParameters]

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 6)
LEVELS = np.array([1e-9, 1e-4, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0 - 1e-4, 1.0 - 1e-9])


def scipy_tail(p: MixtureParameters, row: int, y: float, *, upper: bool) -> float:
    """Return P(Y > y) or P(Y ≤ y) of one row from SciPy's normal distribution."""
    used = p.weights[row] > 0.0
    residuals = (y - p.means[row, used, 0]) / np.sqrt(p.variances[row, used, 0])
    return float(p.weights[row, used] @ special.ndtr(-residuals if upper else residuals))


def scipy_quantile(p: MixtureParameters, row: int, level: float) -> float:
    """Return one quantile by Brent's method on the smaller tail."""
    upper = level > 0.5
    tail = 1.0 - level if upper else level
    ends = stats.norm.ppf(level, p.means[row, :, 0], np.sqrt(p.variances[row, :, 0]))
    low, high = ends.min() - 1e-9, ends.max() + 1e-9
    return float(
        optimize.brentq(
            lambda y: scipy_tail(p, row, y, upper=upper) / tail - 1.0, low, high, xtol=1e-14
        )
    )


def assert_solves(p: MixtureParameters, levels: np.ndarray, places: np.ndarray) -> None:
    """Check the smaller tail at each place, or that the level lies between its neighbours'."""
    for level, row in zip(levels, places, strict=True):
        upper = level > 0.5
        tail = 1.0 - level if upper else level
        for n, y in enumerate(row):
            found = scipy_tail(p, n, y, upper=upper)
            if abs(found - tail) <= 1e-10 * tail:
                continue
            around = [
                scipy_tail(p, n, float(np.nextafter(y, side)), upper=upper)
                for side in (-np.inf, np.inf)
            ]
            assert min(around) <= tail <= max(around), (level, n, y, found)


@given(seed=seeds, num_components=sizes, zero_weight=st.booleans())
def test_quantiles_agree_with_brent(
    make_mixture: MixtureFactory, seed: int, num_components: int, *, zero_weight: bool
) -> None:
    p = make_mixture(seed, 1, num_components, zero_weight=zero_weight)
    expected = [scipy_quantile(p, 0, level) for level in LEVELS]
    assert_allclose(p.quantile(LEVELS)[:, 0], expected, rtol=1e-8, atol=1e-9)


@given(seed=seeds, level=st.floats(1e-12, 1.0 - 1e-12))
def test_cdf_undoes_quantile_and_quantile_undoes_cdf(
    make_mixture: MixtureFactory, seed: int, level: float
) -> None:
    p = make_mixture(seed, 5, zero_weight=True)
    y = p.quantile(level)
    assert_allclose(p.cdf(y), level, rtol=1e-10, atol=1e-14)
    # Back again where the density is not so small that the level says little about the place.
    steep = p.prob(y) > 1e-3
    again = np.array([p[n].quantile(p[n].cdf(y[n])[0])[0] for n in np.flatnonzero(steep)])
    assert_allclose(again, y[steep], rtol=1e-9, atol=1e-9)


@given(
    seed=seeds,
    num_components=st.integers(1, 8),
    spread=st.sampled_from([0.0, 1.0, 1e3, 1e9]),
    decades=st.sampled_from([0.0, 1.0, 6.0]),
    concentration=st.sampled_from([1.0, 0.05]),
)
def test_hard_mixtures(
    seed: int, num_components: int, spread: float, decades: float, concentration: float
) -> None:
    rng = np.random.default_rng(seed)
    shape = 4, num_components
    weights = rng.dirichlet(np.full(num_components, concentration), 4)
    scales = 10.0 ** rng.uniform(-decades, decades, shape)
    p = MixtureParameters(weights, spread * rng.normal(size=shape), scales**2)
    levels = np.concatenate([[1e-100, 1e-20], LEVELS, [1.0 - 1e-15]])
    places = p.quantile(levels)
    assert (np.diff(places, axis=0) >= 0.0).all()
    assert_solves(p, levels, places)


def mixture(weights: list[float], means: list[float], scales: list[float]) -> MixtureParameters:
    return MixtureParameters(np.array([weights]), np.array([means]), np.square([scales]))


@pytest.mark.parametrize(
    "p",
    [
        mixture([0.5, 0.5], [1e9 - 1.0, 1e9 + 1.0], [1.0, 1.0]),
        mixture([0.5, 0.5], [0.0, 0.0], [1e-6, 1e6]),
        mixture([0.3, 0.7], [-1e9, 1e9], [1e-3, 1e-3]),
        mixture([1.0 - 1e-12, 1e-12], [0.0, 1e6], [1e-9, 1.0]),
        mixture([0.5, 0.5, 0.0], [0.0, 1.0, 1e308], [1.0, 1e-3, 1e-150]),
        mixture([0.004, 0.841, 0.155], [-3.5e149, -3.0e149, 1.3e150], [1.0, 1e-60, 1e60]),
        mixture([0.2, 0.2, 0.6], [5.0, 5.0, 5.0], [1e-12, 1e-12, 1.0]),
    ],
)
def test_extreme_mixtures(p: MixtureParameters) -> None:
    levels = np.concatenate([LEVELS, [0.2, 0.3, 0.3 + 1e-15, 0.50000001, 0.6, 0.7, 0.845]])
    places = p.quantile(levels)
    assert_solves(p, levels, places)
    assert (np.diff(p.quantile(np.sort(levels))[:, 0]) >= 0.0).all()


def test_levels_inside_a_gap_do_not_stall() -> None:
    # The level at which the distribution function is flat belongs to every place in the gap.
    p = mixture([0.5, 0.5], [-1e9, 1e9], [1.0, 1.0])
    assert abs(p.median()[0]) <= 1e9
    assert_array_equal(p.cdf(p.median()), 0.5)
    inner = p.quantile([0.25, 0.75])[:, 0]
    assert_allclose(inner, [-1e9, 1e9], rtol=1e-15)


def test_one_component_is_solved_by_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    means, scales = 1e6 * rng.normal(size=(50, 1)), rng.uniform(1e-6, 1e6, (50, 1))
    p = MixtureParameters(np.ones((50, 1)), means, scales**2)
    lower = means[:, 0] + p.stddev()[:, 0] * stats.norm.ppf(0.05)
    assert_array_equal(p.quantile(0.05), lower)
    assert_array_equal(p.median(), means[:, 0])
    twice = MixtureParameters(
        np.tile([0.25, 0.75], (50, 1)), np.repeat(means, 2, 1), np.repeat(scales**2, 2, 1)
    )
    assert_array_equal(twice.quantile([0.05, 0.95]), p.quantile([0.05, 0.95]))
    assert_allclose(p.quantile(0.95), means[:, 0] - p.stddev()[:, 0] * stats.norm.ppf(0.05))


@given(seed=seeds, factor=st.sampled_from([-1e6, -0.5, 1e-9, 3.0]))
def test_quantiles_follow_an_affine_map(
    make_mixture: MixtureFactory, seed: int, factor: float
) -> None:
    p = make_mixture(seed)
    q = p.transform(loc=2.0, scale=factor)
    levels = LEVELS if factor > 0.0 else 1.0 - LEVELS
    # 1 - 1e-9 rounds, so the far levels agree only as well as their tails do.
    assert_allclose(q.quantile(levels), 2.0 + factor * p.quantile(LEVELS), rtol=1e-7, atol=1e-9)


@given(seed=seeds, share=st.floats(0.0, 1.0))
def test_order_and_splitting_of_components_mean_nothing(
    make_mixture: MixtureFactory, seed: int, share: float
) -> None:
    p = make_mixture(seed)
    order = np.random.default_rng(seed).permutation(4)
    shuffled = MixtureParameters(p.weights[:, order], p.means[:, order], p.variances[:, order])
    weights = np.concatenate([p.weights, share * p.weights[:, :1]], axis=1)
    weights[:, 0] *= 1.0 - share
    means, variances = (
        np.concatenate([array, array[:, :1]], axis=1) for array in (p.means, p.variances)
    )
    split = MixtureParameters(weights, means, variances)
    for q in (shuffled, split):
        assert_allclose(q.quantile(LEVELS), p.quantile(LEVELS), rtol=1e-7, atol=1e-8)


def test_levels_keep_their_order_and_shape(make_mixture: MixtureFactory) -> None:
    p = make_mixture(num_inputs=3)
    levels = np.array([0.9, 0.1, 0.5, 0.5, 0.0, 1.0])
    places = p.quantile(levels)
    assert places.shape == (6, 3)
    assert_array_equal(places[2], places[3])
    assert_array_equal(places[4], -np.inf)
    assert_array_equal(places[5], np.inf)
    for level, row in zip(levels, places, strict=True):
        assert p.quantile(level).shape == (3,)
        assert_allclose(p.quantile(level), row, rtol=1e-9, atol=1e-9)
    assert p.quantile([]).shape == (0, 3)
    assert p.quantile([0.5]).shape == (1, 3)
    assert p[:0].quantile([0.1, 0.5]).shape == (2, 0)
    assert p[:0].interval().shape == (0, 2)
    assert p[:0].median().shape == (0,)
    assert p[0].interval().shape == (1, 2)


def test_the_interval_leaves_equal_tails_outside(make_mixture: MixtureFactory) -> None:
    p = make_mixture(1, 20)
    for coverage in (1e-6, 0.5, 0.9, 1.0 - 1e-12):
        ends = p.interval(coverage)
        tail = 0.5 * (1.0 - coverage)
        assert_allclose(p.cdf(ends[:, 0]), tail, rtol=1e-10)
        assert_allclose(p.survival_function(ends[:, 1]), tail, rtol=1e-10)
    assert_array_equal(p.interval(), p.interval(0.9))


def test_blocks_of_rows_join_without_a_seam(
    make_mixture: MixtureFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    p = make_mixture(num_inputs=100)
    whole = p.quantile(LEVELS)
    monkeypatch.setattr(density, "BLOCK_SIZE", 28)
    assert_allclose(p.quantile(LEVELS), whole, rtol=1e-12)


@pytest.mark.parametrize("method", ["quantile", "crps", "cdf"])
def test_memory_beside_the_result_does_not_grow_with_rows(
    make_mixture: MixtureFactory, method: str
) -> None:
    extra = []
    for num_rows in (25_000, 75_000):
        p = make_mixture(0, num_rows, 10)
        argument = np.array([0.1, 0.5, 0.9]) if method == "quantile" else np.zeros(num_rows)
        tracemalloc.start()
        try:
            result = getattr(p, method)(argument)
            extra.append(tracemalloc.get_traced_memory()[1] - result.nbytes)
        finally:
            tracemalloc.stop()
    assert extra[1] < 1.1 * extra[0] + 1e6


@pytest.mark.parametrize(
    ("method", "value", "error", "message"),
    [
        ("quantile", 1.5, ValueError, "q must hold levels from 0 to 1, got 1.5. Divide perc"),
        ("quantile", -0.1, ValueError, "q must hold levels from 0 to 1, got -0.1"),
        ("quantile", np.nan, ValueError, "q must be finite"),
        ("quantile", np.full((2, 2), 0.5), ValueError, r"array \(Q,\), got shape \(2, 2\)"),
        ("quantile", "half", TypeError, "q must hold real numbers"),
        ("interval", 0.0, ValueError, "coverage must be finite and greater than 0 and less than 1"),
        ("interval", 1.0, ValueError, "coverage must be finite"),
        ("interval", 90, ValueError, "less than 1, got 90"),
        ("interval", "90%", TypeError, "coverage must be a number"),
        ("interval", np.array([0.9]), TypeError, r"got array\(\[0.9\]\) of type ndarray"),
    ],
)
def test_bad_levels_are_refused(
    make_mixture: MixtureFactory, method: str, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        getattr(make_mixture(), method)(value)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("quantile", (0.5,)),
        ("median", ()),
        ("interval", ()),
        ("pit", (np.zeros((3, 2)),)),
        ("crps", (np.zeros((3, 2)),)),
        ("log_cdf", (np.zeros((3, 2)),)),
        ("survival_function", (np.zeros((3, 2)),)),
        ("log_survival_function", (np.zeros((3, 2)),)),
        ("highest_density_region", ()),
        ("skewness", ()),
        ("kurtosis", ()),
    ],
)
def test_what_is_for_one_dimension_says_so(
    make_mixture: MixtureFactory, method: str, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(ValueError, match=f"^{method} is for targets of one dimension .*marginal"):
        getattr(make_mixture(event_size=2), method)(*arguments)


# Tails of the distribution function.


def test_tails_agree_with_scipy(make_mixture: MixtureFactory) -> None:
    p = make_mixture(2, 30, zero_weight=True)
    y = np.linspace(-20.0, 20.0, 30)
    normal = stats.norm(p.means[..., 0], p.variances[..., 0] ** 0.5)
    place = y[:, np.newaxis]
    below, above = ((p.weights * part(place)).sum(axis=1) for part in (normal.cdf, normal.sf))
    assert_allclose(p.survival_function(y), above, rtol=1e-12)
    # Near 1 the complement has the digits of the logarithm.
    logs = np.where(above < 0.5, np.log(above), np.log1p(-np.minimum(below, 0.6)))
    assert_allclose(p.log_survival_function(y), logs, rtol=1e-12)
    logs = np.where(below < 0.5, np.log(below), np.log1p(-np.minimum(above, 0.6)))
    assert_allclose(p.log_cdf(y), logs, rtol=1e-12)
    assert_array_equal(p.pit(y), p.cdf(y))


def test_log_tails_go_on_where_tails_underflow() -> None:
    p = mixture([0.5, 0.5], [0.0, 0.0], [1.0, 1.0])
    expected = stats.norm.logcdf(-100.0)
    assert_allclose(p.log_cdf(-100.0), expected, rtol=1e-14)
    assert_allclose(p.log_survival_function(100.0), expected, rtol=1e-14)
    assert_allclose(p.log_cdf(30.0), -stats.norm.sf(30.0), rtol=1e-12)
    assert_array_equal(p.log_cdf([[-np.inf], [np.inf]]), [[-np.inf], [0.0]])
    assert_array_equal(p.survival_function([[-np.inf], [np.inf]]), [[1.0], [0.0]])


def test_components_whose_variance_of_means_overflows() -> None:
    p = mixture([0.3, 0.7], [0.0, 1e200], [1.0, 1.0])
    assert_array_equal(p.median(), 1e200)
    assert_allclose(p.quantile(0.15), 0.0, atol=1e-12)


def test_a_coverage_may_be_an_array_without_axes(make_mixture: MixtureFactory) -> None:
    p = make_mixture()
    coverage: Any = np.array(0.8)
    assert_array_equal(p.interval(coverage), p.interval(0.8))
