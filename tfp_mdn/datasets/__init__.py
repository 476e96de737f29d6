"""Classic problems whose conditional density is known exactly, and small real data sets."""

from tfp_mdn.datasets.classic import cardioid, inverse_sinusoid, noisy_spiral, sinusoid
from tfp_mdn.datasets.problem import Problem
from tfp_mdn.datasets.real import load_faithful

__all__ = [
    "Problem",
    "cardioid",
    "inverse_sinusoid",
    "load_faithful",
    "noisy_spiral",
    "sinusoid",
]
