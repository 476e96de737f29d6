"""Scores of mixtures against observed targets; all are proper, and lower is better in all of them.

Each takes mixtures of N rows and targets, one a row or a grid as `MixtureParameters` describes, and
gives one score a row, so that means, weights and standard errors remain the caller's choice.

References:
    T. Gneiting, A. E. Raftery (2007), Strictly proper scoring rules, prediction, and estimation,
    Journal of the American Statistical Association 102, 359-378,
    https://doi.org/10.1198/016214506000001437.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfp_mdn._validation import (
    FloatArray,
    as_finite_array,
    as_generator,
    as_real,
    as_whole_number,
)
from tfp_mdn.mixture import _scores
from tfp_mdn.mixture._arguments import as_levels, as_targets
from tfp_mdn.mixture._mixture import MixtureKernels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "censored_log_score",
    "crps",
    "energy_score",
    "interval_score",
    "log_score",
    "quantile_loss",
]


def log_score(parameters: MixtureKernels, y: ArrayLike) -> FloatArray:
    """Return −log p(y), the negative log density; lower is better.

    Args:
        parameters: Mixtures of N rows in D dimensions.
        y: Finite targets, one a row or a grid.

    Returns:
        Array (N,), or (M, N) for a grid, in nats. It depends on the target's units: in units c
        times as large it is D log c smaller.

    Raises:
        TypeError: If `parameters` is something else, or `y` does not hold real numbers.
        ValueError: If `y` is not finite, or its shape does not fit or is ambiguous.

    References:
        I. J. Good (1952), Rational decisions, Journal of the Royal Statistical Society B 14,
        107-114, https://doi.org/10.1111/j.2517-6161.1952.tb00104.x.

    Example:
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> p = MixtureParameters([[0.5, 0.5]], [[-1.0, 1.0]], [[0.25, 0.25]])
        >>> log_score(p, [1.0]).round(4)
        array([0.9186])
    """
    mixture = _as_mixture(parameters)
    targets = as_targets("y", y, mixture.num_inputs, mixture.event_size)
    return -mixture._log_prob(targets)


def crps(parameters: MixtureKernels, y: ArrayLike) -> FloatArray:
    r"""Return the continuous ranked probability score in closed form; lower is better.

        CRPS = ∫ (P(Y ≤ t) − 1{y ≤ t})² dt = E|Y − y| − ½ E|Y − Y'|

    for independent Y, Y' of the mixture. With A(μ, σ²) = 2σ φ(μ/σ) + μ (2Φ(μ/σ) − 1) it is
    Σₖ wₖ A(y − μₖ, σₖ²) − ½ Σⱼ Σₖ wⱼ wₖ A(μⱼ − μₖ, σⱼ² + σₖ²). It is |y − m| for a point mass at m.

    Args:
        parameters: Mixtures of N rows in one dimension.
        y: Finite targets, one a row or a grid.

    Returns:
        Array (N,), or (M, N) for a grid, in the target's units, never negative.

    Raises:
        TypeError: If `parameters` is something else, or `y` does not hold real numbers.
        ValueError: If D is not 1, `y` is not finite, or its shape does not fit or is ambiguous.

    References:
        E. P. Grimit, T. Gneiting, V. J. Berrocal, N. A. Johnson (2006), The continuous ranked
        probability score for circular variables and its application to mesoscale forecast
        ensemble verification, Quarterly Journal of the Royal Meteorological Society 132,
        2925-2942, https://doi.org/10.1256/qj.05.235.

    Example:
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> deviations = np.array([[0.5, 1.4, 0.7]])
        >>> p = MixtureParameters(np.full((1, 3), 1 / 3), [[0.0, -2.9, 0.9]], deviations**2)
        >>> crps(p, 0.3).round(7)
        array([0.4510451])
    """
    mixture = _as_line("crps", parameters)
    targets = as_targets("y", y, mixture.num_inputs, 1)
    return mixture._crps(targets)


def energy_score(
    parameters: MixtureKernels,
    y: ArrayLike,
    *,
    size: int = 1000,
    rng: np.random.Generator | int | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Estimate the energy score E‖Y − y‖ − ½ E‖Y − Y'‖ from samples; lower is better.

    It is the CRPS in D dimensions and has no closed form for D > 1. The estimate is the unbiased
    mean over `size` independent pairs of draws.

    Args:
        parameters: Mixtures of N rows in D dimensions, best of like units.
        y: Finite targets, one a row.
        size: Number of pairs of draws for each row, at least 2.
        rng: Generator, integer seed, or None for fresh randomness.

    Returns:
        The estimates and their standard errors, each (N,), in the target's units.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `y` is not finite, is a grid or does not fit, or `size` is below 2.

    References:
        Gneiting and Raftery (2007), section 4.3, as above.

    Example:
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> p = MixtureParameters([[1.0]], [[[0.0, 0.0]]], [[[1.0, 1.0]]])
        >>> score, error = energy_score(p, [[0.0, 0.0]], size=10_000, rng=0)
        >>> exact = np.sqrt(np.pi / 2) * (1 - np.sqrt(0.5))
        >>> bool(np.abs(score[0] - exact) < 4 * error[0] < 0.04)
        True
    """
    mixture = _as_mixture(parameters)
    targets = as_targets("y", y, mixture.num_inputs, mixture.event_size, allow_grid=False)
    pairs = as_whole_number("size", size, minimum=2)
    return _scores.energy_score(targets, pairs, mixture, as_generator("rng", rng))


