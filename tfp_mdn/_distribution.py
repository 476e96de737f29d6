"""The distribution object that a model with a mixture layer at its end returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability.python.layers.internal import distribution_tensor_coercible

__all__ = ["MixtureDistribution"]


class MixtureDistribution(distribution_tensor_coercible._TensorCoercible):
    """What a model that ends in `MixtureNormal` returns: a `tfd.MixtureSameFamily` and a tensor.

    It is TFP's own wrapper with four corrections: `dist[i]`, with an index, a slice, indices or a
    mask, selects rows of the batch instead of slicing a tensor, `prob` and `cdf` work, and
    `log_prob` refuses targets whose shape would silently broadcast against the rows.
    """

    def _log_prob(self, value: Any, **kwargs: Any) -> Any:
        self._check_target(value)
        return super()._log_prob(value, **kwargs)

    def _prob(self, value: Any, **kwargs: Any) -> Any:
        return tf.exp(self._log_prob(value, **kwargs))

    def _log_cdf(self, value: Any, **kwargs: Any) -> Any:
        self._check_target(value)
        return super()._log_cdf(value, **kwargs)

    def _cdf(self, value: Any, **kwargs: Any) -> Any:
        return tf.exp(self._log_cdf(value, **kwargs))

    def _check_target(self, value: Any) -> None:
        shape, event_shape, batch_shape = value.shape, self.event_shape, self.batch_shape
        if shape.rank in (None, 0):
            return
        if event_shape.rank == 1 and not (shape.rank == 1 and batch_shape.rank == 0):
            size = event_shape[0]
            if shape[-1] != size:
                hint = "; write y[:, None] for one value a row" if size == 1 else ""
                msg = (
                    f"y has shape {shape}, but its last axis must be the target's {size} "
                    f"dimension(s): expected {[*batch_shape, size]}{hint}."
                )
                raise ValueError(msg)
        if event_shape.rank == 0 and batch_shape.rank:
            sizes = batch_shape.as_list()
            if shape.as_list() == [*sizes, 1] and any(size != 1 for size in sizes):
                msg = (
                    f"y has shape {shape} where event_shape=() expects {batch_shape}: it would "
                    "broadcast its rows against each other. Write y[..., 0], or use "
                    "event_shape=(1,)."
                )
                raise ValueError(msg)


def _select_rows(distribution: MixtureDistribution, rows: Any) -> tfp.distributions.Distribution:
    inner = distribution.tensor_distribution
    if not isinstance(rows, list | np.ndarray | tf.Tensor):
        return inner[rows]
    rows = tf.convert_to_tensor(rows)
    if rows.dtype == tf.bool:
        if not rows.shape.is_compatible_with(inner.batch_shape):
            msg = f"a mask must have the batch shape {inner.batch_shape}, got {rows.shape}."
            raise ValueError(msg)
        return _each_parameter(inner, lambda part: tf.boolean_mask(part, rows))
    return _each_parameter(inner, lambda part: tf.gather(part, rows))


def _each_parameter(distribution: Any, function: Callable[[tf.Tensor], tf.Tensor]) -> Any:
    """Return the distribution whose parameters, all with the whole batch in front, are mapped."""
    return tf.nest.map_structure(function, distribution, expand_composites=True)


# TFP's metaclass overwrites the operators of a class body, so this one is set after it.
MixtureDistribution.__getitem__ = _select_rows
