"""Numbers in the pictures of calibration, residuals and usage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.patches import Rectangle, StepPatch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from tests.plotting.conftest import NUM_ROWS, P, X, Y, cdf_of, drawn, mix
from tfp_mdn import plotting
from tfp_mdn.calibration import calibration_report


def bars_of(ax: Any) -> list[Rectangle]:
    return [patch for patch in ax.containers[0] if isinstance(patch, Rectangle)]


def legend_of(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def steps_of(ax: Any) -> list[Any]:
    """Return values, edges and baselines of bands and steps in the order in which they came."""
    return [patch.get_data() for patch in ax.patches if isinstance(patch, StepPatch)]


# PIT histogram


def test_pit_bars_are_the_densities_of_the_values() -> None:
    ax = plotting.plot_pit(P, Y, num_bins=8)
    bars = bars_of(ax)
    counts, _ = np.histogram(cdf_of(P, Y), np.arange(9) / 8.0)
    assert_allclose([bar.get_height() for bar in bars], counts / NUM_ROWS * 8)
    assert_allclose([bar.get_x() for bar in bars], np.arange(8) / 8.0)
    assert_allclose([bar.get_width() for bar in bars], 0.125)


def test_pit_band_is_that_of_a_binomial_count() -> None:
    ax = plotting.plot_pit(P, Y, num_bins=8, confidence=0.8)
    band = stats.binom.ppf([0.1, 0.9], NUM_ROWS, 0.125) / NUM_ROWS * 8
    (span,) = (patch for patch in ax.patches if patch not in bars_of(ax))
    assert_allclose(
        span.get_extents().get_points()[:, 1],
        ax.transData.transform([(0, band[0]), (0, band[1])])[:, 1],
    )
    levels = [drawn(line)[1][0] for line in ax.lines]
    assert_allclose(levels, [*band, 1.0])
    assert legend_of(ax) == ["80 % band", "120 targets"]


@pytest.mark.parametrize(("num_rows", "num_bins"), [(1, 2), (55, 5), (120, 12), (500, 20)])
def test_number_of_bins_follows_the_rows(num_rows: int, num_bins: int) -> None:
    ones = np.ones((num_rows, 1))
    p = mix(ones, 0.0 * ones, ones)
    ax = plotting.plot_pit(p, p.sample(1, rng=0)[0])
    assert len(bars_of(ax)) == num_bins


def test_pit_of_rounded_targets_is_flat_only_if_told_of_the_lattice() -> None:
    ones = np.ones((4000, 1))
    p = mix(ones, 0.0 * ones, 0.25 * ones)
    y = np.rint(p.sample(1, rng=0)[0])
    plain, told = (
        [bar.get_height() for bar in bars_of(plotting.plot_pit(p, y, lattice=lattice, num_bins=10))]
        for lattice in (None, 1.0)
    )
    assert np.max(plain) > 5.0
    assert np.ptp(told) < 0.4


def test_pit_of_targets_beyond_all_densities_fills_the_ends() -> None:
    heights = [bar.get_height() for bar in bars_of(plotting.plot_pit(P, np.full(NUM_ROWS, 1e300)))]
    assert_allclose(heights, [*[0.0] * 11, 12.0])


# Coverage


@pytest.mark.parametrize("difference", [False, True])
def test_coverage_lines_are_shares_of_the_targets(difference: bool) -> None:  # noqa: FBT001
    ax = plotting.plot_coverage(P, Y, difference=difference)
    _, central, densest = ax.lines
    nominal = drawn(central)[0]
    assert_allclose(nominal, np.arange(101) / 100.0)
    u = np.abs(2.0 * cdf_of(P, Y) - 1.0)
    shares = (u <= nominal[:, np.newaxis] + 1e-12).mean(axis=1) - difference * nominal
    assert_allclose(drawn(central)[1], shares, atol=1e-12)
    report = calibration_report(P, Y, levels=nominal[1:-1])
    expected = np.array([0.0, *report.regions.observed, 1.0]) - difference * nominal
    assert_allclose(drawn(densest)[1], expected, atol=1e-12)


def test_coverage_band_is_that_of_a_binomial_count() -> None:
    ax = plotting.plot_coverage(P, Y, confidence=0.5)
    (band,) = ax.collections
    corners = np.asarray(band.get_paths()[0].vertices)
    low, high = stats.binom.ppf([0.25, 0.75], NUM_ROWS, 0.4) / NUM_ROWS
    at = corners[np.isclose(corners[:, 0], 0.4), 1]
    assert_allclose([at.min(), at.max()], [low, high])
    assert legend_of(ax) == ["50 % band", "central", "highest density"]


def test_narrow_densities_cover_too_little() -> None:
    narrow = mix(P.weights, P.means, P.variances / 25.0)
    _, central, densest = plotting.plot_coverage(narrow, Y, difference=True).lines
    assert drawn(central)[1].min() < -0.1
    assert drawn(densest)[1].min() < -0.3


def test_coverage_of_several_dimensions_has_a_line_for_each() -> None:
    ones = np.ones((50, 1))
    p = mix(ones, np.zeros((50, 1, 2)), np.ones((50, 1, 2)))
    y = p.sample(1, rng=0)[0]
    ax = plotting.plot_coverage(p, y)
    assert legend_of(ax) == ["95 % band", "central, y0", "central, y1", "highest density"]
    inside = stats.chi2.cdf(np.square(y).sum(axis=1), 2)
    shares = (inside <= np.arange(101)[:, np.newaxis] / 100.0).mean(axis=1)
    assert_allclose(drawn(ax.lines[-1])[1], shares)


# Residuals


@pytest.mark.parametrize("standardise", [False, True])
def test_residuals_and_bands(standardise: bool) -> None:  # noqa: FBT001
    ax = plotting.plot_residuals(P, Y, standardise=standardise)
    means = (P.weights * P.means[..., 0]).sum(axis=1)
    second = (P.weights * (P.variances[..., 0] + P.means[..., 0] ** 2)).sum(axis=1)
    variances = np.ones(NUM_ROWS) if standardise else second - means**2
    residuals = (Y - means) / (np.sqrt(second - means**2) if standardise else 1.0)
    assert_allclose(drawn(ax.lines[0])[0], means)
    assert_allclose(drawn(ax.lines[0])[1], residuals)
    # To the last bit as they were drawn: an edge is one of them.
    places = drawn(ax.lines[0])[0]
    wide, narrow, bias = steps_of(ax)
    values, edges, baseline = wide
    assert len(values) == NUM_ROWS // 20
    assert_allclose(values, -np.asarray(baseline))
    assert_allclose(values, 2.0 * narrow[0])
    for g, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        rows = (places >= low) & ((places < high) | (g == len(values) - 1))
        assert_allclose(values[g], 2.0 * np.sqrt(variances[rows].mean()))
        assert_allclose(bias[0][g], residuals[rows].mean())


def test_residuals_over_an_input_and_with_all_far_ones_of_a_few() -> None:
    y = Y.copy()
    y[7] = 50.0
    ax = plotting.plot_residuals(P, y, x=X[:, np.newaxis], xlabel="age")
    assert_array_equal(drawn(ax.lines[0])[0], X)
    assert ax.get_ylim()[1] > 50.0 - P.mean()[7, 0]
    assert ax.get_xlabel() == "age"


def test_one_residual_far_out_of_very_many_does_not_flatten_the_rest() -> None:
    ones = np.ones((5000, 1))
    p = mix(ones, 0.0 * ones, ones)
    y = p.sample(1, rng=0)[0]
    y[3] = 1e6
    assert plotting.plot_residuals(p, y).get_ylim()[1] < 10.0


def test_residuals_over_few_values_are_not_torn_apart() -> None:
    x = np.repeat([0.0, 1.0, 2.0], 40)
    _, edges, _ = steps_of(plotting.plot_residuals(P, Y, x=x))[-1]
    assert_array_equal(edges, [0.0, 1.0, 2.0])
    constant = plotting.plot_residuals(P, Y, x=np.ones(NUM_ROWS))
    assert constant.get_xlim()[0] < 1.0 < constant.get_xlim()[1]


# Usage


def test_usage_shows_mean_and_largest_weight_and_the_dead() -> None:
    weights = np.array([[0.6, 0.395, 0.0, 0.005], [0.2, 0.791, 0.0, 0.009]])
    p = mix(weights, np.zeros((2, 4, 3)), np.ones((2, 4, 3)))
    ax = plotting.plot_component_usage(p)
    assert_allclose([bar.get_height() for bar in bars_of(ax)], [0.4, 0.593, 0.0, 0.007])
    largest, average, dead = ax.lines
    assert_allclose(drawn(largest)[1], [0.6, 0.791, 0.0, 0.009])
    assert_allclose(drawn(average)[1], 0.25)
    assert_array_equal(drawn(dead)[0], [2, 3])
    assert legend_of(ax) == ["mean", "largest", "1 / K", "dead: 2 of 4"]
    alive = plotting.plot_component_usage(p, dead_below=0.0)
    assert legend_of(alive) == ["mean", "largest", "1 / K"]


def test_usage_of_many_components_has_few_ticks() -> None:
    p = mix(np.full((1, 80), 1 / 80), np.zeros((1, 80)), np.ones((1, 80)))
    ticks = plotting.plot_component_usage(p).get_xticks()
    assert len(ticks) < 20
    assert_array_equal(ticks, np.rint(ticks))
