"""Files of a table that is split over several: which there are, and what columns they have."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from tfp_mdn.tables.reading import PARQUET_SUFFIXES

__all__ = ["Shard", "Unit", "check_numbers", "find_shards", "reading", "shared_columns"]

_CSV_SUFFIXES = (".csv", ".csv.gz")
_SUFFIXES = (*PARQUET_SUFFIXES, *_CSV_SUFFIXES)

_NEEDS_PYARROW = 'shards are read with pyarrow: pip install "tfp-mdn[parquet]"'

# What Arrow calls types that are numbers, and those that are not, in words.
_NUMBERS = ("int", "uint", "float", "double", "halffloat", "decimal")
_KINDS = {
    "bool": "booleans",
    "date": "dates",
    "dictionary": "categories",
    "duration": "durations",
    "large_string": "text",
    "string": "text",
    "time": "times",
}


@final
@dataclass(frozen=True)
class Unit:
    """Part of a file that is read from its beginning to its end.

    Attributes:
        path: The file.
        group: Number of the row group in a Parquet file; None is all of a CSV file.
        first_row: Number of its first row in the file.
    """

    path: Path
    group: int | None
    first_row: int

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.path) if self.group is None else f"{self.path}, row group {self.group}"


@final
@dataclass(frozen=True)
class Shard:
    """One file of a table, as it was when it was looked at first.

    Attributes:
        path: Where it is.
        key: Its path below what all files have in common, the same wherever they are copied to.
        columns: Names of its columns, and what Arrow calls their types; "" where CSV has none.
        units: The parts that it is read in; none if it has no rows.
        state: Size in bytes, and time of the last change.
    """

    path: Path
    key: str
    columns: dict[str, str]
    units: tuple[Unit, ...]
    state: tuple[int, int]

    def check_unchanged(self) -> None:
        """Raise unless the file is what it was.

        Raises:
            FileNotFoundError: If it is not there any more.
            ValueError: If it changed.
        """
        try:
            now = _state(self.path)
        except FileNotFoundError as error:
            msg = f"{self.path} is gone; it was there when reading began."
            raise FileNotFoundError(msg) from error
        if now != self.state:
            msg = f"{self.path} has changed since reading began; start again when it is complete."
            raise ValueError(msg)


def find_shards(paths: Any) -> list[Shard]:
    """Return the files that are meant, ordered by name, once each could be opened.

    Args:
        paths: A folder, whose files are found at any depth, a file, a pattern such as
            "data/*.parquet", or a list of these. Names that begin with "." or "_" are passed over
            in folders.

    Raises:
        TypeError: If `paths` is something else.
        FileNotFoundError: If there is no such file.
        ImportError: If pyarrow is not installed.
        ValueError: If there are no files, two formats in one folder, or one that cannot be read.
    """
    _import_arrow()
    named = [paths] if isinstance(paths, str | os.PathLike) else paths
    if not isinstance(named, list | tuple) or not all(
        isinstance(path, str | os.PathLike) for path in named
    ):
        msg = f"paths must be a folder, a file, a pattern or a list of them, got {paths!r}."
        raise TypeError(msg)
    expanded = [_files(Path(path)) for path in named]
    # Files that were named one by one have in common the folder above them all.
    alone = [file.parent for root, files in expanded if root is None for file in files]
    common = Path(os.path.commonpath(alone)) if alone else Path()
    # The same file in two ways is one file.
    found = {
        file: file.relative_to(root or common).as_posix()
        for root, files in expanded
        for file in files
    }
    if not found:
        msg = f"paths must name at least one file, got {paths!r}."
        raise ValueError(msg)
    shards = [_opened(file, key) for file, key in found.items()]
    return sorted(shards, key=lambda shard: (shard.key, shard.path))


def shared_columns(shards: Sequence[Shard], names: Sequence[str] | None) -> list[str]:
    """Return the named columns, or all if `names` is None, once every file has them as numbers.

    Raises:
        ValueError: If a file lacks a column, has columns that the others have not and none were
            named, or has one that does not hold numbers.
    """
    first = shards[0]
    wanted = list(first.columns) if names is None else list(names)
    for shard in shards:
        missing = [name for name in wanted if name not in shard.columns]
        if missing:
            msg = (
                f"{shard.path} has no column {', '.join(map(repr, missing))}; "
                f"it has {', '.join(map(repr, shard.columns))}."
            )
            raise ValueError(msg)
        if names is None and len(shard.columns) > len(wanted):
            more = ", ".join(repr(name) for name in shard.columns if name not in wanted)
            msg = (
                f"{shard.path} has column(s) {more}, which {first.path} has not; "
                "say which columns to use."
            )
            raise ValueError(msg)
    return wanted


def check_numbers(shards: Sequence[Shard], names: Sequence[str]) -> None:
    """Raise unless the columns hold numbers, as far as the files say what they hold.

    Raises:
        ValueError: If one holds something else.
    """
    for shard in shards:
        for name in names:
            kind = shard.columns[name]
            if kind and not kind.startswith(_NUMBERS):
                words = next((w for start, w in _KINDS.items() if kind.startswith(start)), kind)
                msg = (
                    f"{shard.path} holds {words} in column {name!r}, and only numbers can be "
                    "read from shards. Leave the column out, or write numbers: one column of 0 and "
                    "1 for each category, dates as days since the first."
                )
                raise ValueError(msg)


@contextmanager
def reading(name: str, path: Path) -> Iterator[None]:
    """Say of which file an error is that Arrow raises within.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If it cannot be read.
    """
    arrow = _import_arrow()
    try:
        yield
    except FileNotFoundError as error:
        msg = f"{path} is not there, or was removed while it was read."
        raise FileNotFoundError(msg) from error
    except (arrow.ArrowException, OSError, EOFError) as error:
        if isinstance(error, PermissionError):
            raise
        kind = "CSV" if _is_csv(path) else "Parquet"
        reason = " ".join(str(error).split()).rstrip(".")
        remedy = "It may be damaged, or cut short."
        if "conversion error" in reason:
            remedy = "Only numbers can be read from shards: mend it, or leave the column out."
        msg = f"{name} cannot be read as {kind}: {reason}. {remedy}"
        raise ValueError(msg) from error


def _import_arrow() -> Any:
    """Return pyarrow.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(_NEEDS_PYARROW) from error
    return pyarrow


