"""The command `serve`: a model that answers over HTTP."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfp_mdn.cli.options import model_argument, quiet_option

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["serve", "worker"]

# Where a worker process finds what it is to serve.
_SETTINGS = "TFP_MDN_SERVE"

# Where the workers add up their counts, by the convention of Prometheus.
_COUNTS = "PROMETHEUS_MULTIPROC_DIR"

# Connections that wait to be taken.
_BACKLOG = 1024

# Exit code of a worker that uvicorn does not start again.
_STARTUP_FAILURE = 3

# Seconds that a worker may be silent, as while it imports TensorFlow on a busy machine.
_MOST_SILENT = 120


@click.command()
@model_argument
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen at; 0 takes a free one and says which.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes that answer, each with the model in memory.",
)
@click.option(
    "--max-rows",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Rows that a request may have.",
)
@click.option(
    "--max-bytes",
    type=click.IntRange(1),
    default=8 * 2**20,
    show_default=True,
    help="Bytes that a request may have.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds that a request may take, and those being answered at the stop.",
)
@click.option("--verbose", is_flag=True, help="Print a line for each request on standard error.")
@quiet_option
def serve(
    model: Path,
    host: str,
    port: int,
    workers: int,
    max_rows: int,
    max_bytes: int,
    timeout: float,
    *,
    verbose: bool,
) -> None:
    """Answer requests over HTTP with the densities of MODEL, until Ctrl-C or SIGTERM.

    \b
      tfp-mdn serve model
      curl --json '{"rows": [{"age": 51}]}' http://127.0.0.1:8000/v1/quantiles

    The address /docs is a page to try requests in. Without --host, programs of this machine alone
    can ask; whoever lets others in puts a proxy with TLS and passwords in front. Requests that are
    being answered when the server is stopped get their answers. The extra is "serve".
    """  # noqa: D301
    from tfp_mdn.model_directory import read_metadata

    if not math.isfinite(timeout):
        message = f"--timeout must be a number of seconds, got {timeout}."
        raise click.UsageError(message)
    read_metadata(model)  # what is wrong with it is told before TensorFlow is imported
    _check_extra()
    settings = {"max_rows": max_rows, "max_bytes": max_bytes, "timeout": timeout}
    options = _server_options(timeout, verbose=verbose)
    with _listening(host, port) as listener:
        if workers == 1:
            _run_here(_application(model, settings), options, listener)
        else:
            _run_workers(workers, {"model": str(model.absolute()), **settings}, options, listener)


def worker() -> FastAPI:
    """Return the application of a worker process; uvicorn calls this by its name."""
    settings = json.loads(os.environ[_SETTINGS])
    try:
        return _application(Path(settings.pop("model")), settings)
    except Exception as error:
        click.echo(f"tfp-mdn: {' '.join(str(error).split())}", err=True)
        # With any other code than this, uvicorn would start the worker again, and again.
        raise SystemExit(_STARTUP_FAILURE) from error


def _check_extra() -> None:
    for module in ("fastapi", "orjson", "prometheus_client", "uvicorn"):
        if find_spec(module) is None:
            message = f'serving needs {module}: pip install "tfp-mdn[serve]"'
            raise click.UsageError(message)


def _application(model: Path, settings: dict[str, Any]) -> FastAPI:
    from tfp_mdn._startup import import_quietly

    import_quietly()
    from tfp_mdn.serving import Limits, create_app

    return create_app(model, limits=Limits(**settings))


def _server_options(timeout: float, *, verbose: bool) -> dict[str, Any]:
    """Return options of uvicorn: log lines are this tool's, and nothing is told of the server."""
    level = "INFO" if verbose else "WARNING"
    loggers = {"tfp_mdn.serving": level, "uvicorn": "ERROR"}
    return {
        "access_log": False,
        "server_header": False,
        "timeout_graceful_shutdown": math.ceil(timeout),
        "log_config": {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"format": "tfp-mdn: %(message)s"}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "loggers": {
                name: {"handlers": ["stderr"], "level": least, "propagate": False}
                for name, least in loggers.items()
            },
        },
    }


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Take the address, before the model is loaded, so that one in use is told at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        message = f"cannot listen at {host}, port {port}: {error.strerror or error}."
        raise click.UsageError(message) from error
    with listener:
        yield listener


def _say_address(listener: socket.socket) -> None:
    from tfp_mdn.cli.places import remark

    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    remark(f"answering at http://{shown}:{port}, requests can be tried at /docs; Ctrl-C stops it")


def _run_here(app: FastAPI, options: dict[str, Any], listener: socket.socket) -> None:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, **options))
    _say_address(listener)
    # When it has stopped, uvicorn raises the signal that stopped it once more, for these.
    caught = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in caught}
    try:
        server.run([listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_workers(
    workers: int, settings: dict[str, Any], options: dict[str, Any], listener: socket.socket
) -> None:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    config = uvicorn.Config(
        "tfp_mdn.cli.serve:worker",
        factory=True,
        workers=workers,
        timeout_worker_healthcheck=_MOST_SILENT,
        **options,
    )
    with tempfile.TemporaryDirectory() as folder:
        # Inherited by the workers; nothing else in this process reads them.
        os.environ[_SETTINGS] = json.dumps(settings)
        os.environ.setdefault(_COUNTS, folder)
        supervisor = Multiprocess(config, [listener])
        _say_address(listener)
        supervisor.run()
    if any(process.exitcode == _STARTUP_FAILURE for process in supervisor.processes):
        raise OSError("the workers could not start")
