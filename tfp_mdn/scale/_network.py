"""The network that is trained on shards: the layers of `MDNRegressor`, units from statistics."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import tf_keras

from tfp_mdn._lattice import lattice_step
from tfp_mdn._validation import FloatArray
from tfp_mdn.initializers import spread_start
from tfp_mdn.layers import head_class
from tfp_mdn.members import MemberNetwork
from tfp_mdn.models import MixtureSequential
from tfp_mdn.preprocessing import PiecewiseLinear, Standardize, quantile_edges
from tfp_mdn.scale.statistics import ColumnStatistics

__all__ = ["copy_of", "network_for"]

# Scales beyond these, or their inverses, leave float64 for inputs and the likelihood for targets.
_WIDEST_INPUT, _WIDEST_TARGET = 1e300, 1e30

# Standard units beyond which a target is taken for a gross outlier.
_GROSS_OUTLIER = 100.0


def network_for(
    statistics: ColumnStatistics,
    num_inputs: int,
    *,
    num_components: int,
    num_intervals: int,
    min_scale: float,
    covariance_type: str,
    seed: int,
    **structure: Any,
) -> tf_keras.Model:
    """Return a model for columns of inputs and then targets, not yet trained.

    Its layers are `Standardize`, `PiecewiseLinear`, `MemberNetwork` and a mixture layer; the
    components are spread over the targets of the sample.

    Args:
        statistics: Statistics of the columns.
        num_inputs: Number of the first columns that are inputs.
        num_components: Number of components K.
        num_intervals: Intervals between quantiles for each input.
        min_scale: Floor of the standard deviations, in standard deviations of the targets.
        covariance_type: "diag" or "full".
        seed: Seed of the first weights.
        **structure: `hidden_units` and `activation` of `MemberNetwork`.

    Raises:
        ValueError: If a column's scale is out of range.
    """
    loc, scale = _units(statistics, num_inputs)
    inputs, targets = np.split(statistics.sample, [num_inputs], axis=1)
    standardise = Standardize(loc[:num_inputs], scale[:num_inputs], name="standardise")
    encode = PiecewiseLinear(
        quantile_edges(standardise(inputs).numpy(), num_intervals), name="encode"
    )
    loc, scale = loc[num_inputs:], scale[num_inputs:]
    event_size = len(loc)
    network = MemberNetwork(
        1, num_components, event_size, covariance_type=covariance_type, **structure, name="members"
    )
    steps = np.array([lattice_step(column) for column in targets.T]) / scale
    head = head_class(covariance_type)(
        num_components,
        (event_size,),
        # The standard deviation of what rounding to the lattice has taken away.
        min_scale=max(min_scale, steps.min() / np.sqrt(12.0)),
        loc=loc,
        scale=scale,
        dtype="float64",
        name="mixture",
    )
    raw = tf_keras.Input((num_inputs,), dtype="float64")
    model = MixtureSequential([raw, standardise, encode, network, head], name="mdn")
    standard = np.clip((targets - loc) / scale, -_GROSS_OUTLIER, _GROSS_OUTLIER)
    network.start(spread_start(standard, num_components, head.min_scale, covariance_type), seed)
    return model


def copy_of(model: tf_keras.Model) -> tf_keras.Model:
    """Return a model with the same weights, but neither optimizer nor distribution strategy."""
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def _units(statistics: ColumnStatistics, num_inputs: int) -> tuple[FloatArray, FloatArray]:
    """Return location and scale of all columns; scale 0 for inputs that are constant."""
    loc, scale = statistics.location_and_scale()
    constant = statistics.min == statistics.max
    widest = np.where(np.arange(len(loc)) < num_inputs, _WIDEST_INPUT, _WIDEST_TARGET)
    extreme = ~constant & ~((scale >= 1 / widest) & (scale <= widest))
    if extreme.any():
        place = int(np.flatnonzero(extreme)[0])
        msg = (
            f"column {statistics.columns[place]!r} must have a standard deviation between "
            f"{1 / widest[place]:g} and {widest[place]:g}, got {scale[place]:g}. Change the unit."
        )
        raise ValueError(msg)
    if constant.any():
        names = ", ".join(repr(statistics.columns[place]) for place in np.flatnonzero(constant))
        warnings.warn(f"column(s) {names} are constant", stacklevel=4)
    inputs = np.arange(len(loc)) < num_inputs
    scale = np.where(constant, np.where(inputs, 0.0, 1.0), scale)
    reach = np.maximum(statistics.max - loc, loc - statistics.min)
    gross = ~inputs & (reach > _GROSS_OUTLIER * scale)
    if gross.any():
        names = ", ".join(repr(statistics.columns[place]) for place in np.flatnonzero(gross))
        warnings.warn(
            f"target(s) {names} have values more than {_GROSS_OUTLIER:g} standard deviations from "
            "the others, which count as if they were nearer. Mend or drop those rows, or take the "
            "logarithm of a target that spans orders of magnitude.",
            stacklevel=4,
        )
    return loc, scale
