"""The command `evaluate`: how good the densities of a model are on rows that it has not seen."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfp_mdn.cli.options import (
    json_option,
    lattice_option,
    lattice_steps,
    model_argument,
    quiet_option,
    reads_table,
)

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray
    from tfp_mdn.calibration import CalibrationReport
    from tfp_mdn.cli.places import TableSource
    from tfp_mdn.mixture import MixtureParameters

__all__ = ["evaluate"]

_LEVELS = (0.5, 0.9, 0.95)
_ERRORS = {"CRPS": "crps", "RMSE of the mean": "rmse", "MAE of the median": "mae"}


@click.command()
@model_argument
@lattice_option
@reads_table()
@json_option
@quiet_option
def evaluate(model: Path, data: TableSource, lattice: tuple[float, ...], *, as_json: bool) -> None:
    """Score the model on the table DATA, whose rows it should not have seen in training.

    Printed are the log score, CRPS, RMSE and MAE (lower is better for all of them), how many
    targets lie in the central intervals of 50, 90 and 95 %, the sharpness, which is how wide the
    densities are, and whether these can be trusted.
    """
    from tfp_mdn.calibration import calibration_report
    from tfp_mdn.cli.models import open_model

    saved = open_model(model)
    steps = lattice_steps(lattice, saved.targets)
    rows = data.rows(saved.columns, saved.targets)
    parameters, targets = saved.predict(rows.inputs), rows.targets.to_numpy()
    report = calibration_report(parameters, targets, lattice=steps, levels=_LEVELS)
    result = _result(report, parameters, targets, saved.targets)
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(result, report)))


def _result(
    report: CalibrationReport,
    parameters: MixtureParameters,
    targets: FloatArray,
    names: list[str],
) -> dict[str, Any]:
    """Return the figures as JSON has them; coverage by level in percent."""
    import numpy as np

    mean = parameters.mean()
    entries = []
    for place, (name, margin) in enumerate(zip(names, report.margins, strict=True)):
        y = targets[:, place]
        median = parameters.marginal(place).median()
        level = {f"{100 * level:g}": i for i, level in enumerate(_LEVELS)}
        entries.append(
            {
                "target": name,
                "crps": margin.mean_crps,
                "rmse": float(np.sqrt(np.mean((mean[:, place] - y) ** 2))),
                "mae": float(np.mean(np.abs(median - y))),
                "coverage": {text: margin.central.observed[i] for text, i in level.items()},
                "mean_stddev": margin.mean_stddev,
                "mean_width": {text: margin.mean_widths[i] for text, i in level.items()},
            }
        )
    return {
        "rows": report.num_rows,
        "log_score": report.mean_log_score,
        "verdict": _with_names(report.verdict, names),
        "notes": [_with_names(note, names) for note in report.notes],
        "targets": entries,
    }


def _with_names(words: str, names: list[str]) -> str:
    """Return words of the report with the names of the targets and of the tool's own option."""

    def named(match: re.Match[str]) -> str:
        return "for " + ", ".join(names[int(number)] for number in match[1].split(", "))

    words = words.replace("pass lattice=step", "add --lattice STEP")
    return re.sub(r"in dimensions? (\d+(?:, \d+)*)", named, words)


def _lines(result: dict[str, Any], report: CalibrationReport) -> list[str]:
    """Return the figures for a reader, a column for each target."""
    entries = result["targets"]
    band = report.margins[0].central
    bands = [
        f"by chance {100 * low:.1f}-{100 * high:.1f}%"
        for low, high in zip(band.lower, band.upper, strict=True)
    ]
    table = [["", *(entry["target"] for entry in entries), ""]]
    for title, name in _ERRORS.items():
        table.append([title, *(f"{entry[name]:.4g}" for entry in entries), ""])
    for level, chance in zip(entries[0]["coverage"], bands, strict=True):
        shares = (f"{100 * entry['coverage'][level]:.1f}%" for entry in entries)
        table.append([f"within central {level}%", *shares, chance])
    deviations = (f"{entry['mean_stddev']:.4g}" for entry in entries)
    table.append(["predicted stddev", *deviations, "mean over the rows"])
    for level in entries[0]["mean_width"]:
        widths = (f"{entry['mean_width'][level]:.4g}" for entry in entries)
        table.append([f"width of central {level}%", *widths, "mean over the rows"])
    sizes = [max(map(len, column)) for column in zip(*table, strict=True)]
    aligned = [
        "  ".join([title.ljust(sizes[0]), *map(str.rjust, figures, sizes[1:]), remark]).rstrip()
        for title, *figures, remark in table
    ]
    return [
        f"rows       {result['rows']}",
        f"log score  {result['log_score']:.4f} nats per row (-log p; lower is better)",
        f"verdict    {result['verdict']}",
        *(f"note       {note}" for note in result["notes"]),
        "",
        *aligned,
    ]
