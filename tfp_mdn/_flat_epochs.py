"""Whole epochs of Adam as one compiled call, with all weights of a network in one flat vector."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from tfp_mdn._standard_losses import StandardLosses, dense_variables, leaves
from tfp_mdn._training_rows import Rows
from tfp_mdn.layers import (
    MixtureLogistic,
    MixtureLogNormal,
    MixtureNormal,
    MixtureStudentT,
    MixtureTruncatedNormal,
)
from tfp_mdn.losses import negative_log_likelihood

__all__ = ["FlatEpochs", "can_be_flat", "units_of", "xla_after"]

_HEADS = (
    MixtureNormal,
    MixtureStudentT,
    MixtureLogistic,
    MixtureLogNormal,
    MixtureTruncatedNormal,
)

# Layers that hold no weights and no state, so that they are the same inside the compiled loop.
_STATELESS = (
    tf_keras.layers.InputLayer,
    tf_keras.layers.Activation,
    tf_keras.layers.Concatenate,
    tf_keras.layers.Flatten,
    tf_keras.layers.Reshape,
    tf_keras.layers.Rescaling,
    *_HEADS,
)

# XLA takes about so many seconds to compile a network, and then saves so many at each step, and for
# each unit of a layer in each row of a batch (`benchmarks/speed.py --sections xla` measures both).
_XLA_COMPILE_SECONDS = 2.5
_XLA_SAVES_PER_STEP = 1.1e-4
_XLA_SAVES_PER_UNIT = 6e-9


def can_be_flat(model: tf_keras.Model, y: tf.Tensor) -> bool:
    """Tell whether `FlatEpochs` trains a compiled model on targets as `train_step` would.

    It does so for networks of dense layers under plain Adam and the negative log-likelihood; a
    regulariser, a constraint, a metric or a loss of the user's own asks for `KerasEpochs`.
    """
    optimizer, layers, head = model.optimizer, leaves(model), model.layers[-1]
    return (
        model.loss is negative_log_likelihood
        and model.compiled_loss._user_loss_weights is None
        and tf_keras.backend.floatx() == "float32"
        and not model.compiled_metrics._user_metrics
        and not model.compiled_metrics._user_weighted_metrics
        and not model.losses
        and type(optimizer) is tf_keras.optimizers.Adam
        and not (optimizer.amsgrad or optimizer.adaptive_epsilon)
        and not optimizer.weight_decay
        and not (optimizer.use_ema and optimizer.ema_overwrite_frequency)
        and type(head) in _HEADS
        and len(head._inbound_nodes) == 1
        and len(y.shape) <= 2
        and head.input.shape.rank == 2
        and type(head.input._keras_history.layer) is tf_keras.layers.Dense
        and head.input._keras_history.layer.activation is tf_keras.activations.linear
        and all(type(layer) in _STATELESS or _is_plain_dense(layer) for layer in layers)
        and len(model.trainable_variables) == len(model.variables) == len(dense_variables(model))
    )


def units_of(model: tf_keras.Model) -> int:
    """Return the number of units of all dense layers of a model."""
    return sum(layer.units for layer in leaves(model) if type(layer) is tf_keras.layers.Dense)


def xla_after(
    model: tf_keras.Model, num_steps: int, batch_size: int, *, may_stop: bool
) -> int | None:
    """Return after how many steps to compile with XLA: 0 for at once, None for never.

    A run that may stop at any time compiles after the steps over which XLA would have saved what
    compiling takes. Whenever it stops, it then takes less than twice the best choice's time.
    """
    saved = _XLA_SAVES_PER_STEP + _XLA_SAVES_PER_UNIT * batch_size * units_of(model)
    enough = int(_XLA_COMPILE_SECONDS / saved)
    if num_steps <= enough:
        return None
    return enough if may_stop else 0


class FlatEpochs:
    """Epochs by a fused step of Adam, equal to `tf_keras.optimizers.Adam` to rounding.

    The weights and their moments are read from the variables of model and optimizer when a call
    begins, and written back when it ends. Between, they are vectors around which XLA fuses the
    whole step, where Keras has some ten small operations for each variable.

    Args:
        model: A model that was built, and compiled with what `can_be_flat` asks for; it is referred
            to weakly.
        num_rows: Number of rows N.
        batch_size: Rows per step; what is left over makes a smaller last batch.
    """

    def __init__(self, model: tf_keras.Model, num_rows: int, batch_size: int) -> None:
        self._model: Callable[[], Any] = weakref.ref(model)
        self._num_rows, self.batch_size = num_rows, batch_size
        self._num_steps = -(-num_rows // batch_size)
        self._losses = StandardLosses(model)
        model.optimizer.build(model.trainable_variables)
        known = model.optimizer._index_dict
        if any(model.optimizer._var_key(v) not in known for v in model.trainable_variables):
            msg = (
                "the model's optimizer was built for other variables. Compile the model anew after "
                "a change of what is trainable, and give each model an optimizer of its own."
            )
            raise ValueError(msg)
        self._xla_after: int | None = None
        self._steps_done = 0
        self._run, self._run_xla = (
            tf.function(
                functools.partial(
                    self._between_variables,
                    tf.function(self._epochs, jit_compile=jit_compile, autograph=False),
                ),
                autograph=False,
            )
            for jit_compile in (False, True)
        )

    def begin(self, after: int | None) -> None:
        """Begin a run that XLA compiles after so many steps: 0 for at once, None for never."""
        self._xla_after, self._steps_done = after, 0

    def __call__(
        self, rows: Rows, orders: NDArray[np.int32], at_once: int = 1
    ) -> list[Mapping[str, Any]]:
        """Train for as many epochs as there are orders of rows (E, N); return their logs.

        Training ends with the first epoch whose loss is not finite, which leaves model and
        optimizer as they were before it.

        Args:
            rows: Rows to train on.
            orders: The orders.
            at_once: Room for orders in the compiled function, which is compiled anew if it changes.
        """
        count, length = len(orders), self._num_steps * self.batch_size
        padded = np.zeros((at_once, length), np.int32)
        padded[:count, : self._num_rows] = orders
        batches = padded.reshape(at_once, self._num_steps, self.batch_size)
        by_xla = self._xla_after is not None and self._steps_done >= self._xla_after
        run = self._run_xla if by_xla else self._run
        losses = run(rows, tf.constant(batches), tf.constant(count)).numpy()[:count]
        self._steps_done += count * self._num_steps
        num_finite = int(np.isfinite(losses).cumprod().sum())
        return [{"loss": float(loss)} for loss in losses[: num_finite + 1]]

    def _between_variables(
        self, loop: Callable[..., Any], rows: Rows, orders: tf.Tensor, count: tf.Tensor
    ) -> tf.Tensor:
        """Run epochs on what the variables hold, and write the outcome back; return the losses."""
        model = self._model()
        optimizer, variables = model.optimizer, model.trainable_variables
        slots = [optimizer._momentums, optimizer._velocities]
        if optimizer.use_ema:
            slots.append(optimizer._model_variables_moving_average)
        places = [optimizer._index_dict[optimizer._var_key(variable)] for variable in variables]
        groups = [variables, *([slot[place] for place in places] for slot in slots)]
        rows = rows._replace(y=self._losses.standard_targets(rows.y))
        state, iterations, losses = loop(
            rows,
            orders,
            count,
            [_flat(self._losses.with_columns_apart(group)) for group in groups],
            optimizer.iterations.read_value(),
        )
        for group, vector in zip(groups, state, strict=True):
            parts = self._losses.with_columns_together(_parts(vector, groups[0]))
            for variable, part in zip(group, parts, strict=True):
                variable.assign(part)
        optimizer.iterations.assign(iterations)
        return losses

    def _epochs(
        self,
        rows: Rows,
        orders: tf.Tensor,
        count: tf.Tensor,
        state: list[tf.Tensor],
        iterations: tf.Tensor,
    ) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
        def epoch(
            place: tf.Tensor, state: list[tf.Tensor], iterations: tf.Tensor, losses: tf.TensorArray
        ) -> tuple[Any, ...]:
            def step(number: tf.Tensor, new: list[tf.Tensor], total: tf.Tensor) -> Any:
                iteration = iterations + tf.cast(number, iterations.dtype)
                new, loss = self._step(rows, orders[place, number], number, new, iteration)
                return number + 1, new, total + loss

            start = (tf.constant(0), state, tf.constant(0.0))
            _, new, total = tf.while_loop(lambda number, *_: number < self._num_steps, step, start)
            mean = total / self._num_rows
            finite = tf.math.is_finite(mean)
            state = [tf.where(finite, after, old) for after, old in zip(new, state, strict=True)]
            iterations += tf.where(finite, tf.cast(self._num_steps, tf.int64), 0)
            return place + 1, state, iterations, losses.write(place, mean)

        losses = tf.TensorArray(tf.float32, orders.shape[0])
        start = (tf.constant(0), state, iterations, losses)
        _, state, iterations, losses = tf.while_loop(lambda place, *_: place < count, epoch, start)
        return state, iterations, losses.stack()

    def _step(
        self,
        rows: Rows,
        chosen: tf.Tensor,
        number: tf.Tensor,
        state: list[tf.Tensor],
        iteration: tf.Tensor,
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return the state after one step, and the sum of the batch's losses."""
        model = self._model()
        optimizer, variables = model.optimizer, model.trainable_variables
        weights, momentum, velocity, *average = state
        if self._num_steps > 1:
            rows = Rows(*rows.take(chosen))
        # The last batch is filled up with rows that do not count.
        left = self._num_rows - number * self.batch_size
        row_weights = tf.where(tf.range(self.batch_size) < left, rows.weights, 0.0)
        size = tf.cast(tf.minimum(left, self.batch_size), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            losses = self._losses(_parts(weights, variables), rows.x, rows.y)
            total = tf.reduce_sum(row_weights * losses)
            loss = total / size
        gradient = tape.gradient(loss, weights)
        if optimizer.clipnorm or optimizer.clipvalue or optimizer.global_clipnorm:
            gradient = _flat(optimizer._clip_gradients(_parts(gradient, variables)))
        rate = optimizer._learning_rate
        if isinstance(rate, tf_keras.optimizers.schedules.LearningRateSchedule):
            rate = rate(iteration)
        local_step = tf.cast(iteration + 1, tf.float32)
        correction = tf.sqrt(1 - optimizer.beta_2**local_step) / (1 - optimizer.beta_1**local_step)
        momentum += (gradient - momentum) * (1 - optimizer.beta_1)
        velocity += (tf.square(gradient) - velocity) * (1 - optimizer.beta_2)
        weights -= momentum * (rate * correction) / (tf.sqrt(velocity) + optimizer.epsilon)
        share = optimizer.ema_momentum if average else 0.0
        average = [share * vector + (1 - share) * weights for vector in average]
        return [weights, momentum, velocity, *average], total


def _is_plain_dense(layer: tf_keras.layers.Layer) -> bool:
    return (
        type(layer) is tf_keras.layers.Dense
        and layer.kernel_constraint is None
        and layer.bias_constraint is None
        and layer.dtype_policy.name == "float32"
    )


def _flat(tensors: Sequence[Any]) -> tf.Tensor:
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)


def _parts(vector: tf.Tensor, variables: Sequence[tf.Variable]) -> list[tf.Tensor]:
    """Return the parts of a flat vector in the shapes of the variables."""
    sizes = [int(np.prod(variable.shape)) for variable in variables]
    parts = tf.split(vector, sizes)
    return [tf.reshape(part, v.shape) for part, v in zip(parts, variables, strict=True)]
