"""Rows per second and peak memory of scoring Parquet files, beside other ways to do it.

`python benchmarks/scoring.py` writes files of random rows to a temporary folder, scores them in
each way, every time in a fresh process, and prints a table in Markdown. All ways read four features
in double precision, run the same network (two layers of 64 units, ten components), and write key,
weights, means, variances, mean and standard deviation of each row; `score_parquet` does it once
more with three quantiles beside them. The naive way reads all rows with pandas and calls the model
on them at once, as examples do; it is left out where `--naive-rows` says that it would fill the
memory.

Times are those of the work, from loading the model to the last file, without imports. Processor
time says more than wall time on a busy machine. Memory is the largest resident set, TensorFlow
itself included, summed over the processes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd

FEATURES = ["a", "b", "c", "d"]
FILE_ROWS, GROUP_ROWS = 1_000_000, 100_000
QUANTILES = (0.05, 0.5, 0.95)
NAIVE = "pandas and model(x)"


def with_score_parquet(folder: Path, *, workers: int, quantiles: tuple[float, ...] = ()) -> None:
    """Score as the library does."""
    from tfp_mdn import scale

    scale.score_parquet(
        folder / "model",
        folder / "in",
        folder / "out",
        features=FEATURES,
        columns_kept=["id"],
        quantiles=quantiles,
        workers=workers,
    )


def naively(folder: Path) -> None:
    """Score all rows at once, as one would without this package's extraction."""
    import tfp_mdn

    table = pd.read_parquet(folder / "in")
    model = tfp_mdn.load(folder / "model")
    distribution = model(table[FEATURES].to_numpy())
    components = distribution.components_distribution
    table = table[["id"]].assign(
        weight=list(distribution.mixture_distribution.probs_parameter().numpy()),
        mean_0=list(components.mean().numpy()[..., 0]),
        variance_0=list(components.variance().numpy()[..., 0]),
        y_mean=distribution.mean().numpy()[:, 0],
        y_stddev=distribution.stddev().numpy()[:, 0],
    )
    (folder / "out").mkdir()
    table.to_parquet(folder / "out" / "all.parquet")


def with_dask(folder: Path) -> None:
    """Score by Dask, with the scheduler that is set."""
    import dask.dataframe as dd

    from tfp_mdn import scale

    frame = dd.read_parquet(folder / "in", split_row_groups=True)
    scored = scale.score_dask(
        folder / "model", frame, features=FEATURES, columns_kept=["id"], quantiles=()
    )
    scored.to_parquet(folder / "out")


def usage() -> tuple[float, float]:
    """Return CPU seconds and the largest resident set, in MB (Linux counts in KiB)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return time.process_time(), peak * 1024 / 1e6


def with_dask_processes(folder: Path, num_workers: int) -> list[tuple[float, float]]:
    """Score by Dask in processes, and return what each used."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=num_workers, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        with_dask(folder)
        return list(client.run(usage).values())


WAYS: dict[str, Any] = {
    "`score_parquet`": lambda folder: with_score_parquet(folder, workers=1),
    "`score_parquet`, 2 workers": lambda folder: with_score_parquet(folder, workers=2),
    "`score_parquet`, 3 quantiles": lambda folder: with_score_parquet(
        folder, workers=1, quantiles=QUANTILES
    ),
    "`score_parquet`, 3 quantiles, 2 workers": lambda folder: with_score_parquet(
        folder, workers=2, quantiles=QUANTILES
    ),
    NAIVE: naively,
    "`score_dask`, threads": with_dask,
    "`score_dask`, 2 processes": lambda folder: with_dask_processes(folder, 2),
}


def work(way: str, folder: Path) -> None:
    """Score in one way, and print what it took as JSON."""
    import tensorflow as tf

    import tfp_mdn.estimator  # noqa: F401  imports are not part of the work

    tf.zeros(())
    cpu, wall = time.process_time(), time.perf_counter()
    others = WAYS[way](folder) or []
    seconds = time.perf_counter() - wall
    own = usage()
    print(
        json.dumps(
            {
                "wall": seconds,
                "cpu": own[0] - cpu + sum(used[0] for used in others),
                "megabytes": own[1] + sum(used[1] for used in others),
            }
        )
    )


def prepare(folder: Path, num_rows: int) -> None:
    """Write model and files."""
    import tfp_mdn

    tfp_mdn.save(tfp_mdn.build_mdn(10, input_size=len(FEATURES), seed=0), folder / "model")
    (folder / "in").mkdir()
    rng = np.random.default_rng(0)
    for start in range(0, num_rows, FILE_ROWS):
        size = min(FILE_ROWS, num_rows - start)
        rows = pd.DataFrame(rng.normal(size=(size, len(FEATURES))), columns=FEATURES)
        rows.insert(0, "id", np.arange(start, start + size))
        rows.to_parquet(folder / "in" / f"{start:012d}.parquet", row_group_size=GROUP_ROWS)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 5_000_000])
    parser.add_argument("--naive-rows", type=int, default=1_000_000)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="WAY")
    parser.add_argument("--worker", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker[0], Path(options.worker[1]))
        return
    print("| rows | way | CPU s | rows per CPU s | wall s | rows per s | MB |")
    print("|---:|---|---:|---:|---:|---:|---:|", flush=True)
    for num_rows in options.rows:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            prepare(folder, num_rows)
            for way in options.ways:
                if way == NAIVE and num_rows > options.naive_rows:
                    continue
                print(f"| {num_rows:.0e} | {row_of(way, folder, num_rows)} |", flush=True)


def row_of(way: str, folder: Path, num_rows: int) -> str:
    """Score in a fresh process, check the number of rows, and return a row of the table."""
    import shutil

    import pyarrow.dataset as ds

    shutil.rmtree(folder / "out", ignore_errors=True)
    command = [sys.executable, __file__, "--worker", way, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr}")
    cost = json.loads(done.stdout.splitlines()[-1])
    written = ds.dataset(folder / "out").count_rows()
    if written != num_rows:
        raise SystemExit(f"{way} wrote {written} rows of {num_rows}")
    cells = [
        f"{cost['cpu']:.1f}",
        f"{num_rows / cost['cpu']:,.0f}",
        f"{cost['wall']:.1f}",
        f"{num_rows / cost['wall']:,.0f}",
        f"{cost['megabytes']:.0f}",
    ]
    return " | ".join([way, *cells])


if __name__ == "__main__":
    main()
