"""The commands `info` and `export`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from tfp_mdn import persistence
from tfp_mdn.models import build_mdn

ROOT = Path(__file__).resolve().parent.parent.parent
VERSION_1 = ROOT / "tests" / "data" / "version_1"
Run = Callable[..., int]


def test_info_tells_what_is_there_without_tensorflow(run_python: Callable[..., str]) -> None:
    printed = run_python(
        """
        import sys
        from tfp_mdn.cli import main
        try:
            main(["info", sys.argv[1]])
        except SystemExit as error:
            assert not error.code
        assert not {"tensorflow", "tf_keras", "tensorflow_probability"} & set(sys.modules)
        """,
        VERSION_1,
    )
    lines = dict(line.split(maxsplit=1) for line in printed.splitlines())
    assert lines["kind"] == "MDNRegressor"
    assert (lines["features"], lines["targets"]) == ("a, b", "t")
    assert lines["components"] == "4 (2 members of 2)"
    assert lines["covariance"] == "diag"
    assert lines["created"] == "not known (written by an older version)"
    assert "tensorflow 2.18.0" in lines["versions"]


def test_info_as_json(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = build_mdn(3, 2, hidden_units=(4,), input_size=5, covariance_type="full")
    persistence.save(model, tmp_path / "model", extras={"unit": "cm"})
    assert run("info", tmp_path / "model", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["num_features"], facts["event_size"]) == ("model", 5, 2)
    assert (facts["num_components"], facts["num_members"]) == (3, 1)
    assert facts["covariance_type"] == "full"
    assert facts["extras"] == {"unit": "cm"}
    assert facts["bytes"] > 1000
    assert facts["created"].endswith("+00:00")
    assert run("info", tmp_path / "model") == 0
    printed = capsys.readouterr().out
    assert "features    5, without names" in printed
    assert "extras      unit" in printed


def test_info_of_what_is_damaged_or_missing(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(shutil.copytree(VERSION_1, tmp_path / "model"))
    (path / "model.keras").write_bytes(b"PK")
    assert run("info", path) == 2
    assert "is damaged or not a Keras model" in capsys.readouterr().err
    (path / "model.keras").unlink()
    assert run("info", path) == 2
    assert "model.keras is missing" in capsys.readouterr().err
    assert run("info", tmp_path / "nowhere") == 2
    assert "there is no saved model at" in capsys.readouterr().err


def test_export(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "exported"
    assert run("export", VERSION_1, "-o", place) == 0
    assert capsys.readouterr().err == f"saved_model written to {place}\n"
    mean = tf.saved_model.load(str(place)).signatures["mean"]
    x = tf.constant([[0.0, 0.0], [1.0, -1.0]], tf.float64)
    tf.debugging.assert_near(mean(x=x)["mean"][:, 0], [0.1002329, 0.06258641], atol=1e-6)
    assert run("export", VERSION_1, "-o", place) != 0
    assert "pass overwrite=True (--overwrite)" in capsys.readouterr().err
    assert run("export", VERSION_1, "-o", place, "--overwrite", "-q") == 0
    assert capsys.readouterr().err == ""
    assert run("export", tmp_path / "nowhere", "-o", place) == 2
    assert "there is no saved model at" in capsys.readouterr().err
    assert run("export", VERSION_1, "-o", place, "--format", "pickle") == 2
