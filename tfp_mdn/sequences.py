"""Generates sequences with a model whose output at each step is a mixture over the next target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_mdn._generation import ByStep, ByWindow, drawn_targets
from tfp_mdn._keras import reject_keras3_in_model
from tfp_mdn._loss_kernels import as_mixture
from tfp_mdn._one_step import has_one_step_twin
from tfp_mdn._validation import (
    FloatArray,
    as_finite_array,
    as_generator,
    as_real,
    as_whole_number,
)

__all__ = ["generate"]


def generate(
    model: tf_keras.Model,
    prompt: Any,
    num_steps: int,
    *,
    temperature: float = 1.0,
    scale_temperature: float = 1.0,
    seed: int | np.random.Generator | None = None,
    num_samples: int = 1,
    to_input: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
) -> FloatArray:
    r"""Continue a sequence: draw a target, feed it back as the next input, and so on.

        y_{t+1} ~ p(y | x_1, ..., x_t),  x_{t+1} = to_input(y_{t+1}),  t = T₀, T₀ + 1, ...

    All steps of all samples run in one compiled function, in one of three ways:

    - Graphs of recurrent layers that return sequences and of layers that look at one step alone
      (dense, activations, normalisation of features, `Masking` and the like): a twin of the model
      that keeps its recurrent states takes one step at a time. T steps cost T steps.
    - Any other model with a mixture at every step, such as causal convolutions or attention: it
      reads the whole sequence again at each step, so T steps cost some T² / 2. If it takes
      sequences of one length only, it reads the last steps that fit.
    - A model with one mixture for a whole sequence: it reads the last T₀ steps each time, as many
      as the prompt has; this is what was trained on windows of that length.

    A `Masking` layer has no say in the first way: what is generated is real.

    Args:
        model: A model that takes one array of sequences, (N, T, F), and returns a mixture of
            normals for each step, or for each sequence.
        prompt: Inputs to start from, (T₀, F), or (T₀,) for F = 1, with T₀ of at least 1.
        num_steps: Number of steps T to generate.
        temperature: Divisor of the logits of the component weights; 0 takes the heaviest.
        scale_temperature: Factor of the components' variances; 0 takes their means.
        seed: Seed or generator of the draws; None draws one. With the same seed, temperatures
            change what is made of the same random numbers.
        num_samples: Number of sequences S, each a continuation of its own.
        to_input: Function of drawn targets (S, D) and their step, a whole number from 0 to T - 1,
            which returns inputs (S, F). It is compiled: use operations of TensorFlow. None feeds
            the targets back as they are.

    Returns:
        Drawn targets (S, T, D), in the units of the target.

    Raises:
        TypeError: If an argument has the wrong type, or comes from Keras 3.
        ValueError: If the model is not one of sequences or looks ahead, if shapes do not fit, or
            if what is generated grows beyond all bounds or becomes NaN.

    References:
        A. Graves (2013), Generating sequences with recurrent neural networks,
        https://arxiv.org/abs/1308.0850.
        D. Ha, D. Eck (2017), A neural representation of sketch drawings,
        https://arxiv.org/abs/1704.03477 (the two temperatures).

    Example:
        >>> from tfp_mdn.models import build_mdn
        >>> backbone = tf_keras.layers.GRU(8, return_sequences=True)
        >>> model = build_mdn(3, event_size=2, backbone=backbone)
        >>> generate(model, [[0.0, 0.0]], 20, num_samples=4, temperature=0.5, seed=0).shape
        (4, 20, 2)
    """
    reject_keras3_in_model("model", model)
    if not isinstance(model, tf_keras.Model):
        msg = f"model must be a tf_keras model, got {type(model).__name__}."
        raise TypeError(msg)
    start = as_finite_array("prompt", prompt)
    start = start[:, np.newaxis] if start.ndim == 1 else start
    if start.ndim != 2 or start.size == 0:
        msg = f"prompt must have shape (T, F) with at least one step, got {np.shape(prompt)}."
        raise ValueError(msg)
    num_steps = as_whole_number("num_steps", num_steps)
    num_samples = as_whole_number("num_samples", num_samples)
    temperatures = (
        as_real("temperature", temperature, minimum=0.0),
        as_real("scale_temperature", scale_temperature, minimum=0.0),
    )
    rng = as_generator("seed", seed)
    if to_input is not None and not callable(to_input):
        msg = f"to_input must be a function or None, got {type(to_input).__name__}."
        raise TypeError(msg)
    steps_apart, event_size = _output_of(model, start)
    if to_input is None and event_size != start.shape[1]:
        msg = (
            f"to_input must be given: the model's targets have {event_size} dimension(s) and its "
            f"inputs {start.shape[1]}, so a target is no input."
        )
        raise ValueError(msg)
    reader: ByStep | ByWindow
    if steps_apart and has_one_step_twin(model):
        reader = ByStep(model, num_samples)
    else:
        length = _fixed_length(model) or len(start) + (num_steps - 1) * steps_apart
        reader = ByWindow(model, num_samples, length, steps_apart=steps_apart)
        if steps_apart and length > 1:
            _check_causal(model, start, length)
    drawn = drawn_targets(
        reader,
        start,
        rng.random((num_steps, num_samples)),
        rng.standard_normal((num_steps, num_samples, event_size)),
        temperatures,
        to_input,
    )
    finite = np.isfinite(drawn).all(axis=(0, 2))
    if not finite.all():
        msg = (
            f"what the model generates is NaN or infinite from step {int(finite.argmin())} on. "
            "Look at the model's weights; if they are sound, lower the temperatures, or keep the "
            "inputs within the range of the training data with to_input."
        )
        raise ValueError(msg)
    return drawn


def _output_of(model: tf_keras.Model, start: FloatArray) -> tuple[bool, int]:
    """Return whether a model has a mixture for each step, and the size D of its targets.

    Raises:
        TypeError: If it does not return a mixture of normals.
        ValueError: If it is no model of sequences, or does not take such a prompt.
    """
    shape = getattr(model, "input_shape", None) if model.built else None
    if isinstance(shape, list | dict) or (shape is not None and len(shape) != 3):
        msg = (
            "model must take one array of sequences (N, T, F), got a model whose input_shape is "
            f"{shape}."
        )
        raise ValueError(msg)
    if any(getattr(layer, "stateful", False) for layer in model._flatten_layers()):
        msg = (
            "model must be built without stateful=True: generate keeps the states itself, and "
            "would change those of the model."
        )
        raise ValueError(msg)
    length = _fixed_length(model) or len(start)
    if shape is not None and (len(start) > length or shape[2] not in (None, start.shape[1])):
        at_most = f" with at most {length} steps" if len(start) > length else ""
        msg = f"prompt must have shape (T, {shape[2]}){at_most} for this model, got {start.shape}."
        raise ValueError(msg)
    output = _called(model, _padded(start, length)[np.newaxis])
    mixture = as_mixture("generate", output)
    steps_apart = mixture.batch_shape.rank == 2 and mixture.batch_shape[1] == length
    if not (steps_apart or (mixture.batch_shape.rank == 1 and len(start) == length)):
        msg = (
            "model must return a mixture for each step or, for a prompt of its own length, one for "
            f"the sequence; it returned a batch of shape {tuple(mixture.batch_shape)} for a prompt "
            f"of {len(start)} steps, where it takes {length}."
        )
        raise ValueError(msg)
    mask = getattr(output, "_keras_mask", None)
    if mask is not None and not np.asarray(mask)[:, : len(start)].all():
        msg = "prompt has steps that the model masks as padding. Drop them."
        raise ValueError(msg)
    return steps_apart, int(np.prod(mixture.event_shape))


def _check_causal(model: tf_keras.Model, start: FloatArray, length: int) -> None:
    """Raise if what a model returns for the prompt changes with what comes after it."""
    last = min(len(start), length - 1) - 1
    futures = np.stack([_padded(start, length)] * 2)
    futures[1, last + 1 :] += 1.0
    mixture = as_mixture("generate", _called(model, futures))
    means, changed = mixture.mean().numpy()[:, last]
    close = np.isclose(means, changed, rtol=1e-3, atol=1e-5 * np.abs(means).max(), equal_nan=True)
    if not close.all():
        msg = (
            "model must not look ahead: its output at a step changes with inputs of later steps, "
            "as that of Bidirectional layers does, of convolutions without padding='causal' and "
            "of attention without use_causal_mask."
        )
        raise ValueError(msg)


def _called(model: tf_keras.Model, inputs: FloatArray) -> Any:
    dtype = model.inputs[0].dtype if model.inputs else tf_keras.backend.floatx()
    return model(tf.constant(inputs, dtype), training=False)


def _padded(start: FloatArray, length: int) -> FloatArray:
    return np.pad(start, ((0, length - len(start)), (0, 0)))


def _fixed_length(model: tf_keras.Model) -> int | None:
    """Return the only number of steps that a model takes, or None if it takes any."""
    # A stack without an `Input` remembers the length of its first batch, but takes others.
    if not (model.built and model.inputs) or not getattr(model, "_has_explicit_input_shape", True):
        return None
    return model.inputs[0].shape[1]
