"""The addresses that an application answers at: questions to the model, and to the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, final

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError

from tfp_mdn.serving.answers import QUESTIONS, Refused, answer
from tfp_mdn.serving.limits import Limits
from tfp_mdn.serving.metrics import CONTENT_TYPE, Metrics
from tfp_mdn.serving.schemas import BRANCHES
from tfp_mdn.serving.served import ServedModel

__all__ = ["Endpoints"]

_JSON = "application/json"

# A page that fetches nothing but /openapi.json, where FastAPI's own loads scripts from elsewhere.
_PAGE = Path(__file__).with_name("page.html")
_PAGE_POLICY = (
    "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
)

# Errors that are told of one request, and characters of a name in them.
_MOST_ERRORS, _MOST_CHARACTERS = 20, 100

_SUMMARIES = {
    "parameters": "Weights, means and variances of the components",
    "mean": "Conditional means and standard deviations",
    "quantiles": "Quantiles of each of the target's dimensions",
    "intervals": "Central intervals of each of the target's dimensions",
    "samples": "Draws from the densities",
    "log_prob": "Log densities of targets, in nats",
}

_AXES = {
    "weights": "NK",
    "means": "NKD",
    "variances": "NKD",
    "covariances": "NKDD",
    "mean": "ND",
    "stddev": "ND",
    "quantiles": "NDQ",
    "intervals": "ND2",
    "samples": "NSD",
    "log_prob": "N",
    "levels": "Q",
}
_ANSWERS = {
    "parameters": ("weights", "means", "variances", "covariances"),
    "mean": ("mean", "stddev"),
    "quantiles": ("levels", "quantiles"),
    "intervals": ("coverage", "intervals"),
    "samples": ("seed", "samples"),
    "log_prob": ("log_prob",),
}
_FAILURES = {
    408: "The body did not arrive in time.",
    413: "Too many rows, or too many bytes.",
    415: "The body is not declared as application/json.",
    422: "The body is not what is expected; the place of each error is named.",
    500: "The server failed.",
    503: "Too many requests are being answered.",
    504: "The answer took too long.",
}


@final
class Endpoints:
    """Answers of one application."""

    def __init__(
        self,
        served: ServedModel,
        limits: Limits,
        metrics: Metrics,
        bodies: dict[str, type[BaseModel]],
        threads: Executor,
    ) -> None:
        """Take what answers are made of, and the threads that they are made in."""
        self._served = served
        self._limits = limits
        self._metrics = metrics
        self._bodies = bodies
        self._threads = threads

    def router(self) -> APIRouter:
        """Return all addresses."""
        router = APIRouter()
        for question in QUESTIONS:
            router.add_api_route(
                f"/v1/{question}",
                self._endpoint(question),
                methods=["POST"],
                summary=_SUMMARIES[question],
                operation_id=question,
                tags=["model"],
                response_class=Response,
                responses=_responses(question),
                openapi_extra={"requestBody": self._request_body(question)},
            )
        for path, function, summary in (
            ("/v1/model", self._model, "What the model takes and gives"),
            ("/health/live", self._live, "Whether the server runs"),
            ("/health/ready", self._ready, "Whether it can take a request"),
            ("/metrics", self._counts, "Counts and times of requests, for Prometheus"),
            ("/docs", self._page, "A page to try requests in"),
        ):
            router.add_api_route(
                path, function, methods=["GET"], summary=summary, response_class=Response
            )
        return router

    def _endpoint(self, question: str) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            if request.headers.get("content-type", "").split(";")[0].strip().lower() != _JSON:
                return _refusal(415, f"send the body as JSON, with Content-Type: {_JSON}")
            body = await request.body()
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._response, question, body)

        return endpoint

    def _response(self, question: str, body: bytes) -> Response:
        """Check a body and answer it, all in one thread."""
        try:
            request: Any = self._bodies[question].model_validate_json(body)
            found = answer(question, self._served, self._limits, request)
        except ValidationError as error:
            return _refused(error)
        except Refused as error:
            place = {"loc": ["body", error.place], "msg": str(error), "type": "refused"}
            return _refusal(422, [place])
        self._metrics.count_rows(f"/v1/{question}", len(request.rows))
        content = orjson.dumps(found, option=orjson.OPT_SERIALIZE_NUMPY)
        return Response(content, media_type=_JSON)

    async def _model(self) -> Response:
        served = self._served
        features = [
            {"name": name, "type": "category", "categories": served.columns.categories[name]}
            if name in served.columns.categories
            else {"name": name, "type": "number"}
            for name in served.columns.names
        ]
        described = {
            "kind": served.kind,
            "features": features,
            "targets": served.targets,
            "num_components": served.num_components,
            "event_size": len(served.targets),
            "limits": {
                "max_rows": self._limits.max_rows,
                "max_bytes": self._limits.max_bytes,
                "max_values": self._limits.max_values,
            },
            "schema": self._bodies["parameters"].model_json_schema(),
        }
        return _json(200, described)

    async def _live(self) -> Response:
        return _json(200, {"status": "live"})

    async def _ready(self, request: Request) -> Response:
        if request.scope["tfp_mdn.is_full"]:
            return _json(503, {"status": "full"})
        return _json(200, {"status": "ready"})

    async def _counts(self) -> Response:
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def _page(self) -> Response:
        headers = {"Content-Security-Policy": _PAGE_POLICY}
        return Response(_PAGE.read_bytes(), media_type="text/html; charset=utf-8", headers=headers)

    def _request_body(self, question: str) -> dict[str, Any]:
        """Return what OpenAPI says about the body of a question."""
        served = self._served
        example: dict[str, Any] = {
            "rows": [dict(zip(served.columns.names, served.example, strict=True))]
        }
        if question == "log_prob":
            example["y"] = [dict(zip(served.targets, served.example_target, strict=True))]
        reference = f"#/components/schemas/{self._bodies[question].__name__}"
        content = {"schema": {"$ref": reference}, "example": example}
        return {"required": True, "content": {_JSON: content}}


def _responses(question: str) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says about the answers to a question."""
    parts: dict[str, Any] = {"targets": {"type": "array", "items": {"type": "string"}}}
    for name in _ANSWERS[question]:
        parts[name] = _shaped(_AXES[name]) if name in _AXES else {"type": "number"}
    required = [name for name in parts if name != "covariances"]
    schema = {"type": "object", "properties": parts, "required": required}
    answers: dict[int | str, dict[str, Any]] = {
        200: {"description": "The answer.", "content": {_JSON: {"schema": schema}}}
    }
    detail = {"type": "object", "properties": {"detail": {}}, "required": ["detail"]}
    for status, description in _FAILURES.items():
        answers[status] = {"description": description, "content": {_JSON: {"schema": detail}}}
    return answers


