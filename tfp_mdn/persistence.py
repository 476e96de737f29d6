"""Saves a model or an estimator as a directory, and loads it without running code from it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

import tf_keras

from tfp_mdn._keras import reject_keras3_in_model
from tfp_mdn._model_file import (
    model_from_bytes,
    model_to_bytes,
    read_model_file,
    write_model_file,
)
from tfp_mdn._placing import as_path, placed_whole
from tfp_mdn.model_directory import (
    MODEL_FILE,
    SCHEMA_VERSION,
    check_files,
    check_place,
    read_metadata,
    write_metadata,
)

__all__ = [
    "SCHEMA_VERSION",
    "check_place",
    "load",
    "model_from_bytes",
    "model_to_bytes",
    "save",
]

# Classes other than models that a directory may hold, and the module that each is found in.
_ESTIMATORS = {"MDNRegressor": "tfp_mdn.estimator"}


def save(
    model_or_estimator: Any,
    path: str | os.PathLike[str],
    *,
    extras: Mapping[str, Any] | None = None,
) -> None:
    """Save a model or a fitted estimator as a directory.

    The directory holds `model.keras`, the format of `tf_keras`, and `metadata.json`: schema
    version, package versions, names of features and targets, the estimator's arguments, the size
    and SHA-256 of the model's file, and `extras`. It is written beside its place and moved in
    whole, so a call that fails or is killed leaves what was there.

    Args:
        model_or_estimator: A `tf_keras` model or a fitted `MDNRegressor`.
        path: Directory to make; one that `save` made earlier is replaced.
        extras: More to keep with the model, as a dictionary of plain JSON; the function
            `tfp_mdn.model_directory.read_metadata` returns it as `["extras"]`, without TensorFlow.

    Raises:
        TypeError: If the object is of another kind, `path` is no path, or `extras` is not plain
            JSON.
        ValueError: If the model is not built yet, or has a part that could not be loaded safely.
        FileExistsError: If `path` exists and is not a saved model, or is a symbolic link.
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
    contents = {"kind": kind, **({} if is_model else model_or_estimator._saved_metadata())}
    with placed_whole(check_place(path)) as new:
        new.mkdir()
        write_model_file(model, new / MODEL_FILE)
        write_metadata(new, contents, extras)


def load(path: str | os.PathLike[str]) -> Any:
    """Load what `save` wrote: a `tf_keras` model or an `MDNRegressor`.

    Nothing in the directory is executed: it may name the classes of `tf_keras`, of this package,
    and those that the running program registered with `tf_keras.saving`, and no others.

    Args:
        path: Directory that `save` made.

    Returns:
        The model, compiled as it was, or the estimator.

    Raises:
        TypeError: If `path` is no path.
        FileNotFoundError: If there is no such directory.
        ValueError: If it is not a saved model, is damaged, comes from a newer version, or names
            something that may not be loaded.
    """
    directory = as_path("path", path)
    metadata = read_metadata(directory)
    kind = metadata["kind"]
    if kind not in ["model", *_ESTIMATORS]:
        msg = f"{directory} holds a {kind!r}, which this package does not know."
        raise ValueError(msg)
    check_files(directory, metadata)
    model = read_model_file(directory / MODEL_FILE, written=metadata["versions"])
    if kind == "model":
        return model
    estimator = getattr(importlib.import_module(_ESTIMATORS[kind]), kind)
    try:
        return estimator._from_saved(model, metadata)
    except (KeyError, TypeError, AttributeError) as error:
        msg = f"{directory} is damaged: its metadata.json does not describe a {kind} ({error!r})."
        raise ValueError(msg) from error
