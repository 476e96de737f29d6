"""Reads CSV and Parquet, and says in words what is wrong with a file."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import re
import sys
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NEEDS_PANDAS", "NEEDS_PYARROW", "PARQUET_SUFFIXES", "read_table", "source_name"]

NEEDS_PANDAS = 'tables need pandas: pip install "tfp-mdn[cli]"'
NEEDS_PYARROW = 'Parquet needs pyarrow: pip install "tfp-mdn[parquet]"'
PARQUET_SUFFIXES = (".parquet", ".pq")

_PARQUET_MAGIC = b"PAR1"
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_DAMAGED = (EOFError, OSError, lzma.LZMAError, zlib.error, zipfile.BadZipFile)

# A whole cell that is a number with a decimal comma.
_DECIMAL_COMMA = re.compile(r"^\s*[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?\s*$")


def read_table(
    path: str | os.PathLike[str], *, separator: str | None = None, decimal: str = "."
) -> pd.DataFrame:
    """Read a CSV file with a header line as text, or a Parquet file with its own types.

    CSV may be compressed (.gz, .bz2, .xz, .zip). Parquet is known by its first bytes.

    Args:
        path: File, or "-" for standard input.
        separator: Sign between the columns of CSV; None means a comma, and refuses a header line
            that looks as if another sign separates it.
        decimal: "," where numbers are written with a decimal comma; their cells then come back
            with a point.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If pandas, or pyarrow for Parquet, is not installed.
        ValueError: If it is not a table, is empty, or names a column twice.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(NEEDS_PANDAS) from error

    source = source_name(path)
    content = _content(path)
    if not content.strip():
        msg = f"{source} is empty."
        raise ValueError(msg)
    if content.startswith(_PARQUET_MAGIC) or Path(path).suffix.lower() in PARQUET_SUFFIXES:
        table = _read_parquet(content, source)
    else:
        table = _read_csv(content, source, separator)
        if decimal == ",":
            table = table.apply(_with_points)
    if table.empty:
        msg = f"{source} has no rows under its header."
        raise ValueError(msg)
    return table.reset_index(drop=True) if isinstance(table.index, pd.RangeIndex) else table


def source_name(path: str | os.PathLike[str]) -> str:
    """Return what messages call a place: "-" is standard input."""
    return "standard input" if str(path) == "-" else str(path)


def _content(path: str | os.PathLike[str]) -> bytes:
    """Return all bytes of a file, decompressed as its name says."""
    if str(path) == "-":
        return sys.stdin.buffer.read()
    content = Path(path).read_bytes()
    try:
        match Path(path).suffix.lower():
            case ".gz":
                return gzip.decompress(content)
            case ".bz2":
                return bz2.decompress(content)
            case ".xz":
                return lzma.decompress(content)
            case ".zip":
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    (name,) = (entry for entry in archive.namelist() if not entry.endswith("/"))
                    return archive.read(name)
    except _DAMAGED as error:
        msg = f"{path} cannot be decompressed: {error}."
        raise ValueError(msg) from error
    except ValueError as error:
        msg = f"{path} must hold one file, a table; take the table out of it."
        raise ValueError(msg) from error
    return content


def _read_parquet(content: bytes, source: str) -> pd.DataFrame:
    import pandas as pd

    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(NEEDS_PYARROW) from error
    try:
        table = pd.read_parquet(io.BytesIO(content))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        msg = f"{source} cannot be read as Parquet: {_in_one_line(error)}."
        raise ValueError(msg) from error
    table.columns = pd.Index([str(name) for name in table.columns])
    _check_names(table.columns.tolist(), source)
    return table


def _read_csv(content: bytes, source: str, separator: str | None) -> pd.DataFrame:
    import pandas as pd

    text = _decoded(content, source)
    if separator is None:
        _check_separator(text, source)
    sign = separator or ","
    try:
        # Both ends of a cell are stripped of spaces by hand; pandas knows the beginning only.
        header = pd.read_csv(io.StringIO(text), header=None, nrows=1, dtype=str, sep=sign)
        with warnings.catch_warnings():
            # Rows longer than the header would be cut, with a warning only.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                io.StringIO(text),
                dtype=str,
                keep_default_na=False,
                index_col=False,
                skipinitialspace=sign != "\t",
                sep=sign,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        longer = isinstance(error, pd.errors.ParserWarning)
        reason = "all rows are longer than the header line" if longer else _in_one_line(error)
        msg = (
            f"{source} cannot be read as CSV: {reason}. Does the header line name every column, "
            "and do numbers have decimal points?"
        )
        raise ValueError(msg) from error
    _check_names(["" if name != name else str(name).strip() for name in header.iloc[0]], source)
    table.columns = pd.Index([str(name).strip() for name in table.columns])
    return table


def _decoded(content: bytes, source: str) -> str:
    if content.startswith(_UTF_16_MARKS):
        msg = f"{source} is in UTF-16, not UTF-8; {_conversion('UTF-16', source)}"
        raise ValueError(msg)
    if b"\0" in content:
        msg = f"{source} cannot be read as CSV: it is binary."
        raise ValueError(msg)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        msg = (
            f"{source} is not in UTF-8: byte {error.start}, in line {line}, is "
            f"0x{error.object[error.start]:02x}. If it is Latin-1, as from older spreadsheets, "
            f"{_conversion('WINDOWS-1252', source)}"
        )
        raise ValueError(msg) from error


def _conversion(encoding: str, source: str) -> str:
    """Return how a file of another encoding becomes one that can be read."""
    name = "FILE" if source == source_name("-") else f"'{source}'"
    return f"convert it with iconv -f {encoding} -t UTF-8 {name} > new.csv."


def _check_separator(text: str, source: str) -> None:
    """Raise if the header line looks as if another sign than a comma separated the columns."""
    header = text.lstrip().splitlines()[0]
    found = [sign for sign in _OTHER_SEPARATORS if sign in header]
    if found and "," not in header:
        sign = max(found, key=header.count)
        shown = "tab" if sign == "\t" else f"'{sign}'"
        msg = (
            f"{source} looks separated by {_OTHER_SEPARATORS[sign]}, not commas: add --separator "
            f"{shown}, and --decimal ',' if numbers have decimal commas."
        )
        raise ValueError(msg)


def _check_names(names: Sequence[str], source: str) -> None:
    twice = sorted({name for name in names if list(names).count(name) > 1} - {""})
    if twice:
        msg = f"{source} names column(s) {', '.join(twice)} more than once."
        raise ValueError(msg)


def _with_points(column: pd.Series[str]) -> pd.Series[str]:
    numbers = column.str.match(_DECIMAL_COMMA, na=False).astype(bool)
    return column.where(~numbers, column.str.replace(",", ".", regex=False))


def _in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")
