"""The server as a process: many clients at once, the stop, several workers, wrong arguments."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.error
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.serving.conftest import PATIENCE, Server, ask, serving, until
from tfp_mdn.mixture import MixtureParameters

Library = Callable[[list[dict[str, Any]]], MixtureParameters]

CLIENTS, REQUESTS = 32, 8


def a_ride(number: int) -> dict[str, Any]:
    return {
        "distance": 0.25 + number / 16,
        "color": ("green", "yellow")[number % 2],
        "night": number % 3 == 0,
    }


def test_no_answer_to_many_clients_is_wrong_or_lost(server: Server, library: Library) -> None:
    def client(number: int) -> list[tuple[int, Any]]:
        return [
            ask(f"{server.url}/v1/mean", {"rows": rows_of(number, turn)})[:2]
            for turn in range(REQUESTS)
        ]

    def rows_of(number: int, turn: int) -> list[dict[str, Any]]:
        return [a_ride(number * REQUESTS + turn + k) for k in range(1 + turn)]

    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(client, range(CLIENTS)))
    for number, replies in enumerate(answers):
        for turn, (status, body) in enumerate(replies):
            assert status == 200
            assert body["mean"] == library(rows_of(number, turn)).mean().tolist()


def test_counts_and_log_lines(server: Server) -> None:
    before = counted(server, "tfp_mdn_rows_total")
    ask(f"{server.url}/v1/mean", {"rows": [a_ride(1), a_ride(2)]})
    assert counted(server, "tfp_mdn_rows_total") == before + 2
    assert counted(server, "tfp_mdn_request_seconds_count") > 0
    lines = server.log.read_text().splitlines()
    assert lines[0].startswith(f"answering at {server.url}")
    assert [line for line in lines if line.startswith("tfp-mdn: POST /v1/mean 200 ")]
    assert all(line.startswith("tfp-mdn: ") for line in lines[1:])


def counted(server: Server, name: str, path: str = "/v1/mean") -> float:
    text = ask(f"{server.url}/metrics").body
    found = [
        float(line.split()[-1])
        for line in text.splitlines()
        if line.startswith(f'{name}{{path="{path}"')
    ]
    return sum(found)


def pending(server: Server) -> float:
    (line,) = (
        line
        for line in ask(f"{server.url}/metrics").body.splitlines()
        if line.startswith("tfp_mdn_requests_pending ")
    )
    return float(line.split()[-1])


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_requests_at_the_stop_are_answered(
    rides: Path, library: Library, number: signal.Signals
) -> None:
    rows = [a_ride(k) for k in range(5000)]
    levels = [k / 41 for k in range(1, 41)]
    body = {"rows": rows, "levels": levels}
    timeout = ("--timeout", str(PATIENCE))
    with serving(rides.parent, rides, *timeout) as own, ThreadPoolExecutor(4) as clients:
        calls = [clients.submit(ask, f"{own.url}/v1/quantiles", body) for _ in range(4)]
        until(lambda: pending(own) == 4, own.process, own.log)
        assert not any(one.done() for one in calls)
        assert own.stop(number) == 0
        replies = [one.result(PATIENCE) for one in calls]
        with pytest.raises(urllib.error.URLError, match="refused"):
            ask(f"{own.url}/health/live")
        # One line, the first: none for a request without --verbose, and none for the stop.
        assert len(own.log.read_text().splitlines()) == 1
    expected = library(rows).marginal(0).quantile(levels).T.tolist()
    for reply in replies:
        assert reply.status == 200
        assert [row[0] for row in reply.body["quantiles"]] == expected


@pytest.mark.slow
def test_several_workers_answer_and_count_together(rides: Path, library: Library) -> None:
    with serving(rides.parent, rides, "--workers", "2") as own:
        url = f"{own.url}/v1/mean"
        with ThreadPoolExecutor(8) as clients:
            replies = list(clients.map(lambda k: ask(url, {"rows": [a_ride(k)]}), range(64)))
        for k, reply in enumerate(replies):
            assert reply.body["mean"] == library([a_ride(k)]).mean().tolist()
        assert counted(own, "tfp_mdn_rows_total") == 64
        assert own.stop() == 0
        assert len(own.log.read_text().splitlines()) == 1


@pytest.mark.slow
def test_workers_that_cannot_start_are_not_started_again(rides: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in rides.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "model.keras").write_bytes(b"")
    done = refused(broken, "--workers", "2", "--port", "0")
    assert done.returncode == 1
    assert "is damaged" in done.stderr
    assert done.stderr.splitlines()[-1] == "tfp-mdn: the workers could not start"


def refused(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("tfp-mdn")
    return subprocess.run(
        [command, "serve", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def test_a_port_in_use_is_told_before_the_model_is_loaded(rides: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = refused(rides, "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "cannot listen at 127.0.0.1, port" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such_model"], "there is no saved model at no_such_model"),
        (["MODEL", "--host", "no.such.host.invalid"], "cannot listen at no.such.host.invalid"),
        (["MODEL", "--port", "70000"], "70000 is not in the range"),
        (["MODEL", "--workers", "0"], "0 is not in the range"),
        (["MODEL", "--timeout", "0"], "0.0 is not in the range"),
        (["MODEL", "--timeout", "nan"], "nan"),
    ],
)
def test_wrong_arguments_are_one_line(
    rides: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from tfp_mdn.cli import main

    given = [str(rides) if word == "MODEL" else word for word in arguments]
    with pytest.raises(SystemExit) as error:
        main(["serve", *given])
    assert error.value.code == 2
    told = capsys.readouterr().err
    assert message in told
    assert len(told.splitlines()) == 1


def test_the_fuzzer_finds_no_failure_of_the_server(server: Server) -> None:
    """Requests made from the OpenAPI document, right and wrong ones, never fail the server."""
    command = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [
            *(command, "run", f"{server.url}/openapi.json", "--checks", "not_a_server_error"),
            *("--max-examples", "20", "--seed", "1", "--generation-database", "none"),
            *("--suppress-health-check", "all", "--no-color"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        cwd=server.log.parent,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 11" in done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[-1]) > 100
