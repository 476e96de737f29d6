"""Mixtures of any family as plain dictionaries, as tidy tables, and joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tfp_mdn._validation import FloatArray, as_whole_number
from tfp_mdn.mixture.conversion import SIZES, as_shape, table

if TYPE_CHECKING:
    import pandas as pd

    from tfp_mdn.mixture._family_arrays import FamilyArrays

__all__ = ["from_dict", "joined", "to_dataframe", "to_dict"]

Fields = tuple[str, FloatArray, FloatArray, FloatArray, FloatArray | None]


def to_dict(
    family: str,
    weights: FloatArray,
    locs: FloatArray,
    scales: FloatArray,
    df: FloatArray | None,
) -> dict[str, Any]:
    """Return family, sizes and arrays as plain text, numbers and lists.

    Args:
        family: Kind of the components.
        weights: Component weights (N, K).
        locs: Locations (N, K, D).
        scales: Scales (N, K, D).
        df: Degrees of freedom (N, K, D), or None.
    """
    return {
        "family": family,
        **dict(zip(SIZES, locs.shape, strict=True)),
        "weights": weights.tolist(),
        "locs": locs.tolist(),
        "scales": scales.tolist(),
        "df": None if df is None else df.tolist(),
    }


def from_dict(data: Mapping[str, Any]) -> Fields:
    """Return the fields (family, weights, locs, scales, df) that `to_dict` wrote.

    Raises:
        TypeError: If `data` is not a mapping, or an entry does not hold real numbers.
        ValueError: If an entry is missing, or an array has another shape than the sizes say.
    """
    if not isinstance(data, Mapping):
        msg = f"data must be a mapping such as to_dict() returns, got {type(data).__name__}."
        raise TypeError(msg)
    missing = {"family", *SIZES, "weights", "locs", "scales"} - data.keys()
    if missing:
        msg = f"data must have the entries that to_dict() writes; missing: {sorted(missing)}."
        raise ValueError(msg)
    shape = tuple(
        as_whole_number(name, data[name], minimum=0 if name == "num_inputs" else 1)
        for name in SIZES
    )
    df = None if data.get("df") is None else as_shape("df", data["df"], shape)
    return (
        data["family"],
        as_shape("weights", data["weights"], shape[:2]),
        as_shape("locs", data["locs"], shape),
        as_shape("scales", data["scales"], shape),
        df,
    )


def to_dataframe(
    weights: FloatArray, locs: FloatArray, scales: FloatArray, df: FloatArray | None
) -> pd.DataFrame:
    """Return a tidy table with one line for each row and component.

    Args:
        weights: Component weights (N, K).
        locs: Locations (N, K, D).
        scales: Scales (N, K, D).
        df: Degrees of freedom (N, K, D), or None.

    Raises:
        ImportError: If pandas is not installed.
    """
    parts = {"loc": locs, "scale": scales} | ({} if df is None else {"df": df})
    return table(weights, parts)


def joined(parts: Iterable[FamilyArrays], kind: type[FamilyArrays]) -> Fields:
    """Return the fields of the rows of several mixtures that agree in family, K and D.

    Args:
        parts: The mixtures.
        kind: The class that they have to be of.

    Raises:
        TypeError: If a part is of another class.
        ValueError: If there is no part, or the parts do not agree.
    """
    if not isinstance(parts, Iterable):
        msg = f"parts must be a sequence of FamilyMixture, got {type(parts).__name__}."
        raise TypeError(msg)
    parts = list(parts)
    if not parts:
        msg = "parts must hold at least one FamilyMixture, got none."
        raise ValueError(msg)
    for i, part in enumerate(parts):
        if not isinstance(part, kind):
            msg = f"parts[{i}] must be a FamilyMixture, got {type(part).__name__}."
            raise TypeError(msg)
        layout = part.family, *part.locs.shape[1:]
        if layout != (parts[0].family, *parts[0].locs.shape[1:]):
            msg = (
                "parts must agree in family, num_components and event_size, "
                f"got {parts[0]!r} first and {part!r} as parts[{i}]."
            )
            raise ValueError(msg)
    degrees = [part.df for part in parts if part.df is not None]
    return (
        parts[0].family,
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.locs for part in parts]),
        np.concatenate([part.scales for part in parts]),
        np.concatenate(degrees) if degrees else None,
    )
