"""Training steps of all members of a `MemberNetwork` at once, as compiled functions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras

from tfp_mdn._loss_kernels import as_mixture
from tfp_mdn._marginal_kernels import log_prob_of_seen
from tfp_mdn._standard_losses import mixture_losses
from tfp_mdn.layers import IndependentHead, head_class
from tfp_mdn.losses import negative_log_likelihood
from tfp_mdn.members import apply_members
from tfp_mdn.preprocessing import encode

__all__ = [
    "BETA_1",
    "BETA_2",
    "Batches",
    "Schedule",
    "State",
    "Structure",
    "member_losses",
    "training_steps",
]

_CLIP_NORM = 10.0  # keeps one bad batch from throwing a member's weights far away

# Activations that do not care which axis holds the units.
_ELEMENTWISE = tuple(
    tf_keras.activations.get(name)
    for name in (
        *("elu", "exponential", "gelu", "hard_sigmoid", "linear", "mish", "relu"),
        *("selu", "sigmoid", "softplus", "softsign", "swish", "tanh"),
    )
)

BETA_1, BETA_2, _EPSILON = 0.9, 0.999, 1e-7  # Adam's, as tf_keras has them


class Structure(NamedTuple):
    """What the compiled functions depend on besides the sizes of their arguments."""

    shapes: tuple[tuple[int, ...], ...]  # of one member's kernels and biases, in turn
    activation: Callable[[tf.Tensor], tf.Tensor]
    num_components: int
    event_size: int
    min_scale: float
    covariance_type: str = "diag"
    has_missing: bool = False  # whether dimensions of targets may be NaN
    half_steps: tuple[float, ...] = ()  # of the lattice of each target, if any lies on one
    component: str = "normal"


class State(NamedTuple):
    """What a step changes, each (M, P) in the order of `MemberNetwork.flat_weights`."""

    weights: Any
    momentum: Any  # running mean of the gradient
    curvature: Any  # running mean of its square
    average: Any  # running mean of the weights


class Batches(NamedTuple):
    """Rows of T steps, in standard units."""

    x: Any  # (T, M, B, F)
    y: Any  # (T, M, B, D)
    weights: Any  # (T, M, B)


class Schedule(NamedTuple):
    """What changes from step to step, each (T,), and the seeds of the steps' noise, (T, 2)."""

    rate: Any  # learning rate, Adam's correction for its start included
    decay: Any  # share of the kernels that is taken away
    noise: Any  # standard deviation of the noise
    averaging: Any  # weight of the old average
    seeds: Any


@functools.lru_cache(maxsize=32)
def training_steps(structure: Structure, *, jit_compile: bool) -> Callable[..., Any]:
    """Return a function that takes T steps of Adam with decoupled weight decay.

    It is made once for a structure, so that later fits of the same structure need not be compiled
    again, and maps

        (state, batches, schedule, member_rates (M, 1), encoding) -> (state, losses (M,))

    where the losses are means over the steps, on the noisy rows, in standard units.

    References:
        Kingma & Ba (2015), Adam, https://arxiv.org/abs/1412.6980. Loshchilov & Hutter (2019),
        Decoupled weight decay regularization, https://arxiv.org/abs/1711.05101.
    """
    is_kernel = tf.concat(
        [tf.fill([_size(shape)], float(len(shape) == 2)) for shape in structure.shapes], axis=0
    ).numpy()

    head = head_class(structure.covariance_type, structure.component)

    def step(
        state: State, batch: Batches, now: Schedule, member_rates: tf.Tensor, encoding: Any
    ) -> tuple[State, tf.Tensor]:
        x, y = _with_noise(batch, now)
        y = head.inside(y) if issubclass(head, IndependentHead) else y
        with tf.GradientTape() as tape:
            tape.watch(state.weights)
            losses = tf.reduce_mean(
                batch.weights * _row_losses(structure, state.weights, x, y, encoding), axis=1
            )
            total = tf.reduce_sum(losses)
        gradient = tape.gradient(total, state.weights)
        gradient = tf.clip_by_norm(gradient, _CLIP_NORM, axes=1)
        momentum = BETA_1 * state.momentum + (1 - BETA_1) * gradient
        curvature = BETA_2 * state.curvature + (1 - BETA_2) * tf.square(gradient)
        change = now.rate * momentum / (tf.sqrt(curvature) + _EPSILON)
        change += now.decay * is_kernel * state.weights
        weights = state.weights - member_rates * change
        average = now.averaging * state.average + (1 - now.averaging) * weights
        return State(weights, momentum, curvature, average), losses

    def steps(
        state: State, batches: Batches, schedule: Schedule, member_rates: Any, encoding: Any
    ) -> tuple[State, tf.Tensor]:
        count = schedule.rate.shape[0]

        def body(place: tf.Tensor, state: State, total: tf.Tensor) -> tuple[Any, ...]:
            batch = Batches(*(part[place] for part in batches))
            now = Schedule(*(part[place] for part in schedule))
            state, losses = step(state, batch, now, member_rates, encoding)
            return place + 1, state, total + losses

        start = (tf.constant(0), state, tf.zeros_like(member_rates[:, 0]))
        _, state, total = tf.while_loop(lambda place, *_: place < count, body, start)
        return state, total / count

    return tf.function(steps, jit_compile=jit_compile, autograph=False)


