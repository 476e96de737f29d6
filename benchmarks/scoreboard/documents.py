"""The recipes of five published examples, in plain TensorFlow Probability.

The notebooks say where each is from and show what comes out of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture import MixtureParameters

__all__ = ["RECIPES"]

Predict = Callable[[FloatArray], MixtureParameters]


def _mixture_model(hidden: Any, size: int, head: Any, positive: Callable[[Any], Any]) -> Any:
    """Return a model with three linear layers: logits, means and what becomes the scales.

    Args:
        hidden: Hidden layers.
        size: Components.
        head: Makes a linear layer of so many units.
        positive: Maps the third layer's numbers to standard deviations.
    """
    import tensorflow as tf
    import tensorflow_probability as tfp
    import tf_keras

    tfd = tfp.distributions

    def mixture(parameters: Any) -> Any:
        logits, means, scales = tf.split(parameters, 3, axis=-1)
        components = tfd.Normal(means, positive(scales))
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), components)

    inputs = tf_keras.Input((1,))
    outputs = inputs
    for layer in hidden:
        outputs = layer(outputs)
    parts = tf_keras.layers.Concatenate()([head(size)(outputs) for _ in range(3)])
    return tf_keras.Model(inputs, tfp.layers.DistributionLambda(mixture)(parts))


def _train(model: Any, optimizer: Any, data: Any, **options: Any) -> Predict:
    """Train on −log p(y | x) and return what reads the parameters."""
    import tensorflow as tf

    from tfp_mdn.extraction import extract_parameters

    def loss(targets: Any, density: Any) -> Any:
        # Targets arrive as (N, 1); against a batch of N scalars they would broadcast to (N, N).
        scalar = density.event_shape.rank == 0
        return -density.log_prob(tf.squeeze(targets, -1) if scalar else targets)

    model.compile(optimizer, loss)
    model.fit(*data, verbose=0, **options)
    return lambda inputs: extract_parameters(model, inputs)


def _elu_plus_one(values: Any) -> Any:
    import tensorflow as tf

    return tf.nn.elu(values) + 1.0 + 1e-7


def _full_batch(x: FloatArray, y: FloatArray) -> tuple[Any]:
    import tensorflow as tf

    return (tf.data.Dataset.from_tensors((x, y[:, None])).repeat(),)


def _fit_1(x: FloatArray, y: FloatArray, seed: int) -> Predict:
    import tensorflow as tf
    import tf_keras

    tf_keras.utils.set_random_seed(seed)
    dense = tf_keras.layers.Dense
    model = _mixture_model([dense(64, "relu"), dense(128, "relu")], 12, dense, tf.exp)
    adam = tf_keras.optimizers.Adam(0.01)
    return _train(model, adam, _full_batch(x, y), steps_per_epoch=50, epochs=50)


def _fit_2(x: FloatArray, y: FloatArray, seed: int) -> Predict:
    import tf_keras

    tf_keras.utils.set_random_seed(seed)
    dense = tf_keras.layers.Dense
    model = _mixture_model([dense(15, "relu"), dense(15, "relu")], 10, dense, _elu_plus_one)
    adam = tf_keras.optimizers.Adam(1e-3)
    return _train(model, adam, (x, y[:, None]), batch_size=128, epochs=200, validation_split=0.15)


def _fit_3(x: FloatArray, y: FloatArray, seed: int) -> Predict:
    import tf_keras

    tf_keras.utils.set_random_seed(seed)
    dense = tf_keras.layers.Dense
    model = _mixture_model([dense(128, "relu"), dense(128, "relu")], 20, dense, _elu_plus_one)
    callbacks = [
        tf_keras.callbacks.EarlyStopping("loss", patience=10, restore_best_weights=True),
        tf_keras.callbacks.ReduceLROnPlateau("loss", patience=5),
    ]
    options = {"batch_size": 128, "epochs": 300, "validation_split": 0.15, "callbacks": callbacks}
    return _train(model, tf_keras.optimizers.Adam(), (x, y[:, None]), **options)


def _fit_4(x: FloatArray, y: FloatArray, seed: int) -> Predict:
    import tensorflow as tf
    import tf_keras

    def dense(units: int, activation: str | None = None, num_inputs: int = 20) -> Any:
        # PyTorch starts weights and biases uniformly within 1 / sqrt(inputs); Keras does not.
        bound = num_inputs**-0.5
        start = [tf_keras.initializers.RandomUniform(-bound, bound) for _ in range(2)]
        return tf_keras.layers.Dense(
            units, activation, kernel_initializer=start[0], bias_initializer=start[1]
        )

    tf_keras.utils.set_random_seed(seed)
    model = _mixture_model([dense(20, "tanh", 1)], 5, dense, tf.exp)
    adam = tf_keras.optimizers.Adam(1e-3)
    return _train(model, adam, _full_batch(x, y), steps_per_epoch=100, epochs=100)


def _fit_5(x: FloatArray, y: FloatArray, seed: int) -> Predict:
    import tensorflow_probability as tfp
    import tf_keras

    tf_keras.utils.set_random_seed(seed)
    model = tf_keras.Sequential(
        [
            tf_keras.Input((1,)),
            tf_keras.layers.Dense(12, "relu"),
            tf_keras.layers.Dense(tfp.layers.MixtureNormal.params_size(5, [1])),
            tfp.layers.MixtureNormal(5, [1]),
        ]
    )
    adam = tf_keras.optimizers.Adam(0.02)
    return _train(model, adam, (x, y[:, None]), batch_size=100, epochs=20)


RECIPES: dict[str, tuple[str, Callable[[FloatArray, FloatArray, int], Predict]]] = {
    "document-1": ("64-128 relu, K = 12, exp scale, Adam 0.01, 2500 full-batch steps", _fit_1),
    "document-2": ("15-15 relu, K = 10, elu + 1 scale, Adam 1e-3, batch 128, 200 epochs", _fit_2),
    "document-3": (
        "128-128 relu, K = 20, elu + 1 scale, Adam, batch 128, stopped on the training loss",
        _fit_3,
    ),
    "document-4": ("20 tanh, K = 5, exp scale, Adam 1e-3, 10000 full-batch steps", _fit_4),
    "document-5": ("12 relu, `tfpl.MixtureNormal(5)`, Adam 0.02, batch 100, 20 epochs", _fit_5),
}
