from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from tf_keras.callbacks import Callback

from tfp_mdn._validation import FloatArray
from tfp_mdn.callbacks import ComponentUsage, KeepBestAverage
from tfp_mdn.losses import NegativeLogLikelihood, NLLLoss, negative_log_likelihood
from tfp_mdn.models import build_mdn
from tfp_mdn.training import fit_mdn

ROOT = Path(__file__).resolve().parent.parent
EPOCHS = 4
SECONDS = 300  # that two workers may take on a busy machine

Adam = tf_keras.optimizers.Adam


def data(num_rows: int = 91) -> dict[str, Any]:
    """Return rows of which a batch of 40 and the rest of 11 split unevenly."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(num_rows, 2))
    y = np.sin(2 * x[:, :1]) + 0.2 * rng.normal(size=(num_rows, 1))
    return {"x": x, "y": y, "sample_weight": rng.uniform(0, 2, num_rows)}


def model_for(optimizer: Any = None, loss: Any = None, **settings: Any) -> tf_keras.Model:
    fixed: dict[str, Any] = {"hidden_units": (8,), "input_size": 2, "seed": 0}
    model = build_mdn(3, **(fixed | settings))
    model.compile(optimizer or Adam(0.01), loss or negative_log_likelihood)
    return model


def settings(**others: Any) -> dict[str, Any]:
    return {"epochs": EPOCHS, "batch_size": 40, "seed": 5, **others}


def flat_state(model: tf_keras.Model) -> FloatArray:
    """Return the weights and the state of the optimizer."""
    variables = [*model.variables, *model.optimizer.variables]
    return np.concatenate([np.ravel(variable.numpy()) for variable in variables])


def assert_same(model: tf_keras.Model, reference: tf_keras.Model) -> None:
    np.testing.assert_allclose(flat_state(model), flat_state(reference), atol=1e-6)


@pytest.fixture
def one_device() -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(["CPU:0"])


# One device in this process: what is copied, and what comes back.


def stock_model() -> tf_keras.Model:
    size = tfp.layers.MixtureNormal.params_size(3, [1])
    start = tf_keras.initializers.GlorotUniform(seed=0)
    model = tf_keras.Sequential(
        [
            tf_keras.layers.Dense(size, kernel_initializer=start, input_shape=(2,)),
            tfp.layers.MixtureNormal(3, [1]),
        ]
    )
    model.compile(Adam(0.01), lambda y, distribution: -distribution.log_prob(y))
    return model


def lazy_model() -> tf_keras.Model:
    model = build_mdn(3, hidden_units=(8,), seed=0)
    model(data()["x"][:1])
    return model


def standardising_model() -> tf_keras.Model:
    inputs = tf_keras.Input((2,))
    layer = tf_keras.layers.Normalization()
    layer.adapt(1000 + 50 * data()["x"])
    model = build_mdn(3, backbone=tf_keras.Model(inputs, layer(inputs)), seed=0)
    model.compile("adam", NLLLoss(), metrics=["mae"], weighted_metrics=[NegativeLogLikelihood()])
    return model


def frozen_model() -> tf_keras.Model:
    model = model_for(tf_keras.optimizers.SGD(0.01, momentum=0.9))
    model.layers[0].trainable = False
    model.compile(tf_keras.optimizers.SGD(0.01, momentum=0.9), negative_log_likelihood)
    return model


@pytest.mark.parametrize(
    "make",
    [stock_model, lazy_model, standardising_model, frozen_model],
)
def test_models_of_all_kinds_are_copied_and_get_all_back(
    make: Callable[[], tf_keras.Model], one_device: tf.distribute.Strategy
) -> None:
    model, reference = make(), make()
    for number, each in enumerate((model, reference)):
        strategy = None if number else one_device
        for _ in range(2 if make is frozen_model else 1):  # momentum is what a second one needs
            history = fit_mdn(each, **data(), **settings(epochs=2, strategy=strategy))
        assert history is each.history
        assert history.model is each
    assert_same(model, reference)
    assert model.history.history.keys() == reference.history.history.keys()
    for name, values in model.history.history.items():
        np.testing.assert_allclose(values, reference.history.history[name], rtol=1e-5)
    x = data()["x"][:5]
    mean, expected = (np.asarray(each(x.astype(np.float32)).mean()) for each in (model, reference))
    np.testing.assert_allclose(mean, expected, rtol=1e-5)


def test_the_rate_that_callbacks_set_comes_back(one_device: tf.distribute.Strategy) -> None:
    model = model_for()
    slower = tf_keras.callbacks.LearningRateScheduler(lambda epoch: 0.5**epoch)
    fit_mdn(model, **data(), **settings(callbacks=[slower], strategy=one_device))
    assert float(model.optimizer.learning_rate) == 0.125
    assert slower.model is model


def test_streams_are_trained_on(one_device: tf.distribute.Strategy) -> None:
    rows = data()
    batches = tf.data.Dataset.from_tensor_slices(
        (rows["x"].astype("f4"), rows["y"].astype("f4"), rows["sample_weight"].astype("f4"))
    ).batch(40)
    model, reference = model_for(), model_for()
    history = fit_mdn(model, batches, validation_data=batches, epochs=2, strategy=one_device)
    expected = fit_mdn(reference, batches, validation_data=batches, epochs=2)
    assert_same(model, reference)
    assert history.history["val_loss"] == pytest.approx(expected.history["val_loss"])
    with pytest.raises(ValueError, match="model has no weights yet: give input_size"):
        fit_mdn(build_mdn(3), batches, epochs=1, strategy=one_device)


class Sees(Callback):
    """Keeps the model that is trained."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.models = [self.model]


