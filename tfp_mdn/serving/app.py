"""The application that answers over HTTP with the densities of one model."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tfp_mdn._version import __version__
from tfp_mdn.serving.limits import Limits
from tfp_mdn.serving.served import ServedModel

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["create_app"]

# More threads do not answer sooner: TensorFlow and NumPy compute on several processors themselves.
_MOST_THREADS = 4

_DESCRIPTION = """Answers with the density p(y | x) of a mixture density network.

A row is an object by name, or an array in the order of `GET /v1/model`. Answers have the rows first
and are in the units of the target. Numbers are float64 and never NaN; what is infinite, such as the
logarithm of a density of 0, is null."""

_REFERENCES = "#/components/schemas/{model}"


def create_app(model: Any, *, limits: Limits | None = None) -> FastAPI:
    """Return an application that answers with the densities of a model.

    `POST /v1/parameters`, `/v1/mean`, `/v1/quantiles`, `/v1/intervals`, `/v1/samples` and
    `/v1/log_prob` take rows as JSON; `GET /v1/model` says what a row is. `/health/live`,
    `/health/ready`, `/metrics` (for Prometheus), `/docs` and `/openapi.json` are for those who run
    and call it. An answer equals what the library says of the rows of that request, whoever asks
    beside it. The model is called through a compiled function, from several threads.

    Args:
        model: A fitted `MDNRegressor`, a `tf_keras` model that takes rows (N, F) and ends in a
            mixture layer, or the directory of one that `tfp_mdn.save` or `tfp-mdn fit` wrote; the
            latter's categorical columns are columns of categories here too.
        limits: Bounds on requests; None takes those of `Limits()`.

    Returns:
        A `fastapi.FastAPI`, which any ASGI server runs.

    Raises:
        ImportError: If the extra `serve` is not installed.
        TypeError: If `model` or `limits` is something else.
        ValueError: If the model is not fitted or built, is damaged, or takes anything but rows.
        FileNotFoundError: If there is no such directory.

    Example:
        >>> from tfp_mdn.models import build_mdn
        >>> app = create_app(build_mdn(num_components=3, input_size=2))
        >>> sorted(app.openapi()["paths"])[:3]
        ['/docs', '/health/live', '/health/ready']
    """
    try:
        from fastapi import FastAPI
        from pydantic.json_schema import models_json_schema

        from tfp_mdn.serving.endpoints import Endpoints
        from tfp_mdn.serving.guard import Guard
        from tfp_mdn.serving.metrics import Metrics
        from tfp_mdn.serving.schemas import request_models
    except ImportError as error:
        msg = f'serving needs the extra "serve" ({error}): pip install "tfp-mdn[serve]"'
        raise ImportError(msg) from error
    limits = Limits() if limits is None else limits
    if not isinstance(limits, Limits):
        msg = f"limits must be Limits, got {type(limits).__name__}."
        raise TypeError(msg)
    served = ServedModel.open(model)
    bodies = request_models(served, limits)
    metrics = Metrics()
    threads = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), "tfp_mdn")
    router = Endpoints(served, limits, metrics, bodies, threads).router()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        threads.shutdown(wait=False, cancel_futures=True)

    app = FastAPI(
        title="tfp_mdn",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.include_router(router)
    document = app.openapi()
    _, definitions = models_json_schema(
        [(body, "validation") for body in bodies.values()], ref_template=_REFERENCES
    )
    document.setdefault("components", {})["schemas"] = definitions["$defs"]
    paths = [*document["paths"], "/openapi.json"]
    app.add_middleware(Guard, limits=limits, metrics=metrics, paths=paths)
    return app
