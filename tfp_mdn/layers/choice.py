"""The mixture layer that goes with the names of a component and of a covariance structure."""

from __future__ import annotations

from typing import Any

from tfp_mdn._validation import as_choice
from tfp_mdn.layers._head import MixtureHead
from tfp_mdn.layers._independent import IndependentHead
from tfp_mdn.layers.logistic import MixtureLogistic
from tfp_mdn.layers.lognormal import MixtureLogNormal
from tfp_mdn.layers.multivariate import MixtureMultivariateNormal
from tfp_mdn.layers.normal import MixtureNormal
from tfp_mdn.layers.student_t import MixtureStudentT
from tfp_mdn.layers.truncated_normal import MixtureTruncatedNormal

__all__ = ["COMPONENTS", "head_class"]

_INDEPENDENT: dict[str, type[IndependentHead]] = {
    head.component: head
    for head in (
        *(MixtureNormal, MixtureStudentT, MixtureLogistic),
        *(MixtureLogNormal, MixtureTruncatedNormal),
    )
}

COMPONENTS = tuple(_INDEPENDENT)


def head_class(covariance_type: Any = "diag", component: Any = "normal") -> type[MixtureHead]:
    """Return the mixture layer for a kind of component.

    Args:
        covariance_type: "diag": the dimensions of a component are independent; "full": they have a
            covariance matrix, which there is for normal components alone.
        component: "normal", "student_t", "logistic", "lognormal" or "truncated_normal".

    Raises:
        TypeError: If `component` is not a string.
        ValueError: If a name is something else, or both do not go together.

    Example:
        >>> head_class("full").__name__
        'MixtureMultivariateNormal'
        >>> head_class(component="student_t").__name__
        'MixtureStudentT'
    """
    as_choice("component", component, COMPONENTS)
    if not isinstance(covariance_type, str) or covariance_type not in ("diag", "full"):
        msg = f"covariance_type must be 'diag' or 'full', got {covariance_type!r}."
        raise ValueError(msg)
    if covariance_type == "diag":
        return _INDEPENDENT[component]
    if component != "normal":
        msg = (
            f"covariance_type='full' needs component='normal', got {component!r}. Use "
            "covariance_type='diag', where several components can follow a correlation."
        )
        raise ValueError(msg)
    return MixtureMultivariateNormal
