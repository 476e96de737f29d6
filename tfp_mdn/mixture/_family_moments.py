"""Moments of mixtures of any family, and which of them there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfp_mdn.mixture import moments

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray
    from tfp_mdn.mixture.families import Family, Shape

__all__ = ["checked", "kurtosis", "skewness"]

NAMES = {1: "mean", 2: "variance", 3: "skewness", 4: "kurtosis"}


def checked(
    method: str, order: int, family: Family, weights: FloatArray, shape: Shape
) -> tuple[FloatArray, FloatArray]:
    """Return means and variances (N, K, D) of the components, if the moment asked for is finite.

    Args:
        method: Name of the method that needs them, for the message.
        order: Order of the highest moment that is needed.
        family: The kind of components.
        weights: Component weights (N, K).
        shape: Its parameters (N, K, D) each.

    Raises:
        ValueError: If a component of positive weight has no finite moment of this order.
    """
    means, variances = family.moments(*shape)[:2]
    empty = weights[..., np.newaxis] == 0.0
    if family.has_df:
        few = ~empty & (shape[2] <= order)
        if few.any():
            place = tuple(int(i) for i in np.argwhere(few)[0])
            msg = (
                f"{method} needs components with a finite {NAMES[order]}: df must be greater than "
                f"{order}, got {shape[2][place]:g} at index {place}. "
                "Use median, quantile or interval, which always exist."
            )
            raise ValueError(msg)
    used = means if order == 1 else variances
    if not np.isfinite(np.where(empty, 0.0, used)).all():
        msg = (
            f"{method} would overflow: a component's {NAMES[min(order, 2)]} is beyond 1e308. "
            "Use median, quantile or interval, or rescale the mixture with transform."
        )
        raise ValueError(msg)
    # Components of no weight have neither place nor spread.
    return np.where(empty, 0.0, means), np.where(empty, 1.0, variances)


def skewness(family: Family, weights: FloatArray, shape: Shape) -> FloatArray:
    """Return Σₖ wₖ (δₖ³ + 3 δₖ sₖ² + γₖ sₖ³) for D = 1, (N,), with the components' skewness γₖ.

    δₖ and sₖ are their deviations and scales in units of the mixture's standard deviation.

    Args:
        family: The kind of components.
        weights: Component weights (N, K).
        shape: Its parameters (N, K, 1) each.
    """
    parts = checked("skewness", 3, family, weights, shape)
    own = np.where(weights == 0.0, 0.0, family.moments(*shape)[2][..., 0])
    _, spread = moments.standardised(weights, *parts)
    result: FloatArray = moments.skewness(weights, *parts)
    result += np.einsum("nk,nk->n", weights, own * spread**1.5)
    return result


def kurtosis(family: Family, weights: FloatArray, shape: Shape) -> FloatArray:
    """Return the excess kurtosis for D = 1, (N,), from that of the components and their skewness.

    To that of normal components it adds Σₖ wₖ (4 δₖ γₖ sₖ³ + κₖ sₖ⁴).

    Args:
        family: The kind of components.
        weights: Component weights (N, K).
        shape: Its parameters (N, K, 1) each.
    """
    parts = checked("kurtosis", 4, family, weights, shape)
    empty = weights == 0.0
    skew, excess = (np.where(empty, 0.0, part[..., 0]) for part in family.moments(*shape)[2:])
    deviation, spread = moments.standardised(weights, *parts)
    more = 4.0 * deviation * skew * spread**1.5 + excess * np.square(spread)
    result: FloatArray = moments.kurtosis(weights, *parts)
    result += np.einsum("nk,nk->n", weights, more)
    return result
