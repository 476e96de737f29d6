"""Mixtures along each input of a model, for a page that cannot compute the model itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.report._network import as_text

__all__ = ["slices_of"]

# Of all slices together: bounds the size of a page of many inputs and components.
_MOST_NUMBERS = 750_000
_FEWEST_POINTS, _MOST_POINTS = 21, 101


def slices_of(
    predict: Callable[[FloatArray], MixtureParameters],
    ranges: list[dict[str, Any]],
    loc: FloatArray,
    scale: FloatArray,
) -> dict[str, Any]:
    """Return the mixtures at steps of each of F inputs while the others are at their medians.

    Args:
        predict: Returns the mixture of every row of inputs (N, F).
        ranges: `low`, `high` and `median` of each input.
        loc: Location of each dimension of the target, (D,).
        scale: Scale of each, (D,); means and standard deviations are written in its units.
    """
    medians = np.array([column["median"] for column in ranges])
    one = predict(medians[np.newaxis])
    per_point = one.num_components * (1 + 2 * one.event_size)
    affordable = _MOST_NUMBERS // (per_point * len(ranges))
    points = min(max(affordable, _FEWEST_POINTS), _MOST_POINTS)
    inputs = []
    for feature, column in enumerate(ranges):
        grid = _round_values(column["low"], column["high"], points)
        rows = np.tile(medians, (points, 1))
        rows[:, feature] = grid
        p = predict(rows)
        inputs.append(
            {
                "grid": grid,
                "weights": as_text(p.weights),
                "means": as_text((p.means - loc) / scale),
                "stddevs": as_text(np.sqrt(p.variances) / scale),
            }
        )
    return {"inputs": inputs, "components": one.num_components, "dimensions": one.event_size}


def _round_values(low: float, high: float, count: int) -> list[float]:
    """Return values at nearly equal steps, rounded to a thousandth of their range."""
    digit = Decimal((0, (1,), math.floor(math.log10(high - low)) - 3))
    return [float(Decimal(value).quantize(digit)) for value in np.linspace(low, high, count)]
