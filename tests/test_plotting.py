from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import PowerNorm, same_color, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import ArrayLike
from scipy import stats

from tfp_mdn import plotting
from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture import MixtureParameters

NUM_INPUTS = 60
X = np.linspace(-2.0, 3.0, NUM_INPUTS)
RNG = np.random.default_rng(0)
DATA = (RNG.uniform(-2.0, 3.0, 200), RNG.normal(size=200))
SHUFFLED = RNG.permutation(NUM_INPUTS)
HISTORY = {"loss": [3.0, 2.0, 1.5, 1.2], "val_loss": [3.1, 2.2, 1.9, 2.4]}


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def mix(weights: ArrayLike, means: ArrayLike, variances: ArrayLike) -> MixtureParameters:
    return MixtureParameters(np.asarray(weights), np.asarray(means), np.asarray(variances))


def make_mixture(
    num_inputs: int = NUM_INPUTS, num_components: int = 3, event_size: int = 1
) -> MixtureParameters:
    """Mixtures whose weights move from the first component to the last one along the rows."""
    place = np.linspace(0.0, num_components - 1.0, num_inputs)[:, np.newaxis]
    number = np.arange(num_components)
    weights = np.exp(-2.0 * (number - place) ** 2)
    means = np.repeat((number + np.sin(place))[..., np.newaxis], event_size, axis=-1)
    variances = np.repeat((0.1 + 0.05 * number + 0.0 * place)[..., np.newaxis], event_size, -1)
    return mix(weights / weights.sum(axis=1, keepdims=True), means, variances)


P = make_mixture()
SAMPLES = P.sample(4, rng=1)

# Name, number of axes, and a call with every picture's smallest good arguments.
PICTURES: dict[str, tuple[int, Callable[..., Any]]] = {
    "density": (1, lambda **k: plotting.plot_density(X, P, data=DATA, **k)),
    "components": (1, lambda **k: plotting.plot_components(X, P, data=DATA, **k)),
    "parameters": (3, lambda **k: plotting.plot_parameters(X, P, **k)),
    "samples": (2, lambda **k: plotting.plot_samples(X, SAMPLES, data=DATA, **k)),
    "samples alone": (1, lambda **k: plotting.plot_samples(X, SAMPLES, **k)),
    "history": (1, lambda **k: plotting.plot_history(HISTORY, entropy=1.0, **k)),
    "comparison": (
        3,
        lambda **k: plotting.plot_comparison(
            X, P, data=DATA, squared_error=P.mean(), samples=SAMPLES, **k
        ),
    ),
}
each_picture = pytest.mark.parametrize("name", PICTURES)


def takes_one(name: str) -> bool:
    return name in {"density", "components", "history"}


def mesh_of(ax: Axes) -> QuadMesh:
    (mesh,) = (c for c in ax.collections if isinstance(c, QuadMesh))
    return mesh


def lines_of(ax: Axes) -> list[LineCollection]:
    return [c for c in ax.collections if isinstance(c, LineCollection)]


def colour_of(line: LineCollection) -> str:
    colours: Any = line.get_colors()
    return to_hex(colours[0])


def points_of(line: Line2D) -> tuple[FloatArray, FloatArray]:
    return np.asarray(line.get_xdata(), np.float64), np.asarray(line.get_ydata(), np.float64)


# All pictures


@each_picture
def test_draws_on_the_given_axes_and_makes_no_figure(name: str) -> None:
    num_axes, draw = PICTURES[name]
    given = Figure().subplots(1, num_axes, squeeze=False).ravel()
    before = [len(ax.get_children()) for ax in given]
    if takes_one(name):
        assert draw(ax=given[0]) is given[0]
    else:
        returned = draw(axes=list(given))
        assert returned.shape == (num_axes,)
        assert all(a is b for a, b in zip(returned, given, strict=True))
    assert all(len(ax.get_children()) > n for ax, n in zip(given, before, strict=True))
    assert plt.get_fignums() == []


