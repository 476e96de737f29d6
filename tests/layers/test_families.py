"""The layers of other components than normal ones: against SciPy, at extremes, and in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from numpy.testing import assert_allclose
from scipy import special, stats

from tfp_mdn.layers import (
    IndependentHead,
    MixtureLogistic,
    MixtureLogNormal,
    MixtureStudentT,
    MixtureTruncatedNormal,
    head_class,
)
from tfp_mdn.layers.choice import COMPONENTS
from tfp_mdn.layers.student_t import MIN_DF

tfpl = tfp.layers

K = 3
LAYERS = [MixtureStudentT, MixtureLogistic, MixtureLogNormal, MixtureTruncatedNormal]
every_layer = pytest.mark.parametrize("layer", LAYERS)
every_shape = pytest.mark.parametrize("event_shape", [(1,), (2,), ()])


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, x)


def parameters(
    layer: type[IndependentHead], event_shape: tuple[int, ...], rows: int = 5
) -> np.ndarray:
    size = int(layer.params_size(K, event_shape))
    return np.random.default_rng(0).normal(size=(rows, size))


def targets(event_shape: tuple[int, ...], rows: int = 5) -> np.ndarray:
    return np.exp(np.random.default_rng(1).normal(size=(rows, *event_shape)))


def components(
    layer: type[IndependentHead], params: np.ndarray, loc: Any, scale: Any, size: int
) -> Any:
    """Return SciPy's distributions of the components, (N, K, D), as the documentation has them."""
    parts = np.split(params[:, K:].reshape(len(params), K, -1), [size, 2 * size], axis=-1)
    location, width = loc + scale * parts[0], scale * softplus(parts[1])
    if layer is MixtureStudentT:
        return stats.t(MIN_DF + softplus(parts[2]), location, width)
    if layer is MixtureLogistic:
        return stats.logistic(location, width)
    if layer is MixtureLogNormal:
        return stats.lognorm(width, scale=np.exp(location))
    return stats.truncnorm(-location / width, np.inf, location, width)


def weights(params: np.ndarray) -> np.ndarray:
    return np.asarray(special.softmax(params[:, :K], axis=1))


@every_layer
@every_shape
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_densities_and_moments_equal_scipy(
    layer: type[IndependentHead], event_shape: tuple[int, ...], scale: float
) -> None:
    loc = 0.0 if layer is MixtureTruncatedNormal else 0.5 * scale
    params, y = parameters(layer, event_shape), targets(event_shape)
    head = layer(K, event_shape, loc=loc, scale=scale, dtype="float64")
    distribution = head(params)
    density = components(layer, params, loc, scale, size=(event_shape or (1,))[0])
    each = density.logpdf(y.reshape(len(y), 1, -1)).sum(axis=-1)
    expected = special.logsumexp(each, b=weights(params), axis=1)
    assert_allclose(distribution.log_prob(y), expected, rtol=1e-9)
    share = weights(params)[..., np.newaxis]
    mean = (share * density.mean()).sum(axis=1)
    spread = density.var() + np.square(density.mean() - mean[:, np.newaxis])
    shape = (len(y), *event_shape)
    assert_allclose(distribution.mean(), mean.reshape(shape), rtol=1e-6)
    assert_allclose(distribution.variance(), (share * spread).sum(axis=1).reshape(shape), rtol=1e-5)


def test_weights_trained_with_stock_tfpl_give_equal_outputs() -> None:
    params, y = tf.constant(parameters(MixtureLogistic, (2,)), tf.float32), targets((2,))
    stock = tfpl.MixtureLogistic(K, (2,))(params)
    ours = MixtureLogistic(K, (2,))(params)
    assert_allclose(ours.log_prob(y.astype("f")), stock.log_prob(y.astype("f")), rtol=2e-5)
    assert MixtureLogistic.params_size(K, (2,)) == tfpl.MixtureLogistic.params_size(K, (2,))


@every_layer
def test_draws_have_the_moments_of_the_density(layer: type[IndependentHead]) -> None:
    params = parameters(layer, (1,), rows=2)
    distribution = layer(K, dtype="float64", scale=0.5)(params)
    drawn = distribution.sample(20_000, seed=1).numpy()
    ranks = np.sort(distribution.cdf(drawn).numpy().reshape(20_000, 2), axis=0)
    # Kolmogorov's distance of uniform ranks, whose 99.9 % point is 1.95 / sqrt(S).
    distance = np.abs(ranks - (np.arange(20_000)[:, np.newaxis] + 0.5) / 20_000).max()
    assert distance < 1.95 / np.sqrt(20_000)


