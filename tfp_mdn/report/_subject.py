"""What a report needs to know of a model, be it an estimator or a plain network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tf_keras
from sklearn.utils.validation import check_is_fitted

from tfp_mdn._estimator_data import column_names
from tfp_mdn._keras import reject_keras3_in_model
from tfp_mdn._validation import FloatArray, as_float_array
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.report._content import Table
from tfp_mdn.report._network import network_of

__all__ = ["Subject", "subject_of"]

# These are shown as the model has them, not as they were asked for.
_SHOWN_ALREADY = ("num_components", "ensemble_size", "hidden_units", "verbose", "warm_start")


@dataclass(frozen=True)
class Subject:
    """A model, its rows, and what is known about them.

    Attributes:
        model: Network that takes rows (N, F) and ends in a mixture layer.
        inputs: Rows (N, F) as they were given, NaN where a value is missing.
        targets: Their targets (N, D), likewise.
        features: Names of the inputs.
        names: Names of the dimensions of the target.
        settings: Size and settings of the model.
        history: `step`, `loss` and `val_loss` of the training, or None.
        network: What `network_of` returns; None if the page cannot compute the model.
    """

    model: tf_keras.Model
    inputs: FloatArray
    targets: FloatArray
    features: list[str]
    names: list[str]
    settings: Table
    history: dict[str, list[float]] | None
    network: dict[str, Any] | None


def subject_of(model: Any, X: Any, y: Any) -> Subject:
    """Return the model with its rows once these are known to fit it.

    Raises:
        TypeError: If the model is of another kind, or the rows do not hold numbers.
        ValueError: If shapes or names do not fit.
    """
    estimator = isinstance(model, MDNRegressor)
    if estimator:
        check_is_fitted(model, "model_")
    network = model.model_ if estimator else model
    reject_keras3_in_model("model", network)
    if not isinstance(network, tf_keras.Model):
        msg = (
            f"model must be a fitted MDNRegressor or a tf_keras model, got {type(model).__name__}."
        )
        raise TypeError(msg)
    component = getattr(network.layers[-1], "component", "normal")
    if component != "normal":
        msg = (
            "the page of a report computes with normal components only, got a model of "
            f"{component!r} ones. calibration_report and tfp_mdn.plotting take it, and so do "
            "tfp-mdn evaluate and tfp-mdn plot."
        )
        raise ValueError(msg)
    inputs, targets = _as_matrix("X", X), _as_matrix("y", y)
    if len(inputs) != len(targets):
        msg = f"X and y must have as many rows, got {len(inputs)} and {len(targets)}."
        raise ValueError(msg)
    known = getattr(model, "feature_names_in_", None)
    features = _names("X", X, None if known is None else [str(name) for name in known])
    names = _names("y", y, getattr(model, "target_names_", None))
    if estimator:
        _check_columns("X", inputs, model.n_features_in_)
        _check_columns("y", targets, network.layers[-1].event_shape[0])
    return Subject(
        network,
        inputs,
        targets,
        features or [f"x{f}" for f in range(inputs.shape[1])],
        names or (["y"] if targets.shape[1] == 1 else [f"y{d}" for d in range(targets.shape[1])]),
        _settings_of_estimator(model) if estimator else _settings_of_network(network),
        model.history_ if estimator else None,
        network_of(network) if estimator else None,
    )


def _as_matrix(name: str, values: Any) -> FloatArray:
    array = as_float_array(name, values)
    if name == "y" and array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or not array.size:
        msg = f"{name} must have shape (N, columns) with at least one row, got {array.shape}."
        raise ValueError(msg)
    return array


def _names(name: str, values: Any, known: list[str] | None) -> list[str] | None:
    given = column_names(values)
    if given is not None and known is not None and given != known:
        msg = f"{name} must have the columns {known}, in this order, got {given}."
        raise ValueError(msg)
    return known if given is None else given


def _check_columns(name: str, array: FloatArray, expected: int) -> None:
    if array.shape[1] != expected:
        msg = f"{name} must have {expected} column(s), as in the fit, got shape {array.shape}."
        raise ValueError(msg)


def _settings_of_estimator(model: MDNRegressor) -> Table:
    *_, encode, network, head = model.model_.layers
    places = len(encode.encoding[0])
    rows = [
        ("components", f"{network.ensemble_size * network.num_components}"),
        ("members of the ensemble", f"{network.ensemble_size}"),
        ("components of each member", f"{network.num_components}"),
        ("inputs", f"{model.n_features_in_}, and {places} places of them among quantiles"),
        ("units of the hidden layers", " + ".join(map(str, network.hidden_units)) or "none"),
        ("weights", f"{network.count_params()}"),
        ("least standard deviation", f"{head.min_scale:.4g} of that of the target"),
        ("training ended at step", f"{model.history_['step'][-1]:g}"),
        (
            "negative log-likelihood of the rows held out in training",
            f"{min(model.history_['val_loss']):.4g} nats per row",
        ),
    ]
    rows += [
        (name, "chosen from the data" if value is None else str(value))
        for name, value in model.get_params(deep=False).items()
        if name not in _SHOWN_ALREADY
    ]
    return Table(("setting", "value"), tuple(rows))


def _settings_of_network(model: tf_keras.Model) -> Table:
    layers = [(layer.name, type(layer).__name__) for layer in model.layers]
    rows = [("weights", f"{model.count_params()}"), *layers]
    return Table(("layer", "kind"), tuple(rows))
