"""Highest-density regions of guaranteed coverage, in any number of dimensions (HPD-split)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from tfp_mdn._validation import FloatArray, as_generator, as_real, as_whole_number
from tfp_mdn.calibration.pit import paired_targets
from tfp_mdn.conformal import _content
from tfp_mdn.conformal._rank import num_left_out
from tfp_mdn.mixture._methods import Mixture

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["ConformalRegions", "calibrate_regions"]

# A calibrated region of no content would be the mode alone, which no search for its ends finds.
MOST_OUTSIDE = 1.0 - 1e-9


@final
@dataclass(frozen=True)
class ConformalRegions:
    """Highest-density regions of mixtures, of the content that calibration found necessary.

    Made by `calibrate_regions`.

    Attributes:
        coverage: Probability that the region of a new row holds its target, at least.
        outside: Probability outside the regions by the densities themselves. It is 1 − coverage
            where they are calibrated, less where they are too narrow, and 0 for the whole space.
        event_size: Dimensions D of the target.
        num_draws: Draws for each row that contents are estimated from if D > 1.
        num_rows: Rows that were calibrated on.
    """

    coverage: float
    outside: float
    event_size: int
    num_draws: int
    num_rows: int

    def region(self, parameters: Mixture) -> list[FloatArray]:
        """Return the regions of N rows for D = 1: N arrays (R_i, 2) of intervals, ascending.

        Raises:
            TypeError: If `parameters` is something else.
            ValueError: If D is not 1.
        """
        self._check(parameters)
        if self.event_size > 1:
            msg = (
                "region is for targets of one dimension, got event_size "
                f"{self.event_size}. Use contains, or log_density_threshold on a grid of yours."
            )
            raise ValueError(msg)
        if self.outside == 0.0:
            return [np.array([[-np.inf, np.inf]]) for _ in range(parameters.num_inputs)]
        return parameters._highest_density_region(min(self.outside, MOST_OUTSIDE))

    def contains(
        self,
        parameters: Mixture,
        y: ArrayLike,
        *,
        rng: np.random.Generator | int | None = 1,
    ) -> NDArray[np.bool_]:
        """Return whether each target, (N,) or (N, D), lies in the region of its row, (N,).

        Args:
            parameters: Mixtures of N rows.
            y: Targets, one a row.
            rng: Source of the draws if D > 1; another seed than that of the calibration, whose
                draws have to be independent of these.

        Raises:
            TypeError: If an argument is of another type.
            ValueError: If D is another than in the calibration, or `y` is not finite or does not
                fit.
        """
        self._check(parameters)
        targets = paired_targets(parameters, y)
        generator = as_generator("rng", rng)
        return _outside(parameters, targets, self.num_draws, generator) >= self.outside

    def log_density_threshold(
        self, parameters: Mixture, *, rng: np.random.Generator | int | None = 1
    ) -> FloatArray:
        """Return t (N,) in nats: the region of row n is {y: log p(y | xₙ) ≥ t[n]}.

        Args:
            parameters: Mixtures of N rows.
            rng: As for `contains`, which agrees with the thresholds of the same seed.

        Raises:
            TypeError: If an argument is of another type.
            ValueError: If D is another than in the calibration.
        """
        if self.event_size == 1:
            ends = np.array([intervals[0, 0] for intervals in self.region(parameters)])
            return parameters.log_prob(ends) if self.outside else np.full(len(ends), -np.inf)
        self._check(parameters)
        generator = as_generator("rng", rng)
        return _content.thresholds(parameters, self.outside, self.num_draws, generator)

    def _check(self, parameters: Mixture) -> None:
        if not isinstance(parameters, Mixture):
            msg = f"parameters must be a MixtureParameters, got {type(parameters).__name__}."
            raise TypeError(msg)
        if parameters.event_size != self.event_size:
            msg = (
                f"parameters must have the event_size {self.event_size} of the calibration, "
                f"got {parameters.event_size}."
            )
            raise ValueError(msg)


def calibrate_regions(
    parameters: Mixture,
    y: ArrayLike,
    *,
    coverage: float = 0.9,
    num_draws: int = 1000,
    rng: np.random.Generator | int | None = 0,
) -> ConformalRegions:
    """Return regions that hold the target of a new row with probability `coverage`, whatever y.

    This is HPD-split. The score of a row is the probability that its density has outside the
    highest-density region on whose edge the target lies,

        Uᵢ = P(p(Y | xᵢ) ≤ p(yᵢ | xᵢ)),   region(x) = {y: P(p(Y | x) ≤ p(y | x)) ≥ U₍ᵣ₎},

    with U₍ᵣ₎ the r-th smallest of the n scores and r = n + 1 − ⌈(n + 1) coverage⌉. So the regions
    are highest-density regions of another content than the stated one, unions of intervals
    where there are several modes. CD-split and CD-split+ of the same paper cut the density
    itself instead, at a height found in each cell of a partition of the inputs, whose size has to
    be chosen; the scores of HPD-split have one distribution for all x if the densities are right,
    and need no partition.

    The probability is over the calibration rows and the new row together, if these are
    exchangeable and the model has seen none of them: at least `coverage`, and less than
    coverage + 1 / (n + 1) if no scores tie. It is an average over x. Rows cannot be weighted:
    weighted rows are not exchangeable. Ties, of rounded targets for instance, can only raise the
    coverage; breaking them at random would make it exact, at the price of regions that hang on
    the toss, which is not done.

    For D = 1 scores are exact. For D > 1 they are shares of `num_draws` draws for each row, and
    the guarantee holds for these estimates as they are, however few the draws.

    Args:
        parameters: Mixtures of n held-out rows in D dimensions.
        y: Their targets, (n,) or (n, D), in the target's units.
        coverage: Probability, strictly between 0 and 1.
        num_draws: Draws for each row if D > 1.
        rng: Generator, integer seed, or None for fresh randomness; used if D > 1.

    Returns:
        The calibrated regions. With fewer than coverage / (1 − coverage) rows, or where targets
        lie so far out that the densities give them a probability of 0, they are the whole space,
        and a warning says so.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `y` is not finite or does not fit, `coverage` is not between 0 and 1, or
            `num_draws` is below 1.

    References:
        R. Izbicki, G. Shimizu, R. B. Stern (2022), CD-split and HPD-split: efficient conformal
        regions in high dimensions, Journal of Machine Learning Research 23(87), 1-32,
        https://jmlr.org/papers/v23/20-797.html (definitions 14 and 15, theorem 22).

    Example:
        >>> y = np.random.default_rng(0).normal(size=999) + np.tile([-5.0, 5.0, -5.0], 333)
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> narrow = MixtureParameters([[2 / 3, 1 / 3]] * 999, [[-5.0, 5.0]] * 999,
        ...                            [[0.25, 0.25]] * 999)
        >>> regions = calibrate_regions(narrow, y, coverage=0.9)
        >>> bool(regions.outside < 0.01)
        True
        >>> regions.region(narrow[0])[0].shape
        (2, 2)
    """
    level = as_real("coverage", coverage, above=0.0, below=1.0)
    size = as_whole_number("num_draws", num_draws)
    targets = paired_targets(parameters, y)
    scores = np.sort(_outside(parameters, targets, size, as_generator("rng", rng)))
    left_out = num_left_out(len(targets), level)
    outside = float(scores[left_out - 1]) if left_out else 0.0
    if left_out and outside == 0.0:
        warnings.warn(
            f"the densities give {int((scores == 0.0).sum())} of {len(scores)} targets a "
            "probability of 0, so every region is the whole space. Train a model with wider "
            "densities" + (", or take more draws." if targets.shape[1] > 1 else "."),
            stacklevel=2,
        )
    return ConformalRegions(level, outside, targets.shape[1], size, len(targets))


def _outside(parameters: Mixture, y: FloatArray, size: int, rng: np.random.Generator) -> FloatArray:
    """Return P(p(Y) ≤ p(y)) of each row, exact for D = 1, else a share of draws."""
    if parameters.event_size == 1:
        return _content.exact(parameters, y)
    return _content.estimated(parameters, y, size, rng)
