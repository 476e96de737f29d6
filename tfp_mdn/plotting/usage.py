"""How much each component of a mixture is used over the inputs, and which ones are not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from tfp_mdn._validation import as_real
from tfp_mdn.plotting._inputs import as_axes
from tfp_mdn.plotting._looks import BESIDE
from tfp_mdn.plotting._mixtures import as_mixture
from tfp_mdn.plotting._style import BLACK, BLUE, VERMILLION, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tfp_mdn.mixture._methods import Mixture

__all__ = ["plot_component_usage"]

# More components than this get ticks at round numbers only.
_MOST_TICKS = 20


def plot_component_usage(
    parameters: Mixture,
    *,
    dead_below: float = 0.01,
    ax: Axes | None = None,
    xlabel: str = "component",
    ylabel: str = "weight",
) -> Axes:
    """Draw the mean weight of each component over the rows, and its largest weight anywhere.

    A component is dead if its weight is below `dead_below` in every row: the mixture would be as
    good without it. One with a small mean but a large maximum is a specialist for some inputs. The
    dashed line is the mean weight 1/K of all components.

    Args:
        parameters: Mixtures of N rows in any number of dimensions.
        dead_below: Largest weight up to which a component counts as dead; 0 to below 1.
        ax: Axes to draw on, or None for a new figure.
        xlabel: Label of the x axis.
        ylabel: Label of the y axis.

    Returns:
        The axes that were drawn on.

    Raises:
        TypeError: If `ax` is not an axes, `parameters` not a `MixtureParameters`, or `dead_below`
            not a number.
        ValueError: If there is no row, or `dead_below` is out of range.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> weights = [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]]
        >>> p = MixtureParameters(weights, [[0.0, 1.0, 2.0]] * 2, [[1.0] * 3] * 2)
        >>> ax = plot_component_usage(p, ax=Figure().subplots())
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['mean', 'largest', '1 / K', 'dead: 1 of 3']
    """
    as_mixture(parameters)
    least = as_real("dead_below", dead_below, minimum=0.0, below=1.0)
    ax = new_axes()[0] if ax is None else as_axes(ax)

    mean, largest = parameters.weights.mean(axis=0), parameters.weights.max(axis=0)
    size = parameters.num_components
    places = np.arange(size)
    dead = largest < least
    bars = ax.bar(places, mean, width=0.75, color=BLUE, alpha=0.75, label="mean")
    ax.plot(
        places,
        largest,
        "_",
        color=BLACK,
        markersize=min(14.0, 220.0 / size),
        markeredgewidth=2.0,
        label="largest",
    )
    ax.vlines(places, mean, largest, color=BLACK, linewidth=0.8)
    ax.axhline(1.0 / size, color=BLACK, linewidth=1.0, linestyle="dashed", label="1 / K")
    if dead.any():
        # On the axis itself: their bars cannot be seen.
        ax.plot(
            places[dead],
            np.zeros(dead.sum()),
            "x",
            color=VERMILLION,
            markersize=8.0,
            markeredgewidth=2.2,
            clip_on=False,
            zorder=3.0,
            label=f"dead: {dead.sum()} of {size}",
        )
    ax.set(xlim=(-0.7, size - 0.3), ylim=(0.0, 1.1 * float(largest.max())))
    if size <= _MOST_TICKS:
        ax.set_xticks(places)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(handles=[bars, *ax.lines], **BESIDE)
    ax.set(xlabel=xlabel, ylabel=ylabel, title="Use of the components")
    return ax
