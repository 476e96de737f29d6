"""What the tests of large data share: a table in several Parquet files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet


@pytest.fixture(scope="session")
def write_shards() -> Callable[..., Path]:
    """Return a function that writes rows, (N, columns), as Parquet files of a folder."""

    def write(
        folder: Path, rows: Any, names: list[str], *, num_files: int = 3, group_rows: int = 100
    ) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for place, part in enumerate(np.array_split(np.asarray(rows), num_files)):
            table = pa.table(dict(zip(names, part.T, strict=True)))
            parquet.write_table(table, folder / f"part-{place}.parquet", row_group_size=group_rows)
        return folder

    return write


@pytest.fixture(scope="session")
def table() -> np.ndarray:
    """Return 3000 rows of two inputs and a target whose density has two branches."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 2))
    branch = np.where(rng.random(3000) < 0.5, 1.0, -1.0)
    y = branch * (1.0 + np.abs(x[:, 0])) + 0.1 * rng.normal(size=3000)
    return np.column_stack([x, y])


@pytest.fixture(scope="session")
def shards(
    table: np.ndarray, write_shards: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a folder with `table` in three files, columns "a", "b" and "y"."""
    return write_shards(tmp_path_factory.mktemp("shards") / "rows", table, ["a", "b", "y"])
