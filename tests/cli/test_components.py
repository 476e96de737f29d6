"""Models of other components than normal ones through every command of the shell tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Run
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.mixture import FamilyMixture

SHORT = ("--steps", "20", "--members", "1", "--components", "2", "--hidden", "8")


@pytest.fixture(scope="module", params=["student_t", "lognormal"])
def place(request: pytest.FixtureRequest, run: Run, data: Path, tmp_path_factory: Any) -> Path:
    path: Path = tmp_path_factory.mktemp(request.param) / "model"
    columns = ("--target", "eruptions", "--feature", "waiting", "--component", request.param)
    assert run("fit", data, *columns, *SHORT, "-o", path, "-q") == 0
    return path


def test_every_command_answers(
    run: Run, place: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(data)
    model = MDNRegressor.load(place)
    p = model.predict_parameters(table[["waiting"]])
    assert isinstance(p, FamilyMixture)
    asked = ("--quantile", "0.9", "--interval", "0.5", "--mode")
    assert run("predict", place, data, *asked, "-o", tmp_path / "p.csv") == 0
    predicted = pd.read_csv(tmp_path / "p.csv")
    np.testing.assert_allclose(predicted["eruptions_mean"], p.mean()[:, 0])
    np.testing.assert_allclose(predicted["eruptions_q0.9"], p.quantile(0.9))
    np.testing.assert_allclose(predicted["eruptions_lower0.5"], p.interval(0.5)[:, 0])
    np.testing.assert_allclose(predicted["eruptions_mode"], p.mode()[:, 0])
    assert run("params", place, data, "-o", tmp_path / "params.csv") == 0
    written = pd.read_csv(tmp_path / "params.csv")
    np.testing.assert_allclose(written["weight"], p.weights.ravel())
    assert len(written) == 2 * len(table)
    assert run("sample", place, data, "-n", "3", "-o", tmp_path / "s.csv") == 0
    assert np.isfinite(pd.read_csv(tmp_path / "s.csv")["eruptions"]).all()
    capsys.readouterr()
    assert run("evaluate", place, data, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    score = -p.log_prob(table["eruptions"].to_numpy()).mean()
    assert result["log_score"] == pytest.approx(score)
    assert run("info", place, "--json") == 0
    assert json.loads(capsys.readouterr().out)["component"] == model.component
    assert run("plot", place, data, "-o", tmp_path / "pictures", "-q") == 0
    names = {path.stem for path in (tmp_path / "pictures").iterdir()}
    assert {"density", "components", "pit", "modes", "samples"} <= names


def test_what_needs_normal_components_says_so(
    run: Run, place: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("report", place, data, "-o", tmp_path / "r.html") == 2
    assert "computes with normal components only" in capsys.readouterr().err
    assert run("export", place, "--format", "saved_model", "-o", tmp_path / "e") == 2
    assert "components cannot be exported" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_targets_without_a_density_are_refused(
    run: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(data)
    table.loc[3, "eruptions"] = 0.0
    table.to_csv(tmp_path / "zero.csv", index=False)
    columns = ("--target", "eruptions", "--component", "lognormal", "-o", tmp_path / "m")
    assert run("fit", tmp_path / "zero.csv", *columns, *SHORT) == 2
    assert "must be greater than 0 for log-normal components" in capsys.readouterr().err
    assert run("fit", data, *columns, "--stream") == 2
    assert "is fitted with normal components" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "m").exists()


def test_the_names_of_components_are_those_of_the_library() -> None:
    from tfp_mdn.cli.fit import fit
    from tfp_mdn.layers.choice import COMPONENTS

    (option,) = (parameter for parameter in fit.params if parameter.name == "component")
    assert tuple(option.type.choices) == COMPONENTS  # type: ignore[attr-defined]
