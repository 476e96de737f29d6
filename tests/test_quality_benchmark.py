"""The quality benchmark: its splits, tables, results file and report, without any training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import quality
from benchmarks.scoreboard.data import (
    DataError,
    find_tables,
    lattice_step,
    load_table,
    split_rows,
)
from benchmarks.scoreboard.report import markdown
from benchmarks.scoreboard.scoring import score_mixture
from benchmarks.scoreboard.store import Key, Store
from tfp_mdn.mixture import MixtureParameters

KEY = Key("test", "concrete", "abc", "trees", 0, json.dumps({"versions": {"numpy": "2"}}))


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., Path]:
    def write(header: str, *rows: str) -> Path:
        path = tmp_path / "table.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return write


class TestSplits:
    def test_are_those_of_the_uci_protocol(self) -> None:
        r = np.random.RandomState(1)
        for split in range(3):
            p = r.choice(range(103), 103, replace=False)
            train, test = split_rows(103, split)
            np.testing.assert_array_equal(train, p[: round(0.9 * 103)])
            np.testing.assert_array_equal(test, p[round(0.9 * 103) :])

    def test_for_development_leave_the_test_rows_alone(self) -> None:
        train, test = split_rows(103, 2)
        inner_train, inner_test = split_rows(103, 2, development=True)
        assert sorted([*inner_train, *inner_test]) == sorted(train)
        assert not {*inner_train, *inner_test} & {*test}
        assert len(inner_train) == round(0.9 * len(train))


class TestLattice:
    @pytest.mark.parametrize(
        ("values", "step"),
        [
            ([1, 2, 5, 5], 1.0),
            ([10, 30, 70, 10], 20.0),
            ([0.25, 0.5, 1.5, 0.5], 0.25),
            ([1e9 + 0.5, 1e9 + 1.0, 1e9 + 1.0], 0.5),
            ([-0.003, 0.004, 0.004], 0.007),
            ([1.5, 2.5, 3.5], None),  # nothing repeats
            ([2.0, 2.0], None),
            ([np.pi, np.e, np.e], None),
        ],
    )
    def test_step(self, values: list[float], step: float | None) -> None:
        assert lattice_step(np.array(values, float)) == pytest.approx(step)


class TestTable:
    def test_encodes_text_and_drops_rows_with_holes(self, write_csv: Callable[..., Path]) -> None:
        rows = [f"{i},{'red' if i % 2 else 'blue'},{i / 10}" for i in range(20)]
        table = load_table("t", write_csv("a,colour,y", *rows, "?,red,1", "1,,1", "inf,red,1"))
        assert (table.dropped, table.encoded, table.x.shape) == (3, ("colour",), (20, 3))
        np.testing.assert_array_equal(table.x[:2], [[0, 1, 0], [1, 0, 1]])
        np.testing.assert_allclose(table.y, np.arange(20) / 10)

    @pytest.mark.parametrize(
        ("header", "row", "message"),
        [
            ("y", "{i}", "one column only"),
            ("x,y", "{i},v{i}", "the last column, 'y', is the target, but holds text: 'v0'"),
            ("x,y", "{i},1", "a target that varies"),
            ("x,y", "{i},", "0 such rows"),
            ("x,y", "name{i},{i}", "column 'x' has 60 different texts"),
            ("x,x", "{i},{i}", "more than once"),
        ],
    )
    def test_refuses_what_cannot_be_used(
        self, header: str, row: str, message: str, write_csv: Callable[..., Path]
    ) -> None:
        path = write_csv(header, *(row.format(i=i) for i in range(60)))
        with pytest.raises(DataError, match=message):
            load_table("t", path)

    def test_folder_must_hold_the_tables(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="holds no file"):
            find_tables(tmp_path)
        (tmp_path / "a.csv").touch()
        with pytest.raises(DataError, match="no table b; it has a"):
            find_tables(tmp_path, ["b"])


class TestScores:
    def test_interval_score_is_the_log_score_of_a_smooth_density(self) -> None:
        y = np.array([0.3, -1.2])
        normal = MixtureParameters(np.ones((2, 1)), np.zeros((2, 1)), np.ones((2, 1)))
        scores = score_mixture(normal, y, 1e-3)
        assert scores["nll"] == pytest.approx(0.5 * np.log(2 * np.pi) + 0.5 * np.mean(y**2))
        assert scores["interval_nll"] == pytest.approx(scores["nll"], abs=1e-6)
        assert scores["rmse"] == pytest.approx(np.sqrt(np.mean(y**2)))
        # |0.3| lies inside the central half, |-1.2| does not: the quartiles are at 0.674.
        assert (scores["coverage_50"], scores["coverage_90"]) == (50.0, 100.0)


class TestStore:
    def test_survives_a_torn_line_and_tries_failures_again(self, tmp_path: Path) -> None:
        path = tmp_path / "results.jsonl"
        other = Key(**{**KEY.__dict__, "split": 1})
        Store(path).append(KEY, {"scores": {"rmse": 1.0}})
        with path.open("a") as file:
            file.write('{"key": {"proto')
        Store(path).append(other, {"error": "diverged"})
        assert Store(path).finished([KEY, other]) == {KEY}
        assert list(Store(path).results) == [KEY, other]

    def test_keeps_a_line_whose_newline_is_gone(self, tmp_path: Path) -> None:
        path = tmp_path / "results.jsonl"
        Store(path).append(KEY, {"scores": {"rmse": 1.0}})
        path.write_text(path.read_text().rstrip())
        Store(path).append(Key(**{**KEY.__dict__, "split": 1}), {"scores": {"rmse": 2.0}})
        assert len(Store(path).results) == 2

    def test_refuses_a_file_that_holds_something_else(self, tmp_path: Path) -> None:
        path = tmp_path / "results.jsonl"
        path.write_text("rmse,1.0\nrmse,2.0\n")
        with pytest.raises(ValueError, match="line 1 is not a result"):
            Store(path)

    def test_newest_settings_replace_older_ones(self, tmp_path: Path) -> None:
        store = Store(tmp_path / "results.jsonl")
        changed = Key(**{**KEY.__dict__, "settings": "{}"})
        store.append(KEY, {"scores": {"rmse": 1.0}})
        store.append(changed, {"scores": {"rmse": 2.0}})
        assert set(store.newest()) == {changed}
        assert store.finished([KEY]) == {KEY}


class TestReport:
    def test_counts_failures_and_sets_published_figures_apart(self) -> None:
        keys = [Key(**{**KEY.__dict__, "split": split}) for split in range(3)]
        results = {keys[0]: {"scores": {"rmse": 1.0, "seconds": 1.0}}}
        results[keys[1]] = {"scores": {"rmse": 3.0, "seconds": 1.0}}
        text = markdown({**results, keys[2]: {"error": "diverged"}})
        assert "| concrete | 3 | 2.000 ± 1.000 [2 of 3] |" in text
        assert "Failed on concrete, run 2: diverged" in text
        measured, published = text.split("### published")
        assert "3.16" not in measured
        assert "Hernández-Lobato & Adams 2015" in published

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["tables", "--data", "nowhere"], "nowhere is not a folder"),
            (["classic", "--problems", "circle"], "no problem circle"),
            (["report"], "no results"),
            (["report", "--markdown", "nowhere/quality.md"], "no folder nowhere"),
        ],
    )
    def test_errors_are_one_line(
        self,
        arguments: list[str],
        message: str,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        output = ["--output", str(tmp_path / "none.jsonl")]
        assert quality.main([*arguments, *output]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