def test_a_model_of_the_scope_is_trained_itself(one_device: tf.distribute.Strategy) -> None:
    with one_device.scope():
        model = build_mdn(3, seed=0)
    seen = Sees()
    fit_mdn(model, **data(), **settings(callbacks=[seen], strategy=one_device))
    assert seen.models == [model]
    other = tf.distribute.OneDeviceStrategy("CPU:0")
    with pytest.raises(ValueError, match="strategy must be the one in whose scope the model was"):
        fit_mdn(model, **data(), **settings(strategy=other))


def test_an_interrupted_run_leaves_the_model_trained(one_device: tf.distribute.Strategy) -> None:
    def interrupt(epoch: int, logs: Any) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    model, reference = model_for(), model_for()
    stop = tf_keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit_mdn(model, **data(), **settings(callbacks=[stop], strategy=one_device))
    fit_mdn(reference, **data(), **settings(epochs=2))
    assert_same(model, reference)


def test_a_restored_run_goes_through_the_orders_that_are_left(
    one_device: tf.distribute.Strategy, tmp_path: Path
) -> None:
    def interrupt(epoch: int, logs: Any) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    def backup() -> Callback:
        return tf_keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))

    stop = tf_keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit_mdn(model_for(), **data(), **settings(callbacks=[backup(), stop], strategy=one_device))
    model, reference = model_for(), model_for()
    history = fit_mdn(model, **data(), **settings(callbacks=[backup()], strategy=one_device))
    fit_mdn(reference, **data(), **settings())
    assert len(history.history["loss"]) == EPOCHS - 2
    assert_same(model, reference)


def test_a_loss_that_is_not_finite_spares_the_model(one_device: tf.distribute.Strategy) -> None:
    model = model_for(Adam(1e30))
    before = model.get_weights()
    with pytest.warns(UserWarning, match="the loss was nan in epoch 1, so training ended"):
        fit_mdn(model, **data(), **settings(strategy=one_device))
    for weight, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


class Opaque(tf_keras.Model):
    """Cannot be built again: it does not say from what."""

    def __init__(self, inner: tf_keras.Model) -> None:
        super().__init__()
        self.inner = inner

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs)


def opaque_model() -> tf_keras.Model:
    model = Opaque(build_mdn(3, input_size=2, seed=0))
    model.compile("adam", negative_log_likelihood)
    return model


def choosy_model() -> tf_keras.Model:
    optimizer = tf_keras.optimizers.AdamW(0.01)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return model_for(optimizer)


COPY = "Build and compile it inside `with strategy.scope"


@pytest.mark.parametrize(
    ("make", "strategy", "error", "message"),
    [
        (model_for, "mirrored", TypeError, "strategy must be one of tf.distribute .*, got str"),
        (model_for, tf.distribute.get_strategy(), TypeError, "got _DefaultDistributionStrategy"),
        (opaque_model, None, ValueError, COPY),
        (lambda: model_for(tf_keras.optimizers.legacy.Adam()), None, ValueError, COPY),
        (choosy_model, None, ValueError, COPY),
    ],
)
def test_what_cannot_be_trained_is_refused(
    make: Callable[[], tf_keras.Model],
    strategy: Any,
    error: type[Exception],
    message: str,
    one_device: tf.distribute.Strategy,
) -> None:
    with pytest.raises(error, match=message):
        fit_mdn(make(), **data(), **settings(strategy=strategy or one_device))