@each_picture
def test_makes_one_figure_in_which_nothing_is_cut_off(name: str) -> None:
    num_axes, draw = PICTURES[name]
    axes = np.ravel(draw())
    assert len(plt.get_fignums()) == 1
    assert len(axes) == num_axes
    figure = axes[0].figure
    figure.canvas.draw()
    drawn = figure.get_tightbbox()
    assert drawn.x0 >= 0.0
    assert drawn.y0 >= 0.0
    assert drawn.x1 <= figure.get_figwidth()
    assert drawn.y1 <= figure.get_figheight()


@each_picture
def test_leaves_the_settings_of_matplotlib_alone(name: str) -> None:
    before = dict(mpl.rcParams)
    PICTURES[name][1]()
    assert dict(mpl.rcParams) == before


@each_picture
def test_labels_come_from_the_arguments(name: str) -> None:
    axes = np.ravel(PICTURES[name][1](xlabel="waiting time (min)", ylabel="duration (min)"))
    assert axes[-1].get_xlabel() == "waiting time (min)"
    assert any("duration (min)" in ax.get_ylabel() for ax in axes)
    assert axes[0].get_title()


def test_needs_no_tensorflow() -> None:
    code = "import sys, tfp_mdn.plotting; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Density


def test_heat_map_is_the_density_of_the_sorted_inputs() -> None:
    y = np.linspace(-1.0, 3.0, 41)
    ax = plotting.plot_density(X[SHUFFLED], P[SHUFFLED], y=y[::-1], ax=Figure().subplots())
    mesh = mesh_of(ax)
    stddevs = np.sqrt(P.variances[..., 0])
    each = stats.norm.pdf(y[:, np.newaxis, np.newaxis], P.means[..., 0], stddevs)
    expected = (P.weights * each).sum(axis=-1)
    assert_allclose(np.asarray(mesh.get_array()), expected, rtol=1e-12)
    # Cells reach half a step to either side of the value that they show.
    corners = np.asarray(mesh.get_coordinates(), np.float64)
    assert_allclose(0.5 * (corners[0, 1:, 0] + corners[0, :-1, 0]), X)
    assert_allclose(0.5 * (corners[1:, 0, 1] + corners[:-1, 0, 1]), y, atol=1e-12)


def test_default_targets_cover_the_data_and_the_mass_and_no_more() -> None:
    # A component 1000 wide with hardly any weight must not stretch the picture.
    p = mix([[1.0 - 1e-6, 1e-6]] * 2, [[0.0, 0.0]] * 2, [[1.0, 1e6]] * 2)
    low, high = plotting.plot_density([0.0, 1.0], p).get_ylim()
    edge = stats.norm.ppf(0.9995)
    assert low < -edge < edge < high
    assert high < 1.2 * edge
    data = ([0.0, 0.5], [-20.0, 0.0])
    low, high = plotting.plot_density([0.0, 1.0], p, data=data).get_ylim()
    assert low < -20.0
    assert high > edge


def test_default_targets_meet_narrow_components() -> None:
    narrow = mix([[0.5, 0.5]] * 2, [[0.0, 1.0]] * 2, [[1e-4, 1.0]] * 2)
    ax = plotting.plot_density([0.0, 1.0], narrow)
    assert np.max(np.asarray(mesh_of(ax).get_array())) > 0.9 * narrow.prob([0.0, 0.0])[0]


@pytest.mark.parametrize(("shift", "scale"), [(1e9, 1.0), (0.0, 1e-9), (-5.0, 1e9)])
def test_density_in_extreme_units(shift: float, scale: float) -> None:
    p = mix(P.weights, shift + scale * P.means, scale**2 * P.variances)
    data = (X, shift + scale * np.sin(X))
    ax = plotting.plot_density(X, p, data=data)
    ax.figure.canvas.draw()
    top = np.asarray(mesh_of(ax).get_array()).max()
    assert_allclose(
        top, P.prob(np.linspace(-1, 4, 2001).reshape(-1, 1, 1)).max() / scale, rtol=0.05
    )


def test_colours_keep_a_faint_branch_in_sight_beside_a_spike() -> None:
    x = np.linspace(0.0, 1.0, 100)
    variances = np.tile([0.01, 0.01], (100, 1))
    variances[:3, 0] = 1e-6  # a spike 100 times as high as the rest
    p = mix([[0.98, 0.02]] * 100, [[0.0, 3.0]] * 100, variances)
    ax = plotting.plot_density(x, p)
    norm = mesh_of(ax).norm
    assert isinstance(norm, PowerNorm)
    faint, heavy = p[50].prob([[3.0], [0.0]])[:, 0]
    assert norm(faint) > 0.2
    assert norm(heavy) > 0.95
    assert norm.vmin == 0.0


