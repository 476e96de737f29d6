"""The classic problems of the mixture-density literature: sinusoids, spiral, cardioid."""

from __future__ import annotations

import numpy as np

from tfp_mdn._validation import FloatArray, as_real
from tfp_mdn.datasets.problem import (
    ForwardProblem,
    InverseProblem,
    Problem,
    ScatteredProblem,
)
from tfp_mdn.datasets.quadrature import Curve, Points

__all__ = ["cardioid", "inverse_sinusoid", "noisy_spiral", "sinusoid"]

# Less noise than this is lost in the rounding of float64 coordinates of size 10.
_LEAST_NOISE = 1e-6
_MOST_NOISE = 1e6
# The time for one density grows with the length of the curve; these take milliseconds a row.
_LARGEST_LIMIT, _MOST_REVOLUTIONS = 1e3, 1e2
# Pictures and normalisation reach this many noise widths beyond the noiseless curve.
_NOISE_WIDTHS = 2.5
_NORMALISED_SIZE = 5.0
# Points per unit of latent variable on which a curve's extent is measured, to 1e-6 of its bend.
_EXTENT_DENSITY = 1000


def inverse_sinusoid(limit: float = 10.5, noise: float = 1.0) -> Problem:
    r"""The inverse sinusoid: several targets for one input, the standard test of an MDN.

    .. math:: y \sim U(-l, l), \qquad x = 7 \sin(0.75 y) + 0.5 y + \sigma \epsilon,
        \qquad \epsilon \sim N(0, 1)

    Args:
        limit: Largest absolute target l, in units of y; above 0 and below 1000.
        noise: Standard deviation of x about the curve, in units of x; from 1e-6 to 1e6.

    Returns:
        The problem. Its entropy is 1.2880 nats at the defaults and 1.3263 with `limit=10`.

    Raises:
        TypeError: If an argument is not a real number.
        ValueError: If an argument is out of bounds.

    References:
        Bishop, C. M. (1994). Mixture Density Networks. Technical report NCRG/94/004, Aston
        University. https://publications.aston.ac.uk/id/eprint/373/

    Example:
        >>> x, y = inverse_sinusoid().sample(1000, rng=0)
        >>> bool(abs(y).max() <= 10.5)
        True
    """
    limit = as_real("limit", limit, above=0.0, below=_LARGEST_LIMIT)
    noise = _as_noise(noise)
    curve = _wave_curve(limit)
    return InverseProblem(
        name="inverse sinusoid",
        noise=noise,
        x_range=_extent(curve, noise)[0],
        y_range=(-limit, limit),
        curve=curve,
    )


def sinusoid(limit: float = 10.5, noise: float = 1.0) -> Problem:
    r"""The forward sinusoid: one target for each input, with constant Gaussian noise.

    .. math:: x \sim U(-l, l), \qquad y = 7 \sin(0.75 x) + 0.5 x + \sigma \epsilon,
        \qquad \epsilon \sim N(0, 1)

    Args:
        limit: Largest absolute input l, in units of x; above 0 and below 1000.
        noise: Standard deviation of y about the curve, in units of y; from 1e-6 to 1e6.

    Returns:
        The problem. Its entropy is log(2 pi e noise^2) / 2, so 1.4189 nats at the defaults.
        `log_prob` follows the same formula for inputs beyond the limit.

    Raises:
        TypeError: If an argument is not a real number.
        ValueError: If an argument is out of bounds.

    References:
        Bishop, C. M. (1994). Mixture Density Networks. Technical report NCRG/94/004, Aston
        University. https://publications.aston.ac.uk/id/eprint/373/

    Example:
        >>> round(sinusoid(noise=0.5).entropy(), 4)
        0.7258
    """
    limit = as_real("limit", limit, above=0.0, below=_LARGEST_LIMIT)
    noise = _as_noise(noise)
    return ForwardProblem(
        name="sinusoid",
        noise=noise,
        x_range=(-limit, limit),
        y_range=_extent(_wave_curve(limit), noise)[0],
        function=_wave,
    )


