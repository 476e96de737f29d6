"""Puts together the model that an estimator trains: raw inputs in, a mixture in y's units out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from tfp_mdn._lattice import lattice_step
from tfp_mdn._validation import FloatArray, as_real, as_whole_number
from tfp_mdn.initializers import spread_start
from tfp_mdn.layers import MixtureHead, head_class
from tfp_mdn.members import MemberNetwork
from tfp_mdn.models import MixtureSequential
from tfp_mdn.preprocessing import (
    PiecewiseLinear,
    Standardize,
    draw_in,
    location_and_scale,
    quantile_edges,
)
from tfp_mdn.recipe import Rows

__all__ = ["assemble", "check_same_structure", "standard_rows"]

# Standard units beyond which a target is taken for a gross outlier.
_GROSS_OUTLIER = 100.0

# Standard deviations that the mean of targets may lie above a bound at 0. In their units the
# targets are then no gross outliers, and further out the bound would change nothing.
_FARTHEST_FROM_ZERO = 50.0


def assemble(
    inputs: FloatArray,
    targets: FloatArray,
    weights: FloatArray,
    *,
    num_intervals: int,
    min_scale: float,
    seed: int,
    ensemble_size: int,
    num_components: int,
    lattice: FloatArray | None = None,
    **structure: Any,
) -> tf_keras.Model:
    """Return a model for these rows, with components spread over the targets, not yet trained.

    Its layers are `Standardize`, `PiecewiseLinear`, `MemberNetwork` and a mixture layer.

    Args:
        inputs: Inputs (N, F), in their own units.
        targets: Targets (N, D), likewise, NaN where missing.
        weights: Weight of each row, (N,), greater than 0.
        num_intervals: Intervals between quantiles for each feature.
        min_scale: Floor of the standard deviations, in standard deviations of the targets.
        seed: Seed of the first weights.
        ensemble_size: Number of networks M.
        num_components: Components K of each.
        lattice: Step to which each target was rounded, (D,), if the likelihood will be that of
            rounded values, which needs no floor of its own.
        **structure: `hidden_units`, `activation`, `covariance_type` and `component` of
            `MemberNetwork`.
    """
    num_intervals = as_whole_number("num_intervals", num_intervals)
    min_scale = as_real("min_scale", min_scale, above=0.0)
    standardise = Standardize(
        *location_and_scale("X", inputs, weights, limit=1e300), name="standardise"
    )
    seen = ~np.isnan(targets)
    event_size = targets.shape[1]
    network = MemberNetwork(ensemble_size, num_components, event_size, **structure, name="members")
    layer = head_class(network.covariance_type, network.component)
    layer.check_targets("y", targets)
    transformed = layer.transformed(targets)
    loc, scale = _units_of_seen(transformed, weights, seen)
    if network.component == "truncated_normal":
        loc = _bound_at_zero(loc, scale)
    encode = PiecewiseLinear(
        quantile_edges(standardise(inputs).numpy(), num_intervals), name="encode"
    )
    steps = [
        lattice_step(column[rows]) for column, rows in zip(transformed.T, seen.T, strict=True)
    ] / scale
    head = layer(
        network.ensemble_size * network.num_components,
        (event_size,),
        # The standard deviation of what rounding to the lattice has taken away.
        min_scale=max(min_scale, steps.min() / np.sqrt(12.0)) if lattice is None else min_scale,
        loc=loc,
        scale=scale,
        dtype="float64",
        name="mixture",
    )
    raw = tf_keras.Input((inputs.shape[1],), dtype="float64")
    model = MixtureSequential([raw, standardise, encode, network, head], name="mdn")
    standard = _filled(_standard_targets(head, targets), seen, seed)
    start = spread_start(
        standard,
        network.num_components,
        head.min_scale,
        network.covariance_type,
        network.component,
    )
    network.start(start, seed)
    return model


def _units_of_seen(
    targets: FloatArray, weights: FloatArray, seen: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Return location and scale of each target (D,), from the rows that have it."""
    if seen.all():
        return location_and_scale("y", targets, weights, limit=1e30)
    each = [
        location_and_scale(f"y[:, {d}]", targets[rows, d : d + 1], weights[rows], limit=1e30)
        for d, rows in enumerate(seen.T)
    ]
    return np.concatenate([loc for loc, _ in each]), np.concatenate([scale for _, scale in each])


def _bound_at_zero(loc: FloatArray, scale: FloatArray) -> FloatArray:
    """Return the location of the affine map of targets that are bounded at 0.

    Raises:
        ValueError: If they lie so far above it that it means nothing.
    """
    if (loc > _FARTHEST_FROM_ZERO * scale).any():
        msg = (
            f"y lies around {loc} with standard deviations of {scale}: so far above 0 that a bound "
            "there means nothing. Use component='normal'."
        )
        raise ValueError(msg)
    return np.zeros_like(loc)


def _filled(targets: FloatArray, seen: NDArray[np.bool_], seed: int) -> FloatArray:
    """Return targets whose missing values are drawn from the others of their dimension.

    They place the components before training, where the mean would draw them together.
    """
    rng = np.random.default_rng(seed)
    filled = targets.copy()
    for column, rows in zip(filled.T, seen.T, strict=True):
        column[~rows] = rng.choice(column[rows], (~rows).sum())
    return filled


def standard_rows(
    model: tf_keras.Model, inputs: FloatArray, targets: FloatArray, weights: FloatArray
) -> Rows:
    """Return rows as the members see them; only differences from the centre go through float32.

    Targets of more than 100 standard units are drawn in, with a warning: as they are, their
    log-densities would outweigh all others together.
    """
    standardise, *_, head = model.layers
    x = standardise(inputs).numpy().astype(np.float32)
    y = _standard_targets(head, targets).astype(np.float32)
    num_gross = int((np.abs(y) > _GROSS_OUTLIER).any(axis=1).sum())
    if num_gross:
        warnings.warn(
            f"{num_gross} of {len(y)} rows have a target more than {_GROSS_OUTLIER:g} standard "
            "deviations from the others, and count as if it were nearer. Mend or drop them, or "
            "take the logarithm of y if it spans orders of magnitude.",
            stacklevel=4,
        )
    return Rows(x, y, (weights / weights.mean()).astype(np.float32))


def _standard_targets(head: MixtureHead, targets: FloatArray) -> FloatArray:
    """Return targets in standard units, gross outliers drawn in."""
    standard = (head.transformed(targets) - head.loc) / head.scale
    return draw_in(tf.constant(standard), _GROSS_OUTLIER).numpy()


def check_same_structure(
    model: tf_keras.Model, targets: FloatArray, structure: Mapping[str, Any]
) -> None:
    """Raise ValueError if a model cannot go on from where it is with such targets and arguments."""
    *_, network, _ = model.layers
    wanted = MemberNetwork(**structure, event_size=targets.shape[1]).get_config()
    changed = [
        name for name in (*structure, "event_size") if network.get_config()[name] != wanted[name]
    ]
    if changed:
        msg = (
            f"warm_start needs a model of the same structure, but {', '.join(changed)} changed "
            "since the last fit. Set warm_start=False to start again."
        )
        raise ValueError(msg)
