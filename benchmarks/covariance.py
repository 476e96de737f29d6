"""What full covariances win where components turn, and what five members cost beside one.

`python benchmarks/covariance.py` fits `MDNRegressor` with diagonal and with full covariances to
4000 rows of a target of two dimensions whose two components are narrow ellipses that turn with x,
and prints how far the mean log density of 20,000 fresh rows falls short of that of the true
density, seed by seed. Then it trains one and five members of small networks in turn, five times
after one for the compiler, and prints medians of processor and wall time. `--only quality` or
`--only time` does one of them.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from tfp_mdn.datasets import inverse_sinusoid
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.mixture import MixtureParameters

SEEDS = range(3)
NUM_COMPONENTS = 5, 10
NETWORKS = {(15, 15): 5, (32, 32, 32): 10}
REPEATS = 5


def turning_ellipses(x: np.ndarray) -> MixtureParameters:
    """Return the density of y, (n, 2), at inputs x (n,): its log_prob is exact."""
    weight = 0.5 + 0.3 * np.sin(x)
    means = np.stack(
        [
            np.stack([2.0 * np.cos(x), 2.0 * np.sin(x)], axis=1),
            np.stack([np.full(len(x), -1.5), 0.5 * x], axis=1),
        ],
        axis=1,
    )
    covariances = np.stack(
        [ellipse(x, 1.0, 0.15), ellipse(0.5 * (np.pi - x), 0.8, 0.1)],
        axis=1,
    )
    variances = np.diagonal(covariances, axis1=-2, axis2=-1)
    return MixtureParameters(
        np.stack([weight, 1.0 - weight], axis=1), means, variances, covariances
    )


def ellipse(angle: np.ndarray, long: float, short: float) -> np.ndarray:
    """Return covariances (n, 2, 2) of those standard deviations along axes turned by an angle."""
    cos, sin = np.cos(angle), np.sin(angle)
    axes = np.stack([np.stack([cos, -sin], axis=-1), np.stack([sin, cos], axis=-1)], axis=-2)
    return np.einsum("nij,j,nkj->nik", axes, np.square([long, short]), axes)


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3.0, 3.0, n)
    return x[:, np.newaxis], turning_ellipses(x).sample(1, rng)[0]


def compare_covariances() -> None:
    x_test, y_test = draw(20_000, 1000)
    truth = turning_ellipses(x_test[:, 0]).log_prob(y_test)
    print(f"mean log density of the truth: {truth.mean():.3f} nats; shortfall in nats")
    print("components  seed    diag    full")
    for num_components in NUM_COMPONENTS:
        for seed in SEEDS:
            x, y = draw(4000, seed)
            gaps = []
            for covariance_type in ("diag", "full"):
                model = MDNRegressor(
                    num_components, covariance_type=covariance_type, random_state=seed
                ).fit(x, y)
                gaps.append((truth - model.log_prob(x_test, y_test)).mean())
            print(f"{num_components:10d}  {seed:4d}  {gaps[0]:6.3f}  {gaps[1]:6.3f}", flush=True)


def time_members() -> None:
    x, y = inverse_sinusoid().sample(1000, 0)
    print("seconds of a training of 2000 steps, one member and five")
    print("network         processor          wall               ratios")
    for hidden_units, num_components in NETWORKS.items():
        times: dict[int, list[tuple[float, float]]] = {1: [], 5: []}
        for repeat in range(1 + REPEATS):
            for ensemble_size, taken in times.items():
                start = time.process_time(), time.perf_counter()
                MDNRegressor(
                    num_components,
                    hidden_units,
                    ensemble_size=ensemble_size,
                    patience=None,
                    random_state=repeat,
                ).fit(x, y)
                taken.append((time.process_time() - start[0], time.perf_counter() - start[1]))
        one, five = (np.median(times[size][1:], axis=0) for size in (1, 5))
        ratios = five / one
        print(
            f"{'-'.join(map(str, hidden_units)):14s}  {one[0]:6.2f} {five[0]:6.2f}      "
            f"{one[1]:6.2f} {five[1]:6.2f}      {ratios[0]:6.2f} {ratios[1]:6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["quality", "time"])
    chosen = parser.parse_args().only
    if chosen != "time":
        compare_covariances()
    if chosen != "quality":
        time_members()
