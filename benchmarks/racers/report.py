"""The results of `benchmarks/speed.py` as Markdown tables of medians and ratios."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.racers.sections import SECTIONS, Goal, label
from benchmarks.scoreboard.store import Key

__all__ = ["markdown"]

Runs = dict[int, dict[str, float]]  # figures by round

# Columns of the summary; the first one is the reference.
_BRIEF = {
    "tfpl": "plain tfpl, `model.fit`",
    "fit_mdn": "**`fit_mdn`**",
    "keras-mdn-layer": "keras-mdn-layer on JAX",
    "pytorch": "PyTorch",
    "jax": "JAX alone (the limit)",
}

_EXTRA = {"loss": ("loss, nats", ".3f"), "epochs": ("epochs", ".0f"), "megabytes": ("MB", ".0f")}


def markdown(results: Mapping[Key, dict[str, Any]]) -> str:
    """Return the report on results: where they were measured, and a table for each subject."""
    parts = [_machine(results)]
    measured = {
        name: [
            (subject, runs)
            for subject, ways in section.subjects.items()
            if any((runs := _runs(results, name, subject, ways)).values())
        ]
        for name, section in SECTIONS.items()
    }
    parts += _summary(measured)
    for name, section in SECTIONS.items():
        subjects = measured[name]
        if not subjects:
            continue
        parts += [f"## {section.title}", section.text]
        if name == "xla":
            parts.append(_break_even(subjects))
        elif name == "parts":
            parts.append(_step_parts(subjects))
        else:
            for subject, runs in subjects:
                goal = section.goals.get(subject)
                parts.append(_comparison(name, subject, runs, goal))
    failures = [
        f"- {key.protocol}, {key.data}, {key.method}, round {key.split}: {result['error']}"
        for key, result in results.items()
        if "error" in result
    ]
    if failures:
        parts += ["## Failed", "\n".join(failures)]
    return "\n\n".join(parts) + "\n"


def _machine(results: Mapping[Key, dict[str, Any]]) -> str:
    """Return a paragraph on the machines and the versions of packages."""
    settings = [json.loads(key.settings) for key in results]
    machines = dict.fromkeys(
        f"{s['cpu']}, {s['cores']} cores, {s['system']}, Python {s['python']}, each process on "
        f"{s['threads']} thread(s)"
        for s in settings
    )
    versions = {
        f"{name} {version}" for s in settings for name, version in s["versions"].items() if version
    }
    return (
        f"Measured on {'; and on '.join(machines)}; {', '.join(sorted(versions, key=str.lower))}. "
        "Figures are medians over rounds, each measured in a fresh process, the ways in turn. "
        "Ratios are medians of the ratios within a round, to the first line of a table. Other work "
        "on a machine disturbs CPU time less than wall time. MB is the largest memory in use "
        "above that before the work, its result included."
    )


def _summary(measured: Mapping[str, list[tuple[str, dict[str, Runs]]]]) -> list[str]:
    """Return a section with a line for each comparison, or nothing if none was measured."""
    tables = [*_brief_training(measured), *_brief_answers(measured["answers"])]
    return ["## At a glance", *tables] if tables else []


def _brief_training(measured: Mapping[str, list[tuple[str, dict[str, Runs]]]]) -> list[str]:
    lines = [_line(["", *_BRIEF.values()]), "|---|" + "---:|" * len(_BRIEF)]
    for section, title in {"epoch": "epoch", "run": "whole run", "target": "to a loss"}.items():
        for subject, runs in measured[section]:
            reference, *others = (runs.get(way, {}) for way in _BRIEF)
            if reference:
                times = [_times(_ratio(reference, own, "cpu")) for own in others]
                first = _time(_median(reference, "cpu"))
                lines.append(_line([f"{title}, {subject}", first, *times]))
    text = "Training, CPU time: of plain `tfpl`, and how many times as fast the others are."
    return [text, "\n".join(lines)] if len(lines) > 2 else []


def _brief_answers(subjects: list[tuple[str, dict[str, Runs]]]) -> list[str]:
    header = ["", "the other way", "CPU", "ours", "times as fast", "MB", "ours"]
    lines = [_line(header), "|---|---|" + 5 * "---:|"]
    for subject, runs in subjects:
        way, reference = next(iter(runs.items()))
        both = (reference, runs["ours"])
        if way != "ours" and all(both):
            cells = [subject, label("answers", subject, way)]
            cells += [_time(_median(own, "cpu")) for own in both]
            cells.append(_times(_ratio(*both, "cpu")))
            lines.append(_line(cells + [f"{_median(own, 'megabytes'):.0f}" for own in both]))
    text = "Answers, CPU time and memory: of another way, and of this library."
    return [text, "\n".join(lines)] if len(lines) > 2 else []


def _runs(
    results: Mapping[Key, dict[str, Any]], section: str, subject: str, ways: tuple[str, ...]
) -> dict[str, Runs]:
    """Return the figures of each way."""
    runs: dict[str, Runs] = {way: {} for way in ways}
    for key, result in results.items():
        if (key.protocol, key.data) == (section, subject) and key.method in ways:
            runs[key.method] |= {key.split: result["scores"]} if "scores" in result else {}
    return runs


def _comparison(section: str, subject: str, runs: dict[str, Runs], goal: Goal | None) -> str:
    """Return the table of a subject."""
    extra = [name for name in _EXTRA if any(name in f for r in runs.values() for f in r.values())]
    reference = next(iter(runs))
    ratios = section != "startup" and len(runs) > 1
    header = ["way", "CPU", "wall", *(["CPU, times as fast", "wall"] if ratios else [])]
    header += [*(_EXTRA[name][0] for name in extra), "rounds"]
    lines = [] if section == "startup" else [f"### {subject}", ""]
    lines += [_line(header), "|---|" + "---:|" * (len(header) - 1)]
    for way, own in runs.items():
        if not own:
            continue
        cells = [label(section, subject, way), *(_time(_median(own, n)) for n in ("cpu", "wall"))]
        if ratios:
            cells += [_times(_ratio(runs[reference], own, name)) for name in ("cpu", "wall")]
        for name in extra:
            there = [f[name] for f in own.values() if name in f]
            cells.append(format(statistics.median(there), _EXTRA[name][1]) if there else "")
        lines.append(_line([*cells, str(len(own))]))
    ours = next((own for way, own in runs.items() if way in ("ours", "fit_mdn") and own), None)
    if goal is not None and ours and runs[reference]:
        lines += ["", _verdict(goal, runs[reference], ours)]
    return "\n".join(lines)


def _verdict(goal: Goal, reference: Runs, ours: Runs) -> str:
    """Return a sentence on what was to be reached."""
    reached = _ratio(reference, ours, "cpu") or 0.0
    aim = "" if goal.aim is None else f", {goal.aim:g} aimed at"
    said = "aim reached" if goal.aim is not None and reached >= goal.aim else "reached"
    text = f"Goal: {goal.least:g} times as fast{aim}; {reached:.2g} measured: "
    text += said if reached >= goal.least else "missed"
    if goal.memory is not None:
        less = _ratio(reference, ours, "megabytes") or 0.0
        text += f". In 1/{goal.memory:g} of the memory; 1/{less:.2g} measured: "
        text += "reached" if less >= goal.memory else "missed"
    return text + "."


def _break_even(subjects: list[tuple[str, dict[str, Runs]]]) -> str:
    columns: dict[str, Callable[[Runs], str]] = {
        "compiling, s": lambda own: f"{_median(own, 'compiling'):.2f}",
        "step, µs": lambda own: f"{_median(own, 'step'):.0f}",
        "under XLA, µs": lambda own: f"{_median(own, 'step_xla'):.0f}",
        "saved, µs": lambda own: f"{_median(own, 'saved'):.0f}",
        "units × rows": lambda own: f"{_median(own, 'units'):.0f}",
        "pays from steps": lambda own: f"{_median(own, 'even'):.0f}",
        '"auto" from': lambda own: f"{_median(own, 'auto'):.0f}",
        "rounds": lambda own: str(len(own)),
    }
    lines = [_line(["network, batch", *columns]), "|---|" + "---:|" * len(columns)]
    for subject, runs in subjects:
        own = runs["fit_mdn"]
        lines.append(_line([subject, *(cell(own) for cell in columns.values())]))
    return "\n".join(lines)


def _step_parts(subjects: list[tuple[str, dict[str, Runs]]]) -> str:
    names = {
        "loop": "loop",
        "gathering": "gather",
        "products": "network",
        "density": "log-density",
        "backward": "backward",
        "adam": "Adam",
        "whole": "whole step",
    }
    lines = [_line(["workload", *names.values(), "rounds"]), "|---|" + "---:|" * (len(names) + 1)]
    for subject, runs in subjects:
        own = runs["fit_mdn"]
        cells = [f"{_median(own, name):.1f}" for name in names]
        lines.append(_line([subject, *cells, str(len(own))]))
    return "\n".join(lines)


def _median(runs: Runs, name: str) -> float:
    return statistics.median(figures[name] for figures in runs.values())


def _ratio(reference: Runs, own: Runs, name: str) -> float | None:
    """Return how many times smaller a figure is than the reference's in the same round."""
    both = [r for r in own if r in reference and own[r][name] > 0]
    return statistics.median(reference[r][name] / own[r][name] for r in both) if both else None


def _time(seconds: float) -> str:
    if seconds < 0.9995:
        return f"{1e3 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 999.5 else f"{seconds:,.0f} s"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2g}×" if ratio < 99.5 else f"{ratio:.0f}×"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
