"""Writes the file of a model, and reads it without running code that it may name."""

from __future__ import annotations

import json
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import tf_keras

import tfp_mdn.layers
import tfp_mdn.losses
import tfp_mdn.members
import tfp_mdn.models
import tfp_mdn.preprocessing  # noqa: F401  these five register the classes that a file may name
from tfp_mdn.model_directory import MODEL_FILE, package_versions

__all__ = ["model_from_bytes", "model_to_bytes", "read_model_file", "write_model_file"]

# Where the classes of tf_keras that a directory may name are exported; a loader that let a file
# choose the module would import, and so run, whatever the file asks for.
_KERAS_MODULES = {"keras"} | {
    f"keras.{name}"
    for name in (
        *("activations", "constraints", "initializers", "layers", "losses", "metrics"),
        *("mixed_precision", "optimizers", "optimizers.schedules", "optimizers.legacy"),
        "regularizers",
    )
}

# The class of `tf_keras.Model(inputs, outputs)`, which is exported nowhere.
_FUNCTIONAL = ("tf_keras.src.engine.functional", "Functional")

# What reading a damaged archive can raise; RuntimeError, for encryption or depth, is named there.
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error)

# Operations of TensorFlow that a graph of layers may contain; others could read or write files.
_SAFE_OPERATIONS = ("__operators__.", "linalg.", "math.", "nn.", "signal.")
_SAFE_FUNCTIONS = {
    *("cast", "clip_by_value", "concat", "expand_dims", "gather", "identity", "ones_like"),
    *("repeat", "reshape", "reverse", "split", "squeeze", "stack", "tile", "transpose"),
    *("unstack", "where", "zeros_like"),
}

# What an archive of tf_keras holds, beside a folder of assets.
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = {_CONFIG, "metadata.json", _WEIGHTS}

# tf_keras stores members as they are. One that grows more than so many times when it is read was
# made to fill the memory.
_LARGEST_GROWTH = 100


def write_model_file(model: tf_keras.Model, path: Path) -> None:
    """Write a model as an archive of tf_keras, and make sure that it can be loaded again.

    Raises:
        ValueError: If the model has a part that could not be loaded safely.
        OSError: If the file cannot be written.
    """
    for part in model._flatten_layers():
        if isinstance(part, tf_keras.Sequential) and _holds_a_layer_twice(part):
            msg = (
                f"{part.name} is a Sequential model that holds one layer twice, which tf_keras "
                "would load as another model. Build it as tf_keras.Model(inputs, outputs), where a "
                "layer may be called twice."
            )
            raise ValueError(msg)
    model.save(path, save_format="keras")
    read_model_file(path)  # what cannot be loaded again must not replace what can


def _holds_a_layer_twice(model: tf_keras.Sequential) -> bool:
    calls = model._network_nodes if model._graph_initialized else ()
    return len(calls) > len(model._self_tracked_trackables)


def read_model_file(path: Path, written: Any = None) -> tf_keras.Model:
    """Return the model in an archive, once it is known to name only what may be loaded.

    Args:
        path: The archive.
        written: Versions of the packages that wrote it, for the message if it does not load.

    Raises:
        ValueError: If the archive is damaged or names something that may not be loaded.
    """
    _check(path)
    try:
        model = tf_keras.models.load_model(path, _functions_by_bare_name(), safe_mode=True)
        if not isinstance(model, tf_keras.Model):
            raise TypeError(f"it holds a {type(model).__name__}, not a model")
    except Exception as error:
        origin = f" It was written with {written}, this is {package_versions()}." if written else ""
        msg = f"{path} could not be loaded: {error}.{origin}"
        raise ValueError(msg) from error
    return model


def model_to_bytes(model: tf_keras.Model) -> bytes:
    """Return a model in the format of its file, for `model_from_bytes`."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / MODEL_FILE
        model.save(path, save_format="keras")
        return path.read_bytes()


def model_from_bytes(content: bytes) -> tf_keras.Model:
    """Return the model that `model_to_bytes` was given, without running code of it.

    Raises:
        ValueError: If the bytes are damaged or name something that may not be loaded.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / MODEL_FILE
        path.write_bytes(content)
        return read_model_file(path)


