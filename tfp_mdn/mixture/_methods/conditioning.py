"""Marginal, conditional and affinely mapped mixtures as methods of `MixtureParameters`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfp_mdn.mixture import conditioning
from tfp_mdn.mixture._arguments import as_dimensions, as_each_dimension, as_targets
from tfp_mdn.mixture._arrays import MixtureArrays, NormalMixture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

__all__ = ["ConditioningMethods"]


class ConditioningMethods(MixtureArrays):
    """Mixtures that follow from a mixture in closed form."""

    def marginal(self: NormalMixture, dims: int | Sequence[int]) -> NormalMixture:
        """Return the mixtures of some of the target's dimensions, p(y_dims | x).

        Args:
            dims: One dimension or several distinct ones, from 0 to D − 1 (negative ones count
                from the end), in the order that they are to have.

        Returns:
            Parameters of the same N and K, with D = the number of `dims`.

        Raises:
            TypeError: If `dims` does not hold integers.
            ValueError: If `dims` is empty, repeats a dimension or names one that does not exist.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[1.0]], [[[1.0, 2.0]]], [[[3.0, 4.0]]])
            >>> p.marginal(1).mean(), p.marginal(1).variance()
            (array([[2.]]), array([[4.]]))
        """
        return self._trusted(
            *conditioning.marginal(as_dimensions("dims", dims, self.event_size), *self._arrays())
        )

    def condition(
        self: NormalMixture, dims: int | Sequence[int], values: ArrayLike
    ) -> NormalMixture:
        """Return the mixtures of the other dimensions, given the values of these.

        With a the other dimensions and b these, p(y_a | y_b, x) is a mixture of as many components:

            wₖ ∝ wₖ N(v | μ_b, Σ_bb),  μ_a + Σ_ab Σ_bb⁻¹ (v − μ_b),  Σ_aa − Σ_ab Σ_bb⁻¹ Σ_ba.

        Diagonal components keep their means and variances; only the weights change.

        Args:
            dims: The known dimensions, at least one and not all.
            values: Their values (N, number of dims), one row for each input; for one known
                dimension also (N,), or a scalar for all rows. In the target's units.

        Returns:
            Parameters of the same N and K for the other dimensions, in ascending order.

        Raises:
            TypeError: If `dims` does not hold integers, or `values` not real numbers.
            ValueError: If `dims` is empty, holds all dimensions, repeats one or names one that
                does not exist; if `values` is not finite, does not fit, or lies beyond 1e154
                standard deviations from every component; or if covariances are so close to
                singular that nothing is left of a variance.

        References:
            C. M. Bishop (2006), Pattern Recognition and Machine Learning, section 2.3.1.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> covariance = [[[[1.0, 0.8], [0.8, 1.0]]]]
            >>> p = MixtureParameters([[1.0]], [[[0.0, 0.0]]], [[[1.0, 1.0]]], covariance)
            >>> q = p.condition(0, 2.0)
            >>> q.mean().round(4), q.variance().round(4)
            (array([[1.6]]), array([[0.36]]))
        """
        known = as_dimensions("dims", dims, self.event_size)
        if len(known) == self.event_size:
            msg = f"dims must leave at least one of {self.event_size} dimensions, got {dims}."
            raise ValueError(msg)
        targets = as_targets("values", values, self.num_inputs, len(known), allow_grid=False)
        arrays = conditioning.condition(known, targets, *self._arrays())
        lost = np.isnan(arrays[0]).any(axis=1)
        if lost.any():
            row = int(np.flatnonzero(lost)[0])
            msg = (
                "values must lie within 1e154 standard deviations of a component, "
                f"got {targets[row].tolist()} in row {row}."
            )
            raise ValueError(msg)
        return type(self)(*arrays)

    def transform(
        self: NormalMixture, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0
    ) -> NormalMixture:
        """Return the mixtures of loc + scale Y, for instance in other units.

        Args:
            loc: Offsets in the new units: a number, (D,) for each dimension, or (N, D).
            scale: Factors of the same shapes; negative ones mirror, 0 is refused.

        Returns:
            Parameters of the same sizes.

        Raises:
            TypeError: If an argument does not hold real numbers.
            ValueError: If an argument is not finite or does not fit, or a factor is 0 or so small
                or large that a variance would vanish or overflow.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> celsius = MixtureParameters([[1.0]], [[20.0]], [[25.0]])
            >>> fahrenheit = celsius.transform(loc=32.0, scale=1.8)
            >>> fahrenheit.mean(), fahrenheit.stddev()
            (array([[68.]]), array([[9.]]))
        """
        shift = as_each_dimension("loc", loc, self.num_inputs, self.event_size)
        factor = as_each_dimension("scale", scale, self.num_inputs, self.event_size)
        if (factor == 0.0).any():
            msg = "scale must not be 0: a mixture of points has no density."
            raise ValueError(msg)
        with np.errstate(over="ignore", under="ignore"):
            arrays = conditioning.transform(shift, factor, *self._arrays())
        if not ((arrays[2] > 0.0) & np.isfinite(arrays[2])).all() or not (
            np.isfinite(arrays[1]).all()
        ):
            msg = "scale and loc must leave means finite and variances positive and finite."
            raise ValueError(msg)
        return self._trusted(*arrays)