def _shaped(axes: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": ["number", "null"]}
    for _ in axes:
        schema = {"type": "array", "items": schema}
    return {**schema, "description": f"({', '.join(axes)})"}


def _refused(error: ValidationError) -> Response:
    """Return the response to a body that is not as it must be."""
    # What was given is left out: it may be NaN or half a character, which JSON cannot say.
    found = error.errors(include_url=False, include_context=False, include_input=False)
    too_long = any(one["type"] == "too_long" and one["loc"] in (("rows",), ("y",)) for one in found)
    told = [
        {"loc": ["body", *_place(one["loc"])], "msg": one["msg"], "type": one["type"]}
        for one in found[:_MOST_ERRORS]
    ]
    return _refusal(413 if too_long else 422, told)


def _place(found: tuple[int | str, ...]) -> list[int | str]:
    """Return the place of an error without the form of its row."""
    parts = [*found[:2], *found[3:]] if found[2:3] and found[2] in BRANCHES else found
    return [part[:_MOST_CHARACTERS] if isinstance(part, str) else part for part in parts]


def _refusal(status: int, detail: Any) -> Response:
    return _json(status, {"detail": detail})


def _json(status: int, content: Any) -> Response:
    return Response(json.dumps(content, allow_nan=False), status, media_type=_JSON)
