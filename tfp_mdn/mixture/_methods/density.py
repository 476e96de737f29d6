"""Density, distribution function and responsibilities as methods of `MixtureParameters`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfp_mdn._validation import FloatArray, as_choice, as_float_array
from tfp_mdn.mixture._arguments import as_targets
from tfp_mdn.mixture._mixture import MixtureKernels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["DensityMethods"]


class DensityMethods(MixtureKernels):
    """What can be asked of a mixture at given targets."""

    def log_prob(self, y: ArrayLike, *, missing: str = "error") -> FloatArray:
        """Return log p(y) = log Σₖ wₖ N(y | μₖ, Σₖ), (N,) or (M, N) for a grid, in nats.

        Args:
            y: Finite targets, one a row or a grid; see the class for the shapes.
            missing: "error" refuses NaN. "marginalise" takes it for a missing value, and gives the
                log-density of the dimensions that are there, 0 where none is. Rows with unlike
                dimensions missing have densities in unlike units.

        Raises:
            TypeError: If `y` does not hold real numbers.
            ValueError: If `y` is not finite, its shape does not fit or is ambiguous, or `missing`
                is another word.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.5, 0.5]], [[-1.0, 1.0]], [[0.25, 0.25]])
            >>> p.log_prob([[[-1.0]], [[0.0]], [[1.0]]]).round(4)
            array([[-0.9186],
                   [-2.2258],
                   [-0.9186]])
        """
        if as_choice("missing", missing, ("error", "marginalise")) == "error":
            return self._log_prob(self._targets(y))
        values = as_float_array("y", y)
        hidden = np.isnan(values)
        filled, hidden = self._targets(np.where(hidden, 0.0, values)), self._targets(hidden * 1.0)
        return self._log_prob_of_seen(np.where(hidden > 0, np.nan, filled))

    def prob(self, y: ArrayLike) -> FloatArray:
        """Return the density p(y), (N,) or (M, N) for a grid, in 1 / (target's units)^D.

        Args:
            y: Finite targets, one a row or a grid; see the class for the shapes.

        Raises:
            TypeError: If `y` does not hold real numbers.
            ValueError: If `y` is not finite, or its shape does not fit or is ambiguous.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.5, 0.5]], [[-1.0, 1.0]], [[0.25, 0.25]])
            >>> p.prob(1.0).round(4)
            array([0.3991])
        """
        return np.exp(self.log_prob(y))

    def responsibilities(self, y: ArrayLike) -> FloatArray:
        """Return p(component k | y) = wₖ N(y | μₖ, Σₖ) / p(y), (N, K) or (M, N, K) for a grid.

        They are probabilities without a unit, and rows sum to 1.
        A row is NaN where p(y) is 0 even in log space, that is, where y lies beyond 1e154 standard
        deviations from every component.

        Args:
            y: Finite targets, one a row or a grid; see the class for the shapes.

        Raises:
            TypeError: If `y` does not hold real numbers.
            ValueError: If `y` is not finite, or its shape does not fit or is ambiguous.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.5, 0.5]], [[-1.0, 1.0]], [[0.25, 0.25]])
            >>> p.responsibilities(0.25).round(4)
            array([[0.1192, 0.8808]])
        """
        return self._responsibilities(self._targets(y))

    def cdf(self, y: ArrayLike) -> FloatArray:
        """Return P(Y ≤ y) = Σₖ wₖ Φ((y − μₖ) / σₖ), (N,) or (M, N) for a grid, for D = 1.

        Args:
            y: Targets, one a row or a grid; -inf and inf are allowed.

        Raises:
            TypeError: If `y` does not hold real numbers.
            ValueError: If D is not 1, `y` is NaN, or its shape does not fit or is ambiguous.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.5, 0.5]], [[-1.0, 1.0]], [[0.25, 0.25]])
            >>> p.cdf([[[-np.inf]], [[0.0]], [[1.0]]])[:, 0].round(4)
            array([0.  , 0.5 , 0.75])
        """
        self._require_single_dimension("cdf")
        targets = as_targets("y", y, self.num_inputs, 1, allow_infinite=True)
        return self._cdf(targets)

    def log_cdf(self, y: ArrayLike) -> FloatArray:
        """Return log P(Y ≤ y), (N,) or (M, N) for a grid, in nats, for targets of one dimension.

        Args:
            y: Targets, one a row or a grid; -inf and inf are allowed.

        Raises:
            TypeError: If `y` does not hold real numbers.
            ValueError: If D is not 1, `y` is NaN, or its shape does not fit or is ambiguous.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[1.0]], [[0.0]], [[1.0]])
            >>> [f"{value:.4g}" for value in p.log_cdf([[[-40.0]], [[20.0]]])[:, 0]]
            ['-804.6', '-2.754e-89']
        """
        self._require_single_dimension("log_cdf")
        targets = as_targets("y", y, self.num_inputs, 1, allow_infinite=True)
        return self._log_cdf(targets)

    def survival_function(self, y: ArrayLike) -> FloatArray:
        """Return P(Y > y), (N,) or (M, N) for a grid, for targets of one dimension.

        Summed from the components' upper tails, so that it keeps its digits where 1 − P(Y ≤ y)
        would round to 0.

        Args:
            y: Targets, one a row or a grid; -inf and inf are allowed.

        Raises:
            TypeError: If `y` does not hold real numbers.
            ValueError: If D is not 1, `y` is NaN, or its shape does not fit or is ambiguous.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[1.0]], [[0.0]], [[1.0]])
            >>> f"{p.survival_function(10.0)[0]:.4g}", f"{1.0 - p.cdf(10.0)[0]:.4g}"
            ('7.62e-24', '0')
        """
        self._require_single_dimension("survival_function")
        targets = as_targets("y", y, self.num_inputs, 1, allow_infinite=True)
        return self._cdf(targets, upper=True)

    def log_survival_function(self, y: ArrayLike) -> FloatArray:
        """Return log P(Y > y), (N,) or (M, N) for a grid, in nats, for targets of one dimension.

        Args:
            y: Targets, one a row or a grid; -inf and inf are allowed.

        Raises:
            TypeError: If `y` does not hold real numbers.
            ValueError: If D is not 1, `y` is NaN, or its shape does not fit or is ambiguous.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[1.0]], [[0.0]], [[1.0]])
            >>> p.log_survival_function(40.0).round(4)
            array([-804.6084])
        """
        self._require_single_dimension("log_survival_function")
        targets = as_targets("y", y, self.num_inputs, 1, allow_infinite=True)
        return self._log_cdf(targets, upper=True)

    def pit(self, y: ArrayLike) -> FloatArray:
        """Return the probability integral transform P(Y ≤ y), for targets of one dimension.

        It is uniform on [0, 1] if the targets were drawn from these mixtures, and its histogram
        over many rows shows how they differ (Dawid 1984, https://doi.org/10.2307/2981683).

        Args:
            y: Observed targets, one a row or a grid; -inf and inf are allowed.

        Returns:
            Array (N,), or (M, N) for a grid: the same as `cdf`.

        Raises:
            TypeError: If `y` does not hold real numbers.
            ValueError: If D is not 1, `y` is NaN, or its shape does not fit or is ambiguous.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.5, 0.5]], [[-1.0, 1.0]], [[0.25, 0.25]])
            >>> p.pit([1.0]).round(4)
            array([0.75])
        """
        self._require_single_dimension("pit")
        return self.cdf(y)
