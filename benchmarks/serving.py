"""Requests per second and waiting times of `tfp-mdn serve`, beside MLflow's server.

`python benchmarks/serving.py` fits a small model, starts both servers on this machine, and asks
them in turn for the mean and three quantiles of 1 and of 100 rows, from 1, 8 and 32 clients that
keep their connections. Each cell is measured in several rounds, the servers by turns, and the table
shows medians over the rounds. `cpu` is the time that the server's processors spent on a request,
which others at work on the machine disturb least.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd

from tfp_mdn import MDNRegressor, datasets
from tfp_mdn.export import save_mlflow_model

CLIENTS = (1, 8, 32)
ROWS = (1, 100)
PATIENCE = 600.0


@dataclass(frozen=True)
class Peer:
    """A server to be measured.

    Attributes:
        name: What the table calls it.
        process: Its process, whose children count as well.
        port: Where it listens.
        requests: Path and body of its requests, for each number of rows.
    """

    name: str
    process: subprocess.Popen[bytes]
    port: int
    requests: dict[int, list[tuple[str, bytes]]]


@dataclass(frozen=True)
class Measured:
    """What one round found: requests per second, and seconds of a request."""

    rate: float
    median: float
    late: float
    cpu: float


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        inputs, targets = datasets.load_faithful()
        frame = pd.DataFrame(inputs, columns=["waiting"])
        model = MDNRegressor(random_state=0).fit(frame, pd.Series(targets, name="eruptions"))
        model.save(folder / "model")
        save_mlflow_model(folder / "model", folder / "mlflow")
        peers = [stack.enter_context(start(folder)) for start in (ours, of_mlflow)]
        found: dict[tuple[int, int, str], list[Measured]] = {}
        for rows in ROWS:
            for clients in CLIENTS:
                for turn in range(given.rounds + 1):
                    for peer in peers:
                        one = measure(peer, rows, clients, given.seconds)
                        if turn:  # the first round warms up
                            found.setdefault((rows, clients, peer.name), []).append(one)
    print("| rows | clients | server | requests/s | p50, ms | p99, ms | cpu, ms |")
    print("|---:|---:|---|---:|---:|---:|---:|")
    for (rows, clients, name), rounds in found.items():
        rate, median, late, cpu = (
            statistics.median(getattr(one, part) for one in rounds)
            for part in ("rate", "median", "late", "cpu")
        )
        times = f"{1e3 * median:.1f} | {1e3 * late:.1f} | {1e3 * cpu:.2f}"
        print(f"| {rows} | {clients} | {name} | {rate:.0f} | {times} |")


@contextmanager
def ours(folder: Path) -> Iterator[Peer]:
    """Run `tfp-mdn serve`; mean and quantiles are two requests, of which each is half."""
    questions = [("/v1/mean", {}), ("/v1/quantiles", {"levels": [0.05, 0.5, 0.95]})]
    requests = {
        rows: [
            (path, json.dumps({"rows": records(rows), **more}).encode()) for path, more in questions
        ]
        for rows in ROWS
    }
    port = free_port()
    command = [beside("tfp-mdn"), "serve", str(folder / "model"), "--port", str(port), "--quiet"]
    with running(command, port, "/health/ready") as process:
        yield Peer("tfp-mdn serve, both", process, port, requests)


@contextmanager
def of_mlflow(folder: Path) -> Iterator[Peer]:
    """Run the server of MLflow, which answers with mean and quantiles at once."""
    requests = {
        rows: [("/invocations", json.dumps({"dataframe_records": records(rows)}).encode())]
        for rows in ROWS
    }
    port = free_port()
    command = [beside("mlflow"), "models", "serve", "-m", str(folder / "mlflow")]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with running(command, port, "/ping") as process:
        yield Peer("MLflow pyfunc", process, port, requests)


def records(rows: int) -> list[dict[str, float]]:
    """Return rows of the request."""
    return [{"waiting": float(value)} for value in np.linspace(43.0, 96.0, rows)]


def measure(peer: Peer, rows: int, clients: int, seconds: float) -> Measured:
    """Ask from several threads for so long; a request is all that answers mean and quantiles."""
    times: list[list[float]] = [[] for _ in range(clients)]
    end = time.perf_counter() + seconds

    def client(own: list[float]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=PATIENCE)
        while (start := time.perf_counter()) < end:
            for path, body in peer.requests[rows]:
                connection.request("POST", path, body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                content = response.read()
                if response.status != 200:
                    raise RuntimeError(f"{peer.name}: {response.status} {content[:200]!r}")
            own.append(time.perf_counter() - start)
        connection.close()

    before, start = processor_seconds(peer.process.pid), time.perf_counter()
    threads = [threading.Thread(target=client, args=(own,)) for own in times]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passed = time.perf_counter() - start
    spent = processor_seconds(peer.process.pid) - before
    every = np.concatenate([np.asarray(own) for own in times])
    median, late = np.quantile(every, [0.5, 0.99])
    return Measured(len(every) / passed, float(median), float(late), spent / len(every))


def processor_seconds(group: int) -> float:
    """Return the processor time of all processes of a group, as Linux tells it."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(command: list[str], port: int, ready: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in a process group of its own until the end, once it is ready."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    variables = os.environ | {"PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(command, start_new_session=True, env=variables, **quiet)
    try:
        end = time.monotonic() + PATIENCE
        while not answers(f"http://127.0.0.1:{port}{ready}"):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command[0]} did not start")
            time.sleep(0.2)
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE)


def answers(url: str) -> bool:
    """Return whether there is an answer."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE):
            return True
    except OSError:
        return False


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def beside(program: str) -> str:
    """Return a program that is installed beside this Python."""
    return str(Path(sys.executable).with_name(program))


if __name__ == "__main__":
    main()
