"""Tables in and out of the shell tool: what is read, what is refused and in which words."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfp_mdn.tables import grid_table, numeric_columns, read_table, write_table


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


class TestReadTable:
    def test_reads_numbers_under_their_names(self, csv: Path) -> None:
        csv.write_text("a,b\n1,2.5\n3,4\n")
        table = read_table(csv)
        assert table.columns.tolist() == ["a", "b"]
        assert table.to_numpy().tolist() == [["1", "2.5"], ["3", "4"]]
        np.testing.assert_array_equal(numeric_columns(table, ["a", "b"], "t"), [[1, 2.5], [3, 4]])

    def test_keeps_the_text_of_what_only_looks_like_numbers(self, csv: Path) -> None:
        csv.write_text("zip,x\n02100,35.10\n")
        assert read_table(csv).to_numpy().tolist() == [["02100", "35.10"]]

    def test_reads_compressed_files(self, tmp_path: Path) -> None:
        path = tmp_path / "table.csv.gz"
        pd.DataFrame({"a": [1.5]}).to_csv(path, index=False)
        assert read_table(path)["a"].tolist() == ["1.5"]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "is empty"),
            ("a,b\n", "has no rows under its header"),
            ("a,b,a\n1,2,3\n", "names column.* a more than once"),
            ('a,b\n1,"2\n', "cannot be read as CSV"),
            ("a,b\n1,2,3\n4,5,6\n", "cannot be read as CSV"),
            ("a,b\n1,2\n4,5,6\n", "cannot be read as CSV: .*line 3"),
        ],
    )
    def test_refuses_what_is_no_table(self, csv: Path, content: str, message: str) -> None:
        csv.write_text(content)
        with pytest.raises(ValueError, match=message):
            read_table(csv)

    def test_refuses_binary_files(self, csv: Path) -> None:
        csv.write_bytes(b"\x89PNG\xff\xfe\x00")
        with pytest.raises(ValueError, match="cannot be read as CSV"):
            read_table(csv)

    def test_missing_file(self, csv: Path) -> None:
        with pytest.raises(FileNotFoundError):
            read_table(csv)


class TestNumericColumns:
    table = pd.DataFrame(
        {"a": [1, 2], "b": [0.5, np.nan], "c": ["x", "y"], "d": [np.inf, 1.0], "e": [True, False]}
    ).assign(f=["1.5", "?"])

    def test_keeps_the_order_asked_for(self) -> None:
        table = pd.DataFrame({"a": [1], "b": [2.5], "c": [3]})
        chosen = numeric_columns(table, ["c", "a"], "t.csv")
        assert chosen.columns.tolist() == ["c", "a"]
        assert chosen.dtypes.tolist() == [np.float64, np.float64]

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["a", "z"], r"t\.csv has no column 'z'; it has 'a', 'b', 'c', 'd', 'e', 'f'"),
            (["a", "c"], r"not numbers: 'c' \(such as 'x'\)"),
            (["e"], r"not numbers: 'e' \(such as 'True'\)"),
            (["f"], r"not numbers: 'f' \(such as '\?'\)"),
            (["a", "b", "d"], r"missing or infinite values: 'b' 1, 'd' 1"),
        ],
    )
    def test_refuses_in_words(self, names: list[str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            numeric_columns(self.table, names, "t.csv")


class TestGridTable:
    def test_every_combination_in_the_order_of_the_features(self) -> None:
        grid = grid_table(["b=7", "a=0:1:3"], ["a", "b"])
        assert grid.to_dict("list") == {"a": [0.0, 0.5, 1.0], "b": [7.0, 7.0, 7.0]}
        assert len(grid_table(["a=0:1:3", "b=-1e3:1e3:5"], ["a", "b"])) == 15

    @pytest.mark.parametrize(
        ("specifications", "message"),
        [
            (["a=0:1:3"], "must name every feature; b missing"),
            (["a=0:1:3", "b=1", "c=1"], "'c' is not a feature of the model"),
            (["a=0:1:3", "a=1"], "'a' is named twice"),
            (["a=0:1", "b=1"], "must be NAME=START:STOP:COUNT"),
            (["a=0:1:0", "b=1"], "must be NAME=START:STOP:COUNT"),
            (["a=nan:1:3", "b=1"], "of finite numbers"),
            (["a=0:inf:3", "b=1"], "of finite numbers"),
            (["a=x", "b=1"], "must be NAME=START:STOP:COUNT"),
            (["b"], "'' is not a feature"),
        ],
    )
    def test_refuses_in_words(self, specifications: list[str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            grid_table(specifications, ["a", "b"])


class TestWriteTable:
    def test_makes_folders_and_leaves_no_scratch_file(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "t.csv"
        write_table(pd.DataFrame({"a": [0.1]}), path)
        assert path.read_text() == "a\n0.1\n"
        assert list(path.parent.iterdir()) == [path]

    def test_links_and_pipes_are_written_to_and_stay(self, tmp_path: Path) -> None:
        table, real, link = pd.DataFrame({"a": [1]}), tmp_path / "real.csv", tmp_path / "link.csv"
        real.write_text("old")
        link.symlink_to(real)
        write_table(table, link)
        assert link.is_symlink()
        assert real.read_text() == "a\n1\n"
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        write_table(table, pipe)
        assert os.read(reader, 100) == b"a\n1\n"
        os.close(reader)
        assert pipe.is_fifo()
        with pytest.raises(IsADirectoryError, match="is a directory"):
            write_table(table, tmp_path)

    def test_a_failure_keeps_the_file_that_was_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "t.csv"
        path.write_text("old")

        def full_disk(self: pd.DataFrame, target: Path, **kwargs: object) -> None:
            target.write_text("half")
            raise OSError("No space left on device")

        monkeypatch.setattr(pd.DataFrame, "to_csv", full_disk)
        with pytest.raises(OSError, match="No space left"):
            write_table(pd.DataFrame({"a": [1]}), path)
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]
