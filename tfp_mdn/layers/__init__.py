"""Mixture layers that end a Keras model, so that calling the model returns a distribution."""

from __future__ import annotations

from tfp_mdn.layers._head import DEFAULT_MIN_SCALE, MixtureHead
from tfp_mdn.layers.choice import head_class
from tfp_mdn.layers.multivariate import MixtureMultivariateNormal
from tfp_mdn.layers.normal import MixtureNormal

__all__ = [
    "DEFAULT_MIN_SCALE",
    "MixtureHead",
    "MixtureMultivariateNormal",
    "MixtureNormal",
    "head_class",
]