# One process, two devices. Devices are made before TensorFlow starts, hence a process of its own.


def compare_on_two_devices() -> None:
    """Print how far models trained on two devices are from models trained on one."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert strategy.num_replicas_in_sync == 2

    def penalised() -> tf_keras.Model:
        network = tf_keras.Sequential(
            [tf_keras.layers.Dense(4, "tanh", kernel_regularizer="l2", input_shape=(2,))]
        )
        model = build_mdn(3, backbone=network, seed=0)
        metrics = [NegativeLogLikelihood()]
        model.compile(Adam(0.01), negative_log_likelihood, weighted_metrics=metrics)
        model.layers[1].kernel.assign(np.linspace(-1, 1, 8).reshape(2, 4))
        return model

    def summed() -> tf_keras.Model:
        return model_for(Adam(1e-3), NLLLoss(reduction="sum"))

    def averaged() -> tf_keras.Model:
        return model_for(Adam(0.01, use_ema=True, ema_momentum=0.7))

    def dying() -> tf_keras.Model:
        model = model_for()
        kernel, bias = model.layers[1].get_weights()
        bias[0] -= 20.0
        model.layers[1].set_weights([kernel, bias])
        return model

    def no_callbacks() -> list[Callback]:
        return []

    def plateau() -> list[Callback]:
        return [tf_keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=9.0)]

    def usage() -> list[Callback]:
        return [ComponentUsage(data()["x"], restart_dead=True, threshold=1e-3)]

    def average() -> list[Callback]:
        return [KeepBestAverage()]

    # Rows, of which nine tenths are trained on: 90, 81 and 91, in batches of 40. Of a sum over rows
    # that split unevenly, Keras logs a weighted mean of the devices' sums.
    cases: dict[str, tuple[Callable[[], tf_keras.Model], Callable[[], list[Callback]], int]] = {
        "rows that split evenly": (model_for, no_callbacks, 100),
        "fewer rows than devices": (model_for, no_callbacks, 91),
        "a penalty and a metric": (penalised, plateau, 102),
        "a sum": (summed, no_callbacks, 100),
        "an average of the weights": (averaged, average, 102),
        "a dead component": (dying, usage, 102),
    }
    found = {}
    for name, (make, callbacks, num_rows) in cases.items():
        model, reference = make(), make()
        options = data(num_rows) | settings(validation_split=0.1)
        here = fit_mdn(reference, callbacks=callbacks(), **options).history
        there = fit_mdn(model, callbacks=callbacks(), strategy=strategy, **options).history
        assert list(here) == list(there)
        gaps = [np.abs(np.subtract(there[name], here[name])).max() for name in here]
        found[name] = [float(np.abs(flat_state(model) - flat_state(reference)).max()), *gaps]
    with strategy.scope():
        model = model_for()
    reference = model_for()
    for each in (model, reference):
        fit_mdn(each, **data(), **settings())
    found["a model of the scope"] = [float(np.abs(flat_state(model) - flat_state(reference)).max())]
    print(json.dumps({name: [float(gap) for gap in gaps] for name, gaps in found.items()}))


@pytest.mark.slow
def test_two_devices_train_as_one(run_python: Callable[..., str]) -> None:
    printed = run_python(
        "from tests.test_strategies import compare_on_two_devices; compare_on_two_devices()"
    )
    found = json.loads(printed.splitlines()[-1])
    assert len(found) == 7
    too_far = {name: gaps for name, gaps in found.items() if max(gaps) > 2e-5}
    assert too_far == {}


# Two processes that work together.


class Waits(Callback):
    """Says that an epoch has begun, and waits to be killed."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self._place = place

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            self._place.touch()
            time.sleep(SECONDS)


