"""Saving and loading: equal afterwards, nothing lost on failure, nothing run from a file."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import zipfile
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

from tfp_mdn import persistence
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.layers import MixtureNormal
from tfp_mdn.losses import negative_log_likelihood
from tfp_mdn.model_directory import read_metadata
from tfp_mdn.models import build_mdn
from tfp_mdn.persistence import load, save

ROOT = Path(__file__).resolve().parent.parent
X = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
Y = X[:, :1]


def make_model(**options: Any) -> tf_keras.Model:
    options = {"num_components": 2, "hidden_units": (4,), "input_size": 2, **options}
    return build_mdn(**options)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[tf_keras.Model, Path]:
    """Return a model and the directory that it was saved to; no test may change either."""
    model = make_model()
    path = tmp_path_factory.mktemp("original") / "model"
    save(model, path)
    return model, path


@pytest.fixture
def saved(original: tuple[tf_keras.Model, Path], tmp_path: Path) -> Path:
    """Return a saved model to tamper with."""
    return Path(shutil.copytree(original[1], tmp_path / "model"))


def assert_same_predictions(a: tf_keras.Model, b: tf_keras.Model) -> None:
    np.testing.assert_array_equal(a.predict(X, verbose=0), b.predict(X, verbose=0))


def test_the_directory_is_what_the_documentation_says(original: tuple[Any, Path]) -> None:
    model, path = original
    assert sorted(part.name for part in path.iterdir()) == ["metadata.json", "model.keras"]
    metadata = json.loads((path / "metadata.json").read_text())
    assert metadata["schema_version"] == persistence.SCHEMA_VERSION == 2
    assert metadata["kind"] == "model"
    assert metadata["versions"]["tensorflow"] == tf.__version__
    assert os.listdir(path.parent) == ["model"]
    assert_same_predictions(load(path), model)
    assert_same_predictions(load(str(path)), model)


def backbone() -> tf_keras.Model:
    """Return a graph of wrapped layers and operations, whose configurations are nested deeply."""
    layers = tf_keras.layers
    inputs = tf_keras.Input((3, 2))
    hidden = layers.Bidirectional(layers.SimpleRNN(3, return_sequences=True))(inputs)
    hidden = layers.TimeDistributed(layers.Dense(4, kernel_regularizer="l2"))(hidden)
    return tf_keras.Model(inputs, layers.LayerNormalization()(tf.nn.relu(hidden)[:, :, :3] + 1.0))


def test_models_and_estimators_reload_in_a_fresh_process(
    run_python: Callable[..., str], fitted: MDNRegressor, rows: Any, tmp_path: Path
) -> None:
    recurrent = build_mdn(2, backbone=backbone())
    schedule = tf_keras.optimizers.schedules.CosineDecay(0.01, 10)
    recurrent.compile(tf_keras.optimizers.AdamW(schedule), negative_log_likelihood)
    sequences = X.reshape(-1, 3, 2)
    recurrent.optimizer.build(recurrent.trainable_variables)
    save(recurrent, tmp_path / "recurrent")
    model = make_model(loc=1e9)
    save(model, tmp_path / "model")
    save(fitted, tmp_path / "estimator")
    expected = fitted.predict_parameters(rows[0])
    np.savez(
        tmp_path / "expected.npz",
        rows=rows[0],
        recurrent=recurrent.predict(sequences, verbose=0),
        model=model.predict(X, verbose=0),
        means=expected.means,
        variances=expected.variances,
    )
    run_python(
        """
        import sys, pathlib
        import numpy as np
        import tfp_mdn
        folder = pathlib.Path(sys.argv[1])
        saved = np.load(folder / "expected.npz")
        x = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
        recurrent = tfp_mdn.load(folder / "recurrent")
        predicted = recurrent.predict(x.reshape(-1, 3, 2), verbose=0)
        np.testing.assert_array_equal(predicted, saved["recurrent"])
        assert type(recurrent.optimizer).__name__ == "AdamW"
        model = tfp_mdn.load(folder / "model")
        np.testing.assert_array_equal(model.predict(x, verbose=0), saved["model"])
        for load in (tfp_mdn.load, tfp_mdn.MDNRegressor.load):
            p = load(folder / "estimator").predict_parameters(saved["rows"])
            np.testing.assert_array_equal(p.means, saved["means"])
            np.testing.assert_array_equal(p.variances, saved["variances"])
        """,
        tmp_path,
    )


def test_a_saved_model_is_replaced_whole(saved: Path) -> None:
    other = make_model()
    save(other, saved)
    assert_same_predictions(load(saved), other)
    assert os.listdir(saved.parent) == ["model"]


def fail(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (tf_keras.Sequential, "save"),
        (zipfile.ZipFile, "open"),
        (Path, "write_text"),
        (os, "fsync"),
        (tempfile, "TemporaryDirectory"),
    ],
)
def test_a_failure_at_any_point_loses_nothing_and_leaves_nothing(
    original: tuple[tf_keras.Model, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    exists: bool,  # noqa: FBT001
) -> None:
    path = tmp_path / "model"
    if exists:
        shutil.copytree(original[1], path)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        with pytest.raises(OSError, match="model c.* be written .No space left on device.; noth"):
            save(make_model(), path)
    assert os.listdir(tmp_path) == (["model"] if exists else [])
    if exists:
        assert_same_predictions(load(path), original[0])


def test_a_disk_that_fills_up_and_a_kill_leave_the_older_model(
    original: tuple[tf_keras.Model, Path], saved: Path
) -> None:
    code = """
    import os, resource, signal, sys
    import tfp_mdn
    from tfp_mdn import model_directory
    model = tfp_mdn.build_mdn(hidden_units=(500, 500), input_size=2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        tfp_mdn.save(model, sys.argv[1])
    except OSError as error:
        print(error, flush=True)
    small = tfp_mdn.build_mdn(hidden_units=(2,), input_size=2)
    model_directory.json.dumps = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
    tfp_mdn.save(small, sys.argv[1])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(saved)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "could not be written" in done.stdout
    assert "too large" in done.stdout
    assert_same_predictions(load(saved), original[0])


@pytest.mark.filterwarnings("ignore:The object being serialized includes a .lambda")
def test_what_could_not_be_loaded_again_is_not_saved(
    original: tuple[tf_keras.Model, Path], saved: Path
) -> None:
    class Unregistered(tf_keras.layers.Dense):
        pass

    with_lambda = tf_keras.Sequential(
        [tf_keras.Input((2,)), tf_keras.layers.Lambda(lambda x: x + 1)]
    )
    stock = tf_keras.Sequential([tf_keras.Input((9,)), tfp.layers.MixtureNormal(3, (1,))])
    own_layer = tf_keras.Sequential([tf_keras.Input((2,)), Unregistered(2)])
    lambda_loss = make_model()
    lambda_loss.compile("adam", lambda y, d: -d.log_prob(y))
    for model, message in (
        (with_lambda, "Lambda, which may not be loaded"),
        (stock, r"be replaced by tfp_mdn.layers.MixtureNormal"),
        (own_layer, "Unregistered, which may not be loaded"),
        (lambda_loss, "may not be loaded"),
        (make_model(activation=lambda x: x), "could not be loaded"),
    ):
        with pytest.raises(ValueError, match=message):
            save(model, saved)
    assert os.listdir(saved.parent) == ["model"]
    assert_same_predictions(load(saved), original[0])


@pytest.mark.parametrize(
    "contents",
    [
        {},
        {"thesis.txt": "precious"},
        {"metadata.json": "{}", "thesis.txt": "precious"},
        {"metadata.json": '{"format": "other"}'},
        {"metadata.json": "not JSON"},
        {"metadata.json": '{"format": "tfp_mdn"}', "thesis.txt": "precious"},
    ],
)
def test_foreign_directories_are_left_alone(tmp_path: Path, contents: dict[str, str]) -> None:
    path = tmp_path / "results"
    path.mkdir()
    for name, text in contents.items():
        (path / name).write_text(text)
    with pytest.raises(FileExistsError, match="exists and is not a saved tfp_mdn model"):
        save(make_model(), path)
    assert {part.name: part.read_text() for part in path.iterdir()} == contents
    assert os.listdir(tmp_path) == ["results"]


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="choose another path"):
        save(make_model(), path)
    assert path.read_text() == "precious"
    with pytest.raises(OSError, match="notes.txt"):
        save(make_model(), path / "model")


