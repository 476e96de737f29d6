"""What every mixture has and is asked, whatever its components: sizes, checks and the kernels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture._arguments import as_row_index, as_targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike

    from tfp_mdn.mixture._lines import Lines

__all__ = ["MixtureKernels", "SomeMixture"]

SomeMixture = TypeVar("SomeMixture", bound="MixtureKernels")


class MixtureKernels(ABC):
    """N mixtures of K components in D dimensions, `MixtureParameters` or `FamilyMixture`.

    The public methods stand in `_methods`: they check what they are given and call the kernels
    that are abstract here. Kernels take targets (N, D), or (M, N, D) for a grid, and check nothing.
    """

    weights: FloatArray

    if TYPE_CHECKING:
        # At run time they would be taken for the defaults of fields of these names.
        @property
        def family(self) -> str:
            """Name of the distribution of the components."""

        @property
        def means(self) -> FloatArray:
            """Means of the components (N, K, D)."""

        @property
        def variances(self) -> FloatArray:
            """Variances of the components (N, K, D)."""

        def marginal(self: SomeMixture, dims: int | Sequence[int]) -> SomeMixture:
            """Return the mixtures of some of the target's dimensions."""

    @property
    @abstractmethod
    def num_inputs(self) -> int:
        """Number of inputs N."""

    @property
    @abstractmethod
    def num_components(self) -> int:
        """Number of mixture components K."""

    @property
    @abstractmethod
    def event_size(self) -> int:
        """Number of target dimensions D."""

    def __len__(self) -> int:
        """Return the number of inputs N."""
        return self.num_inputs

    def __iter__(self: SomeMixture) -> Iterator[SomeMixture]:
        """Yield one mixture of one row after the other."""
        return (self[row] for row in range(self.num_inputs))

    def __getitem__(self: SomeMixture, rows: int | slice | ArrayLike) -> SomeMixture:
        """Select rows; an integer gives one row and keeps the axis N.

        Raises:
            IndexError: If a row does not exist, or a mask has another length than N.
            TypeError: If `rows` is neither an integer, a slice, a mask nor an array of integers.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[1.0]] * 3, [[0.0], [1.0], [2.0]], [[1.0]] * 3)
            >>> p[1].mean(), len(p[p.mean()[:, 0] > 0.5])
            (array([[1.]]), 2)
        """
        return self._rows(as_row_index(rows, self.num_inputs))

    @abstractmethod
    def _rows(self: SomeMixture, rows: slice | NDArray[np.intp]) -> SomeMixture:
        """Return the mixtures of some rows."""

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

    @abstractmethod
    def _component_moments(self, method: str, order: int) -> tuple[FloatArray, FloatArray]:
        """Return means and variances (N, K, D), for a method that needs moments up to an order.

        Raises:
            ValueError: If a component has no finite moment of this order.
        """

    def _component_spreads(self) -> tuple[FloatArray, FloatArray]:
        """Return means and standard deviations (N, K, D), or what stands for those without."""
        return self.means, np.sqrt(self.variances)

    @abstractmethod
    def _component_covariances(self) -> FloatArray | None:
        """Return covariances (N, K, D, D), or None if dimensions are independent in components."""

    @abstractmethod
    def _skewness(self) -> FloatArray:
        """Return the skewness (N,) for D = 1."""

    @abstractmethod
    def _kurtosis(self) -> FloatArray:
        """Return the excess kurtosis (N,) for D = 1."""

    @abstractmethod
    def _log_prob(self, y: FloatArray) -> FloatArray:
        """Return log densities (..., N), in nats."""

    @abstractmethod
    def _log_prob_of_seen(self, y: FloatArray) -> FloatArray:
        """Return log densities (..., N) of those dimensions of targets that are not NaN."""

    @abstractmethod
    def _responsibilities(self, y: FloatArray) -> FloatArray:
        """Return probabilities of the components given targets (..., N, K)."""

    @abstractmethod
    def _cdf(self, y: FloatArray, *, upper: bool = False) -> FloatArray:
        """Return P(Y ≤ y), or P(Y > y), (..., N) for D = 1."""

    @abstractmethod
    def _log_cdf(self, y: FloatArray, *, upper: bool = False) -> FloatArray:
        """Return log P(Y ≤ y), or log P(Y > y), (..., N) for D = 1."""

    @abstractmethod
    def _quantile(self, tails: FloatArray, upper: NDArray[np.bool_]) -> FloatArray:
        """Return where lower or upper tails (Q,) begin, (Q, N) for D = 1."""

    @abstractmethod
    def _crps(self, y: FloatArray) -> FloatArray:
        """Return continuous ranked probability scores (..., N) for D = 1."""

    @abstractmethod
    def _censored_log_prob(self, y: FloatArray, half_width: FloatArray) -> FloatArray:
        """Return log P(y − h < Y ≤ y + h), (..., N) for D = 1, with h (N,)."""

    @abstractmethod
    def _lines(self) -> Lines:
        """Return the densities of D = 1 as functions along lines."""

    @abstractmethod
    def _modes(self) -> list[FloatArray]:
        """Return the modes, N arrays (M_i, D), the highest first."""

    @abstractmethod
    def _highest_density_region(self, outside: float) -> list[FloatArray]:
        """Return the regions of all but this probability, N arrays (R_i, 2), for D = 1."""

    @abstractmethod
    def _sample(
        self,
        size: int,
        rng: np.random.Generator,
        *,
        temperature: float = 1.0,
        scale_temperature: float = 1.0,
    ) -> FloatArray:
        """Return draws (S, N, D)."""

    @abstractmethod
    def _entropy(self, size: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Return an estimate of −E[log p(Y)] from draws and its standard error, each (N,)."""

    @abstractmethod
    def _kl_divergence(
        self, other: MixtureKernels, size: int, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Return an estimate of E[log p(Y) − log q(Y)] and its standard error, each (N,)."""
