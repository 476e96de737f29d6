"""What a model was compiled with, the usual if it was not, and who can train it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_mdn.losses import negative_log_likelihood

__all__ = ["compile_as_usual", "needs_keras", "warn_of_point_loss"]

_LEARNING_RATE = 5e-3

# Losses of Keras for one value a row: of a distribution, Keras hands them its mean.
_POINT_LOSSES = (
    tf_keras.losses.huber,
    tf_keras.losses.log_cosh,
    tf_keras.losses.mean_absolute_error,
    tf_keras.losses.mean_absolute_percentage_error,
    tf_keras.losses.mean_squared_error,
    tf_keras.losses.mean_squared_logarithmic_error,
)


def compile_as_usual(model: tf_keras.Model) -> None:
    """Compile a model with Adam and the negative log-likelihood."""
    with model.distribute_strategy.scope():
        optimizer = tf_keras.optimizers.Adam(_LEARNING_RATE)
    model.compile(optimizer, loss=negative_log_likelihood)


def warn_of_point_loss(model: tf_keras.Model) -> None:
    """Warn, where `fit_mdn` was called, if a distribution is trained on the errors of its mean."""
    losses = tf.nest.flatten(model.loss)
    last = model.layers[-1] if model.layers else None
    if len(losses) != 1 or not isinstance(last, tfp.layers.DistributionLambda):
        return
    loss = tf_keras.losses.get(losses[0])
    if getattr(loss, "fn", loss) in _POINT_LOSSES:
        name = getattr(loss, "__name__", type(loss).__name__)
        warnings.warn(
            f"model ends in a distribution, but its loss {name} compares the mean alone with the "
            "targets: nothing else of the distribution is trained to fit them. Compile it with "
            "loss=tfp_mdn.negative_log_likelihood.",
            stacklevel=3,
        )


def needs_keras(model: tf_keras.Model, callbacks: Sequence[tf_keras.callbacks.Callback]) -> bool:
    """Tell whether something is asked for that only `model.fit` knows how to do."""
    # What TerminateOnNaN looks for at every batch ends the training at the epoch here.
    watched = [c for c in callbacks if type(c) is not tf_keras.callbacks.TerminateOnNaN]
    return (
        type(model).train_step is not tf_keras.Model.train_step
        or type(model).test_step is not tf_keras.Model.test_step
        or bool(model.run_eagerly)
        or isinstance(model.optimizer, tf_keras.optimizers.legacy.Optimizer)
        or any(c._implements_train_batch_hooks() for c in watched)
        or any(c._implements_test_batch_hooks() for c in watched)
    )
