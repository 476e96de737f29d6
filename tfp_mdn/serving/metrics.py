"""Counts and times of requests, in the text format that Prometheus reads."""

from __future__ import annotations

import os
from typing import final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["CONTENT_TYPE", "SHARED_FOLDER", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Where several worker processes add up what each has counted, by the convention of Prometheus.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@final
class Metrics:
    """What is counted about the requests of one application."""

    def __init__(self) -> None:
        """Start from zero, in a registry of its own."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "tfp_mdn_requests",
            "Requests that were answered.",
            ("path", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "tfp_mdn_request_seconds",
            "Seconds from a request to the end of its answer.",
            ("path",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._rows = Counter(
            "tfp_mdn_rows", "Rows that were answered.", ("path",), registry=self._registry
        )
        self.pending = Gauge(
            "tfp_mdn_requests_pending",
            "Requests being answered.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        if SHARED_FOLDER not in os.environ:
            ProcessCollector(registry=self._registry)

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request that is over."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def count_rows(self, path: str, rows: int) -> None:
        """Count rows that were answered."""
        self._rows.labels(path).inc(rows)

    def text(self) -> bytes:
        """Return all counts, those of other workers included."""
        if SHARED_FOLDER not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
