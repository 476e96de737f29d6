"""Kernels that estimate entropy and divergence of mixtures, which have no closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfp_mdn.mixture.density import log_prob, row_blocks
from tfp_mdn.mixture.sampling import sample_offsets

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray
    from tfp_mdn.mixture._mixture import MixtureKernels

    Arrays = tuple[FloatArray, FloatArray, FloatArray, FloatArray | None]

__all__ = ["entropy", "kl_divergence", "log_ratio"]


# Standard deviations of fewer steps between float64 numbers at the mean are narrow: the rounding of
# a draw, half a step, would show in its log density.
NARROW = 2.0**20


def entropy(size: int, p: Arrays, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Estimate −E[log p(Y)] and the standard error of that from draws, each (N,), in nats.

    Args:
        size: Number of draws for each row, at least 2.
        p: Weights, means, variances and covariances of the mixtures.
        rng: Source of random numbers.
    """
    return _estimate(size, p, rng, lambda y, own: -log_prob(y, *own))


def kl_divergence(
    size: int, p: Arrays, q: Arrays, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Estimate E_p[log p(Y) − log q(Y)] and its standard error from draws, each (N,), in nats.

    Args:
        size: Number of draws for each row, at least 2.
        p: Weights, means, variances and covariances of the mixtures that are drawn from.
        q: Those of the mixtures to be compared with.
        rng: Source of random numbers.
    """
    return _estimate(size, p, rng, lambda y, own, other: log_prob(y, *own) - log_prob(y, *other), q)


def log_ratio(
    size: int, p: MixtureKernels, q: MixtureKernels | None, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Estimate E_p[log p(Y) − log q(Y)] and its standard error from draws, each (N,), in nats.

    It is for components of any kind.

    Args:
        size: Number of draws for each row, at least 2.
        p: The mixtures that are drawn from.
        q: Those to be compared with, or None to leave log q out.
        rng: Source of random numbers.
    """
    mean, error = np.empty(len(p)), np.empty(len(p))
    for rows in row_blocks(len(p), size * p.event_size):
        mixture = p[rows]
        draws = mixture._sample(size, rng)
        values = mixture._log_prob(draws)
        if q is not None:
            values -= q[rows]._log_prob(draws)
        mean[rows] = values.mean(axis=0)
        error[rows] = values.std(axis=0, ddof=1) / math.sqrt(size)
    return mean, error


def _estimate(
    size: int,
    p: Arrays,
    rng: np.random.Generator,
    function: Callable[..., FloatArray],
    *others: Arrays,
) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard error, each (N,), of a function of draws, block by block.

    Args:
        size: Number of draws for each row.
        p: The mixtures that are drawn from.
        rng: Source of random numbers.
        function: Takes draws (S, rows, D) and the arrays of all mixtures, and is not changed by a
            shift of all of them.
        others: Arrays of other mixtures that it needs.
    """
    num_rows, num_components, event_size = p[1].shape
    mean, error = np.empty(num_rows), np.empty(num_rows)
    for rows in row_blocks(num_rows, size * event_size):
        mixtures = [_rows(arrays, rows) for arrays in (p, *others)]
        weights, means, variances, covariances = mixtures[0]
        chosen, offsets = sample_offsets(size, weights, variances, covariances, rng)
        values = function(offsets + means[np.arange(len(means)), chosen], *mixtures)
        close = np.sqrt(variances) < NARROW * np.spacing(np.abs(means))
        narrow = np.flatnonzero((close.any(axis=2) & (weights > 0.0)).any(axis=1))
        # A draw loses the digits of its offset to those of the mean, so that these rows are seen
        # from the mean of the component that each draw comes from.
        for k in range(num_components if len(narrow) else 0):
            moved = [_seen_from(means[narrow, k], _rows(arrays, narrow)) for arrays in mixtures]
            own = chosen[:, narrow] == k
            values[:, narrow] = np.where(
                own, function(offsets[:, narrow], *moved), values[:, narrow]
            )
        mean[rows] = values.mean(axis=0)
        error[rows] = values.std(axis=0, ddof=1) / math.sqrt(size)
    return mean, error


def _seen_from(origins: FloatArray, arrays: Arrays) -> Arrays:
    """Return mixtures whose means are given relative to origins (rows, D)."""
    weights, means, variances, covariances = arrays
    with np.errstate(over="ignore"):
        return weights, means - origins[:, np.newaxis], variances, covariances


def _rows(arrays: Arrays, rows: slice | NDArray[np.intp]) -> Arrays:
    """Return some rows of all arrays."""
    weights, means, variances, covariances = arrays
    full = None if covariances is None else covariances[rows]
    return weights[rows], means[rows], variances[rows], full
