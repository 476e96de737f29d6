"""Draws from a mixture at each step and feeds the draw back, in one compiled function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_mdn._loss_kernels import as_mixture
from tfp_mdn._one_step import OneStepTwin
from tfp_mdn._validation import FloatArray

__all__ = ["ByStep", "ByWindow", "drawn_targets"]

tfd = tfp.distributions


class Parts(NamedTuple):
    """What a model says of the next target of each of S sequences, in float64."""

    logits: tf.Tensor  # (S, K)
    means: tf.Tensor  # (S, K, D)
    scales: tf.Tensor  # (S, K, D), or (S, K, D, D) if triangular


class ByStep:
    """Reads one step at a time, which its twin of the model adds to what it has read.

    Args:
        model: A model that has a one-step twin.
        num_sequences: Number of sequences S.
    """

    def __init__(self, model: tf_keras.Model, num_sequences: int) -> None:
        self._twin, self._num_sequences = OneStepTwin(model, num_sequences), num_sequences
        self.dtype = model.inputs[0].dtype

    def start(self, prompt: FloatArray) -> tuple[int, tf.Tensor]:
        """Return the place (from 0) of the first step to read, and what to read there: (S, F)."""
        self._twin.start()
        return 0, tf.constant(np.repeat(prompt[:1], self._num_sequences, axis=0), self.dtype)

    def parts(self, held: tf.Tensor, place: tf.Tensor) -> Parts:
        """Return the parameters at the current step."""
        return _parts(self._twin(held[:, tf.newaxis]), lambda part: part[:, 0])

    def push(self, held: tf.Tensor, place: tf.Tensor, following: tf.Tensor) -> tf.Tensor:
        """Return what to read at the next step."""
        return following


class ByWindow:
    """Reads a window of the sequence anew at each step; the window slides once it is full.

    Args:
        model: Any model of sequences.
        num_sequences: Number of sequences S.
        length: Steps of the window.
        steps_apart: Whether the model has a mixture for each step; otherwise one for the window.
    """

    def __init__(
        self, model: tf_keras.Model, num_sequences: int, length: int, *, steps_apart: bool
    ) -> None:
        self._model, self._num_sequences = model, num_sequences
        self._length, self._steps_apart = length, steps_apart
        self.dtype = model.inputs[0].dtype if model.inputs else tf_keras.backend.floatx()

    def start(self, prompt: FloatArray) -> tuple[int, tf.Tensor]:
        """Return the place of the prompt's last step, and the window (S, L, F)."""
        window = np.pad(prompt, ((0, self._length - len(prompt)), (0, 0)))
        return len(prompt) - 1, tf.constant(np.stack([window] * self._num_sequences), self.dtype)

    def parts(self, held: tf.Tensor, place: tf.Tensor) -> Parts:
        """Return the parameters at the current step."""
        last = tf.minimum(place, self._length - 1)
        step = (lambda part: part[:, last]) if self._steps_apart else tf.identity
        return _parts(self._model(held, training=False), step)

    def push(self, held: tf.Tensor, place: tf.Tensor, following: tf.Tensor) -> tf.Tensor:
        """Return the window with the next step in it."""
        is_full = place >= self._length - 1
        slid = tf.where(is_full, tf.roll(held, -1, axis=1), held)
        here = tf.range(self._length) == tf.minimum(place + 1, self._length - 1)
        return tf.where(here[:, tf.newaxis], following[:, tf.newaxis], slid)


