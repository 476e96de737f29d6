"""The arrays of a conditional Gaussian mixture, checked and frozen: what every method rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture._arguments import as_targets
from tfp_mdn.mixture._checks import as_covariances, as_per_component, as_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["MixtureArrays", "SomeMixture"]

SomeMixture = TypeVar("SomeMixture", bound="MixtureArrays")


@dataclass(frozen=True, eq=False, repr=False)
class MixtureArrays:
    """Fields, checks and sizes of `MixtureParameters`, the one class to be made from it.

    Args:
        weights: Component weights (N, K).
        means: Component means (N, K, D), or (N, K) for D = 1.
        variances: Component variances, shaped like the means.
        covariances: Component covariances (N, K, D, D), or None.
    """

    weights: FloatArray
    means: FloatArray
    variances: FloatArray
    covariances: FloatArray | None = None

    def __post_init__(self) -> None:
        """Check the arrays and replace them by read-only copies."""
        weights = as_weights(self.weights)
        means = as_per_component("means", self.means, weights)
        variances = as_per_component("variances", self.variances, weights, positive=True)
        if means.shape != variances.shape:
            msg = (
                f"variances must have the shape of means, {means.shape}, "
                f"got shape {variances.shape}."
            )
            raise ValueError(msg)
        covariances = None
        if self.covariances is not None:
            covariances = as_covariances(self.covariances, variances)
            variances = np.diagonal(covariances, axis1=-2, axis2=-1).copy()
        self._set(weights, means, variances, covariances)

    def _set(
        self,
        weights: FloatArray,
        means: FloatArray,
        variances: FloatArray,
        covariances: FloatArray | None,
    ) -> None:
        """Store the arrays and make them read-only."""
        arrays = {
            "weights": weights,
            "means": means,
            "variances": variances,
            "covariances": covariances,
        }
        for name, array in arrays.items():
            if array is not None:
                array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    def _trusted(
        cls: type[SomeMixture],
        weights: FloatArray,
        means: FloatArray,
        variances: FloatArray,
        covariances: FloatArray | None,
    ) -> SomeMixture:
        """Return parameters made of arrays that are already checked and that nobody else writes."""
        parameters = object.__new__(cls)
        parameters._set(weights, means, variances, covariances)
        return parameters

    @property
    def num_inputs(self) -> int:
        """Number of inputs N."""
        return int(self.means.shape[0])

    @property
    def num_components(self) -> int:
        """Number of mixture components K."""
        return int(self.means.shape[1])

    @property
    def event_size(self) -> int:
        """Number of target dimensions D."""
        return int(self.means.shape[2])

    def _arrays(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray | None]:
        """Return the arrays in the order in which every kernel takes them."""
        return self.weights, self.means, self.variances, self.covariances

    def _targets(self, y: ArrayLike) -> FloatArray:
        """Return checked targets (N, D) or (M, N, D)."""
        return as_targets("y", y, self.num_inputs, self.event_size)

    def _require_single_dimension(self, method: str) -> None:
        """Refuse a method that has a meaning for D = 1 only."""
        if self.event_size != 1:
            msg = (
                f"{method} is for targets of one dimension (event_size 1), "
                f"got event_size {self.event_size}. Take one dimension with marginal(d) first."
            )
            raise ValueError(msg)

    def _map(self: SomeMixture, function: Callable[[FloatArray], FloatArray]) -> SomeMixture:
        """Return the parameters whose arrays are all put through one selection of elements."""
        covariances = None if self.covariances is None else function(self.covariances)
        return self._trusted(
            function(self.weights), function(self.means), function(self.variances), covariances
        )
