"""Seconds, CPU seconds and memory of a piece of work."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Cost", "cost_of"]


# Linux sets the largest memory of the process back to the present one when a 5 is written here.
_FORGET_PEAK = Path("/proc/self/clear_refs")


class Cost(NamedTuple):
    """What a piece of work took.

    Attributes:
        cpu: CPU seconds of all threads.
        wall: Seconds.
        megabytes: Largest memory in use above that before the work, its result included.
    """

    cpu: float
    wall: float
    megabytes: float


def cost_of(work: Callable[[], Any]) -> Cost:
    """Do the work, keeping its result until the end, and return what it took."""
    # Otherwise what the preparation needed for a moment would hide what the work needs.
    with contextlib.suppress(OSError):
        _FORGET_PEAK.write_text("5")
    before = _peak()
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    cost = Cost(time.process_time() - cpu, time.perf_counter() - wall, _peak() - before)
    del result
    return cost


def _peak() -> float:
    """Return the largest memory that the process has held, in MB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
