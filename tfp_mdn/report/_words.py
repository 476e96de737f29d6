"""The words of a report: what its numbers mean, as HTML with every name escaped."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from tfp_mdn.report._content import Calibration
from tfp_mdn.report._page import table

if TYPE_CHECKING:
    from tfp_mdn.calibration import CalibrationReport

__all__ = [
    "coverage",
    "default_title",
    "rows_in_words",
    "tiles",
    "verdict",
]

_MEANINGS = {
    "well calibrated": "No test on these rows finds a deviation that matters.",
    "biased low": "The densities lie below the targets.",
    "biased high": "The densities lie above the targets.",
    "over-confident": "The densities are narrower than the targets spread: "
    "their intervals hold fewer targets than they say.",
    "under-confident": "The densities are wider than the targets spread: "
    "their intervals hold more targets than they say.",
    "not calibrated in shape": "Neither place nor spread is wrong on the whole, "
    "but the targets do not fall into the densities evenly.",
    "too few rows to tell": "So few rows would not show every deviation that matters.",
}
_MOST_NAMES = 3


def default_title(features: list[str], names: list[str]) -> str:
    """Return what the model foretells and from what, for instance "speed given flow"."""
    inputs = ", ".join(features) if len(features) <= _MOST_NAMES else f"{len(features)} inputs"
    targets = ", ".join(names) if len(names) <= _MOST_NAMES else f"{len(names)} targets"
    return f"{targets} given {inputs}"


def tiles(report: CalibrationReport, names: list[str]) -> str:
    """Return the figures that a reader looks for first."""
    figures = [
        ("Calibration", report.verdict),
        ("Negative log-likelihood, nats per row", f"{report.mean_log_score:.4g}"),
        *(
            (f"CRPS, in units of {name}", f"{margin.mean_crps:.4g}")
            for name, margin in zip(names, report.margins, strict=True)
        ),
        ("Rows scored", str(report.num_rows)),
    ]
    return "".join(
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd></div>"
        for name, text in figures
    )


def verdict(report: CalibrationReport, names: list[str]) -> str:
    """Return the verdict and what it means."""
    words = report.verdict[0].upper() + report.verdict[1:]
    meanings = " ".join(text for word, text in _MEANINGS.items() if word in report.verdict)
    if len(names) > 1:
        meanings += f" Dimensions: {', '.join(f'{d} is {name}' for d, name in enumerate(names))}."
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in report.notes)
    return (
        f'<p class="verdict"><strong>{html.escape(words)}.</strong> {html.escape(meanings)}</p>'
        + (f"<ul>{notes}</ul>" if notes else "")
    )


def coverage(calibration: Calibration, names: list[str]) -> str:
    """Return the tables of coverage, and all numbers of the calibration report."""
    tables = "".join(
        table(content, f"How many targets fall where they should: {name}")
        for content, name in zip(calibration.tables, names, strict=True)
    )
    return (
        f"{tables}<details><summary>All numbers</summary>"
        f'<pre class="wide" tabindex="0">{html.escape(str(calibration.report))}</pre></details>'
    )


def rows_in_words(given: int, complete: int, scored: int, drawn: int) -> str:
    """Return what was done with which rows."""
    words = [f"{given} rows were given."]
    if complete < given:
        words.append(f"{given - complete} of them lack a value and are left out.")
    if scored < complete:
        words.append(f"Scores are those of {scored}, chosen at random.")
    if drawn < complete:
        words.append(f"Pictures show {drawn}, chosen at random.")
    words.append(
        "If the model was fitted to these rows, all scores and the verdict are too favourable: "
        "judge by rows that it has not seen."
    )
    return " ".join(words)
