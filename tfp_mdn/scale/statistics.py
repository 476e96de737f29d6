"""Statistics of columns of files larger than memory, in one pass that a shift cannot harm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from tfp_mdn._validation import FloatArray, as_whole_number
from tfp_mdn.scale.files import check_numbers, find_shards, shared_columns
from tfp_mdn.scale.stream import RowStream

__all__ = [
    "ColumnStatistics",
    "LowestNumbers",
    "Moments",
    "as_names",
    "as_statistics",
    "column_statistics",
]

# A standard deviation that is so many times that of a sample without its gross outliers is theirs.
_GROSS_RATIO = 10.0


@final
@dataclass(frozen=True, eq=False)
class ColumnStatistics:
    """What `column_statistics` found of C columns; all in the units of the columns.

    Attributes:
        columns: Names of the columns.
        count: Number of rows N.
        mean: Mean of each column, (C,).
        stddev: Standard deviation of each column, (C,), whose sum of squares is divided by N.
        min: Least value of each column, (C,).
        max: Largest value, (C,).
        sample: Rows drawn at random without repetition, (S, C), the same ones at each call: what
            medians, quantiles and robust scales can be estimated from.
    """

    columns: tuple[str, ...]
    count: int
    mean: FloatArray
    stddev: FloatArray
    min: FloatArray
    max: FloatArray
    sample: FloatArray

    def location_and_scale(self) -> tuple[FloatArray, FloatArray]:
        """Return location and scale of each column, (C,), gross outliers left out.

        They are mean and standard deviation, but where the standard deviation is more than 10 times
        that of the sample without the farthest 1% of its rows, those of that sample: in the unit
        of a gross outlier all other rows would look the same.
        """
        from tfp_mdn.preprocessing import robust_moments

        loc, scale = self.mean.copy(), self.stddev.copy()
        for place, column in enumerate(self.sample.T):
            near_loc, near_scale = robust_moments(column, np.ones(len(column)))
            if 0 < _GROSS_RATIO * near_scale < scale[place]:
                loc[place], scale[place] = near_loc, near_scale
        return loc, scale


def column_statistics(
    paths: Any, columns: Sequence[str] | None = None, *, sample_rows: int = 50_000
) -> ColumnStatistics:
    r"""Return statistics of columns of Parquet or CSV files, read once, in blocks.

    The moments of blocks are merged, each about its own mean:

        n = nₐ + n_b,   d = mean_b − meanₐ,   mean = meanₐ + d n_b / n,
        M₂ = M₂ₐ + M₂_b + d² nₐ n_b / n,   stddev = √(M₂ / n)

    so that columns such as 1e9 ± 1 keep their digits.

    Args:
        paths: A folder of `.parquet` or `.csv` files at any depth, a file, a pattern such as
            "data/*.parquet", or a list of these.
        columns: Names of the columns; None takes all.
        sample_rows: Rows of the sample S; all rows if there are fewer.

    Returns:
        The statistics.

    Raises:
        TypeError: If an argument has the wrong type.
        FileNotFoundError: If there is no such file.
        ImportError: If pyarrow is not installed.
        ValueError: If a file cannot be read, lacks a column, or holds something else than finite
            numbers in it; the message names the file, and the row group in Parquet.

    References:
        T. F. Chan, G. H. Golub, R. J. LeVeque (1983), The American Statistician 37, 242-247,
        https://doi.org/10.1080/00031305.1983.10483115.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, text in {"a.csv": "x,y\n1,5\n2,5\n", "b.csv": "x,y\n6,8\n"}.items():
        ...         _ = pathlib.Path(folder, name).write_text(text)
        ...     statistics = column_statistics(folder, ["x"])
        >>> statistics.count, statistics.mean, statistics.max
        (3, array([3.]), array([6.]))
    """
    sample_rows = as_whole_number("sample_rows", sample_rows)
    shards = find_shards(paths)
    names = shared_columns(shards, None if columns is None else as_names("columns", columns))
    check_numbers(shards, names)
    moments, sample = Moments(len(names)), LowestNumbers(sample_rows, len(names))
    for rows, numbers in RowStream(shards, names).in_order():
        moments.add(rows)
        sample.add(rows, numbers)
    return as_statistics(names, moments, sample)


def as_statistics(
    names: Sequence[str], moments: Moments, sample: LowestNumbers
) -> ColumnStatistics:
    """Return what was gathered.

    Raises:
        ValueError: If there were no rows.
    """
    if not moments.count:
        msg = "the files have no rows."
        raise ValueError(msg)
    mean, stddev = moments.mean_and_stddev()
    return ColumnStatistics(
        tuple(names), moments.count, mean, stddev, moments.min, moments.max, sample.rows
    )


def as_names(name: str, value: Any) -> list[str]:
    """Return names of columns as a list, or raise if they are none or one is named twice."""
    if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
        msg = f"{name} must be a list of names of columns, got {value!r}."
        raise TypeError(msg)
    if not value or len(set(value)) < len(value):
        msg = f"{name} must name at least one column, and none twice, got {value!r}."
        raise ValueError(msg)
    return list(value)


class Moments:
    """Count, mean, sum of squares, least and largest value of columns, gathered block by block."""

    def __init__(self, num_columns: int) -> None:
        self.count = 0
        self.min = np.full(num_columns, np.inf)
        self.max = np.full(num_columns, -np.inf)
        self._mean = np.zeros(num_columns)
        self._squares = np.zeros(num_columns)
        self._unit = np.ones(num_columns)
        self._origin = np.zeros(num_columns)

    def add(self, rows: FloatArray) -> None:
        """Merge in a block of rows (n, C)."""
        # Powers of two, so that dividing by them rounds nothing: the squares of what is far from 1
        # would leave the range of float64.
        unit = 2.0 ** np.frexp(np.abs(rows).max(axis=0))[1].clip(-1000, 1000)
        if self.count:
            unit = np.maximum(unit, self._unit)
            self._mean *= self._unit / unit
            self._squares *= np.square(self._unit / unit)
        else:
            self._origin = rows[0].copy()
        self._unit = unit
        self.min = np.minimum(self.min, rows.min(axis=0))
        self.max = np.maximum(self.max, rows.max(axis=0))
        # Counted from the first row of all, means are small numbers, which keep all digits.
        scaled = rows / unit - self._origin / unit
        mean = scaled.mean(axis=0)
        total = self.count + len(rows)
        step = mean - self._mean
        self._mean += step * (len(rows) / total)
        self._squares += np.square(scaled - mean).sum(axis=0)
        self._squares += np.square(step) * (self.count * (len(rows) / total))
        self.count = total

    def mean_and_stddev(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of all rows, each (C,)."""
        mean = (self._origin / self._unit + self._mean) * self._unit
        return mean, np.sqrt(self._squares / self.count) * self._unit


class LowestNumbers:
    """The rows of the lowest numbers, in their order: a sample of fixed size of any stream.

    Args:
        size: Rows to keep.
        num_columns: Columns of a row.
    """

    def __init__(self, size: int, num_columns: int) -> None:
        self._size = size
        self.rows: FloatArray = np.empty((0, num_columns))
        self._numbers: FloatArray = np.empty(0)

    def add(self, rows: FloatArray, numbers: FloatArray) -> None:
        """Offer rows (n, C) and their numbers (n,)."""
        if len(self._numbers) == self._size:
            near = numbers < self._numbers[-1]
            rows, numbers = rows[near], numbers[near]
        if not len(rows):
            return
        numbers = np.concatenate([self._numbers, numbers])
        kept = np.argsort(numbers, kind="stable")[: self._size]
        self.rows = np.concatenate([self.rows, rows])[kept]
        self._numbers = numbers[kept]