def new_worker(task: str, folder: str) -> None:
    """Do the task of a worker, and leave its outcome in the folder."""
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    number = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    place = Path(folder)
    outcome: dict[str, Any] = {}
    if task == "train":
        model = model_for()
        callbacks = [
            tf_keras.callbacks.CSVLogger(place / f"log{number}.csv"),
            tf_keras.callbacks.ModelCheckpoint(str(place / "best.keras"), "loss"),
        ]
        options = settings(validation_split=0.1, verbose=2)
        history = fit_mdn(model, **data(), **options, callbacks=callbacks, strategy=strategy)
        outcome |= {"state": flat_state(model), "loss": history.history["loss"]}
        unseeded = model_for(seed=None)
        fit_mdn(unseeded, **data(), **settings(seed=None, strategy=strategy))
        outcome["unseeded"] = flat_state(unseeded)
        with pytest.raises(ValueError, match="all workers must call fit_mdn with the same rows"):
            fit_mdn(unseeded, **data(91 + number), **settings(strategy=strategy))
    else:
        backup = tf_keras.callbacks.BackupAndRestore(str(place / "backup"))
        callbacks = [backup, *([Waits(place / "begun")] if task == "wait" and number else [])]
        model = model_for()
        history = fit_mdn(model, **data(), **settings(), callbacks=callbacks, strategy=strategy)
        outcome |= {"state": flat_state(model), "loss": history.history["loss"]}
    np.savez(place / f"{task}{number}.npz", **outcome)


@contextlib.contextmanager
def two_workers(task: str, folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start two workers, and end what is left of them."""
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in (first, second)]
    code = f"from tests.test_strategies import new_worker; new_worker({task!r}, {str(folder)!r})"
    workers = []
    try:
        for index in range(2):
            cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            with (folder / f"{task}{index}.log").open("wb") as log:
                workers.append(
                    subprocess.Popen(
                        [sys.executable, "-c", code],
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        env=os.environ
                        | {"TF_CONFIG": json.dumps(cluster), "PYTHONPATH": str(ROOT)}
                        | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"},
                    )
                )
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def logs_of(task: str, folder: Path) -> str:
    return "\n".join((folder / f"{task}{i}.log").read_text(errors="replace") for i in range(2))


def outcomes(task: str, folder: Path) -> list[dict[str, Any]]:
    """Let two workers do a task, and return what each of them ends with."""
    with two_workers(task, folder) as workers:
        end = time.monotonic() + SECONDS
        for worker in workers:
            try:
                code = worker.wait(end - time.monotonic())
            except subprocess.TimeoutExpired:
                code = None
            assert code == 0, logs_of(task, folder)
    found = []
    for index in range(2):
        with np.load(folder / f"{task}{index}.npz") as archive:
            found.append(dict(archive))
    return found


@pytest.mark.slow
def test_two_workers_train_as_one_process(tmp_path: Path) -> None:
    chief, other = outcomes("train", tmp_path)
    reference = model_for()
    history = fit_mdn(reference, **data(), **settings(validation_split=0.1))
    for outcome in (chief, other):
        np.testing.assert_allclose(outcome["state"], flat_state(reference), atol=1e-6)
        np.testing.assert_allclose(outcome["loss"], history.history["loss"], rtol=1e-6)
    # Without seeds, both begin and go on as the chief does.
    np.testing.assert_array_equal(chief["unseeded"], other["unseeded"])
    # The chief alone writes and prints.
    written = {path.name for path in tmp_path.iterdir() if path.suffix in (".csv", ".keras")}
    assert written == {"log0.csv", "best.keras"}
    assert "epoch 4/4 - loss" in (tmp_path / "train0.log").read_text()
    assert "epoch 4/4" not in (tmp_path / "train1.log").read_text()
    best = tf_keras.models.load_model(tmp_path / "best.keras")
    np.testing.assert_allclose(flat_state(best), chief["state"], atol=1e-6)


@pytest.mark.slow
def test_training_goes_on_after_a_worker_was_killed(tmp_path: Path) -> None:
    with two_workers("wait", tmp_path) as (_, victim):
        end = time.monotonic() + SECONDS
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < end, logs_of("wait", tmp_path)
            assert victim.poll() is None, logs_of("wait", tmp_path)
            time.sleep(0.1)
        victim.send_signal(signal.SIGKILL)
        assert victim.wait(SECONDS) == -signal.SIGKILL
    assert not list(tmp_path.glob("wait*.npz"))
    reference = model_for()
    history = fit_mdn(reference, **data(), **settings())
    for outcome in outcomes("resume", tmp_path):
        assert 1 <= len(outcome["loss"]) < EPOCHS
        last = history.history["loss"][-len(outcome["loss"]) :]
        np.testing.assert_allclose(outcome["loss"], last, rtol=1e-6)
        np.testing.assert_allclose(outcome["state"], flat_state(reference), atol=1e-6)
