"""Columns of a table as numbers, and in words what stands in those that hold none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfp_mdn._validation import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MISSING_REMEDY",
    "as_text",
    "check_columns",
    "find_text_columns",
    "is_missing",
    "missing_counts",
    "numeric_columns",
    "with_numbers",
]

# What tables write where a number is missing.
_MISSING = ("", "NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "null", "NULL", "None", "NaT")

MISSING_REMEDY = "Fill them, or leave those rows out with --drop-missing."

_BOOLEAN = {"true", "false", "yes", "no"}
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}\b|\d{1,2}:\d{2}")
_PLAIN_NUMBER = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")


def check_columns(table: pd.DataFrame, names: Sequence[str], source: str) -> None:
    """Raise unless the table has the named columns.

    Raises:
        ValueError: If one is not there; the message lists what is.
    """
    absent = [name for name in names if name not in table.columns]
    if absent:
        msg = (
            f"{source} has no column {', '.join(map(repr, absent))}; "
            f"it has {', '.join(map(repr, table.columns))}."
        )
        raise ValueError(msg)


def is_missing(column: pd.Series[Any]) -> pd.Series[bool]:
    """Return for each row whether nothing stands there: empty, NA, NaN, null and the like."""
    missing = column.isna()
    if _holds_numbers(column):
        return missing
    return missing | column.astype(str).str.strip().isin(_MISSING)


def missing_counts(table: pd.DataFrame, names: Sequence[str]) -> dict[str, int]:
    """Return the number of missing values of each of the named columns that has some."""
    counts = {name: int(is_missing(table[name]).sum()) for name in names}
    return {name: count for name, count in counts.items() if count}


def as_text(column: pd.Series[Any]) -> pd.Series[str]:
    """Return a column as text without outer spaces; whole numbers have no decimal point."""
    if _holds_numbers(column) and column.dtype.kind == "f":
        return column.map(lambda value: f"{value:.0f}" if value == round(value) else repr(value))
    return column.astype(str).str.strip()


def find_text_columns(table: pd.DataFrame, names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return those of the named columns that are not numbers: what they hold, and an example.

    Returns:
        Name of the column: one of "text", "boolean", "date", "decimal comma" and "numbers in most
        rows", and a value of it that is not a number.
    """
    found = {name: _numbers(table[name])[1] for name in names}
    return {name: (_kind(table[name], bad), bad) for name, bad in found.items() if bad is not None}


def with_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table that was read as text with numbers in its columns of numbers.

    Columns with a number like 02100 stay text: they are names, whose zero matters.
    """
    result = table.copy()
    for name in table.columns:
        if not _holds_numbers(table[name]):
            there = table[name][~is_missing(table[name])].astype(str).str.strip()
            if len(there) and there.str.fullmatch(_PLAIN_NUMBER).all():
                result[name] = _numbers(table[name])[0]
    return result


def numeric_columns(table: pd.DataFrame, names: Sequence[str], source: str) -> pd.DataFrame:
    """Return the named columns of a table as float64, on its index.

    Args:
        table: The table.
        names: The columns wanted, in this order.
        source: Where the table is from, for the message.

    Raises:
        ValueError: If a column is not there, is not numeric, or has missing or infinite values.
    """
    import pandas as pd

    check_columns(table, names, source)
    columns = {name: _numbers(table[name]) for name in names}
    text = {name: bad for name, (_, bad) in columns.items() if bad is not None}
    if text:
        examples = ", ".join(f"{name!r} (such as {bad!r})" for name, bad in text.items())
        msg = f"{source} has column(s) that are not numbers: {examples}."
        if any(_DECIMAL_COMMA.fullmatch(bad.strip()) for bad in text.values()):
            msg += " If these are decimal commas, add --decimal ','."
        raise ValueError(msg)
    holes = {name: int(np.isnan(values).sum()) for name, (values, _) in columns.items()}
    if any(holes.values()):
        listed = ", ".join(f"{name!r} {count}" for name, count in holes.items() if count)
        msg = f"{source} has missing values: {listed}. {MISSING_REMEDY}"
        raise ValueError(msg)
    infinite = {name: int(np.isinf(values).sum()) for name, (values, _) in columns.items()}
    if any(infinite.values()):
        listed = ", ".join(f"{name!r} {count}" for name, count in infinite.items() if count)
        msg = f"{source} has infinite values, or numbers over 1.8e308: {listed}. Mend those rows."
        raise ValueError(msg)
    return pd.DataFrame({name: values for name, (values, _) in columns.items()}, index=table.index)


def _holds_numbers(column: pd.Series[Any]) -> bool:
    return getattr(column.dtype, "kind", "O") in "iuf"


def _numbers(column: pd.Series[Any]) -> tuple[FloatArray, str | None]:
    """Return the numbers of a column, NaN where nothing stands, and the first text that is none."""
    if _holds_numbers(column):
        return column.to_numpy(np.float64, na_value=np.nan), None
    missing = is_missing(column).to_numpy(bool)
    numbers = np.full(len(column), np.nan)
    there = column.astype(str).to_numpy(object)[~missing]
    # Python reads 1_000 as a number; in a table it is a name.
    bad = next((text for text in there if "_" in text), None)
    if bad is None:
        try:
            numbers[~missing] = there.astype(np.float64)
        except ValueError:
            bad = next(text for text in there if not _is_number(text))
    return numbers, bad


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _kind(column: pd.Series[Any], bad: str) -> str:
    """Return what a column holds in which `bad` is the first text that is no number."""
    if bad.strip().lower() in _BOOLEAN:
        return "boolean"
    if _DATE.match(bad.strip()):
        return "date"
    if _DECIMAL_COMMA.fullmatch(bad.strip()):
        return "decimal comma"
    there = column[~is_missing(column)].astype(str)
    return "numbers in most rows" if sum(map(_is_number, there)) > len(there) / 2 else "text"
