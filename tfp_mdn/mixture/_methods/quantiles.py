"""Quantiles and central intervals as methods of `MixtureParameters`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfp_mdn._validation import FloatArray, as_real
from tfp_mdn.mixture._arguments import as_levels
from tfp_mdn.mixture._mixture import MixtureKernels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["QuantileMethods"]


class QuantileMethods(MixtureKernels):
    """The inverse of the distribution function, for targets of one dimension."""

    def quantile(self, q: ArrayLike) -> FloatArray:
        """Return the y with P(Y ≤ y) = q, for targets of one dimension, in the target's units.

        Mixtures have no closed form for it. The root is found to |P(Y ≤ y) − q| ≤ 1e-10, and to
        1e-10 of the smaller tail min(q, 1 − q), unless neighbouring float64 numbers lie further
        apart than that. A level that several y share, in a gap without mass between two
        components, gives one of them.

        Args:
            q: A level or an array of levels (Q,), from 0 to 1. The ends give -inf and inf.

        Returns:
            Array (N,) for one level, (Q, N) for an array of them; never decreasing in the level.

        Raises:
            TypeError: If `q` does not hold real numbers.
            ValueError: If D is not 1, or `q` has more than one axis or a value outside [0, 1].

        References:
            T. R. Scavo, J. B. Thoo (1995), On the geometry of Halley's method, The American
            Mathematical Monthly 102(5), 417-426,
            https://doi.org/10.2307/2975033.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.5, 0.5]], [[-1.0, 1.0]], [[0.25, 0.25]])
            >>> p.quantile([0.1, 0.5, 0.9]).round(4)
            array([[-1.4208],
                   [ 0.    ],
                   [ 1.4208]])
        """
        self._require_single_dimension("quantile")
        levels = as_levels("q", q)
        flat = np.atleast_1d(levels)
        upper = flat > 0.5
        tails = np.where(upper, 1.0 - flat, flat)
        inside = tails > 0.0
        result = np.empty((len(flat), self.num_inputs))
        result[flat == 0.0], result[flat == 1.0] = -np.inf, np.inf
        result[inside] = self._quantile(tails[inside], upper[inside])
        return result[0] if levels.ndim == 0 else result

    def median(self) -> FloatArray:
        """Return the median, `quantile(0.5)`, (N,), in the target's units.

        Raises:
            ValueError: If D is not 1.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> MixtureParameters([[0.2, 0.8]], [[0.0, 5.0]], [[1.0, 1.0]]).median().round(4)
            array([4.6814])
        """
        self._require_single_dimension("median")
        return self.quantile(0.5)

    def interval(self, coverage: float = 0.9) -> FloatArray:
        """Return the central interval, which leaves (1 − coverage) / 2 on either side.

        Args:
            coverage: Probability inside, strictly between 0 and 1.

        Returns:
            Lower and upper ends (N, 2), in the target's units.

        Raises:
            TypeError: If `coverage` is not a number.
            ValueError: If D is not 1, or `coverage` is not between 0 and 1.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> MixtureParameters([[1.0]], [[10.0]], [[4.0]]).interval(0.95).round(4)
            array([[ 6.0801, 13.9199]])
        """
        self._require_single_dimension("interval")
        inside = as_real("coverage", coverage, above=0.0, below=1.0)
        # As tails, since the level 1 - (1 - coverage) / 2 would round the upper one.
        tails = np.full(2, 0.5 * (1.0 - inside))
        ends = self._quantile(tails, np.array([False, True]))
        return np.ascontiguousarray(ends.T)
