"""Mathematics of conditional mixtures on NumPy arrays."""

from tfp_mdn.mixture import scores
from tfp_mdn.mixture.family_mixture import FamilyMixture
from tfp_mdn.mixture.parameters import MixtureParameters

__all__ = ["FamilyMixture", "MixtureParameters", "scores"]
