"""What is measured on the test rows of one split."""

from __future__ import annotations

import math

import numpy as np

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.mixture.scores import censored_log_score

__all__ = ["COVERAGES", "score_mean", "score_mixture"]

COVERAGES = (50, 90, 95)


def score_mean(mean: FloatArray, y: FloatArray) -> dict[str, float]:
    """Return the only score of a method that predicts no density: the RMSE, in units of y."""
    return _finite({"rmse": np.sqrt(np.mean((mean - y) ** 2))})


def score_mixture(
    parameters: MixtureParameters, y: FloatArray, step: float | None
) -> dict[str, float]:
    """Return the scores of predicted mixtures, means over the rows.

    Args:
        parameters: Mixtures of N rows.
        y: Targets (N,).
        step: Step of the lattice that the targets lie on, or None.

    Returns:
        `nll` in nats; `interval_nll`, −log of P(y ± ½ step) / step, the mean density of the
        target's cell, which is the `nll` of a density that is smooth on the scale of the step and
        cannot be lowered by spikes on the points of the lattice; `crps` and `rmse` in units of y;
        `coverage_50` and so on, the share of targets inside the central interval, in percent.
    """
    off_centre = np.abs(parameters.cdf(y) - 0.5)
    scores = {
        "nll": -parameters.log_prob(y).mean(),
        "crps": parameters.crps(y).mean(),
        "rmse": np.sqrt(np.mean((parameters.mean()[:, 0] - y) ** 2)),
    }
    if step is not None:
        scores["interval_nll"] = censored_log_score(parameters, y, step / 2).mean() + math.log(step)
    for coverage in COVERAGES:
        scores[f"coverage_{coverage}"] = 100 * np.mean(off_centre <= coverage / 200)
    return _finite(scores)


def _finite(scores: dict[str, np.floating]) -> dict[str, float]:
    """Return plain numbers; a score that is NaN or infinite is a failure of the method."""
    bad = [name for name, score in scores.items() if not np.isfinite(score)]
    if bad:
        msg = f"{', '.join(bad)} not finite"
        raise ValueError(msg)
    return {name: float(score) for name, score in scores.items()}
