"""Makes the runs that are not yet stored, each method and data set in processes of its own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO, Any

from benchmarks.scoreboard.store import Key, Store

__all__ = ["execute"]

_ROOT = Path(__file__).resolve().parents[2]

# A process imports TensorFlow first, which takes seconds, and ends before memory runs out.
_RUNS_PER_PROCESS = 5


@dataclass
class _State:
    """What the threads share; `lock` guards all of it."""

    store: Store
    total: int
    lock: threading.Lock
    processes: set[subprocess.Popen[str]]
    done: int = 0
    stopped: bool = False


def execute(
    keys: Sequence[Key],
    store: Store,
    *,
    paths: Mapping[str, Path],
    jobs: int,
    threads: int,
) -> None:
    """Make runs and store each result as soon as it is there.

    Args:
        keys: The runs; those of one method and data set stand together.
        store: Where results go.
        paths: File of each table by name.
        jobs: Processes at a time.
        threads: Threads of each.

    Raises:
        KeyboardInterrupt: After the processes were ended; finished runs are stored.
    """
    state = _State(store, len(keys), threading.Lock(), set())
    pending: queue.SimpleQueue[list[Key]] = queue.SimpleQueue()
    for _, group in groupby(keys, lambda key: key.cell):
        runs = list(group)
        for start in range(0, len(runs), _RUNS_PER_PROCESS):
            pending.put(runs[start : start + _RUNS_PER_PROCESS])

    def work() -> None:
        while not state.stopped:
            try:
                runs = pending.get_nowait()
            except queue.Empty:
                return
            _run_process(runs, state, paths, threads)

    workers = [threading.Thread(target=work) for _ in range(jobs)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    except KeyboardInterrupt:
        with state.lock:
            state.stopped = True
            for process in state.processes:
                process.kill()
        raise


def _run_process(runs: list[Key], state: _State, paths: Mapping[str, Path], threads: int) -> None:
    """Start a process for these runs and store what it reports."""
    first = runs[0]
    job = {
        "protocol": first.protocol,
        "data": first.data,
        "path": str(paths.get(first.data, "")),
        "method": first.method,
        "settings": first.settings,
        "splits": [key.split for key in runs],
    }
    waiting = {key.split: key for key in runs}
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        with state.lock:
            if state.stopped:
                return
            process = _start(log, threads)
            state.processes.add(process)
        assert process.stdin is not None
        assert process.stdout is not None
        # A process that could not even start says why in its log. Its input is left open: the end
        # of it tells the process that this one is gone.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
        for line in process.stdout:
            report = json.loads(line)
            _keep(waiting.pop(report["split"]), report["result"], state)
        status = process.wait()
        with state.lock:
            state.processes.remove(process)
        log.seek(0)
        # A signal ends a process without a word; the last one is then about something else.
        last_lines = log.read().strip().splitlines()[-1:] if status > 0 else []
    if not state.stopped:
        error = ": ".join([f"the process ended with status {status}", *last_lines])[:200]
        for key in waiting.values():
            _keep(key, {"error": error}, state)


def _start(log: IO[str], threads: int) -> subprocess.Popen[str]:
    limits = ("TF_NUM_INTRAOP", "OMP_NUM", "OPENBLAS_NUM", "MKL_NUM")
    environment = os.environ | {f"{limit}_THREADS": str(threads) for limit in limits}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # keras-mdn-layer runs on whatever backend Keras 3 is set to.
    environment.setdefault("KERAS_BACKEND", "tensorflow")
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.scoreboard.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=environment,
        # Ctrl-C is for this process alone, which then ends the others.
        start_new_session=True,
    )


def _keep(key: Key, result: dict[str, Any], state: _State) -> None:
    """Store a result and say so."""
    with state.lock:
        state.store.append(key, result)
        state.done += 1
        if "error" in result:
            outcome = f"FAILED: {result['error']}"
        else:
            scores = result["scores"]
            name = next(name for name in ("gap", "nll", "rmse") if name in scores)
            outcome = f"{name} {scores[name]:.3f} ({scores['seconds']:.1f} s)"
        what = "seed" if key.protocol == "classic" else "split"
        counter = f"[{state.done}/{state.total}]"
        print(f"{counter} {key.data}, {what} {key.split}, {key.method}: {outcome}", flush=True)
