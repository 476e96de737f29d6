"""What is compared with what, and the figures to reach; nothing heavy is imported here."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.racers.answers import ANSWERS
from benchmarks.racers.startup import STARTUPS
from benchmarks.racers.training import TRAINING_WAYS
from benchmarks.racers.workloads import SIZES, WORKLOADS

__all__ = ["SECTIONS", "Goal", "Section", "label", "missing", "packages", "version"]

# Plain `model(x)` would need 20 GB; and what is only about the cost of a call.
_LEFT_OUT = {
    ("parameters, 1e7 rows", "plain"),
    *(("parameters, 512 rows", way) for way in ("keras-mdn-layer", "pytorch", "floor")),
}

_ANSWER_SUBJECTS = [
    "parameters, 512 rows",
    "parameters, 1e6 rows",
    "parameters, 1e7 rows",
    "samples, 1e6 rows",
    "quantiles, 1e6 rows",
    "CRPS, 1e6 rows",
    "log density, 1e6 rows",
    "modes, 1e5 rows",
    "90% regions, 1e5 rows",
]

_TARGETS = [f"{load.target} nats ({name})" for name, load in WORKLOADS.items() if load.target]


@dataclass(frozen=True)
class Goal:
    """How many times as fast as the reference a way is to be, and in how much less memory."""

    least: float
    aim: float | None = None
    memory: float | None = None


@dataclass(frozen=True)
class Section:
    """A table of the report for each subject.

    Attributes:
        title: Its heading.
        text: What is measured.
        subjects: Ways for each subject; the first one is the reference.
        goals: Goals of our way by subject.
    """

    title: str
    text: str
    subjects: Mapping[str, tuple[str, ...]]
    goals: Mapping[str, Goal] = field(default_factory=dict)


def _of_training(subjects: list[str], *, whole_runs: bool) -> dict[str, tuple[str, ...]]:
    ways = [name for name, way in TRAINING_WAYS.items() if way.whole_runs or not whole_runs]
    return {subject: tuple(ways) for subject in subjects}


SECTIONS = {
    "epoch": Section(
        "An epoch of training",
        "Without compilation: the difference of a long and a short fit, both warm, over the epochs "
        "between. The loss is that of 2000 held-out rows after the first few epochs, from the same "
        "initial weights for all ways (keras-mdn-layer has elu + 1 for softplus).",
        _of_training(list(WORKLOADS), whole_runs=False),
        {"small": Goal(8.0, 15.0), "spiral": Goal(4.5, 6.5), "full": Goal(12.0, 19.0)},
    ),
    "run": Section(
        "Whole runs",
        "In a fresh process, with building and compilation but without imports, to the end of the "
        "recipe: 200 epochs (small), 50 epochs (spiral), 10000 steps (full).",
        _of_training(["small", "spiral", "full"], whole_runs=True),
        {"small": Goal(2.0, 4.0), "spiral": Goal(2.0, 3.0), "full": Goal(6.0, 10.0)},
    ),
    "target": Section(
        "Time to a held-out loss",
        "In a fresh process, with building and compilation, until the loss of 2000 held-out rows, "
        "which is computed after every epoch, is at a value that the recipe reaches before its "
        "end: " + ", ".join(_TARGETS) + ".",
        _of_training(["small", "spiral"], whole_runs=True),
    ),
    "answers": Section(
        "Answers",
        "After a call with fewer rows. Networks are 128-128 with K = 10, mixtures have ten "
        "components; 10 samples for each row and 9 quantiles. Our arrays are float64, those of "
        "TFP, Keras and PyTorch float32 unless it says otherwise. Plain `model(x)` on 1e7 rows "
        "would need 20 GB.",
        {
            subject: tuple(
                way for way in ANSWERS[subject.split(", ")[0]] if (subject, way) not in _LEFT_OUT
            )
            for subject in _ANSWER_SUBJECTS
        },
        {
            "parameters, 1e6 rows": Goal(1.5, memory=10.0),
            "samples, 1e6 rows": Goal(5.0, memory=5.0),
            "quantiles, 1e6 rows": Goal(300.0),
        },
    ),
    "startup": Section(
        "Start-up",
        "Each in a fresh process; the imports and the first call are timed inside it. To be below "
        "50 ms (import of `tfp_mdn`), 0.3 s (`--help`) and 1 s (first answer).",
        {"start": tuple(STARTUPS)},
    ),
    "xla": Section(
        "Where XLA pays in `fit_mdn`",
        "CPU time. Compiling is what a first fit takes more than a second one, with XLA less "
        'without. `jit_compile="auto"` compiles from the number of steps in the last column on.',
        dict.fromkeys(SIZES, ("fit_mdn",)),
    ),
    "parts": Section(
        "Parts of a training step under XLA",
        "CPU microseconds, as the differences of compiled loops that each do one part more; the "
        "last part, Adam, has the bookkeeping of the last batch in it.",
        dict.fromkeys(("small", "spiral", "full"), ("fit_mdn",)),
    ),
}

_PACKAGES = {
    "startup": ("tfp-mdn", "click", "tensorflow", "tensorflow-probability", "tf-keras"),
    "xla": ("tfp-mdn", "tensorflow"),
    "parts": ("tfp-mdn", "tensorflow"),
}


def packages(section: str, subject: str, way: str) -> tuple[str, ...]:
    """Return the packages that a way needs and whose versions belong to its figures."""
    if section == "answers":
        return ANSWERS[subject.split(", ")[0]][way][1]
    return _PACKAGES.get(section) or TRAINING_WAYS[way].packages


def label(section: str, subject: str, way: str) -> str:
    """Return what the report calls a way."""
    if section == "answers":
        return ANSWERS[subject.split(", ")[0]][way][0]
    return STARTUPS[way][0] if section == "startup" else TRAINING_WAYS[way].label


def missing(section: str, subject: str, way: str) -> list[str]:
    """Return the packages that are not installed."""
    return [name for name in packages(section, subject, way) if version(name) is None]


def version(package: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
