"""Small real data sets that come with the package."""

from __future__ import annotations

from importlib import resources

import numpy as np

from tfp_mdn._validation import FloatArray

__all__ = ["load_faithful"]


def load_faithful() -> tuple[FloatArray, FloatArray]:
    """Load the Old Faithful geyser data: how long an eruption lasts, given the wait before it.

    Short and long eruptions form two groups, and for waits near 67 minutes both occur, so the
    conditional density has two modes there.

    Returns:
        Waiting times between eruptions in minutes, (272, 1), and lengths of the eruptions in
        minutes, (272,), both float64.

    References:
        Härdle, W. (1991). Smoothing Techniques with Implementation in S. Springer.
        https://doi.org/10.1007/978-1-4612-4432-5

        Azzalini, A. and Bowman, A. W. (1990). A look at some data on the Old Faithful geyser.
        Applied Statistics 39, 357-365. https://doi.org/10.2307/2347385

    Example:
        >>> X, y = load_faithful()
        >>> X.shape, y.shape
        ((272, 1), (272,))
        >>> float(X[0, 0]), float(y[0])
        (79.0, 3.6)
    """
    source = resources.files("tfp_mdn") / "data" / "faithful.csv"
    with source.open(encoding="utf-8") as lines:
        table = np.loadtxt(lines, delimiter=",", skiprows=1, dtype=np.float64)
    return np.ascontiguousarray(table[:, :1]), np.ascontiguousarray(table[:, 1])
