"""Looks that several pictures share: tints, components by number, legends beside the axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.colors import to_rgb

from tfp_mdn.plotting._style import BLUE, component_style

__all__ = ["BESIDE", "SMALL", "component_looks", "tint"]

# Legends: how they are written, and where one stands that would hide what is drawn.
SMALL: dict[str, Any] = {"fontsize": "small", "frameon": False}
BESIDE: dict[str, Any] = {
    "loc": "upper left",
    "bbox_to_anchor": (1.01, 1.0),
    "borderaxespad": 0.0,
    **SMALL,
}
# Components of which each gets a colour and a name; of more, all get one thin line.
_MOST_COLOURED = 8
_WIDTH, _THIN = 1.4, 0.7


def component_looks(components: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return how each component is drawn and named; of many, none stands out by itself.

    Beyond eight, colours that a legend would have to explain are a tangle: all are thin and
    blue, and the first of them has the label of all.
    """
    if len(components) <= _MOST_COLOURED:
        styles = {k: component_style(k) for k in components}
        return {
            k: {"color": color, "dashes": dashes, "linewidth": _WIDTH, "label": f"component {k}"}
            for k, (color, dashes) in styles.items()
        }
    return {
        k: {"color": BLUE, "linewidth": _THIN, "label": None if i else "components"}
        for i, k in enumerate(components)
    }


def tint(colour: str, share: float) -> tuple[float, float, float]:
    """Return a colour of which the given share is left, thinned with white."""
    red, green, blue = (1.0 - share * (1.0 - value) for value in to_rgb(colour))
    return red, green, blue
