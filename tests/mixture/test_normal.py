from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special, stats

from tfp_mdn.mixture._normal import mean_size, normal_cdf


def cdf_and_kernel(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kernel, cdf, *spare = np.empty((5, *z.shape))
    normal_cdf(z.copy(), kernel, cdf, spare)
    return cdf, kernel


def size(gap: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return mean_size(gap, scale, list(np.empty((4, *gap.shape))))


@pytest.mark.parametrize(
    ("low", "high", "tolerance"),
    [(-3.0, 9.0, 5e-15), (-9.0, -3.0, 5e-14), (-37.0, -9.0, 1e-11), (9.0, 60.0, 0.0)],
)
def test_the_distribution_function_agrees_with_scipy(
    low: float, high: float, tolerance: float
) -> None:
    # Not a multiple of the table's step, so that all distances to its places occur.
    z = np.linspace(low, high, 100_003)
    cdf, kernel = cdf_and_kernel(z)
    assert_allclose(cdf, special.ndtr(z), rtol=tolerance)
    assert_allclose(kernel, np.exp(-0.5 * z**2), rtol=1e-15)


def test_the_distribution_function_at_the_ends_of_the_line() -> None:
    z = np.array([-np.inf, -1e300, -39.0, -0.0, 39.0, 1e300, np.inf])
    cdf, kernel = cdf_and_kernel(z)
    assert_array_equal(cdf, [0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0])
    assert_array_equal(kernel, [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])


def test_the_mean_size_agrees_with_the_folded_normal_distribution() -> None:
    rng = np.random.default_rng(0)
    ratio = np.linspace(0.0, 12.0, 10_007)
    scale = 10.0 ** rng.uniform(-9.0, 9.0, len(ratio))
    expected = stats.foldnorm.mean(ratio, scale=scale)
    assert_allclose(size(ratio * scale, scale), expected, rtol=2e-15)


def test_the_mean_size_of_a_point() -> None:
    gap = np.array([0.0, 2.0, 1e308, 1e-300, 0.0])
    scale = np.array([0.0, 0.0, 1e-300, 1e-320, 1.0])
    expected = [0.0, 2.0, 1e308, 1e-300, np.sqrt(2.0 / np.pi)]
    assert_allclose(size(gap, scale), expected, rtol=1e-15)
