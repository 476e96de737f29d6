"""What the checks of a calibration amount to, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from scipy.special import ndtr

from tfp_mdn.calibration.checks import LARGEST_COVERAGE_ERROR, Check, rejected

__all__ = ["MarginChecks", "RegionChecks", "judge"]

WELL_CALIBRATED = "well calibrated"
TOO_FEW = "too few rows to tell"
OVER, UNDER, SHAPE = "over-confident", "under-confident", "not calibrated in shape"

# Below the first nothing is said; below the second the absence of a finding says nothing, because
# scales off by a factor of 1.5 and biases of half a standard deviation can go unnoticed.
FEWEST_ROWS, ENOUGH_ROWS = 10, 100

# A wrong spread makes the error of the regions twice that of the PIT values for one mode, more for
# several. A skewness moves targets out of the regions too, but by little more than in the PIT.
DEEPER = 1.5


@final
@dataclass(frozen=True)
class MarginChecks:
    """Checks of the PIT values of one dimension.

    Attributes:
        bias: Whether targets lie to one side of their densities.
        spread: Whether they spread as much as their densities say.
        kolmogorov_smirnov: Whether PIT values are uniform, by their distribution function.
        chi_square: Whether they are, by their histogram.
    """

    bias: Check
    spread: Check
    kolmogorov_smirnov: Check
    chi_square: Check


@final
@dataclass(frozen=True)
class RegionChecks:
    """Checks of the density levels.

    Attributes:
        coverage: Whether highest-density regions hold what they claim on average.
        crossing: Whether they hold too little at some levels and too much at others.
        kolmogorov_smirnov: Whether they hold what they claim at every level.
    """

    coverage: Check
    crossing: Check
    kolmogorov_smirnov: Check


def judge(
    margins: Sequence[MarginChecks],
    regions: RegionChecks,
    num_rows: int,
    significance: float,
) -> tuple[str, list[str]]:
    """Return the verdict, and sentences about deviations that are real but negligible."""
    if num_rows < FEWEST_ROWS:
        return TOO_FEW, []
    family: list[tuple[int | None, str, Check]] = []
    for d, margin in enumerate(margins):
        family += [(d, name, check) for name, check in vars(margin).items()]
    family += [(None, name, check) for name, check in vars(regions).items()]
    fails = rejected([check for _, _, check in family], significance)
    failing = [entry for entry, fail in zip(family, fails, strict=True) if fail]
    places = _places(margins, regions, {(d, name) for d, name, check in failing if check.large})
    if places:
        return " and ".join(word + _where(dims, len(margins)) for word, dims in places.items()), []
    small = ", ".join(
        f"{name.replace('_', '-')}{_where([d], len(margins))} {check.effect:.2g}"
        for d, name, check in failing
    )
    notes = [f"Significant, but too small to matter: {small}."] if small else []
    return (WELL_CALIBRATED if num_rows >= ENOUGH_ROWS else TOO_FEW), notes


def _places(
    margins: Sequence[MarginChecks], regions: RegionChecks, found: set[tuple[int | None, str]]
) -> dict[str, list[int | None]]:
    """Return what is wrong and in which dimensions, None for all of them together."""
    places: dict[str, list[int | None]] = {}
    for d, margin in enumerate(margins):
        for word in _margin_words(margin, {name for place, name in found if place == d}):
            places.setdefault(word, []).append(d)
    if _moves_out(margins, found):
        return places
    single = len(margins) == 1
    crossing = (None, "crossing") in found
    margin_error = max(margin.kolmogorov_smirnov.effect for margin in margins)
    deeper = regions.kolmogorov_smirnov.effect > DEEPER * margin_error
    if (None, "coverage") in found and deeper and not crossing:
        places.pop(SHAPE, None)
        places.setdefault(OVER if regions.coverage.effect > 0.0 else UNDER, [None])
    # Too narrow within modes that lie too far apart, for instance, is both.
    mixed = single and {OVER, UNDER} <= set(places)
    if mixed or crossing:
        if single:
            places = {word: dims for word, dims in places.items() if word not in {OVER, UNDER}}
        places.setdefault(SHAPE, [None])
    elif not places and any(place is None for place, _ in found):
        places[SHAPE] = [None]
    return places


def _margin_words(margin: MarginChecks, found: set[str]) -> list[str]:
    """Return what is wrong with one dimension; shape only if bias and spread do not explain it."""
    words = []
    if "bias" in found:
        words.append("biased low" if margin.bias.effect > 0.0 else "biased high")
    if "spread" in found:
        words.append(OVER if margin.spread.effect > 1.0 else UNDER)
    return words or ([SHAPE] if found else [])


def _moves_out(margins: Sequence[MarginChecks], found: set[tuple[int | None, str]]) -> bool:
    """Return whether a bias alone moves targets out of the highest-density regions.

    Under a bias m, the mean level of one normal component is P(|Z'| < |Z + m|) = p² + (1 − p)²
    with p = Φ(m/√2).
    """
    for d, margin in enumerate(margins):
        if (d, "bias") in found:
            p = float(ndtr(margin.bias.effect / math.sqrt(2.0)))
            if p**2 + (1.0 - p) ** 2 - 0.5 > LARGEST_COVERAGE_ERROR:
                return True
    return False


def _where(dims: Sequence[int | None], size: int) -> str:
    """Return the place of a finding in several dimensions."""
    if size == 1:
        return ""
    if None in dims:
        return " jointly"
    plural = "s" if len(dims) > 1 else ""
    return f" in dimension{plural} {', '.join(str(d) for d in dims)}"