def test_colour_bar_names_true_densities_and_says_that_it_ends_early() -> None:
    ax = plotting.plot_density(X, P)
    mesh = mesh_of(ax)
    bar = mesh.colorbar
    assert bar is not None
    assert bar.ax.get_ylabel() == "p(y | x)"
    assert bar.extend == "max"
    places = np.asarray(mesh.norm(bar.get_ticks()))
    assert_allclose(places, [0.0, 0.25, 0.5, 0.75, 0.97], atol=0.1)
    assert [float(text.get_text()) for text in bar.ax.get_yticklabels()] == list(bar.get_ticks())


def test_colour_bar_can_be_left_out_and_ends_plainly_if_nothing_is_above() -> None:
    figure = Figure()
    ax = plotting.plot_density(X, P, ax=figure.subplots(), colorbar=False)
    assert figure.axes == [ax]
    same = mix([[1.0]] * 3, [[0.0]] * 3, [[1.0]] * 3)
    bar = mesh_of(plotting.plot_density([0.0, 1.0, 2.0], same)).colorbar
    assert bar is not None
    assert bar.extend == "neither"


def test_density_that_is_zero_on_the_whole_grid_is_drawn() -> None:
    ax = plotting.plot_density(X, P, y=[1e6, 2e6])
    ax.figure.canvas.draw()
    assert not np.asarray(mesh_of(ax).get_array()).any()


def test_data_lie_on_top_of_the_heat_map_even_outside_its_inputs() -> None:
    data = ([-9.0, 0.0], [[0.5], [1.0]])
    ax = plotting.plot_density(X, P, data=data)
    (line,) = ax.lines
    assert_array_equal(points_of(line), [[-9.0, 0.0], [0.5, 1.0]])
    assert line.get_zorder() > mesh_of(ax).get_zorder()
    assert 0.0 < (line.get_alpha() or 1.0) < 1.0
    assert ax.get_xlim() == (-9.0, 3.0)


def test_points_get_smaller_and_fainter_the_more_there_are() -> None:
    few, many = (
        plotting.plot_samples(np.zeros(n), np.zeros((1, n, 1)))[0].lines[0] for n in (10, 10_000)
    )
    assert few.get_markersize() > many.get_markersize()
    assert (few.get_alpha() or 0.0) > (many.get_alpha() or 1.0)


def test_of_very_many_inputs_no_more_columns_are_drawn_than_a_screen_has() -> None:
    p = make_mixture(5000)
    ax = plotting.plot_density(np.linspace(0.0, 1.0, 5000), p, y=[0.0, 1.0, 2.0])
    assert np.asarray(mesh_of(ax).get_array()).shape == (3, 2000)
    assert ax.get_xlim() == (0.0, 1.0)
    ax = plotting.plot_components(np.linspace(0.0, 1.0, 5000), p, min_weight=0.0)
    assert len(lines_of(ax)[0].get_segments()) == 1999


def test_repeated_inputs_are_drawn() -> None:
    ax = plotting.plot_density([0.0, 1.0, 1.0, 2.0], P[:4])
    ax.figure.canvas.draw()
    plotting.plot_components([0.0, 0.0, 1.0, 1.0], P[:4]).figure.canvas.draw()


# Components


def test_means_are_lines_whose_opacity_follows_the_weight() -> None:
    ax = plotting.plot_components(X[SHUFFLED], P[SHUFFLED], min_weight=0.2)
    lines = lines_of(ax)
    assert len(lines) == 3
    for k, line in enumerate(lines):
        weight = P.weights[:, k]
        visible = np.flatnonzero((weight[1:] >= 0.2) & (weight[:-1] >= 0.2))
        assert 0 < len(visible) < NUM_INPUTS - 1
        pieces = np.array(line.get_segments())
        for end in (0, 1):
            expected = np.stack([X, P.means[:, k, 0]], axis=1)[visible + end]
            assert_allclose(pieces[:, end], expected)
        opacity = np.sqrt(weight / P.weights.max())
        alpha = np.asarray(line.get_colors())[:, 3]
        assert_allclose(alpha, 0.5 * (opacity[visible] + opacity[visible + 1]))


