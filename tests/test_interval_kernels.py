"""Log-probabilities of intervals in float32: against SciPy in float64, and slopes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose
from scipy import stats
from scipy.special import log_ndtr

from tfp_mdn._interval_kernels import log_interval

Z, HALF = (
    grid.ravel().astype(np.float32)
    for grid in np.meshgrid(
        [0.0, 1e-3, -0.1, 0.5, -1.0, 2.0, 5.0, -10.0, 50.0, 300.0, 1e4, -1e5],
        [1e-6, 1e-4, 0.004, 0.03, 0.08, 0.2, 1.0, 3.0, 10.0, 300.0, 1e4],
    )
)


def references() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log P and its slopes in z and in half, by complements in the lower tail."""
    z, half = np.abs(Z.astype(float)), HALF.astype(float)
    near, far = log_ndtr(half - z), log_ndtr(-half - z)
    log_prob = near + np.log(-np.expm1(np.minimum(far - near, -1e-300)))
    edges = [np.exp(stats.norm.logpdf(z + side * half) - log_prob) for side in (-1, 1)]
    return log_prob, np.sign(Z) * (edges[1] - edges[0]), edges[0] + edges[1]


def values_and_slopes(*, jit_compile: bool) -> list[np.ndarray]:
    @tf.function(jit_compile=jit_compile)
    def run(y: tf.Tensor, half: tf.Tensor) -> tuple[tf.Tensor, ...]:
        with tf.GradientTape() as tape:
            tape.watch([y, half])
            value = log_interval(y, tf.zeros_like(y), tf.ones_like(y), half)
        return value, *tape.gradient(value, [y, half])

    return [part.numpy() for part in run(tf.constant(Z), tf.constant(HALF))]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_values_and_slopes_agree_with_scipy(jit_compile: bool) -> None:  # noqa: FBT001
    found = values_and_slopes(jit_compile=jit_compile)
    expected = references()
    # Where the difference of SciPy's logarithms keeps too few digits, the density is the reference.
    fine = (HALF * (1 + np.abs(Z)) > 1e-3) & (np.abs(Z) < 1e3)
    assert fine.sum() > 60
    assert all(np.isfinite(part).all() for part in found)
    for part, reference in zip(found, expected, strict=True):
        assert_allclose(part[fine], reference[fine], rtol=2e-4, atol=1e-6)
    tiny = HALF * (1 + np.abs(Z)) <= 1e-3
    assert tiny.sum() > 10
    assert_allclose(
        found[0][tiny], stats.norm.logpdf(Z[tiny]) + np.log(2.0 * HALF[tiny]), rtol=1e-6
    )
    assert_allclose(found[1][tiny], -Z[tiny], rtol=1e-6, atol=1e-9)
    assert_allclose(found[2][tiny], 1.0 / HALF[tiny], rtol=1e-5)


def test_intervals_that_touch_make_up_the_whole() -> None:
    points = np.arange(-60.0, 61.0, 0.5).astype(np.float32)
    parts = log_interval(points, 0.3, 0.7, 0.25)
    assert np.exp(parts).sum() == pytest.approx(1.0, abs=1e-6)


def test_far_out_the_slopes_pull_mean_and_scale_towards_the_interval() -> None:
    mean, scale = tf.constant(0.0), tf.constant(1e-3)
    with tf.GradientTape() as tape:
        tape.watch([mean, scale])
        value = log_interval(tf.constant(100.0), mean, scale, tf.constant(0.5))
    by_mean, by_scale = tape.gradient(value, [mean, scale])
    # As for the density at the nearer end: (y - half) / scale^2, and its square over the scale.
    assert by_mean.numpy() == pytest.approx(99.5e6, rel=1e-3)
    assert by_scale.numpy() == pytest.approx(99.5**2 * 1e9, rel=1e-3)
