"""Writes tables and other files, each under its name only once it is whole."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tfp_mdn.tables.reading import NEEDS_PYARROW, PARQUET_SUFFIXES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "format_of", "write_file", "write_stream", "write_table"]

FORMATS = ("csv", "parquet", "json")


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the format that the suffix of a file asks for."""
    suffix = Path(path).suffix.lower()
    return "parquet" if suffix in PARQUET_SUFFIXES else "json" if suffix == ".json" else "csv"


def write_table(
    table: pd.DataFrame, path: str | os.PathLike[str], *, file_format: str | None = None
) -> None:
    """Write a table as CSV, Parquet or JSON records, under its name only once it is whole.

    Args:
        table: The table; its index is not written.
        path: File to write; devices, pipes and the targets of links are written to, not replaced.
        file_format: One of `FORMATS`; None goes by the suffix (.parquet, .pq, .json, else CSV).

    Raises:
        ImportError: If pyarrow is needed and not installed.
        OSError: If it cannot be written; a file that was there stays as it was.
    """
    form = file_format or format_of(path)
    write_file(path, lambda stream: write_stream(table, stream, form))


def write_file(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Call `write` on a stream beside the file, then put the file in its place.

    Devices, pipes and the targets of links are written to, never replaced.

    Raises:
        OSError: If it cannot be written; a file that was there stays as it was.
    """
    target = Path(path)
    if target.is_dir():
        msg = f"{target} is a directory; name a file in it."
        raise IsADirectoryError(msg)
    try:
        if target.exists() and not target.is_file():
            with target.open("wb") as stream:
                write(stream)
        else:
            _replace(target.resolve(), write)
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(target)
        raise


def write_stream(table: pd.DataFrame, stream: BinaryIO, file_format: str) -> None:
    """Write a table to an open binary stream, in one of `FORMATS`.

    Raises:
        ImportError: If pyarrow is needed and not installed.
    """
    if file_format == "parquet":
        try:
            import pyarrow  # noqa: F401  pandas would name its engines, not the extra
        except ImportError as error:
            raise ImportError(NEEDS_PYARROW) from error
        # pyarrow closes what it writes to.
        content = io.BytesIO()
        table.to_parquet(content, index=False)
        stream.write(content.getvalue())
    elif file_format == "json":
        plain = table.astype(object)
        records = plain.where(table.notna(), None).to_dict("records")
        lines = (json.dumps(record, ensure_ascii=False, default=str) for record in records)
        stream.write(("[" + ",\n ".join(lines) + "]\n").encode())
    else:
        table.to_csv(stream, index=False, lineterminator="\n")


def _replace(target: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write beside a file, in a folder that is made if it is not there, then replace the file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with scratch.open("wb") as stream:
            write(stream)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
