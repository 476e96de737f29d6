from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfp_mdn._lattice import lattice_step

K = np.array([0, 1, 2, 3, 5, 8, 13])


@pytest.mark.parametrize(
    ("values", "step"),
    [
        (0.1 * K, 0.1),
        (0.1 * K + 1e6, 0.1),
        (1e-9 * K - 3.0, 1e-9),
        (3.0 * K, 3.0),
        (1.6e9 + 60.0 * K, 60.0),
        (1e200 * K, 1e200),
        (1e-200 * K, 1e-200),
        (np.repeat(K, 3)[::-1] / 3.0, 1 / 3),
        ([3.5, 4.0, 6.0], 0.5),
        ([2.0, 2.0, 2.0], 0.0),
        ([1.0, 2.0], 0.0),
        ([5.0], 0.0),
        ([0.0, 1.0, np.pi], 0.0),
        ([0.0, 2.0, 5.0], 0.0),  # of steps of 1, but no two values are one apart
    ],
)
def test_the_step_of_a_lattice(values: Any, step: float) -> None:
    assert lattice_step(np.asarray(values, float)) == pytest.approx(step, rel=1e-6)


@pytest.mark.parametrize("size", [10, 100, 10_000])
def test_a_continuum_is_no_lattice(size: int) -> None:
    rng = np.random.default_rng(0)
    for draw in (rng.normal, rng.exponential, rng.uniform):
        assert lattice_step(1e6 + draw(size=size)) == 0.0
