"""Mathematics of conditional Gaussian mixtures on NumPy arrays."""

from tfp_mdn.mixture import scores
from tfp_mdn.mixture.parameters import MixtureParameters

__all__ = ["MixtureParameters", "scores"]
