"""How far targets scatter around what the inputs foretell, seen before any training."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import KDTree

from tfp_mdn._validation import FloatArray
from tfp_mdn.preprocessing import robust_moments

__all__ = ["Scatter", "scatter_of"]

_NUM_NEIGHBOURS = 5

# Enough rows to know the shares to a few hundredths; more cost seconds.
_MAX_ROWS, _MAX_QUERIES = 20_000, 2_000

# Of equally near rows, any may be the neighbour; a tree would return the same few to all.
_TIE_BREAK = 1e-6

_FARTHEST = 10.0  # standard deviations; beyond it one row would decide


class Scatter(NamedTuple):
    """What nearest neighbours tell of a table."""

    unexplained: float  # share of the variance of y that the nearest neighbour leaves open, 0 to 1
    noisiness: float  # 1 where neighbours differ by chance alone, 0 where the nearest knows best


def scatter_of(x: FloatArray, y: FloatArray, rng: np.random.RandomState) -> Scatter:
    """Estimate how much of y is open given x, and whether that is noise or detail.

    With e_k the mean squared error of foretelling a row's target by the mean of its k nearest
    neighbours, the share left open is e_1 / 2 over the variance of y: the Delta test for the
    variance of noise, which includes what y changes between neighbours. Averaging tells the two
    apart: of pure noise it leaves e_5 / e_1 = (1 + 1/5) / 2, and of a function that is only too
    coarsely sampled it makes more.

    Args:
        x: Inputs in any units, (N, F), N at least 2.
        y: Targets in any units, (N, D).
        rng: Source of the choice of rows, if there are many.

    References:
        Eirola, Liitiäinen, Lendasse, Corona & Verleysen (2008), Using the Delta test for variable
        selection, ESANN.
    """
    if len(x) > _MAX_ROWS:
        rows = rng.choice(len(x), _MAX_ROWS, replace=False)
        x, y = x[rows], y[rows]
    x, y = _standardised(x), _standardised(y)
    x = x + _TIE_BREAK * rng.standard_normal(x.shape)
    queries = np.arange(min(len(x), _MAX_QUERIES))
    count = min(_NUM_NEIGHBOURS, len(x) - 1)
    _, found = KDTree(x).query(x[queries], k=count + 1)
    neighbours = y[found[:, 1:]]
    nearest, averaged = (
        np.square(y[queries] - neighbours[:, :size].mean(axis=1)).mean() for size in (1, count)
    )
    pure_noise = (1.0 + 1.0 / count) / 2.0
    if nearest == 0.0 or count == 1:
        noisiness = 0.0
    else:
        noisiness = float(np.clip((1.0 - averaged / nearest) / (1.0 - pure_noise), 0.0, 1.0))
    return Scatter(min(float(nearest) / 2.0, 1.0), noisiness)


def _standardised(values: FloatArray) -> FloatArray:
    """Return columns of mean 0 and variance 1, gross outliers at the limit; constant ones as 0."""
    ones = np.ones(len(values))
    loc, scale = np.array([robust_moments(column, ones) for column in values.T]).T
    return np.clip((values - loc) / np.where(scale > 0, scale, np.inf), -_FARTHEST, _FARTHEST)
