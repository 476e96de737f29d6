"""Writes models for programs that have neither this package nor TensorFlow Probability.

| function | read by | answers |
|---|---|---|
| `export_saved_model` | TensorFlow, TensorFlow Serving | all of the below, and samples |
| `export_onnx` | ONNX Runtime | parameters, mean, log-density, quantiles |
| `export_tflite` | LiteRT (TensorFlow Lite), in float32 | parameters, mean, log-density |

`save_mlflow_model` and `log_model` write models for MLflow, which load this package again.
"""

from __future__ import annotations

from tfp_mdn.export.mlflow import log_model, save_mlflow_model
from tfp_mdn.export.onnx import export_onnx
from tfp_mdn.export.saved_model import export_saved_model
from tfp_mdn.export.tflite import export_tflite

__all__ = [
    "export_onnx",
    "export_saved_model",
    "export_tflite",
    "log_model",
    "save_mlflow_model",
]
