"""What one request may ask for, so that no client takes the whole server."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import final

from tfp_mdn._validation import as_real, as_whole_number

__all__ = ["MAX_LEVELS", "Limits"]

# Quantile levels of one request; more are two requests.
MAX_LEVELS = 1000


@final
@dataclass(frozen=True)
class Limits:
    """Bounds on requests. What is beyond them is refused with a status, never cut short.

    Args:
        max_rows: Rows of a request (413).
        max_bytes: Bytes of its body (413).
        max_values: Numbers that quantiles or samples of a request may consist of (422).
        max_pending: Requests being answered at a time (503).
        timeout: Seconds that a request may take, its reading included (408 for a body that has not
            arrived by then, 504 for an answer).

    Raises:
        TypeError: If a bound is not a number, or not an integer but for the seconds.
        ValueError: If a bound is not positive.

    Example:
        >>> Limits(max_rows=100).max_bytes
        8388608
    """

    max_rows: int = 10_000
    max_bytes: int = 8 * 2**20
    max_values: int = 1_000_000
    max_pending: int = 256
    timeout: float = 30.0

    def __post_init__(self) -> None:
        """Check the bounds."""
        for field in fields(self):
            if field.name != "timeout":
                as_whole_number(field.name, getattr(self, field.name))
        as_real("timeout", self.timeout, above=0.0)
