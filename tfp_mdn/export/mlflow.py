"""Models for MLflow: logged and saved as a `pyfunc` that loads without running code from a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from tfp_mdn._placing import placed_whole
from tfp_mdn._validation import as_real
from tfp_mdn.export._place import export_place
from tfp_mdn.extraction import extract_parameters
from tfp_mdn.model_directory import package_versions
from tfp_mdn.persistence import save
from tfp_mdn.serving.served import ServedModel, arrays_of

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.models.model import ModelInfo

__all__ = ["log_model", "save_mlflow_model"]

# The description that MLflow looks for in the directory of a model.
_DESCRIPTION = "MLmodel"

_LEVELS = (0.05, 0.5, 0.95)


def log_model(
    model: Any,
    name: str,
    *,
    pip_requirements: Sequence[str] | None = None,
    registered_model_name: str | None = None,
) -> ModelInfo:
    """Log a model in the active run of MLflow, or in a new one.

    What is logged, and how it answers, is told at `save_mlflow_model`.

    Args:
        model: A fitted `MDNRegressor`, a `tf_keras` model that takes rows (N, F) and ends in a
            mixture layer, or the directory of one that `tfp_mdn.save` or `tfp-mdn fit` wrote.
        name: Name of the model in the run.
        pip_requirements: Packages that a server of its own environment installs; None takes the
            versions at hand.
        registered_model_name: Name to register the model under, if any.

    Returns:
        What MLflow tells of the logged model, `model_uri` for instance.

    Raises:
        ImportError: If the extra `mlflow` is not installed.
        TypeError: If `model` is something else.
        ValueError: If it is not fitted or built, or takes anything but rows.
    """
    pyfunc = _imported()
    with _contents(model, pip_requirements) as contents:
        return pyfunc.log_model(name=name, registered_model_name=registered_model_name, **contents)


def save_mlflow_model(
    model: Any,
    path: str | os.PathLike[str],
    *,
    pip_requirements: Sequence[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a model as a directory that `mlflow models serve` and `mlflow.pyfunc.load_model` read.

    It holds what `tfp_mdn.save` writes and no pickle. `predict` takes a table of the features, with
    categorical columns as text, and returns one of the columns `TARGET_mean`, `TARGET_stddev` and
    `TARGET_q0.05`, `TARGET_q0.5`, `TARGET_q0.95` for each target. Its `params` are

    - `quantile_levels`: other levels, between 0 and 1;
    - `parameters`: whether to add `weights`, `means` and `variances` (and `covariances`) of the
      components, lists of shape (K,), (K, D) and (K, D, D) in each row.

    Args:
        model: A fitted `MDNRegressor`, a `tf_keras` model that takes rows (N, F) and ends in a
            mixture layer, or the directory of one that `tfp_mdn.save` or `tfp-mdn fit` wrote.
        path: Directory to make, whole or not at all.
        pip_requirements: Packages that a server of its own environment installs; None takes the
            versions at hand.
        overwrite: Whether to replace an older model of MLflow that was written here.

    Raises:
        ImportError: If the extra `mlflow` is not installed.
        TypeError: If `model` is something else.
        ValueError: If it is not fitted or built, or takes anything but rows.
        FileExistsError: If `path` exists, unless it is such a directory and `overwrite` is true.
        OSError: If the directory cannot be written.

    Example:
        >>> import tempfile
        >>> import mlflow
        >>> import pandas as pd
        >>> from tfp_mdn.models import build_mdn
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_mlflow_model(build_mdn(num_components=3, input_size=2), f"{folder}/model")
        ...     loaded = mlflow.pyfunc.load_model(f"{folder}/model")
        ...     table = pd.DataFrame({"x0": [0.0], "x1": [1.0]})
        ...     loaded.predict(table, params={"quantile_levels": [0.5]}).columns.tolist()
        ['y_mean', 'y_stddev', 'y_q0.5']
    """
    pyfunc = _imported()
    place = export_place(path, overwrite=overwrite, is_own=_is_own)
    with _contents(model, pip_requirements) as contents, placed_whole(place) as new:
        pyfunc.save_model(path=str(new), **contents)


@final
class _PyfuncModel:
    """What MLflow calls."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served

    def predict(
        self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return predictions for the rows of a table."""
        import pandas as pd

        given = {"quantile_levels": _LEVELS, "parameters": False, **(params or {})}
        levels = [
            as_real("quantile_levels", level, above=0.0, below=1.0)
            for level in given["quantile_levels"]
        ]
        served = self._served
        inputs = served.columns.encode(model_input, "the input")
        mixtures = extract_parameters(served.network, inputs.to_numpy())
        mean, stddev = mixtures.mean(), mixtures.stddev()
        found: dict[str, Any] = {}
        for place, target in enumerate(served.targets):
            found |= {f"{target}_mean": mean[:, place], f"{target}_stddev": stddev[:, place]}
            margin = mixtures.marginal(place)
            found |= {f"{target}_q{level:g}": margin.quantile(level) for level in levels}
        if given["parameters"]:
            found |= {name: array.tolist() for name, array in arrays_of(mixtures).items()}
        return pd.DataFrame(found, index=model_input.index)


def _load_pyfunc(data_path: str) -> _PyfuncModel:
    """Return the model in a directory; MLflow calls this by its name."""
    return _PyfuncModel(ServedModel.open(data_path))


def _imported() -> Any:
    try:
        import mlflow.pyfunc
    except ImportError as error:
        msg = f'MLflow is needed ({error}): pip install "tfp-mdn[mlflow]"'
        raise ImportError(msg) from error
    return mlflow.pyfunc


@contextmanager
def _contents(model: Any, pip_requirements: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    """Give what MLflow is to write of a model, while the files are there."""
    import pandas as pd

    served = ServedModel.open(model)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(model) if isinstance(model, str | os.PathLike) else Path(scratch) / "model"
        if not isinstance(model, str | os.PathLike):
            save(model, folder)
        yield {
            "loader_module": __name__,
            "data_path": str(folder.absolute()),
            "signature": _signature(served),
            "input_example": pd.DataFrame([served.example], columns=list(served.columns.names)),
            "pip_requirements": _requirements() if pip_requirements is None else pip_requirements,
        }


def _signature(served: ServedModel) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    kinds = {True: DataType.string, False: DataType.double}
    names = served.columns.names
    inputs = Schema([ColSpec(kinds[name in served.columns.categories], name) for name in names])
    levels = ParamSpec("quantile_levels", DataType.double, default=list(_LEVELS), shape=(-1,))
    whole = ParamSpec("parameters", DataType.boolean, default=False)
    return ModelSignature(inputs=inputs, params=ParamSchema([levels, whole]))


def _requirements() -> list[str]:
    versions = {name: found for name, found in package_versions().items() if name != "python"}
    return [f"{name}=={found}" for name, found in versions.items()]


def _is_own(path: Path) -> bool:
    description = path / _DESCRIPTION
    return description.is_file() and __name__ in description.read_text(encoding="utf-8")
