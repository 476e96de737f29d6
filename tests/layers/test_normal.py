"""The layer of independent normals against SciPy, stock TFP, and where stock TFP goes wrong."""

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
from scipy import special, stats

from tfp_mdn.layers import MixtureNormal

tfd, tfpl = tfp.distributions, tfp.layers

every_event_shape = pytest.mark.parametrize("event_shape", [(), (1,), (2,)])
COMPONENTS = 3
SIZE = 9  # parameters of three components in one dimension


def parameters(event_shape: tuple[int, ...], num_rows: int = 5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    size = COMPONENTS * (1 + 2 * int(np.prod(event_shape)))
    return rng.normal(size=(num_rows, size)).astype(np.float32)


def targets(event_shape: tuple[int, ...], num_rows: int = 5) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(num_rows, *event_shape)).astype(np.float32)


def reference_log_prob(
    params: np.ndarray, y: np.ndarray, loc: Any = 0.0, scale: Any = 1.0
) -> np.ndarray:
    """Log density by SciPy, from the parameters in the order that tfpl documents."""
    params = params.astype(np.float64)
    components = params[:, COMPONENTS:].reshape(len(params), COMPONENTS, -1)
    means, raw_scales = np.split(components, 2, axis=-1)
    standard = (y.astype(np.float64).reshape(len(y), 1, -1) - loc) / scale
    each = stats.norm.logpdf(standard, means, np.log1p(np.exp(raw_scales))) - np.log(scale)
    logits = special.log_softmax(params[:, :COMPONENTS], axis=1)
    return special.logsumexp(logits + each.sum(axis=-1), axis=1)


@every_event_shape
def test_is_a_tfpl_layer_with_its_number_of_parameters(event_shape: tuple[int, ...]) -> None:
    layer = MixtureNormal(COMPONENTS, event_shape)
    assert isinstance(layer, tfpl.MixtureNormal)
    stock_size = tfpl.MixtureNormal.params_size(COMPONENTS, event_shape)
    assert MixtureNormal.params_size(COMPONENTS, event_shape) == stock_size
    distribution = layer(parameters(event_shape))
    assert isinstance(distribution, tfd.Distribution)
    assert distribution.batch_shape == (5,)
    assert distribution.event_shape == event_shape


@every_event_shape
def test_log_prob_equals_scipy(event_shape: tuple[int, ...]) -> None:
    params, y = parameters(event_shape), targets(event_shape)
    log_prob = MixtureNormal(COMPONENTS, event_shape)(params).log_prob(y)
    np.testing.assert_allclose(log_prob, reference_log_prob(params, y), rtol=2e-5, atol=1e-6)


