"""A process that makes one measurement and prints the figures as one line of JSON.

Its arguments are section, subject, way and seed. `benchmarks/speed.py` starts it with the
environment that a way needs.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

__all__ = ["measure"]


def measure(section: str, subject: str, way: str, seed: int) -> dict[str, float]:
    """Make a measurement in this process."""
    if section == "startup":
        from benchmarks.racers.startup import STARTUPS

        return STARTUPS[way][1]()
    if section in ("xla", "parts"):
        from benchmarks.racers import compilation
        from benchmarks.racers.workloads import SIZES

        if section == "xla":
            return compilation.break_even(SIZES[subject], seed)
        return compilation.parts_of_a_step(subject, seed)
    if section == "answers":
        from benchmarks.racers.answers import ANSWERS, rows_of
        from benchmarks.racers.measuring import cost_of

        task, rows = rows_of(subject)
        work, factor = ANSWERS[task][way][2](rows)
        cost = cost_of(work)
        return {"cpu": factor * cost.cpu, "wall": factor * cost.wall, "megabytes": cost.megabytes}
    from benchmarks.racers import training
    from benchmarks.racers.workloads import WORKLOADS

    measured = {
        "epoch": training.epoch,
        "run": training.whole_run,
        "target": training.time_to_target,
    }
    return measured[section](WORKLOADS[subject], training.TRAINING_WAYS[way], seed)


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    # What libraries print must not get between the results.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    section, subject, way, seed = arguments
    print(json.dumps(measure(section, subject, way, int(seed))), file=channel, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