def test_bands_are_one_standard_deviation_wide_and_fade_with_the_weight() -> None:
    ax = plotting.plot_components(X, P, min_weight=0.0)
    for k, image in enumerate(ax.images):
        clip: Any = image.get_clip_path()
        path, transform = clip.get_transformed_path_and_affine()
        # The path comes in data units or in pixels, depending on the axes; bring it to data units.
        outline = ax.transData.inverted().transform(transform.transform(path.vertices))
        stddev = np.sqrt(P.variances[:, k, 0])
        low, high = P.means[:, k, 0] - stddev, P.means[:, k, 0] + stddev
        assert_allclose(outline[:NUM_INPUTS], np.stack([X, low], axis=1), atol=1e-9)
        assert_allclose(outline[NUM_INPUTS:][::-1], np.stack([X, high], axis=1), atol=1e-9)
        extent = image.get_extent()
        assert_allclose(extent, [X[0], X[-1], low.min(), high.max()])
        alpha = np.asarray(image.get_array())[0, :, 3]
        centres = np.linspace(X[0], X[-1], 2 * len(alpha) + 1)[1::2]
        opacity = np.sqrt(P.weights[:, k] / P.weights.max())
        assert_allclose(
            alpha / alpha.max(), np.interp(centres, X, opacity) / opacity.max(), atol=1e-2
        )
        assert alpha.max() < 0.5
    assert len(ax.images) == 3


def test_limits_of_components_hold_inputs_mass_and_data() -> None:
    data = ([10.0, 0.0], [0.0, 30.0])
    ax = plotting.plot_components(X, P, data=data)
    assert ax.get_xlim()[0] < X[0]
    assert ax.get_xlim()[1] > 10.0
    assert ax.get_ylim()[0] < (P.means[..., 0] - np.sqrt(P.variances[..., 0]))[0, 0]
    assert ax.get_ylim()[1] > 30.0
    assert ax.get_ylim()[1] < 33.0
    assert ax.get_aspect() == "auto"


def test_data_lie_below_the_components() -> None:
    ax = plotting.plot_components(X, P, data=DATA)
    (points,) = ax.lines
    assert_array_equal(points_of(points), DATA)
    order = sorted(ax.get_children(), key=lambda artist: artist.get_zorder())
    assert order.index(points) < min(order.index(image) for image in ax.images)
    assert max(order.index(i) for i in ax.images) < min(order.index(c) for c in lines_of(ax))


def test_component_without_weight_is_neither_drawn_nor_named() -> None:
    weights = np.tile([0.6, 0.005, 0.395], (5, 1))
    p = mix(weights, np.tile([0.0, 1.0, 2.0], (5, 1)), np.ones((5, 3)))
    ax = plotting.plot_components(np.arange(5.0), p)
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["0", "2"]
    assert len(lines_of(ax)) == len(ax.images) == 2


def test_twenty_components_can_be_told_apart() -> None:
    num = 20
    p = make_mixture(200, num)
    ax = plotting.plot_components(np.linspace(0.0, 1.0, 200), p)
    looks = set()
    for line in lines_of(ax):
        styles: Any = line.get_linestyle()
        looks.add((colour_of(line), tuple(styles[0][1] or ())))
    assert len(looks) == num
    figure = plt.gcf()
    figure.canvas.draw()
    assert figure.get_tightbbox().x1 <= figure.get_figwidth()


def test_dashes_go_on_from_piece_to_piece() -> None:
    # A straight level line across the axes: pieces must start their dashes where the last ended.
    num = 8
    p = mix([[1.0 / num] * num] * 50, [np.arange(num)] * 50, [[1.0] * num] * 50)
    x = np.linspace(0.0, 1.0, 50)
    ax = plotting.plot_components(x, p)
    dashed = lines_of(ax)[7]
    styles: Any = dashed.get_linestyle()
    offsets = np.array([offset for offset, _ in styles])
    inches = np.diff(ax.transData.transform([(0.0, 0.0), (1.0, 0.0)])[:, 0])[0] / ax.figure.dpi
    (_, dashes) = styles[0]
    assert offsets[0] == 0.0
    # Matplotlib takes offsets modulo the length of the pattern.
    expected = np.arange(49) * 72.0 * inches / 49
    surplus = (offsets - expected) / sum(dashes)
    assert_allclose(surplus, np.round(surplus), atol=1e-6)


