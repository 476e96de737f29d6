"""The commands that ask a model: `params`, `predict`, `sample`, `evaluate`, `plot`, `demo`."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scoringrules
from PIL import Image

from tests.cli.conftest import Run, Tool
from tfp_mdn.datasets import load_faithful
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.mixture import MixtureParameters

Captured = pytest.CaptureFixture[str]
_RIDE_FEATURES = ["distance", "color=green", "color=yellow", "night=False", "night=True"]


@pytest.fixture(scope="module")
def inputs(data: Path) -> pd.DataFrame:
    return pd.read_csv(data)[["waiting", "half"]]


@pytest.fixture(scope="module")
def parameters(model: Path, inputs: pd.DataFrame) -> MixtureParameters:
    """Return what the library answers for the rows of the table."""
    return MDNRegressor.load(model).predict_parameters(inputs)


@pytest.fixture(scope="module")
def ride_features(fares: Path) -> pd.DataFrame:
    """Return the features of the rides whose colour is known, encoded by hand."""
    table = pd.read_csv(fares).dropna(subset=["color"])
    return pd.DataFrame(
        {
            "distance": table["distance"],
            "color=green": (table["color"] == "green") * 1.0,
            "color=yellow": (table["color"] == "yellow") * 1.0,
            "night=False": (~table["night"]) * 1.0,
            "night=True": table["night"] * 1.0,
        }
    )


class TestParams:
    def test_of_a_table_are_those_of_the_library(
        self,
        run: Run,
        model: Path,
        data: Path,
        inputs: pd.DataFrame,
        parameters: MixtureParameters,
        tmp_path: Path,
    ) -> None:
        output = tmp_path / "params.csv"
        assert run("params", model, data, "-o", output) == 0
        table = pd.read_csv(output)
        columns = ["row", "waiting", "half", "component", "weight", "mean_0", "variance_0"]
        assert table.columns.tolist() == columns
        assert len(table) == 272 * 2 * 3
        np.testing.assert_allclose(table["weight"], parameters.weights.ravel(), rtol=1e-12)
        np.testing.assert_allclose(table["mean_0"], parameters.means.ravel(), rtol=1e-12)
        np.testing.assert_allclose(table["variance_0"], parameters.variances.ravel(), rtol=1e-12)
        np.testing.assert_array_equal(table["waiting"], inputs["waiting"].repeat(2 * 3))

    def test_of_a_grid_go_to_standard_output(self, run: Run, model: Path, capsys: Captured) -> None:
        assert run("params", model, "--grid", "waiting=50:90:5", "--grid", "half=30") == 0
        table = pd.read_csv(io.StringIO(capsys.readouterr().out))
        assert table["waiting"].unique().tolist() == [50.0, 60.0, 70.0, 80.0, 90.0]
        np.testing.assert_allclose(table.groupby("row")["weight"].sum(), 1.0, rtol=1e-6)

    def test_of_a_grid_with_categories(self, run: Run, rides: Path, capsys: Captured) -> None:
        grid = ("--grid", "distance=1:2:2", "--grid", "color=green", "--grid", "night=True")
        assert run("params", rides, *grid, "--json") == 0
        records = json.loads(capsys.readouterr().out)
        assert len(records) == 2 * 2 * 2
        assert records[-1]["distance"] == 2.0
        assert {record["color"] for record in records} == {"green"}
        features = pd.DataFrame([[2.0, 1.0, 0.0, 0.0, 1.0]], columns=_RIDE_FEATURES)
        expected = MDNRegressor.load(rides).predict_parameters(features)
        np.testing.assert_allclose(
            [record["mean_0"] for record in records[4:]], expected.means[0, :, 0], rtol=1e-5
        )

    def test_features_named_like_parameters_are_told_apart(
        self, run: Run, tmp_path: Path, capsys: Captured
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


class TestPredict:
    def test_adds_what_is_asked_for(
        self, run: Run, model: Path, data: Path, parameters: MixtureParameters, tmp_path: Path
    ) -> None:
        output = tmp_path / "predicted.csv"
        options = ("--quantile", "0.05", "--quantile", ".5", "--interval", "0.9", "--mode")
        assert run("predict", model, data, "-o", output, *options) == 0
        table, before = pd.read_csv(output), pd.read_csv(data)
        pd.testing.assert_frame_equal(table[before.columns], before)
        expected = {
            "eruptions_mean": parameters.mean()[:, 0],
            "eruptions_stddev": parameters.stddev()[:, 0],
            "eruptions_mode": parameters.mode()[:, 0],
            "eruptions_q0.05": parameters.quantile(0.05),
            "eruptions_q0.5": parameters.median(),
            "eruptions_lower0.9": parameters.quantile(0.05),
            "eruptions_upper0.9": parameters.quantile(0.95),
        }
        assert table.columns.tolist() == [*before.columns, *expected]
        for name, values in expected.items():
            np.testing.assert_allclose(table[name], values, rtol=1e-9, err_msg=name)

    def test_encodes_categories_as_they_were_fitted(
        self, run: Run, rides: Path, fares: Path, ride_features: pd.DataFrame, tmp_path: Path
    ) -> None:
        output = tmp_path / "predicted.csv"
        assert run("predict", rides, fares, "-o", output, "--drop-missing", "--mode") == 0
        table = pd.read_csv(output)
        assert len(table) == 118
        assert set(table["note"]) == {"so so"}
        expected = MDNRegressor.load(rides).predict_parameters(ride_features)
        np.testing.assert_allclose(table[["fare_mean", "tip_mean"]], expected.mean(), rtol=1e-5)
        np.testing.assert_allclose(table[["fare_mode", "tip_mode"]], expected.mode(), rtol=1e-4)

    def test_formats_hold_the_same(
        self, run: Run, rides: Path, fares: Path, tmp_path: Path, capsys: Captured
    ) -> None:
        parquet = tmp_path / "rides.parquet"
        pd.read_csv(fares).to_parquet(parquet)
        for name in ("p.csv", "p.parquet", "p.json"):
            assert run("predict", rides, parquet, "--drop-missing", "-o", tmp_path / name) == 0
        text, typed = pd.read_csv(tmp_path / "p.csv"), pd.read_parquet(tmp_path / "p.parquet")
        records = pd.DataFrame(json.loads((tmp_path / "p.json").read_text()))
        pd.testing.assert_frame_equal(typed.reset_index(drop=True), text, check_dtype=False)
        pd.testing.assert_frame_equal(records, text, check_dtype=False)
        assert run("predict", rides, fares, "--drop-missing", "-o", tmp_path / "c.parquet") == 0
        again = pd.read_parquet(tmp_path / "c.parquet")
        # Numbers are numbers, also where they were read as text.
        assert again["weight"].dtype == again["tip_mean"].dtype == np.float64
        capsys.readouterr()
        assert run("predict", rides, fares, "--drop-missing", "--json", "--quiet") == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        pd.testing.assert_frame_equal(pd.DataFrame(json.loads(captured.out)), again)

    def test_reads_and_writes_pipes(
        self,
        run: Run,
        model: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: Captured,
    ) -> None:
        content = b"half;waiting\n30,5;61\n"
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert run("predict", model, "-", "-o", "-", "--separator", ";", "--decimal", ",") == 0
        table = pd.read_csv(io.StringIO(capsys.readouterr().out))
        assert table[["half", "waiting"]].to_numpy().tolist() == [[30.5, 61.0]]
        assert table.columns.tolist()[2:] == ["eruptions_mean", "eruptions_stddev"]


class TestSample:
    def test_is_tidy_and_drawn_as_the_library_draws(
        self, run: Run, model: Path, data: Path, parameters: MixtureParameters, tmp_path: Path
    ) -> None:
        output = tmp_path / "samples.csv"
        temperatures = ("--temperature", "0.5", "--scale-temperature", "0.25")
        arguments = ("-n", "3", "--seed", "7", *temperatures, "-o", output)
        assert run("sample", model, data, *arguments) == 0
        table = pd.read_csv(output)
        assert table.columns.tolist() == ["row", "sample", "waiting", "half", "eruptions"]
        drawn = parameters.sample(3, 7, temperature=0.5, scale_temperature=0.25)
        for row, sample in ((0, 0), (0, 2), (271, 1)):
            (found,) = table.query("row == @row and sample == @sample")["eruptions"]
            assert found == pytest.approx(drawn[sample, row, 0], rel=1e-9)
        assert len(table) == 272 * 3

    def test_numbers_the_rows_of_the_file(
        self, run: Run, rides: Path, fares: Path, capsys: Captured
    ) -> None:
        assert run("sample", rides, fares, "--drop-missing") == 0
        table = pd.read_csv(io.StringIO(capsys.readouterr().out))
        assert table.columns.tolist() == [
            *("row", "sample", "distance", "color", "night", "fare", "tip")
        ]
        # Lines 3 and 7 have no colour.
        assert table["row"].tolist() == [k for k in range(120) if k not in (3, 7)]
        before = pd.read_csv(fares).loc[table["row"]]
        assert table["color"].tolist() == before["color"].tolist()


class TestEvaluate:
    def test_figures_are_those_of_other_ways_to_them(
        self, run: Run, model: Path, data: Path, parameters: MixtureParameters, capsys: Captured
    ) -> None:
        assert run("evaluate", model, data, "--json") == 0
        result = json.loads(capsys.readouterr().out)
        y = pd.read_csv(data)["eruptions"].to_numpy()
        (entry,) = result["targets"]
        assert result["rows"] == 272
        assert entry["target"] == "eruptions"
        weights, means = parameters.weights, parameters.means[..., 0]
        deviations = np.sqrt(parameters.variances[..., 0])
        densities = np.exp(-0.5 * ((y[:, None] - means) / deviations) ** 2) / deviations
        log_density = np.log((weights * densities).sum(axis=1) / np.sqrt(2.0 * np.pi))
        assert result["log_score"] == pytest.approx(-log_density.mean(), rel=1e-9)
        crps = scoringrules.crps_mixnorm(y, means, deviations, weights)
        assert entry["crps"] == pytest.approx(crps.mean(), rel=1e-6)
        mean = (weights * means).sum(axis=1)
        assert entry["rmse"] == pytest.approx(np.sqrt(((mean - y) ** 2).mean()), rel=1e-9)
        median = parameters.median()
        assert entry["mae"] == pytest.approx(np.abs(median - y).mean(), rel=1e-9)
        for level, text in ((0.5, "50"), (0.9, "90"), (0.95, "95")):
            low, high = parameters.interval(level).T
            assert entry["coverage"][text] == pytest.approx(((low <= y) & (y <= high)).mean())
            assert entry["mean_width"][text] == pytest.approx((high - low).mean(), rel=1e-9)
        assert entry["mean_stddev"] == pytest.approx(parameters.stddev().mean(), rel=1e-9)

    def test_prints_the_same_for_a_reader(
        self, run: Run, rides: Path, fares: Path, capsys: Captured
    ) -> None:
        assert run("evaluate", rides, fares, "--drop-missing", "--json") == 0
        result = json.loads(capsys.readouterr().out)
        assert run("evaluate", rides, fares, "--drop-missing") == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].split() == ["rows", "118"]
        assert f"{result['log_score']:.4f} nats per row" in lines[1]
        assert result["verdict"] in lines[2]
        cells = {line[:20].strip(): line[20:].split() for line in lines}
        fare, tip = result["targets"]
        assert cells["CRPS"] == [f"{fare['crps']:.4g}", f"{tip['crps']:.4g}"]
        coverage = [f"{100 * entry['coverage']['90']:.1f}%" for entry in (fare, tip)]
        assert cells["within central 90%"][:2] == coverage
        assert all(len(line) < 100 for line in lines)

    def test_names_targets_where_the_report_numbers_dimensions(
        self, run: Run, rides: Path, fares: Path, tmp_path: Path, capsys: Captured
    ) -> None:
        table = pd.read_csv(fares).dropna()
        table["tip"] += 20.0
        table.to_csv(tmp_path / "moved.csv", index=False)
        assert run("evaluate", rides, tmp_path / "moved.csv", "--json") == 0
        assert "biased low for tip" in json.loads(capsys.readouterr().out)["verdict"]

    def test_lattice_counts_steps(
        self,
        run: Run,
        model: Path,
        data: Path,
        parameters: MixtureParameters,
        tmp_path: Path,
        capsys: Captured,
    ) -> None:
        table = pd.read_csv(data)
        y = (table["eruptions"] * 2).round().to_numpy() / 2
        table.assign(eruptions=y).to_csv(tmp_path / "rounded.csv", index=False)
        assert run("evaluate", model, tmp_path / "rounded.csv", "--lattice", "0.5", "--json") == 0
        result = json.loads(capsys.readouterr().out)
        inside = parameters.cdf(y + 0.25) - parameters.cdf(y - 0.25)
        assert result["log_score"] == pytest.approx(-np.log(inside).mean(), rel=1e-6)


class TestPlot:
    def test_draws_a_model_of_one_target(
        self, run: Run, model: Path, data: Path, tmp_path: Path, capsys: Captured
    ) -> None:
        assert run("plot", model, data, "-o", tmp_path, "--feature", "half") == 0
        names = {"components", "density", "history", "modes", "parameters", "samples"}
        names |= {"coverage", "pit"}
        printed = [Path(line) for line in capsys.readouterr().out.splitlines()]
        assert sorted(printed) == sorted(tmp_path.iterdir())
        assert {path.stem for path in printed} == names
        for path in printed:
            with Image.open(path) as picture:
                assert picture.format == "PNG"
                # Not one colour: something was drawn.
                assert sum(count > 0 for count in picture.convert("L").histogram()) > 10

    def test_holds_other_columns_at_typical_values(
        self, run: Run, fares: Path, tmp_path: Path
    ) -> None:
        place = tmp_path / "m"
        arguments = ("--target", "fare", "--feature", "color", "--feature", "distance")
        options = ("--categorical", "color", "--drop-missing", "--steps", "5", "--members", "1")
        assert run("fit", fares, *arguments, *options, "-o", place) == 0
        assert run("plot", place, fares, "-o", tmp_path / "p", "--drop-missing", "-q") == 0
        assert len(list((tmp_path / "p").iterdir())) == 8

    def test_draws_a_model_of_several_targets(
        self, run: Run, rides: Path, fares: Path, tmp_path: Path
    ) -> None:
        assert run("plot", rides, fares, "-o", tmp_path / "p", "--drop-missing", "-q") == 0
        names = {path.stem for path in (tmp_path / "p").iterdir()}
        assert names == {"corner", "coverage", "history"}


class TestRefusals:
    """One line on standard error that names the matter, exit code 2, and nothing written."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["params", "MODEL"], "give either a table or --grid"),
            (["params", "none", "DATA"], "there is no saved model at none"),
            (["params", "FOLDER", "DATA"], "is not a saved tfp_mdn model"),
            (["params", "DATA", "MODEL"], "is a file"),
            (["params", "MODEL", "TEXT"], "has no column 'waiting', 'half'"),
            (["params", "MODEL", "--grid", "waiting=1:2:3"], "half missing"),
            (
                ["params", "MODEL", "--grid", "waiting=0:1:999999", "--grid", "half=0:1:999999"],
                "more than 100000000; make it coarser",
            ),
            (["params", "RIDES", "--grid", "color=red"], "the model knows 'green', 'yellow'"),
            (["predict", "MODEL", "CLASH"], "has a column eruptions_mean already; rename it"),
            (["predict", "MODEL", "DATA", "--quantile", "1"], "0.0<x<1.0"),
            (
                ["predict", "MODEL", "DATA", "--interval", "0.9", "--interval", ".90"],
                "eruptions_lower0.9, eruptions_upper0.9 is asked for twice",
            ),
            (["predict", "MODEL", "DATA", "--json", "--format", "csv"], "either --format or"),
            (["predict", "MODEL", "DATA", "--separator", "::"], "--separator must be one sign"),
            (
                ["predict", "MODEL", "DATA", "--separator", ",", "--decimal", ","],
                "cannot both be a comma",
            ),
            (
                ["predict", "RIDES", "UNKNOWN"],
                "has 1 row(s) whose 'color' the model never saw: 'red'; it knows 'green', 'yellow'",
            ),
            (["predict", "RIDES", "FARES"], "has missing values: 'color' 2"),
            (["sample", "MODEL", "DATA", "-n", "0"], "-n"),
            (["sample", "MODEL", "DATA", "--temperature", "nan"], "temperature must be finite"),
            (["evaluate", "MODEL", "CLASH"], "has no column 'eruptions'"),
            (["evaluate", "MODEL", "DATA", "--lattice", "1", "--lattice", "2"], "--lattice"),
            (["plot", "MODEL", "DATA", "-o", "OUT", "--feature", "z"], "'z' is not one of waiting"),
            (["predict", "MODEL", "DATA", "-o", "DATA"], "is the table that is read; name another"),
            (["sample", "MODEL", "DATA", "-o", "DATA"], "is the table that is read; name another"),
            (["params", "MODEL", "DATA", "-o", "DATA"], "is the table that is read; name another"),
            (["plot", "RIDES", "FARES", "-o", "OUT"], "has missing values: 'color' 2"),
            (["plot", "MODEL", "DATA", "-o", "DATA"], "is a file"),
        ],
    )
    def test_in_one_line(
        self,
        arguments: list[str],
        message: str,
        run: Run,
        data: Path,
        model: Path,
        fares: Path,
        rides: Path,
        tmp_path: Path,
        capsys: Captured,
    ) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "text.csv").write_text("x,y\nred,1\nblue,2\n")
        (tmp_path / "clash.csv").write_text("waiting,half,eruptions_mean\n60,30,1\n")
        (tmp_path / "unknown.csv").write_text("distance,color,night\n1,red,True\n2,green,True\n")
        before = sorted(tmp_path.iterdir())
        places = {
            **{"DATA": data, "MODEL": model, "FARES": fares, "RIDES": rides},
            **{"OUT": tmp_path / "out", "FOLDER": tmp_path / "folder"},
            **{name.upper(): tmp_path / f"{name}.csv" for name in ("clash", "text", "unknown")},
        }
        assert run(*(places.get(argument, argument) for argument in arguments)) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("tfp-mdn: ")
        assert captured.err.count("\n") == 1
        assert message in captured.err
        assert sorted(tmp_path.iterdir()) == before

    def test_a_model_without_names(
        self, run: Run, fitted: Any, data: Path, tmp_path: Path, capsys: Captured
    ) -> None:
        fitted.save(tmp_path / "m")
        assert run("predict", tmp_path / "m", data) == 2
        assert "was fitted without column names" in capsys.readouterr().err


