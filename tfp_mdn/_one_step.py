"""The one-step twin of a recurrent model: takes a sequence step by step and keeps its states."""

from __future__ import annotations

from typing import Any

import tf_keras

from tfp_mdn.layers import MixtureMultivariateNormal, MixtureNormal

__all__ = ["OneStepTwin", "has_one_step_twin"]

_layers = tf_keras.layers

_RECURRENT = (_layers.RNN, _layers.SimpleRNN, _layers.GRU, _layers.LSTM)

# Layers whose output at a step depends on their input at that step alone.
_PER_STEP = (
    _layers.InputLayer,
    _layers.Masking,
    _layers.Dense,
    _layers.Activation,
    _layers.ReLU,
    _layers.LeakyReLU,
    _layers.ELU,
    _layers.Dropout,
    _layers.SpatialDropout1D,
    _layers.GaussianNoise,
    _layers.Rescaling,
    _layers.Add,
    _layers.Multiply,
    MixtureNormal,
    MixtureMultivariateNormal,
)

# The same, if they work along the last axis.
_ALONG_AN_AXIS = (_layers.LayerNormalization, _layers.BatchNormalization, _layers.Concatenate)


def has_one_step_twin(model: Any) -> bool:
    """Tell whether a model's output at a step follows from that input and recurrent states alone.

    It does so for graphs of recurrent layers that return sequences and of layers that look at one
    step, nested models included; layers of the user's own are not looked into.
    """
    if not (isinstance(model, tf_keras.Model) and model._is_graph_network):
        return False
    own_call = any(
        "call" in vars(base)
        for base in type(model).__mro__
        if base.__module__.split(".")[0] != "tf_keras"
    )
    return not own_call and len(model.inputs) == 1 and all(map(_is_one_step, model.layers))


class OneStepTwin:
    """A copy of a model for inputs of one step (S, 1, F), whose recurrent layers keep their states.

    Args:
        model: A model that has such a twin.
        num_sequences: Number of sequences S that are taken at once.
    """

    def __init__(self, model: tf_keras.Model, num_sequences: int) -> None:
        self._num_sequences = num_sequences
        self._copies: list[tuple[tf_keras.layers.Layer, tf_keras.layers.Layer]] = []
        self._twin = self._copy_of_model(model)

    def __call__(self, inputs: Any) -> Any:
        """Return the model's output at the next step."""
        return self._twin(inputs, training=False)

    def start(self) -> None:
        """Take over the weights that the model has now, and forget the steps so far."""
        for layer, copy in self._copies:
            copy.set_weights(layer.get_weights())
            if isinstance(copy, tf_keras.layers.RNN):
                copy.reset_states()

    def _copy_of_model(self, model: tf_keras.Model) -> tf_keras.Model:
        (given,) = model.inputs
        shape = (self._num_sequences, 1, *given.shape[2:])
        inputs = tf_keras.Input(batch_shape=shape, dtype=given.dtype)
        return tf_keras.models.clone_model(model, inputs, self._copy_of_layer)

    def _copy_of_layer(self, layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if isinstance(layer, tf_keras.Model):
            return self._copy_of_model(layer)
        if isinstance(layer, tf_keras.layers.Masking):
            # What is generated is real, even where it equals the value that padding has.
            return tf_keras.layers.Activation("linear", name=layer.name, dtype=layer.dtype_policy)
        config = layer.get_config()
        config.pop("batch_input_shape", None)
        if isinstance(layer, tf_keras.layers.RNN):
            config |= {"stateful": True, "unroll": True}
        copy = type(layer).from_config(config)
        self._copies.append((layer, copy))
        return copy


def _is_one_step(layer: tf_keras.layers.Layer) -> bool:
    # A second node is a second use of the layer, which would need a second set of states.
    if isinstance(layer, tf_keras.Model):
        return has_one_step_twin(layer) and len(layer._inbound_nodes) == 1
    if type(layer) in _RECURRENT:
        # A node with more inputs has initial states of its own.
        return (
            layer.return_sequences
            and not (layer.return_state or layer.go_backwards or layer.time_major)
            and all(map(_is_keras, getattr(layer.cell, "cells", [layer.cell])))
            and len(layer._inbound_nodes) == 1
            and len(layer._inbound_nodes[0].keras_inputs) == 1
        )
    if type(layer) in _ALONG_AN_AXIS:
        axis = layer.axis if isinstance(layer.axis, int) else tuple(layer.axis)
        return axis in (-1, 2, (-1,), (2,))
    return type(layer) in _PER_STEP


def _is_keras(part: Any) -> bool:
    return type(part).__module__.split(".")[0] == "tf_keras"
