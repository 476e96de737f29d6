"""Saves a model or an estimator as a directory, and loads it without running code from it."""

from __future__ import annotations

import importlib
import json
import os
import platform
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

import tfp_mdn.layers
import tfp_mdn.losses
import tfp_mdn.members
import tfp_mdn.models
import tfp_mdn.preprocessing  # noqa: F401  these five register the classes that a file may name
from tfp_mdn._keras import reject_keras3_in_model
from tfp_mdn._version import __version__

__all__ = [
    "SCHEMA_VERSION",
    "check_place",
    "load",
    "model_from_bytes",
    "model_to_bytes",
    "save",
]

# The layout of the directory. A reader refuses a higher number than its own.
SCHEMA_VERSION = 1

_FORMAT, _METADATA, _MODEL = "tfp_mdn", "metadata.json", "model.keras"

# Classes other than models that a directory may hold, and the module that each is found in.
_ESTIMATORS = {"MDNRegressor": "tfp_mdn.estimator"}

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

# What reading a damaged archive can raise; RuntimeError, for encryption or depth, is named there.
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error)

# Operations of TensorFlow that a graph of layers may contain; others could read or write files.
_SAFE_OPERATIONS = ("__operators__.", "linalg.", "math.", "nn.", "signal.")
_SAFE_FUNCTIONS = {
    *("cast", "clip_by_value", "concat", "expand_dims", "gather", "identity", "ones_like"),
    *("repeat", "reshape", "reverse", "split", "squeeze", "stack", "tile", "transpose"),
    *("unstack", "where", "zeros_like"),
}


def save(model_or_estimator: Any, path: str | os.PathLike[str]) -> None:
    """Save a model or a fitted estimator as a directory.

    The directory holds `model.keras`, the format of `tf_keras`, and `metadata.json`: schema
    version, package versions, names of features and targets, the estimator's arguments. It is
    written beside its place and moved in whole, so an interrupted call leaves what was there.

    Args:
        model_or_estimator: A `tf_keras` model or a fitted `MDNRegressor`.
        path: Directory to make; one that `save` made earlier is replaced.

    Raises:
        TypeError: If the object is of another kind.
        ValueError: If the model is not built yet, or has a part that could not be loaded safely.
        FileExistsError: If `path` exists and is not a saved model.
        OSError: If the directory cannot be written.
    """
    is_model = isinstance(model_or_estimator, tf_keras.Model)
    kind = "model" if is_model else type(model_or_estimator).__name__
    if not is_model and kind not in _ESTIMATORS:
        reject_keras3_in_model("model_or_estimator", model_or_estimator)
        msg = f"model_or_estimator must be a tf_keras model or one of {[*_ESTIMATORS]}, got {kind}."
        raise TypeError(msg)
    model = model_or_estimator if is_model else model_or_estimator._saved_model()
    reject_keras3_in_model("model_or_estimator", model)
    if not model.built:
        msg = "the model has no weights yet: call it on data or give build_mdn an input_size."
        raise ValueError(msg)
    metadata = {
        "format": _FORMAT,
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "versions": _versions(),
        "feature_names": None,
        "target_names": None,
        **({} if is_model else model_or_estimator._saved_metadata()),
    }
    target = check_place(path)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        model.save(new / _MODEL, save_format="keras")
        _load_model(new / _MODEL)  # what cannot be loaded again must not replace what can
        text = json.dumps(metadata, indent=2, default=_as_plain)
        (new / _METADATA).write_text(text + "\n", encoding="utf-8")
        old = Path(scratch) / "old"
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except BaseException:
            if old.exists():
                old.rename(target)
            raise


