"""Data larger than memory: statistics, training and scoring that read files in blocks.

The names below are loaded when they are first used: `column_statistics` needs no TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfp_mdn.scale.dask_scoring import score_dask
    from tfp_mdn.scale.fitting import fit_shards
    from tfp_mdn.scale.scoring import ScoringSummary, score_parquet
    from tfp_mdn.scale.shards import read_shards
    from tfp_mdn.scale.statistics import ColumnStatistics, column_statistics

__all__ = [
    "ColumnStatistics",
    "ScoringSummary",
    "column_statistics",
    "fit_shards",
    "read_shards",
    "score_dask",
    "score_parquet",
]

_HOMES = {
    "ColumnStatistics": "statistics",
    "ScoringSummary": "scoring",
    "column_statistics": "statistics",
    "fit_shards": "fitting",
    "read_shards": "shards",
    "score_dask": "dask_scoring",
    "score_parquet": "scoring",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"tfp_mdn.scale.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    msg = f"module 'tfp_mdn.scale' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
