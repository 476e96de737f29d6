"""Mixtures of any family on a line, one a column, as modes, regions and quantiles see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfp_mdn.mixture._family_slopes import isolate
from tfp_mdn.mixture.density import RESOLUTION

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray
    from tfp_mdn.mixture._marks import Brackets
    from tfp_mdn.mixture.families import Family, Shape

__all__ = ["FamilyLines"]


@dataclass(frozen=True)
class FamilyLines:
    """Weights (K, B) and parameters (K, B) of B mixtures in one dimension.

    Attributes:
        family: The kind of components.
        weights: Component weights (K, B).
        shape: The family's parameters (K, B) each.
    """

    family: Family
    weights: FloatArray
    shape: Shape

    @classmethod
    def of(cls, family: Family, weights: FloatArray, shape: Shape) -> FamilyLines:
        """Return the lines of weights (N, K) and parameters (N, K, 1).

        A component of weight 0 gets the place of the heaviest one, since its own could lie so far
        out that arithmetic with it overflows, and no scale is below the resolution at its place.
        """
        parts = [part[..., 0] for part in shape]
        empty = weights == 0.0
        if empty.any():
            rows = np.arange(len(weights))[:, np.newaxis]
            heaviest = rows, weights.argmax(axis=1)[:, np.newaxis]
            parts = [np.where(empty, part[heaviest], part) for part in parts]
        loc, scale, *rest = (np.ascontiguousarray(part.T) for part in parts)
        scale = np.maximum(scale, RESOLUTION * np.spacing(np.abs(loc)))
        return cls(family, np.ascontiguousarray(weights.T), (loc, scale, *rest))

    @property
    def size(self) -> tuple[int, int]:
        """Numbers of rows and components."""
        return self.weights.shape[1], self.weights.shape[0]

    @property
    def lower_end(self) -> float:
        """Where the support begins."""
        return self.family.lower_end

    def take(self, rows: NDArray[np.intp] | slice) -> FamilyLines:
        """Return the lines of some rows (C,)."""
        return FamilyLines(
            self.family, self.weights[:, rows], tuple(part[:, rows] for part in self.shape)
        )

    def modes(self) -> FloatArray:
        """Return the modes of the components (K, B)."""
        return self.family.mode(*self.shape)

    def at(
        self, y: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return densities, both tails, f'/f and f''/f of the components (K, B) at places (B,)."""
        family, shape = self.family, self.shape
        density = np.exp(family.log_density(y, *shape))
        return (density, *family.tails(y, *shape), *family.slopes(y, *shape))

    def look(self, places: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return log p, its first two derivatives, and the sizes that the first is made of, (B,).

        Args:
            places: One place (B,) for each line.
        """
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            terms = np.log(self.weights) + self.family.log_density(places, *self.shape)
            peak = terms.max(axis=0)
            shares = np.exp(terms - np.where(np.isneginf(peak), 0.0, peak))
            total = shares.sum(axis=0)
            shares /= np.where(total > 0.0, total, 1.0)
            slope, bend = self.family.slopes(places, *self.shape)
            # Outside of the support there is nothing.
            slope = np.where(shares > 0.0, slope, 0.0)
            bend = np.where(shares > 0.0, bend, 0.0)
            first = np.einsum("kc,kc->c", shares, slope)
            second = np.einsum("kc,kc->c", shares, bend) - np.square(first)
            size = np.einsum("kc,kc->c", shares, np.abs(slope))
            return peak + np.log(total), first, second, size

    def isolate(self) -> Brackets:
        """Return brackets with one critical point each, modes and antimodes in turn."""
        return isolate(self.family, self.weights, self.shape)

    def beyond(self, side: FloatArray, level: FloatArray) -> FloatArray:
        """Return where, on a side (B,) of all modes, no log density is above a level (B,)."""
        with np.errstate(divide="ignore", over="ignore"):
            own = level - np.log(len(self.weights) * self.weights)
            return (side * self.family.reach(own, side, *self.shape)).max(axis=0)

    def between(self, ends: FloatArray, valleys: FloatArray) -> FloatArray:
        """Return the probability between two places (B,), in the smaller tail of each component."""
        low, high = np.minimum(ends, valleys), np.maximum(ends, valleys)
        below_low, above_low = self.family.tails(low, *self.shape)
        below_high, above_high = self.family.tails(high, *self.shape)
        part = np.where(below_high < above_low, below_high - below_low, above_low - above_high)
        result: FloatArray = np.einsum("kp,kp->p", self.weights, part)
        return result