def check_place(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a directory that `save` can write, and raise if it cannot.

    Called before a long training, it spares the disappointment afterwards.

    Raises:
        FileExistsError: If `path` exists and is not a saved model.
        OSError: If nothing can be written beside it.
    """
    target = Path(path).absolute()
    if target.exists() and not _may_be_replaced(target):
        msg = (
            f"{target} exists and is not a saved tfp_mdn model, or holds other files too; "
            "choose another path."
        )
        raise FileExistsError(msg)
    target.parent.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-").cleanup()
    return target


def load(path: str | os.PathLike[str]) -> Any:
    """Load what `save` wrote: a `tf_keras` model or an `MDNRegressor`.

    Nothing in the directory is executed: it may name the classes of `tf_keras`, of this package,
    and those that the running program registered with `tf_keras.saving`, and no others.

    Args:
        path: Directory that `save` made.

    Returns:
        The model, compiled as it was, or the estimator.

    Raises:
        FileNotFoundError: If there is no such directory.
        ValueError: If it is not a saved model, is damaged, comes from a newer version, or names
            something that may not be loaded.
    """
    directory = Path(path)
    if not directory.exists():
        msg = f"there is no saved model at {directory}."
        raise FileNotFoundError(msg)
    metadata = _read_metadata(directory)
    model_file = directory / _MODEL
    if not model_file.is_file():
        msg = f"{directory} is damaged: {_MODEL} is missing."
        raise ValueError(msg)
    model = _load_model(model_file, written=metadata.get("versions"))
    kind = metadata["kind"]
    if kind == "model":
        return model
    estimator = getattr(importlib.import_module(_ESTIMATORS[kind]), kind)
    try:
        return estimator._from_saved(model, metadata)
    except (KeyError, TypeError, AttributeError) as error:
        msg = f"{directory} is damaged: its {_METADATA} does not describe a {kind} ({error!r})."
        raise ValueError(msg) from error


def model_to_bytes(model: tf_keras.Model) -> bytes:
    """Return a model in the format of `model.keras`, for `model_from_bytes`."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / _MODEL
        model.save(path, save_format="keras")
        return path.read_bytes()


def model_from_bytes(content: bytes) -> tf_keras.Model:
    """Return the model that `model_to_bytes` was given; like `load`, without running code of it.

    Raises:
        ValueError: If the bytes are damaged or name something that may not be loaded.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / _MODEL
        path.write_bytes(content)
        return _load_model(path)


def _may_be_replaced(target: Path) -> bool:
    """Tell whether a path holds what `save` wrote and nothing else."""
    if not target.is_dir() or {part.name for part in target.iterdir()} - {_METADATA, _MODEL}:
        return False
    try:
        return json.loads((target / _METADATA).read_text(encoding="utf-8"))["format"] == _FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _load_model(path: Path, written: Any = None) -> tf_keras.Model:
    """Return the model in an archive, once it is known to name only what may be loaded."""
    _check_model_file(path)
    try:
        return tf_keras.models.load_model(path, safe_mode=True)
    except Exception as error:
        origin = f" It was written with {written}, this is {_versions()}." if written else ""
        msg = f"{path} could not be loaded: {error}.{origin}"
        raise ValueError(msg) from error


def _read_metadata(directory: Path) -> dict[str, Any]:
    try:
        metadata = json.loads((directory / _METADATA).read_text(encoding="utf-8"))
        schema, kind = metadata["schema_version"], metadata["kind"]
        if metadata["format"] != _FORMAT:
            raise ValueError(f"its format is {metadata['format']!r}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        msg = f"{directory} is not a saved tfp_mdn model: its {_METADATA} cannot be read ({error})."
        raise ValueError(msg) from error
    if type(schema) is not int or not 1 <= schema <= SCHEMA_VERSION:
        msg = (
            f"{directory} has schema version {schema}, this package reads up to {SCHEMA_VERSION}. "
            "Install a newer tfp-mdn to load it."
        )
        raise ValueError(msg)
    if kind not in ["model", *_ESTIMATORS]:
        msg = f"{directory} holds a {kind!r}, which this package does not know."
        raise ValueError(msg)
    return metadata


def _check_model_file(path: Path) -> None:
    """Raise ValueError unless the archive is whole and names only what may be loaded."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            config = json.loads(archive.read("config.json"))
        named = list(_named_objects(config))
    except (KeyError, ValueError, EOFError, OSError, RuntimeError, *_ZIP_ERRORS) as error:
        msg = f"{path} is damaged or not a Keras model ({error})."
        raise ValueError(msg) from error
    if damaged is not None:
        msg = f"{path} is damaged: {damaged} does not match its checksum."
        raise ValueError(msg)
    for entry in named:
        if not _is_allowed(entry):
            name = entry.get("registered_name") or f"{entry.get('module')}.{entry['class_name']}"
            msg = (
                f"{path} names {name}, which may not be loaded: a file may only use tf_keras, "
                "tfp_mdn and classes registered with tf_keras.saving. A stock tfp.layers head can "
                "be replaced by tfp_mdn.layers.MixtureNormal, which takes its weights."
            )
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
        name = registered = inner
    known = isinstance(registered, str) and tf_keras.saving.get_registered_object(registered)
    if known:
        return name in (registered, known.__name__)
    if isinstance(inner, dict) and isinstance(inner.get("vocabulary"), str):
        return False  # the name of a file that the layer would read
    # No dots: "layers.Lambda" in the module "keras" is a way to name what is refused below.
    named = isinstance(module, str) and module in _KERAS_MODULES and str(name).isidentifier()
    return named and name != "Lambda"


def _as_plain(value: Any) -> Any:
    """Return a NumPy number as Python's own, and a function as its name, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "__name__"):
        return value.__name__
    msg = f"{value!r} cannot be saved as an argument of an estimator; give its name instead."
    raise TypeError(msg)


def _versions() -> dict[str, str]:
    packages = ("tensorflow", "tensorflow-probability", "tf-keras", "numpy")
    own = {"tfp-mdn": __version__, "python": platform.python_version()}
    return own | {name: version(name) for name in packages}
