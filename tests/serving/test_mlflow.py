"""Models for MLflow: saved, logged, loaded and served by MLflow's own server."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.serving.conftest import PATIENCE, ask, until
from tfp_mdn.export import log_model, save_mlflow_model
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.models import build_mdn

Library = Callable[[list[dict[str, Any]]], MixtureParameters]

LEVELS = [0.05, 0.5, 0.95]


@pytest.fixture(scope="module")
def saved(rides: Path) -> Path:
    path = rides.parent / "mlflow"
    save_mlflow_model(rides, path)
    return path


def check_rows(rows: Any, expected: MixtureParameters, levels: list[float]) -> None:
    """Compare records with what the library says."""
    for place, target in enumerate(("fare", "tip")):
        margin = expected.marginal(place)
        columns = {
            f"{target}_mean": expected.mean()[:, place],
            f"{target}_stddev": expected.stddev()[:, place],
            **{f"{target}_q{level:g}": margin.quantile(level) for level in levels},
        }
        for name, values in columns.items():
            assert [row[name] for row in rows] == values.tolist(), name


def test_a_loaded_model_predicts_as_the_library(
    saved: Path, library: Library, some_rides: list[dict[str, Any]]
) -> None:
    model = mlflow.pyfunc.load_model(str(saved))
    expected = library(some_rides)
    table = pd.DataFrame(some_rides, index=[7, 3, 5])
    predicted = model.predict(table)
    assert predicted.index.tolist() == [7, 3, 5]
    assert len(predicted.columns) == 2 * (2 + 3)
    check_rows(predicted.to_dict("records"), expected, LEVELS)
    given = {"quantile_levels": [0.25], "parameters": True}
    predicted = model.predict(table, params=given)
    check_rows(predicted.to_dict("records"), expected, [0.25])
    for name in ("weights", "means", "variances"):
        assert predicted[name].tolist() == getattr(expected, name).tolist()


def test_what_is_written_holds_no_pickle(saved: Path, rides: Path) -> None:
    names = {path.name for path in saved.rglob("*") if path.is_file()}
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".py"))]
    assert (saved / "data" / "rides" / "model.keras").read_bytes() == (
        rides / "model.keras"
    ).read_bytes()
    model = mlflow.models.Model.load(str(saved))
    assert model.flavors["python_function"]["loader_module"] == "tfp_mdn.export.mlflow"
    kinds = {spec["name"]: spec["type"] for spec in model.signature.inputs.to_dict()}
    assert kinds == {"distance": "double", "color": "string", "night": "string"}
    assert "tfp-mdn==" in (saved / "requirements.txt").read_text()


def test_a_plain_model_is_logged_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tmp_path.as_uri())
    try:
        network = build_mdn(num_components=3, input_size=1, seed=0)
        mlflow.set_experiment("mixtures")
        with mlflow.start_run() as run:
            told = log_model(network, "mixture", pip_requirements=["tfp-mdn"])
        assert told.run_id == run.info.run_id
        grid = np.linspace(-1, 1, 5)[:, np.newaxis]
        predicted = mlflow.pyfunc.load_model(told.model_uri).predict(
            pd.DataFrame({"x0": grid[:, 0]})
        )
    finally:
        mlflow.set_tracking_uri(before)
        # Or later tests would look for the experiment where it is not.
        monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", None)
    expected = network.predict(grid, verbose=0)
    np.testing.assert_allclose(predicted["y_mean"], expected[:, 0], rtol=1e-6)


def test_other_directories_are_not_replaced(saved: Path, rides: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        save_mlflow_model(rides, saved)
    with pytest.raises(FileExistsError, match="is not an older export"):
        save_mlflow_model(rides, tmp_path, overwrite=True)
    copy = tmp_path / "copy"
    save_mlflow_model(rides, copy)
    save_mlflow_model(rides, copy, overwrite=True)
    assert (copy / "MLmodel").is_file()


@pytest.mark.parametrize(
    ("changes", "params", "message"),
    [
        ({"color": "red"}, {}, "the model never saw: 'red'"),
        ({"distance": np.nan}, {}, "missing values: 'distance' 1"),
        ({"distance": "far"}, {}, "distance"),
        ({}, {"quantile_levels": [0.5, 1.0]}, "quantile_levels must be finite and .* less than 1"),
        ({}, {"quantile_levels": "x"}, "quantile_levels"),
    ],
)
def test_wrong_input_is_refused(
    saved: Path, some_rides: list[dict[str, Any]], changes: Any, params: Any, message: str
) -> None:
    model = mlflow.pyfunc.load_model(str(saved))
    with pytest.raises(Exception, match=message) as error:
        model.predict(pd.DataFrame([{**some_rides[0], **changes}]), params=params)
    assert isinstance(error.value, ValueError | mlflow.MlflowException)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="must be a tf_keras model"):
        save_mlflow_model(3, tmp_path / "m")
    with pytest.raises(FileNotFoundError, match="no saved model"):
        log_model(tmp_path / "none", "m")
    assert list(tmp_path.iterdir()) == []


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.pyfunc", None)
    with pytest.raises(ImportError, match=r'pip install "tfp-mdn\[mlflow\]"'):
        save_mlflow_model(build_mdn(2, input_size=1), tmp_path / "m")


@pytest.mark.slow
def test_the_server_of_mlflow_answers_as_the_library(
    saved: Path, library: Library, some_rides: list[dict[str, Any]], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = Path(sys.executable).parent
    log = tmp_path / "serve.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [
                *(folder / "mlflow", "models", "serve", "-m", saved, "--env-manager", "local"),
                *("--host", "127.0.0.1", "--port", str(port)),
            ],
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            env=os.environ
            | {"PATH": f"{folder}:{os.environ['PATH']}", "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: re.search("startup complete", log.read_text()), process, log)
            expected = library(some_rides)
            reply = ask(f"{url}/invocations", {"dataframe_records": some_rides})
            assert reply.status == 200, reply.body
            check_rows(reply.body["predictions"], expected, LEVELS)
            given = {"quantile_levels": [0.1, 0.9], "parameters": True}
            body = {"dataframe_records": some_rides, "params": given}
            rows = ask(f"{url}/invocations", body).body["predictions"]
            check_rows(rows, expected, [0.1, 0.9])
            assert [row["means"] for row in rows] == expected.means.tolist()
            assert [row["weights"] for row in rows] == expected.weights.tolist()
            assert [row["variances"] for row in rows] == expected.variances.tolist()
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(PATIENCE)
