"""What a problem with a known conditional density can do, and the three kinds there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from tfp_mdn._validation import FloatArray, as_generator, as_rows, as_whole_number
from tfp_mdn.datasets.quadrature import (
    Curve,
    axis_entropy,
    conditional_entropy,
    log_density,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["ForwardProblem", "InverseProblem", "Problem", "ScatteredProblem"]

# An x this many noise widths off the curve leaves p(x, y) and p(x) so small that their
# difference in log space has no correct digits left.
_FARTHEST_X = 1e6
# Distances above this, in noise widths, would overflow when squared.
_FARTHEST = 1e150
_LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, kw_only=True)
class Problem(ABC):
    """A joint distribution of one input x and one target y whose p(y | x) is known exactly.

    The functions `inverse_sinusoid`, `sinusoid`, `noisy_spiral` and `cardioid` make one.

    Attributes:
        name: Name of the problem.
        noise: Standard deviation of the Gaussian noise, in raw units.
        x_range: Interval of x that a picture should show: the noiseless curve and, where the axis
            has noise, 2.5 noise widths on either side.
        y_range: The same for y.
        shift: Both axes are mapped by factor * (raw value - shift); 0 unless the problem was asked
            for in normalised units.
        factor: See `shift`; 1 unless the problem was asked for in normalised units.
    """

    name: str
    noise: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    shift: float = 0.0
    factor: float = 1.0

    _farthest_x: ClassVar[float] = _FARTHEST_X

    def sample(
        self, n: int, rng: np.random.Generator | int | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Draw independent pairs from the joint distribution.

        Args:
            n: Number of pairs, at least 1.
            rng: Random generator, integer seed, or None for a fresh draw every time.

        Returns:
            x and y, each of shape (n, 1), float64.

        Raises:
            TypeError: If `n` is not an integer or `rng` is of another type.
            ValueError: If `n` is below 1 or a seed is negative.

        Example:
            >>> from tfp_mdn.datasets import cardioid
            >>> x, y = cardioid().sample(3, rng=0)
            >>> x.shape, y.shape
            ((3, 1), (3, 1))
        """
        n = as_whole_number("n", n)
        x, y = self._sample(n, as_generator("rng", rng))
        x, y = ((axis - self.shift) * self.factor for axis in (x, y))
        return x[:, np.newaxis], y[:, np.newaxis]

    def log_prob(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        """Exact log density of y given x.

        Args:
            x: Inputs, shape (n,) or (n, 1).
            y: Targets, shape (n,) or (n, 1), one for each input.

        Returns:
            log p(y | x) in nats, shape (n,); minus infinity where y is impossible. The absolute
            error is about 1e-15 times the squared distance from the curve in noise widths.

        Raises:
            TypeError: If `x` or `y` does not hold real numbers.
            ValueError: If a value is NaN or infinite, a shape is another, the numbers of rows
                differ, or an x lies more than a million noise widths off the curve.

        Example:
            >>> from tfp_mdn.datasets import sinusoid
            >>> problem = sinusoid(noise=1.0)
            >>> float(problem.log_prob([0.0], [0.0])[0].round(6))
            -0.918939
        """
        x = as_rows("x", x, num_columns=1)[:, 0]
        y = as_rows("y", y, num_columns=1)[:, 0]
        if len(x) != len(y):
            msg = (
                f"y must have as many rows as x ({len(x)}), got {len(y)}. "
                "Repeat x to evaluate several targets at one input."
            )
            raise ValueError(msg)
        reach = self._farthest_x * self.noise * self.factor
        low, high = self.x_range[0] - reach, self.x_range[1] + reach
        if x.min() < low or x.max() > high:
            bad = x[np.argmax(np.maximum(low - x, x - high))]
            msg = (
                f"x must lie between {low:g} and {high:g}, a million noise widths off the curve, "
                f"for log_prob to be exact; got {bad:g}. Drop such rows first."
            )
            raise ValueError(msg)
        y = np.clip(y, -_FARTHEST * self.noise, _FARTHEST * self.noise)
        log_prob = self._log_prob(x / self.factor + self.shift, y / self.factor + self.shift)
        return log_prob - np.log(self.factor)

    def entropy(self) -> float:
        """Conditional entropy h(Y | X) in nats: the lowest mean NLL that any model can reach.

        It is computed by quadrature, to within 1e-4 nats for noise of at least a twentieth of the
        default, and kept. The first call takes a second or so at the defaults, minutes for a curve
        of many turns.

        Returns:
            The entropy in nats.

        Example:
            >>> from tfp_mdn.datasets import inverse_sinusoid
            >>> round(inverse_sinusoid().entropy(), 3)
            1.288
        """
        return self._entropy() + float(np.log(self.factor))

    @abstractmethod
    def _sample(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Raw x and y, each (n,)."""

    @abstractmethod
    def _log_prob(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Raw log p(y | x), shape (n,)."""

    @abstractmethod
    def _entropy(self) -> float:
        """Raw h(Y | X)."""


@final
@dataclass(frozen=True, kw_only=True)
class ForwardProblem(Problem):
    """A function of x plus noise on y: x is uniform over `x_range`."""

    function: Callable[[FloatArray], FloatArray]

    # The density is in closed form, so it is exact at any x.
    _farthest_x: ClassVar[float] = np.inf

    def _sample(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        x = rng.uniform(*self.x_range, n)
        return x, self.function(x) + rng.normal(0.0, self.noise, n)

    def _log_prob(self, x: FloatArray, y: FloatArray) -> FloatArray:
        return _log_normal(y, self.function(x), self.noise)

    def _entropy(self) -> float:
        return _normal_entropy(self.noise)


@final
@dataclass(frozen=True, kw_only=True)
class InverseProblem(Problem):
    """Curve on the x axis plus noise: the target is the uniform latent variable itself."""

    curve: Curve

    def _sample(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        y = rng.uniform(self.curve.low, self.curve.high, n)
        return self.curve.position(y) + rng.normal(0.0, self.noise, n), y

    def _log_prob(self, x: FloatArray, y: FloatArray) -> FloatArray:
        possible = (y >= self.curve.low) & (y <= self.curve.high)
        log_prior = np.where(possible, -np.log(self.curve.high - self.curve.low), -np.inf)
        log_likelihood = _log_normal(x, self.curve.position(y), self.noise)
        return log_likelihood + log_prior - _log_marginal(x, self.curve, self.noise)

    def _entropy(self) -> float:
        # h(Y | X) = h(Y) + h(X | Y) - h(X)
        of_target = float(np.log(self.curve.high - self.curve.low))
        return of_target + _normal_entropy(self.noise) - axis_entropy(self.curve, self.noise)


@final
@dataclass(frozen=True, kw_only=True)
class ScatteredProblem(Problem):
    """Curve in the plane plus noise on both axes: the latent variable is not observed."""

    curve: Curve

    def _sample(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        points = self.curve.position(rng.uniform(self.curve.low, self.curve.high, n))
        x = points.real + rng.normal(0.0, self.noise, n)
        return x, points.imag + rng.normal(0.0, self.noise, n)

    def _log_prob(self, x: FloatArray, y: FloatArray) -> FloatArray:
        joint = log_density(x + 1j * y, self.curve, self.noise)
        return joint - _log_marginal(x, self.curve, self.noise)

    def _entropy(self) -> float:
        return conditional_entropy(self.curve, self.noise)


def _log_marginal(x: FloatArray, curve: Curve, noise: float) -> FloatArray:
    # A grid for a picture repeats each x for hundreds of y.
    distinct, which = np.unique(x, return_inverse=True)
    return log_density(distinct, curve, noise)[which]


def _log_normal(value: FloatArray, mean: FloatArray, noise: float) -> FloatArray:
    residual = np.clip(value - mean, -_FARTHEST * noise, _FARTHEST * noise)
    return -0.5 * (residual / noise) ** 2 - 0.5 * _LOG_2PI - np.log(noise)


def _normal_entropy(noise: float) -> float:
    return 0.5 * (_LOG_2PI + 1.0) + float(np.log(noise))