@every_event_shape
def test_weights_trained_with_stock_tfpl_give_equal_outputs(event_shape: tuple[int, ...]) -> None:
    size = tfpl.MixtureNormal.params_size(COMPONENTS, event_shape)
    inputs = np.linspace(-1, 1, 10, dtype=np.float32).reshape(5, 2)
    stock, ours = (
        tf_keras.Sequential(
            [tf_keras.Input((2,)), tf_keras.layers.Dense(size), layer(COMPONENTS, event_shape)]
        )
        for layer in (tfpl.MixtureNormal, MixtureNormal)
    )
    ours.set_weights(stock.get_weights())
    y = targets(event_shape)
    np.testing.assert_allclose(ours(inputs).log_prob(y), stock(inputs).log_prob(y), rtol=1e-5)
    np.testing.assert_allclose(ours(inputs).mean(), stock(inputs).mean(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours(inputs).stddev(), stock(inputs).stddev(), rtol=1e-5)


@pytest.mark.parametrize(
    ("event_shape", "loc", "scale"),
    [((), 3.0, 0.25), ((1,), -20.0, 7.0), ((2,), [5.0, -1.0], [0.1, 30.0]), ((2,), 5.0, 2.0)],
)
def test_loc_and_scale_are_a_change_of_variables(
    event_shape: tuple[int, ...], loc: Any, scale: Any
) -> None:
    params, standard = parameters(event_shape), targets(event_shape)
    y = np.asarray(loc) + np.asarray(scale) * standard
    layer = MixtureNormal(COMPONENTS, event_shape, loc=loc, scale=scale, dtype="float64")
    distribution = layer(params.astype(np.float64))
    expected = reference_log_prob(params, y, np.asarray(loc), np.asarray(scale))
    np.testing.assert_allclose(distribution.log_prob(y), expected, rtol=1e-10)
    plain = MixtureNormal(COMPONENTS, event_shape)(params)
    np.testing.assert_allclose(distribution.mean(), loc + scale * plain.mean(), rtol=1e-4)
    np.testing.assert_allclose(distribution.stddev(), scale * plain.stddev(), rtol=1e-4)


@pytest.mark.parametrize("event_shape", [(), (1,)])
def test_prob_and_cdf_equal_scipy(event_shape: tuple[int, ...]) -> None:
    params, y = parameters(event_shape), targets(event_shape)
    distribution = MixtureNormal(COMPONENTS, event_shape)(params)
    np.testing.assert_allclose(
        distribution.prob(y), np.exp(reference_log_prob(params, y)), rtol=2e-5
    )
    means, raw = np.split(params[:, COMPONENTS:].reshape(5, COMPONENTS, 2), 2, axis=-1)
    each = stats.norm.cdf(y.reshape(5, 1), means[..., 0], np.log1p(np.exp(raw[..., 0])))
    weights = special.softmax(params[:, :COMPONENTS], axis=1)
    np.testing.assert_allclose(distribution.cdf(y), (weights * each).sum(axis=1), rtol=1e-4)
    np.testing.assert_allclose(distribution.log_cdf(y), np.log(distribution.cdf(y)), atol=1e-5)
    np.testing.assert_allclose(
        distribution.survival_function(y), 1 - distribution.cdf(y), atol=1e-6
    )


def underflowing(event_shape: tuple[int, ...] = (1,)) -> np.ndarray:
    """Parameters whose scales all underflow: softplus(-200) is 0 in float32."""
    params = np.zeros((1, SIZE), np.float32)
    params[:, 4::2] = -200.0
    return params


def test_the_scale_never_vanishes() -> None:
    distribution = MixtureNormal(COMPONENTS, min_scale=1e-3, scale=2.0)(underflowing())
    np.testing.assert_allclose(distribution.components_distribution.stddev(), 2e-3, rtol=1e-6)
    for y in (0.0, 1e-3, 5.0):
        expected = stats.norm.logpdf(y, 0.0, 2e-3)
        np.testing.assert_allclose(distribution.log_prob([[y]]), [expected], rtol=1e-5)


def test_the_default_floor_keeps_densities_finite() -> None:
    assert np.isfinite(MixtureNormal(COMPONENTS)(underflowing()).log_prob([[0.0]])).all()


@pytest.mark.parametrize(("y", "passes"), [(0.0, False), (5.0, True)])
def test_the_gradient_at_the_floor_leads_upwards_only(y: float, passes: bool) -> None:  # noqa: FBT001
    # At the floor, a target far away asks for a larger scale, one at the mean for a smaller one.
    params = np.zeros((1, SIZE), np.float32)
    params[:, 4::2] = -5.0  # softplus(-5) = 0.0067, below the floor, with a slope of its own
    variable = tf.Variable(params)
    with tf.GradientTape() as tape:
        loss = -MixtureNormal(COMPONENTS, min_scale=0.1)(variable).log_prob([[y]])
    gradient = tape.gradient(loss, variable).numpy()[:, 4::2]
    assert (gradient < 0).all() if passes else (gradient == 0).all()


def test_the_gradient_above_the_floor_is_that_of_stock_tfpl() -> None:
    variable, y = tf.Variable(parameters((1,))), targets((1,))
    gradients = []
    for layer in (MixtureNormal(COMPONENTS), tfpl.MixtureNormal(COMPONENTS, (1,))):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_sum(layer(variable).log_prob(y))
        gradients.append(tape.gradient(loss, variable).numpy())
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("conversion", ["mean", "stddev", "variance"])
@every_event_shape
def test_the_tensor_of_a_distribution(conversion: str, event_shape: tuple[int, ...]) -> None:
    layer = MixtureNormal(COMPONENTS, event_shape, convert_to_tensor_fn=conversion)
    distribution = layer(parameters(event_shape))
    expected = getattr(distribution.tensor_distribution, conversion)()
    np.testing.assert_array_equal(tf.convert_to_tensor(distribution), expected)
    by_method = MixtureNormal(
        COMPONENTS, event_shape, convert_to_tensor_fn=getattr(tfd.Distribution, conversion)
    )
    assert by_method.get_config()["convert_to_tensor_fn"] == conversion


def head_model(layer: Any, size: int = SIZE) -> tf_keras.Model:
    return tf_keras.Sequential([tf_keras.Input((2,)), tf_keras.layers.Dense(size), layer])


INPUTS = np.linspace(-1, 1, 14, dtype=np.float32).reshape(7, 2)


def test_predict_gives_the_mean_and_samples_where_asked() -> None:
    model = head_model(MixtureNormal(COMPONENTS))
    first = model.predict(INPUTS, verbose=0)
    np.testing.assert_array_equal(first, model.predict(INPUTS, verbose=0))
    np.testing.assert_allclose(first, model(INPUTS).mean(), rtol=1e-5, atol=1e-6)
    random = head_model(MixtureNormal(COMPONENTS, convert_to_tensor_fn="sample"))
    draws = [random.predict(INPUTS, verbose=0) for _ in range(2)]
    assert draws[0].shape == (7, 1)
    assert (draws[0] != draws[1]).all()


@every_event_shape
def test_indexing_selects_rows(event_shape: tuple[int, ...]) -> None:
    params, y = parameters(event_shape), targets(event_shape)
    distribution = MixtureNormal(COMPONENTS, event_shape)(params)
    whole = distribution.log_prob(y).numpy()
    assert distribution[0].batch_shape == ()
    np.testing.assert_allclose(distribution[3].log_prob(y[3]), whole[3], rtol=1e-5)
    np.testing.assert_allclose(distribution[1:4].log_prob(y[1:4]), whole[1:4], rtol=1e-5)
    np.testing.assert_allclose(distribution[-1].mean(), distribution.mean()[-1], rtol=1e-6)
    mask = np.isin(np.arange(len(y)), [0, 2])
    for rows in ([0, 2], np.array([0, 2]), tf.constant([0, 2]), mask, mask.tolist()):
        np.testing.assert_allclose(distribution[rows].log_prob(y[mask]), whole[mask], rtol=1e-5)
    with pytest.raises(ValueError, match="a mask must have the batch shape"):
        distribution[mask[:-1]]


@pytest.mark.parametrize(
    ("event_shape", "shape", "message"),
    [
        ((1,), (5,), r"y has shape \(5,\), .* expected \[5, 1\]; write y\[:, None\]"),
        ((1,), (5, 5), r"its last axis must be the target's 1 dimension"),
        ((2,), (5, 1), r"its last axis must be the target's 2 dimension\(s\): expected \[5, 2\]\."),
        ((2,), (5,), r"last axis must be the target's 2"),
        ((), (5, 1), r"y has shape \(5, 1\) where event_shape=\(\) expects \(5,\).*y\[..., 0\]"),
    ],
)
def test_targets_that_would_broadcast_are_refused(
    event_shape: tuple[int, ...], shape: tuple[int, ...], message: str
) -> None:
    distribution = MixtureNormal(COMPONENTS, event_shape)(parameters(event_shape))
    for method in ("log_prob", "prob"):
        with pytest.raises(ValueError, match=message):
            getattr(distribution, method)(np.zeros(shape, np.float32))
    if event_shape != (2,):
        with pytest.raises(ValueError, match=message):
            distribution.cdf(np.zeros(shape, np.float32))


def test_targets_of_sequences_that_would_broadcast_are_refused() -> None:
    params = np.stack([parameters(()), parameters((), seed=1)], axis=1)
    distribution = MixtureNormal(COMPONENTS, ())(params)
    assert distribution.log_prob(np.zeros((5, 2), np.float32)).shape == (5, 2)
    with pytest.raises(ValueError, match=r"expects \(5, 2\)"):
        distribution.log_prob(np.zeros((5, 2, 1), np.float32))


def test_a_grid_of_targets_for_every_row_is_meant_to_broadcast() -> None:
    params, grid = parameters((1,)), targets((1,), 4)
    density = MixtureNormal(COMPONENTS)(params).log_prob(grid[:, np.newaxis])
    assert density.shape == (4, 5)
    for i in range(4):
        expected = reference_log_prob(params, np.repeat(grid[i : i + 1], 5, axis=0))
        np.testing.assert_allclose(density[i], expected, rtol=2e-5)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"num_components": 0}, ValueError, "num_components must be at least 1, got 0"),
        ({"num_components": 2.5}, TypeError, "num_components must be an integer, got 2.5"),
        ({"event_shape": (0,)}, ValueError, "event_shape must be at least 1"),
        ({"event_shape": (2, 2)}, ValueError, r"event_shape must be \(\) or \(D,\), got \(2, 2\)"),
        ({"event_shape": "1"}, TypeError, "event_shape must be an integer"),
        ({"event_shape": None}, TypeError, "event_shape must be an integer, got None"),
        ({"min_scale": 0.0}, ValueError, "min_scale must be finite and greater than 0"),
        ({"min_scale": np.nan}, ValueError, "min_scale must be finite"),
        ({"min_scale": "a"}, TypeError, "min_scale must be a number"),
        ({"loc": np.inf}, ValueError, "loc must be finite"),
        ({"loc": [1.0, 2.0]}, ValueError, r"loc must be a number or have the event shape \(1,\)"),
        ({"loc": "a"}, TypeError, "loc must hold real numbers"),
        ({"scale": 0.0}, ValueError, "scale must be greater than 0, got 0.0"),
        ({"scale": -1.0}, ValueError, "scale must be greater than 0"),
        ({"scale": [[1.0]]}, ValueError, r"scale must .* the event shape \(1,\), got \(1, 1\)"),
        ({"loc": 1e9}, ValueError, "loc may be at most 10000 times scale in float32.*'float64'"),
        ({"loc": -2.0, "scale": 1e-4}, ValueError, "loc may be at most 10000 times scale"),
        ({"scale": 1e-40}, ValueError, r"scale must lie between 1e-30 and 1e\+30 in float32"),
        ({"scale": 1e39}, ValueError, r"scale must lie between 1e-30 and 1e\+30 in float32"),
        (
            {"convert_to_tensor_fn": lambda d: d.mean()},
            ValueError,
            r"must be one of \['mean', 'sample', 'stddev', 'variance'\].*apply it to model\(x\)",
        ),
        ({"convert_to_tensor_fn": "median"}, ValueError, "convert_to_tensor_fn must be one of"),
    ],
)
def test_bad_arguments(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MixtureNormal(**{"num_components": COMPONENTS, **given})


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (np.zeros((2, 8), np.float32), ValueError, r"needs 9 parameters a row .* got shape \(2, 8"),
        (np.float32(1.0), ValueError, r"needs 9 parameters a row"),
        (np.zeros((2, 9), int), TypeError, "inputs must be .* floating-point numbers, got int64"),
        ([[0.0] * 9], TypeError, "inputs must be .* got list"),
    ],
)
def test_bad_inputs(inputs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MixtureNormal(COMPONENTS)(inputs)


def test_keras_3_tensors_are_refused() -> None:
    with pytest.raises(TypeError, match="inputs holds a Keras 3 object"):
        MixtureNormal(COMPONENTS)(keras.Input((9,)))


def test_a_large_location_keeps_its_digits_in_float64() -> None:
    params = parameters((1,)).astype(np.float64)
    y = targets((1,)).astype(np.float64) + 1e9
    log_prob = MixtureNormal(COMPONENTS, loc=1e9, dtype="float64")(params).log_prob(y)
    np.testing.assert_allclose(log_prob, reference_log_prob(params, y - 1e9), atol=1e-6)


def test_the_configuration_is_plain_and_complete() -> None:
    layer = MixtureNormal(
        *(4, 2, "stddev"), min_scale=0.01, loc=[1.0, 2.0], scale=3.0, name="head", dtype="float64"
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
        "convert_to_tensor_fn": "stddev",
    }
    again = MixtureNormal.from_config(config)
    assert again.get_config() == config
    assert (again.num_components, again.event_shape, again.min_scale) == (4, (2,), 0.01)
    assert again.loc.tolist() == [1.0, 2.0]
    assert again.scale.tolist() == 3.0


def test_models_can_be_cloned_and_are_functional_or_sequential() -> None:
    sequential = head_model(MixtureNormal(COMPONENTS, loc=1.0, scale=2.0))
    inputs = tf_keras.Input((2,))
    hidden = tf_keras.layers.Dense(SIZE)(inputs)
    head = MixtureNormal(COMPONENTS, loc=1.0, scale=2.0)
    functional = tf_keras.Model(inputs, head(hidden))
    for model in (tf_keras.models.clone_model(sequential), functional):
        model.set_weights(sequential.get_weights())
        np.testing.assert_array_equal(model(INPUTS).mean(), sequential(INPUTS).mean())


@pytest.mark.parametrize("event_shape", [(), (1,), (2,)])
def test_static_shapes_are_known_in_graphs(event_shape: tuple[int, ...]) -> None:
    size = MixtureNormal.params_size(COMPONENTS, event_shape)
    model = head_model(MixtureNormal(COMPONENTS, event_shape), size)
    assert model.output_shape == (None, *event_shape)
    shapes = []

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32)])
    def traced(x: Any) -> Any:
        distribution = model(x)
        shapes.extend([distribution.batch_shape, distribution.event_shape, distribution.shape])
        return distribution.mean()

    assert traced(INPUTS).shape == (7, *event_shape)
    assert [shape.as_list() for shape in shapes] == [[None], [*event_shape], [None, *event_shape]]