def _check(path: Path) -> None:
    """Raise ValueError unless the archive is whole and names only what may be loaded."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive)
            config = json.loads(archive.read(_CONFIG))
            with archive.open(_WEIGHTS) as stream, h5py.File(stream, "r") as weights:
                _check_weights(weights)
        named = list(_named_objects(config))
    except (KeyError, ValueError, EOFError, OSError, RuntimeError, *_ZIP_ERRORS) as error:
        msg = f"{path} is damaged or not a Keras model ({error})."
        raise ValueError(msg) from error
    for entry in named:
        if not _is_allowed(entry):
            name = entry.get("registered_name") or f"{entry.get('module')}.{entry['class_name']}"
            msg = (
                f"{path} names {name}, which may not be loaded: a file may only use tf_keras, "
                "tfp_mdn and classes registered with tf_keras.saving. A stock tfp.layers head can "
                "be replaced by tfp_mdn.layers.MixtureNormal, which takes its weights."
            )
            raise ValueError(msg)


def _check_members(archive: zipfile.ZipFile) -> None:
    """Raise ValueError if a member is damaged, or none that tf_keras writes."""
    names = archive.namelist()
    for member in archive.infolist():
        folder, *parts = member.filename.split("/")
        is_asset = folder == "assets" and ".." not in parts and "\\" not in member.filename
        if not (member.filename in _MEMBERS or is_asset) or names.count(member.filename) > 1:
            msg = f"its member {member.filename!r} may not be loaded"
            raise ValueError(msg)
        if member.file_size > _LARGEST_GROWTH * max(member.compress_size, 1):
            msg = f"its member {member.filename!r} would grow to {member.file_size} bytes"
            raise ValueError(msg)
    damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{damaged} does not match its checksum")


def _check_weights(group: h5py.Group) -> None:
    """Raise ValueError if weights are not in their own file: HDF5 can read them from any other."""
    for name in group:
        link = group.get(name, getlink=True)
        inside = isinstance(link, h5py.HardLink)
        part = group[name] if inside else None
        if isinstance(part, h5py.Group):
            _check_weights(part)
        elif part is None or part.is_virtual or part.external:
            msg = f"its weights {group.name.rstrip('/')}/{name} lie in another file"
            raise ValueError(msg)


def _named_objects(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every part of a Keras configuration that names a class or function."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        for value in config.values():
            yield from _named_objects(value)
    elif isinstance(config, list):
        for value in config:
            yield from _named_objects(value)


def _functions_by_bare_name() -> dict[str, Any]:
    """Return the registered functions without their package: so tf_keras 2.18 names them in a file.

    A name that tf_keras has itself means what tf_keras has.
    """
    own = (tf_keras.activations, tf_keras.losses, tf_keras.metrics)
    bare = {
        name.rpartition(">")[2]: registered
        for name, registered in tf_keras.saving.get_custom_objects().items()
        if callable(registered) and not isinstance(registered, type)
    }
    return {
        name: function
        for name, function in bare.items()
        if not any(hasattr(module, name) for module in own)
    }


def _is_allowed(entry: dict[str, Any]) -> bool:
    module, name = entry.get("module", ""), entry["class_name"]
    registered, inner = entry.get("registered_name"), entry.get("config")
    # tf_keras looks a name without a module up in other ways than the ones considered here.
    if not isinstance(name, str) or module == "":
        return False
    if name in ("TFOpLambda", "SlicingOpLambda"):
        function = str(inner.get("function")) if isinstance(inner, dict) else ""
        return function.startswith(_SAFE_OPERATIONS) or function in _SAFE_FUNCTIONS
    if name == "function":
        if isinstance(inner, str) and inner in _functions_by_bare_name():
            return True
        name = registered = inner
    known = isinstance(registered, str) and tf_keras.saving.get_registered_object(registered)
    if known:
        return name in (registered, known.__name__)
    if isinstance(inner, dict) and isinstance(inner.get("vocabulary"), str):
        return False  # the name of a file that the layer would read
    if (module, name) == _FUNCTIONAL:
        return True
    # No dots: "layers.Lambda" in the module "keras" is a way to name what is refused below.
    named = isinstance(module, str) and module in _KERAS_MODULES and str(name).isidentifier()
    return named and name != "Lambda"
