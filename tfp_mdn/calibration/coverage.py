"""How often targets fall where they should, by nominal level, with exact binomial bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
from scipy import stats

from tfp_mdn._validation import FloatArray, as_finite_array, as_real, as_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Coverage", "as_inner_levels", "share_below"]


@final
@dataclass(frozen=True)
class Coverage:
    """Observed shares beside the nominal levels, and the band in which chance alone puts them.

    Attributes:
        levels: Nominal levels, between 0 and 1.
        observed: Share of the targets at each level.
        lower: Lower end of each band.
        upper: Upper end.
    """

    levels: tuple[float, ...]
    observed: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]


def share_below(values: ArrayLike, levels: ArrayLike, *, confidence: float = 0.95) -> Coverage:
    """Return the share of values that are at most each level, for values that should be uniform.

    What is counted depends on the values u, the PIT values, or h, the density levels:

    - `share_below(abs(2 * u - 1), c)`: coverage of the central intervals of probability c;
    - `share_below(h, c)`: coverage of the highest-density regions of probability c;
    - `share_below(u, q)`: share of the targets below their q-quantiles.

    Args:
        values: Numbers (N,).
        levels: A level or levels (L,), strictly between 0 and 1.
        confidence: Probability of each band. Bands are quantiles of the binomial distribution of N
            and the level, so each holds the share of calibrated densities at least that often.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a level or `confidence` is not between 0 and 1, or a shape is another.

    References:
        T. Gneiting, F. Balabdaoui, A. E. Raftery (2007), Probabilistic forecasts, calibration and
        sharpness, Journal of the Royal Statistical Society B 69, 243-268,
        https://doi.org/10.1111/j.1467-9868.2007.00587.x.

    Example:
        >>> table = share_below(np.linspace(0.005, 0.995, 100), [0.5, 0.9])
        >>> table.observed, table.lower, table.upper
        ((0.5, 0.9), (0.4, 0.84), (0.6, 0.95))
    """
    ordered = np.sort(as_rows("values", values, num_columns=1)[:, 0])
    nominal = as_inner_levels("levels", levels)
    tail = 0.5 * (1.0 - as_real("confidence", confidence, above=0.0, below=1.0))
    counts = np.searchsorted(ordered, nominal, side="right")
    band = stats.binom.ppf([[tail], [1.0 - tail]], len(ordered), nominal)
    return Coverage(
        *(tuple(array.tolist()) for array in (nominal, *(np.stack([counts, *band]) / len(ordered))))
    )


def as_inner_levels(name: str, levels: ArrayLike) -> FloatArray:
    """Return levels (L,) strictly between 0 and 1.

    Raises:
        TypeError: If they are not real numbers.
        ValueError: If there is none, one is out of bounds or the shape is another.
    """
    array = np.atleast_1d(as_finite_array(name, levels))
    if array.ndim != 1 or not array.size or ((array <= 0.0) | (array >= 1.0)).any():
        msg = f"{name} must hold levels strictly between 0 and 1, got {levels!r}."
        if (array >= 1.0).any():
            msg += " Divide percentages by 100."
        raise ValueError(msg)
    return array
