"""The file of a model: what it may name, and that nothing in it runs."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tf_keras

from tfp_mdn._model_file import model_from_bytes, model_to_bytes
from tfp_mdn.losses import negative_log_likelihood
from tfp_mdn.models import build_mdn

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
    "module of a module": named("tf_keras.src.engine.functional", "functools", {}),
    "Lambda of a functional model": named(
        "tf_keras.src.engine.functional",
        "Functional",
        {"layers": [named("keras.layers", "Lambda", {"function": "x"})]},
    ),
    "nothing registered": named(None, "Mine", {}, "other>Mine"),
    "type specification": {**named("os", "__typespec__", []), "spec_name": "system"},
}


PLACES: dict[str, Callable[[Any, Any], Any]] = {
    "layer": lambda config, entry: config["config"]["layers"].__setitem__(1, entry),
    "inside a layer": lambda config, entry: config["config"]["layers"][1]["config"].update(
        kernel_initializer=entry
    ),
    "deep inside": lambda config, entry: config["config"]["layers"][1]["config"].update(
        kernel_regularizer={"module": "keras.layers", "inner": [[{"deeper": [1, [entry]]}]]}
    ),
    "built": lambda config, entry: config["config"]["layers"][1].update(build_config=entry),
    "compiled": lambda config, entry: config.update(
        compile_config={"optimizer": "adam", "loss": [entry]}
    ),
    "metrics": lambda config, entry: config.update(
        compile_config={"optimizer": "adam", "metrics": {"mixture": [["mae", entry]]}}
    ),
    "model": lambda config, entry: (config.clear(), config.update(entry)),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_are_refused_before_anything_runs(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, place: str
) -> None:
    members = unpacked(content)
    config = json.loads(members["config.json"])
    PLACES[place](config, HOSTILE[kind])
    members["config.json"] = json.dumps(config).encode()
    refused(packed(members), "which may not be loaded", tmp_path, monkeypatch)


def refused(content: bytes, message: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that an archive is refused before Keras sees it, and leaves nothing behind."""

    def loaded(*_: Any, **__: Any) -> None:
        pytest.fail("the archive reached Keras")

    monkeypatch.chdir(folder)
    with monkeypatch.context() as patch:
        patch.setattr(tf_keras.models, "load_model", loaded)
        with pytest.raises(ValueError, match=message):
            model_from_bytes(content)
    assert os.listdir(folder) == []


@pytest.fixture(scope="module")
def content() -> bytes:
    """Return the bytes of a small model."""
    return model_to_bytes(build_mdn(2, hidden_units=(4,), input_size=2))


def test_a_registered_function_is_found_by_its_bare_name() -> None:
    model = build_mdn(2, hidden_units=(4,), input_size=2)
    model.compile("adam", negative_log_likelihood, metrics=["mse"])
    members = unpacked(model_to_bytes(model))
    # As tf_keras 2.18 writes it.
    bare = members["config.json"].replace(b'"tfp_mdn>negative_log', b'"negative_log')
    again = model_from_bytes(packed({**members, "config.json": bare}))
    assert again.loss is negative_log_likelihood


def unpacked(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def weights_with(change: Callable[[h5py.Group], Any]) -> Callable[[bytes], bytes]:
    """Return a change of an archive that changes one layer's stored weights."""

    def changed(content: bytes) -> bytes:
        members = unpacked(content)
        buffer = io.BytesIO(members["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            group = file["layers/dense/vars"]
            del group["0"]
            change(group)
        return packed({**members, "model.weights.h5": buffer.getvalue()})

    return changed


def other_file(group: h5py.Group) -> None:
    group["0"] = h5py.ExternalLink("/etc/hostname", "/0")


def raw_file(group: h5py.Group) -> None:
    group.create_dataset("0", (2, 4), "f4", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)])


def virtual_file(group: h5py.Group) -> None:
    layout = h5py.VirtualLayout((2, 4), "f4")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "0", (2, 4))
    group.create_virtual_dataset("0", layout)


def soft_link(group: h5py.Group) -> None:
    group["0"] = h5py.SoftLink("/nowhere")


def flipped(content: bytes) -> bytes:
    """Change one byte of the stored weights."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        start = archive.getinfo("model.weights.h5").header_offset
    data = bytearray(content)
    data[start + 2000] ^= 0xFF
    return bytes(data)


def encrypted(content: bytes) -> bytes:
    """Set the flags that say that the first member is encrypted."""
    data = bytearray(content)
    data[data.find(b"PK\x03\x04") + 6] |= 1
    data[data.find(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def with_member(name: str, data: bytes = b"") -> Callable[[bytes], bytes]:
    return lambda content: packed({**unpacked(content), name: data})


def twice(content: bytes) -> bytes:
    buffer = io.BytesIO(content)
    with (
        zipfile.ZipFile(buffer, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("config.json", "{}")
    return buffer.getvalue()


def bomb(content: bytes) -> bytes:
    return packed({**unpacked(content), "assets/words": bytes(10**7)}, zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: b"", "is damaged or not a Keras model"),
        (lambda content: content[: len(content) // 2], "is damaged or not a Keras model"),
        (lambda content: content[:-20], "is damaged or not a Keras model"),
        (flipped, "model.weights.h5 does not match its checksum"),
        (encrypted, "is damaged or not a Keras model .*encrypted"),
        (lambda _: packed({}), "is damaged or not a Keras model"),
        (with_member("config.json", b"{"), "is damaged or not a Keras model"),
        (with_member("config.json", b"[" * 100000), "is damaged or not a Keras model"),
        (with_member("model.weights.h5", b"HDF"), "is damaged or not a Keras model"),
        (with_member("../evil"), "member '../evil' may not be loaded"),
        (with_member("/etc/passwd"), "member '/etc/passwd' may not be loaded"),
        (with_member("assets/../../evil"), "may not be loaded"),
        (with_member("assets/..\\evil"), "may not be loaded"),
        (with_member("model.weights.npz"), "may not be loaded"),
        (twice, "member 'config.json' may not be loaded"),
        (bomb, "would grow to 10000000 bytes"),
        (weights_with(other_file), "vars/0 lie in another file"),
        (weights_with(raw_file), "vars/0 lie in another file"),
        (weights_with(virtual_file), "vars/0 lie in another file"),
        (weights_with(soft_link), "vars/0 lie in another file"),
    ],
)
def test_damaged_archives(
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[bytes], bytes],
    message: str,
) -> None:
    refused(damage(content), message, tmp_path, monkeypatch)


def test_an_archive_without_a_model(content: bytes) -> None:
    with pytest.raises(ValueError, match="could not be loaded"):
        model_from_bytes(with_member("config.json", b"{}")(content))


def test_bytes_and_back(content: bytes) -> None:
    assert unpacked(model_to_bytes(model_from_bytes(content))).keys() == unpacked(content).keys()
    x = np.ones((1, 2), np.float32)
    first, second = (model_from_bytes(content).predict(x, verbose=0) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_words_of_a_lookup_layer_reload() -> None:
    words = tf_keras.layers.StringLookup(vocabulary=["a", "b"])
    model = tf_keras.Sequential([tf_keras.Input((1,), dtype="string"), words])
    again = model_from_bytes(model_to_bytes(model))
    assert again.layers[0].get_vocabulary() == ["[UNK]", "a", "b"]


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
