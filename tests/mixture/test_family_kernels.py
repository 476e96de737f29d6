"""Quantiles, scores, modes and regions of mixtures of other components."""

from __future__ import annotations

import numpy as np
import pytest
import scoringrules
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from tests.mixture.test_family_mixture import FAMILIES, POSITIVE, make, mixture_of
from tfp_mdn.mixture import scores
from tfp_mdn.mixture._family_slopes import FINEST
from tfp_mdn.mixture.families import FAMILIES as TABLE


@given(
    family=st.sampled_from(FAMILIES),
    seed=st.integers(0, 10**6),
    num_components=st.integers(1, 5),
    log_scale=st.integers(-6, 6),
)
def test_quantiles_invert_both_tails(
    family: str, seed: int, num_components: int, log_scale: int
) -> None:
    p = make(family, seed, 2, num_components, least_df=0.3).transform(scale=10.0**log_scale)
    lower = np.array([1e-12, 1e-6, 0.01, 0.2, 0.5])
    y = p.quantile(lower)
    assert (np.diff(y, axis=0) > 0.0).all()
    np.testing.assert_allclose(p.cdf(y[..., np.newaxis]), lower[:, np.newaxis] + 0.0 * y, rtol=1e-9)
    ends = p.interval(1.0 - 1e-6)
    np.testing.assert_allclose(p.survival_function(ends[:, 1]), 5e-7, rtol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_ends_of_levels_and_targets(family: str) -> None:
    p = make(family)
    assert (p.quantile([0.0, 1.0]) == [[-np.inf], [np.inf]]).all()
    np.testing.assert_allclose(p.cdf(np.full(3, np.inf)), 1.0, rtol=1e-15)
    np.testing.assert_array_equal(p.cdf(np.full(3, -np.inf)), 0.0)
    np.testing.assert_array_equal(p.log_survival_function(np.full(3, np.inf)), -np.inf)
    if family in POSITIVE:
        assert (p.log_prob(np.full(3, -1.0)) == -np.inf).all()
        np.testing.assert_array_equal(p.cdf(np.full(3, -1.0)), 0.0)
        np.testing.assert_allclose(p.crps(np.full(3, -1.0)), p.crps(np.zeros(3)) + 1.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_crps_is_its_integral(family: str) -> None:
    p = make(family, 7, 4, 4, least_df=1.3)
    y = p.sample(1, rng=0)[0, :, 0]
    for n in range(4):
        one = p[n]
        places = one.quantile([1e-9, 1e-4, 0.02, 0.2, 0.5, 0.8, 0.98, 1 - 1e-4, 1 - 1e-9])[:, 0]
        cuts = np.unique([0.0 if family in POSITIVE else -np.inf, *places, y[n], np.inf])
        total = 0.0
        for a, b in zip(cuts[:-1], cuts[1:], strict=True):
            tail = one.cdf if b <= y[n] else one.survival_function
            total += integrate.quad(lambda t, f=tail: f(t)[0] ** 2, a, b, epsrel=1e-11, limit=400)[
                0
            ]
        assert one.crps(y[n])[0] == pytest.approx(total, rel=1e-8)


def test_the_crps_of_one_component_is_that_of_scoringrules() -> None:
    y = np.array([-2.0, 0.3, 1.0, 5.0])
    loc, scale, df = np.array([0.0, 0.5, 1.0, 2.0]), np.array([0.5, 1.0, 0.1, 2.0]), 3.5
    t, logistic, lognormal = (
        mixture_of(name, np.ones((4, 1)), loc[:, None], scale[:, None], d)
        for name, d in (("student_t", df), ("logistic", None), ("lognormal", None))
    )
    np.testing.assert_allclose(t.crps(y), scoringrules.crps_t(y, df, loc, scale), rtol=1e-8)
    expected = scoringrules.crps_logistic(y, loc, scale)
    np.testing.assert_allclose(logistic.crps(y), expected, rtol=1e-8)
    expected = scoringrules.crps_lognormal(np.abs(y), loc, scale)
    np.testing.assert_allclose(lognormal.crps(np.abs(y)), expected, rtol=1e-8)
    truncated = mixture_of("truncated_normal", np.ones((4, 1)), loc[:, None], scale[:, None])
    expected = scoringrules.crps_tnormal(np.abs(y), loc, scale, 0.0, np.inf)
    np.testing.assert_allclose(truncated.crps(np.abs(y)), expected, rtol=1e-8)


@pytest.mark.parametrize("family", FAMILIES)
def test_other_scores_follow_from_their_definitions(family: str) -> None:
    p = make(family, 8)
    y = p.sample(1, rng=3)[0, :, 0]
    lower, upper = p.interval(0.8).T
    expected = upper - lower + 10.0 * (np.maximum(lower - y, 0) + np.maximum(y - upper, 0))
    np.testing.assert_allclose(scores.interval_score(p, y, 0.8), expected, rtol=1e-12)
    for half in (0.3, 1e-4, 1e-9):
        found = scores.censored_log_score(p, y, half)
        below, above = p.cdf(y - half), p.cdf(y + half)
        exact = above - below if half > 0.1 else 2.0 * half * p.prob(y)
        np.testing.assert_allclose(np.exp(-found), exact, rtol=1e-9 if half != 1e-4 else 1e-5)
    estimate, error = scores.energy_score(p, y, size=4000, rng=0)
    assert (np.abs(estimate - p.crps(y)) < 5.0 * error).all()


@given(family=st.sampled_from(FAMILIES), seed=st.integers(0, 10**6), size=st.integers(1, 6))
def test_all_modes_are_found(family: str, seed: int, size: int) -> None:
    p = make(family, seed, 1, size, least_df=0.5)
    found = np.sort(p.modes()[0][:, 0])
    functions = TABLE[family]
    parts = (p.locs, p.scales) if p.df is None else (p.locs, p.scales, p.df)
    shape = [part[0, :, 0] for part in parts]
    # Around every component, on its own scale, and not only between the modes that were found.
    own, turns = functions.mode(*shape), functions.knots(*shape)
    span = np.linspace(-1.0, 1.0, 2001)[:, np.newaxis] * np.ptp(turns, axis=0)
    grid = np.unique(np.concatenate([(own + span).ravel(), [functions.lower_end]]))
    grid = grid[np.isfinite(grid) & (grid >= functions.lower_end)]
    density = np.concatenate([[-np.inf], p.log_prob(grid.reshape(-1, 1, 1))[:, 0], [-np.inf]])
    inner = density[1:-1]
    # Peaks that stand out by more than rounding.
    higher = (inner > density[:-2] + 1e-13) & (inner > density[2:] + 1e-13)
    for place in np.flatnonzero(higher):
        low, high = grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]
        assert ((found >= low) & (found <= high)).any(), grid[place]
    step = 1e-5 * p.scales.min() * np.maximum(1e-3, np.abs(found)) ** (family == "lognormal")
    for side in (-1.0, 1.0):
        beside = p.log_prob((found + side * step).reshape(-1, 1, 1))[:, 0]
        assert (beside <= p.log_prob(found.reshape(-1, 1, 1))[:, 0] + 1e-12).all()
    heights = p.log_prob(p.modes()[0].reshape(-1, 1, 1))[:, 0]
    assert (np.diff(heights) <= 1e-12).all()
    assert p.mode()[0, 0] == p.modes()[0][0, 0]


@given(
    family=st.sampled_from(FAMILIES),
    seed=st.integers(0, 10**6),
    coverage=st.sampled_from([0.1, 0.5, 0.9, 0.999]),
)
def test_regions_hold_their_coverage_at_one_density(
    family: str, seed: int, coverage: float
) -> None:
    p = make(family, seed, 1, 3, least_df=1.5)
    region = p.highest_density_region(coverage)[0]
    mass = np.diff(p.cdf(region.reshape(-1, 1, 1))[:, 0].reshape(-1, 2)).sum()
    assert mass == pytest.approx(coverage, abs=1e-8)
    ends = region.ravel()
    edges = p.log_prob(ends[ends > 0.0].reshape(-1, 1, 1)) if family in POSITIVE else None
    edges = p.log_prob(ends.reshape(-1, 1, 1)) if edges is None else edges
    assert np.ptp(edges) < 1e-6


def test_a_truncated_normal_that_falls_from_0_has_its_mode_there() -> None:
    p = mixture_of("truncated_normal", [[1.0]], [[-1.0]], [[1.0]])
    assert p.modes()[0].tolist() == [[0.0]]
    region = p.highest_density_region(0.5)[0]
    assert region[0, 0] == 0.0
    assert region[0, 1] == pytest.approx(p.median()[0], rel=1e-10)
    two = mixture_of("truncated_normal", [[0.5, 0.5]], [[-1.0, 3.0]], [[1.0, 0.5]])
    assert two.modes()[0][:, 0] == pytest.approx([0.0, 3.0], abs=0.02)


def test_modes_that_merge_are_told_apart_as_far_as_is_said() -> None:
    scale = 1.0
    for gap in (1.5, 2.0, 2.1, 4.0):
        p = mixture_of("logistic", [[0.5, 0.5]], [[-gap, gap]], [[scale, scale]])
        # Two equal logistic components part where f'' changes its sign at their middle.
        expected = 1 if gap < np.log(2.0 + np.sqrt(3.0)) else 2
        assert len(p.modes()[0]) == expected
    assert 0.1 * scale > FINEST


@pytest.mark.parametrize("a", [-30.0, -3.0, 0.0, 2.9, 3.1, 12.0, 1e3, 1e8])
def test_truncated_normal_far_out_is_exact(a: float) -> None:
    p = mixture_of("truncated_normal", [[1.0]], [[-a]], [[1.0]])
    # E[T] and so on by Gauss-Laguerre in the units in which the density falls off.
    unit = 1.0 / max(a, 1.0)
    t = (
        np.linspace(0.0, 40.0, 400001)
        if a > 0.0
        else np.linspace(max(-a - 12.0, 0), -a + 12, 400001)
    )
    t = t * unit if a > 0.0 else t
    density = np.exp(-0.5 * t * (t + 2.0 * a)) if a > 0.0 else np.exp(-0.5 * (t + a) ** 2)
    total = integrate.simpson(density, x=t)
    mean = integrate.simpson(t * density, x=t) / total
    assert p.mean()[0, 0] == pytest.approx(mean, rel=1e-9)
    spread = integrate.simpson((t - mean) ** 2 * density, x=t) / total
    assert p.variance()[0, 0] == pytest.approx(spread, rel=1e-8)
    third, fourth = (
        integrate.simpson(((t - mean) / np.sqrt(spread)) ** q * density, x=t) / total
        for q in (3, 4)
    )
    assert p.skewness()[0] == pytest.approx(third, rel=1e-7, abs=1e-9)
    assert p.kurtosis()[0] == pytest.approx(fourth - 3.0, rel=1e-7, abs=1e-9)
    y = np.array([[[1e-9 * mean]], [[mean]], [[3.0 * mean]]])
    np.testing.assert_allclose(p.quantile(p.cdf(y[:2])[:, 0])[:, 0], y[:2, 0, 0], rtol=1e-8)
    levels = p.survival_function(y)[1:, 0] + p.cdf(y)[1:, 0]
    np.testing.assert_allclose(levels, 1.0, rtol=1e-12)


@pytest.mark.parametrize("df", [0.3, 1.0, 2.5, 30.0, 1e3, 1e6, 1e12])
def test_student_tails_reach_the_end_of_the_numbers(df: float) -> None:
    p = mixture_of("student_t", [[1.0]], [[0.0]], [[1.0]], df=df)
    y = np.array([0.5, 3.0, 30.0, 300.0])
    found = p.log_survival_function(y.reshape(-1, 1, 1))[:, 0]
    exact = stats.t(df).logsf(y)
    usual = exact > -600.0
    np.testing.assert_allclose(found[usual], exact[usual], rtol=1e-9)
    assert np.isfinite(found).all()
    # Mills' ratio of a tail that falls off like y^(-df): (1 - F) ≈ y f / df.
    if df <= 30.0:
        far = np.array([1e20])
        ratio = p.log_survival_function(far) - p.log_prob(far) - np.log(far) + np.log(df)
        assert np.abs(ratio).max() < 1e-9


@pytest.mark.parametrize("family", FAMILIES)
def test_slopes_are_derivatives(family: str) -> None:
    functions, p = TABLE[family], make(family)
    shape = tuple(part[0, :, 0] for part in (p.locs, p.scales, *(() if p.df is None else (p.df,))))
    y, step = p[0].quantile([0.3, 0.8]), 1e-4
    values = [np.exp(functions.log_density(y + d, *shape)) for d in (-step, 0.0, step)]
    slope, bend = functions.slopes(y, *shape)
    first = (values[2] - values[0]) / (2 * step)
    np.testing.assert_allclose(slope * values[1], first, rtol=1e-6, atol=1e-6)
    second = (values[2] - 2 * values[1] + values[0]) / step**2
    np.testing.assert_allclose(bend * values[1], second, rtol=1e-6, atol=1e-5)
    mode = functions.mode(*shape)
    for side in (-1.0, 1.0):
        level = functions.log_density(mode, *shape) - 3.0
        beyond = functions.reach(level, np.full(3, side), *shape) + side * 1e-9
        assert (functions.log_density(beyond, *shape) <= level + 1e-6).all()
