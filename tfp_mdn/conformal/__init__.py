"""Prediction regions and intervals whose coverage is guaranteed, by split-conformal calibration."""

from tfp_mdn.conformal.intervals import ConformalIntervals, calibrate_intervals
from tfp_mdn.conformal.predictor import ConformalPredictor, calibrate_estimator
from tfp_mdn.conformal.regions import ConformalRegions, calibrate_regions

__all__ = [
    "ConformalIntervals",
    "ConformalPredictor",
    "ConformalRegions",
    "calibrate_estimator",
    "calibrate_intervals",
    "calibrate_regions",
]