def test_half_precision_networks_give_densities_in_float32() -> None:
    layers = [
        tf_keras.layers.Dense(SIZE, dtype="mixed_bfloat16"),
        MixtureNormal(COMPONENTS, dtype="mixed_bfloat16"),
    ]
    model = tf_keras.Sequential([tf_keras.Input((2,)), *layers])
    distribution = model(INPUTS)
    assert distribution.dtype == tf.float32
    assert np.isfinite(distribution.log_prob(np.full((7, 1), 100.0, np.float32))).all()


@pytest.mark.parametrize("recurrent", [tf_keras.layers.GRU, tf_keras.layers.LSTM])
@pytest.mark.parametrize("masked", [False, True])
def test_sequences_have_a_mixture_at_every_step(recurrent: Any, masked: bool) -> None:  # noqa: FBT001
    inputs = tf_keras.Input((None, 2))
    hidden = tf_keras.layers.Masking()(inputs) if masked else inputs
    hidden = tf_keras.layers.Dense(SIZE)(recurrent(4, return_sequences=True)(hidden))
    model = tf_keras.Model(inputs, MixtureNormal(COMPONENTS)(hidden))
    network = tf_keras.Model(inputs, hidden)
    x = np.random.default_rng(0).normal(size=(6, 5, 2)).astype(np.float32)
    x[:, 3:] = 0.0
    distribution, y = model(x), np.ones((6, 5, 1), np.float32)
    assert distribution.batch_shape == (6, 5)
    flat = reference_log_prob(network(x).numpy().reshape(30, SIZE), y.reshape(30, 1))
    np.testing.assert_allclose(distribution.log_prob(y), flat.reshape(6, 5), rtol=1e-4)
    assert model.predict(x, verbose=0).shape == (6, 5, 1)


