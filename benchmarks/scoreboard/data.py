"""Tables as regression problems, and the protocol by which their rows are split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfp_mdn._validation import FloatArray
from tfp_mdn.tables import read_table

__all__ = ["DataError", "Table", "find_tables", "lattice_step", "load_table", "split_rows"]

_MISSING = ["", "?", "NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "null", "NULL", "None"]

# A text column of more values is a name, a date or a number with a typing error.
_MOST_CATEGORIES = 50

# With fewer rows a test set of a tenth says nothing.
_FEWEST_ROWS = 20

# Real numbers that were written with more decimals than this are not on a lattice.
_MOST_DECIMALS = 6


class DataError(ValueError):
    """Data that cannot be used, and what to do about it, in one line."""


@dataclass(frozen=True)
class Table:
    """A regression problem read from a file.

    Attributes:
        name: Name of the file without its endings.
        path: The file.
        checksum: First 12 digits of the SHA-256 of the file.
        x: Inputs (N, F).
        y: Targets (N,).
        step: Step of the lattice that the targets lie on, or None.
        dropped: Rows left out because a value is missing or infinite.
        encoded: Text columns, each of which became one column per value.
    """

    name: str
    path: Path
    checksum: str
    x: FloatArray
    y: FloatArray
    step: float | None
    dropped: int
    encoded: tuple[str, ...]


def find_tables(folder: Path, names: Sequence[str] | None = None) -> dict[str, Path]:
    """Return the CSV files of a folder by name, those of `names` or all.

    Raises:
        DataError: If there is no such folder, no CSV file in it, or none of a name.
    """
    if not folder.is_dir():
        msg = f"{folder} is not a folder."
        raise DataError(msg)
    found: dict[str, Path] = {}
    for path in sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")]):
        name = path.name.removesuffix(".gz").removesuffix(".csv")
        if name in found:
            msg = f"{folder} holds both {found[name].name} and {path.name}; remove one."
            raise DataError(msg)
        found[name] = path
    if not found:
        msg = f"{folder} holds no file *.csv or *.csv.gz."
        raise DataError(msg)
    unknown = [name for name in names or () if name not in found]
    if unknown:
        msg = f"{folder} has no table {', '.join(unknown)}; it has {', '.join(found)}."
        raise DataError(msg)
    return {name: found[name] for name in names or found}


def load_table(name: str, path: Path) -> Table:
    """Read a CSV file whose last column is the target.

    Text columns are one-hot encoded; rows with a missing or infinite value are dropped.

    Raises:
        DataError: If the file is no table or its columns cannot be used.
    """
    try:
        text = read_table(path)
    except ValueError as error:
        raise DataError(str(error)) from error
    if len(text.columns) < 2:
        msg = f"{path} has one column only; it needs inputs and, as the last column, the target."
        raise DataError(msg)
    text = text.apply(lambda column: column.str.strip())
    numbers = text.apply(pd.to_numeric, errors="coerce")
    missing = text.isin(_MISSING) | np.isinf(numbers)
    is_text = (numbers.isna() & ~missing).any()
    target = text.columns[-1]
    if is_text[target]:
        example = text.loc[numbers[target].isna() & ~missing[target], target].iloc[0]
        msg = f"{path}: the last column, {target!r}, is the target, but holds text: {example!r}."
        raise DataError(msg)
    complete = ~missing.any(axis=1)
    text, numbers = text[complete], numbers[complete]
    if len(text) < _FEWEST_ROWS or numbers[target].nunique() < 2:
        msg = (
            f"{path} needs at least {_FEWEST_ROWS} rows without missing values and a target that "
            f"varies; it has {len(text)} such rows, {numbers[target].nunique()} different targets."
        )
        raise DataError(msg)
    columns: list[Any] = []
    for column in text.columns[:-1]:
        if not is_text[column]:
            columns.append(numbers[column].to_numpy(np.float64))
            continue
        values = sorted(text[column].unique())
        if len(values) > _MOST_CATEGORIES:
            msg = f"{path}: column {column!r} has {len(values)} different texts; drop or encode it."
            raise DataError(msg)
        columns.extend((text[column] == value).to_numpy(np.float64) for value in values)
    y = numbers[target].to_numpy(np.float64)
    return Table(
        name=name,
        path=path,
        checksum=hashlib.sha256(path.read_bytes()).hexdigest()[:12],
        x=np.column_stack(columns),
        y=y,
        step=lattice_step(y),
        dropped=int((~complete).sum()),
        encoded=tuple(column for column in text.columns if is_text[column]),
    )


def lattice_step(y: FloatArray) -> float | None:
    """Return the step of the lattice that targets lie on, or None.

    It is the largest number of which all differences between targets are multiples, if the
    targets are decimal numbers of at most six decimals and some value repeats. Without a repeat
    (measured values written with many digits, say), the decimals are no reason to prefer the
    probability of a cell to the density.
    """
    values = np.unique(y)
    if len(values) in {1, len(y)}:
        return None
    for decimals in range(_MOST_DECIMALS + 1):
        scaled = (values - values[0]) * 10.0**decimals
        # Differences of float64 numbers carry the rounding of the numbers themselves.
        tolerance = 4.0 * np.spacing(np.abs(values).max()) * 10.0**decimals
        whole = np.round(scaled)
        if tolerance < 0.1 and np.abs(scaled - whole).max() <= tolerance:
            return float(np.gcd.reduce(whole.astype(np.int64)) / 10**decimals)
    return None


def split_rows(
    num_rows: int, split: int, *, development: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the training rows and the test rows of a split.

    All splits come from one stream, `r = np.random.RandomState(1)`: split i takes its (i + 1)-th
    `p = r.choice(range(n), n, replace=False)`, trains on `p[:round(.9 * n)]` and tests on the rest
    (Hernández-Lobato & Adams, 2015).

    Args:
        num_rows: Rows n of the table.
        split: Number of the split, from 0.
        development: Split the training rows again, by the same rule with a stream of its own, and
            leave the test rows alone.
    """
    permutation, size = _permutation(num_rows, split), round(0.9 * num_rows)
    train, test = permutation[:size], permutation[size:]
    if development:
        inner, inner_size = _permutation(size, split), round(0.9 * size)
        return train[inner[:inner_size]], train[inner[inner_size:]]
    return train, test


def _permutation(num_rows: int, split: int) -> np.ndarray:
    stream = np.random.RandomState(1)
    for _ in range(split):
        stream.choice(range(num_rows), num_rows, replace=False)
    return stream.choice(range(num_rows), num_rows, replace=False)
