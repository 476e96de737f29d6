"""Guards in front of tf_keras: refuse what it would fail on cryptically, or train without."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf
import tf_keras

__all__ = [
    "check_input_shape",
    "check_target_shape",
    "checked_activation",
    "checked_callbacks",
    "reject_keras3",
    "reject_keras3_in_model",
]


def check_input_shape(name: str, shape: tuple[int, ...], model: tf_keras.Model) -> None:
    """Raise if a built model with one input cannot take an array of this shape.

    Raises:
        ValueError: If the shape does not fit the model's input; (N,) fits an input of (N, 1).
    """
    _check_shape(name, shape, model, "input_shape")


def check_target_shape(name: str, shape: tuple[int, ...], model: tf_keras.Model) -> None:
    """Raise if an array of this shape cannot be the targets of a built model.

    Raises:
        ValueError: If the shape does not fit the model's output; (N,) fits an output of (N, 1), and
            (N, 1) one of (N,).
    """
    _check_shape(name, shape, model, "output_shape")


def _check_shape(name: str, shape: tuple[int, ...], model: tf_keras.Model, kind: str) -> None:
    # A subclassed model has no shape of its own, one of several inputs has a list of them.
    expected = getattr(model, kind, None) if model.built else None
    if not isinstance(expected, tuple):
        return
    # A model that was built by its first batch remembers that batch's number of rows.
    expected = (None, *expected[1:])
    if len(expected) > 2 and not getattr(model, "_has_explicit_input_shape", True):
        # It remembers that batch's number of steps as well, and takes any.
        expected = (None, None, *expected[2:])
    given = (*shape, 1) if len(shape) == len(expected) - 1 and expected[-1] == 1 else shape
    if kind == "output_shape" and len(expected) == 1 and shape[1:] == (1,):
        given = shape[:1]
    if not tf.TensorShape(expected).is_compatible_with(given):
        sizes = ["any" if size is None else str(size) for size in expected[1:]]
        wanted = ", ".join(["N", *sizes]) if sizes else "N,"
        msg = f"{name} must have shape ({wanted}) for this model, got {shape}."
        raise ValueError(msg)


def reject_keras3(name: str, *values: Any) -> None:
    """Raise if one of the values is an object of Keras 3.

    TensorFlow Probability's layers are built on Keras 2, which lives on as the package `tf_keras`.

    Args:
        name: Name of the argument, for the message.
        *values: Layers, models, optimizers, callbacks, tensors, or nested structures of them.

    Raises:
        TypeError: If the class of a value comes from the package `keras` in version 3.
    """
    for value in tf.nest.flatten(values):
        if _is_keras3(value):
            msg = (
                f"{name} holds a Keras 3 object ({type(value).__module__}."
                f"{type(value).__name__}), but TensorFlow Probability's layers work with Keras 2. "
                "Make it with `import tf_keras` instead of `import keras` or `tf.keras`."
            )
            raise TypeError(msg)


def reject_keras3_in_model(name: str, model: Any) -> None:
    """Raise if a tf_keras model was built through a Keras 3 layer.

    Called on a tf_keras tensor, a Keras 3 layer leaves plain operations behind whose weights the
    model neither tracks nor trains; what betrays it are Keras 3 variables among their arguments.

    Raises:
        TypeError: As `reject_keras3`.
    """
    reject_keras3(name, model)
    if not isinstance(model, tf_keras.Model):
        return
    for layer in model._flatten_layers():
        for node in layer._inbound_nodes:
            reject_keras3(name, node.call_args, node.call_kwargs)


def checked_activation(activation: Any) -> Callable[[Any], Any]:
    """Return an activation of tf_keras from its name, or the function itself; None is linear.

    Raises:
        TypeError: If it is neither a name nor a function, or comes from Keras 3.
        ValueError: If tf_keras knows no activation of that name.
    """
    reject_keras3("activation", activation)
    known = "such as 'gelu', 'relu', 'elu', 'tanh' or 'swish'"
    if not (activation is None or isinstance(activation, str | dict) or callable(activation)):
        msg = f"activation must be a function, or the name of one, {known}, got {activation!r}."
        raise TypeError(msg)
    try:
        return tf_keras.activations.get(activation)
    except ValueError as error:
        if not isinstance(activation, str):
            raise
        msg = f"activation must be one that tf_keras.activations has, {known}, got {activation!r}."
        raise ValueError(msg) from error


def checked_callbacks(callbacks: Any) -> list[Any]:
    """Return one callback or several as a list.

    Raises:
        TypeError: If one of them is no callback of tf_keras.
    """
    listed = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
    for callback in listed:
        reject_keras3("callbacks", callback)
        if not isinstance(callback, tf_keras.callbacks.Callback):
            msg = f"callbacks must hold callbacks of tf_keras, got {type(callback).__name__}."
            raise TypeError(msg)
    return listed


def _is_keras3(value: Any) -> bool:
    return any(base.__module__.split(".")[0] == "keras" for base in type(value).__mro__)
