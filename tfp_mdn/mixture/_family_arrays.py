"""The arrays of a mixture of another family, checked and frozen, and the kernels for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tfp_mdn._validation import FloatArray, as_choice, as_finite_array
from tfp_mdn.mixture import (
    _family_crps,
    _family_density,
    _family_moments,
    _family_quantiles,
    information,
    modes,
    regions,
)
from tfp_mdn.mixture._checks import as_per_component, as_weights
from tfp_mdn.mixture._family_lines import FamilyLines
from tfp_mdn.mixture._family_sampling import sample
from tfp_mdn.mixture._mixture import MixtureKernels
from tfp_mdn.mixture.families import FAMILIES, Family, Shape

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["FamilyArrays", "SomeFamilyMixture"]

SomeFamilyMixture = TypeVar("SomeFamilyMixture", bound="FamilyArrays")


@dataclass(frozen=True, eq=False, repr=False)
class FamilyArrays(MixtureKernels):
    """Fields, checks and kernels of `FamilyMixture`, the one class to be made from it.

    Args:
        family: "student_t", "logistic", "lognormal" or "truncated_normal".
        weights: Component weights (N, K).
        locs: Component locations (N, K, D), or (N, K) for D = 1.
        scales: Component scales, shaped like the locations.
        df: Degrees of freedom, for Student's t alone.
    """

    family: str
    weights: FloatArray
    locs: FloatArray
    scales: FloatArray
    df: FloatArray | None = None

    def __post_init__(self) -> None:
        """Check the arrays and replace them by read-only copies."""
        family = FAMILIES[as_choice("family", self.family, tuple(FAMILIES))]
        weights = as_weights(self.weights)
        locs = as_per_component("locs", self.locs, weights)
        scales = as_per_component("scales", self.scales, weights, positive=True)
        if locs.shape != scales.shape:
            msg = f"scales must have the shape of locs, {locs.shape}, got shape {scales.shape}."
            raise ValueError(msg)
        self._set(family.name, weights, locs, scales, _as_df(self.df, family, locs))

    def _set(
        self,
        family: str,
        weights: FloatArray,
        locs: FloatArray,
        scales: FloatArray,
        df: FloatArray | None,
    ) -> None:
        """Store the arrays and make them read-only."""
        object.__setattr__(self, "family", family)
        arrays = {"weights": weights, "locs": locs, "scales": scales, "df": df}
        for name, array in arrays.items():
            if array is not None:
                array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    def _trusted(
        cls: type[SomeFamilyMixture],
        family: str,
        weights: FloatArray,
        locs: FloatArray,
        scales: FloatArray,
        df: FloatArray | None,
    ) -> SomeFamilyMixture:
        """Return a mixture of arrays that are already checked and that nobody else writes."""
        mixture = object.__new__(cls)
        mixture._set(family, weights, locs, scales, df)
        return mixture

    @property
    def num_inputs(self) -> int:
        """Number of inputs N."""
        return int(self.locs.shape[0])

    @property
    def num_components(self) -> int:
        """Number of mixture components K."""
        return int(self.locs.shape[1])

    @property
    def event_size(self) -> int:
        """Number of target dimensions D."""
        return int(self.locs.shape[2])

    @property
    def _family(self) -> Family:
        return FAMILIES[self.family]

    @property
    def _shape(self) -> Shape:
        """The family's parameters (N, K, D) in the order in which its functions take them."""
        return (self.locs, self.scales) if self.df is None else (self.locs, self.scales, self.df)

    def _arrays(self) -> tuple[Family, FloatArray, Shape]:
        """Return what most kernels take."""
        return self._family, self.weights, self._shape

    def _map(
        self: SomeFamilyMixture, function: Callable[[FloatArray], FloatArray]
    ) -> SomeFamilyMixture:
        """Return the mixture whose arrays are all put through one selection of elements."""
        return self._trusted(
            self.family,
            function(self.weights),
            function(self.locs),
            function(self.scales),
            None if self.df is None else function(self.df),
        )

    def _rows(self: SomeFamilyMixture, rows: slice | NDArray[np.intp]) -> SomeFamilyMixture:
        return self._map(lambda array: array[rows])

    def _component_moments(self, method: str, order: int) -> tuple[FloatArray, FloatArray]:
        return _family_moments.checked(method, order, *self._arrays())

    def _component_spreads(self) -> tuple[FloatArray, FloatArray]:
        means, variances = self._family.moments(*self._shape)[:2]
        with np.errstate(invalid="ignore"):
            spreads = np.where(np.isfinite(variances), np.sqrt(variances), self.scales)
        return np.where(np.isfinite(means), means, self.locs), spreads

    def _component_covariances(self) -> FloatArray | None:
        return None

    def _skewness(self) -> FloatArray:
        return _family_moments.skewness(*self._arrays())

    def _kurtosis(self) -> FloatArray:
        return _family_moments.kurtosis(*self._arrays())

    def _log_prob(self, y: FloatArray) -> FloatArray:
        return _family_density.log_prob(y, *self._arrays())

    def _log_prob_of_seen(self, y: FloatArray) -> FloatArray:
        return _family_density.log_prob_of_seen(y, *self._arrays())

    def _responsibilities(self, y: FloatArray) -> FloatArray:
        return _family_density.responsibilities(y, *self._arrays())

    def _cdf(self, y: FloatArray, *, upper: bool = False) -> FloatArray:
        return _family_density.cdf(y, *self._arrays(), upper=upper)

    def _log_cdf(self, y: FloatArray, *, upper: bool = False) -> FloatArray:
        return _family_density.log_cdf(y, *self._arrays(), upper=upper)

    def _quantile(self, tails: FloatArray, upper: NDArray[np.bool_]) -> FloatArray:
        return _family_quantiles.quantile(tails, upper, *self._arrays())

    def _crps(self, y: FloatArray) -> FloatArray:
        self._component_moments("crps", 1)
        return _family_crps.crps(y, *self._arrays())

    def _censored_log_prob(self, y: FloatArray, half_width: FloatArray) -> FloatArray:
        return _family_density.censored_log_prob(y, half_width, *self._arrays())

    def _lines(self) -> FamilyLines:
        return FamilyLines.of(*self._arrays())

    def _modes(self) -> list[FloatArray]:
        self._require_single_dimension("modes")
        return modes.modes_on_lines(self._lines())

    def _highest_density_region(self, outside: float) -> list[FloatArray]:
        return regions.highest_density_regions(outside, self._lines())

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
        value, error = information.log_ratio(size, self, None, rng)
        return -value, error

    def _kl_divergence(
        self, other: MixtureKernels, size: int, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        return information.log_ratio(size, self, other, rng)


def _as_df(value: ArrayLike | None, family: Family, locs: FloatArray) -> FloatArray | None:
    """Return degrees of freedom (N, K, D) as an array of their own, or None for other families."""
    if not family.has_df:
        if value is not None:
            msg = f"df must be None for family {family.name!r}; only 'student_t' has any."
            raise ValueError(msg)
        return None
    if value is None:
        msg = "df must be given for family 'student_t': a number, (N, K, D), or (N, K) for D = 1."
        raise ValueError(msg)
    array = as_finite_array("df", value)
    if locs.shape[2] == 1 and array.shape == locs.shape[:2]:
        array = array[..., np.newaxis]
    if array.ndim not in {0, 3} or any(
        own not in {1, size} for own, size in zip(array.shape, locs.shape, strict=False)
    ):
        msg = (
            f"df must be a number or have shape (N, K, D) = {locs.shape} like locs, or 1 in place "
            f"of any of them, or (N, K) for D = 1, got shape {np.shape(value)}."
        )
        raise ValueError(msg)
    if (array <= 0.0).any():
        msg = f"df must be positive, got {float(array[array <= 0.0].flat[0])}."
        raise ValueError(msg)
    return np.broadcast_to(array, locs.shape).copy()
