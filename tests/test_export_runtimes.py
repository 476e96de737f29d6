"""Export to ONNX and LiteRT: each file answers in its own runtime as the library does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
import tf2onnx
import tf_keras
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.export import export_onnx, export_tflite
from tfp_mdn.extraction import extract_parameters
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.models import build_mdn

LEVELS = np.array([0.0, 1e-9, 0.05, 0.5, 0.95, 1 - 1e-9, 1.0])


def rows() -> NDArray[np.float64]:
    """Return 1000 inputs, which float32 holds exactly."""
    values: NDArray[np.float64] = (
        np.random.default_rng(0).normal(size=(1000, 2)).astype("f").astype(np.float64)
    )
    return values


def full_model() -> tf_keras.Model:
    return build_mdn(
        3, 2, hidden_units=(4,), input_size=2, covariance_type="full", scale=[0.1, 100.0]
    )


def targets_of(expected: MixtureParameters) -> NDArray[np.float64]:
    values: NDArray[np.float64] = (
        expected.sample(1, np.random.default_rng(1))[0].astype("f").astype(np.float64)
    )
    return values


def assert_close(found: Any, wanted: Any, name: str) -> None:
    """Check equality to the rounding of float32, in units of the largest number of each column."""
    wanted = np.asarray(wanted)
    size = np.abs(wanted).max(axis=0)
    np.testing.assert_allclose(found / size, wanted / size, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("kind", ["estimator", "full"])
def test_onnx_answers_as_the_library(kind: str, fitted: MDNRegressor, tmp_path: Path) -> None:
    model = fitted if kind == "estimator" else full_model()
    export_onnx(model, tmp_path / "model")
    x = rows()
    expected = extract_parameters(getattr(model, "model_", model), x)
    y = targets_of(expected)
    given = {"x": x if kind == "estimator" else x.astype("f"), "y": y, "q": LEVELS}

    def answers(name: str) -> dict[str, Any]:
        session = onnxruntime.InferenceSession(tmp_path / "model" / f"{name}.onnx")
        wanted = {value.name: given[value.name] for value in session.get_inputs()}
        outputs = [value.name for value in session.get_outputs()]
        return dict(zip(outputs, session.run(outputs, wanted), strict=True))

    for name, array in answers("parameters").items():
        assert_close(array, getattr(expected, name), name)
    assert_close(answers("mean")["mean"], expected.mean(), "mean")
    found = answers("log_prob")["log_prob"]
    np.testing.assert_allclose(found, expected.log_prob(y), rtol=1e-5, atol=1e-5)
    if kind == "estimator":
        quantile, wanted = answers("quantile")["quantile"], expected.quantile(LEVELS)
        np.testing.assert_array_equal(quantile[[0, -1]], wanted[[0, -1]])
        unit = expected.stddev()[:, 0]
        np.testing.assert_allclose(quantile[1:-1] / unit, wanted[1:-1] / unit, rtol=1e-5, atol=1e-5)
    assert len(os.listdir(tmp_path / "model")) == (4 if kind == "estimator" else 3)
    session = onnxruntime.InferenceSession(tmp_path / "model" / "mean.onnx")
    assert session.get_modelmeta().custom_metadata_map["feature_names"] == "null"
    # What is there is known as an older export, and only then replaced.
    with pytest.raises(FileExistsError, match="is an older export; pass overwrite=True"):
        export_onnx(model, tmp_path / "model")
    onnx.checker.check_model(tmp_path / "model" / "mean.onnx")


@pytest.mark.parametrize("kind", ["estimator", "full"])
def test_litert_answers_as_the_library(kind: str, fitted: MDNRegressor, tmp_path: Path) -> None:
    model = fitted if kind == "estimator" else full_model()
    export_tflite(model, tmp_path / "model.tflite")
    x = rows()
    expected = extract_parameters(getattr(model, "model_", model), x)
    y = targets_of(expected)
    interpreter = Interpreter(str(tmp_path / "model.tflite"))
    found = interpreter.get_signature_runner("parameters")(x=x.astype("f"))
    assert ("covariances" in found) == (kind == "full")
    for name, array in found.items():
        assert array.dtype == np.float32
        assert_close(array, getattr(expected, name), name)
    mean = interpreter.get_signature_runner("mean")(x=x.astype("f"))["mean"]
    assert_close(mean, expected.mean(), "mean")
    log_prob = interpreter.get_signature_runner("log_prob")(x=x.astype("f"), y=y.astype("f"))
    np.testing.assert_allclose(log_prob["log_prob"], expected.log_prob(y), rtol=1e-4, atol=1e-4)
    with pytest.raises(FileExistsError, match="is an older export; pass overwrite=True"):
        export_tflite(model, tmp_path / "model.tflite")


@pytest.mark.filterwarnings("ignore:column")
def test_units_without_room_in_float32(quick_fit: Callable[..., Any], tmp_path: Path) -> None:
    x = rows()[:60]
    far = quick_fit(x + 1e9, x[:, 0])
    with pytest.raises(ValueError, match="the inputs lie around .* lost in float32"):
        export_tflite(far, tmp_path / "model")
    large = build_mdn(2, input_size=1, hidden_units=(2,), loc=1e9)
    with pytest.raises(ValueError, match="the targets lie around .*saved_model or onnx"):
        export_tflite(large, tmp_path / "model")
    assert os.listdir(tmp_path) == []
    export_onnx(far, tmp_path / "model")
    session = onnxruntime.InferenceSession(tmp_path / "model" / "mean.onnx")
    (mean,) = session.run(["mean"], {"x": x + 1e9})
    np.testing.assert_allclose(mean[:, 0], far.predict(x + 1e9), rtol=1e-4, atol=1e-4)


def test_what_onnx_has_not_is_refused(tmp_path: Path) -> None:
    body = tf_keras.Sequential([tf_keras.Input((1,)), Bessel()])
    with pytest.raises(ValueError, match="cannot be exported as ONNX"):
        export_onnx(build_mdn(2, backbone=body), tmp_path / "model")
    assert os.listdir(tmp_path) == []


class Bessel(tf_keras.layers.Layer):
    def call(self, inputs: Any) -> Any:
        return tf.math.bessel_i0e(inputs)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "tf2onnx"])
def test_the_extra_is_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r'needs the extra "export": pip install "tfp-mdn.export'):
        export_onnx(full_model(), tmp_path / "model")


def test_canary_tf2onnx_multiplies_where_it_should_choose_and_lacks_operations() -> None:
    # The reasons for the handlers in tfp_mdn.export.onnx.
    spec = (tf.TensorSpec((None,), tf.float64, name="x"),)

    @tf.function(input_signature=spec, autograph=False)
    def choose(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"chosen": tf.where(x > 0.0, x, tf.exp(1e4 * x))}

    converted, _ = tf2onnx.convert.from_function(choose, spec, opset=18)
    session = onnxruntime.InferenceSession(converted.SerializeToString())
    assert np.isnan(session.run(["chosen"], {"x": np.ones(1)})[0]).all()
    for operation in ("Erfc", "Log1p"):
        assert not onnx.defs.has(operation)