def test_missing_parents_are_made(tmp_path: Path) -> None:
    save(make_model(), tmp_path / "a" / "b" / "model")
    assert load(tmp_path / "a" / "b" / "model").built


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: build_mdn(2), ValueError, "no weights yet"),
        (lambda: None, TypeError, "must be a tf_keras model or one of .* got NoneType"),
        (lambda: MDNRegressor, TypeError, "got type"),
        (lambda: keras.Sequential([keras.layers.Dense(1)]), TypeError, "Keras 3 object"),
    ],
)
def test_other_objects_are_refused(
    make: Callable[[], Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        save(make(), tmp_path / "model")
    assert os.listdir(tmp_path) == []


def edit_metadata(path: Path, **changes: Any) -> None:
    metadata = json.loads((path / "metadata.json").read_text())
    (path / "metadata.json").write_text(json.dumps({**metadata, **changes}))


def write(path: Path, name: str, data: bytes) -> None:
    (path / name).write_bytes(data)


def hidden_link(path: Path, name: str) -> None:
    """Put a symbolic link to a file elsewhere in place of a file."""
    (path / name).rename(path.parent / name)
    (path / name).symlink_to(path.parent / name)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: (p / "metadata.json").unlink(), "is not a saved tfp_mdn model"),
        (lambda p: write(p, "metadata.json", b"{"), "is not a saved tfp_mdn model"),
        (lambda p: write(p, "metadata.json", b"\xff\xfe"), "is not a saved tfp_mdn model"),
        (lambda p: write(p, "metadata.json", b"[1]"), "is not a saved tfp_mdn model"),
        (lambda p: write(p, "metadata.json", b"[" * 100000), "is not a saved tfp_mdn model"),
        (lambda p: write(p, "metadata.json", b"{}"), "is not a saved tfp_mdn model"),
        (lambda p: edit_metadata(p, format="other"), "its format is 'other'"),
        (lambda p: edit_metadata(p, schema_version=3), "schema version 3, .* up to 2. Install a n"),
        (lambda p: edit_metadata(p, schema_version="1"), "schema version 1"),
        (lambda p: edit_metadata(p, schema_version=True), "schema version True"),
        (lambda p: edit_metadata(p, schema_version=0), "schema version 0"),
        (lambda p: edit_metadata(p, kind="Booster"), "holds a 'Booster', which this package does"),
        (lambda p: edit_metadata(p, kind=["model"]), "metadata.json has no valid kind"),
        (lambda p: edit_metadata(p, kind="MDNRegressor"), "does not describe a MDNRegressor"),
        (lambda p: (p / "model.keras").unlink(), "is damaged: model.keras is missing"),
        (lambda p: write(p, "model.keras", b""), "model.keras does not match its SHA-256 checks"),
        (lambda p: edit_metadata(p, files={}, schema_version=1, kind="MDN"), "holds a 'MDN'"),
        (lambda p: edit_metadata(p, files=None), "metadata.json has no valid files"),
        (lambda p: edit_metadata(p, files={"../a": {}}), "metadata.json has no valid files"),
        (lambda p: edit_metadata(p, files={"other": {}}), "is damaged: other is missing"),
        (lambda p: edit_metadata(p, files={"model.keras": {}}), "does not match its SHA-256"),
        (lambda p: edit_metadata(p, feature_names=[1]), "has no valid feature_names"),
        (lambda p: edit_metadata(p, versions="2", extras=[]), "has no valid versions, extras"),
        (lambda p: hidden_link(p, "model.keras"), "model.keras is a symbolic link"),
        (lambda p: hidden_link(p, "metadata.json"), "is a symbolic link"),
    ],
)
def test_damaged_directories(saved: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(saved)
    with pytest.raises(ValueError, match=message):
        load(saved)


def test_what_is_not_there_or_no_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no saved model at"):
        load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is not a saved tfp_mdn model"):
        load(tmp_path / "file")


@pytest.mark.parametrize(
    "changes",
    [
        {"arguments": {"colour": "red"}},
        {"arguments": None},
        {"arguments": {"hidden_units": 3}},
        {"arguments": {}},
    ],
)
def test_an_estimator_s_damaged_metadata(saved: Path, changes: dict[str, Any]) -> None:
    edit_metadata(saved, kind="MDNRegressor", **changes)
    with pytest.raises(ValueError, match="does not describe a MDNRegressor"):
        load(saved)


@tf_keras.saving.register_keras_serializable(package="tests")
class Doubled(tf_keras.layers.Layer):
    def __init__(self, factor: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs: Any) -> Any:
        return tripled(self.factor * inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


@tf_keras.saving.register_keras_serializable(package="tests")
def tripled(inputs: Any) -> Any:
    return 3.0 * inputs


def test_layers_and_functions_that_the_user_registered_reload(tmp_path: Path) -> None:
    layers = [Doubled(5.0), tf_keras.layers.Dense(4, activation=tripled)]
    model = build_mdn(2, backbone=tf_keras.Sequential([tf_keras.Input((2,)), *layers]))
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert_same_predictions(again, model)
    assert not np.allclose(model.predict(X, verbose=0), 0)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_reloads(tmp_path: Path, policy: str) -> None:
    dense = tf_keras.layers.Dense(4, dtype=policy)
    model = make_model(backbone=dense)
    save(model, tmp_path / "model")
    assert_same_predictions(load(tmp_path / "model"), model)


def functional(*sizes: int) -> tf_keras.Model:
    inputs = [tf_keras.Input((size,)) for size in sizes]
    inner = tf_keras.Model(inputs[0], tf_keras.layers.Dense(4, "tanh")(inputs[0]))
    hidden = tf_keras.layers.Concatenate()([inner(inputs[0]), *inputs])
    hidden = tf_keras.layers.Dense(MixtureNormal.params_size(2, 1))(hidden + 1.0)
    return tf_keras.Model(inputs, MixtureNormal(2, 1)(hidden))


def recurrent() -> tf_keras.Model:
    steps = tf_keras.Input((None, 3))
    hidden = tf_keras.layers.GRU(4, return_sequences=True)(steps)
    hidden = tf_keras.layers.Dense(MixtureNormal.params_size(2, 1))(hidden)
    return tf_keras.Model(steps, MixtureNormal(2, 1)(hidden))


@pytest.mark.parametrize(
    ("make", "shapes"),
    [
        (lambda: functional(2), [(5, 2)]),
        (lambda: functional(2, 3), [(5, 2), (5, 3)]),
        (recurrent, [(5, 6, 3)]),
    ],
)
def test_functional_models_reload(
    make: Callable[[], tf_keras.Model], shapes: list[tuple[int, ...]], tmp_path: Path
) -> None:
    model, rng = make(), np.random.default_rng(0)
    save(model, tmp_path / "model")
    x = [rng.normal(size=shape).astype("f") for shape in shapes]
    np.testing.assert_array_equal(
        load(tmp_path / "model")(x if len(x) > 1 else x[0]).mean(),
        model(x if len(x) > 1 else x[0]).mean(),
    )


def test_what_would_load_as_another_model_is_not_saved(saved: Path) -> None:
    twice = tf_keras.layers.Dense(2)
    model = tf_keras.Sequential([tf_keras.Input((2,)), twice, twice])
    with pytest.raises(ValueError, match="one layer twice"):
        save(model, saved)
    assert os.listdir(saved.parent) == ["model"]


def test_plain_models_of_keras_reload_too(tmp_path: Path) -> None:
    model = tf_keras.Sequential([tf_keras.Input((2,)), tf_keras.layers.Dense(1, "relu")])
    model.compile("adam", "mse", metrics=["mae", tf_keras.metrics.MeanSquaredError()])
    model.fit(X, Y, verbose=0)
    save(model, tmp_path / "model")
    assert_same_predictions(load(tmp_path / "model"), model)


def test_extras_are_kept_and_read_without_tensorflow(
    run_python: Callable[..., str], tmp_path: Path
) -> None:
    extras = {"categories": {"colour": ["red", "green"]}, "unit": None, "rate": 0.5}
    save(make_model(), tmp_path / "model", extras=extras)
    printed = run_python(
        """
        import json, sys
        from tfp_mdn.model_directory import read_metadata
        print(json.dumps(read_metadata(sys.argv[1])["extras"]))
        assert not {"tensorflow", "tf_keras", "numpy"} & set(sys.modules)
        """,
        tmp_path / "model",
    )
    assert json.loads(printed) == extras


@pytest.mark.parametrize(
    ("extras", "message"),
    [
        ([1], "must be a dictionary of plain JSON"),
        ({1: "one"}, "text alone as keys"),
        ({"a": (1, 2)}, "lists but no tuples"),
        ({"a": {1, 2}}, "extras must be plain JSON"),
        ({"a": float("nan")}, "extras must be plain JSON"),
        ({"a": np.float32(1)}, "extras must be plain JSON"),
    ],
)
def test_extras_that_would_not_come_back(
    saved: Path, original: tuple[tf_keras.Model, Path], extras: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        save(make_model(), saved, extras=extras)
    assert_same_predictions(load(saved), original[0])


def test_a_directory_of_version_1_loads_and_is_replaced(tmp_path: Path) -> None:
    path = Path(shutil.copytree(ROOT / "tests" / "data" / "version_1", tmp_path / "model"))
    metadata = read_metadata(path)
    assert (metadata["schema_version"], metadata["created"]) == (2, None)
    assert (metadata["files"], metadata["extras"]) == ({}, {})
    model = MDNRegressor.load(path)
    assert (model.feature_names_in_.tolist(), model.target_names_) == (["a", "b"], ["t"])
    rows = pd.DataFrame({"a": [0.0, 1.0], "b": [0.0, -1.0]})
    # What the version that wrote the directory answered.
    np.testing.assert_allclose(model.predict(rows), [0.1002329, 0.06258641], rtol=1e-5)
    expected = [-1.417314673750039, -1.5907956810035224]
    np.testing.assert_allclose(model.log_prob(rows, [0.1, 0.9]), expected, rtol=1e-5)
    model.save(path)
    assert json.loads((path / "metadata.json").read_text())["schema_version"] == 2


@pytest.mark.parametrize("path", [None, 3, b"model"])
def test_what_is_no_path_is_named(path: Any, fitted: MDNRegressor) -> None:
    for call in (load, MDNRegressor.load, fitted.save, lambda place: save(fitted, place)):
        with pytest.raises(TypeError, match=f"path must be a path, as text or .*, got {path!r}"):
            call(path)


def test_links(original: tuple[tf_keras.Model, Path], tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(original[1])
    assert_same_predictions(load(link), original[0])
    with pytest.raises(FileExistsError, match="is a symbolic link; give the place that it leads"):
        save(make_model(), link)
    assert link.is_symlink()


def test_a_pickled_estimator_holds_the_checked_bytes(fitted: MDNRegressor) -> None:
    state = fitted.__getstate__()
    assert type(state["model_"]) is bytes
    again = pickle.loads(pickle.dumps(fitted))
    x = np.zeros((3, 2))
    np.testing.assert_array_equal(again.predict(x), fitted.predict(x))
    with pytest.raises(ValueError, match="is damaged or not a Keras model"):
        MDNRegressor().__setstate__({**state, "model_": b"cos\nsystem\n"})
