"""Log-densities of incomplete targets: against marginals taken by hand, and bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tfp_mdn.mixture import MixtureParameters

MixtureFactory = Callable[..., MixtureParameters]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shape", [(6, 3), (2, 6, 3), (1, 6, 3)])
def test_it_is_the_log_density_of_the_marginal(
    make_mixture: MixtureFactory, shape: tuple[int, ...], *, full: bool
) -> None:
    rng = np.random.default_rng(0)
    p = make_mixture(num_inputs=6, event_size=3, full=full, zero_weight=True)
    y = rng.normal(size=shape)
    y[rng.random(shape) < 0.4] = np.nan
    y.reshape(-1, 3)[0] = np.nan
    found = p.log_prob(y, missing="marginalise")
    assert found.shape == shape[:-1]
    for place in np.ndindex(*found.shape):
        seen = np.flatnonzero(~np.isnan(y[place])).tolist()
        expected = 0.0
        if len(seen):
            expected = p[place[-1]].marginal(seen).log_prob(y[place][np.newaxis, seen])[0]
        assert found[place] == pytest.approx(expected, rel=1e-12, abs=0.0)


def test_complete_targets_have_the_density_they_had(make_mixture: MixtureFactory) -> None:
    p = make_mixture(num_inputs=4, event_size=2, full=True)
    y = np.random.default_rng(0).normal(size=(4, 2))
    assert_allclose(p.log_prob(y, missing="marginalise"), p.log_prob(y), rtol=1e-14)
    line = make_mixture()
    assert_array_equal(line.log_prob(np.full(3, np.nan), missing="marginalise"), 0.0)


@pytest.mark.parametrize(
    ("y", "missing", "message"),
    [
        ([0.0, np.nan, 0.0], "error", r"y must be finite: 1 of 3 .* \(nan\)"),
        ([0.0, np.inf, np.nan], "marginalise", r"y must be finite: 1 of 3 .* \(inf\)"),
        ([0.0, np.nan], "marginalise", "y must have shape"),
        ([0.0, 0.0, 0.0], None, "missing must be 'error' or 'marginalise', got None"),
    ],
)
def test_bad_input(make_mixture: MixtureFactory, y: Any, missing: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_mixture().log_prob(y, missing=missing)
