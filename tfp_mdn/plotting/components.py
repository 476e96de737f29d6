"""The mixture's components over the input: where they lie, and the parameters themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.path import Path

from tfp_mdn._validation import FloatArray, as_real
from tfp_mdn.plotting._inputs import (
    AxesArray,
    as_axes,
    as_axes_array,
    as_mixture_over,
    as_pair,
)
from tfp_mdn.plotting._style import (
    component_style,
    draw_points,
    limits,
    mass_range,
    new_axes,
    thinned,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from tfp_mdn.mixture._methods import Mixture

__all__ = ["plot_components", "plot_parameters"]

_LINE_WIDTH, _THIN = 2.0, 1.5
# Width and height of three stacked panels in inches.
_TALL = (6.0, 6.5)
# Opacity of a band relative to its line: four bands on top of each other still show the data.
_BAND_OPACITY = 0.3
# Below this weight a component's mean and standard deviation are left out of the limits.
_LEAST_WEIGHT = 0.01
# Standard deviations that differ by a larger factor get a logarithmic axis.
_WIDE = 30.0
# Columns of the picture that gives a band its changing opacity; more than a panel has pixels.
_BAND_COLUMNS = 1000
# Both above the data, whose points are drawn in Matplotlib's layer 2.
_BAND_LAYER, _MEAN_LAYER = 2.1, 2.2
# Data below the components: dark points would hide the colours.
_PALE = "#9A9A9A"
_POINTS_PER_INCH = 72.0
# Longest column of a legend that fits beside a panel of 4 inches.
_LEGEND_ROWS = 12


def plot_components(
    x: ArrayLike,
    parameters: Mixture,
    *,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    min_weight: float = 0.01,
    ax: Axes | None = None,
    xlabel: str = "x",
    ylabel: str = "y",
) -> Axes:
    """Draw each component's mean as a line with a band of one standard deviation on either side.

    The opacity is √(weight / largest weight of all) and changes along x: a line fades out where
    its component loses its weight. The square root keeps a component with a tenth of the weight
    in sight.

    Args:
        x: Inputs of shape (N,) or (N, 1), in any order, in their own units. Of more than 2000
            inputs, 2000 are drawn.
        parameters: Mixtures at those inputs, for targets of one dimension.
        data: Pair (x, y) of vectors of data points to draw below, or None for none.
        min_weight: A component is not drawn where it has less weight than this; from 0 to below 1.
        ax: Axes to draw on, or None for a new figure.
        xlabel: Label of the x axis.
        ylabel: Label of the y axis.

    Returns:
        The axes that were drawn on. The legend, to the right of the axes, names the components
        that are visible somewhere; colours and dashes are those of `plot_parameters`.

    Raises:
        TypeError: If `ax` is not an axes, `parameters` not a `MixtureParameters`, `data` not a
            pair, or an array does not hold real numbers.
        ValueError: If `parameters.event_size` is not 1, lengths differ, a value is NaN or
            infinite, `x` holds fewer than two different values, or `min_weight` is out of range.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> p = MixtureParameters(
        ...     weights=[[0.2, 0.8], [0.6, 0.4]], means=[[0.0, 1.0], [0.0, 2.0]],
        ...     variances=[[0.1, 0.1], [0.1, 0.1]],
        ... )
        >>> ax = plot_components([0.0, 1.0], p, ax=Figure().subplots())
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['0', '1']
    """
    inputs, mixture = as_mixture_over(x, parameters)
    points = None if data is None else as_pair("data", data)
    min_weight = as_real("min_weight", min_weight, minimum=0.0, below=1.0)
    ax = new_axes()[0] if ax is None else as_axes(ax)

    inputs, mixture = thinned(inputs, mixture)
    # The dashes need the final limits.
    extent = (inputs, mass_range(mixture))
    x_values, y_values = zip(extent, *([] if points is None else [points]), strict=True)
    ax.set_xlim(limits(*x_values))
    ax.set_ylim(limits(*y_values))
    if points is not None:
        draw_points(ax, points, color=_PALE, label="data")
    components = range(mixture.num_components)
    shown = [k for k in components if _draw_component(ax, k, inputs, mixture, min_weight)]
    _draw_legend(ax, shown)
    ax.set(xlabel=xlabel, ylabel=ylabel, title="Mixture components (opacity: weight)")
    return ax


def plot_parameters(
    x: ArrayLike,
    parameters: Mixture,
    *,
    axes: Sequence[Axes] | AxesArray | None = None,
    xlabel: str = "x",
    ylabel: str = "y",
) -> AxesArray:
    """Draw weights, standard deviations and means over x, one line per component.

    The standard deviations get a logarithmic axis if they span more than a factor of 30. A mean
    or standard deviation whose component has less than 1 % of the weight says nothing about the
    density: there the line is thin and pale, and the limits leave it out of account.

    Args:
        x: Inputs of shape (N,) or (N, 1), in any order, in their own units.
        parameters: Mixtures at those inputs, for targets of one dimension.
        axes: Three axes for weights, standard deviations and means, or None for a new figure.
        xlabel: Label of the x axis, under the last of the axes.
        ylabel: Name of the target, for instance with its unit; label of the means.

    Returns:
        The three axes, an array of shape (3,). The legend is to the right of a new figure, or of
        the first of the axes given.

    Raises:
        TypeError: If an element of `axes` is not an axes, `parameters` not a `MixtureParameters`,
            or `x` does not hold real numbers.
        ValueError: If `parameters.event_size` is not 1, lengths differ, a value is NaN or
            infinite, `x` holds fewer than two different values, or `axes` are not three.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> p = MixtureParameters([[0.2, 0.8]] * 2, [[0.0, 1.0]] * 2, [[0.1, 0.1]] * 2)
        >>> axes = plot_parameters([0.0, 1.0], p, axes=Figure().subplots(3))
        >>> [ax.get_ylabel() for ax in axes]
        ['weight', 'standard deviation', 'mean of y']
    """
    inputs, mixture = as_mixture_over(x, parameters)
    own = axes is None
    axes = new_axes(3, 1, size=_TALL) if axes is None else as_axes_array(axes, 3)
    means, stddevs = (part[..., 0] for part in mixture._component_spreads())
    # Of K components, one at least weighs 1/K.
    matters = mixture.weights >= min(_LEAST_WEIGHT, 0.5 / mixture.num_components)
    for ax, values in zip(axes, (mixture.weights, stddevs, means), strict=True):
        for k in range(mixture.num_components):
            color, dashes = component_style(k)
            ax.plot(inputs, values[:, k], color=color, linewidth=0.6, alpha=0.4)
            bold = np.where(matters[:, k], values[:, k], np.nan)
            ax.plot(inputs, bold, color=color, dashes=dashes, linewidth=_THIN, label=str(k))
        ax.set_xlim(inputs[0], inputs[-1])
    axes[0].set_ylim(0.0, 1.05 * mixture.weights.max())
    low, high = stddevs[matters].min(), stddevs[matters].max()
    if high > _WIDE * low:
        axes[1].set_yscale("log")
        axes[1].set_ylim(low / 1.2, high * 1.2)
    else:
        axes[1].set_ylim(0.0, 1.05 * high)
    axes[2].set_ylim(limits(means[matters]))
    axes[0].set(ylabel="weight", title="Mixture parameters")
    axes[1].set(ylabel="standard deviation")
    axes[2].set(ylabel=f"mean of {ylabel}", xlabel=xlabel)
    if own:
        axes[0].figure.align_ylabels(list(axes))
    _draw_legend(axes[0], range(mixture.num_components), beside_figure=own)
    return axes


def _draw_component(ax: Axes, k: int, x: FloatArray, mixture: Mixture, min_weight: float) -> bool:
    """Draw one component, and return whether it is visible anywhere."""
    weight = mixture.weights[:, k]
    opacity = np.where(weight >= min_weight, np.sqrt(weight / mixture.weights.max()), 0.0)
    if not opacity.any():
        return False
    mean, stddev = (part[:, k, 0] for part in mixture._component_spreads())
    colour, dashes = component_style(k)
    _draw_band(ax, x, mean - stddev, mean + stddev, _BAND_OPACITY * opacity, colour)
    _draw_line(ax, x, mean, opacity, colour, dashes)
    return True


def _draw_band(
    ax: Axes, x: FloatArray, low: FloatArray, high: FloatArray, opacity: FloatArray, colour: str
) -> None:
    """Draw a band whose opacity changes along x.

    It is a picture of one row that is cut out with the band's outline: neighbouring polygons of
    different opacity would show seams.
    """
    edges = np.linspace(x[0], x[-1], _BAND_COLUMNS + 1)
    picture = np.tile(to_rgba(colour), (1, _BAND_COLUMNS, 1))
    picture[0, :, 3] = np.interp(0.5 * (edges[1:] + edges[:-1]), x, opacity)
    view = ax.viewLim.frozen()
    image = ax.imshow(
        picture,
        extent=(x[0], x[-1], low.min(), high.max()),
        origin="lower",
        aspect=ax.get_aspect(),
        interpolation="nearest",
        zorder=_BAND_LAYER,
    )
    # imshow sets the limits to its own extent.
    ax.set(xlim=view.intervalx, ylim=view.intervaly)
    outline = np.stack([np.concatenate([x, x[::-1]]), np.concatenate([low, high[::-1]])], axis=1)
    image.set_clip_path(Path(outline, closed=False), ax.transData)


def _draw_line(
    ax: Axes,
    x: FloatArray,
    y: FloatArray,
    opacity: FloatArray,
    colour: str,
    dashes: tuple[float, ...],
) -> None:
    """Draw a line whose opacity changes along x, piece by piece."""
    visible = (opacity[1:] > 0.0) & (opacity[:-1] > 0.0)
    line = np.stack([x, y], axis=1)
    pieces = np.stack([line[:-1], line[1:]], axis=1)[visible]
    rgba = np.tile(to_rgba(colour), (len(pieces), 1))
    rgba[:, 3] = 0.5 * (opacity[1:] + opacity[:-1])[visible]
    means = LineCollection(
        list(pieces), colors=list(rgba), linewidths=_LINE_WIDTH, zorder=_MEAN_LAYER
    )
    if dashes:
        starts = _distance_along(ax, line)[visible] / _LINE_WIDTH
        means.set_linestyle([(start, dashes) for start in starts])
    ax.add_collection(means, autolim=False)


def _distance_along(ax: Axes, line: FloatArray) -> FloatArray:
    """Return how far from its start each piece of a line (N, 2) begins, in points, (N - 1,).

    Each piece starts its dashes anew, and pieces are shorter than a dash: without an offset,
    dashed and dotted lines would look solid.
    """
    pixels = ax.transData.transform(line)
    lengths = np.hypot(*np.diff(pixels, axis=0).T)
    return (np.cumsum(lengths) - lengths) * _POINTS_PER_INCH / ax.figure.dpi


def _draw_legend(ax: Axes, components: Sequence[int], *, beside_figure: bool = False) -> None:
    """Name the components, counted from 1, to the right of the axes or of the whole figure."""
    handles = []
    for k in components:
        color, dashes = component_style(k)
        line = Line2D([], [], color=color, linewidth=_LINE_WIDTH, label=str(k))
        if dashes:
            line.set_dashes(dashes)
        handles.append(line)
    look: dict[str, Any] = {
        "handles": handles,
        "title": "component",
        "ncols": 1 + (len(handles) - 1) // _LEGEND_ROWS,
        "fontsize": "small",
        "title_fontsize": "small",
        "frameon": False,
    }
    if beside_figure:
        # In the axes' own legend, ten lines would push the panels below apart.
        ax.figure.legend(loc="outside right upper", **look)
    else:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, **look)