@pytest.mark.slow
def test_reloads_in_safe_mode_in_a_fresh_process(
    run_python: Callable[..., str], tmp_path: Path
) -> None:
    layers = {
        "plain": MixtureNormal(COMPONENTS),
        "affine": MixtureNormal(COMPONENTS, 1, "stddev", loc=3.0, scale=2.0, min_scale=0.1),
        "precise": MixtureNormal(COMPONENTS, (), loc=1e9, dtype="float64"),
    }
    for name, layer in layers.items():
        model = head_model(layer)
        model.save(tmp_path / f"{name}.keras")
        means = [model(INPUTS).mean(), model(INPUTS).stddev(), model.predict(INPUTS, verbose=0)]
        np.savez(tmp_path / f"{name}.npz", *means)
    run_python(
        """
        import sys, pathlib
        import numpy as np, tf_keras
        import tfp_mdn.layers
        x = np.linspace(-1, 1, 14, dtype=np.float32).reshape(7, 2)
        for path in sorted(pathlib.Path(sys.argv[1]).glob("*.keras")):
            model = tf_keras.models.load_model(path, safe_mode=True)
            saved = np.load(path.with_suffix(".npz"))
            values = [model(x).mean(), model(x).stddev(), model.predict(x, verbose=0)]
            for name, value in zip(saved.files, values, strict=True):
                np.testing.assert_array_equal(value, saved[name])
        """,
        tmp_path,
    )


