"""The guards in front of tf_keras, and the fault of mixing Keras versions that they are for."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfp_mdn._keras import (
    check_input_shape,
    check_target_shape,
    reject_keras3,
    reject_keras3_in_model,
)
from tfp_mdn.layers import MixtureNormal


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.layers.Dense(1),
        lambda: keras.Sequential([keras.layers.Dense(1)]),
        lambda: keras.optimizers.Adam(),
        lambda: keras.callbacks.EarlyStopping(),
        lambda: keras.Input((1,)),
        lambda: [1, {"a": (None, keras.losses.MeanSquaredError())}],
        lambda: type("Mine", (keras.callbacks.Callback,), {})(),
    ],
)
def test_objects_of_keras_3_are_refused(make: Any) -> None:
    with pytest.raises(TypeError, match=r"thing holds a Keras 3 object .*import tf_keras"):
        reject_keras3("thing", make())


def test_other_objects_pass() -> None:
    tensors = [tf_keras.Input((1,)), tf.zeros(1), np.zeros(1)]
    reject_keras3("thing", None, "adam", tf_keras.layers.Dense(1), {"a": tensors})
    reject_keras3_in_model("thing", tf_keras.layers.Dense(1))
    reject_keras3_in_model("thing", tf_keras.Sequential([tf_keras.layers.Dense(1)]))


def mixed_model() -> tf_keras.Model:
    inputs = tf_keras.Input((1,))
    return tf_keras.Model(inputs, keras.layers.Dense(1)(inputs))


def test_a_keras_3_layer_inside_a_model_is_found_at_any_depth() -> None:
    model = mixed_model()
    for given in (model, tf_keras.Sequential([tf_keras.Sequential([model])])):
        with pytest.raises(TypeError, match="backbone holds a Keras 3 object"):
            reject_keras3_in_model("backbone", given)


def test_canary_tf_keras_still_takes_a_keras_3_layer_and_loses_its_weights() -> None:
    assert mixed_model().trainable_weights == []


@pytest.mark.parametrize("shape", [(7, 2), (1, 2)])
def test_fitting_shapes_pass(shape: tuple[int, ...]) -> None:
    check_input_shape("x", shape, tf_keras.Sequential([tf_keras.Input((2,))]))


def test_a_vector_fits_one_feature_and_unknown_sizes_fit_all() -> None:
    check_input_shape("x", (7,), tf_keras.Sequential([tf_keras.Input((1,))]))
    sequence = tf_keras.Sequential([tf_keras.Input((None, 2))])
    check_input_shape("x", (7, 5, 2), sequence)
    with pytest.raises(ValueError, match=r"x must have shape \(N, any, 2\) .* got \(7, 5, 3\)"):
        check_input_shape("x", (7, 5, 3), sequence)


@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 2, 1)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    model = tf_keras.Sequential([tf_keras.Input((2,))])
    with pytest.raises(ValueError, match=r"x must have shape \(N, 2\) for this model, got \(7,"):
        check_input_shape("x", shape, model)


def test_targets_are_held_against_the_output() -> None:
    model = tf_keras.Sequential([tf_keras.Input((None, 2)), tf_keras.layers.Dense(1)])
    for shape in ((7, 5), (7, 5, 1), (3, 4, 1)):
        check_target_shape("y", shape, model)
    with pytest.raises(ValueError, match=r"y must have shape \(N, any, 1\) .* got \(7,\)"):
        check_target_shape("y", (7,), model)


def test_targets_of_one_number_may_have_an_axis_of_their_own() -> None:
    model = tf_keras.Sequential([tf_keras.Input((9,)), MixtureNormal(3, ())])
    for shape in ((7,), (7, 1)):
        check_target_shape("y", shape, model)
    with pytest.raises(ValueError, match=r"y must have shape \(N,\) for this model, got \(7, 2\)"):
        check_target_shape("y", (7, 2), model)


def test_the_rows_of_a_first_batch_bind_none() -> None:
    model = tf_keras.Sequential([tf_keras.layers.Dense(1)])
    model(tf.zeros((4, 2)))
    check_input_shape("x", (7, 2), model)
    check_target_shape("y", (7, 1), model)


class Subclassed(tf_keras.Model):
    def call(self, inputs: Any) -> Any:
        return inputs


def test_models_without_one_known_input_shape_are_left_to_keras() -> None:
    subclassed = Subclassed()
    subclassed(tf.zeros((1, 2)))
    inputs = [tf_keras.Input((1,)), tf_keras.Input((2,))]
    several = tf_keras.Model(inputs, tf_keras.layers.concatenate(inputs))
    for model in (tf_keras.Sequential([tf_keras.layers.Dense(1)]), subclassed, several):
        check_input_shape("x", (7, 9), model)
