"""The files that scoring reads, the parts they are scored in, and the files that these become."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from tfp_mdn.scale._scoring_answers import arrow
from tfp_mdn.scale.files import Shard, find_shards, reading, shared_columns
from tfp_mdn.tables.reading import PARQUET_SUFFIXES

__all__ = ["InputFile", "Part", "check_apart", "find_inputs", "num_rows_of"]

# What is lost at most when scoring is interrupted: a part is written whole or not at all.
_PART_ROWS = 1 << 20


@final
@dataclass(frozen=True)
class Part:
    """Row groups of one input file that become one output file.

    Attributes:
        path: The input file.
        groups: Numbers of the row groups.
        first_row: Number of the first row in the input file.
        num_rows: Number of rows.
        output: The output file, below the destination.
    """

    path: Path
    groups: tuple[int, ...]
    first_row: int
    num_rows: int
    output: str

    def batches(self, columns: Sequence[str], batch_rows: int) -> Iterator[tuple[int, Any]]:
        """Yield Arrow tables of at most so many rows, each with the number of its first row.

        Raises:
            ValueError: If the file cannot be read.
        """
        pa, _ = arrow()
        first = self.first_row
        with reading(str(self.path), self.path), self._open() as file:
            for batch in file.iter_batches(
                batch_rows, row_groups=list(self.groups), columns=list(columns)
            ):
                if len(batch):
                    yield first, pa.Table.from_batches([batch])
                    first += len(batch)

    def _open(self) -> Any:
        """Open the file; where its writer left checksums of the pages, they are compared."""
        _, pq = arrow()
        return pq.ParquetFile(self.path, page_checksum_verification=True)


@final
@dataclass(frozen=True)
class InputFile:
    """A file to score.

    Attributes:
        shard: The file, as it was when it was looked at first.
        name: Its path below the source.
        schema: Its columns and their types, as Arrow has them.
        parts: What it is scored in; at least one, which may have no rows.
    """

    shard: Shard
    name: str
    schema: Any
    parts: tuple[Part, ...]

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return sum(part.num_rows for part in self.parts)


def find_inputs(source: Path, columns: Sequence[str]) -> list[InputFile]:
    """Return the Parquet files of a folder, at any depth and ordered by name, or the one file.

    Raises:
        FileNotFoundError: If there is nothing at the path.
        ValueError: If there is no Parquet file, one is damaged, or lacks a column.
    """
    if not source.exists():
        msg = f"there is no file or folder {source}."
        raise FileNotFoundError(msg)
    root = source if source.is_dir() else source.parent
    shards = find_shards(source)
    strangers = [
        shard.path for shard in shards if shard.path.suffix.lower() not in PARQUET_SUFFIXES
    ]
    if strangers:
        msg = f"{strangers[0]} is not a Parquet file; tfp-mdn predict reads CSV."
        raise ValueError(msg)
    shared_columns(shards, columns)
    inputs = [_look_at(shard, root) for shard in shards]
    return sorted(inputs, key=lambda found: found.name)


def check_apart(source: Path, destination: Path) -> None:
    """Raise if what is written would be among what is read.

    Raises:
        ValueError: If the destination is the source, or inside it.
    """
    read, written = source.resolve(), destination.resolve()
    if written == read or read in written.parents:
        msg = f"destination {destination} must not be the source {source}, nor a folder in it."
        raise ValueError(msg)


def num_rows_of(path: Path) -> int | None:
    """Return the number of rows of a Parquet file, or None if there is no whole file."""
    pa, pq = arrow()
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException):
        return None


def _look_at(shard: Shard, root: Path) -> InputFile:
    _, pq = arrow()
    with reading(str(shard.path), shard.path), pq.ParquetFile(shard.path) as file:
        metadata, schema = file.metadata, file.schema_arrow
        rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    name = Path(os.path.relpath(shard.path, root)).as_posix()
    cut: list[tuple[list[int], int, int]] = [([], 0, 0)]
    for group, num_rows in enumerate(rows):
        groups, first, held = cut[-1]
        if groups and held + num_rows > _PART_ROWS:
            cut.append(([group], first + held, num_rows))
        else:
            cut[-1] = ([*groups, group], first, held + num_rows)
    # A file in several parts becomes a folder of its name, so that all files keep their order.
    parts = tuple(
        Part(
            shard.path,
            tuple(groups),
            first,
            num_rows,
            name if len(cut) == 1 else f"{name}/{place:05d}.parquet",
        )
        for place, (groups, first, num_rows) in enumerate(cut)
    )
    return InputFile(shard, name, schema, parts)
