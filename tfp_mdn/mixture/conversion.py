"""Mixture parameters as plain JSON-able dictionaries and as tidy tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tfp_mdn._validation import FloatArray, as_float_array, as_whole_number

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SIZES", "as_shape", "from_dict", "table", "to_dataframe", "to_dict"]

SIZES = ("num_inputs", "num_components", "event_size")


def to_dict(
    weights: FloatArray,
    means: FloatArray,
    variances: FloatArray,
    covariances: FloatArray | None = None,
) -> dict[str, Any]:
    """Return sizes and arrays as plain numbers and lists.

    The sizes are written out because the nested lists of an empty array have no shape.

    Args:
        weights: Component weights (N, K).
        means: Component means (N, K, D).
        variances: Component variances (N, K, D).
        covariances: Component covariances (N, K, D, D), or None.
    """
    return {
        **dict(zip(SIZES, means.shape, strict=True)),
        "weights": weights.tolist(),
        "means": means.tolist(),
        "variances": variances.tolist(),
        "covariances": None if covariances is None else covariances.tolist(),
    }


def from_dict(
    data: Mapping[str, Any],
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray | None]:
    """Return the arrays (weights, means, variances, covariances) that `to_dict` wrote.

    Raises:
        TypeError: If `data` is not a mapping, or an entry does not hold real numbers.
        ValueError: If an entry is missing, or an array has another shape than the sizes say.
    """
    if not isinstance(data, Mapping):
        msg = f"data must be a mapping such as to_dict() returns, got {type(data).__name__}."
        raise TypeError(msg)
    missing = {*SIZES, "weights", "means", "variances"} - data.keys()
    if missing:
        msg = f"data must have the entries that to_dict() writes; missing: {sorted(missing)}."
        raise ValueError(msg)
    num_inputs, num_components, event_size = (
        as_whole_number(name, data[name], minimum=0 if name == "num_inputs" else 1)
        for name in SIZES
    )
    shape = num_inputs, num_components, event_size
    covariances = None
    if data.get("covariances") is not None:
        covariances = as_shape("covariances", data["covariances"], (*shape, event_size))
    return (
        as_shape("weights", data["weights"], shape[:2]),
        as_shape("means", data["means"], shape),
        as_shape("variances", data["variances"], shape),
        covariances,
    )


def to_dataframe(
    weights: FloatArray,
    means: FloatArray,
    variances: FloatArray,
    covariances: FloatArray | None = None,
) -> pd.DataFrame:
    """Return a tidy table with one line for each row and component, (N K, 3 + 2 D) or more.

    Args:
        weights: Component weights (N, K).
        means: Component means (N, K, D).
        variances: Component variances (N, K, D).
        covariances: Component covariances (N, K, D, D), or None.

    Raises:
        ImportError: If pandas is not installed.
    """
    matrices = {} if covariances is None else {"covariance": covariances}
    return table(weights, {"mean": means, "variance": variances}, matrices)


def table(
    weights: FloatArray,
    parts: Mapping[str, FloatArray],
    matrices: Mapping[str, FloatArray] | None = None,
) -> pd.DataFrame:
    """Return a tidy table of weights and other parameters, with a column for each dimension.

    Args:
        weights: Component weights (N, K).
        parts: Parameters (N, K, D) by name.
        matrices: Parameters (N, K, D, D) by name, with a column for each pair of dimensions.

    Raises:
        ImportError: If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        msg = 'to_dataframe needs pandas: pip install "tfp-mdn[cli]"'
        raise ImportError(msg) from error
    num_inputs, num_components = weights.shape
    columns = {
        "row": np.repeat(np.arange(num_inputs), num_components),
        "component": np.tile(np.arange(num_components), num_inputs),
        "weight": weights.ravel(),
    }
    for name, values in parts.items():
        for d in range(values.shape[-1]):
            columns[f"{name}_{d}"] = values[..., d].ravel()
    for name, values in (matrices or {}).items():
        for i, j in zip(*np.triu_indices(values.shape[-1], k=1), strict=True):
            columns[f"{name}_{i}_{j}"] = values[..., i, j].ravel()
    return pd.DataFrame(columns)


def as_shape(name: str, value: Any, shape: tuple[int, ...]) -> FloatArray:
    """Return an array of the shape that the sizes say."""
    array = as_float_array(name, value)
    if array.size == 0 and 0 in shape:
        return np.zeros(shape)
    if array.shape != shape:
        msg = f"{name} must have shape {shape} as the sizes in data say, got {array.shape}."
        raise ValueError(msg)
    return array
