"""The log-density of targets of which some dimensions are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfp_mdn.mixture import density

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray

__all__ = ["log_prob_of_seen"]


def log_prob_of_seen(
    y: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    variances: FloatArray,
    covariances: FloatArray | None = None,
) -> FloatArray:
    """Return the log-density of the dimensions of each target that are not NaN, (..., N), in nats.

    It is that of their marginal, and 0 where none is seen: the density of nothing is 1.

    Args:
        y: Targets (..., N, D), NaN where missing.
        weights: Component weights (N, K).
        means: Component means (N, K, D).
        variances: Component variances (N, K, D).
        covariances: Component covariances (N, K, D, D), or None for diagonal ones.
    """
    result = np.zeros(y.shape[:-1])
    seen = ~np.isnan(y)
    patterns, number = np.unique(seen.reshape(-1, y.shape[-1]), axis=0, return_inverse=True)
    number = number.reshape(result.shape)
    for place in np.flatnonzero(patterns.any(axis=1)):
        chosen = np.nonzero(number == place)
        rows, dims = chosen[-1], np.flatnonzero(patterns[place])
        result[chosen] = density.log_prob(
            y[chosen][:, dims],
            weights[rows],
            means[rows][..., dims],
            variances[rows][..., dims],
            None if covariances is None else covariances[rows][..., dims[:, np.newaxis], dims],
        )
    return result
