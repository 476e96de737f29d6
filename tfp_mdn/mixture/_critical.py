"""Kernel that finds all critical points of mixtures in one dimension, from brackets of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfp_mdn.mixture._roots import find_roots

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray
    from tfp_mdn.mixture._lines import Lines

__all__ = ["CriticalPoints", "critical_points"]

# A dip in log p is rounding unless it is deeper than this, times 8 + |log p|.
SMALLEST_DIP = 4.0 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class CriticalPoints:
    """Modes and antimodes of B mixtures, in turn and ascending, one after another row by row.

    Args:
        rows: Row of each point (C,), ascending.
        places: The points (C,), in the target's units.
        log_density: log p at each (C,).
        is_mode: Whether each is a mode (C,); the first and the last one of a row always are.
    """

    rows: NDArray[np.intp]
    places: FloatArray
    log_density: FloatArray
    is_mode: NDArray[np.bool_]


def critical_points(lines: Lines) -> CriticalPoints:
    """Return all critical points of mixtures in one dimension.

    All of them lie between the outermost modes of components, where p' is positive on the left end
    and negative on the right one; modes and antimodes alternate.

    Args:
        lines: The mixtures.
    """
    found = lines.isolate()
    gathered = lines.take(found.rows)
    direction = np.where(found.rises, -1.0, 1.0)

    def score(
        places: FloatArray, active: NDArray[np.intp]
    ) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        """Return ±p'/p, Newton's step and whether it is 0 up to its rounding."""
        _, value, slope, size = gathered.take(active).look(places)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = -value / slope
        done = np.abs(value) <= np.finfo(np.float64).eps * size
        step[done] = 0.0
        return direction[active] * value, step, done

    places = find_roots(score, found.lower, found.upper, 0.5 * found.lower + 0.5 * found.upper)
    heights = gathered.look(places)[0]
    return _without_shallow_dips(CriticalPoints(found.rows, places, heights, found.rises))


def _without_shallow_dips(points: CriticalPoints) -> CriticalPoints:
    """Return the points without neighbours whose difference in density is rounding alone."""
    while True:
        rows, heights = points.rows, points.log_density
        gaps = np.abs(np.diff(heights))
        shallow = (gaps <= SMALLEST_DIP * (8.0 + np.abs(heights[:-1]))) & (rows[:-1] == rows[1:])
        # One pair of a row at a time, since what is left becomes new neighbours.
        first = np.unique(rows[:-1][shallow], return_index=True)[1]
        if not len(first):
            return points
        place = np.flatnonzero(shallow)[first]
        keep = np.ones(len(rows), dtype=np.bool_)
        keep[place] = keep[place + 1] = False
        points = CriticalPoints(
            rows[keep], points.places[keep], heights[keep], points.is_mode[keep]
        )
