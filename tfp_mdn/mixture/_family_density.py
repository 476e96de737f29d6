"""Kernels in log space for the density and distribution function of mixtures of any family.

Shapes: y (N, D) or (M, N, D), weights (N, K), and the family's parameters (N, K, D) each.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tfp_mdn.mixture.density import log_sum_exp, row_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tfp_mdn._validation import FloatArray
    from tfp_mdn.mixture.families import Family, Shape

__all__ = [
    "cdf",
    "censored_log_prob",
    "log_cdf",
    "log_prob",
    "log_prob_of_seen",
    "responsibilities",
]

# Below this half width, in units of the density's own slopes, the difference of two values of the
# distribution function loses digits, and two terms of its Taylor series have them all.
NARROW = 1e-3


def log_prob(y: FloatArray, family: Family, weights: FloatArray, shape: Shape) -> FloatArray:
    """Return log p(y) = log Σₖ wₖ Π_d f(y_d), (..., N), in nats.

    Args:
        y: Targets (..., N, D).
        family: The kind of components.
        weights: Component weights (N, K).
        shape: Its parameters (N, K, D) each.
    """
    result = np.empty(y.shape[:-1])
    for rows in _blocks(y, weights):
        terms = _log_joint(y[..., rows, :], family, weights[rows], _rows(shape, rows))
        result[..., rows] = log_sum_exp(terms)
    return result


def log_prob_of_seen(
    y: FloatArray, family: Family, weights: FloatArray, shape: Shape
) -> FloatArray:
    """Return the log-density of the dimensions of each target that are not NaN, (..., N), in nats.

    Args:
        y: Targets (..., N, D), NaN where missing.
        family: The kind of components.
        weights: Component weights (N, K).
        shape: Its parameters (N, K, D) each.
    """
    result = np.empty(y.shape[:-1])
    for rows in _blocks(y, weights):
        terms = _log_joint(y[..., rows, :], family, weights[rows], _rows(shape, rows))
        result[..., rows] = log_sum_exp(terms)
    # The weights sum to 1 but for rounding, and the density of nothing is 1.
    result[np.isnan(y).all(axis=-1)] = 0.0
    return result


def responsibilities(
    y: FloatArray, family: Family, weights: FloatArray, shape: Shape
) -> FloatArray:
    """Return p(component k | y), (..., N, K); NaN where y has no density under any component.

    Args:
        y: Targets (..., N, D).
        family: The kind of components.
        weights: Component weights (N, K).
        shape: Its parameters (N, K, D) each.
    """
    result = np.empty((*y.shape[:-1], weights.shape[-1]))
    for rows in _blocks(y, weights):
        terms = _log_joint(y[..., rows, :], family, weights[rows], _rows(shape, rows))
        peak = terms.max(axis=-1, keepdims=True)
        terms -= np.where(np.isneginf(peak), np.nan, peak)
        np.exp(terms, out=terms)
        np.divide(terms, terms.sum(axis=-1, keepdims=True), out=result[..., rows, :])
    return result


def cdf(
    y: FloatArray, family: Family, weights: FloatArray, shape: Shape, *, upper: bool = False
) -> FloatArray:
    """Return P(Y ≤ y), or P(Y > y), for D = 1, (..., N).

    Args:
        y: Targets (..., N, 1), infinite values allowed.
        family: The kind of components.
        weights: Component weights (N, K).
        shape: Its parameters (N, K, 1) each.
        upper: Whether the upper tail is asked for.
    """
    result = np.empty(y.shape[:-1])
    for rows in _blocks(y, weights):
        terms = family.tails(y[..., rows, :], *_on_line(shape, rows))[int(upper)]
        terms *= weights[rows]
        terms.sum(axis=-1, out=result[..., rows])
    # The weights sum to 1 but for rounding, and a probability must not exceed it.
    return np.minimum(result, 1.0, out=result)


def log_cdf(
    y: FloatArray, family: Family, weights: FloatArray, shape: Shape, *, upper: bool = False
) -> FloatArray:
    """Return log P(Y ≤ y), or log P(Y > y), for D = 1, (..., N), in nats.

    Args:
        y: Targets (..., N, 1), infinite values allowed.
        family: The kind of components.
        weights: Component weights (N, K).
        shape: Its parameters (N, K, 1) each.
        upper: Whether the upper tail is asked for.
    """
    result = np.empty(y.shape[:-1])
    for rows in _blocks(y, weights):
        logs = family.log_tails(y[..., rows, :], *_on_line(shape, rows))
        own, other = logs[::-1] if upper else logs
        with np.errstate(divide="ignore"):
            # Near 1 the complement has the digits.
            rest = np.minimum((np.exp(other) * weights[rows]).sum(axis=-1), 1.0)
            small = log_sum_exp(own + np.log(weights[rows]))
            result[..., rows] = np.where(rest < 0.5, np.log1p(-rest), np.minimum(small, 0.0))
    return result


def censored_log_prob(
    y: FloatArray, half_width: FloatArray, family: Family, weights: FloatArray, shape: Shape
) -> FloatArray:
    """Return log P(y − h < Y ≤ y + h) for D = 1, (..., N), in nats.

    Args:
        y: Centres of the intervals (..., N, 1).
        half_width: Half widths h (N,), positive.
        family: The kind of components.
        weights: Component weights (N, K).
        shape: Its parameters (N, K, 1) each.
    """
    result = np.empty(y.shape[:-1])
    for rows in _blocks(y, weights):
        parameters = _on_line(shape, rows)
        centre, half = y[..., rows, :], half_width[rows, np.newaxis]
        with np.errstate(all="ignore"):
            low, beyond_low = family.log_tails(centre - half, *parameters)
            high, beyond_high = family.log_tails(centre + half, *parameters)
            # The difference of the smaller tails.
            most = np.where(high < beyond_low, high, beyond_low)
            least = np.where(high < beyond_low, low, beyond_high)
            terms = most + np.where(least < most, np.log(-np.expm1(least - most)), -np.inf)
            slope, bend = family.slopes(centre, *parameters)
            mode = family.mode(*parameters)
            top = np.abs(family.slopes(np.maximum(mode, family.lower_end), *parameters)[1])
            narrow = half * np.abs(slope) < NARROW
            narrow &= np.square(half) * np.maximum(np.abs(bend), top) < NARROW**2
            narrow &= centre - half > family.lower_end
            series = family.log_density(centre, *parameters) + np.log(2.0 * half)
            series += np.log1p(bend * np.square(half) / 6.0)
            terms = np.where(narrow, series, terms) + np.log(weights[rows])
        result[..., rows] = np.minimum(log_sum_exp(terms), 0.0)
    return result


def _log_joint(y: FloatArray, family: Family, weights: FloatArray, shape: Shape) -> FloatArray:
    """Return log wₖ + Σ_d log f(y_d), (..., N, K), over the dimensions that are not NaN."""
    with np.errstate(divide="ignore"):
        terms = np.broadcast_to(np.log(weights), (*y.shape[:-1], weights.shape[-1])).copy()
    for d in range(y.shape[-1]):
        values = y[..., np.newaxis, d]
        log_density = family.log_density(values, *(part[..., d] for part in shape))
        terms += np.where(np.isnan(values), 0.0, log_density)
    return terms


def _on_line(shape: Shape, rows: slice) -> Shape:
    """Return parameters (rows, K) of the only dimension."""
    return tuple(part[rows, :, 0] for part in shape)


def _rows(shape: Shape, rows: slice) -> Shape:
    """Return parameters of some rows."""
    return tuple(part[rows] for part in shape)


def _blocks(y: FloatArray, weights: FloatArray) -> Iterator[slice]:
    """Yield row slices for which the temporaries (..., rows, K) have a bounded size."""
    num_rows, num_components = weights.shape
    return row_blocks(num_rows, math.prod(y.shape[:-2]) * num_components)
