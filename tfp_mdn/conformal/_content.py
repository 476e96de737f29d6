"""Kernels for the probability that a mixture has where its density is at most that of a target."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture._critical import critical_points
from tfp_mdn.mixture._methods import Mixture
from tfp_mdn.mixture.density import row_blocks
from tfp_mdn.mixture.modes import CELLS_PER_COMPONENT
from tfp_mdn.mixture.regions import LevelSets

__all__ = ["estimated", "exact", "thresholds"]


def exact(parameters: Mixture, y: FloatArray) -> FloatArray:
    """Return P(p(Y) ≤ p(y)), (N,), from the ends of the level set through each target.

    It is a sum of tails, so that it keeps its digits down to 1e-300.

    Args:
        parameters: Mixtures of N rows in one dimension.
        y: Targets (N, 1).
    """
    result = np.empty(len(y))
    for rows in row_blocks(len(y), CELLS_PER_COMPONENT * parameters.num_components**2):
        lines = parameters._rows(rows)._lines()
        levels = LevelSets(critical_points(lines), lines)
        log_density = lines.look(y[rows, 0])[0]
        depths = np.sqrt(2.0 * np.maximum(levels.top - log_density, 0.0))
        result[rows] = levels.outside(depths, np.arange(len(depths)))[0]
    return np.clip(result, 0.0, 1.0)


def estimated(
    parameters: Mixture, y: FloatArray, size: int, rng: np.random.Generator
) -> FloatArray:
    """Return the share of `size` draws whose density is at most that of the target, (N,).

    Args:
        parameters: Mixtures of N rows in D dimensions.
        y: Targets (N, D).
        size: Draws for each row.
        rng: Source of random numbers.
    """
    result = np.empty(len(y))
    for rows, densities in _draws(parameters, size, rng):
        own = parameters._rows(rows).log_prob(y[rows])
        result[rows] = (densities <= own).sum(axis=0) / size
    return result


def thresholds(
    parameters: Mixture, outside: float, size: int, rng: np.random.Generator
) -> FloatArray:
    """Return the smallest log density of which `estimated` is at least `outside`, (N,)."""
    needed = round(outside * size)
    result = np.full(parameters.num_inputs, -np.inf)
    if needed:
        for rows, densities in _draws(parameters, size, rng):
            result[rows] = np.partition(densities, needed - 1, axis=0)[needed - 1]
    return result


def _draws(
    parameters: Mixture, size: int, rng: np.random.Generator
) -> Iterator[tuple[slice, FloatArray]]:
    """Yield blocks of rows with the log densities (S, rows) of draws from each."""
    for rows in row_blocks(parameters.num_inputs, size * parameters.event_size):
        block = parameters._rows(rows)
        yield rows, block.log_prob(block.sample(size, rng))
