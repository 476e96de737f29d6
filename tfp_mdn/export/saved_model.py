"""Export as a SavedModel, which TensorFlow and TensorFlow Serving load on their own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfp_mdn._placing import placed_whole
from tfp_mdn.export import _functions
from tfp_mdn.export._network import Mixture, Network, network_of
from tfp_mdn.export._place import export_place
from tfp_mdn.model_directory import package_versions

__all__ = ["export_saved_model"]

# A folder beside the graph that TensorFlow leaves to others.
_EXTRA = Path("assets.extra") / "tfp_mdn.json"

_PARTS = {"assets", "assets.extra", "fingerprint.pb", "saved_model.pb", "variables"}


def export_saved_model(
    model: Any, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a model as a SavedModel, which loads with TensorFlow alone.

    `tf.saved_model.load(path).signatures[name]` is a function of named tensors, for inputs `x` of
    shape (N, F) in the order of the features:

    - `parameters(x)`: `weights` (N, K), `means` (N, K, D), `variances` (N, K, D), and for full
      covariance `covariances` (N, K, D, D);
    - `mean(x)`: `mean` (N, D);
    - `log_prob(x, y)`: `log_prob` (N,), in nats, for targets `y` (N, D);
    - `quantile(x, q)`: `quantile` (Q, N) for levels `q` (Q,); for D = 1 only;
    - `sample(x, n, seed)`: `sample` (n, N, D); a seed gives the same draws again.

    `x` has the dtype of the model's input, float64 for an estimator; `n` and `seed` are integers
    (int32 and int64). All else, all answers included, is float64: what the network computed in
    float32 is rounded no further. The file `assets.extra/tfp_mdn.json` tells the names of features
    and targets.

    Args:
        model: A `tf_keras` model that ends in a mixture layer of this package, or a fitted
            `MDNRegressor`.
        path: Directory to make, whole or not at all.
        overwrite: Whether to replace an older export at `path`; nothing else is ever replaced.

    Raises:
        TypeError: If `model` is of another kind.
        ValueError: If it is not built or fitted, does not end in such a layer, or is a model of
            sequences.
        FileExistsError: If `path` exists, unless it is an older export and `overwrite` is true.
        OSError: If the directory cannot be written.

    Example:
        >>> import tempfile
        >>> import tensorflow as tf
        >>> from tfp_mdn.models import build_mdn
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export_saved_model(build_mdn(num_components=3, input_size=2), f"{folder}/model")
        ...     loaded = tf.saved_model.load(f"{folder}/model")
        ...     loaded.signatures["mean"](x=tf.zeros((4, 2)))["mean"].shape
        TensorShape([4, 1])
    """
    network = network_of(model)
    place = export_place(path, overwrite=overwrite, is_own=_is_own)
    with placed_whole(place) as new:
        write_saved_model(network, new, functions_of(network))
        extra = new / _EXTRA
        extra.parent.mkdir()
        described = {**network.names, "versions": package_versions()}
        extra.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def functions_of(network: Network) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """Return the functions of a model, each with its signature."""
    float64 = tf.float64

    def mixture(x: tf.Tensor) -> Mixture:
        return _functions.as_float64(network.mixture(x))

    def spec(name: str, *shape: int | None, dtype: tf.DType = float64) -> tf.TensorSpec:
        return tf.TensorSpec(shape, dtype, name=name)

    x = network.input_spec
    named: dict[str, tuple[Callable[..., Any], list[tf.TensorSpec]]] = {
        "parameters": (lambda x: _functions.parameters(mixture(x)), [x]),
        "mean": (lambda x: {"mean": _functions.mean(mixture(x))}, [x]),
        "log_prob": (
            lambda x, y: {"log_prob": _functions.log_prob(mixture(x), y)},
            [x, spec("y", None, network.event_size)],
        ),
        "sample": (
            lambda x, n, seed: {"sample": _functions.sample(mixture(x), n, seed)},
            [x, spec("n", dtype=tf.int32), spec("seed", dtype=tf.int64)],
        ),
    }
    if network.event_size == 1:
        named["quantile"] = (
            lambda x, q: {"quantile": _functions.quantile(mixture(x), q)},
            [x, spec("q", None)],
        )
    return {
        name: tf.function(function, input_signature=signature, autograph=False)
        for name, (function, signature) in named.items()
    }


def write_saved_model(network: Network, path: Path, functions: dict[str, Any]) -> None:
    """Write functions of a network as the signatures of a SavedModel.

    Raises:
        ValueError: If the network holds something that TensorFlow cannot export.
    """
    operations = functions["mean"].get_concrete_function().graph.get_operations()
    if any("PyFunc" in operation.type for operation in operations):
        msg = "the model cannot be exported: it calls Python, which other programs do not have."
        raise ValueError(msg)
    module = tf.Module()
    # The variables alone: with the model itself, TensorFlow would write its layers' graphs too,
    # those of TensorFlow Probability among them, which takes ten times as long.
    module.network_variables = network.model.variables
    for name, function in functions.items():
        setattr(module, name, function)
    try:
        tf.saved_model.save(module, str(path), signatures=functions)
    except (AssertionError, NotImplementedError) as error:  # an untracked table, a Python function
        msg = f"the model cannot be exported: {error}"
        raise ValueError(msg) from error


def _is_own(path: Path) -> bool:
    if not (path / _EXTRA).is_file():
        return False
    return {part.name for part in path.iterdir()} <= _PARTS