EXTREMES = (0.0, -30.0, 30.0, -200.0, 200.0, 1e10, -1e10, 1e30, -1e30, 3e38, -3e38)


@every_layer
def test_extreme_parameters_never_give_nan(layer: type[IndependentHead]) -> None:
    size = int(layer.params_size(2, (1,)))
    rows = []
    for value in EXTREMES:
        each = np.zeros((size + 1, size), np.float32)
        np.fill_diagonal(each, value)
        each[-1] = value  # all at once
        rows.append(each)
    everywhere = [1e-6, 1e-3, 1.0, 100.0, 1e6]
    params = tf.constant(np.repeat(np.concatenate(rows), len(everywhere), axis=0))
    y = tf.constant(np.tile(everywhere, len(params) // len(everywhere))[:, np.newaxis], tf.float32)
    head = layer(2)

    @tf.function(autograph=False)
    def answers() -> Any:
        with tf.GradientTape() as tape:
            tape.watch(params)
            distribution = head(params)
            log_prob = distribution.log_prob(y)
        slopes = tape.gradient(log_prob, params)
        moments = distribution.mean(), distribution.variance()
        return log_prob, slopes, moments, distribution.sample(2, seed=1)

    log_prob, slopes, (mean, variance), drawn = answers()
    for name, values in {"log_prob": log_prob, "slopes": slopes}.items():
        assert np.isfinite(values).all(), name
    for name, values in {"mean": mean, "variance": variance, "drawn": drawn}.items():
        assert not np.isnan(values).any(), name


def test_degrees_of_freedom_stay_where_there_is_a_variance() -> None:
    params = np.zeros((3, 4), np.float32)
    params[:, 3] = [-1e9, 0.0, 1e9]
    density = MixtureStudentT(1)(params).components_distribution.distribution
    assert_allclose(density.df[:, 0, 0], [MIN_DF, MIN_DF + np.log(2.0), 1e4], rtol=1e-6)
    assert MIN_DF > 2
    assert np.isfinite(MixtureStudentT(1)(params).variance()).all()


@pytest.mark.parametrize(
    ("layer", "inside", "outside"),
    [
        (MixtureLogNormal, [1e-30], [0.0, -1e-30, -1.0]),
        (MixtureTruncatedNormal, [0.0], [-1e-6, -1.0]),
    ],
)
def test_there_is_no_density_outside_of_the_support(
    layer: type[IndependentHead], inside: list[float], outside: list[float]
) -> None:
    params = tf.constant(parameters(layer, (1,), rows=1), tf.float32)
    distribution = layer(K)(params)
    for y in inside:
        assert np.isfinite(distribution.log_prob([[y]])).all()
    for y in outside:
        assert distribution.log_prob([[y]]).numpy() == -np.inf
    assert (distribution.sample(1000, seed=0).numpy() >= 0).all()


@pytest.mark.parametrize("ratio", [-19.0, -6.0, -1.0, 0.0, 5.0, 40.0])
def test_moments_of_a_deep_cut_keep_their_digits(ratio: float) -> None:
    # In float32, as layers compute: raw_scale so that the scale is 1.
    params = np.array([[0.0, ratio, np.log(np.expm1(1.0))]], np.float32)
    density = MixtureTruncatedNormal(1)(params)
    expected = stats.truncnorm(-ratio, np.inf, ratio, 1.0)
    assert_allclose(density.mean(), [[expected.mean()]], rtol=2e-5)
    assert_allclose(density.variance(), [[expected.var()]], rtol=5e-5)
    assert_allclose(density.log_prob([[0.1]]), [expected.logpdf(np.float32(0.1))], rtol=2e-5)


@every_layer
def test_indexing_selects_rows(layer: type[IndependentHead]) -> None:
    params = tf.constant(parameters(layer, (2,)), tf.float32)
    distribution = layer(K, (2,))(params)
    mean = distribution.mean().numpy()
    for rows in (2, slice(1, 3), [0, 2], np.array([True, False, True, False, True])):
        assert_allclose(distribution[rows].mean(), mean[rows], rtol=1e-6)


@every_layer
def test_the_tensor_is_the_mean_and_shapes_are_known(layer: type[IndependentHead]) -> None:
    inputs = tf_keras.Input((4,))
    raw = tf_keras.layers.Dense(layer.params_size(K, (2,)))(inputs)
    model = tf_keras.Model(inputs, layer(K, (2,))(raw))
    assert model.output_shape == (None, 2)
    x = np.zeros((3, 4), np.float32)
    assert_allclose(model.predict(x, verbose=0), model(x).mean(), rtol=1e-6)


@every_layer
def test_half_precision_networks_give_densities_in_float32(layer: type[IndependentHead]) -> None:
    distribution = layer(K)(tf.zeros((2, layer.params_size(K, (1,))), tf.float16))
    assert distribution.dtype == tf.float32


@every_layer
def test_the_configuration_is_plain_and_complete(layer: type[IndependentHead]) -> None:
    loc = 0.0 if layer is MixtureTruncatedNormal else 2.0
    head = layer(4, 2, min_scale=0.01, loc=loc, scale=[1.0, 3.0], name="head", dtype="float64")
    config = head.get_config()
    assert config == {
        **{"name": "head", "trainable": True, "dtype": "float64", "num_components": 4},
        **{"event_shape": [2], "min_scale": 0.01, "loc": loc, "scale": [1.0, 3.0]},
        "convert_to_tensor_fn": "mean",
    }
    assert layer.from_config(config).get_config() == config


@pytest.mark.parametrize(
    ("layer", "given", "error", "message"),
    [
        (MixtureStudentT, {"num_components": 0}, ValueError, "num_components must be at least 1"),
        (MixtureStudentT, {"min_scale": 0.0}, ValueError, "min_scale must be finite and greater"),
        (
            MixtureLogistic,
            {"event_shape": (2, 2)},
            ValueError,
            r"event_shape must be \(\) or \(D,\)",
        ),
        (MixtureLogNormal, {"scale": -1.0}, ValueError, "scale must be greater than 0"),
        (MixtureLogNormal, {"loc": np.inf}, ValueError, "loc must be finite"),
        (MixtureTruncatedNormal, {"loc": 1.0}, ValueError, "loc must be 0 for truncated normal"),
    ],
)
def test_bad_arguments(
    layer: type[IndependentHead], given: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        layer(**{"num_components": 2, "event_shape": (1,), **given})


@every_layer
def test_inputs_of_another_size_are_refused(layer: type[IndependentHead]) -> None:
    with pytest.raises(ValueError, match=f"{layer.__name__}.* needs"):
        layer(K)(tf.zeros((2, 5)))


def test_names_of_components() -> None:
    assert [head_class(component=name).component for name in COMPONENTS] == list(COMPONENTS)
    with pytest.raises(ValueError, match="component must be 'normal' or 'student_t'"):
        head_class(component="cauchy")
    with pytest.raises(ValueError, match="component must be .* got None"):
        head_class(component=None)
    with pytest.raises(ValueError, match="covariance_type='full' needs component='normal'"):
        head_class("full", "student_t")


@pytest.mark.slow
def test_reload_in_safe_mode_in_a_fresh_process(
    run_python: Callable[..., str], tmp_path: Path
) -> None:
    x = np.linspace(-1, 1, 14, dtype=np.float32).reshape(7, 2)
    for layer in LAYERS:
        inputs = tf_keras.Input((2,))
        raw = tf_keras.layers.Dense(layer.params_size(K, (2,)))(inputs)
        model = tf_keras.Model(inputs, layer(K, (2,), scale=[1.0, 2.0])(raw))
        model.save(tmp_path / f"{layer.__name__}.keras")
        y = np.ones((7, 2), np.float32)
        np.save(tmp_path / f"{layer.__name__}.npy", model(x).log_prob(y))
    run_python(
        """
        import sys, pathlib
        import numpy as np, tf_keras
        import tfp_mdn.layers
        x = np.linspace(-1, 1, 14, dtype=np.float32).reshape(7, 2)
        paths = sorted(pathlib.Path(sys.argv[1]).glob("*.keras"))
        assert len(paths) == 4
        for path in paths:
            model = tf_keras.models.load_model(path, safe_mode=True)
            values = model(x).log_prob(np.ones((7, 2), np.float32))
            np.testing.assert_array_equal(values, np.load(path.with_suffix(".npy")))
        """,
        tmp_path,
    )
