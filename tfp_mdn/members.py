"""Several networks of one shape, computed together as one layer and merged into one mixture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from tfp_mdn._keras import checked_activation
from tfp_mdn._standard_losses import columns_apart
from tfp_mdn._validation import as_whole_number, as_whole_numbers
from tfp_mdn.layers import IndependentHead, head_class

__all__ = ["KERNEL_FACTOR", "MemberNetwork", "apply_members", "merge_members"]

# A random start gives every row its own components before anything is learned; a tenth of the
# usual kernel lets the biases, and so the data, decide where they begin.
KERNEL_FACTOR = 0.1


@tf_keras.saving.register_keras_serializable(package="tfp_mdn")
class MemberNetwork(tf_keras.layers.Layer):
    """M fully connected networks side by side, whose mixtures become one of M K components.

    Member m maps an input to the parameters of K components; the layer returns those of the
    mixture (1/M) sum_m p_m(y | x), in the order of `layers.MixtureNormal(M * K)`, or of the other
    mixture layer that the components ask for. The members share nothing but their shape, and each
    layer of all of them is one batched product.

    Args:
        ensemble_size: Number of networks M.
        num_components: Components K of each.
        event_size: Dimensions D of the target.
        hidden_units: Units of each hidden layer.
        activation: Activation of the hidden layers, as `tf_keras.layers.Dense` takes it.
        covariance_type: "diag" or "full", which decides what a component's parameters are.
        component: "normal", "student_t", "logistic", "lognormal" or "truncated_normal", likewise.
        **kwargs: Keyword arguments of `tf_keras.layers.Layer`; `dtype` is float32 if not given.

    References:
        Lakshminarayanan et al. (2017), Simple and scalable predictive uncertainty estimation using
        deep ensembles, https://arxiv.org/abs/1612.01474.

    Example:
        >>> import tensorflow as tf
        >>> MemberNetwork(5, 10, 1)(tf.zeros((4, 2))).shape
        TensorShape([4, 150])
    """

    def __init__(
        self,
        ensemble_size: int,
        num_components: int,
        event_size: int,
        hidden_units: Sequence[int] = (32, 32, 32),
        activation: str | Callable[[tf.Tensor], tf.Tensor] = "gelu",
        covariance_type: str = "diag",
        component: str = "normal",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.ensemble_size = as_whole_number("ensemble_size", ensemble_size)
        self.num_components = as_whole_number("num_components", num_components)
        self.event_size = as_whole_number("event_size", event_size)
        self.hidden_units = as_whole_numbers("hidden_units", hidden_units)
        self.activation = checked_activation(activation)
        self.covariance_type = covariance_type
        self.component = component
        head = head_class(covariance_type, component)
        self._num_outputs = int(head.params_size(self.num_components, (self.event_size,)))
        self._columns = (
            columns_apart(self.num_components, self.event_size, head.num_parts())
            if issubclass(head, IndependentHead)
            else np.arange(self._num_outputs)
        )
        self._kernels_and_biases: list[tf.Variable] = []

    def build(self, input_shape: Any) -> None:
        """Make the weights: kernels (M, inputs, units) and biases (M, units), layer by layer."""
        sizes = [int(input_shape[-1]), *self.hidden_units, self._num_outputs]
        for place, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            for name, shape in (("kernel", (fan_in, fan_out)), ("bias", (fan_out,))):
                # `start` fills them: an initializer of tf_keras would draw from Python's `random`.
                self._kernels_and_biases.append(
                    self.add_weight(
                        f"{name}_{place}", (self.ensemble_size, *shape), initializer="zeros"
                    )
                )
        super().build(input_shape)

    def start(self, output_bias: NDArray[np.floating[Any]], seed: int) -> None:
        """Set the weights to a random start in which every member answers `output_bias`, nearly.

        Kernels are drawn by Glorot and Bengio's rule (2010), those of the last layer at a tenth of
        it.

        Args:
            output_bias: Parameters that each member starts from, those of one mixture layer.
            seed: Seed of the draws.
        """
        rng = np.random.default_rng(seed)
        for variable in self._kernels_and_biases:
            if len(variable.shape) == 3:
                limit = np.sqrt(6.0 / (variable.shape[1] + variable.shape[2]))
                variable.assign(rng.uniform(-limit, limit, variable.shape))
            else:
                variable.assign(tf.zeros_like(variable))
        *_, kernel, bias = self._kernels_and_biases
        kernel.assign(KERNEL_FACTOR * kernel)
        bias.assign(np.broadcast_to(output_bias, bias.shape))

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of one member's kernels and biases, in turn."""
        return tuple(tuple(variable.shape[1:]) for variable in self._kernels_and_biases)

    def flat_weights(self) -> NDArray[np.float32]:
        """Return the weights with those of a member in a row, (M, P).

        Where covariances are diagonal, the columns of the last layer stand apart as
        `columns_apart` has them, which makes training faster.
        """
        parts = [variable.numpy() for variable in self._kernels_and_biases]
        parts[-2:] = [part[..., self._columns] for part in parts[-2:]]
        return np.concatenate([part.reshape(self.ensemble_size, -1) for part in parts], axis=1)

    def set_flat_weights(self, weights: NDArray[np.float32]) -> None:
        """Set the weights from what `flat_weights` returns."""
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        flat = np.split(weights, np.cumsum(sizes)[:-1], axis=1)
        parts = [
            part.reshape(variable.shape)
            for variable, part in zip(self._kernels_and_biases, flat, strict=True)
        ]
        parts[-2:] = [part[..., np.argsort(self._columns)] for part in parts[-2:]]
        for variable, part in zip(self._kernels_and_biases, parts, strict=True):
            variable.assign(part)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the parameters (N, ...) of the merged mixture at inputs (N, F)."""
        inputs = tf.broadcast_to(
            inputs, tf.concat([[self.ensemble_size], tf.shape(inputs)], axis=0)
        )
        separate = apply_members(self._kernels_and_biases, inputs, self.activation)
        return merge_members(separate, self.num_components)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain values."""
        return {
            **super().get_config(),
            "ensemble_size": self.ensemble_size,
            "num_components": self.num_components,
            "event_size": self.event_size,
            "hidden_units": self.hidden_units,
            "activation": tf_keras.activations.serialize(self.activation),
            "covariance_type": self.covariance_type,
            "component": self.component,
        }


def apply_members(
    weights: Sequence[tf.Tensor], inputs: tf.Tensor, activation: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Return the outputs (M, N, units) of fully connected networks at their own inputs.

    Args:
        weights: Kernels (M, inputs, units) and biases (M, units), in turn, layer by layer.
        inputs: Inputs of each member, (M, N, F).
        activation: Activation of every layer but the last.
    """
    for place in range(0, len(weights), 2):
        outputs = tf.matmul(inputs, weights[place]) + weights[place + 1][:, tf.newaxis]
        inputs = activation(outputs)
    return outputs


def merge_members(separate: tf.Tensor, num_components: int) -> tf.Tensor:
    """Return the parameters (N, ...) of the equal mixture of M mixtures (M, N, ...)."""
    logits, components = tf.split(
        tf.transpose(separate, (1, 0, 2)),
        [num_components, separate.shape[-1] - num_components],
        axis=-1,
    )
    # Normalised for each member, so that each weighs 1/M in the softmax over all components.
    logits = tf.nn.log_softmax(logits)
    rows = tf.shape(separate)[1]
    merged = [
        tf.reshape(part, [rows, separate.shape[0] * part.shape[-1]])
        for part in (logits, components)
    ]
    return tf.concat(merged, axis=-1)
