"""The mixture layer that goes with a name of a covariance structure."""

from __future__ import annotations

from typing import Any

from tfp_mdn.layers._head import MixtureHead
from tfp_mdn.layers.multivariate import MixtureMultivariateNormal
from tfp_mdn.layers.normal import MixtureNormal

__all__ = ["head_class"]

_HEADS: dict[str, type[MixtureHead]] = {
    "diag": MixtureNormal,
    "full": MixtureMultivariateNormal,
}


def head_class(covariance_type: Any) -> type[MixtureHead]:
    """Return the layer for components with independent ("diag") or dependent ("full") dimensions.

    Raises:
        ValueError: If `covariance_type` is something else.

    Example:
        >>> head_class("full").__name__
        'MixtureMultivariateNormal'
    """
    if not isinstance(covariance_type, str) or covariance_type not in _HEADS:
        msg = f"covariance_type must be 'diag' or 'full', got {covariance_type!r}."
        raise ValueError(msg)
    return _HEADS[covariance_type]
