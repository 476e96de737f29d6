from __future__ import annotations

import csv
import functools
import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_mdn import _flat_epochs, training
from tfp_mdn._flat_epochs import can_be_flat, xla_after
from tfp_mdn._validation import FloatArray
from tfp_mdn.callbacks import KeepBestAverage
from tfp_mdn.extraction import extract_parameters
from tfp_mdn.layers import MixtureNormal
from tfp_mdn.losses import BetaNLLLoss, CRPSLoss, NLLLoss, negative_log_likelihood
from tfp_mdn.models import build_mdn
from tfp_mdn.training import fit_mdn

ROWS, FEATURES = 90, 2  # two batches of 40 and one of 10


def data(event_size: int = 1) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES))
    y = np.sin(2 * x[:, :1]) + 0.2 * rng.normal(size=(ROWS, event_size))
    return x, y


def model_for(event_size: int = 1, *, optimizer: Any = None, **settings: Any) -> tf_keras.Model:
    fixed: dict[str, Any] = {"hidden_units": (8,), "input_size": FEATURES, "seed": 0}
    model = build_mdn(3, event_size, **(fixed | settings))
    model.compile(optimizer or tf_keras.optimizers.Adam(0.01), loss=negative_log_likelihood)
    return model


def flat_weights(model: tf_keras.Model) -> FloatArray:
    return np.concatenate([np.ravel(weight) for weight in model.get_weights()])


