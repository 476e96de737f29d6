"""Tables in and out of the shell tool: what is read, what is refused and in which words."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import json
import lzma
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pytest

from tfp_mdn.tables import (
    Columns,
    find_text_columns,
    grid_table,
    missing_counts,
    numeric_columns,
    read_table,
    write_table,
)
from tfp_mdn.tables.columns import as_text, with_numbers


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

    @pytest.mark.parametrize(
        ("suffix", "compress"),
        [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)],
    )
    def test_reads_compressed_files(
        self, suffix: str, compress: Callable[[bytes], bytes], tmp_path: Path
    ) -> None:
        path = tmp_path / f"table.csv.{suffix}"
        path.write_bytes(compress(b"a\n1.5\n"))
        assert read_table(path)["a"].tolist() == ["1.5"]
        path.write_bytes(b"a\n1.5\n")
        with pytest.raises(ValueError, match="cannot be decompressed"):
            read_table(path)

    def test_reads_an_archive_of_one_file(self, tmp_path: Path) -> None:
        path = tmp_path / "table.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("folder/t.csv", "a\n1.5\n")
        assert read_table(path)["a"].tolist() == ["1.5"]
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("readme.txt", "more")
        with pytest.raises(ValueError, match=r"table\.zip must hold one file"):
            read_table(path)

    def test_reads_parquet_by_its_first_bytes(self, tmp_path: Path) -> None:
        table = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [True, False]})
        for name in ("t.parquet", "t.data"):
            table.to_parquet(tmp_path / name)
            read = read_table(tmp_path / name)
            assert read["a"].tolist() == [1, 2]
            assert read.columns.tolist() == ["a", "b", "c"]
        (tmp_path / "t.parquet").write_text("a\n1\n")
        with pytest.raises(ValueError, match="cannot be read as Parquet"):
            read_table(tmp_path / "t.parquet")

    def test_reads_standard_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\n1\n")))
        assert read_table("-")["a"].tolist() == ["1"]
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
        with pytest.raises(ValueError, match=r"^standard input is empty\.$"):
            read_table("-")

    def test_drops_the_mark_of_utf8_and_spaces_around_names(self, csv: Path) -> None:
        csv.write_bytes(b"\xef\xbb\xbfa , b\r\n1, 2\r\n")
        table = read_table(csv)
        assert table.columns.tolist() == ["a", "b"]
        assert table.to_numpy().tolist() == [["1", "2"]]

    @pytest.mark.parametrize(("sign", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
    def test_other_separators_are_named_and_read(self, csv: Path, sign: str, word: str) -> None:
        csv.write_text(f"a{sign}b{sign}c\n1,5{sign}-,5{sign}x,y\n2{sign}3e2{sign}1,2,3\n")
        with pytest.raises(ValueError, match=rf"looks separated by {word}.*--separator"):
            read_table(csv)
        table = read_table(csv, separator=sign, decimal=",")
        assert table.to_numpy().tolist() == [["1.5", "-.5", "x,y"], ["2", "3e2", "1,2,3"]]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "is empty"),
            ("a,b\n", "has no rows under its header"),
            ("a,b,a\n1,2,3\n", "names column.* a more than once"),
            ('a,b\n1,"2\n', "cannot be read as CSV"),
            ("a,b\n1,2,3\n4,5,6\n", "all rows are longer than the header line"),
            ("a, a \n1,2\n", "names column.* a more than once"),
            ("a,b\n1,\0\n", "it is binary"),
            (" \n \n", "is empty"),
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

    @pytest.mark.parametrize(
        ("encoding", "message"),
        [
            ("latin-1", r"not in UTF-8: byte 6, in line 2, is 0xf6.*iconv -f WINDOWS-1252 .*csv'"),
            ("utf-16", r"is in UTF-16, not UTF-8; convert it with iconv -f UTF-16 -t UTF-8"),
        ],
    )
    def test_other_encodings_are_named_with_a_remedy(
        self, csv: Path, encoding: str, message: str
    ) -> None:
        csv.write_text("a,b\n1,ö\n", encoding=encoding)
        with pytest.raises(ValueError, match=message):
            read_table(csv)

    def test_missing_file(self, csv: Path) -> None:
        with pytest.raises(FileNotFoundError):
            read_table(csv)


class TestNumericColumns:
    table = pd.DataFrame(
        {"a": [1, 2], "b": [0.5, np.nan], "c": ["x", "y"], "d": [np.inf, 1.0], "e": [True, False]}
    ).assign(f=["1.5", "?"], g=["1_000", "2"], h=["1,5", "2"])

    def test_keeps_the_order_asked_for(self) -> None:
        table = pd.DataFrame({"a": [1], "b": [2.5], "c": [3]})
        chosen = numeric_columns(table, ["c", "a"], "t.csv")
        assert chosen.columns.tolist() == ["c", "a"]
        assert chosen.dtypes.tolist() == [np.float64, np.float64]

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (
                ["a", "z"],
                r"t\.csv has no column 'z'; it has 'a', 'b', 'c', 'd', 'e', ",
            ),
            (["a", "c"], r"not numbers: 'c' \(such as 'x'\)"),
            (["e"], r"not numbers: 'e' \(such as 'True'\)"),
            (["f"], r"not numbers: 'f' \(such as '\?'\)"),
            (["a", "b"], r"t\.csv has missing values: 'b' 1\. Fill them, or leave those rows out"),
            (["a", "d"], r"infinite values, or numbers over 1\.8e308: 'd' 1\. Mend those rows"),
            (["g"], r"not numbers: 'g' \(such as '1_000'\)"),
            (["h"], r"such as '1,5'\)\. If these are decimal commas, add --decimal ','"),
        ],
    )
    def test_refuses_in_words(self, names: list[str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            numeric_columns(self.table, names, "t.csv")


class TestWhatColumnsHold:
    def test_kinds_of_text(self) -> None:
        table = pd.DataFrame(
            {
                **{"number": ["1", "2", "3"], "holes": ["", "NA", "3"], "flag": ["yes", "", "no"]},
                **{"day": ["2020-01-31"] * 3, "clock": ["12:30"] * 3, "name": ["1", "x", "y"]},
                **{"comma": ["1,5", "2", "3"], "most": ["1", "2", "?"]},
            }
        )
        assert find_text_columns(table, table.columns.tolist()) == {
            **{"flag": ("boolean", "yes"), "day": ("date", "2020-01-31")},
            **{"clock": ("date", "12:30"), "name": ("text", "x")},
            **{"comma": ("decimal comma", "1,5"), "most": ("numbers in most rows", "?")},
        }
        assert missing_counts(table, ["number", "holes", "flag"]) == {"holes": 2, "flag": 1}

    def test_kinds_of_typed_columns(self) -> None:
        days = pd.to_datetime(["2020-01-31", ""])
        table = pd.DataFrame({"day": days, "flag": [True, False], "x": [1.5, np.nan]})
        found = find_text_columns(table, ["day", "flag", "x"])
        assert {name: kind for name, (kind, _) in found.items()} == {
            "day": "date",
            "flag": "boolean",
        }
        assert missing_counts(table, ["day", "flag", "x"]) == {"day": 1, "x": 1}

    def test_whole_numbers_are_the_same_text_in_every_type(self) -> None:
        columns = [pd.Series([1, 2]), pd.Series([1.0, 2.0]), pd.Series(["1", " 2"])]
        assert [as_text(column).tolist() for column in columns] == [["1", "2"]] * 3
        assert as_text(pd.Series([0.5])).tolist() == ["0.5"]

    def test_numbers_that_are_names_stay_text(self) -> None:
        table = pd.DataFrame({"x": ["1", "", "-2.5e3"], "zip": ["02100", "1", "2"], "e": [""] * 3})
        typed = with_numbers(table)
        np.testing.assert_array_equal(typed["x"], [1.0, np.nan, -2500.0])
        assert typed["zip"].tolist() == ["02100", "1", "2"]
        assert typed["e"].tolist() == [""] * 3


class TestColumns:
    table = pd.DataFrame({"x": ["1", "2", "3"], "c": ["red", "blue ", "red"], "n": [7, 8, 7]})

    def test_one_column_of_zeros_and_ones_for_each_category(self) -> None:
        columns = Columns.learn(self.table, ["c", "x", "n"], ["c", "n"], "t")
        encoded = columns.encode(self.table, "t")
        assert encoded.columns.tolist() == ["c=blue", "c=red", "x", "n=7", "n=8"]
        expected = [[0, 1, 1, 1, 0], [1, 0, 2, 0, 1], [0, 1, 3, 1, 0]]
        assert encoded.to_numpy().tolist() == expected
        again = Columns.from_features(columns.features, columns.to_dict())
        assert again == columns
        pd.testing.assert_frame_equal(again.encode(self.table, "t"), encoded)
        shown = columns.readable(self.table, "t")
        assert shown.to_numpy().tolist() == [["red", 1, "7"], ["blue", 2, "8"], ["red", 3, "7"]]

    def test_features_without_categories_are_columns(self) -> None:
        columns = Columns.from_features(["x", "a=b"], {"a": ["c"]})
        assert columns == Columns(("x", "a=b"), {})

    def test_refuses_what_was_not_there(self) -> None:
        columns = Columns.learn(self.table, ["x", "c"], ["c"], "t")
        other = self.table.assign(c=["red", "green", "pink"])
        with pytest.raises(ValueError, match=r"t has 2 row\(s\) whose 'c' .* 'green', 'pink';"):
            columns.encode(other, "t")
        with pytest.raises(ValueError, match="t has missing values: 'c' 1"):
            columns.encode(self.table.assign(c=["red", None, "blue"]), "t")
        with pytest.raises(ValueError, match="t has no column 'c'"):
            columns.encode(self.table.drop(columns="c"), "t")

    @pytest.mark.parametrize("categories", [["c"], {"c": 3}, "c"])
    def test_refuses_damaged_metadata(self, categories: object) -> None:
        with pytest.raises(ValueError, match="categories must map columns to lists"):
            Columns.from_features(["x"], categories)


class TestGridTable:
    def test_categories_have_names(self) -> None:
        grid = grid_table(["c=a:b", "x=0:1:2"], ["x", "c"], {"c": ["a:b", "d"]})
        assert grid.to_dict("list") == {"x": [0.0, 1.0], "c": ["a:b", "a:b"]}
        with pytest.raises(ValueError, match="the model knows 'a:b', 'd'"):
            grid_table(["c=e", "x=1"], ["x", "c"], {"c": ["a:b", "d"]})

    def test_names_may_have_signs_of_their_own(self) -> None:
        grid = grid_table(["a=b=2", "a=1"], ["a", "a=b"])
        assert grid.to_dict("list") == {"a": [1.0], "a=b": [2.0]}

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
            (
                ["a=0:1:0", "b=1"],
                "'a=0:1:0': COUNT, the number .* at least 1, got 0",
            ),
            (["a=0:1:-3", "b=1"], "must be at least 1, got -3"),
            (["a=nan:1:3", "b=1"], "of finite numbers"),
            (["a=0:inf:3", "b=1"], "of finite numbers"),
            (["a=x", "b=1"], "must be NAME=START:STOP:COUNT"),
            (["b"], "'' is not a feature"),
            (["a=0:1:10000000", "b=0:1:11"], "asks for 110000000 rows, more than 100000000"),
            (["a=0:1:100000001", "b=1"], "asks for 100000001 rows"),
        ],
    )
    def test_refuses_in_words(self, specifications: list[str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            grid_table(specifications, ["a", "b"])


class TestWriteTable:
    def test_formats_go_by_the_suffix_or_what_was_asked(self, tmp_path: Path) -> None:
        table = pd.DataFrame({"a": [1, 2], "b": [0.1, np.nan], "c": ["x", "é"]})
        for name in ("t.parquet", "t.pq"):
            write_table(table, tmp_path / name)
            pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / name), table)
        write_table(table, tmp_path / "t.json")
        expected = [{"a": 1, "b": 0.1, "c": "x"}, {"a": 2, "b": None, "c": "é"}]
        assert json.loads((tmp_path / "t.json").read_text(encoding="utf-8")) == expected
        write_table(table, tmp_path / "t.other", file_format="json")
        assert json.loads((tmp_path / "t.other").read_text(encoding="utf-8")) == expected
        write_table(table, tmp_path / "t.csv")
        assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "a,b,c\n1,0.1,x\n2,,é\n"

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

        def full_disk(self: pd.DataFrame, target: BinaryIO, **kwargs: object) -> None:
            target.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(pd.DataFrame, "to_csv", full_disk)
        with pytest.raises(OSError, match=r"No space left on device: '.*t\.csv'"):
            write_table(pd.DataFrame({"a": [1]}), path)
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]
