"""The arrays of a conditional Gaussian mixture, checked and frozen: what every method rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture import _scores, density, information, modes, moments, quantiles, regions
from tfp_mdn.mixture._checks import as_covariances, as_per_component, as_weights
from tfp_mdn.mixture._lines import NormalLines
from tfp_mdn.mixture._missing import log_prob_of_seen
from tfp_mdn.mixture._mixture import MixtureKernels
from tfp_mdn.mixture.sampling import sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MixtureArrays", "NormalMixture"]

NormalMixture = TypeVar("NormalMixture", bound="MixtureArrays")


@dataclass(frozen=True, eq=False, repr=False)
class MixtureArrays(MixtureKernels):
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
        cls: type[NormalMixture],
        weights: FloatArray,
        means: FloatArray,
        variances: FloatArray,
        covariances: FloatArray | None,
    ) -> NormalMixture:
        """Return parameters made of arrays that are already checked and that nobody else writes."""
        parameters = object.__new__(cls)
        parameters._set(weights, means, variances, covariances)
        return parameters

    @property
    def family(self) -> str:
        """Name of the distribution of the components: always "normal"."""
        return "normal"

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

    def _map(self: NormalMixture, function: Callable[[FloatArray], FloatArray]) -> NormalMixture:
        """Return the parameters whose arrays are all put through one selection of elements."""
        covariances = None if self.covariances is None else function(self.covariances)
        return self._trusted(
            function(self.weights), function(self.means), function(self.variances), covariances
        )

    def _rows(self: NormalMixture, rows: slice | NDArray[np.intp]) -> NormalMixture:
        return self._map(lambda array: array[rows])

    def _component_moments(self, method: str, order: int) -> tuple[FloatArray, FloatArray]:
        return self.means, self.variances

    def _component_covariances(self) -> FloatArray | None:
        return self.covariances

    def _skewness(self) -> FloatArray:
        return moments.skewness(self.weights, self.means, self.variances)

    def _kurtosis(self) -> FloatArray:
        return moments.kurtosis(self.weights, self.means, self.variances)

    def _log_prob(self, y: FloatArray) -> FloatArray:
        return density.log_prob(y, *self._arrays())

    def _log_prob_of_seen(self, y: FloatArray) -> FloatArray:
        return log_prob_of_seen(y, *self._arrays())

    def _responsibilities(self, y: FloatArray) -> FloatArray:
        return density.responsibilities(y, *self._arrays())

    def _cdf(self, y: FloatArray, *, upper: bool = False) -> FloatArray:
        # The upper tail is the lower one of the mirrored mixture.
        if upper:
            return density.cdf(-y, self.weights, -self.means, self.variances)
        return density.cdf(y, self.weights, self.means, self.variances)

    def _log_cdf(self, y: FloatArray, *, upper: bool = False) -> FloatArray:
        if upper:
            return density.log_cdf(-y, self.weights, -self.means, self.variances)
        return density.log_cdf(y, self.weights, self.means, self.variances)

    def _quantile(self, tails: FloatArray, upper: NDArray[np.bool_]) -> FloatArray:
        return quantiles.quantile(tails, upper, self.weights, self.means, self.variances)

    def _crps(self, y: FloatArray) -> FloatArray:
        return _scores.crps(y, self.weights, self.means, self.variances)

    def _censored_log_prob(self, y: FloatArray, half_width: FloatArray) -> FloatArray:
        return _scores.censored_log_prob(y, half_width, self.weights, self.means, self.variances)

    def _lines(self) -> NormalLines:
        return NormalLines.of(self.weights, self.means, self.variances)

    def _modes(self) -> list[FloatArray]:
        return modes.modes(*self._arrays())

    def _highest_density_region(self, outside: float) -> list[FloatArray]:
        return regions.highest_density_region(outside, self.weights, self.means, self.variances)

    def _sample(
        self,
        size: int,
        rng: np.random.Generator,
        *,
        temperature: float = 1.0,
        scale_temperature: float = 1.0,
    ) -> FloatArray:
        return sample(
            size,
            *self._arrays(),
            rng,
            temperature=temperature,
            scale_temperature=scale_temperature,
        )

    def _entropy(self, size: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        return information.entropy(size, self._arrays(), rng)

    def _kl_divergence(
        self, other: MixtureKernels, size: int, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        if isinstance(other, MixtureArrays):
            return information.kl_divergence(size, self._arrays(), other._arrays(), rng)
        return information.log_ratio(size, self, other, rng)
