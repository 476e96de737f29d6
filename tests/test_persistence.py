"""Saving and loading: equal afterwards, nothing lost on failure, nothing run from a file."""

from __future__ import annotations

import base64
import json
import os
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_mdn import persistence
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.losses import negative_log_likelihood
from tfp_mdn.models import build_mdn
from tfp_mdn.persistence import load, save

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
    assert metadata["schema_version"] == persistence.SCHEMA_VERSION == 1
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
    raise OSError("no space left on device")


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (tf_keras.Sequential, "save"),
        (Path, "write_text"),
        (Path, "rename"),
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
        with pytest.raises(OSError, match="no space left"):
            save(make_model(), path)
    assert os.listdir(tmp_path) == (["model"] if exists else [])
    if exists:
        assert_same_predictions(load(path), original[0])


def test_the_old_model_comes_back_if_the_new_one_cannot_be_moved_in(
    original: tuple[tf_keras.Model, Path], saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def rename_all_but_new(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename_all_but_new)
        with pytest.raises(KeyboardInterrupt):
            save(make_model(), saved)
    assert os.listdir(saved.parent) == ["model"]
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


def truncate(path: Path, share: float) -> None:
    data = (path / "model.keras").read_bytes()
    write(path, "model.keras", data[: int(share * len(data))])


def flip(path: Path) -> None:
    """Change one byte of the stored weights."""
    with zipfile.ZipFile(path / "model.keras") as archive:
        info = archive.getinfo("model.weights.h5")
    data = bytearray((path / "model.keras").read_bytes())
    data[info.header_offset + 2000] ^= 0xFF
    write(path, "model.keras", bytes(data))


def encrypt(path: Path) -> None:
    """Set the flags that say that the first member is encrypted."""
    data = bytearray((path / "model.keras").read_bytes())
    data[data.find(b"PK\x03\x04") + 6] |= 1
    data[data.find(b"PK\x01\x02") + 8] |= 1
    write(path, "model.keras", bytes(data))


def replace_archive(path: Path, members: dict[str, str]) -> None:
    with zipfile.ZipFile(path / "model.keras", "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)


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
        (lambda p: edit_metadata(p, schema_version=2), "schema version 2, .* up to 1. Install a n"),
        (lambda p: edit_metadata(p, schema_version="1"), "schema version 1"),
        (lambda p: edit_metadata(p, schema_version=True), "schema version True"),
        (lambda p: edit_metadata(p, schema_version=0), "schema version 0"),
        (lambda p: edit_metadata(p, kind="Booster"), "holds a 'Booster', which this package does"),
        (lambda p: edit_metadata(p, kind=["model"]), "which this package does not know"),
        (lambda p: edit_metadata(p, kind="MDNRegressor"), "does not describe a MDNRegressor"),
        (lambda p: (p / "model.keras").unlink(), "is damaged: model.keras is missing"),
        (lambda p: write(p, "model.keras", b""), "is damaged or not a Keras model"),
        (lambda p: truncate(p, 0.5), "is damaged or not a Keras model"),
        (lambda p: truncate(p, 0.99), "is damaged or not a Keras model"),
        (flip, "model.weights.h5 does not match its checksum"),
        (encrypt, "is damaged or not a Keras model .*encrypted"),
        (lambda p: replace_archive(p, {}), "is damaged or not a Keras model"),
        (lambda p: replace_archive(p, {"config.json": "{"}), "is damaged or not a Keras model"),
        (lambda p: replace_archive(p, {"config.json": "[" * 100000}), "is damaged or not a Keras"),
        (lambda p: replace_archive(p, {"config.json": "{}"}), "could not be loaded"),
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


# Hostile archives. Each names something that could run code, read or write files, in one of the
# ways in which tf_keras finds what a configuration names.

MARK = "hostile-code-ran"


def touch() -> Any:
    """Return an object whose unpickling leaves a file behind in the working directory."""

    class Touch:
        def __reduce__(self) -> Any:
            return os.mkdir, (MARK,)

    return Touch()


PICKLED = base64.b64encode(pickle.dumps(touch())).decode()
LAMBDA = {
    "class_name": "__lambda__",
    "config": {"value": "4wEA", "defaults": None, "closure": None},
}


def named(module: Any, name: Any, config: Any, registered: Any = None) -> dict[str, Any]:
    return {
        "module": module,
        "class_name": name,
        "config": config,
        "registered_name": registered,
    }


LAMBDA_LAYER = {"name": "x", "function": LAMBDA, "function_type": "lambda", "module": "os"}
OURS = "tfp_mdn>MixtureNormal"
DISTRIBUTION = "tensorflow_probability.python.layers.distribution_layer"
TF_OP = "tf_keras.src.layers.core.tf_op_layer"

HOSTILE: dict[str, Any] = {
    "lambda layer": named("keras.layers", "Lambda", LAMBDA_LAYER),
    "lambda layer by a dotted name": named("keras", "layers.Lambda", LAMBDA_LAYER),
    "lambda layer by its file": named("tf_keras.src.layers.core.lambda_layer", "Lambda", {}),
    "lambda layer under our name": named("keras.layers", "Lambda", LAMBDA_LAYER, OURS),
    "lambda layer in a wrapper, the old way": named(
        "keras.layers",
        "TimeDistributed",
        {"layer": {"class_name": "Lambda", "config": LAMBDA_LAYER, "registered_name": OURS}},
    ),
    "lambda": LAMBDA,
    "lambda as activation": named("keras.layers", "Activation", {"activation": LAMBDA}),
    "os": named("os", "system", "mkdir " + MARK),
    "subprocess": named("subprocess", "Popen", {"args": ["mkdir", MARK]}),
    "subprocess under our name": named("subprocess", "Popen", {"args": ["mkdir", MARK]}, OURS),
    "builtin function": named("builtins", "function", "eval", "function"),
    "function of os": named("os", "function", "system", "function"),
    "function to fetch a file": named("keras.utils", "function", "get_file", "function"),
    "function by a dotted name": named("keras", "function", "utils.get_file", "function"),
    "module to be imported": named("antigravity", "fly", {}),
    "stock distribution": named(
        DISTRIBUTION, "DistributionLambda", {"name": "x", "make_distribution_fn": PICKLED}
    ),
    "stock mixture": named(
        "tensorflow_probability.python.layers.distribution_layer", "MixtureNormal", {}
    ),
    "operation that writes": named(
        TF_OP, "TFOpLambda", {"name": "x", "function": "io.write_file"}, "TFOpLambda"
    ),
    "operation that writes, under our name": named(
        TF_OP, "TFOpLambda", {"name": "x", "function": "io.write_file"}, OURS
    ),
    "operation that runs Python": named(TF_OP, "TFOpLambda", {"function": "numpy_function"}),
    "operation without a name": named(TF_OP, "TFOpLambda", None),
    "method of a class": named(TF_OP, "ClassMethod", {"cls_symbol": "io.gfile.GFile"}),
    "saved model from elsewhere": named("keras.src.layers", "TFSMLayer", {"filepath": "."}),
    "file of words": named("keras.layers", "StringLookup", {"vocabulary": "/etc/hostname"}),
    "module that is no name": named(["os"], "system", {}),
    "class that is no name": named("keras.layers", ["Lambda"], {}),
    "nothing registered": named(None, "Mine", {}, "other>Mine"),
    "type specification": {**named("os", "__typespec__", []), "spec_name": "system"},
}


@pytest.mark.parametrize("place", ["layer", "inside a layer", "compiled", "model"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_are_refused_before_anything_runs(
    saved: Path, monkeypatch: pytest.MonkeyPatch, kind: str, place: str
) -> None:
    with zipfile.ZipFile(saved / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    if place == "layer":
        config["config"]["layers"][1] = HOSTILE[kind]
    elif place == "inside a layer":
        config["config"]["layers"][1]["config"]["kernel_initializer"] = HOSTILE[kind]
    elif place == "compiled":
        config["compile_config"] = {"optimizer": "adam", "loss": [HOSTILE[kind]]}
    else:
        config = HOSTILE[kind]
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(saved / "model.keras", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    monkeypatch.chdir(saved)

    def loaded(*_: Any, **__: Any) -> None:
        pytest.fail("the archive reached Keras")

    monkeypatch.setattr(tf_keras.models, "load_model", loaded)
    with pytest.raises(ValueError, match="which may not be loaded"):
        load(saved)
    assert not Path(MARK).exists()


def test_the_payloads_of_the_hostile_archives_are_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(base64.b64decode(PICKLED))
    assert Path(MARK).exists()


def test_canary_safe_mode_alone_finds_functions_of_any_module() -> None:
    # The reason for the list of what may be named: Keras looks up any module that a file names.
    entry = named("os", "function", "getcwd", "function")
    found = tf_keras.saving.deserialize_keras_object(entry, safe_mode=True)
    assert found is os.getcwd


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


def test_plain_models_of_keras_reload_too(tmp_path: Path) -> None:
    model = tf_keras.Sequential([tf_keras.Input((2,)), tf_keras.layers.Dense(1, "relu")])
    model.compile("adam", "mse", metrics=["mae", tf_keras.metrics.MeanSquaredError()])
    model.fit(X, Y, verbose=0)
    save(model, tmp_path / "model")
    assert_same_predictions(load(tmp_path / "model"), model)