def test_predictions_for_a_reader_that_has_enough(model: Path, tmp_path: Path) -> None:
    table = tmp_path / "long.csv"
    pd.DataFrame({"waiting": np.arange(20_000.0), "half": 1.0}).to_csv(table, index=False)
    command = 'set -o pipefail; "$0" predict "$1" "$2" | head -n 1'
    program = Path(sys.executable).with_name("tfp-mdn")
    arguments = ["bash", "-c", command, str(program), str(model), str(table)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == "waiting,half,eruptions_mean,eruptions_stddev\n"
    assert done.stderr == ""


@pytest.mark.slow
def test_demo_leaves_model_table_and_pictures(tool: Tool, tmp_path: Path) -> None:
    done = tool("demo", "-o", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    table = pd.read_csv(tmp_path / "demo" / "parameters.csv")
    assert len(table) == 200 * 5
    assert len(list((tmp_path / "demo").glob("*.png"))) == 8
    model = MDNRegressor.load(tmp_path / "demo" / "model")
    X, y = load_faithful()
    fitted = model.log_prob(pd.DataFrame(X, columns=["waiting"]), y).mean()
    # A normal around the straight line of least squares reaches -0.70 nats a row.
    residuals = y - np.polyval(np.polyfit(X[:, 0], y, 1), X[:, 0])
    assert fitted > -0.5 * np.log(2 * np.pi * np.e * residuals.var()) + 0.2
