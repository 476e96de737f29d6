"""Modes and highest density regions as methods of `MixtureParameters`."""

from __future__ import annotations

import numpy as np

from tfp_mdn._validation import FloatArray, as_real
from tfp_mdn.mixture._mixture import MixtureKernels

__all__ = ["ShapeMethods"]


class ShapeMethods(MixtureKernels):
    """Where the density of a mixture is high."""

    def modes(self) -> list[FloatArray]:
        """Return the local maxima of the density of each row, the highest first.

        For D = 1 all of them are found, at most K: bounds on p' and p'' rule out every other place.
        Dips that are no deeper than the rounding of log p do not separate modes, and a stretch on
        which p' cannot be told from its rounding is one critical point, its middle. For D > 1 they
        are those that ascents reach from each component mean, from the overall mean, and
        from where two components cross (the mean of the product of their densities), by
        fixed-point steps μ(y) = (Σₖ rₖ Pₖ)⁻¹ Σₖ rₖ Pₖ μₖ with responsibilities rₖ and precisions
        Pₖ and then Newton's; saddles, where the Hessian is not negative definite, are left on both
        sides. There can be more modes than components, and it is not proved that all are reached.

        Returns:
            List of N arrays (M_i, D), in the target's units, sorted by descending density.

        References:
            M. Á. Carreira-Perpiñán (2000), Mode-finding for mixtures of Gaussian distributions,
            IEEE Transactions on Pattern Analysis and Machine Intelligence 22, 1318-1323,
            https://doi.org/10.1109/34.888716.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.3, 0.7]], [[-2.0, 2.0]], [[1.0, 1.0]])
            >>> p.modes()[0].round(4)
            array([[ 1.9994],
                   [-1.9968]])
        """
        return self._modes()

    def mode(self) -> FloatArray:
        """Return the highest of the modes, (N, D), in the target's units.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.6, 0.4]], [[0.0, 5.0]], [[1.0, 0.01]])
            >>> p.mode().round(4)
            array([[5.]])
        """
        result = np.empty((self.num_inputs, self.event_size))
        for row, places in enumerate(self.modes()):
            result[row] = places[0]
        return result

    def highest_density_region(self, coverage: float = 0.9) -> list[FloatArray]:
        """Return the smallest set of this probability, as intervals, for targets of one dimension.

        It is {y: p(y) ≥ t} for the threshold t that gives it the mass `coverage`, right to 1e-8,
        and falls into as many intervals as there are modes that rise alone above t. A component
        narrower than the float64 numbers around its mean counts as four of them wide.

        Args:
            coverage: Probability of the set, strictly between 0 and 1.

        Returns:
            List of N arrays (R_i, 2): lower and upper ends in the target's units, ascending.

        Raises:
            TypeError: If `coverage` is not a number.
            ValueError: If D is not 1, or `coverage` is not between 0 and 1.

        References:
            R. J. Hyndman (1996), Computing and graphing highest density regions, The American
            Statistician 50, 120-126, https://doi.org/10.2307/2684423.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.5, 0.5]], [[-5.0, 5.0]], [[1.0, 1.0]])
            >>> p.highest_density_region(0.9)[0].round(3)
            array([[-6.645, -3.355],
                   [ 3.355,  6.645]])
        """
        self._require_single_dimension("highest_density_region")
        inside = as_real("coverage", coverage, above=0.0, below=1.0)
        return self._highest_density_region(1.0 - inside)
