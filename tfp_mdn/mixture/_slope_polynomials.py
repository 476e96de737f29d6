"""Kernel that finds the signs of the slope of mixtures on short cells, from polynomials.

Bounds on single terms of p' cannot tell a slope from 0 that is the small difference of large sums:
for equal components one standard deviation apart it is 1e-8 of them, and cells would be halved
until they are as short. A polynomial keeps such differences. With y = m + h t, r = (m − μ) / σ and
δ = h / σ a component is a factor times

    exp(−r δ t − δ² t² / 2) = Σⱼ gⱼ tʲ,    (j + 1) gⱼ₊₁ = −(r δ gⱼ + δ² gⱼ₋₁),

and by Cauchy's estimate on a circle of radius ρ, in standard deviations, what the derivative lacks
after n terms is at most δ (|r| + ρ) exp(|r| ρ + ρ² / 2) (δ / ρ)ⁿ / (1 − δ / ρ).

In the Bernstein basis the changes of sign among the coefficients are an upper bound on those of the
polynomial, and equal to it where there are none or one (Descartes' rule). Coefficients that could
be rounding or remainder count as 0, which changes the polynomial by no more than they are. Halving
a cell leaves the changes in both halves together no more than they were, so that no more than
DEGREE / 2 cells of those that come from one are halved at any time: the work is bounded.

References:
    R. T. Farouki (2012), The Bernstein polynomial basis: a centennial retrospective, Computer Aided
    Geometric Design 29, 379-419, https://doi.org/10.1016/j.cagd.2012.03.001.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfp_mdn.mixture._marks import Marks, marks_at_ends, marks_inside

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray

__all__ = ["LARGEST_RESIDUAL", "ROUNDING", "SlopePolynomials"]

# Degree of the polynomials for p': cells half a standard deviation long then have remainders
# below rounding.
DEGREE = 15

# Rounding of p', relative to the sum of the sizes of all that is added up.
ROUNDING = 16.0 * float(np.finfo(np.float64).eps)

# Standardised residuals are held to this, so that their squares remain finite.
LARGEST_RESIDUAL = 1e100

# Two changes of sign this close, relative to the cell, differ by rounding.
LARGEST_NUMBER_OF_HALVINGS = 50


class SlopePolynomials:
    """Polynomials in t, from -1 to 1, for p' on cells."""

    def __init__(
        self,
        lower: FloatArray,
        upper: FloatArray,
        weights: FloatArray,
        means: FloatArray,
        scales: FloatArray,
    ) -> None:
        """Take the ends (C,) and the parameters (K, C) of the rows of the cells."""
        self.lower, self.upper = lower, upper
        self.middle = 0.5 * lower + 0.5 * upper
        self.half = np.maximum(upper - self.middle, self.middle - lower)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            residuals = (self.middle - means) / scales
            self.residuals = np.clip(residuals, -LARGEST_RESIDUAL, LARGEST_RESIDUAL)
            self.steps = self.half / scales
            peaks = np.log(weights / scales) - 0.5 * np.square(self.residuals)
            self.heights = peaks - peaks.max(axis=0)
            self.remainder = self._remainders(weights > 0.0)

    def _remainders(self, counts: NDArray[np.bool_]) -> FloatArray:
        """Return bounds (C,) on what the polynomials lack, relative to the largest term.

        Args:
            counts: Which components have any weight (K, C).
        """
        sizes, steps = np.abs(self.residuals), self.steps
        # This radius makes the bound smallest; the series converges inside of it.
        radii = 2.0 * (DEGREE + 1) / (sizes + np.sqrt(np.square(sizes) + 4.0 * (DEGREE + 1)))
        radii = np.maximum(radii, 2.0 * steps)
        logs = self.heights + np.log(2.0 * steps * (sizes + radii))
        logs += (sizes + 0.5 * radii) * radii + (DEGREE + 1) * np.log(steps / radii)
        bounds = np.where(counts, np.exp(logs), 0.0).sum(axis=0)
        terms = np.exp(self.heights) * steps * (sizes + steps)
        result: FloatArray = bounds / terms.max(axis=0)
        return result

    def fit(self) -> NDArray[np.bool_]:
        """Return which cells (C,) are so short that the remainder is below rounding."""
        return self.remainder <= ROUNDING

    def signs(self, chosen: NDArray[np.bool_], rows: NDArray[np.intp]) -> Marks:
        """Return the signs of p' in some cells, which have to fit.

        Args:
            chosen: Which cells (C,).
            rows: The rows of all cells (C,).
        """
        coefficients, noise = self._coefficients(chosen)
        rows, middle, half = rows[chosen], self.middle[chosen], self.half[chosen]
        low, high = self.lower[chosen], self.upper[chosen]
        left, right = -np.ones(len(rows)), np.ones(len(rows))
        found = []
        for number in range(LARGEST_NUMBER_OF_HALVINGS + 1):
            first, last, changes = _sign_changes(coefficients, noise)
            final = (changes <= 1) | (number == LARGEST_NUMBER_OF_HALVINGS)
            lower = np.clip(middle + half * left, low, high)
            upper = np.clip(middle + half * right, low, high)
            # A cell without any sign is flat from end to end.
            ends = final & ((changes > 0) | (first == 0))
            inside = final & ~ends
            found += [
                marks_at_ends(rows[ends], lower[ends], upper[ends], first[ends], last[ends]),
                marks_inside(rows[inside], lower[inside], upper[inside], first[inside]),
            ]
            if final.all():
                break
            split = ~final
            parts = coefficients[:, split]
            coefficients = np.concatenate([LEFT_HALF @ parts, RIGHT_HALF @ parts], axis=1)
            centre = 0.5 * (left + right)[split]
            left = np.concatenate([left[split], centre])
            right = np.concatenate([centre, right[split]])
            rows, middle, half, noise, low, high = (
                np.tile(array[split], 2) for array in (rows, middle, half, noise, low, high)
            )
        return Marks.join(found)

    def _coefficients(self, chosen: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        """Return Bernstein coefficients (DEGREE + 1, C) and how far from 0 rounding takes them."""
        steps = self.steps[:, chosen]
        squares = np.square(steps)
        pulls = self.residuals[:, chosen] * steps
        before, now = np.zeros_like(steps), np.exp(self.heights[:, chosen])
        powers = np.empty((DEGREE + 1, steps.shape[1]))
        sizes = np.zeros(steps.shape[1])
        for j in range(DEGREE + 1):
            slope = -(pulls * now + squares * before)
            before, now = now, slope / (j + 1.0)
            powers[j] = slope.sum(axis=0)
            sizes += np.abs(slope).sum(axis=0)
        # The remainder is at most the rounding of the largest term.
        return TO_BERNSTEIN @ powers, 2.0 * ROUNDING * sizes


def _sign_changes(
    coefficients: FloatArray, noise: FloatArray
) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[np.intp]]:
    """Return first and last sign and the number of changes (C,) among those beyond noise."""
    signs = np.sign(coefficients).astype(np.int8)
    signs[np.abs(coefficients) <= noise] = 0
    first, last = signs[0].copy(), signs[0].copy()
    changes = np.zeros(signs.shape[1], dtype=np.intp)
    for sign in signs[1:]:
        changes += sign * last < 0
        first = np.where(first == 0, sign, first)
        last = np.where(sign == 0, last, sign)
    return first, last, changes


def _bernstein_from_powers() -> FloatArray:
    """Return the matrix from coefficients of tʲ, t from -1 to 1, to those of Bernstein's basis.

    C(n, i) times entry (i, j) is the coefficient of xⁱ in (1 + x)ⁿ⁻ʲ (x − 1)ʲ: a small integer, so
    that all entries are right to their last digit, and at most 1.
    """
    matrix = np.empty((DEGREE + 1, DEGREE + 1))
    for j in range(DEGREE + 1):
        product = np.ones(1)
        for sign in [1.0] * (DEGREE - j) + [-1.0] * j:
            product = np.convolve(product, [sign, 1.0])
        matrix[:, j] = [value / math.comb(DEGREE, i) for i, value in enumerate(product)]
    return matrix


def _first_half() -> FloatArray:
    """Return the matrix from Bernstein coefficients on a cell to those on its first half."""
    return np.array(
        [[math.comb(i, j) * 0.5**i for j in range(DEGREE + 1)] for i in range(DEGREE + 1)]
    )


TO_BERNSTEIN = _bernstein_from_powers()
LEFT_HALF = _first_half()
RIGHT_HALF = LEFT_HALF[::-1, ::-1].copy()