def drawn_targets(
    reader: ByStep | ByWindow,
    prompt: FloatArray,
    uniform: FloatArray,
    normal: FloatArray,
    temperatures: tuple[float, float],
    to_input: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None,
) -> FloatArray:
    """Return the targets (S, T, D) that random numbers make of a model.

    Args:
        reader: The model, and how it reads.
        prompt: Inputs to start from (T₀, F).
        uniform: Numbers from 0 to 1 that choose the components (T, S).
        normal: Standard normal numbers (T, S, D).
        temperatures: Divisor of the logits, and factor of the variances.
        to_input: Function from targets (S, D) and their step to inputs (S, F), or None.
    """
    first, held = reader.start(prompt)
    before = len(prompt) - 1  # what is drawn in the steps before has no use
    num_sequences, num_features = uniform.shape[1], prompt.shape[1]

    def input_of(target: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        target = tf.cast(target, reader.dtype)
        if to_input is None:
            return target
        try:
            following = tf.cast(to_input(target, step), reader.dtype)
        except NotImplementedError as error:
            msg = (
                "to_input must use operations of TensorFlow alone, since it is compiled: "
                "tf.cos(y) where NumPy has np.cos(y)."
            )
            raise TypeError(msg) from error
        if following.shape.as_list() != [num_sequences, num_features]:
            msg = (
                f"to_input must return inputs of shape {(num_sequences, num_features)}, got "
                f"{tuple(following.shape)}."
            )
            raise ValueError(msg)
        return following

    @tf.function(autograph=False)
    def run(
        held: tf.Tensor, prompt: tf.Tensor, uniform: tf.Tensor, normal: tf.Tensor, factors: Any
    ) -> tf.Tensor:
        def body(place: tf.Tensor, held: tf.Tensor, drawn: Any) -> tuple[Any, ...]:
            step = tf.maximum(place - before, 0)
            target = _draw(reader.parts(held, place), uniform[step], normal[step], factors)
            given = prompt[tf.minimum(place + 1, before)]
            following = tf.where(place < before, given, input_of(target, step))
            held = reader.push(held, place, following)
            return place + 1, held, drawn.write(place - first, target)

        end = before + tf.shape(uniform)[0]
        drawn = tf.TensorArray(tf.float64, end - first, element_shape=normal.shape[1:])
        places = tf.while_loop(
            lambda place, held, drawn: place < end, body, (tf.constant(first), held, drawn)
        )
        return tf.transpose(places[2].stack()[before - first :], [1, 0, 2])

    return run(
        held,
        tf.constant(prompt, reader.dtype),
        tf.constant(uniform),
        tf.constant(normal),
        tf.constant(temperatures, tf.float64),
    ).numpy()


def _parts(distribution: Any, step: Callable[[tf.Tensor], tf.Tensor]) -> Parts:
    mixture = as_mixture("generate", distribution)
    components = mixture.components_distribution
    components = getattr(components, "tensor_distribution", components)
    means = components.mean()
    if isinstance(components, tfd.MultivariateNormalTriL):
        scales = components.scale.to_dense()
    else:
        scales = components.stddev()
    if mixture.event_shape.rank == 0:
        means, scales = means[..., tf.newaxis], scales[..., tf.newaxis]
    logits = mixture.mixture_distribution.logits_parameter()
    return Parts(*(tf.cast(step(part), tf.float64) for part in (logits, means, scales)))


def _draw(parts: Parts, uniform: tf.Tensor, normal: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Return one draw of each mixture (S, D): a component by inversion, then from it alone."""
    log_weights = tf.nn.log_softmax(parts.logits)
    # The peak goes first: divided by a tiny temperature, all would be -inf.
    log_weights -= tf.reduce_max(log_weights, axis=-1, keepdims=True)
    divisor = tf.where(factors[0] > 0.0, factors[0], tf.ones((), tf.float64))
    heaviest = tf.one_hot(tf.argmax(log_weights, axis=-1), parts.logits.shape[-1], dtype=tf.float64)
    weights = tf.where(factors[0] > 0.0, tf.nn.softmax(log_weights / divisor), heaviest)
    cumulative = tf.cumsum(weights, axis=-1)
    cumulative /= cumulative[:, -1:]  # so that a weight of 0 at the end is never drawn
    passed = uniform[:, tf.newaxis] >= cumulative[:, :-1]
    chosen = tf.reduce_sum(tf.cast(passed, tf.int32), axis=-1)
    mean, scale = (tf.gather(part, chosen, batch_dims=1) for part in parts[1:])
    deviation = scale * normal if scale.shape.rank == 2 else tf.linalg.matvec(scale, normal)
    return mean + tf.sqrt(factors[1]) * deviation
