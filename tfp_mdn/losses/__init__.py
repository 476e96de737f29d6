"""Losses that train a model whose output is a distribution."""

from tfp_mdn.losses.alternatives import BetaNLLLoss, CRPSLoss, crps
from tfp_mdn.losses.likelihood import NegativeLogLikelihood, NLLLoss, negative_log_likelihood

__all__ = [
    "BetaNLLLoss",
    "CRPSLoss",
    "NLLLoss",
    "NegativeLogLikelihood",
    "crps",
    "negative_log_likelihood",
]
