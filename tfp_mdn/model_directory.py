"""The directory of a saved model: its metadata, checksums and versions, read without TensorFlow.

A program that keeps more about a model, such as the categories behind columns of zeros and ones,
gives it to `tfp_mdn.save(model, path, extras={...})`, or `MDNRegressor.save` likewise, as plain
JSON, and finds it again in `read_metadata(path)["extras"]`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tfp_mdn._placing import as_path, writable_place
from tfp_mdn._version import __version__

__all__ = [
    "METADATA_FILE",
    "MODEL_FILE",
    "SCHEMA_VERSION",
    "check_files",
    "check_place",
    "package_versions",
    "read_metadata",
    "write_metadata",
]

# The layout of the directory. A reader refuses a higher number than its own.
SCHEMA_VERSION = 2

METADATA_FILE, MODEL_FILE = "metadata.json", "model.keras"

_FORMAT = "tfp_mdn"


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what the directory of a saved model says about it, without importing TensorFlow.

    Args:
        path: Directory that `tfp_mdn.save` made, by this version of the package or an older one.

    Returns:
        Dictionary with `kind` ("model" or "MDNRegressor"), `created` (time in UTC, None in
        directories of schema version 1), `versions` (of packages), `feature_names` and
        `target_names` (lists, or None), `files` (size and SHA-256 of each file), `extras` (what
        the caller of `save` gave), and for an estimator its `arguments` and `history`.

    Raises:
        TypeError: If `path` is no path.
        FileNotFoundError: If there is no such directory.
        ValueError: If it is not a saved model, is damaged, or comes from a newer version.

    Example:
        >>> import tempfile
        >>> from tfp_mdn import build_mdn, save
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(build_mdn(input_size=1), f"{folder}/model", extras={"unit": "minutes"})
        ...     read_metadata(f"{folder}/model")["extras"]
        {'unit': 'minutes'}
    """
    directory = as_path("path", path)
    if not directory.exists():
        msg = f"there is no saved model at {directory}{_hint_of_remains(directory)}."
        raise FileNotFoundError(msg)
    metadata = _read(directory)
    schema = metadata["schema_version"]
    if type(schema) is not int or not 1 <= schema <= SCHEMA_VERSION:
        msg = (
            f"{directory} has schema version {schema}, this package reads up to {SCHEMA_VERSION}. "
            "Install a newer tfp-mdn to load it."
        )
        raise ValueError(msg)
    for older in range(schema, SCHEMA_VERSION):
        metadata = _MIGRATIONS[older](metadata)
    wrong = [name for name, check in _SHAPES.items() if not check(metadata.get(name))]
    if wrong:
        msg = f"{directory} is damaged: its {METADATA_FILE} has no valid {', '.join(wrong)}."
        raise ValueError(msg)
    return metadata


def write_metadata(directory: Path, contents: Mapping[str, Any], extras: Any) -> None:
    """Write the metadata of a directory whose other files are complete.

    Args:
        directory: Directory that holds the model's file.
        contents: What to say beside format, versions and checksums; functions become their names.
        extras: Mapping of names to plain JSON, or None for none.

    Raises:
        TypeError: If contents or extras cannot be written as JSON.
        ValueError: Likewise.
    """
    metadata = {
        "format": _FORMAT,
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": package_versions(),
        "feature_names": None,
        "target_names": None,
        **contents,
        "files": {MODEL_FILE: _fingerprint(directory / MODEL_FILE)},
        "extras": _as_extras(extras),
    }
    text = json.dumps(metadata, indent=2, default=_as_plain)
    (directory / METADATA_FILE).write_text(text + "\n", encoding="utf-8")


def check_files(directory: Path, metadata: Mapping[str, Any]) -> None:
    """Raise unless the files of a directory are those that were written.

    Raises:
        ValueError: If a file is missing, a symbolic link, or differs from its checksum.
    """
    for name in {MODEL_FILE, *metadata["files"]}:
        file = directory / name
        if file.is_symlink():
            msg = (
                f"{directory} is not loaded: {name} is a symbolic link; put the file itself there."
            )
            raise ValueError(msg)
        if not file.is_file():
            msg = f"{directory} is damaged: {name} is missing."
            raise ValueError(msg)
        expected = metadata["files"].get(name)  # not known in directories of version 1
        if expected is not None and _fingerprint(file) != expected:
            msg = (
                f"{directory} is damaged: {name} does not match its SHA-256 checksum in "
                f"{METADATA_FILE}. Copy the directory again, or save the model again."
            )
            raise ValueError(msg)


