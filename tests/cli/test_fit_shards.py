"""The command `fit` on folders, patterns and several files, which are read in blocks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Run
from tfp_mdn.callbacks import ProgressBar
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.model_directory import read_metadata

SHORT = ("--epochs", "2", "--components", "3", "--hidden", "8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 2))
    table = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "id": np.arange(900), "y": x.sum(axis=1)})
    folder = tmp_path_factory.mktemp("shards")
    for place in range(3):
        table[place::3].to_parquet(folder / f"{place}.parquet")
    return folder


def test_a_folder_is_one_table(
    run: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "m"
    options = ("--target", "y", "--ignore", "id", "-o", place, "--json", *SHORT)
    assert run("fit", folder, *options) == 0
    summary = json.loads(capsys.readouterr().out)
    model = MDNRegressor.load(place)
    assert summary.pop("held_out_log_score") == min(model.history_["val_loss"])
    assert summary.pop("steps") == model.history_["step"][-1]
    assert summary == {
        **{"model": str(place), "rows": 900, "columns": ["a", "b"], "targets": ["y"]},
        **{"components": 3, "interrupted": False, "seed": 0},
    }
    assert read_metadata(place)["rows"] == 900
    # The other commands read the model like any other.
    table = tmp_path / "new.csv"
    table.write_text("b,a,y\n1,2,3\n2,1,3\n", encoding="utf-8")
    for command in ("evaluate", "predict", "params"):
        assert run(command, place, table) == 0
    assert run("info", place) == 0


def test_ways_of_naming_files(run: Run, folder: Path, tmp_path: Path) -> None:
    options = ("--target", "y", "--feature", "a", "--quiet", *SHORT)
    named = {
        "folder": [folder],
        "files": sorted(folder.iterdir()),
        "pattern": [folder / "*.parquet"],
    }
    grid = pd.DataFrame({"a": [0.0, 1.0]})
    answers = []
    for name, paths in named.items():
        assert run("fit", *paths, *options, "-o", tmp_path / name) == 0
        answers.append(MDNRegressor.load(tmp_path / name).predict(grid))
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])
    assert run("fit", folder / "0.parquet", "--stream", *options, "-o", tmp_path / "one") == 0
    assert MDNRegressor.load(tmp_path / "one").num_rows_ == 300


class TestRefusals:
    """One line on standard error, exit code 2, and nothing written."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--weight", "b"], "--weight needs a table that fits in memory"),
            (["--categorical", "b"], "write one column of 0 and 1 for each category"),
            (["--members", "2"], "one network is trained on all rows"),
            (["--steps", "9"], "give --epochs, passes over the rows"),
            (["--drop-missing"], "--drop-missing needs a table that fits in memory"),
            (["--feature", "c"], "has no column 'c'; it has 'a', 'b', 'id', 'y'"),
            (["--ignore", "c"], "has no column 'c'"),
            (["--target", "y"], "target must name at least one column, and none twice"),
            (["--epochs", "0"], "--epochs"),
        ],
    )
    def test_options(
        self,
        run: Run,
        folder: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        options: list[str],
        message: str,
    ) -> None:
        assert run("fit", folder, "--target", "y", "-o", tmp_path / "m", *options) == 2
        printed = capsys.readouterr().err
        assert message in printed
        assert printed.count("\n") == 1
        assert not (tmp_path / "m").exists()

    def test_epochs_are_for_streams(
        self, run: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        options = ("--target", "eruptions", "--epochs", "3", "-o", tmp_path / "m")
        assert run("fit", data, *options) == 2
        assert "give --steps, or --stream too" in capsys.readouterr().err

    def test_folders_without_tables(
        self, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run("fit", tmp_path, "--target", "y", "-o", tmp_path / "m") == 2
        assert "holds no files that end in .parquet" in capsys.readouterr().err
        assert run("fit", tmp_path / "*.csv", "--target", "y", "-o", tmp_path / "m") == 2
        assert "none that matches it" in capsys.readouterr().err


def test_an_interrupted_run_is_saved(
    run: Run,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = tmp_path / "m"

    def press_ctrl_c(_: ProgressBar, epoch: int, logs: object = None) -> None:
        if epoch == wanted:
            raise KeyboardInterrupt  # a signal may be ignored where tests run in the background

    monkeypatch.setattr(ProgressBar, "on_epoch_begin", press_ctrl_c)
    arguments = ("fit", folder, "--target", "y", "-o", place, "--json", *SHORT)
    wanted = 1
    assert run(*arguments) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["interrupted"]
    expected = f"interrupted; the best weights so far were written to {place}"
    assert captured.err == f"tfp-mdn: {expected}\n"
    assert len(MDNRegressor.load(place).history_["step"]) == 1
    # Before the first look there is nothing to write, and what was there stays.
    wanted = 0
    assert run(*arguments) == 1
    assert capsys.readouterr().err.strip() == "tfp-mdn: interrupted; nothing was written"
    assert MDNRegressor.load(place).num_rows_ == 900
