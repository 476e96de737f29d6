"""Calibration: PIT values and levels, their tests, coverage, and what the report says of them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, stats

from tfp_mdn import datasets
from tfp_mdn.calibration import (
    CalibrationReport,
    Check,
    bias_check,
    calibration_report,
    chi_square_check,
    crossing_check,
    density_levels,
    kolmogorov_smirnov_check,
    level_check,
    normal_scores,
    pit,
    pit_values,
    share_below,
    spread_check,
)
from tfp_mdn.calibration.checks import rejected
from tfp_mdn.mixture import MixtureParameters, scores

Array = np.ndarray

seeds = st.integers(0, 2**32 - 1)


def normal(num_rows: int, mean: float = 0.0, scale: float = 1.0) -> MixtureParameters:
    ones = np.ones((num_rows, 1))
    return MixtureParameters(ones, mean * ones, scale**2 * ones)


def mixture(
    seed: int, num_rows: int = 300, num_components: int = 3, event_size: int = 1
) -> MixtureParameters:
    rng = np.random.default_rng(seed)
    shape = num_rows, num_components, event_size
    return MixtureParameters(
        rng.dirichlet(np.ones(num_components), num_rows),
        rng.normal(scale=4.0, size=shape),
        rng.uniform(0.3, 2.0, shape) ** 2,
    )


def wider(p: MixtureParameters, factor: float) -> MixtureParameters:
    return MixtureParameters(p.weights, p.means, p.variances * factor**2)


def draw(p: MixtureParameters, seed: int) -> Array:
    return p.sample(1, np.random.default_rng([seed, 1]))[0]


# Where targets fall in their densities.


def test_pit_values_are_the_marginal_distribution_functions() -> None:
    p = mixture(0, 50)
    y = draw(p, 0)
    assert_allclose(pit_values(p, y)[:, 0], p.pit(y), rtol=1e-12)
    q = mixture(1, 50, event_size=2)
    y = draw(q, 1)
    for d in range(2):
        frozen = stats.norm(q.means[..., d], np.sqrt(q.variances[..., d]))
        expected = (q.weights * frozen.cdf(y[:, d, np.newaxis])).sum(axis=1)
        assert_allclose(pit_values(q, y)[:, d], expected, rtol=1e-11, atol=1e-15)


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e6), st.floats(-1e5, 1e5))
def test_normal_scores_of_one_component_are_standardised_residuals(
    mean: float, scale: float, residual: float
) -> None:
    y = mean + scale * residual
    expected = (y - mean) / scale
    assert_allclose(normal_scores(normal(1, mean, scale), [y]), expected, rtol=1e-9, atol=1e-9)


def test_normal_scores_are_finite_wherever_targets_are() -> None:
    for y in (1e300, -1e300):
        for lattice in (None, 1e300):
            score = normal_scores(mixture(0, 1), [y], lattice=lattice, rng=0)[0, 0]
            assert np.isfinite(score)
            assert (score > 0.0) == (y > 0.0)


def test_the_randomised_pit_spreads_a_cell_evenly() -> None:
    # One target of mixtures that are all the same: its PIT values fill the cell.
    p = mixture(0, 1)
    many = MixtureParameters.concatenate([p] * 4000)
    u = pit_values(many, np.full(4000, 2.0), lattice=1.0, rng=0)[:, 0]
    low, high = p.cdf([1.5])[0], p.cdf([2.5])[0]
    assert stats.kstest(u, "uniform", (low, high - low)).pvalue > 0.01
    # Far out as well, where both ends of the cell round to 1.
    far = normal_scores(normal(2), [100.0, -100.0], lattice=1.0, rng=0)[:, 0]
    assert 99.5 < far[0] < 99.6
    assert -99.6 < far[1] < -99.5


def test_rounded_targets_need_the_randomised_pit() -> None:
    p = normal(2000)
    y = np.rint(draw(p, 2))
    assert stats.kstest(pit_values(p, y)[:, 0], "uniform").pvalue < 1e-3
    assert stats.kstest(pit_values(p, y, lattice=1.0, rng=0)[:, 0], "uniform").pvalue > 0.01


def test_a_lattice_can_be_that_of_one_dimension() -> None:
    p = mixture(3, 200, event_size=2)
    y = draw(p, 3)
    y[:, 0] = np.rint(y[:, 0])
    u = pit_values(p, y, lattice=[1.0, 0.0], rng=0)
    assert_array_equal(u[:, 1], pit_values(p, y)[:, 1])
    assert (u[:, 0] != pit_values(p, y)[:, 0]).all()
    assert_array_equal(u, pit_values(p, y, lattice=[1.0, 0.0], rng=0))


def test_levels_of_one_component_are_those_of_chi_square() -> None:
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(20, 1, 3, 3))
    covariances = factor @ np.swapaxes(factor, -1, -2) + 0.1 * np.eye(3)
    p = MixtureParameters(
        np.ones((20, 1)),
        rng.normal(size=(20, 1, 3)),
        np.diagonal(covariances, axis1=-2, axis2=-1),
        covariances,
    )
    y = draw(p, 0)
    squares = [
        r @ np.linalg.solve(c, r) for r, c in zip(y - p.means[:, 0], covariances[:, 0], strict=True)
    ]
    assert_allclose(density_levels(p, y), stats.chi2.cdf(squares, 3), rtol=1e-9)


def test_levels_are_the_mass_of_greater_density() -> None:
    p = mixture(4, 1)
    for y in (-3.0, 0.0, 2.0):

        def greater(t: float, height: float = p.prob(y)[0]) -> float:
            return float(p.prob(t)[0]) * bool(p.prob(t)[0] > height)

        grid = np.linspace(-25.0, 25.0, 40_001)
        exact = integrate.trapezoid([greater(t) for t in grid[::20]], grid[::20])
        assert_allclose(density_levels(p, [y], num_draws=40_000, rng=0), exact, atol=0.015)


def test_ends_of_a_highest_density_region_have_its_level() -> None:
    p = mixture(5, 40)
    ends = np.array([region[0, 0] for region in p.highest_density_region(0.8)])
    assert_allclose(density_levels(p, ends, num_draws=10_000, rng=0), 0.8, atol=4.0 * 0.004)


def test_points_of_a_lattice_that_are_equally_dense_tie_whatever_they_round_to() -> None:
    y = 1e9 + 1e-3 * np.rint(draw(normal(500), 0))
    assert calibration_report(normal(500, 1e9, 1e-3), y, lattice=1e-3).verdict == "well calibrated"


@pytest.mark.parametrize("lattice", [None, [0.5, 0.0]])
def test_levels_are_uniform_with_a_single_draw(
    lattice: list[float] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pit, "DRAWS_AT_ONCE", 1000)
    p = mixture(6, 5000, event_size=2)
    y = draw(p, 6)
    if lattice:
        y[:, 0] = 0.1 + np.rint((y[:, 0] - 0.1) / 0.5) * 0.5
    levels = density_levels(p, y, lattice=lattice, num_draws=1, rng=0)
    assert stats.kstest(levels, "uniform").pvalue > 0.01
    assert_array_equal(levels, density_levels(p, y, lattice=lattice, num_draws=1, rng=0))


# Checks.


def test_checks_agree_with_scipy() -> None:
    rng = np.random.default_rng(0)
    z, u = rng.normal(0.1, 1.2, 200), rng.beta(1.2, 1.0, 200)
    t = stats.ttest_1samp(z, 0.0)
    assert_allclose([bias_check(z).statistic, bias_check(z).p_value], [t.statistic, t.pvalue])
    assert_allclose(bias_check(z).effect, z.mean())
    variance = z.var(ddof=1)
    assert_allclose(spread_check(z).effect, np.sqrt(variance))
    assert_allclose(spread_check(z).p_value, 2.0 * stats.gamma.sf(199 * variance / 2, 199 / 2))
    ordered = np.sort(u)
    steps = np.arange(201) / 200
    distance = max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max())
    assert_allclose(kolmogorov_smirnov_check(u).effect, distance)
    counts = np.bincount((u * 10).astype(int), minlength=10)
    statistic = ((counts - 20) ** 2 / 20).sum()
    check = chi_square_check(u, num_bins=10)
    assert_allclose([check.statistic, check.p_value], [statistic, stats.chi2.sf(statistic, 9)])
    assert_allclose(check.effect, math.sqrt(max(statistic - 9, 0.0) / 200))
    both = (
        stats.kstest(u, "uniform", alternative="greater"),
        stats.kstest(u, "uniform", alternative="less"),
    )
    assert_allclose(crossing_check(u).effect, min(side.statistic for side in both))
    many = stats.norm.sf(abs(u.mean() - 0.5), 0.0, math.sqrt(1 / 12 / 200))
    assert_allclose(level_check(u).p_value, 2.0 * many)


def test_p_values_of_calibrated_scores_are_uniform() -> None:
    rng = np.random.default_rng(1)
    for size in (10, 100):
        samples = rng.normal(size=(500, size))
        for check in (bias_check, spread_check):
            p_values = [check(sample).p_value for sample in samples]
            assert stats.kstest(p_values, "uniform").pvalue > 0.01
        levels = [level_check(stats.norm.cdf(sample)).p_value for sample in samples]
        assert stats.kstest(levels, "uniform").pvalue > 0.01


def test_one_wrong_target_does_not_decide_about_all() -> None:
    z = np.random.default_rng(2).normal(size=1000)
    z[0] = 1e6
    assert bias_check(z).p_value > 0.05
    assert spread_check(z).p_value > 0.05


@pytest.mark.parametrize(("bias", "spread"), [(1e6, 1.0), (0.0, 30.0), (-7.0, 0.01)])
def test_effects_are_not_bounded_by_the_treatment_of_outliers(bias: float, spread: float) -> None:
    z = np.random.default_rng(3).normal(bias, spread, 2000)
    assert_allclose(bias_check(z).effect, bias, atol=0.1 * spread)
    assert_allclose(spread_check(z).effect, spread, rtol=0.06)


def test_holm_s_method() -> None:
    # Holm (1979): compare the sorted p-values with 0.05 / 4, / 3, / 2, / 1 until one is above.
    p_values = [0.01, 0.04, 0.03, 0.005]
    checks = [Check(0.0, p_value, 0.0, large=True) for p_value in p_values]
    assert rejected(checks, 0.05) == [True, False, False, True]
    assert rejected(checks, 0.1) == [True, True, True, True]
    assert rejected(checks, 0.001) == [False] * 4


# Coverage.


@pytest.mark.parametrize("num_rows", [1, 7, 200])
@pytest.mark.parametrize("level", [0.05, 0.5, 0.99])
def test_bands_are_the_narrowest_with_their_tails(num_rows: int, level: float) -> None:
    table = share_below(np.full(num_rows, 0.3), level, confidence=0.9)
    low, high = round(table.lower[0] * num_rows), round(table.upper[0] * num_rows)

    def at_most(count: int) -> float:
        return sum(
            math.comb(num_rows, i) * level**i * (1.0 - level) ** (num_rows - i)
            for i in range(count + 1)
        )

    assert at_most(low - 1) < 0.05 <= at_most(low)
    assert at_most(high - 1) < 0.95 <= at_most(high) + 1e-12
    assert table.observed == (float(level >= 0.3),)


def test_coverage_is_that_of_intervals_quantiles_and_regions() -> None:
    p = mixture(7, 400)
    y = draw(p, 7)[:, 0]
    report = calibration_report(p, y, levels=[0.3, 0.9], quantiles=[0.2, 0.7], num_draws=4000)
    central, below = report.margins[0].central, report.margins[0].quantiles
    for i, level in enumerate(central.levels):
        low, high = p.interval(level).T
        assert central.observed[i] == np.mean((low <= y) & (y <= high))
        inside = [
            ((region[:, 0] <= t) & (t <= region[:, 1])).any()
            for region, t in zip(p.highest_density_region(level), y, strict=True)
        ]
        assert_allclose(report.regions.observed[i], np.mean(inside), atol=0.01)
    assert_allclose(below.observed, (y <= p.quantile([0.2, 0.7])).mean(axis=1))


# The report.


def test_scores_and_sharpness_are_means_over_the_rows() -> None:
    p = mixture(8, 100)
    y = draw(p, 8)[:, 0]
    report = calibration_report(p, y, levels=[0.5, 0.9])
    margin = report.margins[0]
    assert_allclose(report.mean_log_score, scores.log_score(p, y).mean())
    assert_allclose(margin.mean_crps, p.crps(y).mean())
    assert_allclose(margin.mean_stddev, p.stddev().mean())
    for i, level in enumerate([0.5, 0.9]):
        assert_allclose(margin.mean_widths[i], np.diff(p.interval(level)).mean())
        assert_allclose(
            margin.mean_interval_scores[i], scores.interval_score(p, y, level).mean(), rtol=1e-9
        )
    rounded = np.rint(y)
    on_lattice = calibration_report(p, rounded, lattice=1.0).mean_log_score
    assert_allclose(on_lattice, scores.censored_log_score(p, rounded, 0.5).mean())


def verdicts(
    make: Callable[[int], tuple[MixtureParameters, Array]], count: int = 100
) -> Counter[str]:
    return Counter(
        calibration_report(*make(seed), levels=0.9, num_draws=50).verdict for seed in range(count)
    )


def distorted(
    seed: int, kind: str, factor: float = 1.0, shift: float = 0.0
) -> tuple[MixtureParameters, Array]:
    """Return targets and densities whose scales and places are wrong."""
    p = {
        "normal": lambda: normal(300, 2.0, 3.0),
        "mixture": lambda: mixture(seed, 300),
        "three dimensions": lambda: mixture(seed, 300, event_size=3),
    }[kind]()
    q = wider(p, factor)
    return q.transform(loc=shift * q.stddev()), draw(p, seed)


KINDS = ["normal", "mixture", "three dimensions"]


@pytest.mark.parametrize("kind", KINDS)
def test_true_densities_are_well_calibrated_in_95_of_100_seeds(kind: str) -> None:
    counts = verdicts(lambda seed: distorted(seed, kind))
    assert counts["well calibrated"] >= 95


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("factor", "word"), [(1.5, "under"), (1 / 1.5, "over")])
def test_scales_off_by_half_are_named(kind: str, factor: float, word: str) -> None:
    counts = verdicts(lambda seed: distorted(seed, kind, factor=factor), 20)
    other = {"under": "over", "over": "under"}[word]
    assert sum(n for verdict, n in counts.items() if f"{word}-confident" in verdict) >= 19
    assert not any(f"{other}-confident" in verdict for verdict in counts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shift", "word"), [(0.5, "biased high"), (-0.5, "biased low")])
def test_a_bias_of_half_a_standard_deviation_is_named(kind: str, shift: float, word: str) -> None:
    counts = verdicts(lambda seed: distorted(seed, kind, shift=shift), 20)
    assert sum(n for verdict, n in counts.items() if verdict.startswith(word)) >= 19


@pytest.mark.parametrize(
    ("factor", "shift", "verdict"),
    [
        (1.0, 0.5, "biased high"),
        (1.5, 0.5, "biased high and under-confident"),
        (1 / 1.5, -0.7, "biased low and over-confident"),
    ],
)
def test_combinations_of_bias_and_spread(factor: float, shift: float, verdict: str) -> None:
    counts = verdicts(lambda seed: distorted(seed, "normal", factor, shift), 20)
    assert counts[verdict] >= 18


def test_a_wrong_shape_is_named() -> None:
    # Two narrow halves at -1 and 1 have the mean and the variance of a normal density.
    halves, ones = np.full((500, 2), 0.5), np.ones((500, 2))
    p = MixtureParameters(halves, ones * [-0.95, 0.95], 0.0975 * ones)
    assert calibration_report(normal(500), draw(p, 0)).verdict == "not calibrated in shape"
    # Narrow within modes, yet wide as a whole: the one cancels the other.
    q = MixtureParameters(p.weights, 1.6 * p.means, p.variances / 4.0)
    assert calibration_report(q, draw(p, 0)).verdict == "not calibrated in shape"


def test_skewness_is_a_matter_of_shape() -> None:
    law = stats.beta(1.0, 3.0)
    y = law.rvs(1000, random_state=0)
    assert calibration_report(normal(1000, law.mean(), law.std()), y).verdict == (
        "not calibrated in shape"
    )


def test_modes_that_are_too_narrow_are_over_confidence() -> None:
    ones = np.ones((500, 2))
    p = MixtureParameters(0.5 * ones, ones * [-9.0, 9.0], ones)
    y = draw(p, 1)
    report = calibration_report(wider(p, 1 / 1.5), y)
    assert report.verdict == "over-confident"
    assert abs(report.margins[0].checks.spread.effect - 1.0) < 0.3
    assert calibration_report(wider(p, 1.5), y).verdict == "under-confident"


def test_the_dimension_is_named() -> None:
    p = mixture(9, 500, num_components=1, event_size=3)
    y = draw(p, 9)
    moved = p.transform(loc=[0.0, 0.7, 0.0])
    assert calibration_report(moved, y).verdict == "biased high in dimension 1"
    scaled = MixtureParameters(p.weights, p.means, p.variances * [1.0, 16.0, 16.0])
    verdict = calibration_report(scaled, y).verdict
    assert verdict == "under-confident in dimensions 1, 2"


def test_dependence_that_was_not_foretold_shows_in_the_regions() -> None:
    rng, size = np.random.default_rng(0), 5000
    y = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.95], [0.95, 1.0]], size)
    p = MixtureParameters(np.ones((size, 1)), np.zeros((size, 1, 2)), np.ones((size, 1, 2)))
    assert calibration_report(p, y).verdict == "not calibrated in shape jointly"


@pytest.mark.parametrize("num_rows", [1, 2, 5, 9, 50])
@pytest.mark.parametrize("event_size", [1, 3])
def test_few_rows_tell_nothing(num_rows: int, event_size: int) -> None:
    p = mixture(10, num_rows, event_size=event_size)
    report = calibration_report(p, draw(p, 10))
    assert report.verdict == "too few rows to tell"
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["num_rows"] == num_rows
    assert "too few rows" in str(report)


def test_few_rows_do_tell_of_gross_errors() -> None:
    assert (
        calibration_report(normal(20, scale=0.1), draw(normal(20), 0)).verdict == "over-confident"
    )


def test_a_negligible_deviation_is_a_note_however_many_rows_prove_it() -> None:
    y = np.random.default_rng(0).normal(0.02, 1.0, 200_000)
    report = calibration_report(normal(200_000), y)
    assert report.margins[0].checks.bias.p_value < 1e-9
    assert report.verdict == "well calibrated"
    assert report.notes[0].startswith("Significant, but too small to matter: bias 0.02")


@pytest.mark.parametrize("shift", [-1.0, 1.0])
def test_the_significance_bounds_false_alarms(shift: float) -> None:
    p = normal(200)
    y = stats.norm.ppf((np.arange(200) + 0.5) / 200) + 0.18 * shift
    assert calibration_report(p, y, significance=1e-6).verdict == "well calibrated"
    word = "biased low" if shift > 0 else "biased high"
    assert calibration_report(p, y, significance=0.5).verdict.startswith(word)


@pytest.mark.parametrize("scale", [-1e9, 1e-9, 1e100, -1.0])
def test_the_report_does_not_depend_on_units(scale: float) -> None:
    p = mixture(11, 200)
    y, loc = draw(p, 11), 7.0 * scale
    one = calibration_report(p, y)
    other = calibration_report(p.transform(loc, scale), loc + scale * y)
    sign = np.sign(scale)
    first, second = one.margins[0], other.margins[0]
    assert_allclose(
        second.checks.bias.effect, sign * first.checks.bias.effect, rtol=1e-6, atol=1e-8
    )
    assert_allclose(second.checks.spread.effect, first.checks.spread.effect, rtol=1e-6)
    assert_allclose(second.mean_crps, abs(scale) * first.mean_crps, rtol=1e-6)
    assert_allclose(second.mean_widths, abs(scale) * np.array(first.mean_widths), rtol=1e-6)
    assert_allclose(
        other.mean_log_score, one.mean_log_score + math.log(abs(scale)), rtol=1e-6, atol=1e-6
    )


def test_equal_arguments_give_equal_reports() -> None:
    p = mixture(12, 60)
    y = np.rint(draw(p, 12))
    assert calibration_report(p, y, lattice=1.0) == calibration_report(p, y, lattice=1.0)
    assert calibration_report(p, y, rng=1) != calibration_report(p, y)


def test_rounded_targets_are_noticed_and_the_lattice_mends_the_verdict() -> None:
    p = normal(1000)
    y = np.rint(draw(p, 13) / 0.8) * 0.8
    blind = calibration_report(p, y)
    assert blind.verdict != "well calibrated"
    assert "pass lattice=step" in blind.notes[-1]
    report = calibration_report(p, y, lattice=0.8)
    assert report.verdict == "well calibrated"
    assert report.notes == ()


def test_outliers_are_noted_and_do_not_change_the_verdict() -> None:
    y = draw(normal(1000), 14)
    y[3] = 1e12
    report = calibration_report(normal(1000), y)
    assert report.verdict == "well calibrated"
    assert report.notes == ("Outliers: 1 of 1000 targets lie in tails of less than 1e-05.",)


def test_targets_out_of_reach_give_finite_json() -> None:
    report = calibration_report(normal(20), np.full(20, 1e300))
    assert report.verdict == "biased low and under-confident"
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain["mean_log_score"] is None
    assert "biased low" in str(report)


def test_a_constant_target_shows_densities_that_are_too_wide() -> None:
    assert calibration_report(normal(50), np.zeros(50)).verdict == "under-confident"


def test_the_table_shows_what_the_report_holds() -> None:
    p = mixture(15, 200)
    report = calibration_report(wider(p, 0.5), draw(p, 15))
    text = str(report)
    assert text.splitlines()[0] == f"Calibration on 200 rows: {report.verdict}"
    assert f"{report.mean_log_score:.5g} nats" in text
    for share in (*report.margins[0].central.observed, *report.regions.observed):
        assert f"{100 * share:.1f}%*" in text
    assert max(map(len, text.splitlines())) <= 90
    calm = replace(report, margins=report.margins * 2)
    assert "DIMENSION 1" in str(calm)
    assert "ALL DIMENSIONS" in str(calm)
    assert isinstance(report, CalibrationReport)


# The true densities of the toy problems.


def true_density(problem: Any, x: Array, widen: float = 1.0) -> MixtureParameters:
    """Return p(y | x) of a problem as mixtures over nodes of its latent variable."""
    if problem.name == "sinusoid":
        return wider(normal(len(x), 0.0, problem.noise), widen).transform(loc=problem.function(x))
    curve, noise = problem.curve, problem.noise
    flat = problem.name == "inverse sinusoid"
    count = 210 if flat else math.ceil(1.2 * (curve.high - curve.low) * curve.speed / noise)
    step = (curve.high - curve.low) / count
    t = curve.low + step * (np.arange(count) + 0.5)
    position, width = curve.position(t), np.full(count, noise)
    if flat:
        # The target is the latent variable: components of one step's width stand for a continuum,
        # and what they add to the width of p(y | x) is taken from the noise.
        reduced = np.sqrt(noise**2 - (curve.velocity(t) * step) ** 2)
        log_weights = -0.5 * ((x - position) / reduced) ** 2 - np.log(reduced)
        places, width = t, np.full(count, step)
    else:
        log_weights = -0.5 * ((x - position.real) / noise) ** 2
        places = position.imag
    # Tempering widens modes that are made of many components.
    weights = np.exp((log_weights - log_weights.max(axis=1, keepdims=True)) / widen**2)
    best = np.argsort(-weights, axis=1)[:, :200]
    weights = np.take_along_axis(weights, best, axis=1)
    return MixtureParameters(
        weights / weights.sum(axis=1, keepdims=True),
        places[best],
        np.square(width if flat else widen * width)[best],
    )


PROBLEMS = [
    datasets.sinusoid(),
    datasets.inverse_sinusoid(),
    datasets.noisy_spiral(),
    datasets.cardioid(),
]
NAMES = [problem.name for problem in PROBLEMS]


@pytest.mark.parametrize("problem", PROBLEMS, ids=NAMES)
def test_the_mixtures_are_the_true_densities(problem: Any) -> None:
    x, y = problem.sample(100, 0)
    gap = true_density(problem, x).log_prob(y) - problem.log_prob(x, y)
    assert np.abs(np.median(gap)) < 0.01
    assert np.mean(np.abs(gap)) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS, ids=NAMES)
@pytest.mark.parametrize(
    ("widen", "word", "count", "least"),
    [
        (1.0, "well calibrated", 100, 95),
        (1.5, "under-confident", 20, 19),
        (1 / 1.5, "over-confident", 20, 19),
    ],
)
def test_verdicts_on_the_toy_problems(
    problem: Any, widen: float, word: str, count: int, least: int
) -> None:
    def make(seed: int) -> tuple[MixtureParameters, Array]:
        x, y = problem.sample(300, seed)
        return true_density(problem, x, widen), y

    counts = verdicts(make, count)
    assert sum(n for verdict, n in counts.items() if word in verdict) >= least


# Bad input.


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"parameters": {}}, TypeError, "parameters must be a MixtureParameters, got dict"),
        ({"y": np.zeros(2)}, ValueError, "y must have one target for each of the 3 rows"),
        ({"y": np.zeros((3, 3))}, ValueError, r"y must have 1 column\(s\), got shape \(3, 3\)"),
        ({"y": np.zeros((1, 3, 1))}, ValueError, "y must have shape"),
        ({"y": [0.0, np.nan, 1.0]}, ValueError, "y must be finite: 1 of 3"),
        ({"y": [0.0, np.inf, 1.0]}, ValueError, "y must be finite: 1 of 3"),
        ({"y": ["a", "b", "c"]}, TypeError, "y must hold real numbers"),
        ({"y": np.zeros(0)}, ValueError, "y must hold at least one row"),
        ({"lattice": -1.0}, ValueError, "lattice must be a step of at least 0"),
        ({"lattice": [1.0, 1.0]}, ValueError, r"or have shape \(D,\) = \(1,\)"),
        ({"lattice": 0.7}, ValueError, "y must lie on a lattice of step 0.7, but 0 and 1 do not"),
        ({"lattice": "1"}, TypeError, "lattice must hold real numbers"),
        ({"levels": []}, ValueError, "levels must hold levels strictly between 0 and 1"),
        ({"levels": 90.0}, ValueError, "Divide percentages by 100"),
        ({"quantiles": [0.0, 0.5]}, ValueError, "quantiles must hold levels strictly"),
        ({"significance": 1.0}, ValueError, "significance must be finite and greater than 0"),
        ({"num_draws": 0}, ValueError, "num_draws must be at least 1"),
        ({"rng": "0"}, TypeError, "rng must be a numpy.random.Generator"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    given_: dict[str, Any] = {"parameters": normal(3), "y": [0.0, 1.0, 2.0]}
    calibration_report(**given_)
    with pytest.raises(error, match=message):
        calibration_report(**{**given_, **arguments})


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (kolmogorov_smirnov_check, {"values": [0.5, 1.5]}, "values must lie from 0 to 1, got 1.5"),
        (chi_square_check, {"values": [0.5], "num_bins": 1}, "num_bins must be at least 2"),
        (level_check, {"levels": [-0.1]}, "values must lie from 0 to 1, got -0.1"),
        (bias_check, {"scores": [np.nan]}, "scores must be finite"),
        (share_below, {"values": [0.5], "levels": 0.0}, "levels must hold levels strictly"),
        (
            share_below,
            {"values": [0.5], "levels": 0.5, "confidence": 1.0},
            "confidence must be finite and greater than 0 and less than 1",
        ),
    ],
)
def test_bad_values_are_refused(
    function: Callable[..., Any], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        function(**arguments)
