"""Which of n calibration scores is the cut that guarantees a coverage."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction

__all__ = ["num_left_out"]


def num_left_out(num_rows: int, coverage: float) -> int:
    """Return r = n + 1 − ⌈(n + 1) coverage⌉: the cut is the r-th least conforming score of n.

    A new row is exchangeable with the n of the calibration, so it conforms less than that score
    with a probability of at most r / (n + 1) ≤ 1 − coverage. With r = 0 nothing may be left out,
    of which a warning tells.
    """
    # As the decimal number that was written: 100 * 0.55 in binary would round up to 56.
    share = Fraction(repr(coverage))
    result = num_rows + 1 - math.ceil((num_rows + 1) * share)
    if result == 0:
        fewest = math.ceil(share / (1 - share))
        warnings.warn(
            f"{num_rows} calibration rows are too few to guarantee a coverage of {coverage:g}, "
            f"which takes at least {fewest}: nothing can be left out, and all targets are inside.",
            stacklevel=3,
        )
    return result