def check_place(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a directory that `save` can write, and raise if it cannot.

    Called before a long training, it spares the disappointment afterwards.

    Raises:
        TypeError: If `path` is no path.
        FileExistsError: If `path` exists and is not a saved model.
        OSError: If nothing can be written beside it.
    """
    target = as_path("path", path).absolute()
    if target.exists() and not target.is_symlink() and not _may_be_replaced(target):
        msg = (
            f"{target} exists and is not a saved tfp_mdn model, or holds other files too; "
            "choose another path."
        )
        raise FileExistsError(msg)
    return writable_place(target)


def package_versions() -> dict[str, str]:
    """Return the versions of this package, of Python and of what a model depends on."""
    packages = ("tensorflow", "tensorflow-probability", "tf-keras", "numpy")
    own = {"tfp-mdn": __version__, "python": platform.python_version()}
    return own | {name: version(name) for name in packages}


def _read(directory: Path) -> dict[str, Any]:
    file = directory / METADATA_FILE
    try:
        if file.is_symlink():
            raise ValueError("it is a symbolic link")
        metadata = json.loads(file.read_text(encoding="utf-8"))
        if metadata["format"] != _FORMAT:
            raise ValueError(f"its format is {metadata['format']!r}")
        return {"schema_version": metadata["schema_version"], **metadata}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        msg = (
            f"{directory} is not a saved tfp_mdn model: its {METADATA_FILE} cannot be read "
            f"({error})."
        )
        raise ValueError(msg) from error


def _from_version_1(metadata: dict[str, Any]) -> dict[str, Any]:
    """Say what version 1 did not: neither the time nor checksums were written, nor extras."""
    return {**metadata, "schema_version": 2, "created": None, "files": {}, "extras": {}}


# What makes metadata of a version those of the next one.
_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_version_1}


def _are_names(value: Any) -> bool:
    return value is None or (
        isinstance(value, list) and all(isinstance(name, str) for name in value)
    )


def _are_fingerprints(value: Any) -> bool:
    # A name with a folder in it would lead out of the directory.
    return isinstance(value, dict) and all(
        isinstance(print_, dict) and name == os.path.basename(name) and "\\" not in name
        for name, print_ in value.items()
    )


_SHAPES: dict[str, Callable[[Any], bool]] = {
    "kind": lambda value: isinstance(value, str),
    "versions": lambda value: isinstance(value, dict),
    "feature_names": _are_names,
    "target_names": _are_names,
    "files": _are_fingerprints,
    "extras": lambda value: isinstance(value, dict),
}


def _fingerprint(file: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return {"sha256": digest.hexdigest(), "bytes": file.stat().st_size}


def _as_extras(extras: Any) -> dict[str, Any]:
    """Return extras as they will be read again, or raise if they would not be the same."""
    if extras is None:
        return {}
    try:
        again = json.loads(json.dumps(extras, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"extras must be plain JSON (text, finite numbers, lists, dictionaries): {error}."
        raise TypeError(msg) from error
    if not isinstance(extras, Mapping) or again != extras:
        msg = (
            "extras must be a dictionary of plain JSON, which knows lists but no tuples and text "
            f"alone as keys, got {extras!r}."
        )
        raise TypeError(msg)
    return dict(again)


def _may_be_replaced(target: Path) -> bool:
    """Tell whether a path holds what `save` wrote and nothing else."""
    own = {METADATA_FILE, MODEL_FILE}
    if not target.is_dir() or {part.name for part in target.iterdir()} - own:
        return False
    try:
        _read(target)
    except ValueError:
        return False
    return True


def _hint_of_remains(directory: Path) -> str:
    """Name the older model that a killed process put aside on a system without a swap."""
    found = sorted(directory.absolute().parent.glob(f".{directory.name}-*/old/{METADATA_FILE}"))
    return f", but an interrupted save put one aside: {found[0].parent}" if found else ""


def _as_plain(value: Any) -> Any:
    """Return a NumPy number as Python's own, and a function as its name, for JSON."""
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return value.item()
    if hasattr(value, "__name__"):
        return value.__name__
    msg = f"{value!r} cannot be saved as an argument of an estimator; give its name instead."
    raise TypeError(msg)
