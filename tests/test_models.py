"""Networks that end in a mixture: how they are built, trained and checked, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_mdn.extraction import extract_parameters, to_distribution
from tfp_mdn.initializers import start_from_targets
from tfp_mdn.layers import MixtureMultivariateNormal, MixtureNormal
from tfp_mdn.losses import negative_log_likelihood
from tfp_mdn.models import build_mdn
from tfp_mdn.persistence import load, save

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 2)).astype(np.float32)
Y = X[:, :1] + 0.1 * RNG.normal(size=(40, 1)).astype(np.float32)


def small(**options: Any) -> tf_keras.Model:
    options = {"num_components": 2, "hidden_units": (4,), "seed": 0, **options}
    model = build_mdn(**options)
    model.compile(tf_keras.optimizers.Adam(0.02), negative_log_likelihood)
    return model


@pytest.fixture(scope="module")
def built() -> tf_keras.Model:
    """Return a compiled model of two inputs; no test may train it."""
    return small(input_size=2)


def weights(model: tf_keras.Model) -> np.ndarray:
    return np.concatenate([array.ravel() for array in model.get_weights()])


def test_the_network_is_the_one_asked_for() -> None:
    model = build_mdn(3, 2, hidden_units=(7, 5), activation="tanh", input_size=4)
    first, second, parameters, head = model.layers
    assert [layer.units for layer in (first, second, parameters)] == [7, 5, 3 * (1 + 2 * 2)]
    assert first.activation is tf_keras.activations.tanh
    assert parameters.activation is tf_keras.activations.linear
    assert isinstance(head, MixtureNormal)
    assert model.input_shape == (None, 4)
    distribution = model(np.zeros((6, 4), np.float32))
    assert isinstance(distribution, tfp.distributions.Distribution)
    assert (distribution.batch_shape, distribution.event_shape) == ((6,), (2,))
    assert model.optimizer is None
    linear = build_mdn(2, hidden_units=[], input_size=1)
    assert len(linear.layers) == 2


def test_full_covariances_from_start_to_file(tmp_path: Path) -> None:
    offset, scale = np.array([1e9, -1e8]), np.array([2.0, 3.0])
    standard = RNG.normal(size=(400, 2)) @ np.array([[1.0, 0.9], [0.0, 0.3]])
    y, x = offset + scale * standard, RNG.normal(size=(400, 2))
    model = build_mdn(
        *(2, 2),
        covariance_type="full",
        hidden_units=(4,),
        input_size=2,
        seed=0,
        loc=offset,
        scale=scale,
    )
    assert isinstance(model.layers[-1], MixtureMultivariateNormal)
    assert model.layers[-2].units == 2 * (1 + 2 + 3)
    start_from_targets(model, y)
    model.compile(tf_keras.optimizers.Adam(0.03), negative_log_likelihood)
    model.fit(x, y, epochs=15, verbose=0, shuffle=False)
    p = extract_parameters(model, x)
    assert p.covariances is not None
    correlation = np.corrcoef(y.T)[0, 1]
    learned = p.covariance()[:, 0, 1] / p.stddev().prod(axis=1)
    assert correlation > 0.9
    assert learned.mean() == pytest.approx(correlation, abs=0.1)
    assert_close = np.testing.assert_allclose
    assert_close(p.log_prob(y), model(x).log_prob(y), atol=1e-5)
    assert_close(to_distribution(p).log_prob(y), model(x).log_prob(y), atol=1e-5)
    assert_close(model.predict(x, verbose=0) - offset, p.mean() - offset, atol=1e-6)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(-p.log_prob(y).mean(), abs=1e-4)
    save(model, tmp_path / "full")
    np.testing.assert_array_equal(load(tmp_path / "full")(x).log_prob(y), model(x).log_prob(y))


def test_a_seed_gives_the_same_weights_and_none_gives_others() -> None:
    same = [weights(build_mdn(2, input_size=1, seed=seed)) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(same[0], same[1])
    assert not np.array_equal(same[0], same[2])
    random = [weights(build_mdn(2, input_size=1)) for _ in range(2)]
    assert not np.array_equal(random[0], random[1])


def test_a_seed_ignores_and_leaves_the_global_state() -> None:
    results = []
    for seed in (1, 2):
        tf.random.set_seed(seed)
        results.append(weights(build_mdn(2, input_size=1, seed=0)))
    np.testing.assert_array_equal(results[0], results[1])


def test_training_lowers_the_loss_that_evaluate_reports() -> None:
    model = small()
    assert not model.built
    history = model.fit(X, Y, epochs=8, verbose=0, validation_split=0.2)
    assert history.history["loss"][-1] < history.history["loss"][0] - 0.1
    by_hand = -np.mean(model(X).log_prob(Y))
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(by_hand, rel=1e-5)
    predicted = model.predict(X, verbose=0)
    assert predicted.shape == (40, 1)
    np.testing.assert_allclose(predicted, model(X).mean(), rtol=1e-4, atol=1e-5)


def test_callbacks_of_keras_work(tmp_path: Path) -> None:
    model, path = small(), tmp_path / "best.keras"
    callbacks = [
        tf_keras.callbacks.ModelCheckpoint(str(path), save_best_only=True),
        tf_keras.callbacks.ReduceLROnPlateau(patience=1, factor=0.5, min_delta=1e9),
        tf_keras.callbacks.EarlyStopping(patience=3, min_delta=1e9, restore_best_weights=True),
    ]
    history = model.fit(
        X, Y, epochs=20, callbacks=callbacks, validation_data=(X, Y), verbose=0
    ).history
    assert len(history["loss"]) == 4
    assert history["lr"][-1] < history["lr"][0]
    best = tf_keras.models.load_model(path)
    np.testing.assert_allclose(best.evaluate(X, Y, verbose=0), min(history["val_loss"]), rtol=1e-5)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(history["val_loss"][0], rel=1e-5)


def test_data_sets_pass_through(built: tf_keras.Model) -> None:
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    assert built.evaluate(data, verbose=0) == pytest.approx(built.evaluate(X, Y, verbose=0))
    assert built.predict(data.map(lambda x, _: x), verbose=0).shape == (40, 1)
    model = small()
    assert len(model.fit(data, validation_data=data, verbose=0).history["val_loss"]) == 1


@pytest.mark.parametrize(
    "data",
    [
        (X.astype(np.float64), Y[:, 0]),
        (tf.constant(X), tf.constant(Y)),
        (np.round(X).astype(int), Y),
    ],
)
def test_other_arrays_are_taken(built: tf_keras.Model, data: Any) -> None:
    by_hand = -np.mean(built(np.asarray(data[0], np.float32)).log_prob(Y))
    assert built.evaluate(*data, verbose=0) == pytest.approx(by_hand, rel=1e-4)


def test_tables_are_taken(built: tf_keras.Model) -> None:
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": Y[:, 0]})
    loss = built.evaluate(frame[["a", "b"]], frame["y"], verbose=0)
    assert loss == pytest.approx(built.evaluate(X, Y, verbose=0))


def test_no_digit_of_a_large_location_is_lost_on_the_way() -> None:
    offset = -1e9
    y = Y.astype(np.float64) + offset
    model, plain = small(input_size=2, loc=offset), small(input_size=2)
    expected = plain.evaluate(X, Y, verbose=0)
    assert model.evaluate(X, y, verbose=0) == pytest.approx(expected, rel=1e-5)
    held_out = (X.astype(np.float64), y)
    history = model.fit(X, y, validation_data=held_out, verbose=0).history
    reference = plain.fit(X, Y, validation_data=(X, Y), verbose=0).history
    # Batches are drawn at random, so the two runs agree in what does not depend on their order.
    assert np.abs(model(X).mean() - offset).max() < 10
    assert history["val_loss"] == pytest.approx(reference["val_loss"], abs=0.05)


def functional() -> tf_keras.Model:
    inputs = tf_keras.Input((2,))
    return tf_keras.Model(inputs, tf_keras.layers.Dense(4)(inputs))


def several_inputs() -> tf_keras.Model:
    inputs = [tf_keras.Input((1,), name="a"), tf_keras.Input((1,), name="b")]
    return tf_keras.Model(inputs, tf_keras.layers.Concatenate()(inputs))


def recurrent() -> tf_keras.Model:
    inputs = tf_keras.Input((None, 2))
    return tf_keras.Model(inputs, tf_keras.layers.SimpleRNN(3, return_sequences=True)(inputs))


@pytest.mark.parametrize(
    ("backbone", "x", "batch_shape"),
    [
        (lambda: tf_keras.layers.Dense(4), X, (40,)),
        (lambda: tf_keras.Sequential([tf_keras.layers.Dense(4)]), X, (40,)),
        (lambda: tf_keras.Sequential([tf_keras.Input((2,)), tf_keras.layers.Dense(4)]), X, (40,)),
        (functional, X, (40,)),
        (several_inputs, [X[:, :1], X[:, 1:]], (40,)),
        (several_inputs, {"a": X[:, :1], "b": X[:, 1:]}, (40,)),
        (recurrent, X.reshape(8, 5, 2), (8, 5)),
    ],
)
def test_a_backbone_of_any_kind(
    backbone: Callable[[], Any], x: Any, batch_shape: tuple[int, ...]
) -> None:
    model = small(backbone=backbone())
    y = Y.reshape(*batch_shape, 1)
    losses = model.fit(x, y, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert model(x).batch_shape == batch_shape
    assert model(x).event_shape == (1,)


def test_the_rows_of_the_first_batch_bind_none(tmp_path: Path) -> None:
    model = small()
    model.fit(X[:8], Y[:8], verbose=0)
    model.save(tmp_path / "model.keras")
    for each in (model, tf_keras.models.load_model(tmp_path / "model.keras")):
        assert np.isfinite(each.evaluate(X, Y, verbose=0))
        assert np.isfinite(each.evaluate(X[:3], Y[:3], verbose=0))


def test_the_backbone_is_trained() -> None:
    layer = tf_keras.layers.Dense(4, use_bias=False)
    model = small(backbone=layer)
    model(X)
    assert any(variable is layer.kernel for variable in model.trainable_variables)


def test_a_model_without_a_sample_weight_s_rows(built: tf_keras.Model) -> None:
    by_weight = built.evaluate(X, Y, sample_weight=np.r_[np.ones(20), np.zeros(20)], verbose=0)
    log_prob = built(X).log_prob(Y).numpy()
    assert by_weight == pytest.approx(-log_prob[:20].sum() / 40, rel=1e-5)


def two_outputs() -> tf_keras.Model:
    inputs = tf_keras.Input((2,))
    return tf_keras.Model(inputs, [inputs, inputs])


def with_keras_3_inside() -> tf_keras.Model:
    inputs = tf_keras.Input((2,))
    return tf_keras.Model(inputs, keras.layers.Dense(4)(inputs))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_components": 0}, ValueError, "num_components must be at least 1"),
        ({"num_components": 2.0}, TypeError, "num_components must be an integer"),
        ({"event_size": 0}, ValueError, "event_size must be at least 1"),
        ({"event_size": (1,)}, TypeError, "event_size must be an integer"),
        ({"hidden_units": 8}, TypeError, r"hidden_units must be a sequence such as \(64, 64\)"),
        ({"hidden_units": (8, 0)}, ValueError, "hidden_units must be at least 1"),
        ({"hidden_units": (8, 0.5)}, TypeError, "hidden_units must be an integer"),
        ({"hidden_units": "88"}, TypeError, "hidden_units must be a sequence"),
        ({"activation": "gelo"}, ValueError, "gelo"),
        (
            {"activation": lambda: keras.layers.PReLU()},
            TypeError,
            "activation holds a Keras 3 object",
        ),
        ({"covariance_type": "tied"}, ValueError, "must be 'diag' or 'full', got 'tied'"),
        ({"covariance_type": True}, ValueError, "must be 'diag' or 'full', got True"),
        ({"min_scale": 0}, ValueError, "min_scale must be finite and greater than 0"),
        ({"input_size": 0}, ValueError, "input_size must be at least 1"),
        ({"loc": np.nan}, ValueError, "loc must be finite"),
        ({"loc": [1.0, 2.0]}, ValueError, "loc must be a number or have the event shape"),
        ({"scale": 0.0}, ValueError, "scale must be greater than 0"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": 0.5}, TypeError, "seed must be an integer"),
        ({"backbone": "resnet"}, TypeError, "backbone must be a tf_keras model or layer, got str"),
        (
            {"backbone": lambda: keras.layers.Dense(3)},
            TypeError,
            "backbone holds a Keras 3 object .*import tf_keras",
        ),
        ({"backbone": with_keras_3_inside}, TypeError, "backbone holds a Keras 3 object"),
        ({"backbone": two_outputs}, ValueError, "backbone must have one output, got 2"),
        (
            {"backbone": functional, "input_size": 2},
            ValueError,
            "input_size must be None with a backbone that has inputs of its own",
        ),
    ],
)
def test_bad_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {name: value() if callable(value) else value for name, value in options.items()}
    with pytest.raises(error, match=message):
        build_mdn(**given)


NAN = np.where(np.arange(40)[:, None] == 7, np.nan, Y)


@pytest.mark.parametrize(
    ("x", "y", "options", "error", "message"),
    [
        (X[:, :1], Y, {}, ValueError, r"x must have shape \(N, 2\) for this model, got \(40, 1\)"),
        (X[:39], Y, {}, ValueError, "y must have 39 rows as x has, got 40"),
        (X * np.nan, Y, {}, ValueError, "x must be finite: 80 of 80"),
        (X, NAN, {}, ValueError, r"y must be finite: 1 of 40 .* index \(7, 0\)"),
        (X, np.round(Y).astype(int), {}, TypeError, "y must hold floating.*int64.*astype"),
        (X.astype(str), Y, {}, TypeError, "x must hold real numbers, got dtype <U"),
        (X.astype(object), Y, {}, TypeError, "x must hold real numbers, got dtype object"),
        (X, Y.astype(str), {}, TypeError, "y must hold real numbers"),
        (X[:0], Y[:0], {}, ValueError, "x must be an array with at least one row"),
        ([[1.0, 2.0]], Y[:1], {}, ValueError, r"got shape \(\). Make one array .*asarray\(x\)"),
        (X, Y, {"sample_weight": np.ones(3)}, ValueError, "sample_weight must have 40 rows"),
        (X, Y, {"sample_weight": NAN[:, 0]}, ValueError, "sample_weight must be finite"),
        (X, np.zeros((40, 2)), {}, ValueError, r"y must have shape \(N, 1\) .* got \(40, 2\)"),
        (X, np.zeros((40, 1, 1)), {}, ValueError, r"y must have shape \(N, 1\)"),
    ],
)
def test_unfit_data(
    built: tf_keras.Model,
    x: Any,
    y: Any,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        built.fit(x, y, verbose=0, **options)
    with pytest.raises(error, match=message):
        built.evaluate(x, y, verbose=0, **options)


@pytest.mark.parametrize("kind", [tuple, list])
@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ((X, NAN), "validation y must be finite"),
        ((X * np.inf, Y), "validation x must be finite"),
        ((X, Y[:3]), "validation y must have 40 rows as validation x has, got 3"),
        ((X, Y, NAN[:, 0]), "validation sample_weight must be finite"),
        ((X[:, :1], Y), r"validation x must have shape \(N, 2\)"),
    ],
)
def test_unfit_validation_data_stops_before_the_first_step(
    built: tf_keras.Model, kind: type, validation: tuple[Any, ...], message: str
) -> None:
    before = weights(built)
    with pytest.raises(ValueError, match=message):
        built.fit(X, Y, validation_data=kind(validation), verbose=0)
    np.testing.assert_array_equal(weights(built), before)


def test_unfit_inputs_to_predict(built: tf_keras.Model) -> None:
    with pytest.raises(ValueError, match="x must be finite"):
        built.predict(X * np.nan, verbose=0)
    with pytest.raises(ValueError, match=r"x must have shape \(N, 2\)"):
        built.predict(X[:, 0], verbose=0)


def test_unfit_data_before_the_model_has_weights() -> None:
    with pytest.raises(TypeError, match="x must hold floating-point numbers, got int64"):
        small().fit(np.zeros((3, 1), int), np.zeros(3), verbose=0)
    with pytest.raises(ValueError, match=r"x must have shape \(N, F\), got \(3,\); write x\[:"):
        small().fit(np.zeros(3), np.zeros(3), verbose=0)
    with pytest.raises(ValueError, match="Target data is missing"):
        small().fit(X, verbose=0)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda m: m.compile(keras.optimizers.Adam()), "optimizer holds a Keras 3 object"),
        (
            lambda m: m.compile("adam", keras.losses.MeanSquaredError()),
            "the arguments of compile holds a Keras 3 object",
        ),
        (
            lambda m: m.compile("adam", metrics=[keras.metrics.MeanAbsoluteError()]),
            "the arguments of compile holds a Keras 3 object",
        ),
        (
            lambda m: m.fit(X, Y, callbacks=[keras.callbacks.EarlyStopping()]),
            "callbacks holds a Keras 3 object",
        ),
        (
            lambda m: m.fit(X, Y, callbacks=keras.callbacks.EarlyStopping()),
            "callbacks holds a Keras 3 object",
        ),
    ],
)
def test_keras_3_objects_are_refused(use: Callable[[Any], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        use(small(input_size=2))


@pytest.mark.parametrize("backbone", [None, functional, recurrent])
def test_a_reloaded_model_is_compiled_and_trains_on(
    backbone: Callable[[], Any] | None, tmp_path: Path
) -> None:
    model = small(backbone=backbone()) if backbone else small()
    x = X.reshape(8, 5, 2) if backbone is recurrent else X
    data = x, Y.reshape(*x.shape[:-1], 1)
    options: dict[str, Any] = {"verbose": 0, "shuffle": False, "batch_size": 8}
    model.fit(*data, epochs=2, **options)
    model.save(tmp_path / "model.keras")
    again = tf_keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(again) is type(model)
    assert again.loss is negative_log_likelihood
    assert again.optimizer.learning_rate.numpy() == pytest.approx(0.02)
    assert again.evaluate(*data, verbose=0) == model.evaluate(*data, verbose=0)
    # The optimizer's moments are part of the state: the next steps are the same too.
    for each in (model, again):
        each.fit(*data, **options)
    np.testing.assert_allclose(weights(again), weights(model), rtol=1e-5, atol=1e-6)


def test_mixed_precision_trains_and_reloads(tmp_path: Path) -> None:
    policy = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = small(input_size=2)
        loss = model.fit(X, Y, epochs=2, verbose=0).history["loss"]
    finally:
        tf_keras.mixed_precision.set_global_policy(policy)
    assert np.isfinite(loss).all()
    model.save(tmp_path / "model.keras")
    again = tf_keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
