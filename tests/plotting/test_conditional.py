"""Numbers in the pictures over the inputs and at a few of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import LogNorm, to_rgb
from numpy.testing import assert_allclose
from scipy import integrate, optimize

from tests.plotting.conftest import NUM_ROWS, P, X, cdf_of, density_of, drawn, mix
from tfp_mdn import plotting
from tfp_mdn._validation import FloatArray

SHUFFLED = np.random.default_rng(0).permutation(NUM_ROWS)


def legend_of(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def brightness(colour: Any) -> float:
    """Return how bright a colour is in grey (ITU-R BT.601)."""
    return float(np.dot(to_rgb(colour), [0.299, 0.587, 0.114]))


def outline_of(band: Any) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper end of a band over X, in the order of X."""
    corners = np.asarray(band.get_paths()[0].vertices)
    ends = [np.sort(corners[np.isclose(corners[:, 0], x), 1])[[0, -1]] for x in X]
    low, high = np.transpose(ends)
    return low, high


# Quantiles


def test_bands_and_line_are_the_quantiles_at_the_sorted_inputs() -> None:
    ax = plotting.plot_quantiles(X[SHUFFLED], P[SHUFFLED], levels=[0.5, 0.9, 0.1, 0.3, 0.8])
    outer, inner = ax.collections
    for band, levels in ((outer, (0.1, 0.9)), (inner, (0.3, 0.8))):
        for values, level in zip(outline_of(band), levels, strict=True):
            assert_allclose(cdf_of(P, values), level, atol=1e-8)
    (median,) = ax.lines
    assert_allclose(cdf_of(P, drawn(median)[1]), 0.5, atol=1e-8)
    assert legend_of(ax) == ["10 % to 90 %", "30 % to 80 %", "median"]


def test_inner_bands_are_darker_in_grey_too() -> None:
    ax = plotting.plot_quantiles(X, P, levels=np.arange(1, 10) / 10.0)
    greys = [brightness(np.asarray(band.get_facecolor())[0, :3]) for band in ax.collections]
    assert len(greys) == 4
    assert (np.diff(greys) < -0.05).all()


@pytest.mark.parametrize(
    ("levels", "names"),
    [
        (0.25, ["25 % quantile"]),
        ([0.05, 0.95], ["5 % to 95 %"]),
        ([0.5, 0.5, 0.5], ["median"]),
        ([0.025, 0.1, 0.975], ["2.5 % to 97.5 %", "10 % quantile"]),
    ],
)
def test_levels_that_do_not_pair(levels: Any, names: list[str]) -> None:
    assert legend_of(plotting.plot_quantiles(X, P, levels=levels)) == names


def test_quantiles_leave_room_for_all_data_on_top_of_the_bands() -> None:
    ax = plotting.plot_quantiles(X, P, data=([9.0, 0.0], [0.0, -40.0]))
    assert ax.get_xlim()[1] > 9.0
    assert ax.get_ylim()[0] < -40.0
    points, median = ax.lines
    assert max(band.get_zorder() for band in ax.collections) < points.get_zorder()
    assert points.get_zorder() < median.get_zorder()


# Modes


def marks_of(ax: Any) -> Any:
    (marks,) = (c for c in ax.collections if isinstance(c, PathCollection))
    return marks


def test_modes_are_the_maxima_of_the_density_with_their_ratios() -> None:
    marks = marks_of(plotting.plot_modes(X[SHUFFLED], P[SHUFFLED], min_ratio=1e-6))
    offsets = np.asarray(marks.get_offsets())
    ratios = np.asarray(marks.get_array())
    grid = np.linspace(-8.0, 8.0, 4001)
    for row in (0, 40, 119):
        density = density_of(P, row, grid)
        tops = 1 + np.flatnonzero((density[1:-1] > density[:-2]) & (density[1:-1] > density[2:]))
        found = np.array(
            [
                optimize.minimize_scalar(
                    lambda y, row=row: -density_of(P, row, np.array([y]))[0],
                    bounds=(grid[top - 1], grid[top + 1]),
                    method="bounded",
                    options={"xatol": 1e-10},
                ).x
                for top in tops
            ]
        )
        heights = density_of(P, row, found)
        here = np.isclose(offsets[:, 0], X[row])
        order = np.argsort(offsets[here, 1])
        assert_allclose(offsets[here, 1][order], found, atol=1e-5)
        assert_allclose(ratios[here][order], heights / heights.max(), rtol=1e-8)