# Parameters


def test_parameters_are_drawn_for_each_component_in_the_same_colours() -> None:
    axes = plotting.plot_parameters(X[SHUFFLED], P[SHUFFLED])
    values = (P.weights, np.sqrt(P.variances[..., 0]), P.means[..., 0])
    for ax, expected in zip(axes, values, strict=True):
        bold = [line for line in ax.lines if line.get_alpha() is None]
        pale = [line for line in ax.lines if line.get_alpha() is not None]
        assert len(bold) == len(pale) == 3
        for k in range(3):
            x, y = points_of(pale[k])
            assert_array_equal(x, X)
            assert_allclose(y, expected[:, k])
            masked = np.where(P.weights[:, k] >= 0.01, expected[:, k], np.nan)
            assert_allclose(points_of(bold[k])[1], masked)
            assert same_color(bold[k].get_color(), axes[0].lines[2 * k].get_color())
            assert bold[k].get_linestyle() == axes[0].lines[2 * k + 1].get_linestyle()
        assert ax.get_xlim() == (X[0], X[-1])
    component_colours = [colour_of(c) for c in lines_of(plotting.plot_components(X, P))]
    assert component_colours == [to_hex(line.get_color()) for line in axes[0].lines[::2]]
    assert [ax.get_ylabel() for ax in axes] == ["weight", "standard deviation", "mean of y"]


def test_limits_of_parameters_leave_out_components_without_weight() -> None:
    p = mix([[0.999, 0.001], [0.5, 0.5]], [[0.0, 1e6], [0.0, 1.0]], [[1.0, 1e12], [1.0, 4.0]])
    axes = plotting.plot_parameters([0.0, 1.0], p)
    assert axes[1].get_yscale() == "linear"
    assert_allclose(axes[1].get_ylim(), [0.0, 2.1])
    assert -0.1 < axes[2].get_ylim()[0] < axes[2].get_ylim()[1] < 1.1


def test_standard_deviations_far_apart_get_a_logarithmic_axis() -> None:
    p = mix([[0.5, 0.5]] * 2, [[0.0, 1.0]] * 2, [[1e-4, 1.0]] * 2)
    ax = plotting.plot_parameters([0.0, 1.0], p)[1]
    assert ax.get_yscale() == "log"
    assert ax.get_ylim()[0] < 0.01
    assert ax.get_ylim()[1] > 1.0


def test_legend_of_parameters_names_all_components() -> None:
    own = plotting.plot_parameters(X, P)
    (legend,) = own[0].figure.legends
    given = plotting.plot_parameters(X, P, axes=Figure().subplots(3))
    for found in (legend, given[0].get_legend()):
        assert [text.get_text() for text in found.get_texts()] == ["0", "1", "2"]


# Samples and comparison


def test_samples_are_drawn_beside_the_data_with_the_same_limits() -> None:
    axes = plotting.plot_samples(X, SAMPLES, data=DATA)
    assert_array_equal(points_of(axes[0].lines[0]), DATA)
    x, y = points_of(axes[1].lines[0])
    assert_array_equal(x.reshape(4, NUM_INPUTS), np.tile(X, (4, 1)))
    assert_array_equal(y.reshape(4, NUM_INPUTS), SAMPLES[..., 0])
    assert axes[0].get_xlim() == axes[1].get_xlim()
    assert axes[0].get_ylim() == axes[1].get_ylim()
    assert axes[0].get_ylim()[0] < min(DATA[1])
    assert axes[0].get_ylim()[1] > max(DATA[1])


def test_one_sample_far_out_does_not_flatten_the_rest() -> None:
    samples = P.sample(100, rng=0).copy()
    samples[0, 0, 0] = 1e9
    (ax,) = plotting.plot_samples(X, samples)
    assert ax.get_ylim()[1] < 10.0


