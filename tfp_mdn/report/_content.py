"""What a report tells, as plain numbers and text: rows, scores, calibration, learning curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats
from scipy.special import ndtr

from tfp_mdn._validation import FloatArray
from tfp_mdn.calibration import calibration_report, normal_scores, share_below

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from tfp_mdn.calibration import CalibrationReport
    from tfp_mdn.mixture import MixtureParameters

__all__ = ["Calibration", "Table", "calibration_of", "column_table", "ranges_of"]

_BAND = 0.95
_FEW_BINS, _MANY_BINS, _ROWS_FOR_MANY_BINS = 10, 20, 400
_COVERAGES = tuple(np.linspace(0.05, 0.95, 19).round(2).tolist())


@dataclass(frozen=True)
class Table:
    """Rows of text under a header.

    Attributes:
        header: Names of the columns.
        rows: Cells, row by row; the first of each names the row.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Calibration:
    """A calibration report and what its pictures are drawn from.

    Attributes:
        report: Verdict and numbers.
        pictures: For each dimension of the target, `pit` and `coverage`, for JSON.
        tables: For each dimension, the coverage in numbers.
    """

    report: CalibrationReport
    pictures: list[dict[str, Any]]
    tables: list[Table]


def calibration_of(
    parameters: MixtureParameters, targets: FloatArray, *, lattice: ArrayLike | None, seed: int
) -> Calibration:
    """Return the calibration of mixtures of N rows against targets (N, D)."""
    report = calibration_report(parameters, targets, lattice=lattice, rng=seed)
    pit = ndtr(normal_scores(parameters, targets, lattice=lattice, rng=seed))
    pictures, tables = [], []
    for d, margin in enumerate(report.margins):
        central = share_below(np.abs(2.0 * pit[:, d] - 1.0), _COVERAGES, confidence=_BAND)
        pictures.append(
            {
                "pit": _histogram(pit[:, d]),
                "coverage": {
                    **vars(central),
                    # Of several dimensions, regions are of all of them together.
                    "region_levels": report.regions.levels,
                    "region_observed": report.regions.observed,
                },
            }
        )
        columns = (
            margin.central.levels,
            margin.central.observed,
            zip(margin.central.lower, margin.central.upper, strict=True),
            report.regions.observed,
            margin.mean_widths,
        )
        rows = tuple(
            (
                f"{level:.0%}",
                f"{observed:.1%}",
                f"{lower:.1%}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{upper:.1%}",
                f"{region:.1%}",
                f"{width:.4g}",
            )
            for level, observed, (lower, upper), region, width in zip(*columns, strict=True)
        )
        header = (
            "stated",
            "in central interval",
            "95 % band of chance",
            "in densest region" if len(report.margins) == 1 else "in densest joint region",
            "width of interval",
        )
        tables.append(Table(header, rows))
    return Calibration(report, pictures, tables)


def _histogram(pit: FloatArray) -> dict[str, Any]:
    """Return bars of relative frequency, 1 for uniform values, and the band of chance."""
    bins = _MANY_BINS if len(pit) >= _ROWS_FOR_MANY_BINS else _FEW_BINS
    counts, edges = np.histogram(pit, bins=bins, range=(0.0, 1.0))
    tails = [0.5 * (1.0 - _BAND), 0.5 * (1.0 + _BAND)]
    return {
        "centres": (0.5 * (edges[1:] + edges[:-1])).tolist(),
        "heights": (counts * bins / len(pit)).tolist(),
        "band": (stats.binom.ppf(tails, len(pit), 1.0 / bins) * bins / len(pit)).tolist(),
    }


def column_table(
    inputs: FloatArray, targets: FloatArray, features: list[str], names: list[str]
) -> Table:
    """Return range, median and missing values of all columns (N, F) and (N, D)."""
    rows = []
    for kind, columns, labels in (("input", inputs, features), ("target", targets, names)):
        for name, column in zip(labels, columns.T, strict=True):
            seen = column[np.isfinite(column)]
            numbers = (seen.min(), np.median(seen), seen.max())
            rows.append(
                (
                    name,
                    kind,
                    *(f"{number:.6g}" for number in numbers),
                    str(len(np.unique(seen))),
                    str(len(column) - len(seen)),
                )
            )
    return Table(
        ("column", "role", "least", "median", "greatest", "distinct", "missing"), tuple(rows)
    )


def ranges_of(columns: FloatArray, names: list[str]) -> list[dict[str, Any]]:
    """Return name, range and median of each column (N, C); around a constant, a range is made."""
    result = []
    for name, column in zip(names, columns.T, strict=True):
        low, high = float(column.min()), float(column.max())
        margin = 0.0 if low < high else 0.5 * abs(low) or 0.5
        result.append(
            {
                "name": name,
                "low": low - margin,
                "high": high + margin,
                "median": float(np.median(column)),
            }
        )
    return result
