"""Where targets fall in their densities: PIT values, normal scores, and highest-density levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammainc, ndtr, ndtri_exp

from tfp_mdn._validation import (
    FloatArray,
    as_finite_array,
    as_generator,
    as_rows,
    as_whole_number,
)
from tfp_mdn.mixture._methods import Mixture

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["paired_targets", "as_steps", "density_levels", "normal_scores", "pit_values"]

# A target beyond the reach of log P(Y ≤ y) has an infinite score, with which nothing can be
# computed; squares of this one are finite.
LARGEST_SCORE = 1e100

# Densities of draws that are held at a time: a million draws of a hundred rows each would not fit.
DRAWS_AT_ONCE = 1 << 20

# How far a target may be from a point of the lattice: in steps, and in its own rounding error.
STEP_TOLERANCE, ROUNDING = 1e-6, 4.0 * float(np.finfo(np.float64).eps)


def pit_values(
    parameters: Mixture,
    y: ArrayLike,
    *,
    lattice: ArrayLike | None = None,
    rng: np.random.Generator | int | None = None,
) -> FloatArray:
    r"""Return the probability integral transform P(Y_d ≤ y_d) of each target and dimension.

    It is uniform on [0, 1] if the targets were drawn from these densities. Targets that were
    rounded to a lattice of step 2h stand for cells, and the randomised transform

        u = P(Y < y − h) + U P(y − h < Y ≤ y + h),  U ~ U(0, 1),

    is again uniform. For D > 1 each dimension is transformed with its marginal density.

    Args:
        parameters: Mixtures of N rows in D dimensions.
        y: Targets (N, D), or (N,) for D = 1, in the target's units.
        lattice: Step of the lattice to whose nearest points targets were rounded, in the target's
            units: a number, or (D,) with 0 for a dimension that was not. Targets that were cut off
            instead lie in the middle of their cells as y + step / 2.
        rng: Generator, integer seed, or None for fresh randomness; used for a lattice alone.

    Returns:
        Array (N, D), from 0 to 1.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `y` is not finite or does not fit, or `lattice` is negative, of another
            shape, or the targets are not on one of that step.

    References:
        A. P. Dawid (1984), Statistical theory: the prequential approach, Journal of the Royal
        Statistical Society A 147, 278-292, https://doi.org/10.2307/2981683.
        C. Czado, T. Gneiting, L. Held (2009), Predictive model assessment for count data,
        Biometrics 65, 1254-1261, https://doi.org/10.1111/j.1541-0420.2009.01191.x.

    Example:
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> p = MixtureParameters([[1.0], [1.0]], [[0.0], [5.0]], [[1.0], [4.0]])
        >>> pit_values(p, [0.0, 7.0]).round(4)
        array([[0.5   ],
               [0.8413]])
        >>> u = pit_values(p, [0.0, 7.0], lattice=1.0, rng=0)
        >>> bool((p.cdf([-0.5, 6.5]) <= u[:, 0]).all() and (u[:, 0] <= p.cdf([0.5, 7.5])).all())
        True
    """
    result: FloatArray = ndtr(normal_scores(parameters, y, lattice=lattice, rng=rng))
    return result


def normal_scores(
    parameters: Mixture,
    y: ArrayLike,
    *,
    lattice: ArrayLike | None = None,
    rng: np.random.Generator | int | None = None,
) -> FloatArray:
    """Return Φ⁻¹ of the PIT values, which is N(0, 1) if the targets were drawn from the densities.

    For one component it is (y − μ) / σ. It is computed in log space from the smaller tail, so that
    it keeps its digits where the PIT value rounds to 0 or 1.

    Args:
        parameters: As for `pit_values`.
        y: As for `pit_values`.
        lattice: As for `pit_values`.
        rng: As for `pit_values`.

    Returns:
        Array (N, D), finite, no unit.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: As for `pit_values`.

    Example:
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> normal_scores(MixtureParameters([[1.0]], [[5.0]], [[4.0]]), [105.0]).round(4)
        array([[50.]])
    """
    targets = paired_targets(parameters, y)
    steps = as_steps(lattice, targets)
    generator = as_generator("rng", rng)
    result = np.empty_like(targets)
    for d, step in enumerate(steps):
        margin, column = parameters.marginal(d), targets[:, d]
        if step == 0.0:
            lower, upper = margin.log_cdf(column), margin.log_survival_function(column)
        else:
            share = generator.random(len(column))
            below, above = column - 0.5 * step, column + 0.5 * step
            lower = _log_blend(share, margin.log_cdf(below), margin.log_cdf(above))
            upper = _log_blend(
                share, margin.log_survival_function(below), margin.log_survival_function(above)
            )
        score = ndtri_exp(np.minimum(lower, upper))
        result[:, d] = np.where(lower <= upper, score, -score)
    return np.clip(result, -LARGEST_SCORE, LARGEST_SCORE)


def density_levels(
    parameters: Mixture,
    y: ArrayLike,
    *,
    lattice: ArrayLike | None = None,
    num_draws: int = 100,
    rng: np.random.Generator | int | None = None,
) -> FloatArray:
    """Return P(p(Y) > p(y)): the coverage of the highest-density region on whose edge y lies.

    It is uniform on [0, 1] if the targets were drawn from these densities, in any number of
    dimensions, and a target lies in the region of coverage c if its level is at most c. One
    normal component has the closed form P(χ²_D < (y − μ)ᵀ Σ⁻¹ (y − μ)). Otherwise the level is the
    place of p(y) among the densities of draws, (number greater + U) / (number of draws + 1). That
    estimate is itself uniform exactly, however few the draws: target and draws are exchangeable.

    Args:
        parameters: Mixtures of N rows in D dimensions.
        y: Targets (N, D), or (N,) for D = 1, in the target's units.
        lattice: As for `pit_values`; draws are rounded to the same lattice.
        num_draws: Draws for each row; the standard error of one level is at most 0.5 / √num_draws.
        rng: Generator, integer seed, or None for fresh randomness.

    Returns:
        Array (N,), from 0 (at the mode) to 1.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: As for `pit_values`, or if `num_draws` is below 1.

    References:
        R. J. Hyndman (1996), Computing and graphing highest density regions, The American
        Statistician 50, 120-126, https://doi.org/10.2307/2684423.

    Example:
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> p = MixtureParameters([[1.0]], [[[0.0, 0.0]]], [[[1.0, 4.0]]])
        >>> density_levels(p, [[0.0, 2.0]]).round(4)
        array([0.3935])
    """
    targets = paired_targets(parameters, y)
    steps = as_steps(lattice, targets)
    size = as_whole_number("num_draws", num_draws)
    generator = as_generator("rng", rng)
    if parameters.family == "normal" and parameters.num_components == 1 and not steps.any():
        peak = parameters.log_prob(parameters.means[:, 0])
        result: FloatArray = gammainc(
            0.5 * parameters.event_size, np.maximum(peak - parameters.log_prob(targets), 0.0)
        )
        return result
    # Targets and draws are put on the lattice by the same arithmetic, so that equal densities tie.
    rounded = steps > 0.0
    origin, step = targets[0, rounded], steps[rounded]
    targets = targets.copy()
    targets[:, rounded] = _nearest(targets[:, rounded], origin, step)
    levels = np.empty(len(targets))
    block = max(1, DRAWS_AT_ONCE // (size * parameters.event_size))
    for start in range(0, len(targets), block):
        rows = slice(start, start + block)
        mixture, points = parameters[rows], targets[rows]
        draws = mixture.sample(size, generator)
        draws[..., rounded] = _nearest(draws[..., rounded], origin, step)
        own, others = mixture.log_prob(points), mixture.log_prob(draws)
        greater, equal = (others > own).sum(axis=0), (others == own).sum(axis=0)
        levels[rows] = (greater + generator.random(len(points)) * (equal + 1)) / (size + 1)
    return levels


def paired_targets(parameters: Mixture, y: ArrayLike) -> FloatArray:
    """Return targets (N, D), one for each row of the mixtures.

    Raises:
        TypeError: If `parameters` holds no mixtures, or `y` does not hold real numbers.
        ValueError: If `y` is empty, not finite or does not fit.
    """
    if not isinstance(parameters, Mixture):
        msg = (
            f"parameters must be a MixtureParameters, got {type(parameters).__name__}. "
            "Get one from extract_parameters(model, x) or MDNRegressor.predict_parameters(x)."
        )
        raise TypeError(msg)
    targets = as_rows("y", y, num_columns=parameters.event_size)
    if len(targets) != parameters.num_inputs:
        msg = (
            f"y must have one target for each of the {parameters.num_inputs} rows of parameters, "
            f"got {len(targets)}. Pass the parameters of the inputs that belong to y."
        )
        raise ValueError(msg)
    return targets


def as_steps(lattice: ArrayLike | None, targets: FloatArray) -> FloatArray:
    """Return the step of each dimension's lattice (D,), 0 where there is none.

    Raises:
        TypeError: If `lattice` does not hold real numbers.
        ValueError: If a step is negative, or targets are not on a lattice of that step.
    """
    event_size = targets.shape[1]
    if lattice is None:
        return np.zeros(event_size)
    steps = as_finite_array("lattice", lattice)
    if steps.shape not in {(), (event_size,)} or (steps < 0.0).any():
        msg = (
            f"lattice must be a step of at least 0, or have shape (D,) = ({event_size},), "
            f"got {lattice!r}."
        )
        raise ValueError(msg)
    steps = np.broadcast_to(steps, (event_size,))
    for step, column in zip(steps, targets.T, strict=True):
        if step == 0.0:
            continue
        cells = (column - column[0]) / step
        slack = STEP_TOLERANCE + ROUNDING * np.abs(column).max() / step
        off = np.abs(cells - np.rint(cells)) > slack
        if off.any():
            msg = (
                f"y must lie on a lattice of step {step:g}, but {column[0]:g} and "
                f"{column[off][0]:g} do not differ by a multiple of it. Pass the step to which "
                "the targets were rounded, or lattice=None if they were not."
            )
            raise ValueError(msg)
    return steps


def _nearest(values: FloatArray, origin: FloatArray, step: FloatArray) -> FloatArray:
    """Return the nearest points of a lattice through the origin."""
    return origin + np.rint((values - origin) / step) * step


def _log_blend(share: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    """Return log((1 − share) exp(first) + share exp(second))."""
    with np.errstate(divide="ignore"):
        result: FloatArray = np.logaddexp(np.log1p(-share) + first, np.log(share) + second)
    return result
