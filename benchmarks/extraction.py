"""How long it takes to read the parameters of a mixture, and to sample from it.

`python benchmarks/extraction.py` times each of our ways beside the plain one, both in this process
and interleaved, and prints medians and their ratio.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_mdn import build_mdn, extract_parameters
from tfp_mdn.extraction import to_distribution

REPEATS = 9


def plain_call(model: Any, x: Any) -> Any:
    """Read the parameters as the documentation of TFP does: off an eager call."""
    distribution = model(x)
    components = distribution.components_distribution
    return (
        distribution.mixture_distribution.probs_parameter().numpy(),
        components.mean().numpy(),
        components.variance().numpy(),
    )


def function_per_call(model: Any, x: Any) -> Any:
    """Read them through a compiled function that is made anew each time."""
    return tf.function(lambda values: model(values).components_distribution.mean())(x).numpy()


def compare(
    name: str, ours: Callable[[], Any], other_name: str, other: Callable[[], Any], repeats: int
) -> None:
    """Time two ways in turn after one call of each, and print a line of the table."""
    ours()
    other()
    times: dict[str, list[float]] = {"ours": [], "other": []}
    for _ in range(repeats):
        for key, way in (("ours", ours), ("other", other)):
            start = time.perf_counter()
            way()
            times[key].append(time.perf_counter() - start)
    mine, theirs = (1e3 * statistics.median(times[key]) for key in ("ours", "other"))
    print(f"| {name} | {mine:.1f} | {other_name} | {theirs:.1f} | {theirs / mine:.1f} |")


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    model = build_mdn(10, hidden_units=(128, 128), input_size=1, seed=0)
    print("| what | ours, ms | against | its ms | ratio |\n|---|---:|---|---:|---:|")
    for rows, repeats in ((512, 25), (1_000_000, 5)):
        x = rng.normal(size=(rows, 1)).astype(np.float32)
        compare(
            f"parameters of {rows} rows",
            lambda x=x: extract_parameters(model, x),  # type: ignore[misc]
            "eager model(x)",
            lambda x=x: plain_call(model, x),  # type: ignore[misc]
            repeats,
        )
    x = rng.normal(size=(512, 1)).astype(np.float32)
    compare(
        "parameters of 512 rows",
        lambda: extract_parameters(model, x),
        "tf.function made per call",
        lambda: function_per_call(model, x),
        REPEATS,
    )
    parameters = extract_parameters(model, rng.normal(size=(100_000, 1)))
    distribution = to_distribution(parameters)
    compare(
        "10 samples for 100000 rows",
        lambda: parameters.sample(10, np.random.default_rng(1)),
        "TFP's sample",
        lambda: distribution.sample(10, seed=1).numpy(),
        5,
    )


if __name__ == "__main__":
    main()
