"""Executes the notebooks and collects their scores.

`python notebooks/run.py` runs every `NN_name.py` beside this file and writes `NN_name.ipynb` with
its outputs; `python notebooks/run.py 03_noisy_spiral -o build` runs one, into another directory.
A cell that raises ends the run with status 1. The scores, of notebooks that show any, go to
`scores.json` in the same directory; notebooks that were not run keep their entries. On one machine,
with the same packages, they are the same every time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jupytext
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode, validate, write
from scoring import SCORES_KEY

HERE = Path(__file__).resolve().parent

README = HERE.parent / "README.md"

# Far longer than any cell takes; a cell that hangs must not hang the caller.
CELL_TIMEOUT = 600  # seconds

# The same seed gives the same score on one machine. Another processor rounds otherwise; after
# thousands of steps that moves a score, most of all that of a recipe which overfits.
SCORE_TOLERANCE = {"document": 0.1, "build_mdn": 0.03, "MDNRegressor": 0.03}  # nats


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
    names = options.names or list(available)
    for name in names:
        start = time.perf_counter()
        try:
            notebook = execute(available[name])
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        write(notebook, options.output / f"{name}.ipynb")
        found = find_scores(notebook)
        scores.pop(name, None)
        if found:
            scores[name] = found
        scores_path.write_text(json.dumps(dict(sorted(scores.items())), indent=2) + "\n", "utf-8")
        result = found["gap"] if found else "no scores"
        print(f"{name}: {time.perf_counter() - start:.0f} s, {result}", flush=True)
    if options.output.resolve() == HERE:
        write_readme(scores)
    if options.compare is None:
        return 0
    return compare(scores, json.loads(options.compare.read_text("utf-8")), names)


def write_readme(scores: Mapping[str, Any]) -> None:
    """Put the scores into the table of the README."""
    lines = [
        "| notebook | problem | entropy | published recipe | `build_mdn` | `MDNRegressor()` |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for name, score in sorted(scores.items()):
        numbers = " | ".join(f"{nll:.3f}" for nll in [score["entropy"], *score["nll"].values()])
        lines.append(f"| [{name}](notebooks/{name}.ipynb) | {score['problem']} | {numbers} |")
    table = "\n".join(lines)
    marked = r"(<!-- scores: [^\n]*\n).*(<!-- end of scores)"
    text = README.read_text("utf-8")
    README.write_text(re.sub(marked, rf"\1\n{table}\n\n\2", text, flags=re.DOTALL), "utf-8")


def compare(scores: Mapping[str, Any], recorded: Mapping[str, Any], names: Iterable[str]) -> int:
    """Return 1 and say which, if a score is not the recorded one within the tolerance."""
    wrong = []
    for name in names:
        new, old = (known.get(name, {"nll": {}})["nll"] for known in (scores, recorded))
        for recipe in dict.fromkeys([*new, *old]):
            pair = new.get(recipe, math.nan), old.get(recipe, math.nan)
            # Not "greater than": a score that is missing, or NaN, is wrong too.
            if not abs(pair[0] - pair[1]) <= SCORE_TOLERANCE[recipe]:
                wrong.append(f"{name}, {recipe}: {pair[0]} nats, recorded {pair[1]}")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


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
    # Where the kernel flushes what was printed is a matter of time: one stream, not several.
    NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        record_timing=False,
        coalesce_streams=True,
        resources=resources,
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


def find_scores(notebook: NotebookNode) -> dict[str, Any] | None:
    """Return the scores that `scoring.show_scores` attached to an output, or None."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if SCORES_KEY in output.get("metadata", {}):
                return dict(output.metadata[SCORES_KEY])
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Execute the notebooks and collect their scores.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as 03_noisy_spiral; or all")
    parser.add_argument(
        "-o", "--output", type=Path, default=HERE, help="directory to write to (default: here)"
    )
    parser.add_argument("--compare", type=Path, metavar="FILE", help="recorded scores.json")
    return parser


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # On networks this small a second thread costs more than it gains.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    sys.exit(main())
