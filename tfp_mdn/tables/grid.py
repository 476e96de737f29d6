"""Grids of inputs from what is typed on a command line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfp_mdn._validation import as_real

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["grid_table"]

# More would fill the memory of most machines before a model sees the first row.
_MOST_ROWS = 100_000_000


def grid_table(
    specifications: Sequence[str],
    names: Sequence[str],
    categories: Mapping[str, Sequence[str]] | None = None,
) -> pd.DataFrame:
    """Return every combination of values of the columns, from NAME=START:STOP:COUNT for each.

    Args:
        specifications: One per column; NAME=VALUE holds a column fixed.
        names: The columns of the model, in its order.
        categories: The values that columns which are not numbers may have.

    Raises:
        ValueError: If one cannot be read, a column is missing, unknown or named twice, or the
            grid would be too large.
    """
    import pandas as pd

    known = categories or {}
    axes: dict[str, Any] = {}
    for text in specifications:
        name = _name(text, names)
        if name not in names or name in axes:
            problem = "named twice" if name in axes else "not a feature of the model"
            msg = f"--grid {text!r}: {name!r} is {problem}; the features are {', '.join(names)}."
            raise ValueError(msg)
        value = text[len(name) + 1 :]
        axes[name] = _category(text, value, known[name]) if name in known else _axis(text, value)
    absent = [name for name in names if name not in axes]
    if absent:
        msg = f"--grid must name every feature; {', '.join(absent)} missing."
        raise ValueError(msg)
    num_rows = math.prod(len(axis) for axis in axes.values())
    if num_rows > _MOST_ROWS:
        msg = f"--grid asks for {num_rows} rows, more than {_MOST_ROWS}; make it coarser."
        raise ValueError(msg)
    places = np.meshgrid(*(np.arange(len(axes[name])) for name in names), indexing="ij")
    return pd.DataFrame(
        {name: axes[name][place.ravel()] for name, place in zip(names, places, strict=True)}
    )


def _name(text: str, names: Sequence[str]) -> str:
    """Return the longest of the names that the specification begins with, or what it may mean."""
    fitting = [name for name in names if text.startswith(f"{name}=")]
    return max(fitting, key=len, default=text.rpartition("=")[0])


def _category(text: str, value: str, known: Sequence[str]) -> Any:
    if value not in known:
        msg = f"--grid {text!r}: the model knows {', '.join(map(repr, known))}."
        raise ValueError(msg)
    return np.array([value], dtype=object)


def _axis(text: str, value: str) -> Any:
    parts = value.split(":")
    try:
        if len(parts) == 1:
            return np.array([as_real("VALUE", float(value))])
        start, stop = (as_real("START or STOP", float(number)) for number in parts[:2])
        (number,) = parts[2:]
        count = int(number)
    except ValueError as error:
        msg = f"--grid {text!r} must be NAME=START:STOP:COUNT or NAME=VALUE, of finite numbers."
        raise ValueError(msg) from error
    if count < 1:
        msg = f"--grid {text!r}: COUNT, the number of values, must be at least 1, got {count}."
        raise ValueError(msg)
    if count > _MOST_ROWS:
        msg = f"--grid {text!r} asks for {count} rows, more than {_MOST_ROWS}; make it coarser."
        raise ValueError(msg)
    return np.linspace(start, stop, count)