def interval_score(parameters: MixtureKernels, y: ArrayLike, coverage: float = 0.9) -> FloatArray:
    """Return the score of the central interval [l, u] of this coverage; lower is better.

        (u − l) + 2/α (l − y)⁺ + 2/α (y − u)⁺   with α = 1 − coverage

    Args:
        parameters: Mixtures of N rows in one dimension.
        y: Finite targets, one a row or a grid.
        coverage: Probability inside the interval, strictly between 0 and 1.

    Returns:
        Array (N,), or (M, N) for a grid, in the target's units, never negative.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If D is not 1, `y` is not finite, its shape does not fit or is ambiguous, or
            `coverage` is not between 0 and 1.

    References:
        Gneiting and Raftery (2007), section 6.2, as above.

    Example:
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> p = MixtureParameters([[1.0]], [[0.0]], [[1.0]])
        >>> interval_score(p, [[[0.0]], [[3.0]]], coverage=0.95).round(3)
        array([[ 3.92 ],
               [45.521]])
    """
    mixture = _as_line("interval_score", parameters)
    targets = as_targets("y", y, mixture.num_inputs, 1)
    alpha = 1.0 - as_real("coverage", coverage, above=0.0, below=1.0)
    ends = mixture._quantile(np.full(2, 0.5 * alpha), np.array([False, True]))
    return _scores.interval_score(targets, alpha, ends)


def quantile_loss(parameters: MixtureKernels, y: ArrayLike, q: ArrayLike) -> FloatArray:
    """Return the pinball loss of the quantiles at levels q; lower is better.

        (y − y_q) (q − 1{y < y_q})   with P(Y ≤ y_q) = q

    Twice its integral over q from 0 to 1 is the CRPS.

    Args:
        parameters: Mixtures of N rows in one dimension.
        y: Finite targets, one a row or a grid.
        q: A level or an array of levels (Q,), strictly between 0 and 1.

    Returns:
        Array (N,) for one level, (Q, N) for an array of them, with M before N for a grid; in the
        target's units, never negative.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If D is not 1, `y` is not finite, its shape does not fit or is ambiguous, or a
            level is not between 0 and 1.

    References:
        R. Koenker, G. Bassett (1978), Regression quantiles, Econometrica 46, 33-50,
        https://doi.org/10.2307/1913643.

    Example:
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> p = MixtureParameters([[1.0]], [[0.0]], [[1.0]])
        >>> quantile_loss(p, [2.0], [0.1, 0.5, 0.9]).round(3)
        array([[0.328],
               [1.   ],
               [0.647]])
    """
    mixture = _as_line("quantile_loss", parameters)
    targets = as_targets("y", y, mixture.num_inputs, 1)
    levels = as_levels("q", q)
    if ((levels == 0.0) | (levels == 1.0)).any():
        msg = "q must hold levels strictly between 0 and 1, got 0 or 1, whose quantile is infinite."
        raise ValueError(msg)
    flat = np.atleast_1d(levels)
    upper = flat > 0.5
    places = mixture._quantile(np.where(upper, 1.0 - flat, flat), upper)
    result = _scores.quantile_loss(targets, flat, places)
    return result[0] if levels.ndim == 0 else result


def censored_log_score(
    parameters: MixtureKernels, y: ArrayLike, half_width: ArrayLike
) -> FloatArray:
    """Return −log P(y − h < Y ≤ y + h), for targets that were rounded; lower is better.

    The log score of targets on a lattice can be made as good as one likes by narrow components on
    its points; this one is at least 0 and cannot.

    Args:
        parameters: Mixtures of N rows in one dimension.
        y: Finite targets, one a row or a grid: the points of the lattice.
        half_width: Half the step of the lattice h, positive: a number, or an array (N,).

    Returns:
        Array (N,), or (M, N) for a grid, in nats, never negative. For small h it comes close to
        `log_score` − log 2h.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If D is not 1, `y` is not finite, its shape does not fit or is ambiguous, or
            `half_width` is not positive or of another shape.

    References:
        D. F. Heitjan (1989), Inference from grouped continuous data, Statistical Science 4,
        164-179, https://doi.org/10.1214/ss/1177012601.

    Example:
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> p = MixtureParameters([[1.0]], [[0.0]], [[1.0]])
        >>> np.exp(-censored_log_score(p, 0.0, half_width=1.0)).round(4)
        array([0.6827])
    """
    mixture = _as_line("censored_log_score", parameters)
    targets = as_targets("y", y, mixture.num_inputs, 1)
    width = as_finite_array("half_width", half_width)
    if width.shape not in {(), (mixture.num_inputs,)}:
        msg = (
            f"half_width must be a number or have shape (N,) = ({mixture.num_inputs},), "
            f"got shape {width.shape}."
        )
        raise ValueError(msg)
    if (width <= 0.0).any():
        msg = f"half_width must be positive, got {float(width[width <= 0.0].flat[0])}."
        raise ValueError(msg)
    width = np.broadcast_to(width, (mixture.num_inputs,))
    return -mixture._censored_log_prob(targets, width)


def _as_mixture(parameters: MixtureKernels) -> MixtureKernels:
    """Return the parameters if they are what they should be."""
    if not isinstance(parameters, MixtureKernels):
        msg = f"parameters must be a MixtureParameters, got {type(parameters).__name__}."
        raise TypeError(msg)
    return parameters


def _as_line(function: str, parameters: MixtureKernels) -> MixtureKernels:
    """Return the parameters of mixtures in one dimension."""
    mixture = _as_mixture(parameters)
    mixture._require_single_dimension(function)
    return mixture
