"""Where the tables of the shell tool come from and go to, and the remarks made on the way."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

import click

if TYPE_CHECKING:
    import pandas as pd

    from tfp_mdn.tables import Columns

__all__ = ["FORMATS", "QUIET", "Rows", "TableSink", "TableSource", "is_quiet", "remark"]

FORMATS = ("csv", "parquet", "json")

# Where the context of a command keeps whether it was asked to be quiet.
QUIET = "tfp_mdn.quiet"


def is_quiet() -> bool:
    """Return whether the running command was given --quiet."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET))


def remark(text: str) -> None:
    """Say something beside the result, on standard error, unless the user wants quiet."""
    if not is_quiet():
        click.echo(text, err=True)


@final
@dataclass(frozen=True)
class Rows:
    """Rows that a command works on.

    Attributes:
        table: As they were read, with all columns; its index numbers the rows of the file.
        inputs: The features of the model, float64.
        shown: The columns behind the features: numbers, and categories as text.
        targets: The targets, float64.
    """

    table: pd.DataFrame
    inputs: pd.DataFrame
    shown: pd.DataFrame
    targets: pd.DataFrame


@final
@dataclass(frozen=True)
class TableSource:
    """A table to read, and how.

    Attributes:
        path: File; "-" is standard input.
        separator: Sign between the columns, None for a comma.
        decimal: Decimal sign.
        drop_missing: Whether rows with missing values are left out instead of refused.
    """

    path: Path
    separator: str | None
    decimal: str
    drop_missing: bool

    @property
    def name(self) -> str:
        """What messages call it."""
        return "standard input" if str(self.path) == "-" else str(self.path)

    def read(self) -> pd.DataFrame:
        """Return the whole table, the cells of CSV as text."""
        from tfp_mdn.tables import read_table

        return read_table(self.path, separator=self.separator, decimal=self.decimal)

    def without_missing(self, table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
        """Return the table, without rows that lack one of the named columns if that was asked.

        Raises:
            ValueError: If a column is not there, values are missing and that was not asked, or no
                row is left.
        """
        import numpy as np

        from tfp_mdn.tables.columns import (
            MISSING_REMEDY,
            check_columns,
            is_missing,
            missing_counts,
        )

        check_columns(table, names, self.name)
        counts = missing_counts(table, names)
        if not counts:
            return table
        listed = ", ".join(f"{name!r} {count}" for name, count in counts.items())
        if not self.drop_missing:
            msg = f"{self.name} has missing values: {listed}. {MISSING_REMEDY}"
            raise ValueError(msg)
        gone = np.any([is_missing(table[name]).to_numpy(bool) for name in counts], axis=0)
        if gone.all():
            msg = f"{self.name}: every row has a missing value ({listed})."
            raise ValueError(msg)
        remark(f"{gone.sum()} of {len(table)} rows left out for missing values: {listed}")
        return table[~gone]

    def rows(self, columns: Columns, targets: Sequence[str] = ()) -> Rows:
        """Return the rows with what a model reads of them, and its targets if they are named.

        Raises:
            ValueError: If a column is not there, or does not hold what the model needs.
        """
        from tfp_mdn.tables import numeric_columns

        table = self.without_missing(self.read(), [*columns.names, *targets])
        return Rows(
            table,
            columns.encode(table, self.name),
            columns.readable(table, self.name),
            numeric_columns(table, targets, self.name),
        )


@final
@dataclass(frozen=True)
class TableSink:
    """A table to write, and how.

    Attributes:
        path: File; None and "-" are standard output.
        file_format: One of `FORMATS`; None goes by the file's suffix.
    """

    path: Path | None
    file_format: str | None

    def check_apart(self, source: TableSource) -> None:
        """Refuse to write over the table that is read.

        Raises:
            click.UsageError: If both are one file.
        """
        paths = [path for path in (self.path, source.path) if path is not None and path.exists()]
        if len(paths) == 2 and paths[0].samefile(paths[1]):
            message = f"{self.path} is the table that is read; name another file to write."
            raise click.UsageError(message)

    @property
    def is_text(self) -> bool:
        """Whether the format has no types, so that cells can stay as they were read."""
        from tfp_mdn.tables.writing import format_of

        return (self.file_format or format_of(self.path or "-")) == "csv"

    def write(self, table: pd.DataFrame) -> None:
        """Write the table: to standard output, or to a file, and say so."""
        from tfp_mdn.tables import write_table
        from tfp_mdn.tables.writing import write_stream

        if self.path is None or str(self.path) == "-":
            write_stream(table, sys.stdout.buffer, self.file_format or "csv")
        else:
            write_table(table, self.path, file_format=self.file_format)
            remark(f"{len(table)} rows written to {self.path}")
