"""Moments as methods of `MixtureParameters`."""

from __future__ import annotations

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture import moments
from tfp_mdn.mixture._mixture import MixtureKernels

__all__ = ["MomentMethods"]


class MomentMethods(MixtureKernels):
    """Mean, spread and shape of a mixture."""

    def mean(self) -> FloatArray:
        """Return E[Y] = Σₖ wₖ μₖ, (N, D), in the target's units.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.5, 0.5]], [[-2.0, 2.0]], [[1.0, 9.0]])
            >>> p.mean()
            array([[0.]])
        """
        means, _ = self._component_moments("mean", 1)
        return moments.mean(self.weights, means)

    def variance(self) -> FloatArray:
        """Return Var(Y) = Σₖ wₖ (σₖ² + (μₖ − E[Y])²), (N, D), in the target's units squared.

        It is noise plus spread of the means, by the law of total variance.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.5, 0.5]], [[-2.0, 2.0]], [[1.0, 9.0]])
            >>> p.variance()
            array([[9.]])
        """
        return moments.variance(self.weights, *self._component_moments("variance", 2))

    def stddev(self) -> FloatArray:
        """Return the standard deviation √Var(Y), (N, D), in the target's units.

        It is right where the variance itself would overflow or vanish. A component of small weight
        that is wide or far off counts by the square of its distance, so that its tail can make
        this many times the half width of `interval(0.68)`, which hardly feels it.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.5, 0.5]], [[-2.0, 2.0]], [[1.0, 9.0]])
            >>> p.stddev()
            array([[3.]])
        """
        return moments.stddev(self.weights, *self._component_moments("stddev", 2))

    def covariance(self) -> FloatArray:
        """Return Cov(Y) = Σₖ wₖ (Σₖ + (μₖ − E[Y]) (μₖ − E[Y])ᵀ), (N, D, D).

        The unit of an entry is the product of those of its two dimensions.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.5, 0.5]], [[[0, 0], [2, 4]]], [[[1, 2], [3, 4]]])
            >>> p.covariance()
            array([[[3., 2.],
                    [2., 7.]]])
        """
        parts = self._component_moments("covariance", 2)
        return moments.covariance(self.weights, *parts, self._component_covariances())

    def variance_within(self) -> FloatArray:
        """Return E[Var(Y | k)] = Σₖ wₖ σₖ², (N, D): the part of the variance inside components.

        It is the noise that no knowledge of the component would take away, in the target's units
        squared; with `variance_between` it adds up to `variance`.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.5, 0.5]], [[-2.0, 2.0]], [[1.0, 9.0]])
            >>> p.variance_within(), p.variance_between(), p.variance()
            (array([[5.]]), array([[4.]]), array([[9.]]))
        """
        _, variances = self._component_moments("variance_within", 2)
        return moments.variance_within(self.weights, variances)

    def variance_between(self) -> FloatArray:
        """Return Var(E[Y | k]) = Σₖ wₖ (μₖ − E[Y])², (N, D): the part between components.

        It is in the target's units squared.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.5, 0.5]], [[-2.0, 2.0]], [[1.0, 9.0]])
            >>> p.variance_between()
            array([[4.]])
        """
        means, _ = self._component_moments("variance_between", 1)
        return moments.variance_between(self.weights, means)

    def covariance_within(self) -> FloatArray:
        """Return E[Cov(Y | k)] = Σₖ wₖ Σₖ, (N, D, D): the part of the covariance inside components.

        With `covariance_between` it adds up to `covariance`, in the same units.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.5, 0.5]], [[[0, 0], [2, 4]]], [[[1, 2], [3, 4]]])
            >>> p.covariance_within()
            array([[[2., 0.],
                    [0., 3.]]])
        """
        _, variances = self._component_moments("covariance_within", 2)
        return moments.covariance_within(self.weights, variances, self._component_covariances())

    def covariance_between(self) -> FloatArray:
        """Return Cov(E[Y | k]) = Σₖ wₖ (μₖ − E[Y]) (μₖ − E[Y])ᵀ, (N, D, D): the part between them.

        With `covariance_within` it adds up to `covariance`, in the same units.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.5, 0.5]], [[[0, 0], [2, 4]]], [[[1, 2], [3, 4]]])
            >>> p.covariance_between()
            array([[[1., 2.],
                    [2., 4.]]])
        """
        means, _ = self._component_moments("covariance_between", 1)
        return moments.covariance_between(self.weights, means)

    def skewness(self) -> FloatArray:
        """Return E[(Y − E[Y])³] / Var(Y)^(3/2), (N,), for targets of one dimension; no unit.

        Raises:
            ValueError: If D is not 1.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> MixtureParameters([[0.9, 0.1]], [[0.0, 5.0]], [[1.0, 1.0]]).skewness().round(4)
            array([1.5361])
        """
        self._require_single_dimension("skewness")
        return self._skewness()

    def kurtosis(self) -> FloatArray:
        """Return the excess kurtosis E[(Y − E[Y])⁴] / Var(Y)² − 3, (N,), for D = 1; no unit.

        It is 0 for a normal distribution, as `scipy.stats.kurtosis` counts by default.

        Raises:
            ValueError: If D is not 1.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> MixtureParameters([[0.5, 0.5]], [[0.0, 0.0]], [[1.0, 9.0]]).kurtosis()
            array([1.92])
        """
        self._require_single_dimension("kurtosis")
        return self._kurtosis()
