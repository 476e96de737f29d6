"""What holds for every picture of calibration, slices, modes and several dimensions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_array_equal

from tests.plotting.conftest import NUM_ROWS, P, X, Y, make_plane
from tfp_mdn import plotting
from tfp_mdn.mixture import MixtureParameters

ROWS = [5, 60, 110]
PLANE, SPACE = make_plane(), make_plane(event_size=3)
POINTS = SPACE.sample(30, rng=0)[:, 0]

# Name, shape of the axes (None: a single one), and a call with its smallest good arguments.
PICTURES: dict[str, tuple[tuple[int, ...] | None, Callable[..., Any]]] = {
    "pit": (None, lambda **k: plotting.plot_pit(P, Y, **k)),
    "coverage": (None, lambda **k: plotting.plot_coverage(P, Y, **k)),
    "coverage less nominal": (None, lambda **k: plotting.plot_coverage(P, Y, difference=True, **k)),
    "residuals": (None, lambda **k: plotting.plot_residuals(P, Y, **k)),
    "quantiles": (None, lambda **k: plotting.plot_quantiles(X, P, data=(X, Y), **k)),
    "modes": (None, lambda **k: plotting.plot_modes(X, P, data=(X, Y), **k)),
    "slices": ((3,), lambda **k: plotting.plot_slices(X[ROWS], P[ROWS], **k)),
    "usage": (None, lambda **k: plotting.plot_component_usage(P, **k)),
    "joint": (None, lambda **k: plotting.plot_joint(PLANE, data=POINTS[:, :2], **k)),
    "corner": ((3, 3), lambda **k: plotting.plot_corner(SPACE, data=POINTS, **k)),
}
each_picture = pytest.mark.parametrize("name", PICTURES)


@each_picture
def test_draws_on_the_given_axes_and_makes_no_figure(name: str) -> None:
    shape, draw = PICTURES[name]
    given = Figure().subplots(*((shape or (1,)) + (1,))[:2], squeeze=False)
    before = [len(ax.get_children()) for ax in given.flat]
    returned = draw(ax=given[0, 0]) if shape is None else draw(axes=given)
    if shape is None:
        assert returned is given[0, 0]
    else:
        assert returned.shape == shape
        assert all(a is b for a, b in zip(returned.flat, given.flat, strict=True))
    drawn = [len(ax.get_children()) for ax in given.flat if ax.axison]
    assert all(n > min(before) for n in drawn)
    assert plt.get_fignums() == []


@each_picture
def test_makes_one_figure_in_which_nothing_is_cut_off(name: str) -> None:
    shape, draw = PICTURES[name]
    axes = draw()
    assert shape == (None if shape is None else axes.shape)
    assert len(plt.get_fignums()) == 1
    figure = np.ravel(axes)[0].figure
    figure.canvas.draw()
    drawn = figure.get_tightbbox()
    assert min(drawn.x0, drawn.y0) >= 0.0
    assert drawn.x1 <= figure.get_figwidth()
    assert drawn.y1 <= figure.get_figheight()


@each_picture
def test_changes_neither_settings_nor_global_randomness(name: str) -> None:
    settings, randomness = dict(mpl.rcParams), str(np.random.get_state())  # noqa: NPY002
    PICTURES[name][1]()
    assert dict(mpl.rcParams) == settings
    assert str(np.random.get_state()) == randomness  # noqa: NPY002


@each_picture
def test_the_same_arguments_give_the_same_picture(name: str) -> None:
    def pixels() -> Any:
        figure = np.ravel(PICTURES[name][1]())[0].figure
        figure.canvas.draw()
        return np.asarray(figure.canvas.buffer_rgba())

    assert_array_equal(pixels(), pixels())


@each_picture
def test_has_a_docstring_for_each_argument(name: str) -> None:
    function = getattr(plotting, f"plot_{FUNCTIONS.get(name, name)}")
    described = (inspect.getdoc(function) or "").split("\nArgs:\n")[1]
    for argument in inspect.signature(function).parameters:
        assert re.search(rf"^    {argument}: ", described, re.MULTILINE)


FUNCTIONS = {"coverage less nominal": "coverage", "usage": "component_usage"}


def test_inputs_are_left_as_they_were() -> None:
    x, y = X.copy()[::-1], Y.copy()[::-1]
    levels, coverages, points = np.array([0.9, 0.1, 0.5]), np.array([0.9, 0.5]), POINTS.copy()
    kept = [array.copy() for array in (x, y, levels, coverages, points)]
    plotting.plot_pit(P, y)
    plotting.plot_coverage(P, y)
    plotting.plot_residuals(P, y, x=x)
    plotting.plot_quantiles(x, P, levels=levels, data=(x, y))
    plotting.plot_modes(x, P, data=(x, y))
    plotting.plot_slices(x[:2], P[:2])
    plotting.plot_joint(PLANE, coverages=coverages, data=points[:, :2])
    plotting.plot_corner(SPACE, coverages=coverages, data=points)
    for array, before in zip((x, y, levels, coverages, points), kept, strict=True):
        assert_array_equal(array, before)


SINGLE = {
    "pit": (0.0, 1.0),
    "coverage": (0.0, 1.0),
}


@pytest.mark.parametrize("name", SINGLE)
def test_one_row_is_enough(name: str) -> None:
    ax = getattr(plotting, f"plot_{name}")(P[0], [0.3])
    assert ax.get_xlim() == SINGLE[name]


@pytest.mark.parametrize(("shift", "scale"), [(1e9, 1.0), (0.0, 1e-150), (-5.0, 1e9)])
def test_units_do_not_matter(shift: float, scale: float) -> None:
    p, space = P.transform(shift, scale), SPACE.transform(shift, scale)
    y = shift + scale * Y
    drawn = [
        plotting.plot_pit(p, y),
        plotting.plot_coverage(p, y),
        plotting.plot_residuals(p, y),
        plotting.plot_quantiles(X, p),
        plotting.plot_modes(X, p),
        plotting.plot_slices(X[ROWS], p[ROWS])[0],
        plotting.plot_joint(space.marginal([0, 1])),
        plotting.plot_corner(space)[0, 0],
    ]
    for ax in drawn:
        ax.figure.canvas.draw()
        assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()
    low, high = drawn[3].get_ylim()
    assert low == pytest.approx(shift + scale * plotting.plot_quantiles(X, P).get_ylim()[0])
    assert high > low


# Bad input: function, its good arguments, then name, bad value, error, message

Row = tuple[str, Any, type[Exception], str]
NAN_Y = np.where(np.arange(NUM_ROWS) == 4, np.nan, Y)
BAD_TARGETS: list[Row] = [
    ("parameters", {}, TypeError, "parameters must be a MixtureParameters, got dict"),
    ("y", Y[:-1], ValueError, "y must have one target for each of the 120 rows .* got 119"),
    ("y", NAN_Y, ValueError, "y must be finite: 1 of 120"),
    ("y", ["a"] * NUM_ROWS, TypeError, "y must hold real numbers"),
]
BAD_AX: list[Row] = [
    ("ax", plt, TypeError, "ax must be a matplotlib.axes.Axes or None, got module"),
]
BAD_SCALAR: list[Row] = [
    ("parameters", SPACE, ValueError, r"event_size must be 1, got 3. Pass .*marginal\(d\)"),
]
BAD_OVER_X: list[Row] = [
    ("x", X[1:], ValueError, "x must have one value for each of the 120 rows"),
    ("x", np.ones(NUM_ROWS), ValueError, "at least two different values"),
    ("parameters", 3, TypeError, "parameters must be a MixtureParameters, got int"),
    ("parameters", SPACE, ValueError, "parameters.event_size must be 1, got 3"),
    ("data", (X, X[1:]), ValueError, "equal lengths"),
    ("data", np.ones((5, 2)), TypeError, r"data must be a pair \(x, y\)"),
]
BAD_PLANE: list[Row] = [
    ("parameters", 3, TypeError, "parameters must be a MixtureParameters, got int"),
    ("parameters", P[0], ValueError, "event_size must be at least 2 .* Use plot_slices"),
    (
        "parameters",
        MixtureParameters.concatenate([SPACE, SPACE]),
        ValueError,
        r"must hold one row, got 2. Pick .* parameters\[row\]",
    ),
    ("coverages", [0.5, 1.0], ValueError, "coverages must hold levels strictly between 0 and 1"),
    ("coverages", [], ValueError, "coverages must hold levels"),
    ("coverages", "half", TypeError, "coverages must hold real numbers"),
    ("data", np.ones((4, 5)), ValueError, "data must have [23] column"),
    ("data", np.full((2, 3), np.nan), ValueError, "data must"),
    ("components", 1, TypeError, "components must be True or False, got 1"),
    ("min_weight", 1.0, ValueError, "min_weight must be .* less than 1"),
]
OVER_ROWS: dict[str, Any] = {"parameters": P, "y": Y}
OVER_X: dict[str, Any] = {"x": X, "parameters": P}
TABLES: list[tuple[Callable[..., Any], dict[str, Any], list[Row]]] = [
    (
        plotting.plot_pit,
        OVER_ROWS,
        [
            *BAD_TARGETS,
            *BAD_SCALAR,
            *BAD_AX,
            ("num_bins", 1, ValueError, "num_bins must be at least 2, got 1"),
            ("num_bins", 2.5, TypeError, "num_bins must be an integer"),
            ("confidence", 95, ValueError, "confidence must be .* less than 1"),
            ("lattice", 0.5, ValueError, "y must lie on a lattice of step 0.5"),
            ("lattice", -1.0, ValueError, "lattice must be a step of at least 0"),
            ("rng", "seed", TypeError, "rng must be a numpy.random.Generator"),
        ],
    ),
    (
        plotting.plot_coverage,
        OVER_ROWS,
        [
            *BAD_TARGETS,
            *BAD_AX,
            ("difference", 1, TypeError, "difference must be True or False, got 1"),
            ("confidence", 0.0, ValueError, "confidence must be .* greater than 0"),
            ("num_draws", 0, ValueError, "num_draws must be at least 1"),
            ("rng", -1, ValueError, "rng must be at least 0"),
        ],
    ),
    (
        plotting.plot_residuals,
        OVER_ROWS,
        [
            *BAD_TARGETS,
            *BAD_SCALAR,
            *BAD_AX,
            ("x", X[1:], ValueError, "x must have one value for each of the 120 targets, got 119"),
            ("x", np.stack([X, X], axis=1), ValueError, "x must have 1 column"),
            ("standardise", "yes", TypeError, "standardise must be True or False"),
        ],
    ),
    (
        plotting.plot_quantiles,
        OVER_X,
        [
            *BAD_OVER_X,
            *BAD_AX,
            ("levels", [5, 95], ValueError, "levels must hold .* Divide percentages by 100"),
            ("levels", [], ValueError, "levels must hold levels"),
            ("levels", [[0.1], [0.9]], ValueError, "levels must hold levels"),
            ("levels", [0.1, np.nan], ValueError, "levels must be finite"),
        ],
    ),
    (
        plotting.plot_modes,
        OVER_X,
        [
            *BAD_OVER_X,
            *BAD_AX,
            ("min_ratio", 0.0, ValueError, "min_ratio must be .* greater than 0"),
            ("min_ratio", None, TypeError, "min_ratio must be a number"),
        ],
    ),
    (
        plotting.plot_slices,
        {"x_values": X[ROWS], "parameters": P[ROWS]},
        [
            ("x_values", X, ValueError, "got 120 values for 3 rows"),
            ("x_values", [1.0, np.nan, 2.0], ValueError, "x_values must be finite"),
            ("x_values", [None, 1, 2], TypeError, "x_values must hold real numbers"),
            ("parameters", 3, TypeError, "parameters must be a MixtureParameters, got int"),
            ("parameters", P[:0], ValueError, "parameters must have at least one row"),
            ("parameters", SPACE, ValueError, r"event_size must be 1 .*parameters.marginal\(0\)"),
            ("coverage", 90, ValueError, "coverage must be .* less than 1"),
            ("min_weight", -0.1, ValueError, "min_weight must be .* at least 0"),
            ("axes", [1, 2, 3], TypeError, r"axes\[0\] must be a matplotlib.axes.Axes"),
            ("axes", Figure().subplots(2), ValueError, "axes must hold 3 .* got 2"),
        ],
    ),
    (
        plotting.plot_slices,
        {"x_values": X, "parameters": P},
        [("x_values", X, ValueError, "1 to 12, got 120 values for 120 rows. Select a few rows")],
    ),
    (
        plotting.plot_component_usage,
        {"parameters": P},
        [
            *BAD_AX,
            ("parameters", [[0.5]], TypeError, "parameters must be a MixtureParameters, got list"),
            ("parameters", P[:0], ValueError, "parameters must have at least one row, got none"),
            ("dead_below", 1.0, ValueError, "dead_below must be .* less than 1"),
        ],
    ),
    (
        plotting.plot_joint,
        {"parameters": PLANE},
        [
            *BAD_PLANE,
            *BAD_AX,
            ("parameters", SPACE, ValueError, "must be 2 .* got 3. Pass .*, or use plot_corner"),
        ],
    ),
    (
        plotting.plot_corner,
        {"parameters": SPACE},
        [
            *BAD_PLANE,
            ("dims", [0], ValueError, "dims must name 2 to 10 dimensions, got 1"),
            ("dims", [0, 0], ValueError, "dims must not repeat a dimension"),
            ("dims", [0, 3], ValueError, "dims must be from 0 to D - 1 = 2, got 3"),
            ("dims", "ab", TypeError, "dims must be an integer or a sequence"),
            (
                "parameters",
                make_plane(full=False, event_size=11),
                ValueError,
                r"2 to 10 dimensions, got 11. Pass dims=, for instance dims=\[0, 1, 2, 3, 4\]",
            ),
            ("labels", "abc", TypeError, "labels must be a sequence of 3 texts, got str"),
            ("labels", ["a", "b"], ValueError, "labels must hold 3 texts, .* got 2"),
            ("labels", ["a", "b", 3], TypeError, r"labels\[2\] must be a text, got 3"),
            ("axes", Figure().subplots(3), ValueError, "axes must hold 9 .* got 3"),
        ],
    ),
]
BAD = [
    pytest.param(function, {**good, name: value}, error, message, id=f"{function.__name__}-{name}")
    for function, good, table in TABLES
    for name, value, error, message in table
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
