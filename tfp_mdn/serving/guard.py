"""What stands between the network and the application: bounds, errors, counts and log lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, final
from urllib.parse import quote

from tfp_mdn.serving.limits import Limits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tfp_mdn.serving.metrics import Metrics

__all__ = ["Guard"]

_LOG = logging.getLogger("tfp_mdn.serving")

# A client that sends too much is listened to for so long: most read no answer before they have sent
# all, and would see a broken connection.
_PATIENCE = 2.0


class _Failure(Exception):
    """An answer other than the application's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _ClientGone(Exception):
    """The client has closed the connection before it had sent the whole request."""


@final
class Guard:
    """ASGI middleware around an application that reads bodies of JSON and answers at once.

    Bodies beyond the limit are refused with 413, those that do not arrive in time with 408, answers
    that take too long with 504, and requests beyond the number of pending ones with 503. An error
    of the application is one line in the log and a plain 500.
    """

    def __init__(
        self, app: ASGIApp, *, limits: Limits, metrics: Metrics, paths: Collection[str]
    ) -> None:
        """Take the application and the paths that are counted by name."""
        self._app = app
        self._limits = limits
        self._metrics = metrics
        self._paths = frozenset(paths)
        self._num_pending = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        scope["tfp_mdn.is_full"] = is_full = self._num_pending >= self._limits.max_pending
        is_question = scope["path"].startswith("/v1/")
        self._num_pending += is_question
        self._metrics.pending.inc(is_question)
        try:
            if is_full and is_question:
                raise _Failure(503, "too many requests are being answered; try again")
            await self._answer(scope, receive, watched)
        except _ClientGone:
            status = 499  # as web servers log it; nobody is there to be told
        except Exception as error:
            if status:
                raise  # the answer is on its way and cannot be changed
            if isinstance(error, _Failure) and error.status == 413:
                await _read_on(scope, receive)
            await _reply(watched, *self._described(scope, error))
        finally:
            self._num_pending -= is_question
            self._metrics.pending.dec(is_question)
            self._count(scope, status, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, and call the application with it in what is left of the time."""
        end = time.monotonic() + self._limits.timeout
        try:
            body = await asyncio.wait_for(self._read(scope, receive), self._limits.timeout)
        except asyncio.TimeoutError as error:
            msg = f"the body did not arrive within {self._limits.timeout:g} s"
            raise _Failure(408, msg) from error
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        try:
            await asyncio.wait_for(self._app(scope, replay, send), max(0.0, end - time.monotonic()))
        except asyncio.TimeoutError as error:
            msg = f"the answer took more than {self._limits.timeout:g} s; ask for fewer rows"
            raise _Failure(504, msg) from error

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        most = self._limits.max_bytes
        too_large = _Failure(413, f"the body may have at most {most} bytes; send fewer rows")
        # The server in front has refused a length that is no number.
        if int(_headers(scope).get(b"content-length", b"0")) > most:
            raise too_large
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _ClientGone
            body += message.get("body", b"")
            if len(body) > most:
                raise too_large
            if not message.get("more_body", False):
                return bytes(body)

    def _described(self, scope: Scope, error: Exception) -> tuple[int, str]:
        """Return status and words for an error, and log what is the application's fault."""
        if isinstance(error, _Failure):
            return error.status, str(error)
        told = " ".join(f"{type(error).__name__}: {error}".split())
        verbose = _LOG.isEnabledFor(logging.INFO)
        _LOG.error("%s failed: %s", quote(scope["path"]), told, exc_info=error if verbose else None)
        return 500, "the server failed to answer; its log says why"

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        path = scope["path"] if scope["path"] in self._paths else "other"
        self._metrics.count_request(path, status, seconds)
        _LOG.info("%s %s %d %.1f ms", scope["method"], quote(scope["path"]), status, 1e3 * seconds)


def _headers(scope: Scope) -> Mapping[bytes, bytes]:
    return dict(scope["headers"])


async def _reply(send: Send, status: int, message: str) -> None:
    body = json.dumps({"detail": message}).encode()
    headers: list[Any] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    if status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _read_on(scope: Scope, receive: Receive) -> None:
    if b"expect" in _headers(scope):
        return  # it waits for our consent, and sends nothing without it

    async def rest() -> None:
        while (await receive()).get("more_body", False):
            pass

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(rest(), _PATIENCE)
