"""Ancestral sampling of mixtures: the component first, then a draw from that component alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfp_mdn.mixture.density import cholesky_factors

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray

__all__ = ["of_components", "sample", "sample_components", "sample_offsets", "temper"]

# Numbers that are drawn at a time: more would leave the processor's caches, and memory beyond the
# result would grow.
_BLOCK = 65536


def temper(weights: FloatArray, temperature: float) -> FloatArray:
    """Return the weights whose logits are divided by `temperature`: wₖ^(1/T) / Σⱼ wⱼ^(1/T).

    Below 1 the heavy components gain, above 1 the light ones do; weights of 0 stay 0. At 0 the
    heaviest component takes all, the first one of several that tie.

    Args:
        weights: Component weights (N, K).
        temperature: T ≥ 0.

    Returns:
        Array (N, K).

    Example:
        >>> temper(np.array([[0.8, 0.2]]), 0.5).round(3)
        array([[0.941, 0.059]])
    """
    if temperature == 1.0:
        return weights
    if temperature == 0.0:
        return np.eye(weights.shape[1])[weights.argmax(axis=1)]
    with np.errstate(divide="ignore", over="ignore"):
        logits = np.log(weights)
        # The peak goes first: log w / T alone overflows to -inf in every place for a tiny T.
        logits -= logits.max(axis=1, keepdims=True)
        logits /= temperature
    tempered: FloatArray = np.exp(logits, out=logits)
    tempered /= tempered.sum(axis=1, keepdims=True)
    return tempered


def sample_components(
    size: int, weights: FloatArray, rng: np.random.Generator
) -> NDArray[np.unsignedinteger]:
    """Draw component indices (S, N) by inversion of their cumulative weights.

    Inversion takes one uniform number a draw, and the comparison with one component at a time
    keeps memory at O(S N). The Gumbel-max trick would take K numbers and O(S N K).

    Args:
        size: Number of draws S for each row.
        weights: Component weights (N, K).
        rng: Source of random numbers.

    References:
        L. Devroye (1986), Non-uniform random variate generation, chapter III,
        https://doi.org/10.1007/978-1-4613-8643-8.
        C. J. Maddison, D. Tarlow, T. Minka (2014), A* sampling, https://arxiv.org/abs/1411.0030
        (the Gumbel-max trick).
    """
    cumulative = weights.cumsum(axis=1)
    # Division by the last one makes it, and every one that only zero weights follow, exactly 1:
    # otherwise a uniform number above 1 - 1e-16 would draw a component of weight 0.
    cumulative /= cumulative[:, -1:]
    uniform = rng.random((size, len(weights)))
    num_components = weights.shape[1]
    # In a byte each, sixteen and more of the comparisons are added up at a time.
    chosen = np.zeros(uniform.shape, np.min_scalar_type(num_components))
    for k in range(num_components - 1):
        chosen += uniform >= cumulative[:, k]
    return chosen


def sample(
    size: int,
    weights: FloatArray,
    means: FloatArray,
    variances: FloatArray,
    covariances: FloatArray | None,
    rng: np.random.Generator,
    *,
    temperature: float = 1.0,
    scale_temperature: float = 1.0,
) -> FloatArray:
    """Draw samples (S, N, D) with O(S N D) memory and one normal vector for each.

    The random numbers that are consumed do not depend on the temperatures, so one seed gives the
    same draw before and after a change of `scale_temperature`, stretched about the same means.

    Args:
        size: Number of draws S for each row.
        weights: Component weights (N, K).
        means: Component means (N, K, D).
        variances: Component variances (N, K, D).
        covariances: Component covariances (N, K, D, D), or None for diagonal ones.
        rng: Source of random numbers.
        temperature: Divisor of the logits, ≥ 0.
        scale_temperature: Factor of the covariances, ≥ 0.

    Returns:
        Array (S, N, D), in the target's units.
    """
    num_rows, _, event_size = means.shape
    samples = np.empty((size, num_rows, event_size))
    per_block = max(1, _BLOCK // max(1, size * event_size))
    for start in range(0, num_rows, per_block):
        rows = slice(start, start + per_block)
        chosen, draws = sample_offsets(
            size,
            temper(weights[rows], temperature),
            variances[rows],
            None if covariances is None else covariances[rows],
            rng,
        )
        if scale_temperature != 1.0:
            draws *= np.sqrt(scale_temperature)
        draws += of_components(means[rows], chosen)
        samples[:, rows] = draws
    return samples


def sample_offsets(
    size: int,
    weights: FloatArray,
    variances: FloatArray,
    covariances: FloatArray | None,
    rng: np.random.Generator,
) -> tuple[NDArray[np.unsignedinteger], FloatArray]:
    """Draw components (S, N) and how far from their means the draws lie (S, N, D).

    Args:
        size: Number of draws S for each row.
        weights: Component weights (N, K).
        variances: Component variances (N, K, D).
        covariances: Component covariances (N, K, D, D), or None for diagonal ones.
        rng: Source of random numbers.
    """
    num_rows, _, event_size = variances.shape
    chosen = sample_components(size, weights, rng)
    draws: FloatArray = rng.standard_normal((size, num_rows, event_size))
    if covariances is None or event_size == 1:
        draws *= np.sqrt(of_components(variances, chosen))
    else:
        factors = cholesky_factors(covariances)
        # L z in place, last coordinate first, because row d of L reads only z_0 ... z_d. One
        # entry at a time, the factors of S N draws are never gathered as (S, N, D, D).
        place = np.arange(num_rows), chosen
        for d in reversed(range(event_size)):
            draws[..., d] *= factors[..., d, d][place]
            for j in range(d):
                draws[..., d] += factors[..., d, j][place] * draws[..., j]
    return chosen, draws


def of_components(values: FloatArray, chosen: NDArray[np.unsignedinteger]) -> FloatArray:
    """Return the values (S, N, D) that the chosen components (S, N) have in (N, K, D)."""
    num_rows, num_components, event_size = values.shape
    place = chosen + np.arange(0, num_rows * num_components, num_components)
    taken: FloatArray = values.reshape(-1, event_size).take(place, axis=0)
    return taken