def test_comparison_shows_data_prediction_and_mixture() -> None:
    prediction = P.mean()
    axes = plotting.plot_comparison(
        X[SHUFFLED], P[SHUFFLED], data=DATA, squared_error=prediction[SHUFFLED], rng=0
    )
    for ax in axes[:2]:
        assert_array_equal(points_of(ax.lines[0]), DATA)
    x, y = points_of(axes[1].lines[1])
    assert_array_equal(x, X)
    assert_array_equal(y, prediction[:, 0])
    assert len({ax.get_xlim() for ax in axes}) == len({ax.get_ylim() for ax in axes}) == 1


def test_comparison_draws_one_sample_for_each_data_point_at_the_nearest_input() -> None:
    def drawn(seed: int) -> tuple[FloatArray, FloatArray]:
        axes = plotting.plot_comparison(X, P, data=DATA, squared_error=P.mean(), rng=seed)
        return points_of(axes[2].lines[0])

    x, y = drawn(0)
    nearest = np.abs(np.sort(DATA[0])[:, np.newaxis] - X).argmin(axis=1)
    assert_array_equal(x, X[nearest])
    # The probability integral transform of true samples is uniform.
    assert stats.kstest(P[nearest].cdf(y), "uniform").pvalue > 1e-3
    assert_array_equal(drawn(0)[1], y)
    assert not np.array_equal(drawn(1)[1], y)


def test_comparison_does_not_repeat_the_random_numbers_that_made_the_data() -> None:
    # Data and picture from one seed: each row's component would be that of the data again.
    num = 1000
    rng = np.random.default_rng(0)
    component = rng.random(num) > 0.5
    x = rng.uniform(size=num)
    p = mix([[0.5, 0.5]] * num, [[0.0, 1.0]] * num, [[1e-6, 1e-6]] * num)
    data = (x, component.astype(float))
    axes = plotting.plot_comparison(x, p, data=data, squared_error=p.mean(), rng=0)
    drawn_x, drawn_y = points_of(axes[2].lines[0])
    order = np.argsort(x)
    assert_array_equal(drawn_x, x[order])
    assert abs(np.corrcoef(drawn_y > 0.5, component[order])[0, 1]) < 0.15


def test_comparison_takes_samples_in_the_callers_order() -> None:
    axes = plotting.plot_comparison(
        X[SHUFFLED], P[SHUFFLED], data=DATA, squared_error=X, samples=SAMPLES[:, SHUFFLED]
    )
    x, y = points_of(axes[2].lines[0])
    assert_array_equal(x[:NUM_INPUTS], X[SHUFFLED])
    assert_array_equal(y[:NUM_INPUTS], SAMPLES[0, SHUFFLED, 0])


def test_density_colours_end_where_asked() -> None:
    ax = plotting.plot_density(X, P, vmax=0.25)
    assert ax.collections[0].norm.vmax == 0.25


# History


def test_history_curves_best_value_and_floor() -> None:
    ax = plotting.plot_history({**HISTORY, "step": [50, 100, 150, 200], "lr": [1] * 4}, entropy=1.0)
    training, held_out, best, floor = ax.lines
    assert_array_equal(points_of(training), [[50, 100, 150, 200], HISTORY["loss"]])
    assert_array_equal(points_of(held_out), [[50, 100, 150, 200], HISTORY["val_loss"]])
    assert_array_equal(points_of(best), [[150], [1.9]])
    assert best.get_label() == "best: 1.9 at step 150"
    assert_array_equal(points_of(floor)[1], [1.0, 1.0])
    assert floor.get_linestyle() == "--"
    assert ax.get_xlabel() == "step"
    assert ax.get_ylim()[0] < 1.0
    assert ax.get_ylim()[1] > 3.1


def test_history_of_keras_counts_epochs() -> None:
    ax = plotting.plot_history(SimpleNamespace(history={"loss": [2.0, 1.0]}))
    assert_array_equal(points_of(ax.lines[0]), [[1, 2], [2.0, 1.0]])
    assert ax.get_xlabel() == "epoch"
    assert len(ax.lines) == 1


def test_held_out_losses_of_every_third_epoch_stand_at_their_epochs() -> None:
    history = {"loss": [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], "val_loss": [5.5, 5.0]}
    ax = plotting.plot_history(history)
    assert_array_equal(points_of(ax.lines[1]), [[3, 6], [5.5, 5.0]])
    assert ax.lines[2].get_label() == "best: 5 at epoch 6"


