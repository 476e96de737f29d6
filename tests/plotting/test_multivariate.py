"""Numbers in the pictures of mixtures in several dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.contour import QuadContourSet
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from tests.plotting.conftest import drawn, make_plane, mix
from tfp_mdn import plotting
from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture import MixtureParameters

COVERAGES = (0.5, 0.8, 0.95)


def contours_of(ax: Any) -> tuple[Any, Any]:
    filled, lines = (c for c in ax.collections if isinstance(c, QuadContourSet))
    return filled, lines


def density_at(p: MixtureParameters, points: FloatArray) -> FloatArray:
    """Return the density of the only row by SciPy."""
    parts = []
    for k in range(p.num_components):
        full = np.diag(p.variances[0, k]) if p.covariances is None else p.covariances[0, k]
        each = stats.multivariate_normal(p.means[0, k], full).pdf(points)
        parts.append(p.weights[0, k] * each)
    return np.asarray(sum(parts), np.float64)


def legend_of(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("full", [False, True])
def test_regions_of_one_component_are_ellipses_of_the_chi_square_law(full: bool) -> None:  # noqa: FBT001
    covariance = np.array([[2.0, 0.9 * full], [0.9 * full, 0.5]])
    p = mix(
        [[1.0]],
        [[[1.0, -3.0]]],
        [[[2.0, 0.5]]],
        covariance[np.newaxis, np.newaxis] if full else None,
    )
    _, lines = contours_of(plotting.plot_joint(p))
    # Outermost first.
    for path, coverage in zip(lines.get_paths(), COVERAGES[::-1], strict=True):
        offset = np.asarray(path.vertices) - [1.0, -3.0]
        distance = np.einsum("ni,ij,nj->n", offset, np.linalg.inv(covariance), offset)
        assert_allclose(distance, stats.chi2.ppf(coverage, 2), rtol=0.01)


@pytest.mark.parametrize("full", [False, True])
def test_regions_of_a_mixture_hold_their_coverage(full: bool) -> None:  # noqa: FBT001
    p = make_plane(full=full)
    _, lines = contours_of(plotting.plot_joint(p))
    grid = np.linspace(-15.0, 15.0, 751)
    density = density_at(p, np.stack(np.meshgrid(grid, grid), axis=-1))
    assert density.sum() * 0.04**2 == pytest.approx(1.0, abs=1e-4)
    masses = [density[density >= np.exp(level)].sum() * 0.04**2 for level in lines.levels]
    assert_allclose(masses, COVERAGES[::-1], atol=2e-3)


def test_regions_of_components_of_very_different_scales_hold_their_coverage() -> None:
    # Half of the mass in a spot a millionth as wide as the rest, which no even grid meets.
    p = mix([[0.5, 0.5]], [[[0.0, 0.0], [2.0, 0.0]]], [[[1.0, 1.0], [1e-12, 1e-12]]])
    _, lines = contours_of(plotting.plot_joint(p, coverages=[0.25, 0.75]))
    wide, spot = np.exp(lines.levels)
    # Of the wide component the inner half, of the spot the inner half.
    assert wide == pytest.approx(
        0.5 * stats.multivariate_normal([0, 0]).pdf([0, 0]) * 0.5, rel=0.01
    )
    assert spot == pytest.approx(0.5 / (2.0 * np.pi * 1e-12) * 0.5, rel=0.01)


def test_ellipses_lie_at_one_standard_deviation() -> None:
    p = make_plane()
    assert p.covariances is not None
    ax = plotting.plot_joint(p)
    for k, line in enumerate(ax.lines):
        offset = drawn(line).T - p.means[0, k]
        distance = np.einsum("ni,ij,nj->n", offset, np.linalg.inv(p.covariances[0, k]), offset)
        assert_allclose(distance, 1.0)
        assert line.get_label() == f"component {k}"
    assert legend_of(ax) == ["50 %", "80 %", "95 %", "component 0", "component 1"]


def test_ellipses_can_be_left_out_all_or_the_light_ones() -> None:
    p = make_plane()
    assert len(plotting.plot_joint(p, components=False).lines) == 0
    assert len(plotting.plot_joint(p, min_weight=0.5).lines) == 1


def test_limits_hold_the_outermost_region_and_the_data_but_no_light_wide_component() -> None:
    p = mix([[0.99, 0.01]], [[[0.0, 0.0]] * 2], [[[1.0, 1.0], [1e6, 1e6]]])
    ax = plotting.plot_joint(p)
    edge = np.sqrt(stats.chi2.ppf(0.95, 2))
    assert -6.0 < ax.get_xlim()[0] < -edge < edge < ax.get_xlim()[1] < 6.0
    far = plotting.plot_joint(p, data=[0.0, 30.0])
    assert far.get_ylim()[1] > 30.0
    assert_array_equal(drawn(far.lines[-1]), [[0.0], [30.0]])
    assert legend_of(far)[-1] == "data"


def test_regions_are_darker_the_smaller_they_are() -> None:
    filled, _ = contours_of(plotting.plot_joint(make_plane()))
    greys = np.asarray(filled.get_facecolor())[:, :3].mean(axis=1)
    assert (np.diff(greys) < -0.1).all()


@pytest.mark.parametrize("correlation", [0.99, 0.9999, 1.0 - 1e-9])
def test_strong_correlations_are_drawn(correlation: float) -> None:
    full = np.array([[[[1.0, correlation], [correlation, 1.0]]]])
    p = mix([[1.0]], [[[0.0, 0.0]]], [[[1.0, 1.0]]], full)
    ax = plotting.plot_joint(p)
    ax.figure.canvas.draw()
    assert ax.get_xlim()[1] < 4.0


@pytest.mark.parametrize("coverages", [0.9, [1e-9, 2e-9], [0.5, 0.5 + 1e-12], [0.99999999, 0.3]])
def test_coverages_that_are_tiny_close_or_nearly_one(coverages: Any) -> None:
    plotting.plot_joint(make_plane(), coverages=coverages).figure.canvas.draw()


def test_many_components_share_one_look() -> None:
    rng = np.random.default_rng(0)
    p = mix(np.full((1, 60), 1 / 60), rng.normal(size=(1, 60, 2)), np.full((1, 60, 2), 0.1))
    ax = plotting.plot_joint(p)
    assert len(ax.lines) == 60
    assert legend_of(ax) == ["50 %", "80 %", "95 %", "components"]


# Corner


@pytest.mark.parametrize("full", [False, True])
def test_corner_shows_exact_marginals_and_pairs(full: bool) -> None:  # noqa: FBT001
    p = make_plane(full=full, event_size=3)
    axes = plotting.plot_corner(p)
    for d in range(3):
        (line,) = (line for line in axes[d, d].lines if line.get_label() == "density")
        y, density = drawn(line)
        scales = np.sqrt(p.variances[0, :, d])
        each = stats.norm.pdf(y[:, np.newaxis], p.means[0, :, d], scales)
        assert_allclose(density, each @ p.weights[0], rtol=1e-10)
    for i, j in ((1, 0), (2, 0), (2, 1)):
        pair = p.marginal([j, i])
        _, lines = contours_of(axes[i, j])
        _, alone = contours_of(plotting.plot_joint(pair))
        assert_allclose(lines.levels, alone.levels)
        edge = np.asarray(lines.get_paths()[0].vertices)
        assert_allclose(np.log(density_at(pair, edge)), lines.levels[0], atol=0.03)


def test_corner_has_shared_limits_labels_at_its_edges_and_nothing_above() -> None:
    p = make_plane(event_size=3)
    axes = plotting.plot_corner(p, labels=["length", "width", "height"])
    for i in range(3):
        for j in range(3):
            assert axes[i, j].axison == (j <= i)
            if j < i:
                assert axes[i, j].get_xlim() == axes[j, j].get_xlim()
                assert axes[i, j].get_ylim() == axes[i, i].get_xlim()
    assert [ax.get_xlabel() for ax in axes[-1]] == ["length", "width", "height"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["", "width", "height"]
    assert legend_of(axes[0, -1]) == ["50 %", "80 %", "95 %", "component 0", "component 1"]


def test_corner_of_some_dimensions_in_another_order() -> None:
    p = make_plane(event_size=4)
    points = p.sample(7, rng=0)[:, 0]
    axes = plotting.plot_corner(p, dims=[-1, 1], data=points)
    assert axes.shape == (2, 2)
    assert [ax.get_xlabel() for ax in axes[-1]] == ["y3", "y1"]
    assert_array_equal(drawn(axes[1, 0].lines[-1]), points[:, [3, 1]].T)
    (ticks,) = axes[1, 1].collections
    assert_array_equal([path.vertices[0, 0] for path in ticks.get_paths()], points[:, 1])


def test_corner_without_components() -> None:
    axes = plotting.plot_corner(make_plane(event_size=2), components=False)
    assert [len(ax.lines) for ax in (axes[0, 0], axes[1, 0], axes[1, 1])] == [1, 0, 1]
