from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize, stats

from tfp_mdn.mixture import MixtureParameters, density

MixtureFactory = Callable[..., MixtureParameters]

seeds = st.integers(0, 2**32 - 1)


def mass(p: MixtureParameters, row: int, region: np.ndarray) -> float:
    used = p.weights[row] > 0.0
    normal = stats.norm(p.means[row, used, 0], np.sqrt(p.variances[row, used, 0]))
    parts = normal.cdf(region[:, 1, np.newaxis]) - normal.cdf(region[:, 0, np.newaxis])
    return float((parts @ p.weights[row, used]).sum())


def grid_region(p: MixtureParameters, coverage: float) -> tuple[float, int]:
    """Return total length and number of intervals by sorting the cells of a fine grid."""
    spread = 12.0 * p.stddev()[0, 0]
    edges = np.linspace(p.mean()[0, 0] - spread, p.mean()[0, 0] + spread, 400_001)
    middles = 0.5 * (edges[1:] + edges[:-1])
    height = p.prob(middles.reshape(-1, 1, 1))[:, 0]
    width = edges[1] - edges[0]
    order = np.argsort(-height)
    inside = np.zeros(len(middles), dtype=bool)
    inside[order[: np.searchsorted(np.cumsum(height[order]) * width, coverage) + 1]] = True
    starts = np.diff(np.concatenate([[0], inside.astype(int)])) == 1
    return float(inside.sum() * width), int(starts.sum())


@given(
    seed=seeds,
    coverage=st.floats(1e-3, 0.999),
    num_components=st.integers(1, 8),
    spread=st.sampled_from([1.0, 4.0, 1e4]),
    decades=st.sampled_from([0.2, 3.0]),
)
def test_mass_is_the_coverage_and_the_ends_are_level(
    seed: int, coverage: float, num_components: int, spread: float, decades: float
) -> None:
    rng = np.random.default_rng(seed)
    shape = 3, num_components
    scales = 10.0 ** rng.uniform(-decades, decades, shape)
    p = MixtureParameters(
        rng.dirichlet(np.full(num_components, 0.5), 3), spread * rng.normal(size=shape), scales**2
    )
    for row, region in enumerate(p.highest_density_region(coverage)):
        assert abs(mass(p, row, region) - coverage) <= 1e-8
        assert (region[:, 0] < region[:, 1]).all()
        assert (region[1:, 0] > region[:-1, 1]).all()
        assert len(region) <= len(p.modes()[row])
        levels = p[row].log_prob(region.reshape(-1, 1, 1))
        # An end is rounded to float64, which matters for a narrow component far from 0.
        rounding = np.spacing(np.abs(region).max()) / scales[row].min()
        assert np.ptp(levels) <= 1e-9 + 40.0 * rounding
        # Highest: every mode outside lies lower than the ends, every mode inside higher.
        for mode in p.modes()[row][:, 0]:
            inside = ((region[:, 0] <= mode) & (mode <= region[:, 1])).any()
            above = p[row].log_prob(mode)[0] - levels.mean()
            assert above >= -1e-6 if inside else above <= 1e-6


@pytest.mark.parametrize("coverage", [0.1, 0.5, 0.8, 0.95])
def test_regions_agree_with_a_sorted_grid(make_mixture: MixtureFactory, coverage: float) -> None:
    p = make_mixture(11, 8, 5)
    for row, region in enumerate(p.highest_density_region(coverage)):
        length, count = grid_region(p[row], coverage)
        assert len(region) == count
        assert_allclose((region[:, 1] - region[:, 0]).sum(), length, rtol=2e-3)


@given(seed=seeds, coverage=st.sampled_from([0.2, 0.5, 0.9]))
def test_no_interval_of_this_mass_is_shorter(
    make_mixture: MixtureFactory, seed: int, coverage: float
) -> None:
    p = make_mixture(seed, 1, 3)
    region = p.highest_density_region(coverage)[0]
    length = (region[:, 1] - region[:, 0]).sum()

    def width(tail: float) -> float:
        low, high = p.quantile([tail, min(tail + coverage, 1.0)])[:, 0]
        return float(high - low)

    tails = np.linspace(1e-6, 1.0 - coverage - 1e-6, 30)
    best = min(width(tail) for tail in tails)
    assert length <= best + 1e-7


@pytest.mark.parametrize("coverage", [1e-9, 1e-6, 0.3, 0.9, 1.0 - 1e-9, 1.0 - 1e-13])
def test_one_component_has_its_central_interval(coverage: float) -> None:
    p = MixtureParameters(np.ones((1, 1)), np.array([[3.0]]), np.array([[4.0]]))
    region = p.highest_density_region(coverage)[0]
    assert region.shape == (1, 2)
    assert abs(mass(p, 0, region) - coverage) <= 1e-8
    reach = -2.0 * stats.norm.ppf(0.5 * (1.0 - coverage))
    # Close to the mode an interval is blurred by the root of the rounding of log p.
    assert_allclose(region[0], [3.0 - reach, 3.0 + reach], atol=1e-8, rtol=1e-8)


