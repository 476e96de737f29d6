"""Mixture layers that end a Keras model, so that calling the model returns a distribution."""

from __future__ import annotations

from tfp_mdn.layers._head import DEFAULT_MIN_SCALE, MixtureHead
from tfp_mdn.layers._independent import IndependentHead
from tfp_mdn.layers.choice import head_class
from tfp_mdn.layers.logistic import MixtureLogistic
from tfp_mdn.layers.lognormal import MixtureLogNormal
from tfp_mdn.layers.multivariate import MixtureMultivariateNormal
from tfp_mdn.layers.normal import MixtureNormal
from tfp_mdn.layers.student_t import MixtureStudentT
from tfp_mdn.layers.truncated_normal import MixtureTruncatedNormal

__all__ = [
    "DEFAULT_MIN_SCALE",
    "IndependentHead",
    "MixtureHead",
    "MixtureLogNormal",
    "MixtureLogistic",
    "MixtureMultivariateNormal",
    "MixtureNormal",
    "MixtureStudentT",
    "MixtureTruncatedNormal",
    "head_class",
]