def test_huge_first_losses_are_cut_off_and_named() -> None:
    loss = [5e4, 300.0, *np.linspace(3.0, 2.0, 50)]
    ax = plotting.plot_history({"loss": loss})
    assert 3.0 < ax.get_ylim()[1] < 4.0
    assert ax.lines[0].get_label() == "training (highest: 5e+04)"


@pytest.mark.parametrize("loss", [np.linspace(9.0, 1.0, 50), [2.0] * 30, [7.0]])
def test_gentle_losses_are_shown_whole(loss: list[float]) -> None:
    ax = plotting.plot_history({"loss": loss})
    assert ax.get_ylim()[0] < min(loss) <= max(loss) < ax.get_ylim()[1]
    assert ax.lines[0].get_label() == "training"


def test_lost_values_leave_gaps_and_the_best_is_found_beside_them() -> None:
    ax = plotting.plot_history({"val_loss": [3.0, np.nan, 2.0, np.inf]})
    assert_array_equal(points_of(ax.lines[0])[1], [3.0, np.nan, 2.0, np.nan])
    assert_array_equal(points_of(ax.lines[1]), [[3], [2.0]])
    assert np.isfinite(ax.get_ylim()).all()


def test_a_single_epoch_is_visible() -> None:
    ax = plotting.plot_history({"loss": [2.0]})
    assert ax.lines[0].get_marker() == "."


# Bad input: name, arguments that replace good ones, error, message

Row = tuple[str, dict[str, Any], type[Exception], str]

