"""How long the mathematics of mixtures takes, beside SciPy, TFP and scoringrules.

`python benchmarks/mixture.py` times each task on 1e5 and 1e6 rows of ten components, all in this
process and in turn, and prints medians and ratios. A peer that works row by row gets the first
rows only, and its time is scaled up to all of them. TFP has no quantiles, modes, regions or CRPS
of mixtures.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scoringrules
import tensorflow as tf
from scipy import optimize, special, stats

from tfp_mdn.extraction import to_distribution
from tfp_mdn.mixture import MixtureParameters

NUM_COMPONENTS = 10
LEVELS = np.array([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99])
SCIPY_ROWS = 100
REPEATS = 5


def mixtures(num_rows: int) -> MixtureParameters:
    """Return random mixtures, several modes in most of them."""
    rng = np.random.default_rng(0)
    shape = num_rows, NUM_COMPONENTS
    weights = rng.dirichlet(np.ones(NUM_COMPONENTS), num_rows)
    return MixtureParameters(
        weights, rng.normal(scale=3.0, size=shape), rng.uniform(0.3, 2.0, shape) ** 2
    )


def scipy_quantiles(p: MixtureParameters, *, lean: bool) -> None:
    """Solve for each level of each row with Brent's method.

    The plain way makes a `stats.norm` of each row; the lean one knows that `special.ndtr` is
    the same function without the checks.
    """
    for weights, means, variances in zip(p.weights, p.means[..., 0], p.variances, strict=True):
        scales = np.sqrt(variances[:, 0])
        normal = stats.norm(means, scales)

        def excess(y: float, level: float) -> float:
            parts = special.ndtr((y - means) / scales) if lean else normal.cdf(y)  # noqa: B023
            return float(weights @ parts - level)  # noqa: B023

        for level in LEVELS:
            ends = means + special.ndtri(level) * scales
            optimize.brentq(excess, ends.min() - 1e-9, ends.max() + 1e-9, (level,), xtol=1e-12)


def compare(
    task: str, ours: Callable[[], Any], peer: str, theirs: Callable[[], Any], scale: float = 1.0
) -> None:
    """Time two ways in turn after a call of each, and print a line of the table."""
    theirs()
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(REPEATS):
        for key, way in (("ours", ours), ("theirs", theirs)):
            start = time.perf_counter()
            way()
            times[key].append(time.perf_counter() - start)
    mine, other = (statistics.median(times[key]) for key in ("ours", "theirs"))
    other *= scale
    print(f"| {task} | {mine:.2f} | {peer} | {other:.2f} | {other / mine:.1f} |", flush=True)


def alone(task: str, ours: Callable[[], Any]) -> None:
    """Time a task that no peer can do."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        ours()
        times.append(time.perf_counter() - start)
    print(f"| {task} | {statistics.median(times):.2f} | | | |", flush=True)


def main() -> None:
    """Print the table."""
    # NumPy's element-wise operations run on one thread, so TFP gets one as well.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    print("| what | ours, s | against | its s | ratio |\n|---|---:|---|---:|---:|")
    for num_rows in (100_000, 1_000_000):
        p = mixtures(num_rows)
        y = np.random.default_rng(1).normal(scale=3.0, size=num_rows)
        few = p[:SCIPY_ROWS]
        # Its arrays (N, K, K) of a million rows would take 800 MB each.
        some = p[:100_000]
        arrays = some.means[..., 0], np.sqrt(some.variances[..., 0]), some.weights
        distribution = to_distribution(p)
        rows = f"{num_rows:.0e} rows"
        for lean, way in ((False, "stats.norm"), (True, "special.ndtr")):
            compare(
                f"9 quantiles, {rows}",
                lambda p=p: p.quantile(LEVELS),  # type: ignore[misc]
                f"SciPy's brentq on {way}, scaled from {SCIPY_ROWS} rows",
                lambda few=few, lean=lean: scipy_quantiles(few, lean=lean),  # type: ignore[misc]
                num_rows / SCIPY_ROWS,
            )
        compare(
            f"CRPS, {rows}",
            lambda p=p, y=y: p.crps(y),  # type: ignore[misc]
            "scoringrules, scaled from 100000 rows",
            lambda y=y, a=arrays: scoringrules.crps_mixnorm(y[:100_000], *a, backend="numpy"),  # type: ignore[misc]
            num_rows / 100_000,
        )
        compare(
            f"log density, {rows}",
            lambda p=p, y=y: p.log_prob(y),  # type: ignore[misc]
            "TFP",
            lambda y=y, d=distribution: d.log_prob(y[:, np.newaxis]).numpy(),  # type: ignore[misc]
        )
        part = p[: num_rows // 100]
        alone(f"modes, {len(part):.0e} rows", part.modes)
        alone(f"90% regions, {len(part):.0e} rows", lambda q=part: q.highest_density_region(0.9))  # type: ignore[misc]


if __name__ == "__main__":
    main()
