"""Scoring of Dask data frames: the same answers as of files, also when a worker is killed."""

from __future__ import annotations

import os
import pickle
import signal
import time
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tfp_mdn
from tfp_mdn import build_mdn, scale
from tfp_mdn.scale import _scoring_model, dask_scoring

NAMES = ["x", "z"]
OPTIONS: dict[str, Any] = {
    **{"features": NAMES, "columns_kept": ["id", "key"], "target": "y", "quantiles": [0.1, 0.5]}
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model"
    tfp_mdn.save(build_mdn(3, input_size=2, seed=0), path)
    return path


def write(folder: Path, num_files: int, file_rows: int) -> Path:
    """Write files of one row group each, which Dask makes partitions of."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for place in range(num_files):
        table = pd.DataFrame(rng.normal(size=(file_rows, 3)), columns=["x", "z", "y"])
        number = np.arange(file_rows) + place * file_rows
        table = table.assign(id=number, key=number.astype(str))
        table.to_parquet(folder / f"{place:03d}.parquet")
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "in", 3, 40)


def as_frame(table: Any) -> pd.DataFrame:
    """Return an Arrow table as pandas, lists as fixed-size lists of Arrow."""
    frame: pd.DataFrame = table.to_pandas(
        types_mapper=lambda kind: pd.ArrowDtype(kind) if pa.types.is_nested(kind) else None
    )
    return frame


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_answers_are_those_of_score_parquet_to_the_last_bit(
    saved: Path, source: Path, tmp_path: Path, scheduler: str
) -> None:
    scale.score_parquet(saved, source, tmp_path / "out", **OPTIONS)
    scored = scale.score_dask(saved, dd.read_parquet(source), **OPTIONS)
    assert scored.npartitions == 3
    found = scored.compute(scheduler=scheduler)
    # What was promised is what came.
    pd.testing.assert_series_equal(found.dtypes, scored._meta.dtypes)
    expected = as_frame(pq.read_table(tmp_path / "out"))
    # Dask keeps the index of the partitions, and the type that it gives to text.
    expected = expected.set_index(found.index).astype({"key": found["key"].dtype})
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_index_and_divisions_stay(saved: Path) -> None:
    rows = pd.DataFrame(np.ones((10, 2)), columns=NAMES, index=pd.Index(range(5, 15), name="n"))
    scored = scale.score_dask(saved, dd.from_pandas(rows, npartitions=2), features=NAMES)
    assert scored.divisions == (5, 10, 14)
    pd.testing.assert_index_equal(scored.compute(scheduler="synchronous").index, rows.index)


def test_empty_partitions(saved: Path) -> None:
    rows = pd.DataFrame(np.linspace(-1, 1, 8).reshape(4, 2), columns=NAMES)
    frame = dd.from_pandas(rows, npartitions=2)
    scored = scale.score_dask(saved, frame[frame["x"] > 0.0], features=NAMES)
    found = scored.compute(scheduler="synchronous")
    assert found.index.tolist() == [2, 3]
    pd.testing.assert_series_equal(found.dtypes, scored._meta.dtypes)


# Dask 2026.8 calls pandas 3.1 in a way that the latter is going to drop.
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.set_index is deprecated")
def test_scored_frame_is_written_and_read(saved: Path, source: Path, tmp_path: Path) -> None:
    scored = scale.score_dask(saved, dd.read_parquet(source), **OPTIONS)
    scored.to_parquet(tmp_path / "out", compute_kwargs={"scheduler": "synchronous"})
    table = pq.read_table(tmp_path / "out")
    assert table.schema.field("weight").type.list_size == 3
    assert table["id"].to_pylist() == list(range(120))


def test_models_in_memory_are_sent_as_they_are(
    saved: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = dd.read_parquet(source)
    expected = scale.score_dask(saved, frame, **OPTIONS).compute(scheduler="synchronous")
    network = tfp_mdn.load(saved)
    scored = scale.score_dask(network, frame, **OPTIONS)
    network.set_weights([0.0 * array for array in network.get_weights()])
    monkeypatch.setattr(dask_scoring, "_SCORERS", {})  # as in a process of its own
    pd.testing.assert_frame_equal(scored.compute(scheduler="synchronous"), expected)
    changed = scale.score_dask(network, frame, **OPTIONS)
    assert changed._name != scored._name
    assert not np.allclose(changed["y_mean"].compute(scheduler="synchronous"), expected["y_mean"])


def test_each_process_loads_a_model_once(
    saved: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = scale.score_dask(saved, dd.read_parquet(source), **OPTIONS)
    loaded = []
    load = _scoring_model.load_model

    def count(*arguments: Any) -> Any:
        loaded.append(arguments)
        return load(*arguments)

    monkeypatch.setattr(dask_scoring, "_SCORERS", {})
    monkeypatch.setattr(dask_scoring, "load_model", count)
    scored.compute(scheduler="threads")
    assert len(loaded) == 1
    for levels in ([0.1], [0.2], [0.3], [0.4], [0.5]):
        scale.score_dask(saved, dd.read_parquet(source), features=NAMES, quantiles=levels)
    assert len(dask_scoring._SCORERS) == 4


def test_another_model_at_the_path_is_noticed(
    saved: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tfp_mdn.save(tfp_mdn.load(saved), tmp_path / "model")
    scored = scale.score_dask(tmp_path / "model", dd.read_parquet(source), features=NAMES)
    tfp_mdn.save(build_mdn(3, input_size=2, seed=1), tmp_path / "model")
    monkeypatch.setattr(dask_scoring, "_SCORERS", {})
    with pytest.raises(ValueError, match="holds another model than when score_dask was called"):
        scored.compute(scheduler="synchronous")


def test_what_is_sent_is_small_and_plain(saved: Path, source: Path) -> None:
    scored = scale.score_dask(saved, dd.read_parquet(source), **OPTIONS)
    assert len(pickle.dumps(scored.__dask_graph__())) < 20_000


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"frame": pd.DataFrame({"x": [1.0]})}, TypeError, "frame must be a dask.dataframe.DataFrame"),
    ({"features": None}, ValueError, "features must name the columns"),
    ({"features": ["x", "nix"]}, ValueError, "frame has no column 'nix'"),
    ({"features": ["x"]}, ValueError, "takes 2 features, and the names of 1"),
    ({"columns_kept": ["nix"]}, ValueError, "frame has no column 'nix'"),
    ({"quantiles": 1.5}, ValueError, "quantiles must be levels strictly between 0 and 1"),
    ({"model": "nowhere"}, FileNotFoundError, "there is no saved model at nowhere"),
    ({"model": 7}, TypeError, "model must be a tf_keras model"),
]


@pytest.mark.parametrize(("changed", "kind", "message"), BAD)
def test_bad_arguments(
    saved: Path, source: Path, changed: dict[str, Any], kind: type[Exception], message: str
) -> None:
    given = {"model": saved, "frame": dd.read_parquet(source), "features": NAMES, **changed}
    with pytest.raises(kind, match=message):
        scale.score_dask(given.pop("model"), given.pop("frame"), **given)


def test_bad_values_are_told_with_their_index(saved: Path) -> None:
    rows = pd.DataFrame(np.ones((10, 2)), columns=NAMES, index=list("abcdefghij"))
    rows.loc["g", "z"] = np.nan
    scored = scale.score_dask(saved, dd.from_pandas(rows, npartitions=2), features=NAMES)
    message = "the partition with index 'f' to 'j': the value of 'z' is missing in row 'g'"
    with pytest.raises(ValueError, match=message):
        scored.compute(scheduler="synchronous")


def test_cluster_that_loses_a_worker(saved: Path, tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    source = write(tmp_path / "in", 8, 20_000)
    scale.score_parquet(saved, source, tmp_path / "whole", **OPTIONS)
    scored = scale.score_dask(saved, dd.read_parquet(source), **OPTIONS)
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=str(tmp_path / "dask"),
        ) as cluster,
        Client(cluster) as client,
    ):
        victim = client.run(os.getpid)[min(client.scheduler_info()["workers"])]
        running = client.compute(
            scored.to_parquet(tmp_path / "out", write_metadata_file=False, compute=False)
        )
        until = time.monotonic() + 240.0
        while len(list((tmp_path / "out").glob("*.parquet"))) < 1:
            assert time.monotonic() < until, f"nothing was written: {running}"
            assert running.status == "pending", running
            time.sleep(0.01)
        assert len(list((tmp_path / "out").glob("*.parquet"))) < 8
        os.kill(victim, signal.SIGKILL)
        running.result(timeout=240.0)
        assert victim not in client.run(os.getpid).values()
    found = pq.read_table(tmp_path / "out").drop_columns("__null_dask_index__")
    expected = pq.read_table(tmp_path / "whole")
    assert found["id"].to_pylist() == list(range(160_000))
    for name in expected.column_names:
        assert found[name].cast(expected[name].type).equals(expected[name]), name
