"""The networks and data that training is timed on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tfp_mdn import datasets

__all__ = ["LEARNING_RATE", "SIZES", "TINY", "WORKLOADS", "Array", "Dense", "Workload"]

Array = NDArray[np.float32]
Dense = tuple[Array, Array]  # kernel and bias

LEARNING_RATE = 1e-3  # of Adam, everywhere

_HELD_OUT = 2000


@dataclass(frozen=True)
class Workload:
    """Data and a network; inputs and targets are in standard units.

    Attributes:
        problem: "inverse_sinusoid", "noisy_spiral" or "synthetic".
        num_rows: Training rows N.
        hidden_units: Units of each hidden layer.
        activation: "relu" or "tanh".
        num_components: Components K.
        batch_size: Rows per step.
        epochs: Epochs of a whole run; 0 if there is none.
        target: Held-out negative log-likelihood, in nats, that the recipe reaches before its end;
            None if the time to it is not measured.
        compared_after: Epochs after which the held-out losses of all ways are compared.
        timed: Epochs that are timed of a way that runs a step at a time.
        timed_compiled: The same for a way that runs whole compiled epochs.
        num_features: Inputs F.
        event_size: Target dimensions D.
    """

    problem: str
    num_rows: int
    hidden_units: tuple[int, ...]
    activation: str
    num_components: int
    batch_size: int
    epochs: int
    target: float | None
    compared_after: int
    timed: int
    timed_compiled: int
    num_features: int = 1
    event_size: int = 1

    @property
    def num_steps(self) -> int:
        """Steps of an epoch."""
        return -(-self.num_rows // self.batch_size)

    def rows(self, seed: int) -> tuple[Array, Array]:
        """Return training inputs (N, F) and targets (N, D)."""
        return self._draw(self.num_rows, [seed, 0])

    def held_out(self) -> tuple[Array, Array]:
        """Return the inputs and targets that every round is judged on."""
        return self._draw(_HELD_OUT, [0, 1])

    def _draw(self, count: int, seed: list[int]) -> tuple[Array, Array]:
        rng = np.random.default_rng(seed)
        if self.problem == "synthetic":
            x = rng.normal(size=(count, self.num_features))
            mixing = np.random.default_rng(7).normal(size=(self.num_features, self.event_size))
            side = rng.choice([-1.0, 1.0], size=(count, 1))
            y = side * np.sin(x @ mixing / 3) + 0.2 * rng.normal(size=(count, self.event_size))
        else:
            x, y = getattr(datasets, self.problem)().sample(count, rng)
            # In units that are the same for all rows that are ever drawn.
            many = getattr(datasets, self.problem)().sample(20_000, np.random.default_rng(7))
            x, y = ((v - u.mean(0)) / u.std(0) for v, u in zip((x, y), many, strict=True))
        return x.astype(np.float32), y.astype(np.float32)

    def start(self, seed: int) -> list[Dense]:
        """Return the initial kernels and biases: uniform by Glorot and Bengio's rule, and zeros.

        The columns of the last layer are K logits, then K D locations, then K D raw scales, each
        component's dimensions side by side.
        """
        rng = np.random.default_rng([seed, 2])
        last = self.num_components * (1 + 2 * self.event_size)
        sizes = [self.num_features, *self.hidden_units, last]
        layers = []
        for inputs, units in zip(sizes[:-1], sizes[1:], strict=True):
            limit = np.sqrt(6 / (inputs + units))
            kernel = rng.uniform(-limit, limit, (inputs, units)).astype(np.float32)
            layers.append((kernel, np.zeros(units, np.float32)))
        return layers

    def orders(self, seed: int, count: int) -> NDArray[np.int32]:
        """Return shuffled row numbers (count, steps, batch), filled up with zeros at the end."""
        rng = np.random.default_rng([seed, 3])
        padded = np.zeros((count, self.num_steps * self.batch_size), np.int32)
        for order in padded:
            order[: self.num_rows] = rng.permutation(self.num_rows)
        return padded.reshape(count, self.num_steps, self.batch_size)

    def checksum(self) -> str:
        """Return 12 digits that change with the workload."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


WORKLOADS = {
    "small": Workload("inverse_sinusoid", 3000, (15, 15), "relu", 10, 128, 200, -0.40, 20, 20, 300),
    "spiral": Workload("noisy_spiral", 10_000, (128, 128), "relu", 20, 128, 50, -0.25, 5, 4, 20),
    "full": Workload(
        "inverse_sinusoid", 1000, (20,), "tanh", 5, 1000, 10_000, None, 500, 500, 3000
    ),
    "large": Workload("synthetic", 200_000, (256, 256), "relu", 10, 1024, 0, None, 1, 1, 1, 20, 3),
}


def _size(hidden: tuple[int, ...], count: int, batch: int, timed: int, event: int = 1) -> Workload:
    """Return a workload of 8 steps an epoch of which so many epochs are timed."""
    problem, features = ("inverse_sinusoid", 1) if event == 1 else ("synthetic", 20)
    return Workload(
        *(problem, 8 * batch, hidden, "relu", count, batch, 0, None, 32, timed, timed),
        *(features, event),
    )


# Where it is measured whether XLA pays.
SIZES = {
    "15-15, K = 10, 32 rows": _size((15, 15), 10, 32, 400),
    "15-15, K = 10, 128 rows": _size((15, 15), 10, 128, 400),
    "20, K = 5, 1000 rows": _size((20,), 5, 1000, 200),
    "64-64, K = 5, 32 rows": _size((64, 64), 5, 32, 200),
    "64-64, K = 5, 128 rows": _size((64, 64), 5, 128, 200),
    "128-128, K = 20, 128 rows": _size((128, 128), 20, 128, 100),
    "256-256, K = 10, 128 rows": _size((256, 256), 10, 128, 50),
    "256-256, K = 10, D = 3, 1024 rows": _size((256, 256), 10, 1024, 8, 3),
}

# Not timed: for the tests of the benchmark.
TINY = Workload("inverse_sinusoid", 50, (4,), "tanh", 2, 16, 4, 1.0, 2, 2, 2)
