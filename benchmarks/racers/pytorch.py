"""Training and answers by a loop in PyTorch."""

from __future__ import annotations

import math
from typing import Any

import torch

from benchmarks.racers.workloads import LEARNING_RATE, Workload

__all__ = ["PyTorch", "torch_network", "torch_parameters"]

_ACTIVATIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}


def torch_network(workload: Workload, seed: int) -> Any:
    """Return the network with the same start."""
    layers: list[Any] = []
    for kernel, bias in workload.start(seed):
        linear = torch.nn.Linear(*kernel.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(kernel.T))
            linear.bias.copy_(torch.from_numpy(bias))
        layers += [linear, _ACTIVATIONS[workload.activation]()]
    return torch.nn.Sequential(*layers[:-1])


def torch_parameters(workload: Workload, raw: Any) -> tuple[Any, Any, Any]:
    """Return logits (B, K), locations and scales (B, K, D)."""
    count, size = workload.num_components, workload.event_size
    logits, locations, raw_scales = raw.split([count, count * size, count * size], dim=1)
    shape = (-1, count, size)
    scales = torch.nn.functional.softplus(raw_scales)
    return logits, locations.view(shape), scales.view(shape)


class PyTorch:
    """A loop over the batches with the fused Adam.

    Args:
        workload: What is trained.
        seed: Seed of data, start and order.
    """

    def __init__(self, workload: Workload, seed: int) -> None:
        torch.manual_seed(seed)
        self._workload = workload
        self._rows, self._judged = (
            [torch.from_numpy(part) for part in parts]
            for parts in (workload.rows(seed), workload.held_out())
        )
        self._network = torch_network(workload, seed)
        parameters = self._network.parameters()
        self._adam = torch.optim.Adam(parameters, lr=LEARNING_RATE, eps=1e-7, fused=True)

    def fit(self, epochs: int) -> None:
        """Train."""
        for _ in range(epochs):
            self._epoch()

    def fit_until(self, target: float, most: int) -> int:
        """Train until the held-out loss is this low; return the number of epochs."""
        for epoch in range(1, most + 1):
            self._epoch()
            if self.held_out_loss() <= target:
                return epoch
        return most

    def held_out_loss(self) -> float:
        """Return the mean negative log-likelihood of held-out rows."""
        with torch.no_grad():
            return float(self._loss(*self._judged))

    def _epoch(self) -> None:
        x, y = self._rows
        if self._workload.num_steps == 1:
            self._step(x, y)
            return
        for batch in torch.randperm(len(x)).split(self._workload.batch_size):
            self._step(x[batch], y[batch])

    def _step(self, x: Any, y: Any) -> None:
        self._adam.zero_grad()
        self._loss(x, y).backward()
        self._adam.step()

    def _loss(self, x: Any, y: Any) -> Any:
        logits, locations, scales = torch_parameters(self._workload, self._network(x))
        z = (y[:, None, :] - locations) / scales
        log_prob = (-0.5 * z * z - scales.log()).sum(-1) + logits.log_softmax(-1)
        constant = 0.5 * self._workload.event_size * math.log(2 * math.pi)
        return constant - log_prob.logsumexp(-1).mean()
