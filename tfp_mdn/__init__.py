"""Mixture density networks on TensorFlow Probability.

The names below are loaded when they are first used, so that importing the package is quick and
does not import TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tfp_mdn._version import __version__

if TYPE_CHECKING:
    from tfp_mdn import (
        calibration,
        callbacks,
        conformal,
        datasets,
        export,
        initializers,
        layers,
        losses,
        mixture,
        plotting,
        scale,
        scorers,
        sequences,
        serving,
        uncertainty,
    )
    from tfp_mdn.calibration import calibration_report
    from tfp_mdn.estimator import MDNRegressor
    from tfp_mdn.extraction import extract_parameters, to_distribution
    from tfp_mdn.losses import negative_log_likelihood
    from tfp_mdn.mixture import FamilyMixture, MixtureParameters
    from tfp_mdn.models import build_mdn
    from tfp_mdn.persistence import load, save
    from tfp_mdn.report import write_report
    from tfp_mdn.scorers import neg_crps_scorer, neg_log_likelihood_scorer
    from tfp_mdn.selection import select_num_components
    from tfp_mdn.training import fit_mdn

__all__ = [
    "FamilyMixture",
    "MDNRegressor",
    "MixtureParameters",
    "__version__",
    "build_mdn",
    "calibration",
    "calibration_report",
    "callbacks",
    "conformal",
    "datasets",
    "export",
    "extract_parameters",
    "fit_mdn",
    "initializers",
    "layers",
    "load",
    "losses",
    "mixture",
    "neg_crps_scorer",
    "neg_log_likelihood_scorer",
    "negative_log_likelihood",
    "plotting",
    "save",
    "scale",
    "scorers",
    "select_num_components",
    "sequences",
    "serving",
    "to_distribution",
    "uncertainty",
    "write_report",
]

_HOMES = {
    "FamilyMixture": "mixture",
    "MDNRegressor": "estimator",
    "MixtureParameters": "mixture",
    "build_mdn": "models",
    "calibration_report": "calibration",
    "extract_parameters": "extraction",
    "fit_mdn": "training",
    "load": "persistence",
    "neg_crps_scorer": "scorers",
    "neg_log_likelihood_scorer": "scorers",
    "negative_log_likelihood": "losses",
    "save": "persistence",
    "select_num_components": "selection",
    "to_distribution": "extraction",
    "write_report": "report",
}
_MODULES = {
    "calibration",
    "callbacks",
    "conformal",
    "datasets",
    "export",
    "initializers",
    "layers",
    "losses",
    "mixture",
    "plotting",
    "scale",
    "scorers",
    "sequences",
    "serving",
    "uncertainty",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"tfp_mdn.{name}")
    if name in _HOMES:
        value = getattr(importlib.import_module(f"tfp_mdn.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    msg = f"module 'tfp_mdn' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
