"""Export in the format ONNX, which ONNX Runtime and other programs run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfp_mdn._placing import placed_whole
from tfp_mdn._version import __version__
from tfp_mdn.export import _functions
from tfp_mdn.export._network import Network, network_of
from tfp_mdn.export._place import export_place
from tfp_mdn.layers import MixtureMultivariateNormal

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["export_onnx"]

_PRODUCER = "tfp_mdn"

# The set of operations that the file is written in; ONNX Runtime has it since 1.14 (2023).
_OPSET = 18


def export_onnx(model: Any, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a model as a directory of ONNX files, one for each question, for ONNX Runtime.

    Each takes inputs `x` of shape (N, F), in the order of the features:

    - `parameters.onnx`: `weights` (N, K), `means` (N, K, D), `variances` (N, K, D), and for full
      covariance `covariances` (N, K, D, D);
    - `mean.onnx`: `mean` (N, D);
    - `log_prob.onnx`: `log_prob` (N,), in nats, for targets `y` (N, D);
    - `quantile.onnx`: `quantile` (Q, N) for levels `q` (Q,); for D = 1 only.

    `x` has the dtype of the model's input, float64 for an estimator; all else is float64. The names
    of features and targets are in each file's metadata:

        session = onnxruntime.InferenceSession("model/quantile.onnx")
        (quantile,) = session.run(["quantile"], {"x": x, "q": np.array([0.05, 0.95])})

    Args:
        model: A `tf_keras` model that ends in a mixture layer of this package, or a fitted
            `MDNRegressor`.
        path: Directory to make, whole or not at all.
        overwrite: Whether to replace an older export at `path`; nothing else is ever replaced.

    Raises:
        ImportError: If tf2onnx, onnx and onnxruntime, the extra "export", are missing.
        TypeError: If `model` is of another kind.
        ValueError: If it cannot be exported (see `export_saved_model`), or ONNX has not all of its
            operations.
        FileExistsError: If `path` exists, unless it is an older export and `overwrite` is true.
        OSError: If the directory cannot be written.
    """
    try:
        import onnx
        import onnxruntime
        import tf2onnx
    except ImportError as error:
        msg = f'export_onnx needs the extra "export": pip install "tfp-mdn[export]" ({error})'
        raise ImportError(msg) from error
    network = network_of(model)
    place = export_place(path, overwrite=overwrite, is_own=_is_own)
    parts = onnx.utils.Extractor(_converted(network, tf2onnx))
    with placed_whole(place) as new:
        new.mkdir()
        for name, (inputs, outputs) in _questions(network).items():
            part = parts.extract_model(inputs, outputs)
            part.producer_name, part.producer_version = _PRODUCER, __version__
            onnx.helper.set_model_props(
                part, {key: json.dumps(value) for key, value in network.names.items()}
            )
            content = part.SerializeToString()
            _check(content, onnxruntime)
            (new / f"{name}.onnx").write_bytes(content)


def _questions(network: Network) -> dict[str, tuple[list[str], list[str]]]:
    """Return the names of the inputs and outputs of each file."""
    covariances = ["covariances"] if isinstance(network.head, MixtureMultivariateNormal) else []
    questions = {
        "parameters": (["x"], ["weights", "means", "variances", *covariances]),
        "mean": (["x"], ["mean"]),
        "log_prob": (["x", "y"], ["log_prob"]),
    }
    return questions | ({"quantile": (["x", "q"], ["quantile"])} if network.event_size == 1 else {})


def _converted(network: Network, tf2onnx: ModuleType) -> Any:
    """Return one ONNX model of all functions."""
    specs = [network.input_spec, tf.TensorSpec((None, network.event_size), tf.float64, name="y")]
    if network.event_size == 1:
        specs.append(tf.TensorSpec((None,), tf.float64, name="q"))

    @tf.function(input_signature=specs, autograph=False)
    def everything(x: tf.Tensor, y: tf.Tensor, q: tf.Tensor | None = None) -> Any:
        mixture = _functions.as_float64(network.mixture(x))
        outputs = {
            **_functions.parameters(mixture),
            "mean": _functions.mean(mixture),
            "log_prob": _functions.log_prob(mixture, y),
        }
        if q is not None:
            outputs["quantile"] = _functions.quantile(mixture, q)
        return outputs

    handlers: dict[str, Any] = {
        name: (handler, [])
        for name, handler in (("Erfc", _erfc), ("Log1p", _log1p), ("SelectV2", _where))
    }
    try:
        converted, _ = tf2onnx.convert.from_function(
            everything, specs, opset=_OPSET, custom_op_handlers=handlers
        )
    except Exception as error:
        msg = f"the model cannot be exported as ONNX: {error}"
        raise ValueError(msg) from error
    for value in (*converted.graph.input, *converted.graph.output):
        shape = value.type.tensor_type.shape.dim
        for place, letter in enumerate({"q": "Q", "quantile": "QN"}.get(value.name, "N")):
            shape[place].dim_param = letter
    return converted


def _check(content: bytes, onnxruntime: ModuleType) -> None:
    """Raise ValueError if ONNX Runtime cannot load what is to be written."""
    try:
        onnxruntime.InferenceSession(content)
    except Exception as error:  # its classes of errors are not public
        msg = f"the model cannot be exported as ONNX, because ONNX Runtime refuses it: {error}"
        raise ValueError(msg) from error


def _erfc(context: Any, node: Any, name: str, arguments: Any) -> None:
    """Write erfc, which ONNX does not have and "gelu" uses, as 1 - erf."""
    add, one = _without(context, node, name)
    erf = add("Erf", node.input)
    add("Sub", [one, erf.output[0]], outputs=node.output)


def _log1p(context: Any, node: Any, name: str, arguments: Any) -> None:
    """Write log1p, which ONNX does not have, as log(1 + x)."""
    add, one = _without(context, node, name)
    total = add("Add", [node.input[0], one])
    add("Log", total.output, outputs=node.output)


def _where(context: Any, node: Any, name: str, arguments: Any) -> None:
    """Write a choice as one; tf2onnx makes it c a + (1 - c) b, which is NaN for an infinite a."""
    add, _ = _without(context, node, name)
    add("Where", node.input, outputs=node.output)


def _without(context: Any, node: Any, name: str) -> tuple[Callable[..., Any], str]:
    """Take a node out; return a function that adds others of its shape, and the name of a 1."""
    from tf2onnx.utils import map_onnx_to_numpy_type

    (output,) = node.output
    shape, dtype = context.get_shape(output), context.get_dtype(output)
    context.remove_node(node.name)
    one = context.make_const(f"{name}/one", np.ones((), map_onnx_to_numpy_type(dtype)))

    def add(kind: str, inputs: list[str], **outputs: Any) -> Any:
        return context.make_node(kind, inputs, shapes=[shape], dtypes=[dtype], **outputs)

    return add, one.output[0]


def _is_own(path: Path) -> bool:
    import onnx

    names = {f"{name}.onnx" for name in ("parameters", "mean", "log_prob", "quantile")}
    if not path.is_dir() or {part.name for part in path.iterdir()} - names:
        return False
    try:
        return onnx.load_model(path / "parameters.onnx").producer_name == _PRODUCER
    except Exception:  # what is no ONNX at all fails in ways that depend on its bytes
        return False
