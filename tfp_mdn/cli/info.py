"""The command `info`: what a saved model holds, told without TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tfp_mdn.cli.options import json_option, model_argument

__all__ = ["info"]

# How the layers of interest are named in the file of a model, and what they say of components and
# their covariances.
_HEADS = {
    "tfp_mdn>MixtureNormal": ("normal", "diag"),
    "tfp_mdn>MixtureMultivariateNormal": ("normal", "full"),
    "tfp_mdn>MixtureStudentT": ("student_t", "diag"),
    "tfp_mdn>MixtureLogistic": ("logistic", "diag"),
    "tfp_mdn>MixtureLogNormal": ("lognormal", "diag"),
    "tfp_mdn>MixtureTruncatedNormal": ("truncated_normal", "diag"),
}
_MEMBERS = "tfp_mdn>MemberNetwork"


@click.command()
@model_argument
@json_option
def info(model: Path, as_json: bool) -> None:  # noqa: FBT001
    """Tell what the directory MODEL holds: columns, components, versions, time and size.

    The checksums of its files are verified. TensorFlow is not needed.
    """
    facts = _facts(model)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for name, text in _lines(facts):
        click.echo(f"{name:<11} {text}")


def _facts(directory: Path) -> dict[str, Any]:
    from tfp_mdn.model_directory import MODEL_FILE, check_files, read_metadata

    metadata = read_metadata(directory)
    check_files(directory, metadata)
    network = _network(directory / MODEL_FILE)
    names = ("kind", "created", "versions", "feature_names", "target_names", "extras")
    return {
        "path": str(directory),
        **{name: metadata[name] for name in names},
        **network,
        "bytes": sum(file.stat().st_size for file in directory.iterdir()),
        "arguments": metadata.get("arguments"),
    }


def _network(file: Path) -> dict[str, Any]:
    """Return what the configuration of a model says about its inputs and its mixture."""
    import zipfile

    try:
        with zipfile.ZipFile(file) as archive:
            parts = list(_parts(json.loads(archive.read("config.json"))))
    except (KeyError, ValueError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        msg = f"{file} is damaged or not a Keras model ({error})."
        raise ValueError(msg) from error
    named = {str(part.get("registered_name")): part["config"] for part in parts}
    shapes = [part["config"].get("batch_input_shape") for part in parts]
    shape = next((shape for shape in shapes if shape), [None])
    head = next((name for name in _HEADS if name in named), None)
    mixture, members = named.get(str(head), {}), named.get(_MEMBERS, {})
    event_shape = mixture.get("event_shape")
    return {
        "num_features": shape[-1],
        "event_size": None if event_shape is None else (event_shape or [1])[0],
        "num_components": mixture.get("num_components"),
        "num_members": members.get("ensemble_size", 1),
        "component": None if head is None else _HEADS[head][0],
        "covariance_type": None if head is None else _HEADS[head][1],
    }


def _parts(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every part of a Keras configuration that is made by a class."""
    if isinstance(config, dict):
        if isinstance(config.get("config"), dict):
            yield config
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _parts(value)


def _lines(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "kind", facts["kind"]
    yield "features", _columns(facts["feature_names"], facts["num_features"])
    yield "targets", _columns(facts["target_names"], facts["event_size"])
    if facts["num_components"] is not None:
        members = facts["num_members"]
        each = f" ({members} members of {facts['num_components'] // members})"
        yield "components", f"{facts['num_components']}{each if members > 1 else ''}"
        yield "density", facts["component"]
        yield "covariance", facts["covariance_type"]
    yield "created", facts["created"] or "not known (written by an older version)"
    yield "size", f"{facts['bytes']:,} bytes"
    yield "versions", ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    if facts["extras"]:
        yield "extras", ", ".join(facts["extras"])


def _columns(names: list[str] | None, count: int | None) -> str:
    if names is not None:
        return ", ".join(names)
    return "not known" if count is None else f"{count}, without names"
