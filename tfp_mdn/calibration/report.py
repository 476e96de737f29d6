"""All of a calibration in one object: checks, coverage, sharpness, scores and a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from scipy.special import ndtr

from tfp_mdn._validation import FloatArray, as_generator, as_real
from tfp_mdn.calibration import checks
from tfp_mdn.calibration._table import render
from tfp_mdn.calibration.coverage import Coverage, as_inner_levels, share_below
from tfp_mdn.calibration.pit import as_steps, density_levels, normal_scores, paired_targets
from tfp_mdn.calibration.verdict import MarginChecks, RegionChecks, judge
from tfp_mdn.mixture import scores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from tfp_mdn.mixture._methods import Mixture

__all__ = ["CalibrationReport", "Margin", "calibration_report"]

# A calibrated density shows a target this unlikely, counted over all rows, in 1 report of 100.
OUTLIERS_PER_REPORT = 0.01


@final
@dataclass(frozen=True)
class Margin:
    """Calibration and sharpness of one dimension of the target.

    Attributes:
        checks: Bias, spread and shape of the PIT values.
        central: Share of the targets in the central interval of each level.
        quantiles: Share of the targets at or below the quantile of each level.
        mean_widths: Mean width of the central intervals of `central.levels`, in the target's units.
        mean_interval_scores: Mean interval score of the same intervals, in the target's units.
        mean_stddev: Mean predicted standard deviation, in the target's units; NaN where heavy tails
            have none.
        mean_crps: Mean continuous ranked probability score, likewise.
    """

    checks: MarginChecks
    central: Coverage
    quantiles: Coverage
    mean_widths: tuple[float, ...]
    mean_interval_scores: tuple[float, ...]
    mean_stddev: float
    mean_crps: float


@final
@dataclass(frozen=True)
class CalibrationReport:
    """What `calibration_report` found; `print` shows it as a table.

    Attributes:
        verdict: In words; see `calibration_report`.
        notes: What else should be known, one sentence each.
        num_rows: Number of targets N.
        significance: Probability that densities which are right get another verdict.
        mean_log_score: Mean of −log p(y) in nats per row; for D = 1 on a lattice, of
            −log P(y − h < Y ≤ y + h).
        margins: One entry for each dimension.
        region_checks: Checks of the density levels.
        regions: Share of the targets in the highest-density region of each level.
    """

    verdict: str
    notes: tuple[str, ...]
    num_rows: int
    significance: float
    mean_log_score: float
    margins: tuple[Margin, ...]
    region_checks: RegionChecks
    regions: Coverage

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings and lists that `json.dumps` takes; None for NaN and inf."""
        result: dict[str, Any] = _plain(asdict(self))
        return result

    def __str__(self) -> str:
        """Return verdict, notes and tables of at most 90 characters for a terminal."""
        return render(self)


