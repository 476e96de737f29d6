"""What scoring needs of a model: the columns that it reads, its mixtures, and a checksum."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from tfp_mdn.model_directory import read_metadata
from tfp_mdn.tables import CATEGORIES, Columns

__all__ = ["LoadedModel", "columns_of", "load_model"]


@final
@dataclass(frozen=True)
class LoadedModel:
    """A network, ready to answer.

    Attributes:
        network: The `tf_keras` model.
        checksum: SHA-256 of its structure and weights, in hexadecimal digits.
    """

    network: Any
    checksum: str

    def mixtures(self, inputs: Any) -> Any:
        """Return the mixture at each row of inputs (N, F)."""
        from tfp_mdn.extraction import extract_parameters

        return extract_parameters(self.network, inputs)


def columns_of(model: Any, features: Sequence[str] | None) -> tuple[Columns, list[str] | None]:
    """Return the columns that a model reads, and the names of its targets if it knows them.

    A saved model is described by its metadata; TensorFlow is not imported for it.

    Args:
        model: A `tf_keras` model, a fitted estimator, or the path of one that was saved.
        features: Names of the features in order, for a model that does not know them.

    Raises:
        FileNotFoundError: If there is no model at the path.
        TypeError: If `features` is no sequence of names.
        ValueError: If the names are known neither to the model nor from `features`, or differ.
    """
    categories = None
    if isinstance(model, str | os.PathLike):
        metadata = read_metadata(model)
        known, targets = metadata["feature_names"], metadata["target_names"]
        categories = metadata["extras"].get(CATEGORIES)
    else:
        known, targets = getattr(model, "feature_names_in_", None), None
        known = None if known is None else [str(name) for name in known]
        targets = getattr(model, "target_names_", None)
    if features is not None:
        features = as_names("features", features)
        if known is not None and features != known:
            msg = f"features must be left out: the model was fitted on {known}, got {features}."
            raise ValueError(msg)
        known = features
    if not known:
        msg = (
            "features must name the columns that the model reads, in order, for a model that was "
            "fitted without column names."
        )
        raise ValueError(msg)
    return Columns.from_features(known, categories), targets


def as_names(argument: str, value: Any) -> list[str]:
    """Return names of columns as a list; one name alone is a list of one.

    Raises:
        TypeError: If it is something else.
        ValueError: If a name is there twice.
    """
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        msg = f"{argument} must be a list of column names, got {value!r}."
        raise TypeError(msg)
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        msg = f"{argument} names {', '.join(map(repr, twice))} twice."
        raise ValueError(msg)
    return list(names)


def load_model(model: Any, num_features: int) -> LoadedModel:
    """Return the network of a model, an estimator or the path of a saved one.

    Raises:
        TypeError: If it is something else.
        ValueError: If it does not take rows of so many features, or is damaged.
    """
    import tf_keras

    from tfp_mdn._keras import reject_keras3_in_model
    from tfp_mdn.persistence import load

    found = load(model) if isinstance(model, str | os.PathLike) else model
    network = getattr(found, "model_", found)
    reject_keras3_in_model("model", network)
    if not isinstance(network, tf_keras.Model):
        msg = (
            "model must be a tf_keras model, a fitted MDNRegressor or the path of a saved one, got "
            f"{type(found).__name__}."
        )
        raise TypeError(msg)
    shape = getattr(network, "input_shape", None) if network.built else None
    if isinstance(shape, list | dict) or (shape and len(shape) != 2):
        msg = f"model must take rows of numbers (N, F), not inputs of shape {shape}."
        raise ValueError(msg)
    if shape and shape[1] not in (None, num_features):
        msg = f"model takes {shape[1]} features, and the names of {num_features} are given."
        raise ValueError(msg)
    return LoadedModel(network, _checksum(network))


def _checksum(network: Any) -> str:
    try:
        with warnings.catch_warnings():
            # Heads of TFP warn that their functions could not be loaded again; none are here.
            warnings.simplefilter("ignore", UserWarning)
            config = network.get_config()
    except NotImplementedError:  # a subclass of Model, whose structure is code
        config = None
    # The names of functions and classes, since their text may hold an address in memory.
    text = json.dumps(
        [type(network).__name__, config],
        default=lambda value: getattr(value, "__name__", type(value).__name__),
        sort_keys=True,
    )
    digest = hashlib.sha256(text.encode())
    for array in network.get_weights():
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
