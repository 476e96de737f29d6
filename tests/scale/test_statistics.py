"""Statistics in one pass: against NumPy, at large offsets, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from scipy import stats

from tfp_mdn.scale import column_statistics
from tfp_mdn.scale.statistics import LowestNumbers, Moments


def test_they_are_those_of_numpy(shards: Path, table: np.ndarray) -> None:
    found = column_statistics(shards, ["y", "a"])
    rows = table[:, [2, 0]]
    assert (found.columns, found.count) == (("y", "a"), 3000)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.stddev, rows.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(found.min, rows.min(axis=0))
    np.testing.assert_array_equal(found.max, rows.max(axis=0))
    np.testing.assert_array_equal(np.sort(found.sample, axis=0), np.sort(rows, axis=0))


@pytest.mark.parametrize(
    ("loc", "scale"), [(1e9, 1.0), (-1e9, 1e-3), (0.0, 1e-200), (1e-200, 1e-210), (1e250, 1e240)]
)
def test_neither_offset_nor_unit_costs_digits(loc: float, scale: float) -> None:
    z = np.random.default_rng(0).normal(size=(40_000, 1))
    rows = loc + scale * z
    moments = Moments(1)
    for block in np.array_split(rows, 7):
        moments.add(block)
    mean, stddev = moments.mean_and_stddev()
    # In integers of the last digit there is no rounding to compare with.
    unit = max(scale, np.spacing(abs(loc)))
    exact = (rows - rows[0]) / unit
    last_digit = 2.0 * np.spacing(abs(loc)) / unit
    np.testing.assert_allclose(
        (mean - rows[0]) / unit, exact.mean(), rtol=1e-9, atol=max(1e-12, last_digit)
    )
    np.testing.assert_allclose(stddev / unit, exact.std(), rtol=1e-9)


def test_a_naive_sum_of_squares_would_have_lost_them() -> None:
    rows = 1e9 + np.random.default_rng(0).normal(size=40_000)
    naive = np.mean(rows**2) - np.mean(rows) ** 2
    assert abs(naive - rows.var()) > 1.0


def test_a_constant_column_is_exactly_constant(
    write_shards: Callable[..., Path], tmp_path: Path
) -> None:
    rows = np.full((1000, 1), 0.1)
    found = column_statistics(write_shards(tmp_path, rows, ["x"]))
    assert found.stddev.tolist() == [0.0]
    assert found.mean.tolist() == [0.1]


def test_the_sample_is_uniform_over_the_rows(
    write_shards: Callable[..., Path], tmp_path: Path
) -> None:
    place = np.arange(20_000.0)[:, None]
    folder = write_shards(tmp_path / "rows", place, ["x"], num_files=7, group_rows=500)
    found = column_statistics(folder, sample_rows=2000)
    assert found.sample.shape == (2000, 1)
    assert len(np.unique(found.sample)) == 2000
    assert stats.kstest(found.sample[:, 0] / 20_000, "uniform").pvalue > 0.01
    again = column_statistics(folder, sample_rows=500)
    np.testing.assert_array_equal(again.sample, found.sample[:500])
    # The order is random too: no run of it comes from one file.
    assert abs(np.corrcoef(np.arange(2000), found.sample[:, 0])[0, 1]) < 0.1


def test_lowest_numbers_are_those_of_a_sort() -> None:
    rng = np.random.default_rng(0)
    kept = LowestNumbers(50, 1)
    numbers = rng.random(1000)
    for block in np.array_split(numbers, 13):
        kept.add(block[:, None], block)
    np.testing.assert_array_equal(kept.rows[:, 0], np.sort(numbers)[:50])


def test_gross_outliers_are_left_out_of_scales(
    write_shards: Callable[..., Path], tmp_path: Path
) -> None:
    x = np.random.default_rng(0).normal(3.0, 2.0, size=(5000, 2))
    x[::1000, 1] = 1e9
    found = column_statistics(write_shards(tmp_path, x, ["plain", "gross"]))
    assert found.stddev[1] > 1e7
    loc, scale = found.location_and_scale()
    np.testing.assert_allclose(loc, 3.0, atol=0.15)
    np.testing.assert_allclose(scale, 2.0, atol=0.15)
    assert loc[0] == found.mean[0]


def test_csv_and_parquet_agree(shards: Path, tmp_path: Path) -> None:
    for place, file in enumerate(sorted(shards.iterdir())):
        parquet.read_table(file).to_pandas().to_csv(
            tmp_path / f"{place}.csv{'.gz' if place else ''}", index=False
        )
    ours, theirs = column_statistics(tmp_path), column_statistics(shards)
    assert ours.count == theirs.count
    np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-12)
    np.testing.assert_allclose(ours.stddev, theirs.stddev, rtol=1e-12)


def test_other_numbers_are_read(tmp_path: Path) -> None:
    columns = {
        "i": pa.array([1, 2, 4], pa.int8()),
        "f": pa.array([0.5, 1.5, 2.5], pa.float32()),
        "h": pa.array(np.array([1, 2, 3], np.float16)),
        "d": pa.array([1, 2, 3]).cast(pa.decimal128(21, 2)),
    }
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    np.testing.assert_allclose(column_statistics(tmp_path).mean, [7 / 3, 1.5, 2.0, 2.0])


def put(folder: Path, name: str, **columns: Any) -> Path:
    parquet.write_table(pa.table(columns), folder / name, row_group_size=2)
    return folder / name


class TestRefusals:
    """Each message names the file, and the row group where there is one."""

    def test_missing_values(self, tmp_path: Path) -> None:
        put(tmp_path, "a.parquet", x=[1.0, 2.0, 3.0, float("nan")])
        with pytest.raises(ValueError, match=r"a\.parquet, row group 1 has a missing.*'x', row 3"):
            column_statistics(tmp_path)
        put(tmp_path, "a.parquet", x=pa.array([1, None, 3], pa.int64()))
        with pytest.raises(ValueError, match=r"row group 0 has a missing value in column 'x'"):
            column_statistics(tmp_path)

    def test_infinite_values(self, tmp_path: Path) -> None:
        put(tmp_path, "a.parquet", x=[1.0, float("-inf")])
        with pytest.raises(ValueError, match=r"has an infinite value in column 'x', row 1"):
            column_statistics(tmp_path)

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            (["a", "b"], "text"),
            ([True, False], "booleans"),
            (np.array(["2024-01-01", "2024-01-02"], "M8[D]"), "dates"),
            (pa.array(["a", "b"]).dictionary_encode(), "categories"),
            ([[1.0], [2.0]], "list"),
        ],
    )
    def test_what_is_no_number(self, tmp_path: Path, values: Any, words: str) -> None:
        put(tmp_path, "a.parquet", x=[1.0, 2.0], bad=values)
        with pytest.raises(ValueError, match=rf"a\.parquet holds {words}.* in column 'bad'"):
            column_statistics(tmp_path)
        assert column_statistics(tmp_path, ["x"]).count == 2

    def test_schemas_that_differ(self, tmp_path: Path) -> None:
        put(tmp_path, "a.parquet", x=[1.0], y=[1.0])
        put(tmp_path, "b.parquet", x=[1.0])
        with pytest.raises(ValueError, match=r"b\.parquet has no column 'y'; it has 'x'"):
            column_statistics(tmp_path)
        put(tmp_path, "b.parquet", x=[1.0], y=[2.0], z=[3.0])
        with pytest.raises(ValueError, match=r"b\.parquet has column\(s\) 'z', which .*a\.parquet"):
            column_statistics(tmp_path)
        put(tmp_path, "b.parquet", x=[1.0], y=["two"])
        with pytest.raises(ValueError, match=r"b\.parquet holds text in column 'y'"):
            column_statistics(tmp_path)

    def test_files_that_are_damaged(self, tmp_path: Path) -> None:
        whole = put(tmp_path, "a.parquet", x=np.arange(1000.0)).read_bytes()
        (tmp_path / "b.parquet").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match=r"b\.parquet cannot be read as Parquet.*cut short"):
            column_statistics(tmp_path)
        (tmp_path / "b.parquet").write_bytes(b"")
        with pytest.raises(ValueError, match=r"b\.parquet is empty: it has no bytes at all"):
            column_statistics(tmp_path)
        # A footer that is whole, and rows that are not.
        spoilt = bytearray(whole)
        spoilt[4:400] = bytes(396)
        (tmp_path / "b.parquet").write_bytes(spoilt)
        with pytest.raises(ValueError, match=r"b\.parquet, row group \d+ cannot be read"):
            column_statistics(tmp_path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("x,y\n1,2\n3,four\n", r"a\.csv cannot be read as CSV.*'four'.*Only numbers"),
            ("x,y\n1,2\n3\n", r"a\.csv cannot be read as CSV.*2 columns"),
            ("x,y\n1,2\n,4\n", r"a\.csv has a missing value in column 'x', row 1"),
            ("x,x\n1,2\n", r"a\.csv names column\(s\) 'x' more than once"),
            ("x;y\n1;2\n", r"has no column 'x', 'y'; it has 'x;y'"),
        ],
    )
    def test_csv(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "a.csv").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            column_statistics(tmp_path, ["x", "y"])

    def test_places(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"holds no files that end in \.parquet"):
            column_statistics(tmp_path)
        with pytest.raises(FileNotFoundError, match=r"there is no file or folder .*absent"):
            column_statistics(tmp_path / "absent")
        with pytest.raises(FileNotFoundError, match="and none that matches it"):
            column_statistics(str(tmp_path / "*.parquet"))
        with pytest.raises(TypeError, match="paths must be a folder, a file, a pattern or a list"):
            column_statistics(3)
        with pytest.raises(ValueError, match="paths must name at least one file"):
            column_statistics([])
        (tmp_path / "a.txt").write_text("x\n1\n", encoding="utf-8")
        with pytest.raises(ValueError, match=r"a\.txt does not end in \.parquet"):
            column_statistics(tmp_path / "a.txt")
        put(tmp_path, "a.parquet", x=[1.0])
        (tmp_path / "a.csv").write_text("x\n1\n", encoding="utf-8")
        with pytest.raises(ValueError, match="holds CSV and Parquet files"):
            column_statistics(tmp_path)
        assert column_statistics([tmp_path / "a.csv", tmp_path / "a.parquet"]).count == 2

    def test_columns(self, shards: Path) -> None:
        for columns, error in (("a", TypeError), ([], ValueError), (["a", "a"], ValueError)):
            with pytest.raises(error, match="columns must"):
                column_statistics(shards, columns)
        with pytest.raises(ValueError, match=r"part-0\.parquet has no column 'c'; it has 'a', 'b'"):
            column_statistics(shards, ["a", "c"])

    def test_no_rows_at_all(self, tmp_path: Path) -> None:
        put(tmp_path, "a.parquet", x=pa.array([], pa.float64()))
        with pytest.raises(ValueError, match="the files have no rows"):
            column_statistics(tmp_path)
        (tmp_path / "a.parquet").unlink()
        (tmp_path / "a.csv").write_text("x\n", encoding="utf-8")
        with pytest.raises(ValueError, match="the files have no rows"):
            column_statistics(tmp_path)
        (tmp_path / "b.csv").write_text("x\n3\n", encoding="utf-8")
        assert column_statistics(tmp_path).count == 1


@pytest.mark.parametrize("values", [[-1.7e308, 1.7e308], [1.0, 2.0, 1e300], [1e300, 1.0, 2.0]])
def test_any_numbers_of_float64_have_statistics(tmp_path: Path, values: list[float]) -> None:
    put(tmp_path, "a.parquet", x=values)
    unit = max(map(abs, values))  # in which NumPy's own squares do not overflow
    expected = np.std(np.divide(values, unit)) * unit
    np.testing.assert_allclose(column_statistics(tmp_path).stddev, expected, rtol=1e-12)