def test_two_components_agree_with_a_direct_solution() -> None:
    # By symmetry the region is two intervals about -2 and 2, or one, and t solves one equation.
    p = MixtureParameters(np.full((1, 2), 0.5), np.array([[-2.0, 2.0]]), np.ones((1, 2)))

    def f(y: float) -> float:
        return float(0.5 * (stats.norm.pdf(y - 2.0) + stats.norm.pdf(y + 2.0)))

    def cdf(y: float) -> float:
        return float(0.5 * (stats.norm.cdf(y - 2.0) + stats.norm.cdf(y + 2.0)))

    peak = p.modes()[0].max()

    def ends(level: float) -> tuple[float, float]:
        outer = optimize.brentq(lambda y: f(y) - level, peak, 20.0, xtol=1e-14)
        return optimize.brentq(lambda y: f(y) - level, 0.0, peak, xtol=1e-14), outer

    def excess(level: float) -> float:
        inner, outer = ends(level)
        return 2.0 * (cdf(outer) - cdf(inner)) - 0.8

    level = optimize.brentq(excess, f(0.0) * (1 + 1e-9), f(peak) * (1 - 1e-9), xtol=1e-16)
    inner, outer = ends(level)
    expected = [[-outer, -inner], [inner, outer]]
    assert_allclose(p.highest_density_region(0.8)[0], expected, atol=1e-8)
    # The level at which the two meet has a dip of density f(0).
    whole = p.highest_density_region(0.99)[0]
    assert whole.shape == (1, 2)
    assert abs(mass(p, 0, whole) - 0.99) <= 1e-10


def test_tiny_and_empty_components_and_gaps() -> None:
    p = MixtureParameters(
        np.array([[0.5, 0.5, 0.0], [0.999, 0.001, 0.0], [0.5, 0.5 - 1e-12, 1e-12]]),
        np.array([[-1e6, 1e6, 1e308], [0.0, 1e3, 0.0], [0.0, 0.0, 50.0]]),
        np.array([[1.0, 1.0, 1e-300], [1.0, 1e-12, 1.0], [1e-12, 1e12, 1.0]]),
    )
    for coverage in (0.01, 0.6, 0.9995):
        for row, region in enumerate(p.highest_density_region(coverage)):
            assert abs(mass(p, row, region) - coverage) <= 1e-8
    assert [len(region) for region in p.highest_density_region(0.9995)][:2] == [2, 2]


def test_equal_peaks_have_equal_intervals() -> None:
    p = MixtureParameters(np.full((1, 3), 1 / 3), np.array([[-9.0, 0.0, 9.0]]), np.ones((1, 3)))
    region = p.highest_density_region(0.5)[0]
    assert region.shape == (3, 2)
    assert_allclose(region[:, 1] - region[:, 0], region[0, 1] - region[0, 0], rtol=1e-7)


@given(seed=seeds, factor=st.sampled_from([-100.0, 1e-9, 2.0]))
def test_regions_follow_an_affine_map(
    make_mixture: MixtureFactory, seed: int, factor: float
) -> None:
    p = make_mixture(seed)
    for region, mapped in zip(
        p.highest_density_region(0.7),
        p.transform(scale=factor).highest_density_region(0.7),
        strict=True,
    ):
        expected = np.sort((factor * region).ravel()).reshape(-1, 2)
        assert_allclose(mapped, expected, rtol=1e-6, atol=1e-7 * abs(factor))


def test_shapes_blocks_and_bad_coverage(
    make_mixture: MixtureFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    p = make_mixture(0, 9)
    assert p[:0].highest_density_region(0.5) == []
    whole = p.highest_density_region()
    assert all(region.ndim == 2 and region.shape[1] == 2 for region in whole)
    monkeypatch.setattr(density, "BLOCK_SIZE", 40)
    for mine, theirs in zip(p.highest_density_region(0.9), whole, strict=True):
        assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9)
    bad: list[tuple[Any, type[Exception], str]] = [
        (0.0, ValueError, "coverage must be finite and greater than 0"),
        (1.0, ValueError, "less than 1, got 1.0"),
        ("all", TypeError, "coverage must be a number"),
    ]
    for value, error, message in bad:
        with pytest.raises(error, match=message):
            p.highest_density_region(value)
    assert_array_equal(whole[0].shape[1], 2)


def test_components_narrower_than_the_numbers_around_them() -> None:
    # The point at 3 lies inside, so that the other component keeps 0.4 of its 0.5.
    p = MixtureParameters(np.array([[0.5, 0.5]]), np.array([[0.0, 3.0]]), np.array([[1.0, 1e-40]]))
    first, second = p.highest_density_region(0.9)[0]
    assert_allclose(first, [-1.2815515655446004, 1.2815515655446004], rtol=1e-9)
    assert_allclose(second, 3.0, rtol=1e-14)
    far = MixtureParameters(
        np.array([[0.3, 0.7]]), np.array([[0.0, 1e200]]), np.array([[1.0, 1.0]])
    )
    first, second = far.highest_density_region(0.9)[0]
    assert abs(first).max() < 40.0
    assert_allclose(second, 1e200, rtol=1e-14)
