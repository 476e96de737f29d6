"""Mixtures that the tests of the package share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tfp_mdn.mixture import MixtureParameters

MixtureFactory = Callable[..., MixtureParameters]


@pytest.fixture(scope="session")
def make_mixture() -> MixtureFactory:
    """Return a function that makes a random mixture from a seed; one weight a row can be 0."""

    def make(
        seed: int = 0,
        num_inputs: int = 3,
        num_components: int = 4,
        event_size: int = 1,
        *,
        full: bool = False,
        zero_weight: bool = False,
        loc: float = 0.0,
        scale: float = 1.0,
    ) -> MixtureParameters:
        rng = np.random.default_rng(seed)
        shape = num_inputs, num_components, event_size
        weights = rng.dirichlet(np.ones(num_components), num_inputs)
        if zero_weight and num_components > 1:
            weights[:, 0] = 0.0
            weights /= weights.sum(axis=1, keepdims=True)
        means = loc + scale * rng.normal(scale=3.0, size=shape)
        variances = (scale * rng.uniform(0.3, 2.0, shape)) ** 2
        if not full:
            return MixtureParameters(weights, means, variances)
        factors = scale * rng.normal(size=(*shape, event_size))
        covariances = factors @ np.swapaxes(factors, -1, -2)
        covariances += (0.1 * scale**2) * np.eye(event_size)
        diagonal = np.diagonal(covariances, axis1=-2, axis2=-1)
        return MixtureParameters(weights, means, diagonal, covariances)

    return make
