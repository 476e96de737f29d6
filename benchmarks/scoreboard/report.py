"""Results as Markdown tables: a row for each data set, a column for each method."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.scoreboard.classic import CASES
from benchmarks.scoreboard.methods import METHODS
from benchmarks.scoreboard.published import PUBLISHED
from benchmarks.scoreboard.scoring import COVERAGES
from benchmarks.scoreboard.store import Key

__all__ = ["markdown"]

Results = Mapping[Key, dict[str, Any]]
Scores = list[dict[str, float]]

_TITLES = {
    "classic": "Classic problems",
    "test": "Tables",
    "development": "Tables, development: test rows not touched, training rows split again",
}


def markdown(results: Results) -> str:
    """Return the report on results; it says what was measured and what failed."""
    parts = [
        _section(
            protocol, {key: result for key, result in results.items() if key.protocol == protocol}
        )
        for protocol in _TITLES
        if any(key.protocol == protocol for key in results)
    ]
    return "\n\n".join(parts) + "\n"


def _section(protocol: str, results: Results) -> str:
    """Return the tables, the legend and the published figures of one protocol."""
    if protocol == "classic":
        tables = [
            (
                "Mean NLL of 20000 fresh rows minus the entropy, the best possible score; nats, "
                "mean ± standard error over seeds.",
                _mean("gap", 3),
            ),
            (
                "The same minus the NLL of the true density on the same rows, so that the luck of "
                "the rows cancels.",
                _mean("gap_paired", 4),
            ),
        ]
    else:
        percent = " / ".join(map(str, COVERAGES))
        tables = [
            (
                "NLL of the held-out rows, nats; mean ± standard error (median) over splits.",
                _mean("nll", 2, median=True),
            ),
            (
                "Interval NLL, −log of P(y ± ½ step) / step, where the targets lie on a lattice.",
                _mean("interval_nll", 2, median=True),
            ),
            ("CRPS, in units of the target.", _mean("crps", 3)),
            ("RMSE of the mean, in units of the target.", _mean("rmse", 3)),
            (f"Targets inside the central {percent} % intervals, percent.", _coverage),
        ]
    tables += [
        (
            "Seconds of a fit, compilation included, on a machine that may have been busy.",
            _mean("seconds", 1),
        ),
        ("CPU seconds of a fit.", _mean("cpu_seconds", 1)),
    ]
    lines = [f"## {_TITLES[protocol]}", ""]
    for heading, cell in tables:
        table = _table(results, cell)
        lines += [heading, "", *table, ""] if table else []
    lines += _legend(results)
    return "\n".join([*lines, *(_published(results) if protocol == "test" else [])])


def _table(results: Results, cell: Callable[[Scores], str]) -> list[str]:
    """Return the lines of a table, none if it would be empty.

    A cell that rests on fewer runs than its row says so.
    """
    methods = [name for name in METHODS if any(key.method == name for key in results)]
    rows: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for key, result in sorted(results.items(), key=lambda item: _place(item[0])):
        columns = rows.setdefault((key.data, key.checksum), {name: [] for name in methods})
        columns[key.method].append(result)
    names = [name for name, _ in rows]
    lines = []
    for (name, checksum), columns in rows.items():
        label = name if names.count(name) == 1 else f"{name} ({checksum})"
        most = max(map(len, columns.values()))
        cells = []
        for runs in columns.values():
            scores = [run["scores"] for run in runs if "scores" in run]
            text = cell(scores) if scores else "failed" if runs else "–"
            few = text not in {"failed", "–"} and len(scores) < most
            cells.append(f"{text} [{len(scores)} of {most}]" if few else text)
        if set(cells) != {"–"}:
            lines.append(_line([f"{label}{_size(columns)}", str(most), *cells]))
    if not lines:
        return []
    header = _line(["data", "runs", *(METHODS[name].label for name in methods)])
    return [header, "|---|" + "---:|" * (1 + len(methods)), *lines]


def _place(key: Key) -> tuple[int, str, str, int]:
    cases = list(CASES)
    order = cases.index(key.data) if key.data in cases else len(cases)
    return order, key.data, key.checksum, key.split


def _size(columns: Mapping[str, list[dict[str, Any]]]) -> str:
    """Return rows × features, where a result has them."""
    for run in (run for runs in columns.values() for run in runs if "rows" in run):
        return f" ({run['rows']} × {run['features']})"
    return ""


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _mean(name: str, digits: int, *, median: bool = False) -> Callable[[Scores], str]:
    """Return what writes mean ± standard error, and the median, of a score."""

    def write(scores: Scores) -> str:
        values = [score[name] for score in scores if name in score]
        if not values:
            return "–"
        text = f"{statistics.fmean(values):.{digits}f}"
        if len(values) > 1:
            text += f" ± {statistics.stdev(values) / math.sqrt(len(values)):.{digits}f}"
            if median:
                text += f" ({statistics.median(values):.{digits}f})"
        return text

    return write


def _coverage(scores: Scores) -> str:
    names = [f"coverage_{coverage}" for coverage in COVERAGES]
    if names[0] not in scores[0]:
        return "–"
    return " / ".join(f"{statistics.fmean(s[name] for s in scores):.1f}" for name in names)


def _published(results: Results) -> list[str]:
    """Return the block of published figures for the tables that are among the results."""
    names = sorted({key.data for key in results} & set(PUBLISHED[0].nll))
    if not names:
        return []
    return [
        "",
        "### published",
        "",
        "Not measured here: NLL as published, mean over the 20 standard splits of the UCI table of "
        "this name.",
        "",
        _line(["data", *(figure.label for figure in PUBLISHED)]),
        "|---|" + "---:|" * len(PUBLISHED),
        *(_line([name, *(f"{figure.nll[name]:.2f}" for figure in PUBLISHED)]) for name in names),
        "",
        "Sources: " + "; ".join(f"{f.label}: {f.source}" for f in PUBLISHED) + ".",
    ]


def _legend(results: Results) -> list[str]:
    """Return what the methods are, what they ran on, and what went wrong."""
    lines = []
    for name, method in METHODS.items():
        runs = {key: result for key, result in results.items() if key.method == name}
        if not runs:
            continue
        versions = {
            " ".join(item) for key in runs for item in json.loads(key.settings)["versions"].items()
        }
        lines.append(f"- {method.label}: {method.description}. {', '.join(sorted(versions))}.")
        states = {result["code"] for result in runs.values() if "code" in result}
        settings = {key.settings for key in runs}
        if len(states) > 1 or len(settings) > 1:
            lines.append(
                f"  - **Not one table: the results are of {max(1, len(states))} state(s) of the "
                f"code and {len(settings)} set(s) of arguments and versions.**"
            )
        errors = [(key, result["error"]) for key, result in runs.items() if "error" in result]
        for key, error in sorted(errors, key=lambda item: _place(item[0])):
            lines.append(f"  - Failed on {key.data}, run {key.split}: {error}")
    return lines
