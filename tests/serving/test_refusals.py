"""What is refused, with which status, and what is told and not told of it."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.serving.conftest import PATIENCE, Reply, Server, ask, call, post
from tfp_mdn.models import build_mdn
from tfp_mdn.serving import Limits, create_app
from tfp_mdn.serving.guard import Guard
from tfp_mdn.serving.metrics import Metrics

ROW = {"distance": 1.0, "color": "green", "night": "True"}


def with_row(**changes: Any) -> dict[str, Any]:
    return {"rows": [ROW, {**ROW, **changes}]}


@pytest.mark.parametrize(
    ("question", "body", "place", "message"),
    [
        ("mean", with_row(distance="1"), ["rows", 1, "distance"], "valid number"),
        ("mean", with_row(distance=True), ["rows", 1, "distance"], "valid number"),
        ("mean", with_row(distance=None), ["rows", 1, "distance"], "valid number"),
        ("mean", with_row(distance=float("nan")), ["rows", 1, "distance"], "finite"),
        ("mean", with_row(distance=-float("inf")), ["rows", 1, "distance"], "finite"),
        ("mean", with_row(distance=10**400), ["rows", 1, "distance"], "finite"),
        ("mean", with_row(color="red"), ["rows", 1, "color"], "'green', 'yellow'"),
        ("mean", with_row(color=None), ["rows", 1, "color"], "'green', 'yellow'"),
        ("mean", with_row(night="true"), ["rows", 1, "night"], "'False', 'True'"),
        ("mean", with_row(weight=1), ["rows", 1, "weight"], "not permitted"),
        ("mean", {"rows": [{"distance": 1}]}, ["rows", 0, "color"], "required"),
        ("mean", {"rows": [[1, "green"]]}, ["rows", 0, 2], "required"),
        ("mean", {"rows": [[1, "green", "True", 2]]}, ["rows", 0], "at most 3"),
        ("mean", {"rows": [5]}, ["rows", 0], "in this order: distance, color, night"),
        ("mean", {"rows": []}, ["rows"], "at least 1"),
        ("mean", {"rows": ROW}, ["rows"], "valid array"),
        ("mean", {}, ["rows"], "required"),
        ("mean", [], [], "object"),
        ("mean", b"", [], "JSON"),
        ("mean", b'{"rows": [', [], "JSON"),
        ("mean", b'{"rows": "\xff"}', [], "JSON"),
        ("mean", b'{"rows": ["\\ud800"]}', [], "JSON"),
        ("mean", b'{"rows": ' + b"[" * 5000, [], "JSON"),
        ("mean", {"rows": [ROW], "levels": [0.5]}, ["levels"], "not permitted"),
        ("quantiles", {"rows": [ROW], "levels": [0.5, 1]}, ["levels", 1], "less than 1"),
        ("quantiles", {"rows": [ROW], "levels": [0]}, ["levels", 0], "greater than 0"),
        ("quantiles", {"rows": [ROW], "levels": []}, ["levels"], "at least 1"),
        ("quantiles", {"rows": [ROW], "levels": 0.5}, ["levels"], "valid array"),
        ("quantiles", {"rows": [ROW], "levels": [0.5] * 1001}, ["levels"], "at most 1000"),
        ("quantiles", {"rows": [ROW] * 1000, "levels": [0.5] * 501}, ["levels"], "1000000 numbers"),
        ("intervals", {"rows": [ROW], "coverage": 1}, ["coverage"], "less than 1"),
        ("intervals", {"rows": [ROW], "coverage": "0.9"}, ["coverage"], "valid number"),
        ("samples", {"rows": [ROW], "size": 0}, ["size"], "greater than or equal to 1"),
        ("samples", {"rows": [ROW], "size": 1.5}, ["size"], "valid integer"),
        ("samples", {"rows": [ROW], "size": 10**30}, ["size"], "1000000 numbers"),
        ("samples", {"rows": [ROW], "seed": -1}, ["seed"], "greater than or equal to 0"),
        ("samples", {"rows": [ROW], "seed": 2**63}, ["seed"], "less than"),
        ("log_prob", {"rows": [ROW]}, ["y"], "required"),
        ("log_prob", {"rows": [ROW], "y": [[1, 2]] * 2}, ["y"], "one target for each of the 1"),
        ("log_prob", {"rows": [ROW], "y": [[1]]}, ["y", 0, 1], "required"),
        ("log_prob", {"rows": [ROW], "y": [1]}, ["y", 0], "in this order: fare, tip"),
        ("log_prob", {"rows": [ROW], "y": [{"fare": 1}]}, ["y", 0, "tip"], "required"),
        ("log_prob", {"rows": [ROW], "y": [[1, float("nan")]]}, ["y", 0, 1], "finite"),
    ],
)
def test_bodies_that_are_refused_with_the_place(
    server: Server, question: str, body: Any, place: list[Any], message: str
) -> None:
    reply = ask(f"{server.url}/v1/{question}", body)
    assert reply.status == 422
    first = reply.body["detail"][0]
    assert first["loc"] == ["body", *place]
    assert message in first["msg"]


def test_many_errors_are_not_all_told(server: Server) -> None:
    reply = ask(f"{server.url}/v1/mean", {"rows": [{"z" * 5000: 1}] * 500})
    assert reply.status == 422
    assert len(reply.body["detail"]) == 20
    assert len(json.dumps(reply.body)) < 10_000


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/mean", {"rows": [ROW] * 2001}, 413),
        ("/v1/log_prob", {"rows": [ROW], "y": [[1, 2]] * 2001}, 413),
        ("/v1/mean", b" " * (8 * 2**20 + 1), 413),
        ("/v1/mean", None, 405),
        ("/v1/model", b"{}", 405),
        ("/v1/../../etc/passwd", None, 404),
        ("/v1/mode", None, 404),
        ("/redoc", None, 404),
    ],
)
def test_statuses(server: Server, path: str, body: Any, status: int) -> None:
    reply = ask(f"{server.url}{path}", body)
    assert reply.status == status
    assert set(reply.body) == {"detail"}


def test_only_json_is_read(server: Server) -> None:
    body = json.dumps({"rows": [ROW]}).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert ask(f"{server.url}/v1/mean", body, kind=kind).status == 415
    assert ask(f"{server.url}/v1/mean", body, kind="application/JSON; charset=utf-8").status == 200


def test_no_other_origin_is_let_in_and_nothing_is_told_of_the_server(server: Server) -> None:
    headers = ask(f"{server.url}/v1/model").headers
    assert not [name for name in headers if name.lower().startswith("access-control")]
    assert "server" not in {name.lower() for name in headers}


def test_numbers_that_the_network_cannot_hold_are_refused() -> None:
    app = create_app(build_mdn(num_components=2, input_size=1, seed=0))
    reply = post(app, "/v1/mean", {"rows": [[1e300]]})
    assert reply.status == 422
    assert reply.body["detail"][0]["loc"] == ["body", "rows"]
    assert "no finite answer" in reply.body["detail"][0]["msg"]


@pytest.mark.parametrize("level", [logging.WARNING, logging.INFO])
def test_errors_of_the_server_are_told_to_its_log_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, level: int
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a secret\nof two lines")

    monkeypatch.setattr("tfp_mdn.serving.endpoints.answer", fail)
    app = create_app(build_mdn(num_components=2, input_size=1))
    with caplog.at_level(level, "tfp_mdn.serving"):
        reply = post(app, "/v1/mean", {"rows": [[1]]})
    assert reply[:2] == (500, {"detail": "the server failed to answer; its log says why"})
    record = caplog.records[0]
    assert record.getMessage() == "/v1/mean failed: RuntimeError: a secret of two lines"
    assert bool(record.exc_info) is (level == logging.INFO)


class TestGuard:
    """What stands before the application, around one that answers as it is told to."""

    @staticmethod
    def guard(seconds: float, **bounds: Any) -> Guard:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            body = (await receive())["body"]
            await asyncio.sleep(seconds)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

        return Guard(app, limits=Limits(**bounds), metrics=Metrics(), paths=["/v1/mean"])

    def ask(self, guard: Guard, chunks: list[bytes], **headers: str) -> Reply:
        return asyncio.run(call(guard, "/v1/mean", chunks, **headers))

    def test_bodies_arrive_whole(self) -> None:
        assert self.ask(self.guard(0), [b"a", b"", b"bc"])[:2] == (200, "abc")

    @pytest.mark.parametrize("headers", [{}, {"content_length": "5"}])
    def test_long_bodies_are_refused_by_length_or_on_the_way(self, headers: Any) -> None:
        reply = self.ask(self.guard(0, max_bytes=4), [b"ab", b"cde"], **headers)
        assert reply.status == 413
        assert reply.body["detail"] == "the body may have at most 4 bytes; send fewer rows"
        assert reply.headers["connection"] == "close"
        assert self.ask(self.guard(0, max_bytes=4), [b"abcd"]).status == 200

    def test_who_asks_before_sending_is_refused_at_once(self) -> None:
        headers = {"content_length": "5", "expect": "100-continue"}
        # There is nothing to receive: to wait for it would end in silence.
        reply = asyncio.run(
            asyncio.wait_for(call(self.guard(0, max_bytes=4), "/v1/mean", [], **headers), 1.0)
        )
        assert reply.status == 413

    def test_slow_answers_are_given_up(self) -> None:
        reply = self.ask(self.guard(PATIENCE, timeout=0.05), [b""])
        assert reply.status == 504
        assert reply.body["detail"] == "the answer took more than 0.05 s; ask for fewer rows"

    def test_slow_bodies_are_given_up(self) -> None:
        async def silence() -> Any:
            await asyncio.sleep(PATIENCE)

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/mean", "headers": []}
        asyncio.run(self.guard(0, timeout=0.05)(scope, silence, send))
        assert sent[0]["status"] == 408

    def test_clients_that_leave_are_counted_and_told_nothing(self) -> None:
        sent: list[Any] = []

        async def leave() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        guard = self.guard(0)
        scope = {"type": "http", "method": "POST", "path": "/v1/mean", "headers": []}
        asyncio.run(guard(scope, leave, send))
        assert sent == []
        assert 'path="/v1/mean",status="499"' in guard._metrics.text().decode()

    def test_more_requests_than_can_be_answered_are_sent_away(self) -> None:
        guard = self.guard(0.2, max_pending=3)

        async def together() -> list[int]:
            calls = [call(guard, "/v1/mean", [b""]) for _ in range(5)]
            return sorted(reply.status for reply in await asyncio.gather(*calls))

        assert asyncio.run(together()) == [200, 200, 200, 503, 503]
        assert self.ask(guard, [b""]).status == 200

    def test_unknown_paths_do_not_fill_the_counts(self) -> None:
        guard = self.guard(0)
        asyncio.run(call(guard, "/v1/\n" + "x" * 100))
        text = guard._metrics.text().decode()
        assert 'path="other",status="200"' in text
        assert "xxx" not in text


def test_a_log_line_cannot_be_forged(caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(build_mdn(num_components=2, input_size=1))
    with caplog.at_level(logging.INFO, "tfp_mdn.serving"):
        asyncio.run(call(app, "/a\ntfp-mdn: POST /v1/mean 200"))
    (record,) = caplog.records
    assert record.getMessage().startswith("GET /a%0Atfp-mdn%3A%20POST%20/v1/mean%20200 404")


def test_the_page_needs_no_network(server: Server) -> None:
    page = ask(f"{server.url}/docs")
    assert page.status == 200
    assert "http://" not in page.body
    assert "https://" not in page.body
    assert page.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fastapi", None)
    with pytest.raises(ImportError, match=r'pip install "tfp-mdn\[serve\]"'):
        create_app(tmp_path)
