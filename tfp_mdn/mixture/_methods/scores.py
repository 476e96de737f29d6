"""Scores as methods of `MixtureParameters`; the module `scores` has more of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture._mixture import MixtureKernels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["ScoreMethods"]


class ScoreMethods(MixtureKernels):
    """How well a mixture foretold the observed targets."""

    def crps(self, y: ArrayLike) -> FloatArray:
        """Return the continuous ranked probability score, in closed form; lower is better.

        It is E|Y − y| − ½ E|Y − Y'|, in the target's units, and |y − m| for a point mass at m; see
        `tfp_mdn.mixture.scores.crps` for the formula and its source.

        Args:
            y: Finite targets, one a row or a grid; see the class for the shapes.

        Returns:
            Array (N,), or (M, N) for a grid, never negative.

        Raises:
            TypeError: If `y` does not hold real numbers.
            ValueError: If D is not 1, `y` is not finite, or its shape does not fit or is ambiguous.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.5, 0.5]], [[-1.0, 1.0]], [[0.25, 0.25]])
            >>> p.crps([0.0]).round(4)
            array([0.3672])
        """
        self._require_single_dimension("crps")
        return self._crps(self._targets(y))
