"""What components with heavy tails, or for positive targets, win over normal ones.

`python benchmarks/components.py` fits `MDNRegressor` of one member and the same number of
components of each kind to 2000 rows, and prints the mean log density of 10,000 fresh rows beside
that of the true density, seed by seed, then means and standard errors over the seeds:

- outliers: y = sin(2x) + 0.3 t with Student's t of 3 degrees of freedom;
- positive: y = exp(sin(2x) + 0.5 z) with a standard normal z; what the fitted densities put below 0
  is printed too.

`--members 5` fits as many networks as `MDNRegressor` does by default.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from scipy import stats

from tfp_mdn.estimator import MDNRegressor

NUM_COMPONENTS = 5
NUM_ROWS, NUM_FRESH = 2000, 10_000

PROBLEMS = {
    "outliers": (
        lambda x: stats.t(3, np.sin(2.0 * x), 0.3),
        ("normal", "student_t", "logistic"),
    ),
    "positive": (
        lambda x: stats.lognorm(0.5, scale=np.exp(np.sin(2.0 * x))),
        ("normal", "lognormal", "truncated_normal"),
    ),
}


def draw(
    density: Callable[..., Any], size: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs (n, 1), targets (n,) and the log density of each."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3.0, 3.0, size)
    y = density(x).rvs(size, random_state=rng)
    return x[:, np.newaxis], y, density(x).logpdf(y)


def compare(name: str, seeds: range, members: int) -> None:
    density, components = PROBLEMS[name]
    x_fresh, y_fresh, truth = draw(density, NUM_FRESH, 1000)
    scores, below = [], []
    print(f"{name}: seed  truth  " + "  ".join(f"{c:>16s}" for c in components), flush=True)
    for seed in seeds:
        x, y, _ = draw(density, NUM_ROWS, seed)
        row = []
        for component in components:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of targets drawn in, which is what t is for
                model = MDNRegressor(
                    NUM_COMPONENTS,
                    component=component,
                    ensemble_size=members,
                    random_state=seed,
                ).fit(x, y)
            parameters = model.predict_parameters(x_fresh)
            row.append(float(parameters.log_prob(y_fresh).mean()))
            if name == "positive":
                below.append(float(parameters.cdf(np.zeros(len(x_fresh))).mean()))
        scores.append(row)
        figures = "  ".join(f"{score:16.4f}" for score in row)
        print(f"{'':{len(name)}}  {seed:4d}  {truth.mean():5.3f}  {figures}", flush=True)
    table = np.array(scores)
    errors = table.std(axis=0, ddof=1) / np.sqrt(len(table))
    for component, mean, error in zip(components, table.mean(axis=0), errors, strict=True):
        print(f"  {component:16s} {mean:.4f} ± {error:.4f}, truth {truth.mean():.4f}")
    wins = table - table[:, :1]
    for component, win in list(zip(components, wins.T, strict=True))[1:]:
        error = win.std(ddof=1) / np.sqrt(len(win))
        print(f"  {component:16s} above normal by {win.mean():.4f} ± {error:.4f} nats")
    if below:
        shares = np.array(below).reshape(table.shape).mean(axis=0)
        print("  mass below 0:", dict(zip(components, shares.round(5).tolist(), strict=True)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=list(PROBLEMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--members", type=int, default=1)
    arguments = parser.parse_args()
    for problem in PROBLEMS:
        if arguments.only in (None, problem):
            compare(problem, range(arguments.seeds), arguments.members)
