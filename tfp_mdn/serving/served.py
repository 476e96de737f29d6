"""A model as a server sees it: the names and kinds of its columns, and its mixtures at rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import tf_keras
from sklearn.utils.validation import check_is_fitted

from tfp_mdn import persistence
from tfp_mdn._estimator_answers import AnsweringEstimator
from tfp_mdn._keras import reject_keras3_in_model
from tfp_mdn._validation import FloatArray
from tfp_mdn.extraction import extract_parameters
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.model_directory import read_metadata
from tfp_mdn.preprocessing import Standardize
from tfp_mdn.tables import CATEGORIES, Columns

__all__ = ["ServedModel", "arrays_of"]


@final
@dataclass(frozen=True)
class ServedModel:
    """A model that has answered once, so that it is compiled, and what is known about it.

    Attributes:
        network: Network that takes rows (N, F) and returns mixtures.
        kind: "MDNRegressor" or "model".
        columns: The columns that a row consists of.
        targets: Names of the target's dimensions.
        num_components: Components K of its mixtures.
        example: A row near the middle of the data, with a category where there are some.
        example_target: The conditional mean there.
    """

    network: tf_keras.Model
    kind: str
    columns: Columns
    targets: tuple[str, ...]
    num_components: int
    example: tuple[float | str, ...]
    example_target: tuple[float, ...]

    @classmethod
    def open(cls, model: Any) -> ServedModel:
        """Take a model, an estimator or the directory of a saved one.

        Features without names are called x0, x1 and so on; targets y, or y0, y1 and so on.

        Raises:
            TypeError: If it is something else.
            ValueError: If it is not fitted or built, is damaged, takes anything but rows (N, F), or
                two of its columns have one name.
            FileNotFoundError: If there is no such directory.
        """
        categories = None
        if isinstance(model, str | os.PathLike):
            path = Path(model)
            categories = read_metadata(path)["extras"].get(CATEGORIES)
            model = persistence.load(path)
        features, targets = None, None
        network, kind = model, "model"
        if isinstance(model, AnsweringEstimator):
            check_is_fitted(model, "model_")
            metadata = model._saved_metadata()
            features, targets = metadata["feature_names"], metadata["target_names"]
            network, kind = model.model_, type(model).__name__
        num_features = _num_features(network)
        columns = Columns.from_features(features or _numbered("x", num_features), categories)
        _check_columns(columns, features, num_features)
        example = _example(network, columns)
        parameters = extract_parameters(network, _encoded(columns, [example]))
        size = parameters.event_size
        targets = tuple(targets or (["y"] if size == 1 else _numbered("y", size)))
        centre = tuple(_rounded(value) for value in parameters.mean()[0])
        return cls(network, kind, columns, targets, parameters.num_components, example, centre)

    def parameters(self, rows: Sequence[Sequence[float | str]]) -> Any:
        """Return the mixtures at rows, whose values stand in the order of the columns."""
        return extract_parameters(self.network, _encoded(self.columns, rows))


def arrays_of(mixtures: Any) -> dict[str, FloatArray]:
    """Return the arrays that mixtures consist of, by name."""
    if isinstance(mixtures, MixtureParameters):
        names = ["weights", "means", "variances", "covariances"]
    else:
        names = ["weights", "locs", "scales", "df"]
    arrays = {name: getattr(mixtures, name) for name in names}
    return {name: array for name, array in arrays.items() if array is not None}


def _encoded(columns: Columns, rows: Sequence[Sequence[float | str]]) -> FloatArray:
    """Return the features (N, F) of rows that hold numbers and known categories."""
    if not columns.categories:
        return np.array(rows, dtype=np.float64)
    features: list[Any] = []
    for place, name in enumerate(columns.names):
        values = [row[place] for row in rows]
        if name in columns.categories:
            features += [[value == known for value in values] for known in columns.categories[name]]
        else:
            features.append(values)
    return np.array(features, dtype=np.float64).T


def _num_features(network: Any) -> int:
    """Return the number of features F of a network that takes rows of them."""
    reject_keras3_in_model("model", network)
    if not isinstance(network, tf_keras.Model):
        msg = (
            "model must be a tf_keras model, a fitted MDNRegressor or the path of a saved one, got "
            f"{type(network).__name__}."
        )
        raise TypeError(msg)
    if not network.built or not network.inputs:
        msg = "the model has no weights yet: call it on data or give build_mdn an input_size."
        raise ValueError(msg)
    shapes = [tuple(given.shape) for given in network.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] is None:
        msg = f"the model must have one input of shape (N, F) to be served, got {shapes}."
        raise ValueError(msg)
    return int(shapes[0][1])


def _check_columns(columns: Columns, features: list[str] | None, num_features: int) -> None:
    names = columns.features
    if len(names) != num_features or (features is not None and names != list(features)):
        msg = (
            f"the names of columns {names} do not describe the {num_features} feature(s) of the "
            "model; it cannot be served."
        )
        raise ValueError(msg)
    if len(set(names)) != len(names):
        msg = f"two features have the same name in {names}; it cannot be served."
        raise ValueError(msg)


def _example(network: tf_keras.Model, columns: Columns) -> tuple[float | str, ...]:
    """Return a row near the middle of what the model was trained on, where it remembers that."""
    first = next((layer for layer in network.layers if isinstance(layer, Standardize)), None)
    middle = [0.0] * len(columns.features) if first is None else first._loc.tolist()
    at = dict(zip(columns.features, middle, strict=True))
    return tuple(
        columns.categories[name][0] if name in columns.categories else _rounded(at[name])
        for name in columns.names
    )


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}{place}" for place in range(count)]