def test_faint_modes_are_left_out_or_pale_small_and_below() -> None:
    p = mix([[0.9, 0.09, 0.01]] * 2, [[0.0, 10.0, 20.0]] * 2, [[1.0] * 3] * 2)
    marks = marks_of(plotting.plot_modes([0.0, 1.0], p, min_ratio=0.05))
    assert_allclose(np.asarray(marks.get_offsets())[:, 1], [10.0, 10.0, 0.0, 0.0], atol=1e-6)
    assert_allclose(np.asarray(marks.get_array()), [0.1, 0.1, 1.0, 1.0])
    sizes = marks.get_sizes()
    assert sizes[0] < sizes[-1]
    marks.update_scalarmappable()
    colours = marks.get_facecolor()
    assert brightness(colours[0][:3]) > brightness(colours[-1][:3]) + 0.3
    assert isinstance(marks.norm, LogNorm)
    assert (marks.norm.vmin, marks.norm.vmax) == (0.05, 1.0)
    all_three = marks_of(plotting.plot_modes([0.0, 1.0], p, min_ratio=1e-3))
    assert len(all_three.get_offsets()) == 6


def test_colour_bar_of_modes_can_be_left_out() -> None:
    ax = plotting.plot_modes(X, P, colorbar=False)
    assert ax.figure.axes == [ax]
    bar = marks_of(plotting.plot_modes(X, P)).colorbar
    assert bar is not None
    assert bar.ax.get_ylabel() == "density / highest at x"


# Slices


def curve_of(ax: Any, label: str) -> tuple[FloatArray, FloatArray]:
    (line,) = (line for line in ax.lines if line.get_label() == label)
    return drawn(line)[0], drawn(line)[1]


def test_slices_show_density_and_components_in_the_given_order() -> None:
    rows = [100, 3]
    axes = plotting.plot_slices(X[rows], P[rows], min_weight=0.0, xlabel="age", ylabel="income")
    for ax, row in zip(axes, rows, strict=True):
        y, density = curve_of(ax, "density")
        assert_allclose(density, density_of(P, row, y), rtol=1e-10, atol=1e-14)
        total = sum(curve_of(ax, f"component {k}")[1] for k in range(3))
        assert_allclose(total, density, rtol=1e-10, atol=1e-14)
        assert ax.get_title(loc="left") == f"age = {X[row]:.4g}"
        assert ax.get_xlim() == axes[0].get_xlim()
    assert axes[-1].get_xlabel() == "income"


def test_shaded_region_holds_its_coverage_and_ends_at_one_density() -> None:
    (ax,) = plotting.plot_slices([0.0], P[60], coverage=0.8)
    ends = []
    for piece in ax.collections:
        corners = np.asarray(piece.get_paths()[0].vertices)
        ends.append((corners[:, 0].min(), corners[:, 0].max()))
    assert len(ends) == 2
    mass = sum(
        integrate.quad(lambda y: density_of(P, 60, np.array([y]))[0], low, high, epsabs=1e-10)[0]
        for low, high in ends
    )
    assert mass == pytest.approx(0.8, abs=1e-7)
    heights = density_of(P, 60, np.ravel(ends))
    assert_allclose(heights, heights[0], rtol=1e-6)


def test_slices_meet_a_component_that_is_narrow_beside_the_range() -> None:
    p = mix([[0.5, 0.5]], [[0.0, 1.0]], [[1.0, 1e-12]])
    (ax,) = plotting.plot_slices([0.0], p)
    assert curve_of(ax, "density")[1].max() == pytest.approx(0.5e6 / np.sqrt(2.0 * np.pi), rel=1e-5)


def test_slices_may_be_named_by_texts() -> None:
    axes = plotting.plot_slices(["red, small", "blue"], P[:2])
    assert [ax.get_title(loc="left") for ax in axes] == ["red, small", "blue"]
    assert [ax.get_title(loc="left") for ax in plotting.plot_slices(np.array(["a"]), P[0])] == ["a"]


def test_legend_of_slices_counts_components_seen_anywhere() -> None:
    weights = [[0.7, 0.3, 0.0, 0.0], [0.0, 0.4, 0.0, 0.6]]
    p = mix(weights, [[0.0, 1.0, 2.0, 3.0]] * 2, [[0.1] * 4] * 2)
    axes = plotting.plot_slices([0.0, 1.0], p)
    (legend,) = axes[0].figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["density", "90 % region", "component 0", "component 1", "component 3"]
    assert axes[0].get_legend() is None


def test_many_components_share_one_look_and_one_name() -> None:
    p = mix(
        np.full((2, 50), 0.02), np.random.default_rng(0).normal(0.0, 5.0, (2, 50)), np.ones((2, 50))
    )
    axes = plotting.plot_slices([0.0, 1.0], p)
    names = [text.get_text() for text in axes[0].figure.legends[0].get_texts()]
    assert names == ["density", "90 % region", "components"]
    assert len({line.get_color() for line in axes[0].lines[:-1]}) == 1
    assert len(axes[0].lines) == 51
