"""Mixtures of normal distributions on a line, one in each column, as modes and regions see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from tfp_mdn.mixture._slope_polynomials import LARGEST_RESIDUAL
from tfp_mdn.mixture._slope_signs import isolate
from tfp_mdn.mixture.density import HALF_LOG_TWO_PI, resolved_components

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray
    from tfp_mdn.mixture._marks import Brackets

__all__ = ["Lines", "NormalLines", "log_density_and_score"]


class Lines(Protocol):
    """Mixtures of any components in one dimension, one (B,) in each column of their arrays."""

    @property
    def size(self) -> tuple[int, int]:
        """Numbers of rows B and components K."""

    @property
    def lower_end(self) -> float:
        """Where the support begins."""

    def take(self, rows: NDArray[np.intp] | slice) -> Lines:
        """Return the lines of some rows (C,), which can be repeated."""

    def look(self, places: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return log p, its first two derivatives, and the sizes that the first is made of, (B,).

        Args:
            places: One place (B,) for each line.
        """

    def isolate(self) -> Brackets:
        """Return brackets with one critical point each, modes and antimodes in turn."""

    def beyond(self, side: FloatArray, level: FloatArray) -> FloatArray:
        """Return side times a place on that side of all modes (B,), beyond which p is less.

        Args:
            side: -1 or 1 (B,).
            level: Log densities (B,).
        """

    def between(self, ends: FloatArray, valleys: FloatArray) -> FloatArray:
        """Return the probability between two places (B,), in the smaller tail of each component."""


@dataclass(frozen=True)
class NormalLines:
    """Weights, means and scales (K, B) of B mixtures of normal distributions.

    Attributes:
        weights: Component weights (K, B).
        means: Component means (K, B).
        scales: Component standard deviations (K, B).
    """

    weights: FloatArray
    means: FloatArray
    scales: FloatArray

    @classmethod
    def of(cls, weights: FloatArray, means: FloatArray, variances: FloatArray) -> NormalLines:
        """Return the lines of weights (N, K), means and variances (N, K, 1)."""
        return cls(*resolved_components(weights, means, variances))

    @property
    def size(self) -> tuple[int, int]:
        """Numbers of rows B and components K."""
        return self.weights.shape[1], self.weights.shape[0]

    @property
    def lower_end(self) -> float:
        """Where the support begins."""
        return -np.inf

    def take(self, rows: NDArray[np.intp] | slice) -> NormalLines:
        """Return the lines of some rows (C,)."""
        if isinstance(rows, slice):
            return NormalLines(self.weights[:, rows], self.means[:, rows], self.scales[:, rows])
        arrays = self.weights, self.means, self.scales
        return NormalLines(*(array.take(rows, axis=1) for array in arrays))

    def look(self, places: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return log p, its first two derivatives, and the sizes that the first is made of."""
        return log_density_and_score(places, self.weights, self.means, self.scales)

    def isolate(self) -> Brackets:
        """Return brackets with one critical point each, modes and antimodes in turn."""
        return isolate(self.weights, self.means, self.scales)

    def beyond(self, side: FloatArray, level: FloatArray) -> FloatArray:
        """Return where, on a side of all modes, each of K components is below p / K."""
        with np.errstate(divide="ignore"):
            excess = np.log(len(self.weights) * self.weights / self.scales) - HALF_LOG_TWO_PI
        reach = self.scales * np.sqrt(2.0 * np.maximum(excess - level, 0.0))
        result: FloatArray = (side * self.means + reach).max(axis=0)
        return result

    def between(self, ends: FloatArray, valleys: FloatArray) -> FloatArray:
        """Return the probability between two places, in the smaller tail of each component."""
        low, high = np.minimum(ends, valleys), np.maximum(ends, valleys)
        with np.errstate(over="ignore", invalid="ignore"):
            low, high = ((places - self.means) / self.scales for places in (low, high))
            part = np.where(low + high < 0.0, ndtr(high) - ndtr(low), ndtr(-low) - ndtr(-high))
        result: FloatArray = np.einsum("kp,kp->p", self.weights, part)
        return result


def log_density_and_score(
    places: FloatArray, weights: FloatArray, means: FloatArray, scales: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return log p, its first two derivatives, and the sum of sizes that the first is made of.

    Args:
        places: Places (C,), one for each column of the parameters.
        weights: Component weights (K, C).
        means: Component means (K, C).
        scales: Component standard deviations (K, C).
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        residuals = (places - means) / scales
        np.clip(residuals, -LARGEST_RESIDUAL, LARGEST_RESIDUAL, out=residuals)
        terms = np.log(weights / scales) - 0.5 * np.square(residuals)
        peak = terms.max(axis=0)
        shares = np.exp(terms - peak)
        total = shares.sum(axis=0)
        shares /= total
        pulls = residuals / scales
        first = -np.einsum("kc,kc->c", shares, pulls)
        second = np.einsum("kc,kc,kc->c", shares, pulls, pulls)
        second -= np.einsum("kc,kc->c", shares, np.square(1.0 / scales)) + np.square(first)
        size = np.einsum("kc,kc->c", shares, np.abs(pulls))
    return peak + np.log(total) - HALF_LOG_TWO_PI, first, second, size
