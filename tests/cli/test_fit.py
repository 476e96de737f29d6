"""The command `fit`: what it makes of columns, what it refuses, and that nothing is lost."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Run
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.model_directory import read_metadata

Contents = Callable[[Path], dict[str, bytes]]
SHORT = ("--steps", "5", "--members", "1", "--components", "2")


def test_the_same_seed_gives_the_same_model(run: Run, data: Path, tmp_path: Path) -> None:
    arguments = ("--target", "eruptions", "--feature", "waiting", *SHORT)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert run("fit", data, *arguments, "-o", tmp_path / name, "--seed", seed) == 0
    grid = pd.DataFrame({"waiting": [50.0, 70.0]})
    a, b, c = (MDNRegressor.load(tmp_path / name).predict(grid) for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.equal(a, c).any()


def test_settings_reach_the_estimator(rides: Path) -> None:
    arguments = MDNRegressor.load(rides).get_params()
    expected = {
        **{"num_steps": 40, "num_components": 2, "ensemble_size": 2, "random_state": 3},
        **{"hidden_units": (8, 8), "validation_fraction": 0.2},
    }
    assert {name: arguments[name] for name in expected} == expected


def test_categories_are_features_of_zeros_and_ones(rides: Path, fares: Path) -> None:
    metadata = read_metadata(rides)
    features = ["distance", "color=green", "color=yellow", "night=False", "night=True"]
    assert metadata["feature_names"] == features
    assert metadata["target_names"] == ["fare", "tip"]
    expected = {"color": ["green", "yellow"], "night": ["False", "True"]}
    assert metadata["extras"] == {"categories": expected}
    # The same training from Python, with the columns encoded by pandas.
    table = pd.read_csv(fares).dropna(subset=["color"])
    encoded = pd.get_dummies(table[["distance", "color", "night"]], columns=["color", "night"])
    inputs = encoded.astype(float).rename(columns=lambda name: name.replace("_", "="))
    model = MDNRegressor(
        2, (8, 8), ensemble_size=2, num_steps=40, validation_fraction=0.2, random_state=3
    ).fit(inputs[features], table[["fare", "tip"]], table["weight"])
    again = MDNRegressor.load(rides)
    np.testing.assert_allclose(
        again.predict(inputs[features]), model.predict(inputs[features]), rtol=1e-5
    )


def test_weights_count(run: Run, fares: Path, tmp_path: Path) -> None:
    arguments = ("fit", fares, "--target", "fare", "--feature", "distance", *SHORT)
    assert run(*arguments, "-o", tmp_path / "weighted", "--weight", "weight") == 0
    assert run(*arguments, "-o", tmp_path / "plain") == 0
    grid = pd.DataFrame({"distance": [1.0, 5.0]})
    weighted, plain = (
        MDNRegressor.load(tmp_path / name).predict(grid) for name in ("weighted", "plain")
    )
    assert not np.equal(weighted, plain).any()


def test_json_says_what_was_done(
    run: Run, fares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--target", "fare", "--feature", "distance", "--feature", "color", "--json")
    place = tmp_path / "m"
    options = ("--categorical", "color", "--drop-missing", *SHORT)
    assert run("fit", fares, *arguments, *options, "-o", place) == 0
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    score = summary.pop("held_out_log_score")
    assert score == min(MDNRegressor.load(place).history_["val_loss"])
    assert summary == {
        **{"model": str(place), "rows": 118, "rows_dropped": 2, "columns": ["distance", "color"]},
        **{"categories": {"color": ["green", "yellow"]}, "targets": ["fare"], "members": 1},
        **{"components": 2, "component": "normal", "steps": 5, "stopped_early": False, "seed": 0},
    }
    assert captured.err == "2 of 120 rows left out for missing values: 'color' 2\n"


def test_quiet_says_nothing(
    run: Run, fares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--target", "fare", "--feature", "distance", "-o", tmp_path / "m", *SHORT)
    assert run("fit", fares, *arguments, "--quiet") == 0
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_tells_that_training_ended_early(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    table = tmp_path / "noise.csv"
    pd.DataFrame(rng.normal(size=(60, 2)), columns=["x", "y"]).to_csv(table, index=False)
    arguments = ("--target", "y", "-o", tmp_path / "m", "--members", "1", "--steps", "4000")
    assert run("fit", table, *arguments) == 0
    printed = capsys.readouterr().out
    steps = re.search(r"(\d+) steps \(ended early: no better for 20 checks\)\n", printed)
    assert steps is not None
    assert int(steps[1]) < 4000


class TestRefusals:
    """One line on standard error that names the matter, exit code 2, and nothing written."""

    @pytest.mark.parametrize(
        ("table", "arguments", "message"),
        [
            ("x,y\n1,2\n", [], "Missing option '--target'. See tfp-mdn fit --help."),
            ("x,y\n1,2\n", ["--target", "z"], "has no column 'z'; it has 'x', 'y'"),
            ("x,y\n1,2\n", ["--target", "y", "--feature", "y"], "y is named twice"),
            ("x,y\n1,2\n", ["--target", "y", "--ignore", "x"], "no feature is left"),
            ("x,y\n1,2\n", ["--target", "y", "--ignore", "z"], "has no column 'z'"),
            ("x,y\n1,2\n", ["--target", "y", "--weight", "y"], "y is named twice"),
            ("x,y\n1,2\n", ["--target", "y", "--categorical", "y"], "must be among the features"),
            ("x,y\n1,2\n", ["--target", "y", "--steps", "0"], "--steps"),
            ("x,y\n1,2\n", ["--target", "y", "--hidden", "8,no"], "'8,no' is not a list"),
            ("x,y\n1,2\n", ["--target", "y", "--hidden", "8,0"], "'8,0' is not a list"),
            ("x,y\n1,2\n", ["--target", "y", "--validation-fraction", "1"], "0.0<x<1.0"),
            ("x,y\n1,2\n", ["--target", "y"], "has one row to learn from; a fit takes two"),
            (
                ",x,,y\n1,1,2,2\n2,3,4,4\n",
                ["--target", "y"],
                "2 column(s) without a name, often row numbers. Leave out with "
                "--ignore 'Unnamed: 0' --ignore 'Unnamed: 2', or name them",
            ),
            (
                "x,y\nred,1\nblue,2\n",
                ["--target", "y"],
                "'x' (text, such as 'red'). Encode names one-hot with --categorical 'x'; or leave",
            ),
            (
                "x,t,y\nTrue,2020-01-31,1\nFalse,2020-02-01,2\n",
                ["--target", "y"],
                "'x' (boolean, such as 'True'), 't' (date, such as '2020-01-31'). Encode names "
                "one-hot with --categorical 'x'; or make dates numbers",
            ),
            ("x,y\n1,a\n2,b\n", ["--target", "y"], "Targets and weights must be numbers."),
            (
                "x,y\n1,1\n?,2\n3,3\n",
                ["--target", "y"],
                "'x' (numbers in most rows, such as '?'). Empty the cells that are not numbers",
            ),
            ('x,y\n"1,5",1\n"2,5",2\n', ["--target", "y"], "decimal commas with --decimal ','"),
            (
                "x,y,z\n,1,\n3,,\n",
                ["--target", "y"],
                "has missing values: 'x' 1, 'z' 2, 'y' 1. Fill them, or",
            ),
            ("x,y\n,1\n3,\n", ["--target", "y", "--drop-missing"], "every row has a missing value"),
            ("x,y\ninf,1\n1e999,2\n", ["--target", "y"], "infinite values, or numbers over"),
            (
                "x,x=a,y\na,1,1\nb,2,2\n",
                ["--target", "y", "--categorical", "x"],
                "has a column 'x=a', the name of a category's feature; rename it",
            ),
            (
                "x,y\n" + "".join(f"name{k},1\n" for k in range(101)),
                ["--target", "y", "--categorical", "x"],
                "has 101 categories in 'x', more than 100",
            ),
            ("x,w,y\n1,-1,2\n2,1,3\n", ["--target", "y", "--weight", "w"], "egative"),
        ],
    )
    def test_in_one_line(
        self,
        table: str,
        arguments: list[str],
        message: str,
        run: Run,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        path = tmp_path / "t.csv"
        path.write_text(table)
        assert run("fit", path, "-o", tmp_path / "out", *arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("tfp-mdn: ")
        assert captured.err.count("\n") == 1
        assert message in captured.err
        assert sorted(tmp_path.iterdir()) == [path]


class TestOlderModel:
    def test_stays_when_the_training_is_interrupted(
        self,
        run: Run,
        data: Path,
        model: Path,
        contents: Contents,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        before, beside = contents(model), sorted(data.parent.iterdir())

        def interrupted(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("tfp_mdn.estimator.train_with_recipe", interrupted)
        assert run("fit", data, "--target", "eruptions", "-o", model) == 1
        assert "interrupted" in capsys.readouterr().err
        assert contents(model) == before
        assert sorted(data.parent.iterdir()) == beside

    def test_stays_when_the_library_would_keep_the_best_weights_so_far(
        self,
        run: Run,
        data: Path,
        model: Path,
        contents: Contents,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        from tfp_mdn.callbacks import ProgressBar

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(ProgressBar, "on_epoch_end", interrupt)
        before = contents(model)
        arguments = ("--target", "eruptions", "--steps", "40", "--members", "1")
        assert run("fit", data, *arguments, "-o", model) == 1
        assert capsys.readouterr().err.strip() == "tfp-mdn: interrupted; nothing was written"
        assert contents(model) == before

    def test_a_place_that_cannot_be_written_is_refused_before_training(
        self,
        run: Run,
        data: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def train(*_: object, **__: object) -> None:
            raise AssertionError("trained all the same")

        monkeypatch.setattr("tfp_mdn.estimator.train_with_recipe", train)
        (tmp_path / "file").write_text("")
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "thesis.txt").write_text("")
        for place in (tmp_path / "file" / "model", tmp_path / "model"):
            assert run("fit", data, "--target", "eruptions", "-o", place) == 2
            assert capsys.readouterr().err.count("\n") == 1
        found = sorted(path.name for path in tmp_path.rglob("*"))
        assert found == ["file", "model", "thesis.txt"]

    @pytest.mark.slow
    @pytest.mark.parametrize("seconds", [1.0, 5.0, 12.0])
    def test_stays_whenever_ctrl_c_is_typed(
        self, seconds: float, data: Path, model: Path, contents: Contents
    ) -> None:
        before, beside = contents(model), sorted(data.parent.iterdir())
        command = str(Path(sys.executable).with_name("tfp-mdn"))
        long = ("--steps", "100000", "--members", "20")
        process = subprocess.Popen(
            [command, "fit", str(data), "--target", "eruptions", "-o", str(model), *long],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Shells let what they start in the background ignore it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        try:
            time.sleep(seconds)
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=60)
        finally:
            process.kill()
        assert (process.returncode, out) == (1, "")
        assert error.strip() == "tfp-mdn: interrupted; nothing was written"
        assert contents(model) == before
        assert sorted(data.parent.iterdir()) == beside
