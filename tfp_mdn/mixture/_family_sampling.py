"""Ancestral sampling of mixtures of any family: the component first, then a draw from it alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tfp_mdn.mixture.density import row_blocks
from tfp_mdn.mixture.sampling import of_components, sample_components, temper

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray
    from tfp_mdn.mixture.families import Family, Shape

__all__ = ["sample"]


def sample(
    size: int,
    family: Family,
    weights: FloatArray,
    shape: Shape,
    rng: np.random.Generator,
    *,
    temperature: float = 1.0,
    scale_temperature: float = 1.0,
) -> FloatArray:
    """Draw samples (S, N, D).

    Args:
        size: Number of draws S for each row.
        family: The kind of components.
        weights: Component weights (N, K).
        shape: Its parameters (N, K, D) each.
        rng: Source of random numbers.
        temperature: Divisor of the logits, ≥ 0.
        scale_temperature: Factor of the squared scales, ≥ 0; 0 gives where a component goes as its
            scale goes to 0.
    """
    num_rows, _, event_size = shape[0].shape
    samples = np.empty((size, num_rows, event_size))
    for rows in row_blocks(num_rows, 2 * size * event_size):
        chosen = sample_components(size, temper(weights[rows], temperature), rng)
        loc, scale, *rest = (of_components(part[rows], chosen) for part in shape)
        if scale_temperature == 0.0:
            # One float64 step of the location is nothing, and a scale all the same.
            scale = np.full_like(scale, np.finfo(np.float64).tiny)
            samples[:, rows] = family.mode(loc, scale, *rest)
            continue
        scale = scale * math.sqrt(scale_temperature)
        samples[:, rows] = family.draw(rng, (loc, scale, *rest))
    return samples
