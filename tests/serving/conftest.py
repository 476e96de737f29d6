"""What the tests of serving share: a saved model with categories, servers, and ways to ask them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.mixture import MixtureParameters

# Seconds that a server may take to start or stop while others use the machine.
PATIENCE = 300.0

COLUMNS = ("distance", "color", "night")
FEATURES = ("distance", "color=green", "color=yellow", "night=False", "night=True")


class Reply(NamedTuple):
    """What a server answered; `body` is the parsed JSON, or text where it is none."""

    status: int
    body: Any
    headers: dict[str, str] = {}


def ask(url: str, body: Any = None, *, kind: str = "application/json") -> Reply:
    """Send a request: GET without a body; a body of bytes goes as it is, any other as JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return Reply(response.status, *_read(response))
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, *_read(error))


def _read(response: Any) -> tuple[Any, dict[str, str]]:
    content, headers = response.read().decode(), dict(response.headers)
    is_json = headers.get("content-type", "").startswith("application/json")
    return (json.loads(content, parse_constant=_refuse) if is_json else content), headers


def _refuse(name: str) -> float:
    raise AssertionError(f"{name} is not JSON")


async def call(app: Any, path: str, chunks: list[bytes] | None = None, **headers: str) -> Reply:
    """Send a request to an ASGI application in this process; no chunks make it a GET."""
    sent: list[dict[str, Any]] = []
    waiting = [b""] if chunks is None else [*chunks]

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.sleep(PATIENCE)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        sent.append(message)

    given = {"content-type": "application/json", **headers}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET" if chunks is None else "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [
            (name.replace("_", "-").encode(), text.encode()) for name, text in given.items()
        ],
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in sent[1:]).decode()
    return Reply(
        sent[0]["status"],
        json.loads(content, parse_constant=_refuse) if content[:1] in ("{", "[") else content,
        {name.decode(): text.decode() for name, text in sent[0]["headers"]},
    )


def post(app: Any, path: str, body: Any) -> Reply:
    """Send a request of JSON to an ASGI application in this process."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return asyncio.run(call(app, path, [data]))


class Server:
    """A server that runs in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        """Take a process that answers at an address."""
        self.process = process
        self.url = url
        self.log = log

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def serving(folder: Path, *arguments: str | Path) -> Iterator[Server]:
    """Run `tfp-mdn serve` on a free port until the end."""
    command = Path(sys.executable).with_name("tfp-mdn")
    log = folder / f"serve_{time.monotonic_ns()}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [command, "serve", *map(str, arguments), "--port", "0"],
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            pattern = re.compile(r"answering at (http://\S+),")
            url = until(lambda: (pattern.search(log.read_text()) or [None, None])[1], process, log)
            until(lambda: _is_ready(url), process, log)
            yield Server(process, url, log)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def until(found: Callable[[], Any], process: subprocess.Popen[bytes], log: Path) -> Any:
    """Return the first true result, unless the process ends before."""
    end = time.monotonic() + PATIENCE
    while not (result := found()):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)
    return result


def _is_ready(url: str) -> bool:
    try:
        return ask(f"{url}/health/ready").status == 200
    except OSError:
        return False


def encoded(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the features of rides, by hand."""
    return pd.DataFrame(
        [
            [
                row["distance"],
                float(row["color"] == "green"),
                float(row["color"] == "yellow"),
                float(str(row["night"]) == "False"),
                float(str(row["night"]) == "True"),
            ]
            for row in rows
        ],
        columns=list(FEATURES),
    )


@pytest.fixture(scope="session")
def rides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a model of two targets on a number and two categorical columns."""
    rng = np.random.default_rng(0)
    rows = [
        {"distance": distance, "color": color, "night": night}
        for distance, color, night in zip(
            rng.uniform(0.5, 10.0, 80),
            rng.choice(["green", "yellow"], 80),
            rng.choice(["False", "True"], 80),
            strict=True,
        )
    ]
    distance = np.array([row["distance"] for row in rows])
    targets = pd.DataFrame(
        {"fare": 2.5 + 2 * distance + rng.normal(size=80), "tip": rng.uniform(0, 3, 80)}
    )
    model = MDNRegressor(
        ensemble_size=2, num_components=2, hidden_units=(8,), num_steps=40, random_state=0
    ).fit(encoded(rows), targets)
    path = tmp_path_factory.mktemp("serving") / "rides"
    kept = {"color": ["green", "yellow"], "night": ["False", "True"]}
    model.save(path, extras={"categories": kept})
    return path


@pytest.fixture(scope="session")
def library(rides: Path) -> Callable[[list[dict[str, Any]]], MixtureParameters]:
    """Return a function from rides to what the library says of them."""
    model = MDNRegressor.load(rides)
    return lambda rows: model.predict_parameters(encoded(rows))


@pytest.fixture(scope="session")
def server(rides: Path) -> Iterator[Server]:
    """Serve the rides in a process of its own; no test may stop it."""
    with serving(rides.parent, rides, "--max-rows", "2000", "--verbose") as running:
        yield running


@pytest.fixture(scope="session")
def some_rides() -> list[dict[str, Any]]:
    return [
        {"distance": 2.5, "color": "green", "night": "False"},
        {"distance": 7.25, "color": "yellow", "night": "True"},
        {"distance": -1e3, "color": "yellow", "night": "False"},
    ]
