"""Builds mixture density networks: a network of any kind with a mixture layer at its end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tf_keras

from tfp_mdn._keras import checked_activation, reject_keras3, reject_keras3_in_model
from tfp_mdn._model_data import checked_data
from tfp_mdn._validation import as_finite_array, as_whole_number, as_whole_numbers
from tfp_mdn.layers import DEFAULT_MIN_SCALE, head_class

__all__ = ["build_mdn"]


def build_mdn(
    num_components: int = 5,
    event_size: int = 1,
    *,
    hidden_units: Sequence[int] = (64, 64),
    activation: str | Callable[[Any], Any] = "gelu",
    backbone: tf_keras.Model | tf_keras.layers.Layer | None = None,
    covariance_type: str = "diag",
    component: str = "normal",
    min_scale: float = DEFAULT_MIN_SCALE,
    input_size: int | None = None,
    loc: Any = 0.0,
    scale: Any = 1.0,
    seed: int | None = None,
) -> tf_keras.Model:
    """Build an uncompiled mixture density network, whose call returns a distribution.

    The network is `backbone`, or dense hidden layers, followed by a linear layer and a mixture
    layer: K (1 + 2 D) units and `layers.MixtureNormal`, or as many as the other mixture layers need
    where `covariance_type` or `component` asks for one. Compile it with
    `loss=tfp_mdn.negative_log_likelihood` and train it with `fit`. Beyond what `tf_keras` does, the
    model checks what `compile`, `fit`, `evaluate` and `predict` are given.

    Args:
        num_components: Number of mixture components K.
        event_size: Number of target dimensions D.
        hidden_units: Units of each hidden layer; used when there is no `backbone`.
        activation: Activation of the hidden layers; likewise.
        backbone: A `tf_keras` model or layer that maps the inputs to features of shape (N, units),
            or (N, T, units) for sequences.
        covariance_type: "diag": the dimensions of a component are independent; "full": each
            component has a covariance matrix of its own, if it is normal.
        component: Density of a component: "normal"; "student_t" or "logistic" for targets with
            outliers; "lognormal" for targets above 0, "truncated_normal" for such of at least 0.
        min_scale: Floor of the standard deviations, in units of `scale`; with full covariances,
            of the diagonals of their triangular factors.
        input_size: Number of input features F, to build the weights now; None leaves it to the
            first data.
        loc: Location of the target, a number or D numbers in target units. With `scale`, the
            network works on (y - loc) / scale while `model(x)` stays in the units of y. With a
            `loc` the mixture layer computes in float64, so that no digit of a large one is lost.
            Both are those of log y for log-normal components; truncated normal ones take no `loc`.
        scale: Scale of the target, likewise.
        seed: Seed of the initial weights that are made here; None draws one.

    Returns:
        A `tf_keras.Model`; `model(x)` is a mixture with batch shape (N,) and event shape (D,).

    Raises:
        TypeError: If an argument has the wrong type or comes from Keras 3.
        ValueError: If a number is out of range or arguments contradict each other.

    Example:
        >>> import tensorflow as tf
        >>> model = build_mdn(num_components=3, input_size=2)
        >>> model(tf.zeros((4, 2))).mean().shape
        TensorShape([4, 1])
    """
    num_components = as_whole_number("num_components", num_components)
    event_shape = (as_whole_number("event_size", event_size),)
    activation = checked_activation(activation)
    head = head_class(covariance_type, component)(
        num_components,
        event_shape,
        min_scale=min_scale,
        loc=loc,
        scale=scale,
        dtype="float64" if np.any(as_finite_array("loc", loc)) else None,
        name="mixture",
    )
    if seed is not None:
        seed = as_whole_number("seed", seed, minimum=0)
    seeds = itertools.repeat(None) if seed is None else itertools.count(seed)

    def dense(units: int, **kwargs: Any) -> tf_keras.layers.Dense:
        kernel = tf_keras.initializers.GlorotUniform(seed=next(seeds))
        return tf_keras.layers.Dense(units, kernel_initializer=kernel, **kwargs)

    parameters = dense(int(head.params_size(num_components, event_shape)), name="parameters")
    if backbone is None:
        layers: list[tf_keras.layers.Layer] = [
            dense(units, activation=activation)
            for units in as_whole_numbers("hidden_units", hidden_units)
        ]
    else:
        _check_backbone(backbone, input_size)
        if _has_graph(backbone):
            outputs = head(parameters(backbone.output))
            return MixtureModel(inputs=backbone.inputs, outputs=outputs, name="mdn")
        layers = [backbone]
    if input_size is not None:
        layers.insert(0, tf_keras.Input((as_whole_number("input_size", input_size),)))
    return MixtureSequential([*layers, parameters, head], name="mdn")


class _ChecksItsData:
    """Refuses, in words, what Keras would fail on cryptically or train on silently."""

    built: bool
    optimizer: Any
    trainable_variables: Any

    def compile(self, optimizer: Any = "rmsprop", *args: Any, **kwargs: Any) -> None:
        """Configure the model for training; see `tf_keras.Model.compile`."""
        reject_keras3("optimizer", optimizer)
        reject_keras3("the arguments of compile", args, kwargs)
        super().compile(optimizer, *args, **kwargs)  # type: ignore[misc]

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile a reloaded model as it was when it was saved."""
        # tf_keras leaves a class that overrides `compile` uncompiled.
        self.compile(**tf_keras.saving.deserialize_keras_object(config))
        if self.built and self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train the model; see `tf_keras.Model.fit`."""
        reject_keras3("callbacks", kwargs.get("callbacks"))
        x, y = checked_data(self, x, y, kwargs.get("sample_weight"))
        validation = kwargs.get("validation_data")
        if isinstance(validation, list | tuple) and len(validation) in (2, 3):
            held_out = checked_data(self, *validation, prefix="validation ")
            kwargs["validation_data"] = (*held_out, *validation[2:])
        return super().fit(x, y, *args, **kwargs)  # type: ignore[misc]

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Return the loss on given data; see `tf_keras.Model.evaluate`."""
        x, y = checked_data(self, x, y, kwargs.get("sample_weight"))
        return super().evaluate(x, y, *args, **kwargs)  # type: ignore[misc]

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Return conditional means as an array of shape (N, D); see `tf_keras.Model.predict`."""
        x, _ = checked_data(self, x)
        return super().predict(x, *args, **kwargs)  # type: ignore[misc]


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class MixtureSequential(_ChecksItsData, tf_keras.Sequential):
    """A stack of layers that ends in a mixture layer; see `build_mdn`."""


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class MixtureModel(_ChecksItsData, tf_keras.Model):
    """A graph of layers that ends in a mixture layer; see `build_mdn`."""


def _check_backbone(backbone: Any, input_size: int | None) -> None:
    reject_keras3_in_model("backbone", backbone)
    if not isinstance(backbone, tf_keras.layers.Layer):
        msg = f"backbone must be a tf_keras model or layer, got {type(backbone).__name__}."
        raise TypeError(msg)
    if _has_graph(backbone):
        if input_size is not None:
            msg = "input_size must be None with a backbone that has inputs of its own."
            raise ValueError(msg)
        if len(backbone.outputs) != 1:
            msg = f"backbone must have one output, got {len(backbone.outputs)}."
            raise ValueError(msg)


def _has_graph(backbone: Any) -> bool:
    """Tell whether a backbone is a model whose inputs and outputs are known already."""
    return isinstance(backbone, tf_keras.Model) and backbone.inputs is not None