# Canaries: each of these fails on the day on which TFP mends what the layer works around.


def test_canary_stock_layer_does_not_reload_in_safe_mode(tmp_path: Path) -> None:
    path = tmp_path / "stock.keras"
    with pytest.warns(UserWarning, match="includes a `lambda`"):
        head_model(tfpl.MixtureNormal(COMPONENTS, (1,))).save(path)
    with pytest.raises((TypeError, ValueError)):
        tf_keras.models.load_model(path, safe_mode=True)


def test_canary_stock_log_prob_broadcasts_targets() -> None:
    vector = tfpl.MixtureNormal(COMPONENTS, (1,))(parameters((1,)))
    right = reference_log_prob(parameters((1,)), targets((1,)))
    # One row too few axes: every row is scored on all targets, and their sum is returned.
    wrong = vector.log_prob(targets(()))
    assert wrong.shape == (5,)
    assert not np.allclose(wrong, right, rtol=0.1)
    scalar = tfpl.MixtureNormal(COMPONENTS, ())(parameters(()))
    assert scalar.log_prob(targets((1,))).shape == (5, 5)


def test_canary_stock_predict_draws_at_random() -> None:
    model = head_model(tfpl.MixtureNormal(COMPONENTS, (1,)))
    draws = [model.predict(INPUTS, verbose=0) for _ in range(2)]
    assert (draws[0] != draws[1]).all()


def test_canary_stock_indexing_slices_a_sample() -> None:
    first = tfpl.MixtureNormal(COMPONENTS, (1,))(parameters((1,)))[0]
    assert not isinstance(first, tfd.Distribution)
    assert first.shape == (1,)


def test_canary_stock_prob_is_missing() -> None:
    with pytest.raises((AttributeError, NotImplementedError)):
        tfpl.MixtureNormal(COMPONENTS, (1,))(parameters((1,))).prob(targets((1,)))


def test_canary_stock_scale_underflows_to_nan() -> None:
    assert np.isnan(tfpl.MixtureNormal(COMPONENTS, (1,))(underflowing()).log_prob([[0.0]])).all()
