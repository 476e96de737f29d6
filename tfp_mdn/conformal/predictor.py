"""A fitted estimator with the guarantee put around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from tfp_mdn._validation import FloatArray
from tfp_mdn.conformal.intervals import ConformalIntervals, calibrate_intervals
from tfp_mdn.conformal.regions import ConformalRegions, calibrate_regions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["ConformalPredictor", "calibrate_estimator"]


@final
@dataclass(frozen=True)
class ConformalPredictor:
    """A fitted estimator whose regions and intervals are calibrated.

    Made by `calibrate_estimator`.

    Attributes:
        estimator: The estimator, which stays as it was.
        regions: Its calibrated regions.
        intervals: Its calibrated intervals; None if D > 1.
    """

    estimator: Any
    regions: ConformalRegions
    intervals: ConformalIntervals | None

    def predict_region(self, X: ArrayLike) -> list[FloatArray]:
        """Return the regions of inputs (N, F), for D = 1: N arrays (R_i, 2) of intervals."""
        return self.regions.region(self.estimator.predict_parameters(X))

    def predict_interval(self, X: ArrayLike) -> FloatArray:
        """Return the intervals of inputs (N, F), for D = 1: lower and upper ends (N, 2)."""
        if self.intervals is None:
            msg = (
                "intervals are for targets of one dimension, got event_size "
                f"{self.regions.event_size}. Use contains."
            )
            raise ValueError(msg)
        return self.intervals.interval(self.estimator.predict_parameters(X))

    def contains(self, X: ArrayLike, y: ArrayLike) -> NDArray[np.bool_]:
        """Return whether targets (N,) or (N, D) lie in the regions of inputs (N, F), (N,)."""
        return self.regions.contains(self.estimator.predict_parameters(X), y)


def calibrate_estimator(
    estimator: Any, X: ArrayLike, y: ArrayLike, *, coverage: float = 0.9
) -> ConformalPredictor:
    """Calibrate the regions and the intervals of a fitted estimator on rows it has not seen.

    See `calibrate_regions` and `calibrate_intervals` for what is guaranteed. Either kind holds the
    target with probability `coverage`; both at once may do so less often.

    Args:
        estimator: A fitted `MDNRegressor`, or whatever else has `predict_parameters`.
        X: Inputs of n held-out rows, (n, F).
        y: Their targets, (n,) or (n, D).
        coverage: Probability, strictly between 0 and 1.

    Raises:
        TypeError: If the estimator has no `predict_parameters`, or an argument is of another type.
        ValueError: If `X` or `y` is not finite or does not fit, or `coverage` is not between 0
            and 1.

    Example:
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> class Standard:
        ...     def predict_parameters(self, X):
        ...         return MixtureParameters(np.ones((len(X), 1)), 0 * X, 0 * X + 1)
        >>> X = np.zeros((99, 1))
        >>> y = np.random.default_rng(0).normal(size=99)
        >>> calibrated = calibrate_estimator(Standard(), X, y, coverage=0.8)
        >>> calibrated.predict_interval(X[:1]).shape, calibrated.predict_region(X[:1])[0].shape
        ((1, 2), (1, 2))
    """
    if not hasattr(estimator, "predict_parameters"):
        msg = (
            "estimator must have predict_parameters, as MDNRegressor has, got "
            f"{type(estimator).__name__}. For a pipeline, calibrate its last step on X as the "
            "steps before it transform it."
        )
        raise TypeError(msg)
    parameters = estimator.predict_parameters(X)
    return ConformalPredictor(
        estimator,
        calibrate_regions(parameters, y, coverage=coverage),
        calibrate_intervals(parameters, y, coverage=coverage)
        if parameters.event_size == 1
        else None,
    )
