"""Export: answers equal to the library's, without it, and nothing overwritten or half-written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from scipy.special import ndtr

from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.export import _functions, export_onnx, export_saved_model, export_tflite
from tfp_mdn.export._network import Mixture
from tfp_mdn.extraction import extract_parameters
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.models import build_mdn

LEVELS = np.array([1e-9, 0.05, 0.5, 0.95, 1 - 1e-9])


def make_model(**options: Any) -> tf_keras.Model:
    options = {"num_components": 2, "hidden_units": (4,), "input_size": 2, **options}
    return build_mdn(**options)


def graph_model() -> tf_keras.Model:
    """Return a model that is a graph of layers, with layers that behave otherwise in training."""
    layers = tf_keras.layers
    inputs = tf_keras.Input((2,))
    hidden = layers.Dropout(0.5)(layers.BatchNormalization()(layers.Dense(4, "relu")(inputs)))
    return build_mdn(3, 2, backbone=tf_keras.Model(inputs, hidden), covariance_type="full")


def test_a_saved_model_answers_as_the_library_without_it(
    run_python: Callable[..., str], fitted: MDNRegressor, tmp_path: Path
) -> None:
    models = {
        "plain": make_model(loc=1e6, scale=3.0),
        "graph": graph_model(),
        "estimator": fitted,
    }
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 2)).astype(np.float32).astype(np.float64)
    for name, model in models.items():
        export_saved_model(model, tmp_path / name)
        expected = extract_parameters(getattr(model, "model_", model), x)
        y = expected.sample(1, rng)[0]
        answers = expected.to_dict() | {"mean": expected.mean(), "log_prob": expected.log_prob(y)}
        if expected.event_size == 1:
            answers["quantile"] = expected.quantile(LEVELS)
        arrays = {key: value for key, value in answers.items() if value is not None}
        np.savez(tmp_path / f"{name}.npz", y=y, **arrays)
    np.savez(tmp_path / "inputs.npz", x=x, q=LEVELS)
    run_python(
        """
        import pathlib, sys
        for name in ("tfp_mdn", "tensorflow_probability", "tf_keras"):
            sys.modules[name] = None
        import numpy as np
        import tensorflow as tf
        folder = pathlib.Path(sys.argv[1])
        inputs = np.load(folder / "inputs.npz")
        for name in ("plain", "graph", "estimator"):
            expected = np.load(folder / f"{name}.npz")
            given = {
                "x": tf.constant(inputs["x"], "float64" if name == "estimator" else "float32"),
                "q": tf.constant(inputs["q"]),
                "y": tf.constant(expected["y"]),
                "n": tf.constant(2), "seed": tf.constant(0, tf.int64),
            }
            signatures = tf.saved_model.load(str(folder / name)).signatures
            assert len(signatures) == (4 if name == "graph" else 5)
            compared = set()
            for function in signatures.values():
                wanted = function.structured_input_signature[1]
                for key, value in function(**{key: given[key] for key in wanted}).items():
                    assert value.dtype == tf.float64
                    if key != "sample":
                        compared.add(key)
                        np.testing.assert_allclose(value, expected[key], rtol=1e-7, err_msg=key)
            assert {"weights", "means", "variances", "mean", "log_prob"} <= compared
            assert ("covariances" in compared) == (name == "graph")
            assert ("quantile" in compared) == (name != "graph")
        """,
        tmp_path,
    )


def as_mixture(parameters: MixtureParameters) -> Mixture:
    scales = np.sqrt(parameters.variances)
    if parameters.covariances is not None:
        scales = np.linalg.cholesky(parameters.covariances)
    return Mixture(*(tf.constant(part) for part in (parameters.weights, parameters.means, scales)))


HARD = MixtureParameters(
    weights=np.array([[0.5, 0.5, 0.0], [1e-12, 1.0, 0.0], [0.3, 0.3, 0.4], [0.5, 0.25, 0.25]]),
    means=np.array([[-1e6, 1e6, 5.0], [0.0, 1e3, 9.0], [1e-9, 2e-9, 3e-9], [0.0, 1e-3, 2.0]])[
        ..., None
    ],
    variances=np.array(
        [[1.0, 1e-12, 1.0], [1.0, 1.0, 1.0], [1e-24, 1e-18, 1e-20], [1e-12, 1e6, 1.0]]
    )[..., None],
)


def test_quantiles_of_hard_mixtures() -> None:
    levels = np.array([1e-300, 1e-30, 1e-13, 1e-6, 0.2, 0.5, 0.75, 1 - 1e-6, 1 - 1e-12])
    found = _functions.quantile(as_mixture(HARD), tf.constant(levels)).numpy()
    # In units of the local scale: between far components, any place is right at the very level 0.5.
    np.testing.assert_allclose(found[:5], HARD.quantile(levels)[:5], rtol=1e-6)
    for level, places in zip(levels[4:7], found[4:7], strict=True):
        np.testing.assert_allclose(HARD.cdf(places), level, rtol=1e-9)
    np.testing.assert_allclose(found[6:], HARD.quantile(levels)[6:], rtol=1e-6)


def test_levels_that_are_the_ends_or_none() -> None:
    levels = tf.constant([0.0, 1.0, -0.1, 1.1, np.nan], tf.float64)
    found = _functions.quantile(as_mixture(HARD), levels).numpy()
    assert (found[0] == -np.inf).all()
    assert (found[1] == np.inf).all()
    assert np.isnan(found[2:]).all()
    empty = tf.zeros((0,), tf.float64)
    assert _functions.quantile(as_mixture(HARD), empty).shape == (0, 4)


def test_the_normal_distribution_function() -> None:
    z = np.linspace(-37.0, 37.0, 20001)
    np.testing.assert_allclose(_functions._normal_cdf(tf.constant(z)), ndtr(z), rtol=2e-8)
    inner = z[np.abs(z) < 5]
    np.testing.assert_allclose(_functions._normal_cdf(tf.constant(inner)), ndtr(inner), rtol=1e-10)


def test_densities_of_hard_mixtures() -> None:
    for y in (np.zeros((4, 1)), np.full((4, 1), 1e9), HARD.means[:, 1]):
        found = _functions.log_prob(as_mixture(HARD), tf.constant(y))
        np.testing.assert_allclose(found, HARD.log_prob(y), rtol=1e-12)


def full_mixture() -> MixtureParameters:
    rng = np.random.default_rng(0)
    factors = np.tril(rng.normal(size=(4, 3, 3, 3))) + 2 * np.eye(3)
    covariances = factors @ np.swapaxes(factors, -1, -2)
    variances = np.diagonal(covariances, axis1=-2, axis2=-1)
    weights = rng.dirichlet(np.ones(3), size=4)
    return MixtureParameters(weights, rng.normal(size=(4, 3, 3)), variances, covariances)


@pytest.mark.parametrize("parameters", [HARD[3:], full_mixture()])
def test_samples(parameters: MixtureParameters) -> None:
    mixture = as_mixture(parameters)
    first, again, other = (
        _functions.sample(mixture, tf.constant(50000), tf.constant(seed)).numpy()
        for seed in (7, 7, 8)
    )
    assert first.shape == (50000, parameters.num_inputs, parameters.event_size)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    spread = parameters.stddev()
    np.testing.assert_allclose(first.mean(axis=0) / spread, parameters.mean() / spread, atol=0.02)
    for row, covariance in enumerate(parameters.covariance()):
        found = np.cov(first[:, row].T)
        scale = np.outer(spread[row], spread[row])
        np.testing.assert_allclose(found / scale, covariance / scale, atol=0.05)


def test_components_of_weight_0_are_never_drawn() -> None:
    mixture = Mixture(
        tf.constant([[0.0, 0.5, 0.5, 0.0]], tf.float64),
        tf.constant([[[-9.0], [1.0], [2.0], [9.0]]], tf.float64),
        tf.fill((1, 4, 1), tf.constant(1e-9, tf.float64)),
    )
    drawn = _functions.sample(mixture, tf.constant(10000), tf.constant(0)).numpy()
    assert set(np.round(drawn.ravel())) == {1.0, 2.0}


def test_an_export_knows_names_and_versions(fitted: MDNRegressor, tmp_path: Path) -> None:
    export_saved_model(fitted, tmp_path / "model")
    described = json.loads((tmp_path / "model" / "assets.extra" / "tfp_mdn.json").read_text())
    assert described["feature_names"] is None
    assert described["versions"]["tensorflow"] == tf.__version__


def two_inputs() -> tf_keras.Model:
    inputs = [tf_keras.Input((1,)), tf_keras.Input((1,))]
    return build_mdn(2, backbone=tf_keras.Model(inputs, tf_keras.layers.Concatenate()(inputs)))


def with_table() -> tf_keras.Model:
    inputs = tf_keras.Input((1,), dtype="int64")
    words = tf_keras.layers.IntegerLookup(vocabulary=[1, 2, 3], output_mode="one_hot")
    return build_mdn(2, backbone=tf_keras.Model(inputs, words(inputs)))


class Python(tf_keras.layers.Layer):
    def call(self, inputs: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(np.sin, [inputs], tf.float32), (None, 1))


def with_python() -> tf_keras.Model:
    return build_mdn(2, backbone=tf_keras.Sequential([tf_keras.Input((1,)), Python()]))


@pytest.mark.parametrize("export", [export_saved_model, export_tflite, export_onnx])
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: None, TypeError, "must be a tf_keras model or an MDNRegressor, got NoneType"),
        (lambda: keras.Sequential([keras.layers.Dense(1)]), TypeError, "Keras 3 object"),
        (lambda: MDNRegressor(), ValueError, "not fitted yet"),
        (lambda: build_mdn(2), ValueError, "no weights yet"),
        (
            lambda: tf_keras.Sequential([tf_keras.Input((1,)), tf_keras.layers.Dense(1)]),
            ValueError,
            "must end in a mixture layer of tfp_mdn.layers, got Dense",
        ),
        (
            lambda: tf_keras.Sequential([tf_keras.Input((6,)), tfp.layers.MixtureNormal(2, (1,))]),
            ValueError,
            "A stock tfp.layers head can be replaced",
        ),
        (
            lambda: build_mdn(2, backbone=tf_keras.Sequential([tf_keras.Input((5, 2))])),
            ValueError,
            "a model of sequences, with a mixture at every step, cannot be exported",
        ),
        (two_inputs, ValueError, "must have one input and one output, got 2 inputs"),
    ],
)
def test_models_that_cannot_be_exported(
    export: Callable[..., None],
    make: Callable[[], Any],
    error: type[Exception],
    message: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=message):
        export(make(), tmp_path / "model")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (with_table, "the model cannot be exported: .*untracked"),
        (with_python, "the model cannot be exported: it calls Python"),
    ],
)
def test_layers_that_tensorflow_cannot_export(
    make: Callable[[], tf_keras.Model], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        export_saved_model(make(), tmp_path / "model")
    assert os.listdir(tmp_path) == []


def test_only_an_older_export_is_replaced_and_only_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "model"
    export_saved_model(make_model(), path)
    before = (path / "fingerprint.pb").read_bytes()
    with pytest.raises(FileExistsError, match="is an older export; pass overwrite=True"):
        export_saved_model(make_model(), path)
    assert (path / "fingerprint.pb").read_bytes() == before
    export_saved_model(make_model(num_components=7), path, overwrite=True)
    parameters = tf.saved_model.load(str(path)).signatures["parameters"](x=tf.zeros((1, 2)))
    assert parameters["weights"].shape == (1, 7)
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("export", [export_saved_model, export_tflite, export_onnx])
def test_nothing_else_is_ever_replaced(export: Callable[..., None], tmp_path: Path) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")
    file.write_text("precious")
    link = tmp_path / "link"
    link.symlink_to(folder)
    for path in (folder, file):
        with pytest.raises(FileExistsError, match="is not an older export in this format"):
            export(make_model(), path, overwrite=True)
    with pytest.raises(FileExistsError, match="is a symbolic link"):
        export(make_model(), link, overwrite=True)
    assert file.read_text() == (folder / "thesis.txt").read_text() == "precious"
    with pytest.raises(NotADirectoryError, match="file is not a directory"):
        export(make_model(), file / "model")


def test_an_export_that_fails_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    export_saved_model(make_model(), path)
    before = (path / "fingerprint.pb").read_bytes()

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="model could not be written .No space left on device"):
        export_saved_model(make_model(), path, overwrite=True)
    assert (path / "fingerprint.pb").read_bytes() == before
    assert os.listdir(tmp_path) == ["model"]
