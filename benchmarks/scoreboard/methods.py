"""The methods that are compared on tables, each run by its own defaults."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.scoreboard import documents
from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture import MixtureParameters

__all__ = ["METHODS", "Method", "missing_packages", "settings_of"]

# A fitted model: a mixture for each row, or the mean (N,) of a method that has no density.
Predict = Callable[[FloatArray], MixtureParameters | FloatArray]

_TFP = ("tensorflow", "tensorflow-probability", "tf-keras")


@dataclass(frozen=True)
class Method:
    """A way to get from training rows to predicted densities.

    Attributes:
        label: What the report calls it.
        description: What it is, for the report's legend; for a method without `arguments` also
            what a stored result must agree in, so it changes with the settings in `fit`.
        packages: Distributions that it needs; their versions are part of a result's key.
        modules: Imported before the clock starts.
        fit: Takes inputs (N, F), targets (N,) and a seed; returns the fitted model.
        arguments: Returns the defaults that a stored result must agree in.
    """

    label: str
    description: str
    packages: tuple[str, ...]
    modules: tuple[str, ...]
    fit: Callable[[FloatArray, FloatArray, int], Predict]
    arguments: Callable[[], dict[str, str]] | None = None


def missing_packages(method: Method) -> list[str]:
    """Return the packages of a method that are not installed."""
    return [name for name in method.packages if _version(name) is None]


def settings_of(method: Method) -> str:
    """Return what a stored result must agree in: versions and arguments, as JSON."""
    versions = {name: _version(name) for name in (*method.packages, "numpy")}
    arguments = method.description if method.arguments is None else method.arguments()
    return json.dumps({"versions": versions, "arguments": arguments}, sort_keys=True)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _standardised(
    fit: Callable[[FloatArray, FloatArray, int], Predict],
) -> Callable[[FloatArray, FloatArray, int], Predict]:
    """Return `fit` on columns of mean 0 and standard deviation 1, as its users write by hand."""

    def fit_in_units(x: FloatArray, y: FloatArray, seed: int) -> Predict:
        x_mean, x_std, y_mean, y_std = x.mean(0), x.std(0), y.mean(), y.std()
        x_std = np.where(x_std > 0.0, x_std, 1.0)
        predict = fit((x - x_mean) / x_std, (y - y_mean) / y_std, seed)

        def predict_in_units(inputs: FloatArray) -> MixtureParameters:
            parameters = predict((inputs - x_mean) / x_std)
            assert isinstance(parameters, MixtureParameters)
            return parameters.transform(y_mean, y_std)

        return predict_in_units

    return fit_in_units


def _fit_mdn(x: FloatArray, y: FloatArray, seed: int) -> Predict:
    from tfp_mdn.estimator import MDNRegressor

    predict: Predict = MDNRegressor(random_state=seed).fit(x, y).predict_parameters
    return predict


def _mdn_arguments() -> dict[str, str]:
    from tfp_mdn.estimator import MDNRegressor

    arguments = MDNRegressor().get_params(deep=False)
    return {name: repr(value) for name, value in sorted(arguments.items())}


def _fit_tfpl(x: FloatArray, y: FloatArray, seed: int) -> Predict:
    import tensorflow_probability as tfp
    import tf_keras

    from tfp_mdn.extraction import extract_parameters

    tf_keras.utils.set_random_seed(seed)
    model = tf_keras.Sequential(
        [
            tf_keras.Input(x.shape[1:]),
            tf_keras.layers.Dense(50, "relu"),
            tf_keras.layers.Dense(50, "relu"),
            tf_keras.layers.Dense(tfp.layers.MixtureNormal.params_size(5, [1])),
            tfp.layers.MixtureNormal(5, [1]),
        ]
    )
    model.compile(tf_keras.optimizers.Adam(), lambda targets, density: -density.log_prob(targets))
    stop = tf_keras.callbacks.EarlyStopping(patience=50, restore_best_weights=True)
    model.fit(
        x,
        y[:, np.newaxis],
        epochs=2000,
        validation_split=0.1,
        callbacks=[stop],
        verbose=0,
    )
    return lambda inputs: extract_parameters(model, inputs)


def _fit_keras_mdn_layer(x: FloatArray, y: FloatArray, seed: int) -> Predict:
    import keras
    from scipy.special import softmax

    mdn = importlib.import_module("keras_mdn_layer")
    size = 10
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Dense(15, "relu"),
            keras.layers.Dense(15, "relu"),
            mdn.MDN(1, size),
        ]
    )
    model.compile(loss=mdn.get_mixture_loss_func(1, size), optimizer=keras.optimizers.Adam())
    model.fit(x, y, batch_size=128, epochs=200, validation_split=0.15, verbose=0)

    def predict(inputs: FloatArray) -> MixtureParameters:
        raw = model.predict(inputs, batch_size=8192, verbose=0).astype(np.float64)
        means, scales, logits = np.split(raw, 3, axis=1)
        return MixtureParameters(softmax(logits, axis=1), means, scales**2)

    return predict


def _fit_ngboost(x: FloatArray, y: FloatArray, seed: int) -> Predict:
    ngboost = importlib.import_module("ngboost")
    model = ngboost.NGBRegressor(verbose=False, random_state=seed).fit(x, y)

    def predict(inputs: FloatArray) -> MixtureParameters:
        normal = model.pred_dist(inputs)
        loc, scale = (np.asarray(part)[:, np.newaxis] for part in (normal.loc, normal.scale))
        return MixtureParameters(np.ones_like(loc), loc, scale**2)

    return predict


def _fit_trees(x: FloatArray, y: FloatArray, seed: int) -> Predict:
    from sklearn.ensemble import HistGradientBoostingRegressor

    predict: Predict = HistGradientBoostingRegressor(random_state=seed).fit(x, y).predict
    return predict


METHODS = {
    "mdn": Method(
        "MDNRegressor()",
        "`tfp_mdn.MDNRegressor(random_state=split)` or of the seed, nothing else set",
        ("tfp-mdn", *_TFP, "scikit-learn"),
        ("tfp_mdn.estimator",),
        _fit_mdn,
        _mdn_arguments,
    ),
    "tfpl": Method(
        "plain tfpl",
        "`tfpl.MixtureNormal(5)` on 50-50 relu, Adam, batches of 32, stopped after 50 "
        "epochs without progress on a tenth of the rows; data standardised by hand",
        _TFP,
        ("tensorflow_probability", "tf_keras", "tfp_mdn.extraction"),
        _standardised(_fit_tfpl),
    ),
    "keras-mdn-layer": Method(
        "keras-mdn-layer",
        "the package's own example: `MDN(1, 10)` on 15-15 relu, Adam, batches of 128, 200 epochs; "
        "data standardised by hand",
        ("keras-mdn-layer", "keras", "tensorflow"),
        ("keras", "keras_mdn_layer"),
        _standardised(_fit_keras_mdn_layer),
    ),
    "ngboost": Method(
        "NGBoost",
        "`ngboost.NGBRegressor(random_state=split)`: a normal distribution, 500 trees each",
        ("ngboost", "scikit-learn"),
        ("ngboost",),
        _fit_ngboost,
    ),
    "trees": Method(
        "HistGradientBoosting",
        "`sklearn.ensemble.HistGradientBoostingRegressor(random_state=split)`: no density",
        ("scikit-learn",),
        ("sklearn.ensemble",),
        _fit_trees,
    ),
} | {
    name: Method(
        name.replace("-", " "),
        description,
        _TFP,
        ("tensorflow_probability", "tf_keras", "tfp_mdn.extraction"),
        fit,
    )
    for name, (description, fit) in documents.RECIPES.items()
}
