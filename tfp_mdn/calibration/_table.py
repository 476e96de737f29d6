"""A calibration report as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfp_mdn.calibration.checks import Check
    from tfp_mdn.calibration.coverage import Coverage
    from tfp_mdn.calibration.report import CalibrationReport, Margin

__all__ = ["render"]

# Smaller p-values are no more convincing, and the tails that they come from no more exact.
SMALLEST_P_VALUE = 1e-9


def render(report: CalibrationReport) -> str:
    """Return verdict, notes, scores and tables."""
    rows = "row" if report.num_rows == 1 else "rows"
    lines = [f"Calibration on {report.num_rows} {rows}: {report.verdict}", *report.notes, ""]
    lines.append(f"mean log score      {report.mean_log_score:.5g} nats, lower is better")
    if len(report.margins) == 1:
        lines += _margin(report.margins[0], report)
    else:
        for d, margin in enumerate(report.margins):
            lines += ["", f"DIMENSION {d}", *_margin(margin, None)]
        lines += ["", "ALL DIMENSIONS", *_regions(report)]
    lines += [
        "",
        "central, densest: share of targets in central intervals and highest-density regions",
        "* outside the band, in which chance leaves 95% of calibrated shares",
    ]
    return "\n".join(lines)


def _margin(margin: Margin, report: CalibrationReport | None) -> list[str]:
    """Return one dimension; with the regions of the report, if they are of this one alone."""
    checks = margin.checks
    rows = [
        _check_row("bias of targets, in standard deviations", checks.bias, "+.3f"),
        _check_row("spread of targets, times the predicted", checks.spread, ".3f"),
        _check_row("PIT, Kolmogorov-Smirnov distance", checks.kolmogorov_smirnov, ".3f"),
        _check_row("PIT, chi-square: Cohen's w", checks.chi_square, ".3f"),
    ]
    columns = [_level_column("level", margin.central), _share_column("central", margin.central)]
    if report is not None:
        rows += _region_rows(report)
        columns.append(_share_column("densest", report.regions))
    columns += [
        _band_column(margin.central),
        ["mean width", *(f"{width:.4g}" for width in margin.mean_widths)],
        ["interval score", *(f"{score:.4g}" for score in margin.mean_interval_scores)],
    ]
    below = margin.quantiles
    return [
        f"mean CRPS           {margin.mean_crps:.5g}",
        f"mean predicted sd   {margin.mean_stddev:.5g}",
        "",
        *_aligned(zip(["check", "effect", "p-value"], *rows, strict=True)),
        "",
        *_aligned(columns),
        "",
        *_aligned(
            [
                _level_column("quantile", below),
                _share_column("below it", below),
                _band_column(below),
            ]
        ),
    ]


def _regions(report: CalibrationReport) -> list[str]:
    """Return the highest-density regions of all dimensions together."""
    table = report.regions
    return [
        *_aligned(zip(["check", "effect", "p-value"], *_region_rows(report), strict=True)),
        "",
        *_aligned(
            [_level_column("level", table), _share_column("densest", table), _band_column(table)]
        ),
    ]


def _region_rows(report: CalibrationReport) -> list[list[str]]:
    checks = report.region_checks
    return [
        _check_row("densest regions, mean lack of coverage", checks.coverage, "+.3f"),
        _check_row("densest regions, lack and excess at once", checks.crossing, ".3f"),
        _check_row("densest regions, Kolmogorov-Smirnov", checks.kolmogorov_smirnov, ".3f"),
    ]


def _check_row(name: str, check: Check, form: str) -> list[str]:
    small = check.p_value < SMALLEST_P_VALUE
    p_value = f"< {SMALLEST_P_VALUE:.0e}" if small else f"{check.p_value:.2g}"
    return [name, format(check.effect, form), p_value]


def _level_column(title: str, table: Coverage) -> list[str]:
    return [title, *(f"{100.0 * level:g}%" for level in table.levels)]


def _share_column(title: str, table: Coverage) -> list[str]:
    shares = zip(table.observed, table.lower, table.upper, strict=True)
    return [
        title,
        *(
            f"{100.0 * share:.1f}%{' ' if low <= share <= high else '*'}"
            for share, low, high in shares
        ),
    ]


def _band_column(table: Coverage) -> list[str]:
    ends = zip(table.lower, table.upper, strict=True)
    return ["band", *(f"{100.0 * low:.1f}-{100.0 * high:.1f}%" for low, high in ends)]


def _aligned(columns: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, its first column flush left and the others flush right."""
    cells = []
    for i, column in enumerate(columns):
        width = max(len(cell) for cell in column)
        cells.append([cell.rjust(width) if i else cell.ljust(width) for cell in column])
    return ["   ".join(row).rstrip() for row in zip(*cells, strict=True)]
