"""Kernels that estimate entropy and divergence of mixtures, which have no closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tfp_mdn.mixture.density import log_prob, row_blocks
from tfp_mdn.mixture.sampling import sample

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray

    Arrays = tuple[FloatArray, FloatArray, FloatArray, FloatArray | None]

__all__ = ["entropy", "kl_divergence"]


def entropy(size: int, p: Arrays, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Estimate −E[log p(Y)] and the standard error of that from draws, each (N,), in nats.

    Args:
        size: Number of draws for each row, at least 2.
        p: Weights, means, variances and covariances of the mixtures.
        rng: Source of random numbers.
    """
    return _estimate(size, p, rng, lambda draws, rows: -log_prob(draws, *_rows(p, rows)))


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
    return _estimate(
        size,
        p,
        rng,
        lambda draws, rows: log_prob(draws, *_rows(p, rows)) - log_prob(draws, *_rows(q, rows)),
    )


def _estimate(
    size: int,
    p: Arrays,
    rng: np.random.Generator,
    function: Callable[[FloatArray, slice], FloatArray],
) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard error, each (N,), of a function of draws, block by block."""
    num_rows, _, event_size = p[1].shape
    mean, error = np.empty(num_rows), np.empty(num_rows)
    for rows in row_blocks(num_rows, size * event_size):
        values = function(sample(size, *_rows(p, rows), rng), rows)
        mean[rows] = values.mean(axis=0)
        error[rows] = values.std(axis=0, ddof=1) / math.sqrt(size)
    return mean, error


def _rows(arrays: Arrays, rows: slice) -> Arrays:
    """Return some rows of all arrays."""
    weights, means, variances, covariances = arrays
    full = None if covariances is None else covariances[rows]
    return weights[rows], means[rows], variances[rows], full
