"""Functions of the normal distribution beyond a place a, right where its tail is far out."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erfcx

from tfp_mdn._validation import FloatArray

__all__ = ["excess_ratios", "hazard", "log_mills"]

# Beyond it, differences such as hazard − a lose digits and continued fractions converge quickly.
FAR = 3.0
TERMS = 60


def hazard(a: FloatArray) -> FloatArray:
    """Return φ(a) / Φ(−a)."""
    result: FloatArray = math.sqrt(2.0 / math.pi) / erfcx(a * math.sqrt(0.5))
    return result


def log_mills(a: FloatArray) -> FloatArray:
    """Return log Φ(−a) + a²/2, for a ≥ 0."""
    result: FloatArray = np.log(0.5 * erfcx(a * math.sqrt(0.5)))
    return result


def excess_ratios(a: FloatArray, size: int) -> FloatArray:
    """Return E[Tʲ] / E[Tʲ⁻¹] for j = 1 ... size, where a + T is normal beyond a, for a ≥ 3.

    Integration by parts gives rⱼ = j / (a + rⱼ₊₁), which is stable from large j downwards.
    """
    ratio = np.zeros_like(a)
    ratios = np.empty((size, *np.shape(a)))
    for j in range(TERMS, 0, -1):
        ratio = j / (a + ratio)
        if j <= size:
            ratios[j - 1] = ratio
    return ratios
