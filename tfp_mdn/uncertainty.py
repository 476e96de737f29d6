"""Splits what several mixtures leave open into noise of the data and doubt about the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from tfp_mdn._validation import FloatArray, as_generator, as_whole_number
from tfp_mdn.mixture.density import log_sum_exp, row_blocks
from tfp_mdn.mixture.family_mixture import FamilyMixture
from tfp_mdn.mixture.parameters import MixtureParameters
from tfp_mdn.mixture.quadrature import line_nodes

__all__ = ["Uncertainty", "split_members", "split_uncertainty"]

# Roughly, of those of an integral, for the size of the blocks that rows are taken in.
_NODES_A_COMPONENT = 10

# Weights that a network computed in float32 sum to 1 only within about 1e-6.
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Uncertainty:
    """Aleatoric and epistemic parts of the variance and of the entropy, row by row.

    The aleatoric part is noise that more rows would not take away; the epistemic part is what the
    members of an ensemble disagree about, as they do where rows were few.

    Attributes:
        aleatoric: Mean over the members of their variances, (N, D), in squared units of the target;
            (N,) from an estimator that was fitted to a vector.
        epistemic: Variance over the members of their means, likewise.
        aleatoric_entropy: Mean over the members of their entropies, (N,), in nats. Like every
            entropy of a density it depends on the unit of the target, and can be negative.
        mutual_information: Epistemic part of the entropy, (N,), in nats, from 0 to log M: what
            knowing the right member would tell about the target. It has no unit to depend on.
        aleatoric_entropy_error: Standard error of `aleatoric_entropy`, (N,), in nats; 0 where it
            was integrated and not sampled.
        mutual_information_error: Standard error of `mutual_information`, likewise.
    """

    aleatoric: FloatArray
    epistemic: FloatArray
    aleatoric_entropy: FloatArray
    mutual_information: FloatArray
    aleatoric_entropy_error: FloatArray
    mutual_information_error: FloatArray

    def __post_init__(self) -> None:
        """Check that the shapes agree, and make the arrays read-only."""
        for field in fields(self):
            array = getattr(self, field.name)
            is_variance = field.name in ("aleatoric", "epistemic")
            expected = self.aleatoric.shape if is_variance else self.aleatoric.shape[:1]
            if array.shape != expected:
                msg = f"{field.name} must have shape {expected}, got {array.shape}."
                raise ValueError(msg)
            array.setflags(write=False)

    @property
    def total(self) -> FloatArray:
        """Variance of the pooled mixture, the sum of both parts."""
        return self.aleatoric + self.epistemic

    @property
    def entropy(self) -> FloatArray:
        """Entropy of the pooled mixture, (N,), in nats: the sum of both parts."""
        return self.aleatoric_entropy + self.mutual_information


def split_members(
    parameters: MixtureParameters | FamilyMixture, ensemble_size: int
) -> list[MixtureParameters | Any]:
    """Return the members of an ensemble that was merged into one mixture of M K components.

    Args:
        parameters: Mixture of M K components, those of a member side by side, of weight 1/M.
        ensemble_size: Number of members M.

    Returns:
        M mixtures of K components, of the kind of `parameters`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the components cannot be shared out so.

    Example:
        >>> p = MixtureParameters([[0.1, 0.4, 0.5, 0.0]], [[1.0, 2.0, 3.0, 4.0]], [[1.0] * 4])
        >>> [member.weights.tolist() for member in split_members(p, 2)]
        [[[0.2, 0.8]], [[1.0, 0.0]]]
    """
    _check_mixture("parameters", parameters)
    ensemble_size = as_whole_number("ensemble_size", ensemble_size)
    size, rest = divmod(parameters.num_components, ensemble_size)
    if rest:
        msg = (
            f"ensemble_size must divide the {parameters.num_components} components of the mixture, "
            f"got {ensemble_size}."
        )
        raise ValueError(msg)
    shares = parameters.weights.reshape(len(parameters), ensemble_size, size).sum(axis=2)
    if (np.abs(shares * ensemble_size - 1.0) > _TOLERANCE).any():
        msg = (
            f"each member's components must weigh 1 / {ensemble_size} together, got weights from "
            f"{shares.min():.6g} to {shares.max():.6g}. The components of a member stand side by "
            "side; MixtureParameters.sorted() mixes them."
        )
        raise ValueError(msg)
    members: list[MixtureParameters | Any] = []
    for start in range(0, parameters.num_components, size):
        own = slice(start, start + size)
        weights = parameters.weights[:, own] / shares[:, [start // size]]
        members.append(_of_components(parameters, weights, own))
    return members


def _of_components(
    parameters: MixtureParameters | FamilyMixture, weights: FloatArray, own: slice
) -> MixtureParameters | FamilyMixture:
    """Return the mixture of some components with other weights."""
    if isinstance(parameters, FamilyMixture):
        df = parameters.df
        return FamilyMixture(
            parameters.family,
            weights,
            parameters.locs[:, own],
            parameters.scales[:, own],
            None if df is None else df[:, own],
        )
    full = parameters.covariances
    return MixtureParameters(
        weights,
        parameters.means[:, own],
        parameters.variances[:, own],
        None if full is None else full[:, own],
    )


def split_uncertainty(
    members: Sequence[MixtureParameters | FamilyMixture],
    *,
    size: int = 1000,
    rng: np.random.Generator | int | None = None,
) -> Uncertainty:
    """Split the variance and the entropy of an ensemble of mixtures into their two parts.

    With members p_1, ..., p_M of equal weight, whose mean p is the ensemble's density:

        Var(Y) = mean_m Var_m(Y) + Var_m(E_m[Y]),
        H[p] = mean_m H[p_m] + I(Y; m),    I(Y; m) = E[log p_m(Y) - log p(Y)]

    Variances are exact. The entropies are integrated by quadrature for normal components and D = 1,
    within about 1e-6 nats, and else estimated from draws, whose standard errors are returned. The
    same draws serve all members, and each counts as much as it is likely to be a member's
    (Rao-Blackwell), so the mutual information is never negative and exactly 0 for one member.

    Args:
        members: M mixtures of the same N rows and D dimensions; their numbers of components may
            differ.
        size: Draws for each row, at least 2 for each member; where it is integrated, none are made.
        rng: Source of the draws: a generator, a seed, or None for fresh ones.

    Returns:
        Arrays of N rows.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there are no members, they do not fit together, or `size` is too small.

    References:
        Lakshminarayanan, Pritzel & Blundell (2017), Simple and scalable predictive uncertainty
        estimation using deep ensembles, https://arxiv.org/abs/1612.01474. Depeweg,
        Hernández-Lobato, Doshi-Velez & Udluft (2018), Decomposition of uncertainty in Bayesian deep
        learning for efficient and risk-sensitive learning, https://arxiv.org/abs/1710.07283.

    Example:
        >>> low = MixtureParameters([[1.0]], [[-1.0]], [[4.0]])
        >>> high = MixtureParameters([[1.0]], [[1.0]], [[4.0]])
        >>> split = split_uncertainty([low, high])
        >>> split.aleatoric, split.epistemic
        (array([[4.]]), array([[1.]]))
    """
    members = _checked_members(members)
    num_draws = -(-as_whole_number("size", size) // len(members))
    is_normal = all(isinstance(member, MixtureParameters) for member in members)
    integrates = is_normal and members[0].event_size == 1
    if num_draws < 2 and not integrates:
        msg = f"size must be at least 2 for each of {len(members)} members, got {size}."
        raise ValueError(msg)
    generator = as_generator("rng", rng)
    means = np.stack([member.mean() for member in members])
    # Deviations from the first member's mean are small numbers, of which no digits cancel.
    return Uncertainty(
        np.mean([member.variance() for member in members], axis=0),
        np.var(means - means[0], axis=0),
        *(_integrated(members) if integrates else _sampled(members, num_draws, generator)),
    )


def _integrated(members: Sequence[MixtureParameters | FamilyMixture]) -> tuple[FloatArray, ...]:
    """Return both parts of the entropy and errors of 0, each (N,), by quadrature."""
    num_rows = len(members[0])
    parts = np.zeros((4, num_rows))
    num_components = sum(member.num_components for member in members)
    for rows in row_blocks(num_rows, _NODES_A_COMPONENT * num_components):
        block = [member[rows] for member in members]
        nodes, weights = line_nodes(
            np.concatenate([member.weights for member in block], axis=1) / len(block),
            np.concatenate([member.means for member in block], axis=1),
            np.concatenate([member.variances for member in block], axis=1),
        )
        pooled, *densities = _entropy_densities(block, nodes[..., np.newaxis])
        weights *= np.exp(pooled)
        parts[:2, rows] = [(weights * density).sum(axis=0) for density in densities]
    return tuple(parts)


def _sampled(
    members: Sequence[MixtureParameters | FamilyMixture], num_draws: int, rng: np.random.Generator
) -> tuple[FloatArray, ...]:
    """Return estimates of both parts of the entropy and their standard errors, each (N,)."""
    num_rows, event_size = len(members[0]), members[0].event_size
    parts = np.empty((4, num_rows))
    for rows in row_blocks(num_rows, num_draws * event_size * len(members)):
        block = [member[rows] for member in members]
        # As many draws of each member: one stratum less to be uncertain about.
        strata = [_entropy_densities(block, member.sample(num_draws, rng))[1:] for member in block]
        values = np.array(strata)  # (M, 2, S, N)
        parts[:2, rows] = values.mean(axis=(0, 2))
        squares = (values.var(axis=2, ddof=1) / num_draws).sum(axis=0)
        parts[2:, rows] = np.sqrt(squares) / len(block)
    return tuple(parts)


def _entropy_densities(
    members: Sequence[MixtureParameters | FamilyMixture], y: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return log p, and what E over p makes both parts of the entropy of, at y (S, N, D).

    With r_m = p_m / (M p), the probability that y is of member m, they are -sum_m r_m log p_m and
    sum_m r_m log(M r_m).
    """
    logs = np.stack([member.log_prob(y) for member in members], axis=-1)
    pooled = log_sum_exp(logs) - np.log(len(members))
    excess = logs - pooled[..., np.newaxis]
    shares = np.exp(excess) / len(members)
    return pooled, -(shares * logs).sum(axis=-1), (shares * excess).sum(axis=-1)


def _checked_members(
    members: Sequence[MixtureParameters | FamilyMixture],
) -> list[MixtureParameters | FamilyMixture]:
    if isinstance(members, MixtureParameters | FamilyMixture) or not isinstance(members, Sequence):
        msg = (
            f"members must be a sequence of MixtureParameters, got {type(members).__name__}. "
            "split_members makes one of a merged ensemble."
        )
        raise TypeError(msg)
    if not members:
        msg = "members must hold at least one mixture, got none."
        raise ValueError(msg)
    for place, member in enumerate(members):
        name = f"members[{place}]"
        _check_mixture(name, member)
        expected, given = ((one.num_inputs, one.event_size) for one in (members[0], member))
        if given != expected:
            msg = f"{name} must have (N, D) = {expected} as the first has, got {given}."
            raise ValueError(msg)
    return list(members)


def _check_mixture(name: str, value: object) -> None:
    if not isinstance(value, MixtureParameters | FamilyMixture):
        msg = f"{name} must be MixtureParameters or a FamilyMixture, got {type(value).__name__}."
        raise TypeError(msg)