@functools.lru_cache(maxsize=32)
def member_losses(structure: Structure) -> Callable[..., Any]:
    """Return a function of weights (M, P), x (M, N, F), y (M, N, D), encoding to losses (M, N)."""

    @tf.function(autograph=False, reduce_retracing=True)
    def losses(weights: tf.Tensor, x: tf.Tensor, y: tf.Tensor, encoding: Any) -> tf.Tensor:
        return _row_losses(structure, weights, x, y, encoding)

    return losses


def _row_losses(
    structure: Structure, weights: tf.Tensor, x: tf.Tensor, y: tf.Tensor, encoding: Any
) -> tf.Tensor:
    """Return -log p_m(y | x), (M, N), of each member m on rows of its own."""
    parts = tf.split(weights, [_size(shape) for shape in structure.shapes], axis=1)
    layers = [
        tf.reshape(part, (-1, *shape)) for part, shape in zip(parts, structure.shapes, strict=True)
    ]
    inputs = encode(x, *encoding)
    head = head_class(structure.covariance_type, structure.component)
    if issubclass(head, IndependentHead):
        parameters = _rows_last(layers, inputs, structure.activation)
        return mixture_losses(
            head,
            parameters,
            tf.transpose(y, (0, 2, 1)),
            structure.num_components,
            structure.min_scale,
            has_missing=structure.has_missing,
            half_steps=structure.half_steps,
        )
    layer = head(structure.num_components, (structure.event_size,), min_scale=structure.min_scale)
    mixture = layer(apply_members(layers, inputs, structure.activation))
    if structure.has_missing:
        return -log_prob_of_seen(y, as_mixture("training", mixture))
    return negative_log_likelihood(y, mixture)


def _rows_last(
    weights: Sequence[tf.Tensor], inputs: tf.Tensor, activation: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Return the outputs of `apply_members` as (M, units, N).

    Every unit, and so every parameter, is a block of memory in this order, which saves a fifth of a
    step under XLA.
    """
    inputs = tf.transpose(inputs, (0, 2, 1))
    for place in range(0, len(weights), 2):
        outputs = tf.matmul(weights[place], inputs, transpose_a=True)
        outputs += weights[place + 1][..., tf.newaxis]
        if activation in _ELEMENTWISE:
            inputs = activation(outputs)
        else:
            inputs = tf.transpose(activation(tf.transpose(outputs, (0, 2, 1))), (0, 2, 1))
    return outputs


def _with_noise(batch: Batches, now: Schedule) -> tuple[tf.Tensor, tf.Tensor]:
    sizes = [batch.x.shape[-1], batch.y.shape[-1]]
    shape = [*batch.x.shape[:-1], sum(sizes)]
    noise_x, noise_y = tf.split(
        now.noise * tf.random.stateless_normal(shape, now.seeds), sizes, axis=-1
    )
    return batch.x + noise_x, batch.y + noise_y


def _size(shape: Sequence[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
