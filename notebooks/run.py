"""Executes the notebooks and collects their scores.

`python notebooks/run.py` runs every `NN_name.py` beside this file and writes `NN_name.ipynb` with
its outputs; `python notebooks/run.py 03_noisy_spiral -o build` runs one, into another directory.
A cell that raises ends the run with status 1. The scores go to `scores.json` in the same
directory; notebooks that were not run keep their entries. On one machine, with the same packages,
they are the same every time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jupytext
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode, validate, write
from scoring import SCORES_KEY

HERE = Path(__file__).resolve().parent

# Far longer than any cell takes; a cell that hangs must not hang the caller.
CELL_TIMEOUT = 600  # seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the notebooks that the command line names, or all; return the exit status."""
    options = _parser().parse_args(arguments)
    available = {path.stem: path for path in sorted(HERE.glob("[0-9]*_*.py"))}
    unknown = sorted(set(options.names) - set(available))
    if unknown:
        known = ", ".join(available)
        print(f"no such notebook: {', '.join(unknown)}; there are {known}", file=sys.stderr)
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    scores_path = options.output / "scores.json"
    scores = json.loads(scores_path.read_text("utf-8")) if scores_path.exists() else {}
    for name in options.names or available:
        start = time.perf_counter()
        try:
            notebook = execute(available[name])
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        write(notebook, options.output / f"{name}.ipynb")
        scores[name] = find_scores(notebook)
        scores_path.write_text(json.dumps(dict(sorted(scores.items())), indent=2) + "\n", "utf-8")
        print(f"{name}: {time.perf_counter() - start:.0f} s, {scores[name]['gap']}", flush=True)
    return 0


def execute(source: Path) -> NotebookNode:
    """Return the notebook of a percent-format Python file, executed in a fresh kernel.

    What differs from one execution or machine to the next is left out: random cell names, times,
    versions, log lines.

    Raises:
        CellExecutionError: If a cell raises.
    """
    notebook: NotebookNode = jupytext.read(source)
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
    }
    resources = {"metadata": {"path": str(source.parent)}}
    NotebookClient(
        notebook, timeout=CELL_TIMEOUT, record_timing=False, resources=resources
    ).execute()
    notebook.metadata["language_info"] = {"name": "python"}
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number:02d}"
        cell.metadata = {}
        if cell.cell_type == "code":
            # TensorFlow writes start-up lines there at every log level.
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    validate(notebook)
    return notebook


def find_scores(notebook: NotebookNode) -> dict[str, Any]:
    """Return the scores that `scoring.show_scores` attached to an output of the notebook.

    Raises:
        ValueError: If there are none.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if SCORES_KEY in output.get("metadata", {}):
                return dict(output.metadata[SCORES_KEY])
    msg = "the notebook shows no scores; it must end in a call of scoring.show_scores."
    raise ValueError(msg)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Execute the notebooks and collect their scores.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as 03_noisy_spiral; or all")
    parser.add_argument(
        "-o", "--output", type=Path, default=HERE, help="directory to write to (default: here)"
    )
    return parser


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # On networks this small a second thread costs more than it gains.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    sys.exit(main())
