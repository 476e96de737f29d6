"""The layer of full covariances against SciPy and stock TFP, at its floor, and in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special, stats

from tfp_mdn.layers import MixtureMultivariateNormal, MixtureNormal, head_class

tfd, tfpl = tfp.distributions, tfp.layers

K = 3
every_size = pytest.mark.parametrize("size", [1, 2, 3, 5])


def parameters(size: int, num_rows: int = 5) -> np.ndarray:
    width = MixtureMultivariateNormal.params_size(K, (size,))
    return np.random.default_rng(size).normal(size=(num_rows, width))


def targets(size: int, num_rows: int = 5) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(num_rows, size))


# Where the numbers of a component go, as the documentation of the layer writes it down.
PLACES = {
    1: [(0, 0)],
    2: [(1, 1), (1, 0), (0, 0)],
    3: [(2, 2), (2, 1), (2, 0), (0, 0), (1, 1), (1, 0)],
}


def factors(params: np.ndarray, size: int) -> np.ndarray:
    """Return the factors (N, K, D, D) one entry at a time."""
    raw = params[:, K:].reshape(len(params), K, -1)[..., size:]
    result = np.zeros((*raw.shape[:2], size, size))
    for place, (i, j) in enumerate(PLACES[size]):
        result[..., i, j] = np.log1p(np.exp(raw[..., place])) if i == j else raw[..., place]
    return result


def reference_log_prob(params: np.ndarray, y: np.ndarray) -> np.ndarray:
    size = y.shape[1]
    means = params[:, K:].reshape(len(params), K, -1)[..., :size]
    lower = factors(params, size)
    each = [
        [
            stats.multivariate_normal(means[n, k], lower[n, k] @ lower[n, k].T).logpdf(y[n])
            for k in range(K)
        ]
        for n in range(len(y))
    ]
    return special.logsumexp(special.log_softmax(params[:, :K], axis=1) + each, axis=1)


@pytest.mark.parametrize("size", PLACES)
def test_log_prob_equals_scipy(size: int) -> None:
    params, y = parameters(size), targets(size)
    distribution = MixtureMultivariateNormal(K, size, dtype="float64")(params)
    assert isinstance(distribution, tfd.Distribution)
    assert (distribution.batch_shape, distribution.event_shape) == ((5,), (size,))
    expected = reference_log_prob(params, y)
    assert_allclose(distribution.log_prob(y), expected, rtol=1e-10)
    assert_allclose(distribution.prob(y), np.exp(expected), rtol=1e-10)
    single = MixtureMultivariateNormal(K, size)(params.astype(np.float32))
    assert_allclose(single.log_prob(y.astype(np.float32)), expected, rtol=1e-3, atol=1e-4)


def test_the_factor_stands_on_the_left() -> None:
    # L L^T and L^T L have one determinant, so only a factor that is not symmetric tells them apart.
    lower = np.array([[1.0, 0.0], [3.0, 0.5]])
    raw = np.log(np.expm1([0.5, 3.0, 1.0]))
    raw[1] = 3.0
    params = np.concatenate([[0.0], [10.0, 20.0], raw])[np.newaxis]
    distribution = MixtureMultivariateNormal(1, 2, dtype="float64")(params)
    expected = stats.multivariate_normal([10.0, 20.0], lower @ lower.T)
    wrong = stats.multivariate_normal([10.0, 20.0], lower.T @ lower)
    y = np.array([[11.0, 23.0]])
    assert_allclose(distribution.log_prob(y), expected.logpdf(y[0]), rtol=1e-12)
    assert abs(expected.logpdf(y[0]) - wrong.logpdf(y[0])) > 1.0
    assert_allclose(distribution.covariance()[0], [[1.0, 3.0], [3.0, 9.25]], rtol=1e-12)
    draws = distribution.sample(20_000, seed=1).numpy()[:, 0]
    assert_allclose(np.cov(draws.T), [[1.0, 3.0], [3.0, 9.25]], rtol=0.05)


def stock_mixture(params: Any, size: int) -> Any:
    """Return the mixture that the layers of TFP make of parameters."""
    return tfpl.MixtureSameFamily.new(
        params, K, lambda component: tfpl.MultivariateNormalTriL.new(component, size)
    )


@every_size
def test_weights_trained_with_stock_tfpl_give_equal_outputs(size: int) -> None:
    component = tfpl.MultivariateNormalTriL.params_size(size)
    width = tfpl.MixtureSameFamily.params_size(K, component)
    assert MixtureMultivariateNormal.params_size(K, (size,)) == width
    assert width == K * (1 + size + size * (size + 1) // 2)
    params, y = parameters(size), targets(size)
    stock = stock_mixture(params, size)
    ours = MixtureMultivariateNormal(K, size, dtype="float64")(params)
    # TFP adds 1e-5 to the diagonals.
    assert_allclose(ours.log_prob(y), stock.log_prob(y), rtol=3e-4)
    theirs = stock.components_distribution.covariance()
    assert_allclose(ours.components_distribution.covariance(), theirs, atol=1e-4)
    assert_allclose(ours.mean(), stock.mean(), rtol=1e-12)


def test_without_correlation_it_is_the_diagonal_layer() -> None:
    diagonal = np.random.default_rng(0).normal(size=(4, K * 5))
    components = diagonal[:, K:].reshape(4, K, 4)
    full = np.zeros((4, K, 5))
    full[..., :2] = components[..., :2]
    full[..., 4], full[..., 2] = components[..., 2], components[..., 3]
    both = np.concatenate([diagonal[:, :K], full.reshape(4, -1)], axis=1)
    options: dict[str, Any] = {"loc": [5.0, -1.0], "scale": [2.0, 0.1], "dtype": "float64"}
    y = np.array([5.0, -1.0]) + targets(2, 4)
    assert_allclose(
        MixtureMultivariateNormal(K, 2, **options)(both).log_prob(y),
        MixtureNormal(K, 2, **options)(diagonal).log_prob(y),
        rtol=1e-12,
    )


@pytest.mark.parametrize(("loc", "scale"), [(5.0, 2.0), ([5.0, -1.0, 0.0], [0.1, 30.0, 1.0])])
def test_loc_and_scale_are_a_change_of_variables(loc: Any, scale: Any) -> None:
    params, standard = parameters(3), targets(3)
    y = np.asarray(loc) + np.asarray(scale) * standard
    mapped = MixtureMultivariateNormal(K, 3, loc=loc, scale=scale, dtype="float64")(params)
    volume = np.log(np.broadcast_to(scale, 3)).sum()
    assert_allclose(mapped.log_prob(y), reference_log_prob(params, standard) - volume, rtol=1e-10)
    plain = MixtureMultivariateNormal(K, 3, dtype="float64")(params)
    assert_allclose(mapped.mean(), loc + np.asarray(scale) * plain.mean(), rtol=1e-10)
    assert_allclose(mapped.stddev(), np.asarray(scale) * plain.stddev(), rtol=1e-10)


def test_a_large_location_keeps_its_digits_in_float64() -> None:
    params, y = parameters(2), targets(2)
    layer = MixtureMultivariateNormal(K, 2, loc=[1e9, -1e8], dtype="float64")
    shifted = np.array([1e9, -1e8]) + y
    assert_allclose(layer(params).log_prob(shifted), reference_log_prob(params, y), atol=1e-5)


def at_the_floor() -> np.ndarray:
    params = np.zeros((1, 6), np.float32)  # one component: logit, location, raw_11, raw_10, raw_00
    params[0, [3, 5]] = -200.0  # softplus(-200) is 0 in float32
    params[0, 4] = 0.5
    return params


def test_the_diagonal_never_vanishes() -> None:
    layer = MixtureMultivariateNormal(1, 2, min_scale=1e-3, scale=2.0)
    components = layer(at_the_floor()).components_distribution
    assert_allclose(components.scale.to_dense()[0, 0], [[2e-3, 0.0], [1.0, 2e-3]], rtol=1e-6)
    assert np.isfinite(MixtureMultivariateNormal(1, 2)(at_the_floor()).log_prob([[0.0, 0.0]])).all()


@pytest.mark.parametrize(("distance", "passes"), [(0.0, False), (5.0, True)])
def test_the_gradient_at_the_floor_leads_upwards_only(
    distance: float,
    passes: bool,  # noqa: FBT001
) -> None:
    params = at_the_floor()
    params[0, [3, 5]], params[0, 4] = -5.0, 0.0
    variable = tf.Variable(params)
    with tf.GradientTape() as tape:
        distribution = MixtureMultivariateNormal(1, 2, min_scale=0.1)(variable)
        loss = -distribution.log_prob([[distance, distance]])
    gradient = tape.gradient(loss, variable).numpy()[0, [3, 5]]
    assert (gradient < 0).all() if passes else (gradient == 0).all()


def test_the_gradient_is_that_of_stock_tfpl() -> None:
    variable, y = tf.Variable(parameters(3)), targets(3)
    ours = MixtureMultivariateNormal(K, 3, dtype="float64")
    gradients = []
    for layer in (ours, lambda params: stock_mixture(params, 3)):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_sum(layer(variable).log_prob(y))
        gradients.append(tape.gradient(loss, variable).numpy())
    assert_allclose(gradients[0], gradients[1], rtol=5e-3, atol=1e-3)


@pytest.mark.parametrize("conversion", ["mean", "stddev", "variance"])
def test_the_tensor_of_a_distribution(conversion: str) -> None:
    layer = MixtureMultivariateNormal(K, 2, convert_to_tensor_fn=conversion, dtype="float64")
    distribution = layer(parameters(2))
    expected = getattr(distribution.tensor_distribution, conversion)()
    assert_array_equal(tf.convert_to_tensor(distribution), expected)


def head_model(size: int = 2, **options: Any) -> tf_keras.Model:
    layer = MixtureMultivariateNormal(K, size, **options)
    width = layer.params_size(K, size)
    return tf_keras.Sequential([tf_keras.Input((2,)), tf_keras.layers.Dense(width), layer])


INPUTS = np.linspace(-1, 1, 14, dtype=np.float32).reshape(7, 2)


def test_predict_gives_the_mean_and_samples_where_asked() -> None:
    model = head_model()
    assert model.output_shape == (None, 2)
    assert_allclose(model.predict(INPUTS, verbose=0), model(INPUTS).mean(), rtol=1e-5, atol=1e-6)
    random = head_model(convert_to_tensor_fn="sample")
    draws = [random.predict(INPUTS, verbose=0) for _ in range(2)]
    assert draws[0].shape == (7, 2)
    assert (draws[0] != draws[1]).all()


def test_indexing_selects_rows() -> None:
    params, y = parameters(2), targets(2)
    distribution = MixtureMultivariateNormal(K, 2, dtype="float64")(params)
    whole = distribution.log_prob(y).numpy()
    assert_allclose(distribution[3].log_prob(y[3]), whole[3], rtol=1e-10)
    assert_allclose(distribution[1:4].log_prob(y[1:4]), whole[1:4], rtol=1e-10)
    mask = np.isin(np.arange(5), [0, 2])
    for rows in ([0, 2], mask):
        assert_allclose(distribution[rows].log_prob(y[mask]), whole[mask], rtol=1e-10)


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 3), (5, 5)])
def test_targets_that_would_broadcast_are_refused(shape: tuple[int, ...]) -> None:
    distribution = MixtureMultivariateNormal(K, 2)(parameters(2).astype(np.float32))
    for method in (distribution.log_prob, distribution.prob):
        with pytest.raises(ValueError, match="last axis must be the target's 2 dimension"):
            method(np.zeros(shape, np.float32))


def test_half_precision_networks_give_densities_in_float32() -> None:
    width = MixtureMultivariateNormal.params_size(K, 2)
    layers = [
        tf_keras.layers.Dense(width, dtype="mixed_bfloat16"),
        MixtureMultivariateNormal(K, 2, dtype="mixed_bfloat16"),
    ]
    distribution = tf_keras.Sequential([tf_keras.Input((2,)), *layers])(INPUTS)
    assert distribution.dtype == tf.float32
    assert np.isfinite(distribution.log_prob(np.full((7, 2), 9.0, np.float32))).all()


def test_sequences_have_a_mixture_at_every_step() -> None:
    params = np.stack([parameters(2), parameters(2)[::-1]], axis=1)
    y = np.stack([targets(2), targets(2)], axis=1)
    distribution = MixtureMultivariateNormal(K, 2, dtype="float64")(params)
    assert distribution.batch_shape == (5, 2)
    for step in range(2):
        expected = reference_log_prob(params[:, step], y[:, step])
        assert_allclose(distribution.log_prob(y)[:, step], expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"num_components": 0}, ValueError, "num_components must be at least 1, got 0"),
        ({"event_shape": ()}, ValueError, r"event_shape must be \(D,\), got \(\)"),
        ({"event_shape": (2, 2)}, ValueError, r"event_shape must be \(\) or \(D,\), got \(2, 2\)"),
        ({"event_shape": None}, TypeError, "event_shape must be an integer, got None"),
        ({"min_scale": 0.0}, ValueError, "min_scale must be finite and greater than 0"),
        ({"loc": [1.0]}, ValueError, r"loc must be a number or have the event shape \(2,\)"),
        ({"loc": [0.0, 1e9]}, ValueError, "loc may be at most 10000 times scale in float32"),
        ({"scale": [1.0, 0.0]}, ValueError, "scale must be greater than 0"),
        ({"convert_to_tensor_fn": "median"}, ValueError, "convert_to_tensor_fn must be one of"),
    ],
)
def test_bad_arguments(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MixtureMultivariateNormal(**{"num_components": K, "event_shape": 2, **given})


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (
            np.zeros((2, 15), np.float32),
            ValueError,
            r"MixtureMultivariateNormal\(3, event_shape=\(2,\)\) needs 18 parameters a row",
        ),
        (np.zeros((2, 18), int), TypeError, "inputs must be .* floating-point numbers, got int64"),
        (keras.Input((18,)), TypeError, "inputs holds a Keras 3 object"),
    ],
)
def test_bad_inputs(inputs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MixtureMultivariateNormal(K, 2)(inputs)


@pytest.mark.parametrize("name", ["spherical", None, 3, ["full"]])
def test_unknown_names_are_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="covariance_type must be 'diag' or 'full', got"):
        head_class(name)


def test_names_of_covariance_types() -> None:
    assert head_class("diag") is MixtureNormal
    assert head_class("full") is MixtureMultivariateNormal


def test_the_configuration_is_plain_and_complete() -> None:
    layer = MixtureMultivariateNormal(
        *(4, 2), min_scale=0.01, loc=[1.0, 2.0], scale=3.0, name="head", dtype="float64"
    )
    config = layer.get_config()
    assert config == {
        "name": "head",
        "trainable": True,
        "dtype": "float64",
        "num_components": 4,
        "event_shape": [2],
        "min_scale": 0.01,
        "loc": [1.0, 2.0],
        "scale": 3.0,
        "convert_to_tensor_fn": "mean",
    }
    assert MixtureMultivariateNormal.from_config(config).get_config() == config


@pytest.mark.slow
def test_reloads_in_safe_mode_in_a_fresh_process(
    run_python: Callable[..., str], tmp_path: Path
) -> None:
    models = {
        "plain": head_model(),
        "affine": head_model(3, convert_to_tensor_fn="stddev", loc=3.0, scale=[1.0, 2.0, 3.0]),
        "precise": head_model(loc=1e9, min_scale=0.1, dtype="float64"),
    }
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
        values = [
            model(INPUTS).mean(),
            model(INPUTS).covariance(),
            model.predict(INPUTS, verbose=0),
        ]
        np.savez(tmp_path / f"{name}.npz", *values)
    run_python(
        """
        import sys, pathlib
        import numpy as np, tf_keras
        import tfp_mdn.layers
        x = np.linspace(-1, 1, 14, dtype=np.float32).reshape(7, 2)
        for path in sorted(pathlib.Path(sys.argv[1]).glob("*.keras")):
            model = tf_keras.models.load_model(path, safe_mode=True)
            saved = np.load(path.with_suffix(".npz"))
            values = [model(x).mean(), model(x).covariance(), model.predict(x, verbose=0)]
            for name, value in zip(saved.files, values, strict=True):
                np.testing.assert_array_equal(value, saved[name])
        """,
        tmp_path,
    )
