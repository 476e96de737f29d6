"""Export for LiteRT, formerly TensorFlow Lite, which runs on phones and small boards."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfp_mdn._placing import placed_whole
from tfp_mdn.export import _functions
from tfp_mdn.export._network import network_of
from tfp_mdn.export._place import export_place
from tfp_mdn.export.saved_model import write_saved_model

__all__ = ["export_tflite"]

# What a file of this format has from its fifth byte on.
_MARK = b"TFL3"


def export_tflite(model: Any, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a model for LiteRT (TensorFlow Lite), with signatures that compute in float32.

    `Interpreter(path).get_signature_runner(name)` of the package `ai_edge_litert` is a function of
    named arrays, for inputs `x` of shape (N, F) in the order of the features:

    - `parameters(x)`: `weights` (N, K), `means` (N, K, D), `variances` (N, K, D), and for full
      covariance `covariances` (N, K, D, D);
    - `mean(x)`: `mean` (N, D);
    - `log_prob(x, y)`: `log_prob` (N,), in nats, for targets `y` (N, D).

    All arrays are float32, and the model needs no operations beyond LiteRT's own. Quantiles and
    samples follow from the parameters.

    Args:
        model: A `tf_keras` model that ends in a mixture layer of this package, or a fitted
            `MDNRegressor`.
        path: File to write, whole or not at all, usually with the ending `.tflite`.
        overwrite: Whether to replace an older file of this format at `path`.

    Raises:
        TypeError: If `model` is of another kind.
        ValueError: If it cannot be exported (see `export_saved_model`), if its units leave the
            digits of float32, or LiteRT has not all of its operations.
        FileExistsError: If `path` exists, unless it is such a file and `overwrite` is true.
        OSError: If the file cannot be written.
    """
    network = network_of(model)
    network.check_single()
    place = export_place(path, overwrite=overwrite, is_own=_is_own)
    x = tf.TensorSpec(network.input_spec.shape, tf.float32, name="x")
    y = tf.TensorSpec((None, network.event_size), tf.float32, name="y")

    @tf.function(input_signature=[x], autograph=False)
    def parameters(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return _functions.parameters(network.mixture(x, single=True))

    @tf.function(input_signature=[x], autograph=False)
    def mean(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"mean": _functions.mean(network.mixture(x, single=True))}

    @tf.function(input_signature=[x, y], autograph=False)
    def log_prob(x: tf.Tensor, y: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"log_prob": _functions.log_prob(network.mixture(x, single=True), y)}

    functions = {"parameters": parameters, "mean": mean, "log_prob": log_prob}
    with tempfile.TemporaryDirectory() as scratch:
        write_saved_model(network, Path(scratch), functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(scratch, [*functions])
        try:
            content = converter.convert()
        except Exception as error:  # the converter's own class is not public
            msg = f"the model cannot be exported for LiteRT: {error}"
            raise ValueError(msg) from error
    with placed_whole(place) as new:
        new.write_bytes(content)


def _is_own(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(8)[4:] == _MARK
