"""The settings of a fit that follow from its rows: how many, and how far they scatter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tfp_mdn._neighbours import Scatter

__all__ = ["Defaults", "defaults_for"]

# Rows from which a network of three times 64 units wins over one of three times 32.
_MANY_ROWS = 2_000

# Rows beyond which noise does more harm than good.
_ENOUGH_ROWS = 4_000

# Rows that an interval needs: precise targets hardly any, noisy ones for a mean that is known.
_FEWEST_ROWS, _NOISY_ROWS = 8, 130

# Intervals of all features together, which the first layer multiplies at every step.
_MOST_INTERVALS = 1_024


@dataclass(frozen=True)
class Defaults:
    """What `MDNRegressor` takes for arguments that are None; it says what each is for."""

    hidden_units: tuple[int, ...]
    num_intervals: int
    weight_decay: float
    noise: float
    batch_size: int
    num_steps: int


def defaults_for(num_rows: int, num_features: int, scatter: Scatter) -> Defaults:
    """Return the defaults for so many rows and features, and targets that scatter so far."""
    rows_an_interval = max(_FEWEST_ROWS, _NOISY_ROWS * scatter.noisiness**2)
    num_intervals = int(np.clip(num_rows / rows_an_interval, 8, 64))
    return Defaults(
        hidden_units=(32, 32, 32) if num_rows < _MANY_ROWS else (64, 64, 64),
        num_intervals=min(num_intervals, max(1, _MOST_INTERVALS // num_features)),
        weight_decay=min(0.1 + 150.0 * scatter.noisiness / num_rows, 1.0),
        # A quarter of what the targets scatter by, where that is noise, over all features together;
        # less where rows are so many that they need no help.
        noise=0.25
        * scatter.noisiness
        * math.sqrt(scatter.unexplained / num_features)
        * min(1.0, _ENOUGH_ROWS / num_rows),
        batch_size=256,
        num_steps=int(np.clip(0.8 * num_rows, 2000, 8000)),
    )
