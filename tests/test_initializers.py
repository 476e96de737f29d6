"""The start of a mixture layer from its targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tf_keras

from tfp_mdn.extraction import extract_parameters
from tfp_mdn.initializers import start_from_targets
from tfp_mdn.layers import MixtureNormal
from tfp_mdn.models import build_mdn


def test_components_start_spread_over_the_targets() -> None:
    y = np.random.default_rng(0).normal(50.0, 4.0, 1000)
    model = build_mdn(4, input_size=2, loc=50.0, scale=4.0, seed=0)
    assert start_from_targets(model, y) is model
    start = extract_parameters(model, np.zeros((1, 2)))
    np.testing.assert_allclose(start.weights, 0.25, rtol=1e-6)
    quarters = np.sort(y).reshape(4, 250)
    np.testing.assert_allclose(start.means[0, :, 0], quarters.mean(axis=1), rtol=1e-5)
    # 4/K of the standard deviation of y, which here is more than any quarter's own.
    np.testing.assert_allclose(start.variances[0, :, 0], y.var(), rtol=1e-4)


def test_wide_groups_keep_their_own_spread() -> None:
    y = np.concatenate([np.full(50, -1.0), np.full(50, 1.0), [100.0, -100.0]])
    model = start_from_targets(build_mdn(17, input_size=1), y)
    start = extract_parameters(model, [0.0])
    groups = np.array_split(np.sort(y), 17)
    floor = 4 / 17 * y.std()
    expected = [max(group.std(), floor) for group in groups]
    np.testing.assert_allclose(np.sqrt(start.variances[0, :, 0]), expected, rtol=1e-4)


def test_two_dimensions_are_cut_along_their_principal_axis() -> None:
    t = np.linspace(-1, 1, 300)
    y = np.stack([10 * t, -20 * t], axis=1)
    start = extract_parameters(
        start_from_targets(build_mdn(3, event_size=2, input_size=1), y), [0.0]
    ).sorted()
    thirds = y.reshape(3, 100, 2).mean(axis=1)
    np.testing.assert_allclose(start.means[0], thirds, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_full_covariances_start_as_diagonal_ones(size: int) -> None:
    y = np.random.default_rng(1).normal(size=(200, size)) * [1.0, 5.0, 0.1][:size]
    diagonal, full = (
        extract_parameters(
            start_from_targets(
                build_mdn(3, size, covariance_type=kind, input_size=1, loc=1.0, scale=2.0), y
            ),
            [0.0],
        )
        for kind in ("diag", "full")
    )
    np.testing.assert_allclose(full.means, diagonal.means, rtol=1e-5)
    np.testing.assert_allclose(full.variances, diagonal.variances, rtol=1e-5)
    assert full.covariances is not None
    expected = full.variances[..., np.newaxis] * np.eye(size)
    np.testing.assert_allclose(full.covariances, expected, atol=1e-12)


def test_fewer_rows_than_components_and_equal_rows() -> None:
    start = extract_parameters(start_from_targets(build_mdn(5, input_size=1), [1.0, 3.0]), [0.0])
    assert set(start.means.ravel().round(5)) == {1.0, 3.0}
    same = build_mdn(2, input_size=1, min_scale=0.01)
    start = extract_parameters(start_from_targets(same, np.full(9, 7.0)), [0.0])
    np.testing.assert_allclose(start.means, 7.0, rtol=1e-6)
    np.testing.assert_allclose(start.variances, 1e-4, rtol=1e-3)


def test_the_kernel_keeps_a_tenth() -> None:
    model = build_mdn(2, input_size=1, seed=0)
    before = model.layers[-2].get_weights()[0]
    start_from_targets(model, np.arange(9.0))
    np.testing.assert_allclose(model.layers[-2].get_weights()[0], before / 10, rtol=1e-6)


def custom(*layers: Any) -> tf_keras.Model:
    return tf_keras.Sequential([tf_keras.Input((6,)), *layers])


@pytest.mark.parametrize(
    ("make", "y", "error", "message"),
    [
        (lambda: custom(tf_keras.layers.Dense(6)), [1.0], TypeError, "must end in a Dense layer"),
        (lambda: custom(MixtureNormal(2)), [1.0], TypeError, "must end in a Dense layer"),
        (
            lambda: custom(tf_keras.layers.Dense(6), tf_keras.layers.ReLU(), MixtureNormal(2)),
            [1.0],
            TypeError,
            "the layer before the mixture must be Dense, got ReLU",
        ),
        (
            lambda: custom(tf_keras.layers.Dense(6, use_bias=False), MixtureNormal(2)),
            [1.0],
            ValueError,
            "must have a bias, got use_bias=False",
        ),
        (lambda: build_mdn(2), [1.0], ValueError, "no weights yet: give build_mdn an input_size"),
        (lambda: build_mdn(2, input_size=1), [np.nan], ValueError, "y must be finite"),
        (lambda: build_mdn(2, input_size=1), [], ValueError, "y must hold at least one row"),
        (lambda: build_mdn(2, input_size=1), np.ones((3, 2)), ValueError, r"y must have 1 column"),
        (lambda: build_mdn(2, input_size=1), ["a"], TypeError, "y must hold real numbers"),
    ],
)
def test_bad_input(make: Callable[[], Any], y: Any, error: type[Exception], message: str) -> None:
    model = make()
    before = model.get_weights() if model.built else None
    with pytest.raises(error, match=message):
        start_from_targets(model, y)
    if before is not None:
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
