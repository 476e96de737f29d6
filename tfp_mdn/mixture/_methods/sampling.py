"""Samples, and what is estimated from them, as methods of `MixtureParameters`."""

from __future__ import annotations

import numpy as np

from tfp_mdn._validation import FloatArray, as_generator, as_real, as_whole_number
from tfp_mdn.mixture._mixture import MixtureKernels

__all__ = ["SamplingMethods"]


class SamplingMethods(MixtureKernels):
    """Draws from a mixture, and estimates that rest on them."""

    def sample(
        self,
        size: int,
        rng: np.random.Generator | int | None = None,
        temperature: float = 1.0,
        scale_temperature: float = 1.0,
    ) -> FloatArray:
        """Draw `size` targets from each of the N mixtures, (S, N, D), in the target's units.

        A component is drawn first, then a value of that component alone. For one seed,
        `scale_temperature` changes only how far the draws lie from the same component means.

        Args:
            size: Number of draws S ≥ 0 for each row.
            rng: Generator, integer seed, or None for fresh randomness.
            temperature: Divisor of the logits: 1 samples the mixture, 0 only the heaviest
                component (the first of several that tie); weights of 0 stay 0.
            scale_temperature: Factor of the covariances: 0 gives the component means.

        Raises:
            TypeError: If an argument is of another type.
            ValueError: If `size` or a temperature is negative, or a temperature is not finite.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[0.4, 0.6]], [[-1.0, 1.0]], [[0.25, 0.25]])
            >>> p.sample(2, rng=0, temperature=0.0, scale_temperature=0.0)[..., 0]
            array([[1.],
                   [1.]])
        """
        return self._sample(
            as_whole_number("size", size, minimum=0),
            as_generator("rng", rng),
            temperature=as_real("temperature", temperature, minimum=0.0),
            scale_temperature=as_real("scale_temperature", scale_temperature, minimum=0.0),
        )

    def entropy(
        self, size: int = 1000, rng: np.random.Generator | int | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Estimate the differential entropy −E[log p(Y)] of each row from draws.

        Mixtures have no closed form for it. The mean over independent draws is unbiased, and its
        standard error falls as 1 / √size.

        Args:
            size: Number of draws for each row, at least 2.
            rng: Generator, integer seed, or None for fresh randomness.

        Returns:
            The estimates and their standard errors, each (N,), in nats. In units c times as large
            the entropy is D log c smaller.

        Raises:
            TypeError: If an argument is of another type.
            ValueError: If `size` is below 2.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[1.0]], [[0.0]], [[1.0]])
            >>> value, error = p.entropy(size=10_000, rng=0)
            >>> bool(abs(value[0] - 0.5 * np.log(2 * np.pi * np.e)) < 4 * error[0] < 0.04)
            True
        """
        return self._entropy(as_whole_number("size", size, minimum=2), as_generator("rng", rng))

    def kl_divergence(
        self,
        other: MixtureKernels,
        size: int = 1000,
        rng: np.random.Generator | int | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Estimate the divergence KL(p ‖ q) = E_p[log p(Y) − log q(Y)] row by row from draws.

        Mixtures have no closed form for it. The mean over independent draws from these mixtures is
        unbiased, so that an estimate can be negative though the divergence is not.

        Args:
            other: Mixtures q of as many rows and dimensions; the number of components may differ.
            size: Number of draws for each row, at least 2.
            rng: Generator, integer seed, or None for fresh randomness.

        Returns:
            The estimates and their standard errors, each (N,), in nats.

        Raises:
            TypeError: If an argument is of another type.
            ValueError: If `size` is below 2, or the mixtures differ in rows or dimensions.

        References:
            J. R. Hershey, P. A. Olsen (2007), Approximating the Kullback Leibler divergence between
            Gaussian mixture models, https://doi.org/10.1109/ICASSP.2007.366913.

        Example:
            >>> from tfp_mdn.mixture import MixtureParameters
            >>> p = MixtureParameters([[1.0]], [[0.0]], [[1.0]])
            >>> q = MixtureParameters([[1.0]], [[1.0]], [[1.0]])
            >>> value, error = p.kl_divergence(q, size=10_000, rng=0)
            >>> bool(abs(value[0] - 0.5) < 4 * error[0] < 0.05)
            True
        """
        if not isinstance(other, MixtureKernels):
            msg = f"other must be a MixtureParameters, got {type(other).__name__}."
            raise TypeError(msg)
        sizes = self.num_inputs, self.event_size
        if (other.num_inputs, other.event_size) != sizes:
            msg = (
                f"other must have {sizes[0]} rows of {sizes[1]} dimension(s), "
                f"got {other.num_inputs} of {other.event_size}."
            )
            raise ValueError(msg)
        return self._kl_divergence(
            other, as_whole_number("size", size, minimum=2), as_generator("rng", rng)
        )
