"""A process that makes the runs of one method on one data set; `runner` starts it.

TensorFlow keeps memory of every model that it has built, and Keras 2 and 3 each have global state;
a process that ends after a few runs returns the memory and shares no state with other methods.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.scoreboard.classic import CASES, gaps
from benchmarks.scoreboard.data import load_table, split_rows
from benchmarks.scoreboard.methods import METHODS, Method, settings_of
from benchmarks.scoreboard.scoring import score_mean, score_mixture
from benchmarks.scoreboard.store import code_state
from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture import MixtureParameters

__all__ = ["run_classic", "run_table"]


def run_table(
    method: Method, name: str, path: Path, split: int, *, development: bool
) -> dict[str, Any]:
    """Fit on the training rows of a split and score the test rows."""
    table = load_table(name, path)
    train, test = split_rows(len(table.y), split, development=development)
    predicted, times = _fit(method, table.x[train], table.y[train], split, table.x[test])
    if isinstance(predicted, MixtureParameters):
        scores = score_mixture(predicted, table.y[test], table.step)
    else:
        scores = score_mean(predicted, table.y[test])
    return {
        "scores": scores | times,
        "rows": len(table.y),
        "features": table.x.shape[1],
        "step": table.step,
    }


def run_classic(method: Method, name: str, seed: int) -> dict[str, Any]:
    """Fit a classic problem and score fresh rows."""
    case = CASES[name]
    x, y = case.fresh_rows(seed)
    predicted, times = _fit(method, *case.rows(seed), seed, x)
    if not isinstance(predicted, MixtureParameters):
        msg = f"{method.label} predicts no density"
        raise TypeError(msg)
    scores = gaps(case.problem(), predicted, x, y)
    return {"scores": scores | times, "entropy": case.problem().entropy()}


def _fit(
    method: Method, x: FloatArray, y: FloatArray, seed: int, x_test: FloatArray
) -> tuple[MixtureParameters | FloatArray, dict[str, float]]:
    """Return the predictions, and the seconds and CPU seconds that the fit took."""
    for module in method.modules:
        importlib.import_module(module)
    start, cpu_start = time.perf_counter(), time.process_time()
    predict = method.fit(x, y, seed)
    times = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu_start,
    }
    return predict(x_test), times


def _end_with_parent() -> None:
    # Not sys.stdin.read: its lock, held at the interpreter's end, would abort the process.
    while os.read(0, 1):  # nothing more comes; the end means that the parent is gone
        pass
    os._exit(1)


def main() -> None:
    """Read a job from standard input and write a line for each split to standard output."""
    # What libraries print must not get between the results.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    method = METHODS[job["method"]]
    code = {"code": code_state()} if job["method"] == "mdn" else {}
    for split in job["splits"]:
        try:
            if settings_of(method) != job["settings"]:
                msg = "packages or defaults have changed since the command was started; repeat it"
                raise RuntimeError(msg)
            if job["protocol"] == "classic":
                result = run_classic(method, job["data"], split)
            else:
                development = job["protocol"] == "development"
                path = Path(job["path"])
                result = run_table(method, job["data"], path, split, development=development)
        except Exception as error:  # a method that fails on one split still has the others
            result = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
        report = {"split": split, "result": result | code}
        print(json.dumps(report), file=channel, flush=True)


if __name__ == "__main__":
    main()