NAN_X = np.where(np.arange(NUM_INPUTS) == 4, np.nan, X)
BAD_MIXTURE: list[Row] = [
    ("x", {"x": X[:-1]}, ValueError, "x must have one value for each of the 60 rows"),
    ("x", {"x": NAN_X}, ValueError, r"x must be finite: 1 of 60 .* at index \(?4"),
    ("x", {"x": np.stack([X, X], axis=1)}, ValueError, r"x must have 1 column"),
    ("x", {"x": ["a"] * NUM_INPUTS}, TypeError, "x must hold real numbers"),
    ("x", {"x": np.ones(NUM_INPUTS)}, ValueError, "at least two different values"),
    (
        "parameters",
        {"parameters": {}},
        TypeError,
        "parameters must be a MixtureParameters, got dict",
    ),
    (
        "parameters",
        {"parameters": make_mixture(event_size=2)},
        ValueError,
        "parameters.event_size must be 1, got 2",
    ),
]
BAD_DATA: list[Row] = [
    ("data", {"data": np.ones((5, 2))}, TypeError, r"data must be a pair \(x, y\), got ndarray"),
    ("data", {"data": (X,)}, TypeError, "got tuple of length 1"),
    ("data", {"data": (X, X[:-1])}, ValueError, "equal lengths, got 60 and 59"),
    ("data", {"data": (X, NAN_X)}, ValueError, r"data\[1\] must be finite"),
    ("data", {"data": (["a"], [1.0])}, TypeError, r"data\[0\] must hold real numbers"),
]
BAD_AX: list[Row] = [
    ("ax", {"ax": plt}, TypeError, "ax must be a matplotlib.axes.Axes or None, got module"),
    ("ax", {"ax": [1]}, TypeError, "got list"),
]
BAD_AXES: list[Row] = [
    ("axes", {"axes": [1, 2, 3]}, TypeError, r"axes\[0\] must be a matplotlib.axes.Axes, got int"),
    (
        "axes",
        {"axes": 3},
        TypeError,
        "axes must be a sequence of [23] matplotlib.axes.Axes, got int",
    ),
    ("axes", {"axes": Figure().subplots(5)}, ValueError, "axes must hold [23] .*, got 5"),
]
BAD_SAMPLES: list[Row] = [
    (
        "samples",
        {"samples": SAMPLES[:, :-1]},
        ValueError,
        r"\(S, 60, 1\) .* got shape \(4, 59, 1\)",
    ),
    ("samples", {"samples": SAMPLES[..., 0]}, ValueError, r"got shape \(4, 60\)"),
    ("samples", {"samples": np.repeat(SAMPLES, 2, axis=2)}, ValueError, r"got shape \(4, 60, 2\)"),
    ("samples", {"samples": SAMPLES[:0]}, ValueError, r"got shape \(0, 60, 1\)"),
    ("samples", {"samples": SAMPLES * np.nan}, ValueError, "samples must be finite"),
]
GOOD: dict[str, Any] = {"x": X, "parameters": P, "data": DATA}
TABLES: list[tuple[Callable[..., Any], dict[str, Any], list[Row]]] = [
    (
        plotting.plot_density,
        GOOD,
        [
            *BAD_MIXTURE,
            *BAD_DATA,
            *BAD_AX,
            ("y", {"y": [0.0, np.nan]}, ValueError, "y must be finite"),
            ("y", {"y": [1.0, 1.0]}, ValueError, "y must hold at least two different values"),
            ("y", {"y": np.ones((2, 2))}, ValueError, "y must have 1 column"),
        ],
    ),
    (
        plotting.plot_components,
        GOOD,
        [
            *BAD_MIXTURE,
            *BAD_DATA,
            *BAD_AX,
            ("min_weight", {"min_weight": -0.1}, ValueError, "min_weight must be .*, got -0.1"),
            (
                "min_weight",
                {"min_weight": 1.0},
                ValueError,
                "min_weight must be .* less than 1",
            ),
            ("min_weight", {"min_weight": "no"}, TypeError, "min_weight must be a number"),
        ],
    ),
    (plotting.plot_parameters, {"x": X, "parameters": P}, [*BAD_MIXTURE, *BAD_AXES]),
    (
        plotting.plot_samples,
        {"x": X, "samples": SAMPLES, "data": DATA},
        [*BAD_DATA, *BAD_AXES, *BAD_SAMPLES],
    ),
    (
        plotting.plot_comparison,
        {**GOOD, "squared_error": X},
        [
            *BAD_MIXTURE,
            *BAD_DATA,
            *BAD_AXES,
            *BAD_SAMPLES,
            ("squared_error", {"squared_error": X[1:]}, ValueError, "squared_error .* got 59"),
            (
                "squared_error",
                {"squared_error": NAN_X},
                ValueError,
                "squared_error must be fin",
            ),
            ("data", {"data": None}, TypeError, "data must be a pair"),
            ("rng", {"rng": "seed"}, TypeError, "rng must be a numpy.random.Generator"),
        ],
    ),
    (
        plotting.plot_history,
        {"history": HISTORY},
        [
            *BAD_AX,
            (
                "history",
                {"history": [1.0]},
                TypeError,
                "history must be a Keras History .* list",
            ),
            ("history", {"history": {"lr": [1]}}, ValueError, r"got the names \['lr'\]"),
            ("history", {"history": {"loss": []}}, ValueError, "at least one finite value"),
            ("history", {"history": {"loss": [np.nan]}}, ValueError, r"history\['loss'\] must"),
            ("history", {"history": {"loss": ["a"]}}, TypeError, "must hold real numbers"),
            (
                "history",
                {"history": {"loss": [1.0, 2.0, 3.0], "val_loss": [1.0, 2.0]}},
                ValueError,
                "got 3 values of 'loss' and 2 of 'val_loss'",
            ),
            ("entropy", {"entropy": np.nan}, ValueError, "entropy must be finite, got nan"),
            ("entropy", {"entropy": "low"}, TypeError, "entropy must be a number"),
        ],
    ),
]
BAD = [
    pytest.param(function, {**good, **bad}, error, message, id=f"{function.__name__}-{name}")
    for function, good, table in TABLES
    for name, bad, error, message in table
]


@pytest.mark.parametrize(("function", "arguments", "error", "message"), BAD)
def test_bad_input_is_refused_before_a_figure_is_made(
    function: Callable[..., Any],
    arguments: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        function(**arguments)
    assert plt.get_fignums() == []


def test_many_light_components_are_drawn() -> None:
    rng = np.random.default_rng(0)
    many = MixtureParameters(
        np.full((6, 150), 1 / 150), rng.normal(size=(6, 150, 1)), np.ones((6, 150, 1))
    )
    inputs = np.arange(6.0)
    for draw in (plotting.plot_density, plotting.plot_parameters):
        assert draw(inputs, many) is not None
