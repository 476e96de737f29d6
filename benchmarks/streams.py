"""What training on files larger than memory takes: memory, time and score.

`python benchmarks/streams.py` writes 1e6 and 1e7 rows of eight inputs as Parquet to a temporary
folder and trains a network of two layers of 32 units on each with `scale.fit_shards` in a fresh
process, one epoch: peak memory, rows per second of processor time, and the held-out score in nats.
What imports alone take is told apart. Then it trains on 1e5 rows from files and, on the same rows,
with `MDNRegressor` in memory, and scores both on 50,000 fresh rows beside the true density.
`--rows 1e5,1e6` names other sizes; `--only memory` or `--only score` does one of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet
from scipy.special import logsumexp

NUM_INPUTS = 8
NOISE = 0.2
ROWS_A_FILE = 250_000
NAMES = [f"x{place}" for place in range(NUM_INPUTS)]
SEEDS = range(3)
SMALL = {"epochs": 1, "hidden_units": (32, 32), "num_intervals": 8}

# Runs in a process of its own, so that its peak is that of the training alone.
WORKER = """
import json, resource, sys, time
import tfp_mdn.scale.fitting as fitting
floor = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time(), time.perf_counter()
options = json.loads(sys.argv[2])
model = fitting.fit_shards(sys.argv[1], target="y", **options)
taken = time.process_time() - start[0], time.perf_counter() - start[1]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if len(sys.argv) > 3:
    model.save(sys.argv[3])
print(json.dumps({"floor": floor, "peak": peak, "processor": taken[0], "wall": taken[1],
                  "rows": model.num_rows_, "score": min(model.history_["val_loss"])}))
"""


def branches(x: np.ndarray) -> np.ndarray:
    """Return the two means of y, (n, 2), at inputs (n, 8); each has probability one half."""
    wave = np.sin(2.0 * x[:, 0])
    return np.column_stack([wave + x[:, 1], -wave - x[:, 2]])


def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=(n, NUM_INPUTS))
    mean = branches(x)[np.arange(n), rng.integers(2, size=n)]
    return x, mean + NOISE * rng.normal(size=n)


def true_score(x: np.ndarray, y: np.ndarray) -> float:
    """Return the negative log-likelihood under the density that rows are drawn from, in nats."""
    z = (y[:, np.newaxis] - branches(x)) / NOISE
    densities = -0.5 * z**2 - np.log(2.0 * NOISE * np.sqrt(2.0 * np.pi))
    return float(-logsumexp(densities, axis=1).mean())


def write(folder: Path, num_rows: int, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for place, first in enumerate(range(0, num_rows, ROWS_A_FILE)):
        x, y = draw(min(ROWS_A_FILE, num_rows - first), rng)
        columns = dict(zip([*NAMES, "y"], [*x.T, y], strict=True))
        parquet.write_table(
            pa.table(columns), folder / f"part-{place:04d}.parquet", row_group_size=50_000
        )
    return folder


def train(*arguments: object) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", WORKER, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare_memory(sizes: list[int]) -> None:
    print(
        "| rows | on disk | peak memory | of it, imports | CPU s | wall s | rows per CPU s | nats |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for num_rows in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            folder = write(Path(scratch, "rows"), num_rows, seed=0)
            on_disk = sum(file.stat().st_size for file in folder.iterdir())
            got = train(folder, json.dumps(SMALL))
        print(
            f"| {num_rows:.0e} | {on_disk / 1e6:.0f} MB | {got['peak'] / 1e3:.0f} MB "
            f"| {got['floor'] / 1e3:.0f} MB | {got['processor']:.0f} | {got['wall']:.0f} "
            f"| {num_rows / got['processor']:.0f} | {got['score']:.4f} |",
            flush=True,
        )


def compare_scores() -> None:
    from tfp_mdn.estimator import MDNRegressor

    x_test, y_test = draw(50_000, np.random.default_rng(1000))
    limit = true_score(x_test, y_test)
    print(f"\n1e5 rows, nats on 50,000 fresh ones; the true density has {limit:.4f}")
    print("| seed | files, 20 epochs | in memory, one network | in memory, five networks |")
    print("|---:|---:|---:|---:|")
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as scratch:
            folder = write(Path(scratch, "rows"), 100_000, seed)
            options = {"epochs": 20, "seed": seed, "batch_size": 256}
            train(folder, json.dumps(options), Path(scratch, "model"))
            streamed = MDNRegressor.load(Path(scratch, "model"))
        x, y = draw(100_000, np.random.default_rng(seed))
        models = [MDNRegressor(ensemble_size=size, random_state=seed).fit(x, y) for size in (1, 5)]
        del streamed.feature_names_in_
        scores = [-model.log_prob(x_test, y_test).mean() for model in [streamed, *models]]
        print(f"| {seed} | {' | '.join(f'{score:.4f}' for score in scores)} |", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="1e6,1e7", help="numbers of rows, with commas")
    parser.add_argument("--only", choices=["memory", "score"])
    chosen = parser.parse_args()
    if chosen.only != "score":
        compare_memory([int(float(number)) for number in chosen.rows.split(",")])
    if chosen.only != "memory":
        compare_scores()
