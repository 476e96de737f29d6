"""Arguments and options that several commands of the shell tool share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from tfp_mdn.cli.places import FORMATS, QUIET, TableSink, TableSource

__all__ = [
    "FOLDER",
    "FULL_PATH",
    "data_argument",
    "json_option",
    "lattice_option",
    "lattice_steps",
    "model_argument",
    "quiet_option",
    "reads_table",
    "seed_option",
    "writes_table",
]

FULL_PATH = click.Path(path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
_TABLE = click.Path(path_type=Path, allow_dash=True)


def _keep_quiet(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001
    context.meta[QUIET] = value


model_argument = click.argument("model", type=FOLDER)
data_argument = click.argument("data", type=FULL_PATH)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    metavar="NUMBER",
    help="Start of the random numbers; the same one gives the same result.  [default: 0]",
)
quiet_option = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_keep_quiet,
    help="Say nothing but results and errors.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program.")

lattice_option = click.option(
    "--lattice",
    multiple=True,
    type=click.FloatRange(0.0),
    metavar="STEP",
    help="Step to which the target was rounded; for several targets one each, 0 for none.",
)


def lattice_steps(given: tuple[float, ...], targets: list[str]) -> float | list[float] | None:
    """Return what `--lattice` says of the targets: one step for all, one each, or None.

    Raises:
        click.UsageError: If there are neither one nor as many as there are targets.
    """
    if given and len(given) not in (1, len(targets)):
        message = f"--lattice must be given once, or once for each of {', '.join(targets)}."
        raise click.UsageError(message)
    return list(given) if len(given) > 1 else next(iter(given), None)


def reads_table(*, required: bool = True) -> Callable[[Any], Any]:
    """Give a command the argument DATA and the options of reading it, as a `TableSource`."""
    parts = [
        click.argument("data", type=_TABLE, required=required),
        click.option(
            "--separator",
            metavar="SIGN",
            help="Sign between the columns of CSV, such as ';' or tab.  [default: ,]",
        ),
        click.option(
            "--decimal",
            type=click.Choice([".", ","]),
            default=".",
            show_default=True,
            help="Decimal sign of the numbers in CSV.",
        ),
        click.option(
            "--drop-missing", is_flag=True, help="Leave out rows with missing values that matter."
        ),
    ]

    def decorate(command: Callable[..., Any]) -> Any:
        @wraps(command)
        def run(
            *arguments: Any,
            data: Path | None,
            separator: str | None,
            decimal: str,
            drop_missing: bool,
            **options: Any,
        ) -> Any:
            sign = {"tab": "\t", r"\t": "\t"}.get(separator or "", separator)
            if sign is not None and len(sign) != 1:
                message = f"--separator must be one sign, or the word tab, got {separator!r}."
                raise click.UsageError(message)
            if sign == decimal == ",":
                message = "--separator and --decimal cannot both be a comma."
                raise click.UsageError(message)
            source = None if data is None else TableSource(data, sign, decimal, drop_missing)
            return command(*arguments, data=source, **options)

        return _with(parts, run)

    return decorate


def writes_table(command: Callable[..., Any]) -> Any:
    """Give a command the options of the table that it writes, as the `TableSink` `output`."""

    @wraps(command)
    def run(
        *arguments: Any, output: Path | None, file_format: str | None, as_json: bool, **options: Any
    ) -> Any:
        if as_json and file_format is not None:
            raise click.UsageError("give either --format or --json.")
        sink = TableSink(output, "json" if as_json else file_format)
        return command(*arguments, output=sink, **options)

    parts = [
        click.option(
            "-o",
            "--output",
            type=_TABLE,
            metavar="FILE",
            help="File to write, .csv, .parquet or .json; standard output without it, or for -.",
        ),
        click.option(
            "--format",
            "file_format",
            type=click.Choice(FORMATS),
            help="Format, if not that of the file's name.  [default: csv]",
        ),
        click.option(
            "--json", "as_json", is_flag=True, help="Short for --format json: a list of records."
        ),
    ]
    return _with(parts, run)


def _with(parts: list[Callable[[Any], Any]], command: Any) -> Any:
    for part in reversed(parts):
        command = part(command)
    return command
