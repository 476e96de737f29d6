"""Whether predicted densities can be trusted: PIT values, coverage, sharpness and a verdict."""

from tfp_mdn.calibration.checks import (
    Check,
    bias_check,
    chi_square_check,
    crossing_check,
    kolmogorov_smirnov_check,
    level_check,
    spread_check,
)
from tfp_mdn.calibration.coverage import Coverage, share_below
from tfp_mdn.calibration.pit import density_levels, normal_scores, pit_values
from tfp_mdn.calibration.report import CalibrationReport, Margin, calibration_report
from tfp_mdn.calibration.verdict import MarginChecks, RegionChecks

__all__ = [
    "CalibrationReport",
    "Check",
    "Coverage",
    "Margin",
    "MarginChecks",
    "RegionChecks",
    "bias_check",
    "calibration_report",
    "chi_square_check",
    "crossing_check",
    "density_levels",
    "kolmogorov_smirnov_check",
    "level_check",
    "normal_scores",
    "pit_values",
    "share_below",
    "spread_check",
]
