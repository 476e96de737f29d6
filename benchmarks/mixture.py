"""How long the mathematics of mixtures takes, beside SciPy, TFP and scoringrules.

`python benchmarks/mixture.py` times each task on 1e5 and 1e6 rows of ten components, all in this
process and in turn, and prints medians and ratios. The times are those of the processor, on which
everything runs in one thread, so that other processes disturb them little.

A peer that takes long gets a part, and its time is scaled up: SciPy's way the first 100 rows, and
scoringrules 1e5, since its arrays (N, K, K) of a million rows would take 800 MB each. Modes and
regions are found for a tenth of the rows. Each task is repeated five times, or fewer if that would
take longer than a minute; the table says how often. TFP has no quantiles, modes, regions or CRPS of
mixtures.
"""

from __future__ import annotations

import functools
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
LONGEST = 60.0


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
    task: str, ours: Callable[[], Any], peers: dict[str, tuple[Callable[[], Any], float]]
) -> None:
    """Time the ways to do a task in turn, after a call of each peer, and print them.

    Args:
        task: What is done.
        ours: Does it.
        peers: For each peer what does it, or a part of it, and how many of such parts there are.
    """
    ways = [ours, *(way for way, _ in peers.values())]
    for way in ways[1:]:
        way()
    times: list[list[float]] = []
    # Not once more if that would end after the longest time.
    while len(times) < REPEATS and sum(map(sum, times)) * (len(times) + 1) <= LONGEST * len(times):
        times.append([])
        for way in ways:
            start = time.process_time()
            way()
            times[-1].append(time.process_time() - start)
    mine, *others = (statistics.median(column) for column in zip(*times, strict=True))
    line = f"| {task} | {len(times)} | {mine:.2f} |"
    for (peer, (_, parts)), other in zip(peers.items(), others, strict=True):
        print(f"{line} {peer} | {other * parts:.2f} | {other * parts / mine:.1f} |", flush=True)
    if not peers:
        print(f"{line} | | |", flush=True)


def main() -> None:
    """Print the table."""
    # NumPy's element-wise operations run on one thread, so TFP gets one as well.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    print("| what | times | ours, s | against | its s | ratio |\n|---|---:|---:|---|---:|---:|")
    for num_rows in (100_000, 1_000_000):
        measure(num_rows)


def measure(num_rows: int) -> None:
    """Print the lines of one number of rows."""
    p = mixtures(num_rows)
    y = np.random.default_rng(1).normal(scale=3.0, size=num_rows)
    few, some = p[:SCIPY_ROWS], p[:100_000]
    arrays = y[: len(some)], some.means[..., 0], np.sqrt(some.variances[..., 0]), some.weights
    distribution = to_distribution(p)
    rows = f"{num_rows:.0e} rows"
    compare(
        f"9 quantiles, {rows}",
        lambda: p.quantile(LEVELS),
        {
            f"SciPy's brentq on {name}": (
                functools.partial(scipy_quantiles, few, lean=lean),
                num_rows / SCIPY_ROWS,
            )
            for name, lean in (("stats.norm", False), ("special.ndtr", True))
        },
    )
    compare(
        f"CRPS, {rows}",
        lambda: p.crps(y),
        {
            "scoringrules": (
                lambda: scoringrules.crps_mixnorm(*arrays, backend="numpy"),
                num_rows / len(some),
            )
        },
    )
    compare(
        f"log density, {rows}",
        lambda: p.log_prob(y),
        {"TFP": (lambda: distribution.log_prob(y[:, np.newaxis]).numpy(), 1.0)},
    )
    part = p[: num_rows // 10]
    rows = f"{len(part):.0e} rows"
    compare(f"modes, {rows}", part.modes, {})
    compare(f"90% regions, {rows}", part.highest_density_region, {})


if __name__ == "__main__":
    main()
