"""The three measurements of training, and the ways that are compared in them."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from benchmarks.racers.measuring import cost_of
from benchmarks.racers.workloads import Workload

__all__ = ["TRAINING_WAYS", "Racer", "TrainingWay", "epoch", "time_to_target", "whole_run"]

# A way that has not got there after so many times the epochs of a whole run is stopped.
_PATIENCE = 3


class Racer(Protocol):
    """A model of a workload and a way to train it."""

    def fit(self, epochs: int) -> None:
        """Train."""

    def fit_until(self, target: float, most: int) -> int:
        """Train until the held-out loss is this low; return the number of epochs."""

    def held_out_loss(self) -> float:
        """Return the mean negative log-likelihood of held-out rows, in nats."""


@dataclass(frozen=True)
class TrainingWay:
    """A way to train.

    Attributes:
        label: What the report calls it.
        module: Where its class is.
        name: The class.
        packages: What must be installed.
        options: Further arguments of the class, for the time of an epoch.
        compiled: Whether it runs whole compiled epochs, so that more of them are timed.
        whole_runs: Whether it takes part in the measurements with compilation.
    """

    label: str
    module: str
    name: str
    packages: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    compiled: bool = False
    whole_runs: bool = True

    def load(self, *, cold: bool) -> Any:
        """Return what makes a racer; imports what it needs."""
        made = getattr(importlib.import_module(f"benchmarks.racers.{self.module}"), self.name)
        # With compilation in the measurement, `fit_mdn` decides itself whether XLA pays.
        options = {k: v for k, v in self.options.items() if not (cold and k == "jit_compile")}
        return functools.partial(made, **options)


_TFP = ("tensorflow", "tensorflow-probability", "tf-keras")

TRAINING_WAYS = {
    "tfpl": TrainingWay("plain tfpl, `model.fit`", "tf_ways", "Tfpl", _TFP),
    "tfpl-epochs": TrainingWay(
        "plain tfpl, steps_per_execution of an epoch", "tf_ways", "Tfpl", _TFP, {"at_once": True}
    ),
    "fit_mdn": TrainingWay(
        "**`fit_mdn`**",
        "tf_ways",
        "FitMdn",
        ("tfp-mdn", *_TFP),
        {"jit_compile": True},
        compiled=True,
    ),
    "fit_mdn-no-xla": TrainingWay(
        "`fit_mdn` without XLA",
        "tf_ways",
        "FitMdn",
        ("tfp-mdn", *_TFP),
        {"jit_compile": False},
        compiled=True,
        whole_runs=False,
    ),
    "keras-mdn-layer": TrainingWay(
        "keras-mdn-layer on JAX, steps_per_execution of an epoch",
        "keras_layer",
        "KerasMdnLayer",
        ("keras-mdn-layer", "keras", "jax", "tensorflow"),
        compiled=True,
    ),
    "pytorch": TrainingWay("PyTorch loop, fused Adam", "pytorch", "PyTorch", ("torch",)),
    "jax": TrainingWay(
        "JAX, whole epochs jitted (the limit)", "jax_scan", "JaxScan", ("jax",), compiled=True
    ),
}


def epoch(workload: Workload, way: TrainingWay, seed: int) -> dict[str, float]:
    """Time an epoch without compilation: the difference of a long and a short fit, both warm."""
    racer: Racer = way.load(cold=False)(workload, seed)
    first, more = workload.compared_after, workload.timed
    if way.compiled:
        more = workload.timed_compiled
    racer.fit(first)
    loss = racer.held_out_loss()
    racer.fit(first)  # what is compiled at the second call only
    short, long = (cost_of(lambda n=n: racer.fit(n)) for n in (first, first + more))  # type: ignore[misc]
    return {
        "cpu": (long.cpu - short.cpu) / more,
        "wall": (long.wall - short.wall) / more,
        "megabytes": short.megabytes + long.megabytes,
        "loss": loss,
    }


def whole_run(workload: Workload, way: TrainingWay, seed: int) -> dict[str, float]:
    """Time a whole run in a fresh process: building, compiling and training, but no imports."""
    make = way.load(cold=True)
    racers: list[Racer] = []

    def run() -> None:
        racers.append(make(workload, seed))
        racers[0].fit(workload.epochs)

    cost = cost_of(run)
    return cost._asdict() | {"loss": racers[0].held_out_loss()}


def time_to_target(workload: Workload, way: TrainingWay, seed: int) -> dict[str, float]:
    """Time a run that ends as soon as the held-out loss, seen at each epoch, is low enough."""
    assert workload.target is not None
    make, target = way.load(cold=True), workload.target
    epochs: list[int] = []

    def run() -> None:
        racer: Racer = make(workload, seed)
        epochs.append(racer.fit_until(target, _PATIENCE * workload.epochs))

    cost = cost_of(run)
    if epochs[0] == _PATIENCE * workload.epochs:
        msg = f"not at {target} nats after {epochs[0]} epochs"
        raise RuntimeError(msg)
    return cost._asdict() | {"epochs": float(epochs[0])}
