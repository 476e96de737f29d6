"""The density at a few inputs, one panel each, with its components and its densest region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfp_mdn._validation import FloatArray, as_real
from tfp_mdn.plotting._curves import draw_density
from tfp_mdn.plotting._inputs import AxesArray, as_axes_array, as_column
from tfp_mdn.plotting._looks import BESIDE, SMALL
from tfp_mdn.plotting._mixtures import as_mixture
from tfp_mdn.plotting._style import BLACK, limits, mass_range, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from tfp_mdn.mixture._methods import Mixture

__all__ = ["plot_slices"]

_MOST_PANELS = 12
# Width in inches, height of one panel, and height of title and label.
_WIDTH, _HEIGHT, _REST = 6.0, 1.5, 0.9


def plot_slices(
    x_values: ArrayLike | Sequence[str],
    parameters: Mixture,
    *,
    coverage: float = 0.9,
    min_weight: float = 0.01,
    axes: Sequence[Axes] | AxesArray | None = None,
    xlabel: str = "x",
    ylabel: str = "y",
) -> AxesArray:
    """Draw the density at each of a few inputs, one panel for each, all with the same targets.

    The black line is the density p(y | x), and shaded is the highest density region: the smallest
    set that holds the probability `coverage`, in as many pieces as there are. Other lines are the
    components' shares wₖ N(y | μₖ, σₖ²), in the colours of `plot_components`; more than eight are
    thin and all alike.

    Args:
        x_values: Inputs (N,) that name the panels, in their own units, or N texts where the input
            has several features; N is 1 to 12.
        parameters: Mixtures at those inputs, for targets of one dimension.
        coverage: Probability of the highest density region, strictly between 0 and 1.
        min_weight: Components with less weight than this are not drawn; 0 to below 1.
        axes: N axes, or None for a new figure.
        xlabel: Name of the input, for the panels' titles.
        ylabel: Name of the target, the label of the last x axis.

    Returns:
        The N axes, an array of shape (N,).

    Raises:
        TypeError: If an element of `axes` is not an axes, `parameters` not a `MixtureParameters`,
            or `x_values` holds neither numbers nor texts.
        ValueError: If `parameters.event_size` is not 1, lengths differ, there are more than 12
            rows, a value is NaN or infinite, or an option is out of range.

    References:
        R. J. Hyndman (1996), Computing and graphing highest density regions, The American
        Statistician 50, 120-126, https://doi.org/10.2307/2684423.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> p = MixtureParameters([[0.5, 0.5]] * 2, [[0.0, 1.0], [0.0, 3.0]], [[0.1, 0.1]] * 2)
        >>> axes = plot_slices([10.0, 20.0], p, axes=Figure().subplots(2), xlabel="age")
        >>> [ax.get_title(loc="left") for ax in axes]
        ['age = 10', 'age = 20']
    """
    as_mixture(parameters, event_size=1)
    names = _names(x_values, xlabel)
    if len(names) != len(parameters) or len(names) > _MOST_PANELS:
        msg = (
            f"x_values must have one value for each row of parameters, 1 to {_MOST_PANELS}, got "
            f"{len(names)} values for {len(parameters)} rows. Select a few rows with "
            "parameters[rows]."
        )
        raise ValueError(msg)
    share = as_real("coverage", coverage, above=0.0, below=1.0)
    least = as_real("min_weight", min_weight, minimum=0.0, below=1.0)
    drawn = np.flatnonzero((parameters.weights >= least).any(axis=0)).tolist()
    size = len(names)
    if axes is None:
        panels = new_axes(size, 1, size=(_WIDTH, _REST + _HEIGHT * size))
    else:
        panels = as_axes_array(axes, size)

    regions = parameters.highest_density_region(share)
    low, high = limits(mass_range(parameters), *regions)
    handles: dict[str, Any] = {}
    for ax, name, mixture, region in zip(panels, names, parameters, regions, strict=True):
        _draw_slice(ax, mixture, region, (low, high), drawn, f"{100.0 * share:g} % region")
        ax.set_title(name, loc="left", fontsize="medium")
        ax.set(xlim=(low, high), ylabel="density")
        ax.set_ylim(bottom=0.0)
        found, labels = ax.get_legend_handles_labels()
        handles = dict(zip(labels, found, strict=True)) | handles
    panels[-1].set_xlabel(ylabel)
    _draw_legend(panels[0], handles, beside_figure=axes is None)
    return panels


def _draw_slice(
    ax: Axes,
    mixture: Mixture,
    region: FloatArray,
    span: tuple[float, float],
    components: list[int],
    region_label: str,
) -> None:
    """Draw one mixture of one row."""
    grid, density = draw_density(ax, mixture, span, components=components, places=region.ravel())
    for i, (low, high) in enumerate(region):
        inside = (grid >= low) & (grid <= high)
        ax.fill_between(
            grid[inside],
            density[inside],
            color=BLACK,
            alpha=0.15,
            linewidth=0.0,
            label=region_label if i == 0 else None,
        )


def _names(x_values: ArrayLike | Sequence[str], xlabel: str) -> list[str]:
    """Return the titles of the panels."""
    array = np.asarray(x_values)
    if array.dtype.kind == "U" and array.ndim == 1:
        return [str(name) for name in array]
    return [f"{xlabel} = {value:.4g}" for value in as_column("x_values", array)]


def _draw_legend(ax: Axes, handles: dict[str, Any], *, beside_figure: bool) -> None:
    """Name the density, the region and the components in their order."""
    labels = sorted(handles, key=_legend_place)
    lines = [handles[label] for label in labels]
    if beside_figure:
        # In the axes' own legend, many lines would push the panels below apart.
        ax.figure.legend(lines, labels, loc="outside right upper", **SMALL)
    else:
        ax.legend(lines, labels, **BESIDE)


def _legend_place(label: str) -> tuple[int, int]:
    """Return where a name stands in the legend: density, region, components by number."""
    if label.startswith("component "):
        return 2, int(label.removeprefix("component "))
    return {"density": 0, "components": 3}.get(label, 1), 0
