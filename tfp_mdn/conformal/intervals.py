"""Intervals of guaranteed coverage, from the quantiles of mixtures (CQR)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from tfp_mdn._validation import FloatArray, as_real
from tfp_mdn.calibration.pit import paired_targets
from tfp_mdn.conformal._rank import num_left_out
from tfp_mdn.mixture._methods import Mixture

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["ConformalIntervals", "calibrate_intervals"]


@final
@dataclass(frozen=True)
class ConformalIntervals:
    """Central intervals of mixtures, widened or narrowed at both ends by what calibration found.

    Made by `calibrate_intervals`.

    Attributes:
        coverage: Probability that the interval of a new row holds its target, at least.
        margin: What is added at either end, in the target's units; negative where the densities
            were too wide, and infinite where there were too few rows.
        num_rows: Rows that were calibrated on.
    """

    coverage: float
    margin: float
    num_rows: int

    def interval(self, parameters: Mixture) -> FloatArray:
        """Return lower and upper ends (N, 2), in the target's units.

        Where a negative margin would make the ends pass each other, both are the point midway.

        Raises:
            TypeError: If `parameters` is something else.
            ValueError: If D is not 1.
        """
        lower, upper = _central(parameters, self.coverage).T
        ends = np.stack([lower - self.margin, upper + self.margin], axis=1)
        crossed = ends[:, 0] > ends[:, 1]
        ends[crossed] = 0.5 * (lower + upper)[crossed, np.newaxis]
        return ends

    def contains(self, parameters: Mixture, y: ArrayLike) -> NDArray[np.bool_]:
        """Return whether each target (N,) lies in its interval, (N,).

        Raises:
            TypeError: If an argument is of another type.
            ValueError: If D is not 1, or `y` is not finite or has another length.
        """
        lower, upper = self.interval(parameters).T
        target = paired_targets(parameters, y)[:, 0]
        return (lower <= target) & (target <= upper)


def calibrate_intervals(
    parameters: Mixture, y: ArrayLike, *, coverage: float = 0.9
) -> ConformalIntervals:
    """Return intervals that hold the target of a new row with probability `coverage`, whatever y.

    This is conformalised quantile regression on the quantiles of the mixture at (1 ∓ coverage) / 2:

        Cᵢ = max(q_lower(xᵢ) − yᵢ, yᵢ − q_upper(xᵢ)),   [q_lower(x) − M, q_upper(x) + M],

    with M the ⌈(n + 1) coverage⌉-th smallest of the n scores. The probability is over the
    calibration rows and the new row together, if these are exchangeable and the model has seen
    none of them: at least `coverage`, and less than coverage + 1 / (n + 1) if no scores tie. It is
    an average over x; M is one number for all x, so where the noise depends on x, or y has
    several modes, `calibrate_regions` follows the densities more closely. Rows cannot be
    weighted: weighted rows are not exchangeable.

    Args:
        parameters: Mixtures of n held-out rows in one dimension.
        y: Their targets (n,), in the target's units.
        coverage: Probability, strictly between 0 and 1.

    Returns:
        The calibrated intervals. With fewer than coverage / (1 − coverage) rows they are the whole
        line, and a warning says so.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If D is not 1, `y` is not finite or does not fit, or `coverage` is not between
            0 and 1.

    References:
        Y. Romano, E. Patterson, E. J. Candès (2019), Conformalized quantile regression, Advances
        in Neural Information Processing Systems 32, https://arxiv.org/abs/1905.03222.

    Example:
        >>> y = np.random.default_rng(0).normal(size=999)
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> too_wide = MixtureParameters([[1.0]] * 999, [[0.0]] * 999, [[4.0]] * 999)
        >>> intervals = calibrate_intervals(too_wide, y, coverage=0.9)
        >>> bool(intervals.margin < -1.0)
        True
        >>> bool(np.abs(intervals.interval(too_wide[0]) - [-1.645, 1.645]).max() < 0.1)
        True
    """
    level = as_real("coverage", coverage, above=0.0, below=1.0)
    target = paired_targets(parameters, y)[:, 0]
    lower, upper = _central(parameters, level).T
    left_out = num_left_out(len(target), level)
    scores = np.sort(np.maximum(lower - target, target - upper))
    margin = float(scores[-left_out]) if left_out else np.inf
    return ConformalIntervals(level, margin, len(target))


def _central(parameters: Mixture, coverage: float) -> FloatArray:
    """Return the central interval, and name the remedy where there is none."""
    if not isinstance(parameters, Mixture):
        msg = f"parameters must be a MixtureParameters, got {type(parameters).__name__}."
        raise TypeError(msg)
    if parameters.event_size != 1:
        msg = (
            "intervals are for targets of one dimension, got event_size "
            f"{parameters.event_size}. Use calibrate_regions, or marginal(d) of the parameters."
        )
        raise ValueError(msg)
    return parameters.interval(coverage)