def calibration_report(
    parameters: Mixture,
    y: ArrayLike,
    *,
    lattice: ArrayLike | None = None,
    levels: ArrayLike = (0.5, 0.8, 0.9, 0.95, 0.99),
    quantiles: ArrayLike = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95),
    significance: float = 0.01,
    num_draws: int = 100,
    rng: np.random.Generator | int | None = 0,
) -> CalibrationReport:
    """Return how well densities foretold targets that they were not fitted to.

    The verdict is "well calibrated", or what is wrong, joined by "and":

    - "biased low" or "biased high": the densities lie below, or above, the targets;
    - "over-confident" or "under-confident": the densities are narrower, or wider, than the targets
      spread, by the normal scores of the PIT values or, within each of several modes, by how much
      the highest-density regions hold;
    - "not calibrated in shape": neither, but the PIT values or density levels are not uniform, or
      regions hold too little at some levels and too much at others;
    - "too few rows to tell": fewer than 10 rows, or fewer than 100 that show nothing. From there
      on a scale that is off by a factor of 1.5, and a bias of half a standard deviation, are found
      nine times in ten for one normal component.

    For D > 1 it names the dimensions (from 0), or "jointly" for what only all together show. A
    wrong dependence between dimensions shows in the densest regions alone, and weakly: of unit
    normals correlated by 0.5 and foretold as independent, 300 rows hardly ever tell.

    A deviation is named if it is both real and large. Real: its test fails in the family of all
    tests, held to `significance` by Holm's method. Large: the effect, which does not grow with
    N, is more than a bias of 0.05 predicted standard deviations, a ratio of spreads of 1.05, an
    error of 0.02 in a stated probability, Cohen's w of 0.1 for the histogram, or a mean coverage
    error of 0.015. A million rows prove deviations that nobody would mind; those become a note.

    Well calibrated is what no test on these rows contradicts, over all inputs together. Densities
    that ignore the inputs can be so too; scores and sharpness tell them from better ones.

    Args:
        parameters: Mixtures of N rows in D dimensions, of inputs that were held out.
        y: Targets (N, D), or (N,) for D = 1, in the target's units.
        lattice: Step of the lattice to whose nearest points targets were rounded: a number, or
            (D,) with 0 for dimensions that were not. PIT values are then randomised.
        levels: Nominal levels of intervals and regions, between 0 and 1.
        quantiles: Levels at which the reliability of quantiles is shown.
        significance: Probability that densities which are right get another verdict.
        num_draws: Draws for each row of a mixture, for the density levels. The verdict is as right
            with fewer, which are quicker, if there are many rows.
        rng: Generator or integer seed of these draws and of the randomised PIT, so that the same
            data get the same report; None for fresh randomness.

    Returns:
        `CalibrationReport`: `verdict`, `notes`, `mean_log_score`, per dimension `margins` (checks,
        coverage, widths, CRPS), `regions`, `to_dict()`; `print` shows it as a table.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `y` is not finite or does not fit the parameters, a level is not between 0
            and 1, or `lattice` is negative or does not fit the targets.

    References:
        T. Gneiting, F. Balabdaoui, A. E. Raftery (2007), Probabilistic forecasts, calibration and
        sharpness, Journal of the Royal Statistical Society B 69, 243-268,
        https://doi.org/10.1111/j.1467-9868.2007.00587.x.
        C. Czado, T. Gneiting, L. Held (2009), Predictive model assessment for count data,
        Biometrics 65, 1254-1261, https://doi.org/10.1111/j.1541-0420.2009.01191.x.

    Example:
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> y = np.random.default_rng(0).normal(size=500)
        >>> ones, zeros = np.ones((500, 1)), np.zeros((500, 1))
        >>> calibration_report(MixtureParameters(ones, zeros, ones), y).verdict
        'well calibrated'
        >>> calibration_report(MixtureParameters(ones, zeros, ones / 4), y).verdict
        'over-confident'
    """
    targets = paired_targets(parameters, y)
    steps = as_steps(lattice, targets)
    nominal = as_inner_levels("levels", levels)
    below = as_inner_levels("quantiles", quantiles)
    alpha = as_real("significance", significance, above=0.0, below=1.0)
    generator = as_generator("rng", rng)
    normal = normal_scores(parameters, targets, lattice=lattice, rng=generator)
    depth = density_levels(parameters, targets, lattice=lattice, num_draws=num_draws, rng=generator)
    margins = tuple(
        _margin(parameters.marginal(d), targets[:, d], normal[:, d], nominal, below)
        for d in range(parameters.event_size)
    )
    region_checks = RegionChecks(
        checks.level_check(depth),
        checks.crossing_check(depth),
        checks.kolmogorov_smirnov_check(depth),
    )
    verdict, notes = judge(
        [margin.checks for margin in margins], region_checks, len(targets), alpha
    )
    if parameters.event_size == 1 and steps[0] > 0.0:
        log_score = scores.censored_log_score(parameters, targets, 0.5 * steps[0])
    else:
        log_score = scores.log_score(parameters, targets)
    return CalibrationReport(
        verdict,
        (*notes, *_data_notes(targets, steps, normal)),
        len(targets),
        alpha,
        float(log_score.mean()),
        margins,
        region_checks,
        share_below(depth, nominal),
    )


def _margin(
    mixture: Mixture,
    y: FloatArray,
    normal: FloatArray,
    levels: FloatArray,
    quantiles: FloatArray,
) -> Margin:
    """Return calibration and sharpness of one dimension."""
    pit = ndtr(normal)
    widths, interval_scores = [], []
    for level in levels:
        lower, upper = mixture.interval(level).T
        outside = np.maximum(lower - y, 0.0) + np.maximum(y - upper, 0.0)
        widths.append(float((upper - lower).mean()))
        # Gneiting and Raftery (2007), section 6.2; as `mixture.scores.interval_score`.
        interval_scores.append(widths[-1] + 2.0 / (1.0 - level) * float(outside.mean()))
    return Margin(
        MarginChecks(
            checks.bias_check(normal),
            checks.spread_check(normal),
            checks.kolmogorov_smirnov_check(pit),
            checks.chi_square_check(pit),
        ),
        share_below(np.abs(2.0 * pit - 1.0), levels),
        share_below(pit, quantiles),
        tuple(widths),
        tuple(interval_scores),
        _mean_or_nan(mixture.stddev),
        _mean_or_nan(lambda: mixture.crps(y)),
    )


def _mean_or_nan(values: Callable[[], FloatArray]) -> float:
    """Return the mean of values, or NaN where components have no such moment."""
    try:
        return float(values().mean())
    except ValueError:
        return math.nan


def _data_notes(targets: FloatArray, steps: FloatArray, normal: FloatArray) -> list[str]:
    """Return what is remarkable about the targets themselves."""
    notes = []
    limit = OUTLIERS_PER_REPORT / targets.size
    outliers = int((2.0 * ndtr(-np.abs(normal)) < limit).any(axis=1).sum())
    if outliers:
        notes.append(
            f"Outliers: {outliers} of {len(targets)} targets lie in tails of less than {limit:.0e}."
        )
    for d, column in enumerate(targets.T):
        distinct = len(np.unique(column))
        if steps[d] == 0.0 and 1 < distinct <= len(column) // 2:
            place = f" in dimension {d}" if targets.shape[1] > 1 else ""
            notes.append(
                f"Repeated targets: {distinct} values in {len(column)} rows{place}. "
                "If they were rounded, pass lattice=step."
            )
    return notes


def _plain(value: Any) -> Any:
    """Return the value with lists for tuples and None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
