"""Rows of the files of a table, in blocks: which are held out, and in which order they come."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from tfp_mdn._validation import FloatArray
from tfp_mdn.scale.files import Shard, Unit, reading

__all__ = ["PARTS", "RowStream"]

PARTS = ("all", "training", "validation")

# Rows that are read at once, and files that are open at once while rows are shuffled: neighbours
# in a file are then spread over several buffers.
_BLOCK_ROWS = 32_768
_OPEN_AT_ONCE = 4


@final
@dataclass(frozen=True)
class RowStream:
    """Rows of the shards of a table, as float64 arrays of some of its columns.

    Attributes:
        shards: The files.
        columns: The columns to read, in this order.
        part: One of `PARTS`.
        validation_share: Share of the rows that is held out, between 0 and 1.
    """

    shards: Sequence[Shard]
    columns: Sequence[str]
    part: str = "all"
    validation_share: float = 0.0

    def in_order(self) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield blocks of rows (n, columns) in the order of the files, and the numbers of the rows.

        A row's number, from 0 to 1, depends on the name of its file and its place therein alone.
        Rows below `validation_share` are held out.
        """
        for shard in self.shards:
            for unit in shard.units:
                yield from self._unit(shard, unit)

    def shuffled(
        self, num_rows: int, rng: np.random.Generator
    ) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield blocks of shuffled rows, as `in_order` does.

        Row groups come in a random order, several at a time, and fill a buffer of `num_rows` rows.
        Whenever it is full it is shuffled, and half of it goes out: so rows can move far.
        """
        held: list[tuple[FloatArray, FloatArray]] = []
        size = 0
        for block in self._mixed(rng):
            held.append(block)
            size += len(block[0])
            if size >= num_rows:
                rows, numbers = _shuffled(held, rng)
                out = -(-size // 2)
                yield rows[:out], numbers[:out]
                # A copy: a view would keep all of it.
                held, size = [(rows[out:].copy(), numbers[out:].copy())], size - out
        if size:
            yield _shuffled(held, rng)

    def _mixed(self, rng: np.random.Generator) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield blocks of several units at a time, whose order is random."""
        units = [(shard, unit) for shard in self.shards for unit in shard.units]
        waiting = [units[place] for place in rng.permutation(len(units))]
        opened: list[Iterator[tuple[FloatArray, FloatArray]]] = []
        while opened or waiting:
            while waiting and len(opened) < _OPEN_AT_ONCE:
                opened.append(self._unit(*waiting.pop()))
            place = int(rng.integers(len(opened)))
            block = next(opened[place], None)
            if block is None:
                opened.pop(place)
            else:
                yield block

    def _unit(self, shard: Shard, unit: Unit) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield the wanted rows of one part of a file."""
        shard.check_unchanged()
        key = zlib.crc32(shard.key.encode())
        first = unit.first_row
        for rows in _blocks(unit, self.columns):
            numbers = _row_numbers(key, first, len(rows))
            _check_finite(rows, self.columns, unit, first)
            first += len(rows)
            if self.part != "all":
                held_out = numbers < self.validation_share
                wanted = held_out if self.part == "validation" else ~held_out
                rows, numbers = rows[wanted], numbers[wanted]
            if len(rows):
                yield rows, numbers


def _shuffled(
    blocks: list[tuple[FloatArray, FloatArray]], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    rows, numbers = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    order = rng.permutation(len(rows))
    return rows[order], numbers[order]


def _row_numbers(key: int, first: int, count: int) -> FloatArray:
    """Return a number between 0 and 1 for each row, even over the rows of all files.

    They are the first outputs of SplitMix64 from states that differ (Steele, Lea & Flood 2014,
    doi:10.1145/2714064.2660195), so they need no state and cost next to nothing.
    """
    with np.errstate(over="ignore"):
        mixed = _mix(np.uint64(key) + np.uint64(1))
        mixed = _mix(mixed + np.arange(first, first + count, dtype=np.uint64))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(state: Any) -> NDArray[np.uint64]:
    state = state * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _blocks(unit: Unit, columns: Sequence[str]) -> Iterator[FloatArray]:
    """Yield the rows of one part of a file as float64, NaN where a value is missing."""
    with reading(unit.name, unit.path):
        batches = _csv_batches(unit.path, columns) if unit.group is None else _groups(unit, columns)
        for batch in batches:
            rows = np.empty((batch.num_rows, len(columns)))
            for place, name in enumerate(columns):
                column = batch.column(name).cast("float64", safe=False)
                rows[:, place] = column.to_numpy(zero_copy_only=False)
            yield rows


def _groups(unit: Unit, columns: Sequence[str]) -> Iterator[Any]:
    from pyarrow import parquet

    with parquet.ParquetFile(unit.path) as file:
        yield from file.iter_batches(
            _BLOCK_ROWS, row_groups=[unit.group], columns=list(columns), use_threads=False
        )


def _csv_batches(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    from pyarrow import csv

    options = csv.ConvertOptions(
        include_columns=list(columns), column_types=dict.fromkeys(columns, "float64")
    )
    # In one thread, so that messages name the row.
    with csv.open_csv(
        path, read_options=csv.ReadOptions(use_threads=False), convert_options=options
    ) as reader:
        yield from reader


def _check_finite(rows: FloatArray, columns: Sequence[str], unit: Unit, first: int) -> None:
    finite = np.isfinite(rows)
    if finite.all():
        return
    place, column = np.argwhere(~finite)[0]
    infinite = np.isinf(rows[place, column])
    msg = (
        f"{unit.name} has {'an infinite' if infinite else 'a missing'} value in column "
        f"{columns[column]!r}, row {first + place} of the file (counted from 0)"
        f"{'' if infinite else '; NaN is a missing value too'}. Fill or drop such rows first."
    )
    raise ValueError(msg)
