"""Mixtures that the tests of the pictures share, and a clean pyplot for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy import stats

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture import MixtureParameters

NUM_ROWS = 120
X = np.linspace(-2.0, 3.0, NUM_ROWS)


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def make_mixture(num_rows: int = NUM_ROWS) -> MixtureParameters:
    """Three components of which the first loses its weight along the rows."""
    place = np.linspace(0.0, 1.0, num_rows)[:, np.newaxis]
    weights = np.concatenate([0.8 * (1.0 - place), 0.1 + 0.6 * place, 0.1 + 0.2 * place], axis=1)
    means = np.concatenate([np.sin(3.0 * place), 3.0 - place, -3.0 + 0.0 * place], axis=1)
    variances = np.concatenate([0.1 + place, 0.2 + 0.0 * place, 0.5 - 0.3 * place], axis=1)
    return MixtureParameters(weights, means, variances)


def make_plane(*, full: bool = True, event_size: int = 2) -> MixtureParameters:
    """One row of two components in several dimensions, far from symmetric."""
    rng = np.random.default_rng(1)
    means = np.stack([np.zeros(event_size), np.linspace(3.0, -2.0, event_size)])[np.newaxis]
    factors = rng.normal(size=(1, 2, event_size, event_size))
    covariances = factors @ np.swapaxes(factors, -1, -2) + 0.3 * np.eye(event_size)
    variances = np.diagonal(covariances, axis1=-2, axis2=-1)
    return mix([[0.3, 0.7]], means, variances, covariances if full else None)


def density_of(p: MixtureParameters, row: int, y: FloatArray) -> FloatArray:
    """Return the density of one row (D = 1) by SciPy."""
    each = stats.norm.pdf(y[:, np.newaxis], p.means[row, :, 0], np.sqrt(p.variances[row, :, 0]))
    return np.asarray(each @ p.weights[row], np.float64)


def cdf_of(p: MixtureParameters, y: FloatArray) -> FloatArray:
    """Return P(Y ≤ y) of each row (D = 1) by SciPy."""
    each = stats.norm.cdf(y[:, np.newaxis], p.means[..., 0], np.sqrt(p.variances[..., 0]))
    return np.asarray((each * p.weights).sum(axis=1), np.float64)


def mix(
    weights: ArrayLike, means: ArrayLike, variances: ArrayLike, covariances: ArrayLike | None = None
) -> MixtureParameters:
    full = None if covariances is None else np.asarray(covariances, np.float64)
    w, m, v = (np.asarray(array, np.float64) for array in (weights, means, variances))
    return MixtureParameters(w, m, v, full)


def drawn(line: Any) -> FloatArray:
    """Return x and y of a line, (2, N)."""
    return np.asarray(line.get_data(), np.float64)


P = make_mixture()
Y = P.sample(1, rng=5)[0, :, 0]
