"""The classic problems, whose best possible score is known, at several sizes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfp_mdn._validation import FloatArray
from tfp_mdn.datasets import Problem, cardioid, inverse_sinusoid, noisy_spiral
from tfp_mdn.mixture import MixtureParameters

__all__ = ["CASES", "Case", "gaps"]

_FRESH_ROWS = 20_000


@dataclass(frozen=True)
class Case:
    """A classic problem with so many training rows.

    Attributes:
        problem: Makes the problem.
        num_rows: Training rows.
        documents: The documents' recipes that are run beside the defaults.
    """

    problem: Callable[[], Problem]
    num_rows: int
    documents: tuple[str, ...]

    def rows(self, seed: int) -> tuple[FloatArray, FloatArray]:
        """Return training inputs (n, 1) and targets (n,)."""
        x, y = self.problem().sample(self.num_rows, np.random.default_rng([seed, 0]))
        return x, y[:, 0]

    def fresh_rows(self, seed: int) -> tuple[FloatArray, FloatArray]:
        """Return held-out inputs (20000, 1) and targets (20000,)."""
        x, y = self.problem().sample(_FRESH_ROWS, np.random.default_rng([seed, 1]))
        return x, y[:, 0]

    def checksum(self) -> str:
        """Return 12 digits that change when the rows do."""
        rows = [part for draw in (self.rows, self.fresh_rows) for part in draw(0)]
        return hashlib.sha256(b"".join(part.tobytes() for part in rows)).hexdigest()[:12]


def _spiral() -> Problem:
    return noisy_spiral(normalise=True)


CASES = {
    "inverse-sinusoid-200": Case(inverse_sinusoid, 200, ("document-1", "document-4")),
    "inverse-sinusoid-1000": Case(inverse_sinusoid, 1000, ("document-1", "document-4")),
    "inverse-sinusoid-3000": Case(inverse_sinusoid, 3000, ("document-2",)),
    "inverse-sinusoid-10000": Case(inverse_sinusoid, 10_000, ("document-2",)),
    "spiral-200": Case(_spiral, 200, ("document-3",)),
    "spiral-10000": Case(_spiral, 10_000, ("document-3",)),
    "cardioid-200": Case(cardioid, 200, ("document-5",)),
    "cardioid-2000": Case(cardioid, 2000, ("document-5",)),
    "cardioid-10000": Case(cardioid, 10_000, ("document-5",)),
}


def gaps(
    problem: Problem, parameters: MixtureParameters, x: FloatArray, y: FloatArray
) -> dict[str, float]:
    """Return how far a score is from the best possible one, in nats.

    Two estimates of one number: `gap` is the mean NLL minus the entropy; `gap_paired` subtracts
    the mean NLL of the true density on the same rows, so that the luck of the rows, about 0.006
    nats with 20000 of them, cancels.
    """
    nll = -parameters.log_prob(y).mean()
    return {
        "nll": float(nll),
        "gap": float(nll - problem.entropy()),
        "gap_paired": float(nll + problem.log_prob(x, y).mean()),
    }
