"""Curve of one density in one dimension, with the shares of its components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfp_mdn._validation import FloatArray
from tfp_mdn.plotting._looks import component_looks
from tfp_mdn.plotting._style import BLACK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tfp_mdn.mixture._methods import Mixture

__all__ = ["draw_density"]

_POINTS = 500
# Where a component gets points of its own, in its standard deviations: one that is narrow beside
# the range would otherwise lose its peak, or be missed.
_OWN_POINTS = np.linspace(-5.0, 5.0, 41)


def draw_density(
    ax: Axes,
    mixture: Mixture,
    span: tuple[float, float],
    *,
    components: Sequence[int],
    places: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Draw the density of one row over a range, and return where it was computed, and the values.

    Args:
        ax: Axes to draw on.
        mixture: One row, D = 1.
        span: Lower and upper end of the range.
        components: Components that are drawn too.
        places: Targets at which the density must be computed as well.
    """
    means, scales = (part[0, :, 0] for part in mixture._component_spreads())
    own = means[:, np.newaxis] + scales[:, np.newaxis] * _OWN_POINTS
    more = [] if places is None else [places]
    grid = np.unique(np.concatenate([np.linspace(*span, _POINTS), own.ravel(), *more]))
    grid = grid[(grid >= span[0]) & (grid <= span[1])]
    density = mixture.prob(grid.reshape(-1, 1, 1))[:, 0]
    shares = mixture.responsibilities(grid.reshape(-1, 1, 1))[:, 0]
    # No density is shared where there is none.
    parts = np.where(density[:, np.newaxis] > 0.0, shares * density[:, np.newaxis], 0.0)
    for k, look in component_looks(components).items():
        ax.plot(grid, parts[:, k], **look)
    # Below the components, which it hides where there is only one.
    ax.plot(grid, density, color=BLACK, linewidth=2.2, zorder=1.9, label="density")
    return grid, density
