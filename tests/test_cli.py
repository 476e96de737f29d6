"""The shell tool from end to end: what it writes, and how it refuses."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfp_mdn.cli import main
from tfp_mdn.datasets import load_faithful
from tfp_mdn.estimator import MDNRegressor


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return int(exit_.value.code or 0)


def tool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the tool in a process of its own."""
    code = "from tfp_mdn.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    waiting, eruptions = load_faithful()
    path = tmp_path_factory.mktemp("data") / "faithful.csv"
    frame = {"waiting": waiting[:, 0], "half": waiting[:, 0] / 2, "eruptions": eruptions}
    pd.DataFrame(frame).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def model(data: Path) -> Path:
    """Fit through the tool, on two features, in a process of its own."""
    path = data.parent / "model"
    settings = ("--steps", "60", "--components", "3", "--members", "2")
    done = tool("fit", data, "--target", "eruptions", "-o", path, *settings)
    assert done.returncode == 0, done.stderr
    # Neither TensorFlow's greetings nor a progress bar where there is no terminal.
    assert done.stderr == ""
    assert "272 rows, 2 feature(s), 2 network(s) of 3 components" in done.stdout
    return path


def test_help_and_version_do_not_import_tensorflow_or_pandas() -> None:
    for arguments in (["--help"], ["--version"], ["fit", "--help"]):
        code = (
            "import sys; from tfp_mdn.cli import main\n"
            f"try: main({arguments!r})\n"
            "except SystemExit as error: assert not error.code, error.code\n"
            "heavy = {'tensorflow', 'pandas', 'numpy.random', 'matplotlib'} & set(sys.modules)\n"
            "assert heavy <= {'numpy.random'}, heavy"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout


class TestModel:
    def test_params_of_a_table_are_those_of_the_library(
        self, model: Path, data: Path, tmp_path: Path
    ) -> None:
        output = tmp_path / "params.csv"
        assert run("params", model, data, "-o", output) == 0
        table = pd.read_csv(output)
        inputs = pd.read_csv(data)[["waiting", "half"]]
        expected = MDNRegressor.load(model).predict_parameters(inputs)
        columns = ["row", "waiting", "half", "component", "weight", "mean_0", "variance_0"]
        assert table.columns.tolist() == columns
        assert len(table) == 272 * 2 * 3
        np.testing.assert_allclose(table["weight"], expected.weights.ravel(), rtol=1e-12)
        np.testing.assert_allclose(table["mean_0"], expected.means.ravel(), rtol=1e-12)
        np.testing.assert_allclose(table["variance_0"], expected.variances.ravel(), rtol=1e-12)
        np.testing.assert_array_equal(table["waiting"], inputs["waiting"].repeat(2 * 3))

    def test_params_of_a_grid_go_to_standard_output(
        self, model: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run("params", model, "--grid", "waiting=50:90:5", "--grid", "half=30") == 0
        table = pd.read_csv(io.StringIO(capsys.readouterr().out))
        assert table["waiting"].unique().tolist() == [50.0, 60.0, 70.0, 80.0, 90.0]
        np.testing.assert_allclose(table.groupby("row")["weight"].sum(), 1.0, rtol=1e-6)

    def test_features_named_like_parameters_are_told_apart(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table = "weight,cost ($)\n" + "".join(f"{k},{k * k}\n" for k in range(20))
        (tmp_path / "t.csv").write_text(table)
        arguments = ("--target", "cost ($)", "--steps", "5", "-o", tmp_path / "m")
        assert run("fit", tmp_path / "t.csv", *arguments) == 0
        capsys.readouterr()
        assert run("params", tmp_path / "m", "--grid", "weight=3") == 0
        columns = ["row", "input_weight", "component", "weight", "mean_0", "variance_0"]
        assert pd.read_csv(io.StringIO(capsys.readouterr().out)).columns.tolist() == columns
        assert run("plot", tmp_path / "m", tmp_path / "t.csv", "-o", tmp_path / "p") == 0

    def test_predict_adds_mean_and_standard_deviation(
        self, model: Path, data: Path, tmp_path: Path
    ) -> None:
        output = tmp_path / "predicted.csv"
        assert run("predict", model, data, "-o", output) == 0
        table, before = pd.read_csv(output), pd.read_csv(data)
        pd.testing.assert_frame_equal(table[before.columns], before)
        inputs = before[["waiting", "half"]]
        mean, stddev = MDNRegressor.load(model).predict(inputs, return_std=True)
        np.testing.assert_allclose(table["eruptions_mean"], mean[:, 0], rtol=1e-12)
        np.testing.assert_allclose(table["eruptions_stddev"], stddev[:, 0], rtol=1e-12)

    def test_plot_draws_five_pictures(self, model: Path, data: Path, tmp_path: Path) -> None:
        assert run("plot", model, data, "-o", tmp_path, "--feature", "half") == 0
        names = {"components", "density", "history", "parameters", "samples"}
        assert {path.stem for path in tmp_path.glob("*.png")} == names
        assert all(
            path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000
            for path in tmp_path.glob("*.png")
        )

    def test_the_same_seed_gives_the_same_model(self, data: Path, tmp_path: Path) -> None:
        for name in ("a", "b"):
            arguments = ("--target", "eruptions", "--feature", "waiting", "--steps", "5")
            assert run("fit", data, *arguments, "-o", tmp_path / name) == 0
        grid = pd.DataFrame({"waiting": [50.0, 70.0]})
        a, b = (MDNRegressor.load(tmp_path / name).predict(grid) for name in ("a", "b"))
        np.testing.assert_array_equal(a, b)


class TestRefusals:
    """One line on standard error that names the matter, exit code 2, and nothing written."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["fit", "DATA"], "Missing option '--target'"),
            (["fit", "none.csv", "--target", "y", "-o", "OUT"], "none.csv"),
            (["fit", "DATA", "--target", "y", "-o", "OUT"], "has no column 'y'; it has 'waiting'"),
            (
                ["fit", "DATA", "--target", "half", "--feature", "half", "-o", "OUT"],
                "half is named twice",
            ),
            (
                ["fit", "DATA", "--target", "half", *["--feature", "waiting"] * 2, "-o", "OUT"],
                "waiting is named twice",
            ),
            (
                ["params", "MODEL", "--grid", "waiting=0:1:999999999999", "--grid", "half=1"],
                "alloc",
            ),
            (["predict", "MODEL", "CLASH"], "has a column eruptions_mean already"),
            (["fit", "TEXT", "--target", "y", "-o", "OUT"], "not numbers: 'x' (such as 'red')"),
            (["fit", "HOLES", "--target", "y", "-o", "OUT"], "missing or infinite values: 'x' 1"),
            (["fit", "DATA", "--target", "half", "-o", "FOLDER"], "is not a saved tfp_mdn model"),
            (["fit", "DATA", "--target", "half", "-o", "OUT", "--steps", "0"], "--steps"),
            (["params", "MODEL"], "give either a table or --grid"),
            (["params", "none", "DATA"], "there is no saved model at none"),
            (["params", "FOLDER", "DATA"], "is not a saved tfp_mdn model"),
            (["params", "MODEL", "TEXT"], "has no column 'waiting', 'half'"),
            (["params", "MODEL", "--grid", "waiting=1:2:3"], "half missing"),
            (["plot", "MODEL", "DATA", "-o", "OUT", "--feature", "z"], "'z' is not one of waiting"),
            (["nonsense"], "No such command"),
        ],
    )
    def test_in_one_line(
        self,
        arguments: list[str],
        message: str,
        data: Path,
        model: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "text.csv").write_text("x,y\nred,1\nblue,2\n")
        (tmp_path / "holes.csv").write_text("x,y\n,1\n3,2\n")
        (tmp_path / "clash.csv").write_text("waiting,half,eruptions_mean\n60,30,1\n")
        places = {
            "CLASH": tmp_path / "clash.csv",
            **{"DATA": data, "MODEL": model, "OUT": tmp_path / "out"},
            **{"FOLDER": tmp_path / "folder"},
            **{"TEXT": tmp_path / "text.csv", "HOLES": tmp_path / "holes.csv"},
        }
        assert run(*(places.get(argument, argument) for argument in arguments)) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("tfp-mdn: ")
        assert captured.err.count("\n") == 1
        assert message in captured.err
        assert not (tmp_path / "out").exists()
        assert not any((tmp_path / "folder").iterdir())


def test_an_interrupted_fit_leaves_the_older_model(
    data: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in model.iterdir()}

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tfp_mdn.estimator.train_with_recipe", interrupted)
    assert run("fit", data, "--target", "eruptions", "-o", model) == 1
    assert "interrupted" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
    assert sorted(os.listdir(data.parent)) == ["faithful.csv", "model"]


def test_real_errors_of_the_start_are_shown() -> None:
    code = (
        "import os\n"
        "from tfp_mdn._startup import _filtered_stderr\n"
        "with _filtered_stderr():\n"
        "    os.write(2, b'I0000 cudart_stub.cc:31] Could not find cuda drivers on it\\n')\n"
        "    os.write(2, b'a real error\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "a real error\n"


@pytest.mark.slow
def test_demo_leaves_model_table_and_pictures(tmp_path: Path) -> None:
    done = tool("demo", "-o", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    table = pd.read_csv(tmp_path / "demo" / "parameters.csv")
    assert len(table) == 200 * 5
    assert len(list((tmp_path / "demo").glob("*.png"))) == 5
    model = MDNRegressor.load(tmp_path / "demo" / "model")
    X, y = load_faithful()
    fitted = model.log_prob(pd.DataFrame(X, columns=["waiting"]), y).mean()
    # A normal around the straight line of least squares reaches -0.70 nats a row.
    residuals = y - np.polyval(np.polyfit(X[:, 0], y, 1), X[:, 0])
    assert fitted > -0.5 * np.log(2 * np.pi * np.e * residuals.var()) + 0.2


def test_a_place_that_cannot_be_written_is_refused_before_training(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "model", "thesis.txt"]
