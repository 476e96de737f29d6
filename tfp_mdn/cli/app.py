"""The entry point of the shell tool: runs a command and turns errors into one line."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import click

from tfp_mdn._version import __version__
from tfp_mdn.cli.commands import LazyCommands

__all__ = ["main"]

_DONE, _FAILED, _REFUSED = 0, 1, 2

# Errors of the system that the user can mend by naming another place.
_PLACES = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tool and exit with 0 if it is done, 1 if it failed, 2 if arguments or data are wrong.

    An error is one line on standard error.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        code = _run(arguments)
    sys.exit(code)


@click.group(
    cls=LazyCommands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--traceback", is_flag=True, help="Show where an unexpected error comes from.")
@click.version_option(__version__, message="%(version)s")
@click.pass_context
def commands(context: click.Context, *, traceback: bool) -> None:
    """Fit mixture density networks to tables, and read what they learned.

    A model answers with a whole density p(y | x) instead of one value. Tables are CSV with a header
    line, or Parquet; "-" stands for standard input and output. In this order:

    \b
      tfp-mdn fit data.csv --target y -o model
      tfp-mdn evaluate model new.csv
      tfp-mdn predict model new.csv -o predicted.csv

    Exit codes: 0 done, 1 failed or interrupted, 2 arguments or data refused.
    """  # noqa: D301
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(_REFUSED)


def _run(arguments: Sequence[str] | None) -> int:
    """Run the command and return the exit code."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = commands.main(typed, prog_name="tfp-mdn", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else _DONE
    except BrokenPipeError:
        # The reader, such as `head`, has all it wanted.
        _drop_standard_output()
        return _FAILED
    except (click.Abort, KeyboardInterrupt) as error:
        return _complain(f"interrupted; {str(error) or 'nothing was written'}", _FAILED)
    except click.UsageError as error:
        return _complain(f"{error.format_message().rstrip('.')}.{_advice(error)}", _REFUSED)
    except click.ClickException as error:
        return _complain(error.format_message(), _REFUSED)
    except _PLACES as error:
        return _complain(_told(error), _REFUSED)
    except OSError as error:
        _drop_standard_output()
        return _complain(_told(error), _FAILED)
    except (ValueError, TypeError) as error:
        if "--traceback" in typed:
            raise
        return _complain(str(error), _REFUSED)
    except (ArithmeticError, ImportError, MemoryError) as error:
        return _complain(str(error) or type(error).__name__, _FAILED)
    except Exception as error:
        if "--traceback" in typed:
            raise
        message = f"unexpected {type(error).__name__}: {error}; tfp-mdn --traceback ... shows more"
        return _complain(message, _FAILED)


def _advice(error: click.UsageError) -> str:
    """Point to the help of the command whose arguments could not be read."""
    if isinstance(error, click.BadParameter | click.NoSuchOption) or "No such" in error.message:
        return "" if error.ctx is None else f" See {error.ctx.command_path} --help."
    return ""


def _told(error: OSError) -> str:
    if error.filename is None or error.strerror is None:
        return str(error.strerror or error)
    return f"{error.filename}: {error.strerror}"


def _drop_standard_output() -> None:
    """Point standard output nowhere, so that closing it at the end cannot fail once more."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError, AttributeError):
        return  # a test or a notebook has put something else in its place
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _complain(message: str, code: int) -> int:
    click.echo(f"tfp-mdn: {' '.join(message.split())}", err=True)
    return code


def _show_warning(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, UserWarning):
        click.echo(f"tfp-mdn: warning: {' '.join(str(message).split())}", err=True)