def _files(path: Path) -> tuple[Path | None, list[Path]]:
    """Return the files that one path means, and the folder or pattern's folder they were found in.

    All paths are absolute. The folder is None for a path that names a file itself.
    """
    path = path.absolute()
    if path.is_dir():
        files = [
            file
            for file in sorted(path.rglob("*"))
            if _is_shard(file)
            and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
        ]
        if not files:
            msg = f"{path} holds no files that end in {', '.join(_SUFFIXES)}."
            raise ValueError(msg)
        if len({_is_csv(file) for file in files}) > 1:
            msg = (
                f"{path} holds CSV and Parquet files, which may be the same rows twice; name those "
                f'to read, such as "{path}/*.parquet".'
            )
            raise ValueError(msg)
        return path, files
    root = None
    if path.exists():
        files = [path]
    else:
        root = next(part for part in path.parents if not _has_wildcards(part))
        matches = sorted(glob.glob(str(path), recursive=True)) if _has_wildcards(path) else []
        files = [Path(match) for match in matches if not Path(match).is_dir()]
        if not files:
            msg = f"there is no file or folder {path}, and none that matches it."
            raise FileNotFoundError(msg)
    strangers = [file for file in files if not _is_shard(file)]
    if strangers:
        msg = f"{strangers[0]} does not end in {', '.join(_SUFFIXES)}."
        raise ValueError(msg)
    return root, files


def _has_wildcards(path: Path) -> bool:
    return glob.has_magic(str(path))


def _is_shard(file: Path) -> bool:
    return file.name.lower().endswith(_SUFFIXES) and file.is_file()


def _is_csv(file: Path) -> bool:
    return file.name.lower().endswith(_CSV_SUFFIXES)


def _opened(path: Path, key: str) -> Shard:
    state = _state(path)
    if state[0] == 0:
        msg = f"{path} is empty: it has no bytes at all. Remove it, or write it again."
        raise ValueError(msg)
    look: Callable[[Path], Any] = _look_at_csv if _is_csv(path) else _look_at_parquet
    with reading(str(path), path):
        columns, units = look(path)
    names = [name for name, _ in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"{path} names column(s) {', '.join(map(repr, twice))} more than once."
        raise ValueError(msg)
    return Shard(path, key, dict(columns), units, state)


def _look_at_parquet(path: Path) -> tuple[list[tuple[str, str]], tuple[Unit, ...]]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        metadata, schema = file.metadata, file.schema_arrow
    units, first_row = [], 0
    for group in range(metadata.num_row_groups):
        num_rows = metadata.row_group(group).num_rows
        if num_rows:
            units.append(Unit(path, group, first_row))
        first_row += num_rows
    return [(field.name, str(field.type)) for field in schema], tuple(units)


def _look_at_csv(path: Path) -> tuple[list[tuple[str, str]], tuple[Unit, ...]]:
    from pyarrow import csv

    # The types that a first block suggests say little: a column may begin with whole numbers.
    with csv.open_csv(path) as reader:
        return [(name, "") for name in reader.schema.names], (Unit(path, None, 0),)


def _state(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns
