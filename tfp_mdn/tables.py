"""Reads the tables of the shell tool, and says in words what is wrong with one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfp_mdn._validation import FloatArray, as_real, as_whole_number

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["grid_table", "numeric_columns", "read_table", "write_table"]

# What tables write where a number is missing.
_MISSING = {"", "NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "null", "NULL", "None"}


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a CSV file with a header line, compressed or not, as text.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a table, is empty, or names a column twice.
    """
    import pandas as pd

    try:
        with open(path, "rb") as file:
            if not file.read(1):
                msg = f"{path} is empty."
                raise ValueError(msg)
        header = pd.read_csv(path, header=None, nrows=1, dtype=str)
        with warnings.catch_warnings():
            # Rows longer than the header would be cut, with a warning only.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path, dtype=str, keep_default_na=False, index_col=False, skipinitialspace=True
            )
    except (
        pd.errors.ParserError,
        pd.errors.ParserWarning,
        pd.errors.EmptyDataError,
        UnicodeDecodeError,
    ) as error:
        msg = f"{path} cannot be read as CSV: {' '.join(str(error).split())}."
        raise ValueError(msg) from error
    names = [str(name).strip() for name in header.iloc[0]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"{path} names column(s) {', '.join(twice)} more than once."
        raise ValueError(msg)
    if table.empty:
        msg = f"{path} has no rows under its header."
        raise ValueError(msg)
    return table


def numeric_columns(table: pd.DataFrame, names: Sequence[str], source: str) -> pd.DataFrame:
    """Return the named columns of a table as float64.

    Args:
        table: The table.
        names: The columns wanted, in this order.
        source: Where the table is from, for the message.

    Raises:
        ValueError: If a column is not there, is not numeric, or has missing or infinite values.
    """
    import pandas as pd

    missing = [name for name in names if name not in table.columns]
    if missing:
        msg = (
            f"{source} has no column {', '.join(map(repr, missing))}; "
            f"it has {', '.join(map(repr, table.columns))}."
        )
        raise ValueError(msg)
    columns = {name: _as_numbers(table[name].astype(str)) for name in names}
    text = {name: bad for name, (_, bad) in columns.items() if bad is not None}
    if text:
        examples = ", ".join(f"{name!r} (such as {bad!r})" for name, bad in text.items())
        msg = (
            f"{source} has column(s) that are not numbers: {examples}. Encode them, choose the "
            "columns to use with --feature, or see that commas separate the columns."
        )
        raise ValueError(msg)
    counts = {name: (~np.isfinite(values)).sum() for name, (values, _) in columns.items()}
    if any(counts.values()):
        holes = ", ".join(f"{name!r} {count}" for name, count in counts.items() if count)
        msg = f"{source} has missing or infinite values: {holes}. Drop or fill those rows."
        raise ValueError(msg)
    return pd.DataFrame({name: values for name, (values, _) in columns.items()})


def _as_numbers(column: pd.Series[str]) -> tuple[FloatArray, str | None]:
    """Return the numbers of a column, NaN where nothing stands, and the first text that is none."""
    numbers = np.full(len(column), np.nan)
    for place, text in enumerate(column):
        if str(text).strip() not in _MISSING:
            try:
                numbers[place] = float(text)
            except ValueError:
                return numbers, text
    return numbers, None


def grid_table(specifications: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    """Return every combination of values of the features, from NAME=START:STOP:COUNT for each.

    Args:
        specifications: One per feature; NAME=VALUE holds a feature fixed.
        names: The features of the model, in its order.

    Raises:
        ValueError: If one cannot be read, or a feature is missing, unknown or named twice.
    """
    import pandas as pd

    axes: dict[str, FloatArray] = {}
    for text in specifications:
        name, _, numbers = text.rpartition("=")
        if name not in names or name in axes:
            problem = "named twice" if name in axes else "not a feature of the model"
            msg = f"--grid {text!r}: {name!r} is {problem}; the features are {', '.join(names)}."
            raise ValueError(msg)
        axes[name] = _axis(text, numbers.split(":"))
    absent = [name for name in names if name not in axes]
    if absent:
        msg = f"--grid must name every feature; {', '.join(absent)} missing."
        raise ValueError(msg)
    columns = np.meshgrid(*(axes[name] for name in names), indexing="ij")
    return pd.DataFrame({name: column.ravel() for name, column in zip(names, columns, strict=True)})


def write_table(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a table as CSV, under the name of a file only once it is whole.

    Devices, pipes and the targets of links are written to, never replaced.
    """
    target = Path(path)
    if target.is_dir():
        msg = f"{target} is a directory; name a file in it."
        raise IsADirectoryError(msg)
    if target.exists() and not target.is_file():
        table.to_csv(target, index=False)
        return
    target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".part-{target.name}")
    try:
        table.to_csv(scratch, index=False)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def _axis(text: str, numbers: Sequence[str]) -> FloatArray:
    try:
        if len(numbers) == 1:
            return np.array([as_real("VALUE", float(numbers[0]))])
        start, stop = (as_real("START or STOP", float(number)) for number in numbers[:2])
        (count,) = numbers[2:]
        return np.linspace(start, stop, as_whole_number("COUNT", int(count)))
    except ValueError as error:
        msg = f"--grid {text!r} must be NAME=START:STOP:COUNT or NAME=VALUE, of finite numbers."
        raise ValueError(msg) from error