def noisy_spiral(
    revolutions: float = 2.0, noise: float = 0.2, *, normalise: bool = False
) -> Problem:
    r"""Archimedes' spiral with Gaussian noise on both axes: up to five targets for one input.

    .. math:: t \sim U(0, 2 \pi m), \qquad x = t \cos t + \sigma \epsilon_1,
        \qquad y = t \sin t + \sigma \epsilon_2

    Args:
        revolutions: Number of turns m; above 0 and below 100.
        noise: Standard deviation on each axis, in raw units; from 1e-6 to 1e6.
        normalise: Whether to map both axes by the same fixed shift and factor, so that the wider
            extent of the noiseless curve, with 2.5 noise widths on either side, becomes [0, 5].
            The constants depend on the arguments alone, not on a sample, so that training and
            test data agree; they are the attributes `shift` and `factor` of the problem.

    Returns:
        The problem. Its entropy at the defaults is 1.2045 nats in raw units, and by the change of
        variables 1.2045 + log(factor) = -0.389 nats in normalised ones, where factor is 0.203.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of bounds.

    Example:
        >>> problem = noisy_spiral(normalise=True)
        >>> round(problem.factor, 3)
        0.203
    """
    revolutions = as_real("revolutions", revolutions, above=0.0, below=_MOST_REVOLUTIONS)
    noise = _as_noise(noise)
    if not isinstance(normalise, bool):
        msg = f"normalise must be True or False, got {normalise!r}."
        raise TypeError(msg)
    angle = 2 * np.pi * revolutions
    curve = Curve(
        low=0.0,
        high=angle,
        position=_spiral,
        velocity=_spiral_velocity,
        speed=float(np.hypot(1.0, angle)),
        bend=float(np.hypot(2.0, angle)),
    )
    x_range, y_range = _extent(curve, noise)
    shift, factor = 0.0, 1.0
    if normalise:
        shift = min(x_range[0], y_range[0])
        factor = _NORMALISED_SIZE / (max(x_range[1], y_range[1]) - shift)
    return ScatteredProblem(
        name="noisy spiral",
        noise=noise,
        x_range=((x_range[0] - shift) * factor, (x_range[1] - shift) * factor),
        y_range=((y_range[0] - shift) * factor, (y_range[1] - shift) * factor),
        shift=shift,
        factor=factor,
        curve=curve,
    )


def cardioid(noise: float = 0.1) -> Problem:
    r"""A cardioid with Gaussian noise on both axes: two targets for one input.

    .. math:: t \sim U(-\pi, \pi), \quad r = 2 (1 - \cos t), \quad
        x = r \sin t + \sigma \epsilon_1, \quad y = r \cos t + \sigma \epsilon_2

    Args:
        noise: Standard deviation on each axis, in units of x and y; from 1e-6 to 1e6.

    Returns:
        The problem. Its entropy at the default is 0.0750 nats.

    Raises:
        TypeError: If `noise` is not a real number.
        ValueError: If `noise` is out of bounds.

    References:
        The example of `tfp.layers.MixtureNormal` in the TensorFlow Probability documentation.
        https://www.tensorflow.org/probability/api_docs/python/tfp/layers/MixtureNormal

    Example:
        >>> round(cardioid().entropy(), 3)
        0.075
    """
    noise = _as_noise(noise)
    curve = Curve(
        low=-np.pi,
        high=np.pi,
        position=_cardioid,
        velocity=_cardioid_velocity,
        speed=4.0,
        bend=6.0,
    )
    x_range, y_range = _extent(curve, noise)
    return ScatteredProblem(
        name="cardioid", noise=noise, x_range=x_range, y_range=y_range, curve=curve
    )


def _as_noise(noise: object) -> float:
    return as_real("noise", noise, minimum=_LEAST_NOISE, below=_MOST_NOISE)


def _wave(t: FloatArray) -> FloatArray:
    return 7.0 * np.sin(0.75 * t) + 0.5 * t


def _wave_velocity(t: FloatArray) -> FloatArray:
    return 5.25 * np.cos(0.75 * t) + 0.5


def _wave_curve(limit: float) -> Curve:
    return Curve(
        low=-limit,
        high=limit,
        position=_wave,
        velocity=_wave_velocity,
        speed=5.75,
        bend=3.9375,
    )


def _spiral(t: FloatArray) -> Points:
    return t * (np.cos(t) + 1j * np.sin(t))


def _spiral_velocity(t: FloatArray) -> Points:
    return (1.0 + 1j * t) * (np.cos(t) + 1j * np.sin(t))


def _cardioid(t: FloatArray) -> Points:
    return 2.0 * (1.0 - np.cos(t)) * (np.sin(t) + 1j * np.cos(t))


def _cardioid_velocity(t: FloatArray) -> Points:
    # Product rule with d/dt (sin t + i cos t) = -i (sin t + i cos t).
    return 2.0 * (np.sin(t) - 1j * (1.0 - np.cos(t))) * (np.sin(t) + 1j * np.cos(t))


def _extent(curve: Curve, noise: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ranges of x and y on the noiseless curve, widened on either side for the noise."""
    num_points = 2 + int(_EXTENT_DENSITY * (curve.high - curve.low))
    position = curve.position(np.linspace(curve.low, curve.high, num_points))
    margin = _NOISE_WIDTHS * noise
    x_range, y_range = (
        (float(axis.min()) - margin, float(axis.max()) + margin)
        for axis in (position.real, position.imag)
    )
    return x_range, y_range
