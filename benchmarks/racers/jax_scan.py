"""Training by whole compiled epochs in JAX, written for the speed alone: the limit."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from benchmarks.racers.workloads import LEARNING_RATE, Workload

__all__ = ["JaxScan"]

_STEPS_PER_CALL = 256
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7


class JaxScan:
    """Several epochs a call, all weights in one vector, Adam by hand.

    Args:
        workload: What is trained.
        seed: Seed of data, start and order.
    """

    def __init__(self, workload: Workload, seed: int) -> None:
        self._workload, self._seed = workload, seed
        self._rows = tuple(map(jnp.asarray, workload.rows(seed)))
        self._judged = tuple(map(jnp.asarray, workload.held_out()))
        vector, self._unravel = ravel_pytree(workload.start(seed))
        self._state = (vector, jnp.zeros_like(vector), jnp.zeros_like(vector), jnp.int32(0))
        self._at_once = -(-_STEPS_PER_CALL // workload.num_steps)
        self._calls = 0
        self._run = jax.jit(self._epochs, donate_argnums=0)
        self._judge = jax.jit(self._held_out)

    def fit(self, epochs: int) -> None:
        """Train."""
        for done in range(0, epochs, self._at_once):
            self._call(min(self._at_once, epochs - done))
        jax.block_until_ready(self._state)

    def fit_until(self, target: float, most: int) -> int:
        """Train until the held-out loss is this low; return the number of epochs."""
        for epoch in range(1, most + 1):
            self._call(1)
            if self.held_out_loss() <= target:
                return epoch
        return most

    def held_out_loss(self) -> float:
        """Return the mean negative log-likelihood of held-out rows."""
        return float(self._judge(self._state[0], *self._judged))

    def _call(self, count: int) -> None:
        self._calls += 1
        orders = np.zeros(
            (self._at_once, self._workload.num_steps, self._workload.batch_size), np.int32
        )
        orders[:count] = self._workload.orders(self._seed + 1000 * self._calls, count)
        self._state = self._run(self._state, *self._rows, orders, count)

    def _epochs(self, state: Any, x: Any, y: Any, orders: Any, count: Any) -> Any:
        steps, batch = self._workload.num_steps, self._workload.batch_size

        def step(place: Any, state: Any) -> Any:
            weights, momentum, velocity, iteration = state
            number = place % steps
            chosen = orders[place // steps, number]
            left = jnp.minimum(self._workload.num_rows - number * batch, batch)
            counts = (jnp.arange(batch) < left).astype(jnp.float32) / left
            rows = (x, y) if steps == 1 else (x[chosen], y[chosen])
            gradient = jax.grad(lambda w: counts @ self._losses(w, *rows))(weights)
            iteration += 1
            t = iteration.astype(jnp.float32)
            rate = LEARNING_RATE * jnp.sqrt(1 - _BETA_2**t) / (1 - _BETA_1**t)
            momentum += (gradient - momentum) * (1 - _BETA_1)
            velocity += (gradient**2 - velocity) * (1 - _BETA_2)
            weights -= rate * momentum / (jnp.sqrt(velocity) + _EPSILON)
            return weights, momentum, velocity, iteration

        return jax.lax.fori_loop(0, count * steps, step, state)

    def _held_out(self, weights: Any, x: Any, y: Any) -> Any:
        return self._losses(weights, x, y).mean()

    def _losses(self, weights: Any, x: Any, y: Any) -> Any:
        count, size = self._workload.num_components, self._workload.event_size
        *hidden, (kernel, bias) = self._unravel(weights)
        activation = {"relu": jax.nn.relu, "tanh": jnp.tanh}[self._workload.activation]
        for k, b in hidden:
            x = activation(x @ k + b)
        raw = x @ kernel + bias
        logits, locations, scales = jnp.split(raw, [count, count * (1 + size)], axis=1)
        scales = jax.nn.softplus(scales)
        z = (jnp.tile(y, (1, count)) - locations) / scales
        parts = -0.5 * z * z - jnp.log(scales)
        if size > 1:
            parts = parts.reshape(-1, count, size).sum(-1)
        constant = 0.5 * size * math.log(2 * math.pi)
        return constant - jax.nn.logsumexp(parts + jax.nn.log_softmax(logits), axis=1)
