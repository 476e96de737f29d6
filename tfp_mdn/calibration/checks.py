"""Tests of PIT values, normal scores and density levels, each with an effect size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
from scipy import stats

from tfp_mdn._validation import FloatArray, as_rows, as_whole_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "Check",
    "bias_check",
    "chi_square_check",
    "crossing_check",
    "kolmogorov_smirnov_check",
    "level_check",
    "rejected",
    "spread_check",
]

# Deviations up to these are negligible in practice, however many rows prove them: a bias in
# predicted standard deviations, a ratio of spreads, the largest error of a stated probability, the
# mean error of a region's coverage (that of a normal density whose scale is off by the ratio of
# spreads before), and Cohen's w, whose 0.1 is "small" (Cohen 1988, Statistical Power Analysis,
# chapter 7).
LARGEST_BIAS = 0.05
LARGEST_SPREAD = 1.05
LARGEST_ERROR = 0.02
LARGEST_COVERAGE_ERROR = 0.015
LARGEST_W = 0.1

# Scores further from their median than this many robust standard deviations count as if they lay
# there: one wrong value among a thousand would otherwise decide about the spread of all. Calibrated
# scores lie there once in 16000 rows, so that the tests stay exact for all that can be noticed.
FARTHEST_SCORE = 4.0

# Median distance from the median of a standard normal variable.
NORMAL_MAD = float(stats.norm.ppf(0.75))

MOST_BINS, ROWS_PER_BIN = 20, 10


@final
@dataclass(frozen=True)
class Check:
    """One test: whether a deviation is real, and whether it is large.

    Attributes:
        statistic: Statistic of the test.
        p_value: Probability of one as extreme if the densities are right; 1 where there are too
            few rows for the test.
        effect: Size of the deviation, which does not grow with the number of rows.
        large: Whether the effect is beyond what is negligible in practice.
    """

    statistic: float
    p_value: float
    effect: float
    large: bool


def bias_check(scores: ArrayLike) -> Check:
    """Test whether normal scores have mean 0: Student's t-test.

    It is exact for calibrated densities, and does not take a wrong spread for a bias.

    Args:
        scores: Normal scores (N,).

    Returns:
        The effect is the mean, in predicted standard deviations: positive where targets lie above
        their densities. Large is beyond ±0.05.

    Example:
        >>> check = bias_check(np.random.default_rng(0).normal(0.5, 1.0, 200))
        >>> f"{check.effect:.2f}", check.p_value < 1e-6, check.large
        ('0.52', True, True)
    """
    mean, spread, num_rows = _location_and_spread(scores)
    statistic, p_value = 0.0, 1.0
    if num_rows > 1 and mean != 0.0:
        statistic = mean * math.sqrt(num_rows) / spread if spread else math.copysign(np.inf, mean)
        p_value = float(2.0 * stats.t.sf(abs(statistic), num_rows - 1))
    return Check(statistic, p_value, mean, abs(mean) > LARGEST_BIAS)


def spread_check(scores: ArrayLike) -> Check:
    """Test whether normal scores have variance 1: the χ² test of a variance, exact and two-sided.

    Args:
        scores: Normal scores (N,).

    Returns:
        The effect is the standard deviation about the scores' own mean, that is, the spread of the
        targets in units of the predicted one: above 1 for over-confident densities. Large is beyond
        a factor of 1.05. NaN for a single row.

    Example:
        >>> check = spread_check(np.random.default_rng(0).normal(0.0, 1.5, 200))
        >>> f"{check.effect:.2f}", check.p_value < 1e-6, check.large
        ('1.45', True, True)
    """
    _, spread, num_rows = _location_and_spread(scores)
    if num_rows == 1:
        return Check(0.0, 1.0, math.nan, large=False)
    statistic = (num_rows - 1) * spread**2
    tails = stats.chi2.cdf(statistic, num_rows - 1), stats.chi2.sf(statistic, num_rows - 1)
    large = not 1.0 / LARGEST_SPREAD <= spread <= LARGEST_SPREAD
    return Check(statistic, min(1.0, 2.0 * float(min(tails))), spread, large)


def kolmogorov_smirnov_check(values: ArrayLike) -> Check:
    """Test whether PIT values or density levels are uniform: Kolmogorov and Smirnov's test.

    Args:
        values: Numbers (N,) from 0 to 1.

    Returns:
        Statistic and effect are the largest distance of the values' distribution function from the
        diagonal, that is, the largest error of a stated probability. Large is beyond 0.02.

    Raises:
        TypeError: If the values are not real numbers.
        ValueError: If a value is not from 0 to 1, or the shape is another.

    References:
        F. J. Massey (1951), The Kolmogorov-Smirnov test for goodness of fit, Journal of the
        American Statistical Association 46, 68-78,
        https://doi.org/10.1080/01621459.1951.10500769.

    Example:
        >>> kolmogorov_smirnov_check([0.1, 0.4, 0.6]).effect
        0.4
    """
    result = stats.kstest(_as_shares(values), "uniform")
    distance = float(result.statistic)
    return Check(distance, float(result.pvalue), distance, distance > LARGEST_ERROR)


def chi_square_check(values: ArrayLike, num_bins: int | None = None) -> Check:
    """Test whether the histogram of PIT values is flat: Pearson's χ² test.

    Args:
        values: Numbers (N,) from 0 to 1.
        num_bins: Bins of equal width, at least 2; None takes one for each 10 rows, at most 20.

    Returns:
        The effect is Cohen's w, √(Σ (share − expected)² / expected), less what chance alone adds:
        √((χ² − df) / N), or 0. Large is beyond 0.1.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a value is not from 0 to 1, or `num_bins` is below 2.

    Example:
        >>> chi_square_check(np.repeat([0.1, 0.3, 0.6, 0.9], 10), num_bins=4).p_value
        1.0
    """
    shares = _as_shares(values)
    if num_bins is None:
        num_bins = min(MOST_BINS, max(2, len(shares) // ROWS_PER_BIN))
    bins = as_whole_number("num_bins", num_bins, minimum=2)
    counts, _ = np.histogram(shares, bins, (0.0, 1.0))
    result = stats.chisquare(counts)
    effect = math.sqrt(max(float(result.statistic) - (bins - 1), 0.0) / len(shares))
    return Check(float(result.statistic), float(result.pvalue), effect, effect > LARGEST_W)


def level_check(levels: ArrayLike) -> Check:
    """Test whether density levels have mean ½, with the normal law of a mean of uniform numbers.

    Args:
        levels: Density levels (N,).

    Returns:
        The effect is the mean less ½, which is by how much the regions of all coverages hold too
        little on average: positive for over-confident densities. Large is beyond ±0.015.

    Raises:
        TypeError: If the levels are not real numbers.
        ValueError: If a level is not from 0 to 1, or the shape is another.

    Example:
        >>> f"{level_check([0.2, 0.8, 0.9, 0.7]).effect:.2f}"
        '0.15'
    """
    shares = _as_shares(levels)
    effect = float(shares.mean()) - 0.5
    statistic = effect * math.sqrt(12.0 * len(shares))
    p_value = float(2.0 * stats.norm.sf(abs(statistic)))
    return Check(statistic, p_value, effect, abs(effect) > LARGEST_COVERAGE_ERROR)


def crossing_check(levels: ArrayLike) -> Check:
    """Test whether regions hold too little at some coverages and too much at others.

    That is not a matter of confidence but of shape. With D⁺ and D⁻ the largest distances of the
    levels' distribution function above and below the diagonal, P(min(D⁺, D⁻) ≥ d) is at most
    P(D⁺ ≥ d) ≤ exp(−2 N d²) for calibrated densities.

    Args:
        levels: Density levels (N,).

    Returns:
        Statistic and effect are min(D⁺, D⁻), the smaller of the two errors. Large is beyond 0.02.

    Raises:
        TypeError: If the levels are not real numbers.
        ValueError: If a level is not from 0 to 1, or the shape is another.

    References:
        P. Massart (1990), The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality, The
        Annals of Probability 18, 1269-1283, https://doi.org/10.1214/aop/1176990746.

    Example:
        >>> crossing_check([0.3, 0.4, 0.5, 0.6]).effect
        0.3
    """
    ordered = np.sort(_as_shares(levels))
    steps = np.arange(len(ordered) + 1) / len(ordered)
    distance = float(min((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))
    p_value = math.exp(-2.0 * len(ordered) * max(distance, 0.0) ** 2)
    return Check(distance, p_value, distance, distance > LARGEST_ERROR)


def rejected(checks: Sequence[Check], significance: float) -> list[bool]:
    """Return which checks fail, by Holm's method.

    The probability that any fails for calibrated densities is at most `significance`, however the
    checks depend on each other.

    References:
        S. Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian
        Journal of Statistics 6, 65-70, https://www.jstor.org/stable/4615733.

    Example:
        >>> checks = [Check(0.0, p_value, 0.0, False) for p_value in (0.04, 0.001, 0.02)]
        >>> rejected(checks, 0.05)
        [True, True, True]
    """
    result = [False] * len(checks)
    for rank, i in enumerate(sorted(range(len(checks)), key=lambda i: checks[i].p_value)):
        if checks[i].p_value * (len(checks) - rank) > significance:
            break
        result[i] = True
    return result


def _location_and_spread(scores: ArrayLike) -> tuple[float, float, int]:
    """Return mean and standard deviation, far scores brought near, and the number of rows."""
    values = as_rows("scores", scores, num_columns=1)[:, 0]
    centre = float(np.median(values))
    residuals = values - centre
    reach = FARTHEST_SCORE * max(1.0, float(np.median(np.abs(residuals))) / NORMAL_MAD)
    np.clip(residuals, -reach, reach, out=residuals)
    spread = float(residuals.std(ddof=1)) if len(values) > 1 else math.nan
    return centre + float(residuals.mean()), spread, len(values)


def _as_shares(values: ArrayLike) -> FloatArray:
    """Return numbers (N,) from 0 to 1."""
    shares = as_rows("values", values, num_columns=1)[:, 0]
    outside = (shares < 0.0) | (shares > 1.0)
    if outside.any():
        msg = f"values must lie from 0 to 1, got {shares[outside][0]:g}."
        raise ValueError(msg)
    return shares