@pytest.fixture(params=["flat", "train_step", "model.fit"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make `fit_mdn` train in one of its ways, whatever the model would allow."""
    if "flat" not in request.param:
        monkeypatch.setattr(training, "can_be_flat", lambda *_: False)
    if request.param == "model.fit":
        monkeypatch.setattr(training, "needs_keras", lambda *_: True)
    return request.param


def settings_of(way: str) -> dict[str, Any]:
    return {"seed": 5, "batch_size": 40, "jit_compile": way.endswith("XLA")}


def by_hand(
    model: tf_keras.Model, x: Any, y: Any, *, epochs: int, weights: FloatArray | None = None
) -> list[float]:
    """Train as the documentation of Keras says, batch by batch, with the same order of rows."""
    rng, losses = np.random.default_rng(5), []
    weights = np.ones(len(y)) if weights is None else weights
    for _ in range(epochs):
        order, total = rng.permutation(len(y)), 0.0
        for start in range(0, len(y), 40):
            chosen = order[start : start + 40]
            with tf.GradientTape() as tape:
                nll = negative_log_likelihood(y[chosen], model(x[chosen].astype(np.float32)))
                loss = tf.reduce_mean(tf.cast(nll, tf.float32) * weights[chosen].astype(np.float32))
            variables = model.trainable_variables
            model.optimizer.apply_gradients(
                zip(tape.gradient(loss, variables), variables, strict=True)
            )
            total += float(loss) * len(chosen)
        losses.append(total / len(y))
    return losses


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "adam": lambda: tf_keras.optimizers.Adam(0.01),
    "clipped": lambda: tf_keras.optimizers.Adam(0.01, clipnorm=0.1),
    "clipped over all": lambda: tf_keras.optimizers.Adam(0.01, global_clipnorm=0.1),
    "clipped values": lambda: tf_keras.optimizers.Adam(0.01, clipvalue=0.01),
    "schedule": lambda: tf_keras.optimizers.Adam(
        tf_keras.optimizers.schedules.CosineDecay(0.02, 6)
    ),
}


@pytest.mark.parametrize("way", ["flat, XLA", "train_step, XLA"], indirect=True)
def test_xla_takes_the_same_steps(way: str) -> None:
    x, y = data(2)
    y *= [1.0, 20.0]
    model, reference = (model_for(2, loc=[0.0, 1.0], scale=[2.0, 20.0]) for _ in range(2))
    history = fit_mdn(model, x, y, epochs=2, **settings_of(way))
    losses = by_hand(reference, x, y, epochs=2)
    np.testing.assert_allclose(flat_weights(model), flat_weights(reference), atol=2e-6)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_way_takes_the_steps_of_the_optimizer(way: str, name: str) -> None:
    x, y = data()
    model, reference = (model_for(optimizer=OPTIMIZERS[name]()) for _ in range(2))
    history = fit_mdn(model, x, y, epochs=2, **settings_of(way))
    losses = by_hand(reference, x, y, epochs=2)
    np.testing.assert_allclose(flat_weights(model), flat_weights(reference), atol=2e-6)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-5)
    assert int(model.optimizer.iterations) == 6


@pytest.mark.parametrize(
    ("event_size", "settings"),
    [
        (2, {}),
        (1, {"loc": 1000.0, "scale": 50.0}),
        (2, {"loc": [0.5, -3.0], "scale": [2.0, 0.1], "min_scale": 0.4}),
    ],
)
def test_every_way_trains_heads_of_all_kinds(
    way: str, event_size: int, settings: dict[str, Any]
) -> None:
    x, y = data(event_size)
    y = settings.get("loc", 0.0) + np.asarray(settings.get("scale", 1.0)) * y
    model, reference = model_for(event_size, **settings), model_for(event_size, **settings)
    history = fit_mdn(model, x, y, epochs=2, **settings_of(way))
    losses = by_hand(reference, x, y, epochs=2)
    np.testing.assert_allclose(flat_weights(model), flat_weights(reference), atol=2e-6)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-5)


def test_every_way_weighs_rows(way: str) -> None:
    x, y = data()
    weights = np.random.default_rng(1).uniform(0, 3, ROWS)
    weights[:20] = 0.0
    model, reference = model_for(), model_for()
    history = fit_mdn(model, x, y, sample_weight=weights, epochs=1, **settings_of(way))
    losses = by_hand(reference, x, y, epochs=1, weights=weights)
    # Adam divides a slope by its size, so the rounding of one near 0 shows in the weight; a step is
    # 0.01 long.
    np.testing.assert_allclose(flat_weights(model), flat_weights(reference), atol=1e-5)
    np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-5)


def test_every_way_averages_weights(way: str) -> None:
    x, y = data()
    model, reference = (
        model_for(optimizer=tf_keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.7))
        for _ in range(2)
    )
    fit_mdn(model, x, y, epochs=2, **settings_of(way))
    by_hand(reference, x, y, epochs=2)
    last = flat_weights(reference)
    reference.optimizer.finalize_variable_values(reference.trainable_variables)
    average = flat_weights(reference)
    assert np.abs(average - last).max() > 1e-3
    np.testing.assert_allclose(flat_weights(model), average, atol=1e-6)


def test_every_way_judges_held_out_rows(way: str) -> None:
    x, y = data()
    model = model_for()
    history = fit_mdn(model, x, y, validation_split=0.5, epochs=1, **settings_of(way))
    first = ROWS // 2
    expected = negative_log_likelihood(y[first:], model(x[first:].astype(np.float32)))
    assert history.history["val_loss"] == pytest.approx([float(np.mean(expected))], rel=1e-5)
    weights = np.arange(10.0)
    given = fit_mdn(
        model, x, y, validation_data=(x[:10], y[:10], weights), epochs=1, **settings_of(way)
    )
    nll = negative_log_likelihood(y[:10], model(x[:10].astype(np.float32))).numpy()
    assert given.history["val_loss"] == pytest.approx([np.mean(weights * nll)], rel=1e-5)


def test_rows_keep_their_order_on_request(way: str) -> None:
    x, y = data()
    model, reference = model_for(), model_for()
    fit_mdn(model, x, y, shuffle=False, epochs=1, **settings_of(way))
    reference.fit(x, y, shuffle=False, batch_size=40, verbose=0)
    np.testing.assert_allclose(flat_weights(model), flat_weights(reference), atol=1e-6)


def test_training_goes_on_where_it_ended(way: str) -> None:
    """Weights, moments and the count of steps are those that `model.fit` goes on from."""
    x, y = data()
    model, reference = model_for(), model_for()
    fit_mdn(model, x, y, epochs=1, shuffle=False, **settings_of(way))
    for trained in (reference, reference, model):
        trained.fit(x, y, shuffle=False, batch_size=40, verbose=0)
    np.testing.assert_allclose(flat_weights(model), flat_weights(reference), atol=2e-6)


class Recorder(tf_keras.callbacks.Callback):
    """Writes down every call that it gets, with its logs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, Any]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.calls.append(("train begin", None))

    def on_train_end(self, logs: Any = None) -> None:
        self.calls.append(("train end", logs))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.calls.append((f"epoch {epoch} begin", None))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.calls.append((f"epoch {epoch} end", logs))

    def on_test_begin(self, logs: Any = None) -> None:
        self.calls.append(("test begin", None))

    def on_test_end(self, logs: Any = None) -> None:
        self.calls.append(("test end", logs))


def test_callbacks_get_the_calls_of_model_fit(way: str) -> None:
    x, y = data()
    recorder, keras = Recorder(), Recorder()
    fit_mdn(
        model_for(),
        x,
        y,
        validation_data=(x, y),
        epochs=3,
        callbacks=[recorder],
        shuffle=False,
        **settings_of(way),
    )
    model_for().fit(
        *(x, y), validation_data=(x, y), epochs=3, callbacks=[keras], shuffle=False, batch_size=40,
        verbose=0,
    )  # fmt: skip
    assert [name for name, _ in recorder.calls] == [name for name, _ in keras.calls]
    for (_, logs), (_, expected) in zip(recorder.calls, keras.calls, strict=True):
        assert logs == (expected and pytest.approx(expected, rel=1e-5))
        assert logs is None or all(type(value) is float for value in logs.values())


class FallsAtFirst(tf_keras.callbacks.Callback):
    """Puts a made-up held-out loss into the logs, for the callbacks that come after it."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["made_up"] = [3.0, 2.0, 2.5, 2.4, 2.6, 2.7, 2.8][epoch]


def test_early_stopping_and_plateau_end_where_model_fit_ends(way: str) -> None:
    x, y = data()

    def watchers() -> list[Any]:
        return [
            FallsAtFirst(),
            tf_keras.callbacks.EarlyStopping("made_up", patience=4, restore_best_weights=True),
            tf_keras.callbacks.ReduceLROnPlateau("made_up", patience=2, factor=0.1),
        ]

    model, reference = model_for(), model_for()
    history = fit_mdn(
        model, x, y, epochs=7, callbacks=watchers(), shuffle=False, **settings_of(way)
    )
    expected = reference.fit(
        x, y, epochs=7, callbacks=watchers(), shuffle=False, batch_size=40, verbose=0
    )
    assert list(history.history) == list(expected.history)
    assert len(history.history["loss"]) == 6
    np.testing.assert_allclose(history.history["lr"], expected.history["lr"])
    np.testing.assert_allclose(history.history["loss"], expected.history["loss"], rtol=1e-5)
    np.testing.assert_allclose(flat_weights(model), flat_weights(reference), atol=2e-6)
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-4)


def test_files_of_callbacks_are_those_of_model_fit(way: str, tmp_path: Path) -> None:
    x, y = data()

    def writers(place: Path) -> list[Any]:
        place.mkdir()
        return [
            tf_keras.callbacks.CSVLogger(place / "log.csv"),
            tf_keras.callbacks.ModelCheckpoint(
                str(place / "{epoch}.keras"), monitor="loss", save_best_only=True, mode="max"
            ),
            tf_keras.callbacks.TensorBoard(place / "board"),
        ]

    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    model, reference = model_for(), model_for()
    fit_mdn(model, x, y, epochs=2, callbacks=writers(ours), shuffle=False, **settings_of(way))
    reference.fit(
        x, y, epochs=2, callbacks=writers(theirs), shuffle=False, batch_size=40, verbose=0
    )
    logs, expected = (
        list(csv.DictReader((place / "log.csv").read_text().splitlines()))
        for place in (ours, theirs)
    )
    assert [row["epoch"] for row in logs] == [row["epoch"] for row in expected] == ["0", "1"]
    for row, other in zip(logs, expected, strict=True):
        assert float(row["loss"]) == pytest.approx(float(other["loss"]), rel=1e-5)
    for place in (ours, theirs):
        assert [path.name for path in place.glob("*.keras")] == ["1.keras"]
    first, same = (tf_keras.models.load_model(place / "1.keras") for place in (ours, theirs))
    np.testing.assert_allclose(flat_weights(first), flat_weights(same), atol=2e-6)
    assert int(first.optimizer.iterations) == 3
    assert np.isclose(scalars(ours)["epoch_loss"], scalars(theirs)["epoch_loss"], rtol=1e-5).all()


def scalars(place: Path) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    for file in sorted((place / "board" / "train").glob("events*")):
        for record in tf.data.TFRecordDataset(str(file)):
            for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value:
                if value.tag.startswith("epoch_"):
                    values.setdefault(value.tag, []).append(float(tf.make_ndarray(value.tensor)))
    return values


def test_backup_and_restore_goes_on_after_an_interruption(way: str, tmp_path: Path) -> None:
    x, y = data()

    class Interrupts(tf_keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    def backup() -> Any:
        return tf_keras.callbacks.BackupAndRestore(tmp_path / "backup")

    settings = {"epochs": 4, **settings_of(way)}
    with pytest.raises(KeyboardInterrupt):
        fit_mdn(model_for(), x, y, callbacks=[backup(), Interrupts()], **settings)
    model, reference, recorder = model_for(), model_for(), Recorder()
    fit_mdn(model, x, y, callbacks=[backup(), recorder], **settings)
    fit_mdn(reference, x, y, **settings)
    assert recorder.calls[1][0] == "epoch 2 begin"
    np.testing.assert_allclose(flat_weights(model), flat_weights(reference), atol=1e-6)


def test_the_best_average_of_the_weights_is_kept(way: str) -> None:
    x, y = data()
    keeper = KeepBestAverage()
    model = model_for(optimizer=tf_keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.5))
    history = fit_mdn(
        model, x, y, validation_data=(x, y), epochs=3, callbacks=[keeper], **settings_of(way)
    )
    assert keeper.best_loss == min(history.history["val_loss"])
    assert model.evaluate(x, y, verbose=0) == pytest.approx(keeper.best_loss, rel=1e-5)


def test_several_epochs_in_one_call_have_the_history_of_one_each() -> None:
    x, y = data()
    together, apart = model_for(), model_for()
    waits = tf_keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)
    settings: dict[str, Any] = {"epochs": 100, "seed": 0, "batch_size": 40}  # 86 a call
    history = fit_mdn(together, x, y, **settings).history
    expected = fit_mdn(apart, x, y, callbacks=[waits], **settings).history
    assert len(history["loss"]) == 100
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-4)
    np.testing.assert_allclose(flat_weights(together), flat_weights(apart), atol=1e-3)


@pytest.mark.parametrize("callbacks", [[], [tf_keras.callbacks.TerminateOnNaN()], [Recorder()]])
def test_a_loss_that_is_not_finite_ends_training_and_spares_the_model(
    way: str, callbacks: list[Any]
) -> None:
    x, y = data()
    model = model_for()
    fit_mdn(model, x, y, epochs=1, **settings_of(way))
    before, steps = flat_weights(model), int(model.optimizer.iterations)
    model.optimizer.learning_rate = 1e30
    with pytest.warns(UserWarning, match="the loss was nan in epoch 1, so training ended"):
        history = fit_mdn(model, x, y, epochs=5, callbacks=callbacks, **settings_of(way))
    assert len(history.history["loss"]) == 1
    np.testing.assert_array_equal(flat_weights(model), before)
    assert int(model.optimizer.iterations) == steps
    model.optimizer.learning_rate = 0.01
    assert np.isfinite(fit_mdn(model, x, y, epochs=1).history["loss"]).all()


def test_a_seed_gives_the_same_weights_and_another_seed_others(way: str) -> None:
    x, y = data()
    ends = []
    for seed in (1, 1, 2):
        model = model_for()
        fit_mdn(model, x, y, epochs=1, **(settings_of(way) | {"seed": seed}))
        ends.append(flat_weights(model))
    np.testing.assert_array_equal(ends[0], ends[1])
    assert np.abs(ends[0] - ends[2]).max() > 1e-5


def test_a_model_that_was_not_compiled_is_compiled() -> None:
    x, y = data()
    model = build_mdn(num_components=3, seed=0)
    first, *_, last = fit_mdn(model, x, y, epochs=30, seed=0).history["loss"]
    assert last < first - 0.3
    assert model.loss is negative_log_likelihood
    assert extract_parameters(model, x).means.shape == (ROWS, 3, 1)


def other_models() -> Iterator[tuple[str, tf_keras.Model, Any, bool]]:
    x, _ = data()
    dense, adam = tf_keras.layers.Dense, tf_keras.optimizers.Adam

    def compiled(model: tf_keras.Model, optimizer: Any = None, **settings: Any) -> tf_keras.Model:
        settings = {"loss": negative_log_likelihood} | settings
        model.compile(optimizer or adam(0.01), **settings)
        return model

    left, right = tf_keras.Input((1,)), tf_keras.Input((1,))
    joined = tf_keras.layers.Concatenate()([dense(4)(left), dense(4)(right)])
    two_inputs = build_mdn(3, backbone=tf_keras.Model([left, right], joined))
    yield "two inputs", compiled(two_inputs), [x[:, :1], x[:, 1:]], True
    yield "a backbone", compiled(build_mdn(3, backbone=tf_keras.Sequential([dense(4)]))), x, True
    scalar = tf_keras.Sequential(
        [dense(MixtureNormal.params_size(3, ()), input_shape=(FEATURES,)), MixtureNormal(3, ())]
    )
    yield "a scalar event", compiled(scalar), x, True
    stock = tf_keras.Sequential(
        [
            dense(tfp.layers.MixtureNormal.params_size(3, [1]), input_shape=(FEATURES,)),
            tfp.layers.MixtureNormal(3, [1]),
        ]
    )
    yield "the layer of TFP", compiled(stock, loss=lambda y, d: -d.log_prob(y)), x, False
    yield "a metric", compiled(model_for(), metrics=["mae"]), x, False
    yield "RMSprop", compiled(model_for(), tf_keras.optimizers.RMSprop(0.01)), x, False
    yield "AdamW", compiled(model_for(), tf_keras.optimizers.AdamW(0.01)), x, False
    yield "legacy Adam", compiled(model_for(), tf_keras.optimizers.legacy.Adam(0.01)), x, False
    hidden = [tf_keras.layers.BatchNormalization(), tf_keras.layers.Dropout(0.1, seed=0)]
    network = tf_keras.Sequential([tf_keras.Input((FEATURES,)), dense(4), *hidden])
    yield "batch normalisation", compiled(build_mdn(3, backbone=network)), x, False
    layer = dense(4, kernel_regularizer="l2", input_shape=(FEATURES,))
    penalised = build_mdn(3, backbone=tf_keras.Sequential([layer]))
    yield "a regulariser", compiled(penalised), x, False
    recurrent = tf_keras.Sequential([tf_keras.layers.GRU(4, input_shape=(FEATURES, 1))])
    yield "a recurrent layer", compiled(build_mdn(3, backbone=recurrent)), x[..., None], False


@pytest.mark.parametrize(
    ("model", "x", "is_flat"),
    [pytest.param(*case[1:], id=case[0]) for case in other_models()],
)
def test_models_of_all_kinds_are_trained(model: tf_keras.Model, x: Any, is_flat: bool) -> None:  # noqa: FBT001
    _, y = data()
    y = y[:, 0] if getattr(model.layers[-1], "event_shape", None) == () else y
    history = fit_mdn(model, x, y, epochs=12, batch_size=40, seed=0).history
    assert can_be_flat(model, tf.constant(y)) is is_flat
    assert history["loss"][-1] < history["loss"][0]
    assert all(len(values) == 12 for values in history.values())


@pytest.mark.parametrize("loss_weights", [2.0, [0.5], 0.0])
def test_a_weight_of_the_loss_is_taken_as_by_keras(loss_weights: Any) -> None:
    x, y = data()
    ends = []
    ways: list[tuple[Any, dict[str, Any]]] = [(fit_mdn, {}), (tf_keras.Model.fit, {"verbose": 0})]
    for train, settings in ways:
        model = model_for()
        adam = tf_keras.optimizers.Adam(0.01, epsilon=1.0)
        model.compile(adam, negative_log_likelihood, loss_weights=loss_weights)
        history = train(
            *(model, x, y),
            validation_data=(x, y),
            batch_size=40,
            epochs=2,
            shuffle=False,
            **settings,
        ).history
        ends.append([*history["loss"], *history["val_loss"], *flat_weights(model)])
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5, atol=2e-6)


def test_other_number_types_of_keras_are_trained_with() -> None:
    x, y = data()
    try:
        tf_keras.backend.set_floatx("float64")
        tf_keras.mixed_precision.set_global_policy("float32")
        model = model_for()
        history = fit_mdn(model, x, y, epochs=5).history
    finally:
        tf_keras.backend.set_floatx("float32")
        tf_keras.mixed_precision.set_global_policy("float32")
    assert history["loss"][-1] < history["loss"][0]


def test_targets_of_one_number_in_both_shapes(way: str) -> None:
    x, y = data()
    ends = []
    for targets in (y, y[:, 0]):
        raw = tf_keras.layers.Dense(MixtureNormal.params_size(3, ()), input_shape=(FEATURES,))
        model = tf_keras.Sequential([raw, MixtureNormal(3, ())])
        model.set_weights([np.full(w.shape, 0.1) for w in model.get_weights()])
        model.compile("adam", negative_log_likelihood)
        history = fit_mdn(
            model, x, targets, validation_data=(x, targets), epochs=2, **settings_of(way)
        ).history
        ends.append([*history["loss"], *history["val_loss"], *flat_weights(model)])
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-6)


def test_an_optimizer_of_other_variables_is_named() -> None:
    x, y = data()
    model = model_for()
    model.layers[0].trainable = False
    model.compile(tf_keras.optimizers.Adam(0.01), negative_log_likelihood)
    fit_mdn(model, x, y, epochs=1)
    model.layers[0].trainable = True
    with pytest.raises(ValueError, match="optimizer was built for other variables. Compile"):
        fit_mdn(model, x, y, epochs=1)


def test_a_model_in_a_model_is_trained_as_by_keras() -> None:
    x, y = data()
    ends = []
    ways: list[tuple[Any, dict[str, Any]]] = [(fit_mdn, {}), (tf_keras.Model.fit, {"verbose": 0})]
    for train, settings in ways:
        inner = tf_keras.Sequential([tf_keras.layers.Dense(4, "tanh"), tf_keras.layers.Dense(3)])
        model = build_mdn(3, backbone=inner, seed=0)
        model(x[:1].astype(np.float32))
        for seed, layer in enumerate(inner.layers):
            kernel = np.random.default_rng(seed).normal(size=layer.kernel.shape)
            layer.kernel.assign(kernel)
        model.compile(tf_keras.optimizers.Adam(0.01), loss=negative_log_likelihood)
        train(model, x, y, epochs=2, batch_size=40, shuffle=False, **settings)
        assert can_be_flat(model, tf.constant(y))
        ends.append(flat_weights(model))
    np.testing.assert_allclose(ends[0], ends[1], atol=2e-6)


def test_a_frozen_layer_stays_as_it_is() -> None:
    x, y = data()
    model = model_for()
    model.layers[0].trainable = False
    model.compile(tf_keras.optimizers.Adam(0.01), loss=negative_log_likelihood)
    kernels = [layer.get_weights()[0] for layer in model.layers[:2]]
    fit_mdn(model, x, y, epochs=1)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], kernels[0])
    assert np.abs(model.layers[1].get_weights()[0] - kernels[1]).max() > 1e-4


def test_metrics_are_those_of_model_fit() -> None:
    x, y = data()
    histories = []
    for train in (fit_mdn, tf_keras.Model.fit):
        model = model_for()
        model.compile("sgd", loss=negative_log_likelihood, metrics=["mae", "mse"])
        settings: dict[str, Any] = {} if train is fit_mdn else {"verbose": 0}
        history = train(
            model, x, y, validation_data=(x, y), shuffle=False, epochs=2, batch_size=40, **settings
        )
        histories.append(history.history)
    assert list(histories[0]) == list(histories[1])
    for name, values in histories[0].items():
        np.testing.assert_allclose(values, histories[1][name], rtol=1e-5)


def test_sequences_are_trained() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 7, 2))
    y = np.cumsum(x[..., :1], axis=1)
    model, reference = (
        build_mdn(2, backbone=tf_keras.layers.GRU(8, return_sequences=True)) for _ in range(2)
    )
    for each in (model, reference):
        each.compile("sgd", loss=negative_log_likelihood)
        each(x[:1].astype(np.float32))
    reference.set_weights(model.get_weights())
    history = fit_mdn(model, x, y, epochs=2, shuffle=False, batch_size=8)
    expected = reference.fit(x, y, epochs=2, shuffle=False, batch_size=8, verbose=0)
    assert history.history["loss"][0] == pytest.approx(expected.history["loss"][0], rel=1e-5)


def test_a_data_set_goes_through_model_fit() -> None:
    x, y = data()
    batches = tf.data.Dataset.from_tensor_slices((x.astype("f4"), y.astype("f4"))).batch(40)
    model, reference = model_for(), model_for()
    history = fit_mdn(model, batches, validation_data=batches, epochs=2)
    expected = reference.fit(batches, validation_data=batches, epochs=2, verbose=0)
    for name in ("loss", "val_loss"):
        assert history.history[name] == pytest.approx(expected.history[name])
    arrays = fit_mdn(model_for(), x, y, validation_data=batches, epochs=1, shuffle=False)
    assert len(arrays.history["val_loss"]) == 1


def test_callbacks_with_hooks_at_each_batch_get_them() -> None:
    x, y = data()
    batches: list[int] = []
    counter = tf_keras.callbacks.LambdaCallback(
        on_batch_end=lambda batch, logs: batches.append(batch)
    )
    model, reference = model_for(), model_for()
    fit_mdn(model, x, y, callbacks=[counter], epochs=2, batch_size=40, seed=3)
    fit_mdn(reference, x, y, epochs=2, batch_size=40, seed=3)
    assert batches == [0, 1, 2, 0, 1, 2]
    np.testing.assert_allclose(flat_weights(model), flat_weights(reference), atol=1e-6)


def test_a_train_step_of_ones_own_is_used() -> None:
    class Counting(tf_keras.Sequential):
        def train_step(self, batch: Any) -> Any:
            self.steps.assign_add(1)
            return super().train_step(batch)

    x, y = data()
    model = Counting(model_for().layers)
    model.steps = tf.Variable(0)
    model.compile("adam", loss=negative_log_likelihood)
    fit_mdn(model, x, y, epochs=2, batch_size=40)
    assert int(model.steps) == 6


@pytest.mark.parametrize("way", ["flat", "train_step"], indirect=True)
def test_a_second_call_is_not_compiled_again_unless_the_model_is(way: str) -> None:
    x, y = data()
    model = model_for()
    for _ in range(2):
        fit_mdn(model, x, y, validation_split=0.5, epochs=1, **settings_of(way))
    compiled = training._COMPILED[model]["train"][1]
    fit_mdn(model, x, y, validation_split=0.5, epochs=1, **settings_of(way))
    assert training._COMPILED[model]["train"][1] is compiled
    assert compiled._run.experimental_get_tracing_count() == 1
    before = flat_weights(model)
    model.compile(tf_keras.optimizers.Adam(0.0), loss=negative_log_likelihood)
    fit_mdn(model, x, y, validation_split=0.5, epochs=1, **settings_of(way))
    np.testing.assert_array_equal(flat_weights(model), before)


@pytest.mark.parametrize("jit_compile", [True, np.True_])
def test_xla_compiles_what_it_is_asked_to(jit_compile: Any) -> None:
    x, y = data()
    model = model_for()
    fit_mdn(model, x, y, epochs=1, jit_compile=jit_compile)
    compiled = training._COMPILED[model]["train"][1]
    assert compiled._run.experimental_get_tracing_count() == 0
    assert compiled._run_xla.experimental_get_tracing_count() == 1


def test_longer_runs_compile_nothing_anew() -> None:
    x, y = data()
    model = model_for()
    for epochs in (1, 2, 3):
        fit_mdn(model, x, y, epochs=epochs, batch_size=40)
    compiled = training._COMPILED[model]["train"][1]
    assert compiled._run.experimental_get_tracing_count() == 1


def test_models_are_not_kept_alive() -> None:
    x, y = data()
    model = model_for()
    fit_mdn(model, x, y, validation_split=0.5, epochs=1)
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None


def test_long_runs_are_compiled_with_xla_and_short_ones_are_not() -> None:
    small, large = model_for(), model_for(hidden_units=(256, 256))
    after = functools.partial(xla_after, may_stop=False)
    assert after(small, 1000, 32) is None
    assert after(small, 50_000, 32) == 0
    assert after(large, 1000, 1024) == 0


def test_runs_that_may_stop_are_compiled_with_xla_when_they_turn_out_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_flat_epochs, "_XLA_COMPILE_SECONDS", 4 * _flat_epochs._XLA_SAVES_PER_STEP)
    monkeypatch.setattr(_flat_epochs, "_XLA_SAVES_PER_UNIT", 0.0)
    x, y = data()
    model, reference = model_for(), model_for()
    stop = tf_keras.callbacks.EarlyStopping("loss", patience=10)
    fit_mdn(model, x, y, shuffle=False, batch_size=ROWS // 2, epochs=5, callbacks=[stop])
    epochs = training._COMPILED[model]["train"][1]
    assert epochs._run.experimental_get_tracing_count() == 1
    assert epochs._run_xla.experimental_get_tracing_count() == 1
    fit_mdn(reference, x, y, shuffle=False, batch_size=ROWS // 2, epochs=5, jit_compile=False)
    np.testing.assert_allclose(flat_weights(model), flat_weights(reference), atol=2e-5)
    # Each run counts for itself, so that the same call gives the same weights.
    fit_mdn(model, x, y, batch_size=ROWS // 2, epochs=2, callbacks=[stop])
    assert training._COMPILED[model]["train"][1] is epochs
    assert epochs._steps_done == 4


@pytest.mark.parametrize(("verbose", "expected"), [(1, "2/2"), (2, "epoch 2/2 - loss ")])
def test_progress_is_shown(verbose: int, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = data()
    fit_mdn(model_for(), x, y, epochs=2, verbose=verbose)
    assert expected in capsys.readouterr().out
    fit_mdn(model_for(), x, y, epochs=2)
    assert capsys.readouterr().out == ""


def test_one_row_and_batches_larger_than_the_data_are_trained_on() -> None:
    x, y = data()
    model = model_for()
    assert len(fit_mdn(model, x[:1], y[:1], epochs=3).history["loss"]) == 3
    assert len(fit_mdn(model, x, y[:, 0], epochs=3, batch_size=1000).history["loss"]) == 3


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        ("mse", "mean_squared_error"),
        ("mean_absolute_error", "mean_absolute_error"),
        (tf_keras.losses.MeanSquaredError(), "MeanSquaredError"),
        (tf_keras.losses.Huber(0.5), "Huber"),
        (tf_keras.losses.log_cosh, "log_cosh"),
    ],
)
def test_a_loss_of_the_mean_alone_is_warned_of(loss: Any, name: str) -> None:
    x, y = data()
    model = model_for()
    model.compile("adam", loss)
    with pytest.warns(UserWarning, match=f"its loss {name} .* loss=tfp_mdn.negative_log") as seen:
        fit_mdn(model, x, y, epochs=2)
    assert len(seen) == 1
    assert seen[0].filename == __file__


@pytest.mark.parametrize(
    "loss",
    [negative_log_likelihood, NLLLoss(), CRPSLoss(), BetaNLLLoss(), lambda y, d: (y - d) ** 2],
)
def test_other_losses_are_not_warned_of(loss: Any) -> None:
    x, y = data()
    model = model_for()
    model.compile("adam", loss)
    fit_mdn(model, x, y, epochs=1)


def test_a_squared_error_of_a_network_without_distribution_is_not_warned_of() -> None:
    x, y = data()
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(FEATURES,))])
    model.compile("adam", "mse")
    fit_mdn(model, x, y, epochs=1)


X, Y = data()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": "mdn"}, TypeError, "model must be a tf_keras model, got str"),
        ({"x": X[:5]}, ValueError, "y must have 5 rows as x has, got 90"),
        ({"x": np.where(X > 2, np.nan, X)}, ValueError, "x must be finite"),
        ({"x": X[:, :1]}, ValueError, r"x must have shape \(N, 2\)"),
        ({"x": X.astype(str)}, TypeError, "x must hold real numbers"),
        ({"y": None}, ValueError, "y must be given"),
        ({"x": None}, ValueError, "x must be given"),
        ({"y": np.full_like(Y, np.inf)}, ValueError, "y must be finite"),
        ({"y": np.ones((ROWS, 2))}, ValueError, r"y must have shape \(N, 1\)"),
        ({"y": np.ones(ROWS, int)}, TypeError, "y must hold floating-point numbers"),
        ({"sample_weight": np.ones(3)}, ValueError, "sample_weight must have 90 rows"),
        ({"sample_weight": -np.ones(ROWS)}, ValueError, "sample_weight must hold one number"),
        ({"validation_data": (X, Y[:5])}, ValueError, "validation y must have 90 rows"),
        ({"validation_data": (X,)}, ValueError, "validation_data must be"),
        ({"validation_split": 1.0}, ValueError, "validation_split must be"),
        ({"validation_split": 0.999}, ValueError, "leaves no rows on one side of 90"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1"),
        ({"batch_size": 2.5}, TypeError, "batch_size must be an integer"),
        ({"seed": "x"}, TypeError, "seed must be"),
        ({"jit_compile": "yes"}, ValueError, 'jit_compile must be True, False or "auto"'),
        ({"callbacks": [len]}, TypeError, "callbacks must hold callbacks of tf_keras"),
        ({"verbose": 3}, ValueError, "verbose must be 0, 1 or 2"),
        ({"x": iter([]), "y": Y}, ValueError, "must hold targets and weights itself"),
    ],
)
def test_bad_arguments_are_named(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    given: dict[str, Any] = {"model": model_for(), "x": X, "y": Y, "epochs": 1} | arguments
    with pytest.raises(error, match=message):
        fit_mdn(**given)
