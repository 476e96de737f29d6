"""One mixture of a target of several dimensions: pairs of dimensions, and all pairs at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np

from tfp_mdn._validation import FloatArray, as_real
from tfp_mdn.calibration.coverage import as_inner_levels
from tfp_mdn.plotting._curves import draw_density
from tfp_mdn.plotting._inputs import AxesArray, as_axes, as_axes_array
from tfp_mdn.plotting._looks import BESIDE, SMALL
from tfp_mdn.plotting._mixtures import as_dims, as_labels, as_one_row, as_points
from tfp_mdn.plotting._planes import draw_plane, region_patches, regions_of, span_of
from tfp_mdn.plotting._style import BLACK, draw_points, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend
    from numpy.typing import ArrayLike

    from tfp_mdn.mixture import MixtureParameters

__all__ = ["plot_corner", "plot_joint"]

_MOST_DIMS = 10
# Inches of one panel of a corner, and of the figure's edges.
_PANEL, _EDGE = 1.9, 0.6
# More points than this are drawn smaller in a corner than in a picture of their own.
_FEW = 20


def plot_joint(
    parameters: MixtureParameters,
    *,
    coverages: ArrayLike = (0.5, 0.8, 0.95),
    data: ArrayLike | None = None,
    components: bool = True,
    min_weight: float = 0.01,
    ax: Axes | None = None,
    xlabel: str = "y0",
    ylabel: str = "y1",
) -> Axes:
    """Draw the density of one mixture in two dimensions by its highest density regions.

    Each shade is the smallest region that holds a share of the probability, however many pieces it
    has. Ellipses are the components' contours at one standard deviation, {μ + L u: |u| = 1} with
    L Lᵀ = Σ, each of which holds 39 % of its component; they fade with √weight, and more than
    eight are thin and all alike.

    Args:
        parameters: One row, D = 2, with or without covariances: `parameters[row]`, and of more
            dimensions `parameters[row].marginal([i, j])`.
        coverages: Probabilities of the regions, (C,), strictly between 0 and 1.
        data: Points (M, 2) or one point (2,) to draw on top, in the target's units, or None.
        components: Whether to draw the ellipses.
        min_weight: Components with less weight than this get no ellipse; 0 to below 1.
        ax: Axes to draw on, or None for a new figure.
        xlabel: Label of the x axis, the first dimension.
        ylabel: Label of the y axis, the second dimension.

    Returns:
        The axes that were drawn on.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If there is not one row of two dimensions, `data` is not finite or of another
            shape, or a coverage or `min_weight` is out of range.

    References:
        R. J. Hyndman (1996), Computing and graphing highest density regions, The American
        Statistician 50, 120-126, https://doi.org/10.2307/2684423.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> p = MixtureParameters([[0.4, 0.6]], [[[0.0, 0.0], [3.0, 3.0]]], [[[1.0, 2.0]] * 2])
        >>> ax = plot_joint(p, ax=Figure().subplots())
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['50 %', '80 %', '95 %', 'component 0', 'component 1']
    """
    as_one_row(parameters)
    if parameters.event_size != 2:
        msg = (
            "parameters.event_size must be 2 for this picture, got "
            f"{parameters.event_size}. Pass parameters.marginal([i, j]), or use plot_corner."
        )
        raise ValueError(msg)
    shares, drawn, points = _options(parameters, coverages, components, min_weight, data)
    ax = new_axes(size=(6.0, 4.4))[0] if ax is None else as_axes(ax)

    regions = regions_of(parameters, shares)
    columns = [None, None] if points is None else list(points.T)
    spans = [span_of([end], column) for end, column in zip(regions.box, columns, strict=True)]
    draw_plane(ax, parameters, spans, regions, components=drawn)
    if points is not None:
        _draw_data(ax, points)
    _draw_legend(ax, ax, shares, **BESIDE)
    ax.set(xlabel=xlabel, ylabel=ylabel, title="Joint density")
    return ax


def plot_corner(
    parameters: MixtureParameters,
    *,
    dims: int | Sequence[int] | None = None,
    coverages: ArrayLike = (0.5, 0.8, 0.95),
    data: ArrayLike | None = None,
    components: bool = True,
    min_weight: float = 0.01,
    axes: Sequence[Axes] | AxesArray | None = None,
    labels: Sequence[str] | None = None,
) -> AxesArray:
    """Draw one mixture's exact marginals on the diagonal, and its pairs of dimensions below it.

    Pairs are drawn as `plot_joint` does, marginals as densities. Regions are those of the pair's
    own marginal density, not projections of a region in all dimensions. The panels above the
    diagonal are switched off; the legend stands there.

    Args:
        parameters: One row, D ≥ 2, with or without covariances: `parameters[row]`.
        dims: Two to ten dimensions to draw, in this order, or None for all.
        coverages: Probabilities of the regions, (C,), strictly between 0 and 1.
        data: Points (M, D) or one point (D,) to draw on top, in the target's units, or None. D
            counts all dimensions of the mixture.
        components: Whether to draw the components' ellipses and their shares in the marginals.
        min_weight: Components with less weight than this are not drawn; 0 to below 1.
        axes: Square of P × P axes for P dimensions, row by row, or None for a new figure.
        labels: Names of the P dimensions that are drawn, for instance with their units; None takes
            y0, y1, ... by their numbers in the mixture.

    Returns:
        The axes, an array of shape (P, P).

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If there is not one row, D is 1, there are fewer than 2 or more than 10
            dimensions to draw, or another argument does not fit or is out of range.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> p = MixtureParameters([[1.0]], [[[0.0, 5.0, -5.0]]], [[[1.0, 2.0, 3.0]]])
        >>> axes = plot_corner(p, axes=Figure().subplots(3, 3), labels=["u", "v", "w"])
        >>> [ax.get_xlabel() for ax in axes[-1]]
        ['u', 'v', 'w']
    """
    as_one_row(parameters)
    shares, drawn, points = _options(parameters, coverages, components, min_weight, data)
    chosen = as_dims(dims, parameters.event_size, most=_MOST_DIMS)
    names = as_labels("labels", labels, chosen)
    size = len(chosen)
    panels = (_square(size) if axes is None else as_axes_array(axes, size**2)).reshape(size, size)

    mixture = parameters.marginal(chosen)
    columns = [None if points is None else points[:, d] for d in chosen]
    pairs = {(j, i): mixture.marginal([j, i]) for j, i in combinations(range(size), 2)}
    regions = {pair: regions_of(plane, shares) for pair, plane in pairs.items()}
    ends = [[regions[pair].box[pair.index(d)] for pair in pairs if d in pair] for d in range(size)]
    spans = [span_of(ends[d], columns[d]) for d in range(size)]
    for (j, i), plane in pairs.items():
        panels[j, i].set_axis_off()
        between = [spans[j], spans[i]]
        draw_plane(panels[i, j], plane, between, regions[j, i], components=drawn)
        if points is not None:
            _draw_data(panels[i, j], points[:, [chosen[j], chosen[i]]], most=_FEW)
    for d in range(size):
        _draw_marginal(panels[d, d], mixture.marginal(d), spans[d], drawn, columns[d])
        panels[-1, d].set_xlabel(names[d])
        for i in range(d, size):
            panels[i, d].tick_params(labelbottom=i == size - 1, labelleft=d == 0)
        if d:
            panels[d, 0].set_ylabel(names[d])
    panels[0, 0].figure.align_labels(panels.ravel().tolist())
    _draw_legend(panels[0, -1], panels[1, 0], shares, loc="upper right", **SMALL).set_in_layout(
        False
    )
    return panels


def _options(
    parameters: MixtureParameters,
    coverages: ArrayLike,
    components: object,
    min_weight: float,
    data: ArrayLike | None,
) -> tuple[list[float], list[int], FloatArray | None]:
    """Return coverages in ascending order, the components to draw, and the points."""
    shares = np.unique(as_inner_levels("coverages", coverages)).tolist()
    least = as_real("min_weight", min_weight, minimum=0.0, below=1.0)
    if not isinstance(components, bool):
        msg = f"components must be True or False, got {components!r}."
        raise TypeError(msg)
    points = None if data is None else as_points(data, parameters.event_size)
    drawn = np.flatnonzero(parameters.weights[0] >= least).tolist() if components else []
    return shares, drawn, points


def _square(size: int) -> AxesArray:
    """Return the panels of a new figure, as a vector, with limits shared along columns."""
    inches = _EDGE + _PANEL * size
    _, axes = plt.subplots(
        size, size, figsize=(inches, inches), layout="constrained", sharex="col", squeeze=False
    )
    return axes.ravel()


def _draw_marginal(
    ax: Axes,
    mixture: MixtureParameters,
    span: tuple[float, float],
    components: list[int],
    data: FloatArray | None,
) -> None:
    """Draw the density of one dimension, and some components' shares in it."""
    draw_density(ax, mixture, span, components=components)
    if data is not None:
        # As short lines on the axis; the more, the fainter.
        alpha = float(np.clip(12.0 / len(data) ** 0.5, 0.1, 1.0))
        ax.vlines(
            data,
            0.0,
            0.08,
            transform=ax.get_xaxis_transform(),
            alpha=alpha,
            color=BLACK,
            linewidth=0.8,
            rasterized=True,
        )
    ax.set(xlim=span, yticks=[])
    ax.set_ylim(bottom=0.0)


def _draw_data(ax: Axes, points: FloatArray, *, most: int | None = None) -> None:
    """Draw points on top of regions; more than `most` half as large, in a small panel."""
    alpha = float(np.clip(12.0 / len(points) ** 0.5, 0.2, 1.0))
    style: dict[str, Any] = {"markeredgecolor": "black", "markeredgewidth": 0.4, "alpha": alpha}
    draw_points(ax, (points[:, 0], points[:, 1]), color="white", label="data", **style)
    if most is not None and len(points) > most:
        ax.lines[-1].set(markersize=0.5 * ax.lines[-1].get_markersize(), markeredgewidth=0.2)


def _draw_legend(ax: Axes, source: Axes, coverages: Sequence[float], **look: Any) -> Legend:
    """Name the regions, and what else was drawn on `source`."""
    lines = [line for line in source.lines if not str(line.get_label()).startswith("_")]
    handles = [*region_patches(coverages), *lines]
    return ax.legend(handles=handles, **look)
