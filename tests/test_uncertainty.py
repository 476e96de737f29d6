"""Both parts of variance and entropy: against closed forms, quadrature by SciPy, and their laws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, stats

from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.mixture.quadrature import line_nodes
from tfp_mdn.uncertainty import Uncertainty, split_members, split_uncertainty

RNG = np.random.default_rng(0)
N, M = 6, 3


def mixture(*arrays: Any) -> MixtureParameters:
    return MixtureParameters(*arrays)


def mixtures(num_components: int = 2, least: float = -1.0) -> MixtureParameters:
    shape = N, num_components
    weights = RNG.dirichlet(np.ones(num_components), N)
    return MixtureParameters(
        weights, RNG.normal(0.0, 2.0, shape), 10 ** RNG.uniform(least, 1.0, shape)
    )


def full_mixtures(event_size: int = 2) -> MixtureParameters:
    factors = RNG.normal(size=(N, 2, event_size, event_size)) + 2.0 * np.eye(event_size)
    covariances = factors @ np.swapaxes(factors, -1, -2)
    means = RNG.normal(size=(N, 2, event_size))
    variances = np.diagonal(covariances, axis1=-2, axis2=-1)
    return MixtureParameters(RNG.dirichlet([1.0, 1.0], N), means, variances, covariances)


def merged(members: list[MixtureParameters]) -> MixtureParameters:
    full = [part.covariances for part in members if part.covariances is not None]
    return MixtureParameters(
        np.concatenate([part.weights for part in members], axis=1) / len(members),
        np.concatenate([part.means for part in members], axis=1),
        np.concatenate([part.variances for part in members], axis=1),
        np.concatenate(full, axis=1) if full else None,
    )


def entropy_by_scipy(p: MixtureParameters, row: int) -> float:
    means, scales = p.means[row, :, 0], np.sqrt(p.variances[row, :, 0])

    def integrand(y: float) -> float:
        density = p.weights[row] @ stats.norm.pdf(y, means, scales)
        return float(-density * np.log(density)) if density > 0 else 0.0

    cuts = np.sort((means[:, None] + scales[:, None] * np.linspace(-9, 9, 13)).ravel())
    pieces = zip(cuts[:-1], cuts[1:], strict=True)
    return sum(integrate.quad(integrand, *piece, epsabs=1e-10)[0] for piece in pieces)


def test_the_variance_is_split_by_the_law_of_total_variance() -> None:
    members = [mixtures(), mixtures(3), mixtures(1)]
    split = split_uncertainty(members)
    assert_allclose(split.aleatoric, np.mean([p.variance() for p in members], axis=0))
    assert_allclose(split.epistemic, np.var([p.mean() for p in members], axis=0))
    assert_allclose(split.total, merged(members).variance(), rtol=1e-12)


def test_two_normals_by_hand() -> None:
    low, high = (mixture([[1.0]], [[mean]], [[4.0]]) for mean in (-1e3, 1e3))
    split = split_uncertainty([low, high])
    assert_array_equal(split.aleatoric, [[4.0]])
    assert_array_equal(split.epistemic, [[1e6]])
    assert_allclose(split.aleatoric_entropy, stats.norm(scale=2.0).entropy(), atol=1e-6)
    assert_allclose(split.mutual_information, np.log(2.0), atol=1e-6)


@pytest.mark.parametrize("least", [-1.0, -6.0])
def test_entropies_equal_those_of_scipy(least: float) -> None:
    members = [mixtures(3, least), mixtures(1, least)]
    split = split_uncertainty(members)
    for row in range(N):
        each = [entropy_by_scipy(p, row) for p in members]
        pooled = entropy_by_scipy(merged(members), row)
        assert split.aleatoric_entropy[row] == pytest.approx(np.mean(each), abs=2e-6)
        assert split.entropy[row] == pytest.approx(pooled, abs=2e-6)
    assert not split.aleatoric_entropy_error.any()
    assert not split.mutual_information_error.any()


def test_normals_in_several_dimensions_have_their_closed_entropy() -> None:
    whole = full_mixtures(3)
    assert whole.covariances is not None
    one = MixtureParameters(
        np.ones((N, 1)), whole.means[:, :1], whole.variances[:, :1], whole.covariances[:, :1]
    )
    split = split_uncertainty([one], size=20_000, rng=1)
    expected = [
        stats.multivariate_normal(one.means[n, 0], whole.covariances[n, 0]).entropy()
        for n in range(N)
    ]
    errors = (split.aleatoric_entropy - expected) / split.aleatoric_entropy_error
    assert np.abs(errors).max() < 4.0
    assert (split.aleatoric_entropy_error < 0.02).all()


def test_draws_agree_with_quadrature_within_their_standard_errors() -> None:
    # Independent dimensions add their entropies, so the plane is known from the line.
    members = [mixtures(), mixtures()]
    scale = 1.7
    wider = [
        MixtureParameters(
            p.weights,
            np.concatenate([p.means, np.zeros_like(p.means)], axis=-1),
            np.concatenate([p.variances, np.full_like(p.variances, scale**2)], axis=-1),
        )
        for p in members
    ]
    line, plane = split_uncertainty(members), split_uncertainty(wider, size=20_000, rng=0)
    extra = stats.norm(scale=scale).entropy()
    aleatoric = plane.aleatoric_entropy - extra - line.aleatoric_entropy
    mutual = plane.mutual_information - line.mutual_information
    assert np.abs(aleatoric / plane.aleatoric_entropy_error).max() < 4.0
    assert np.abs(mutual / plane.mutual_information_error).max() < 4.0
    assert (plane.mutual_information_error < 0.01).all()


def test_standard_errors_are_those_of_repeated_draws() -> None:
    members = [full_mixtures(), full_mixtures()]
    repeated = [split_uncertainty(members, size=200, rng=seed) for seed in range(200)]
    for name in ("aleatoric_entropy", "mutual_information"):
        spread = np.std([getattr(split, name) for split in repeated], axis=0)
        stated = np.mean([getattr(split, f"{name}_error") for split in repeated], axis=0)
        assert_allclose(stated, spread, rtol=0.2)


@pytest.mark.parametrize("make", [mixtures, full_mixtures])
def test_mutual_information_keeps_its_bounds(make: Callable[[], MixtureParameters]) -> None:
    members = [make() for _ in range(M)]
    split = split_uncertainty(members, size=60, rng=0)
    assert (split.mutual_information > 0).all()
    assert (split.mutual_information < np.log(M)).all()
    alone = split_uncertainty(members[:1], size=60, rng=0)
    alike = split_uncertainty(members[:1] * 4, size=60, rng=0)
    for nothing in (alone.epistemic, alone.mutual_information, alone.mutual_information_error):
        assert not nothing.any()
    assert_allclose(alike.mutual_information, 0.0, atol=1e-12)
    assert not alike.epistemic.any()


@pytest.mark.parametrize("factor", [1e-100, 1e100])
def test_units_change_variances_and_shift_entropies(factor: float) -> None:
    members = [mixtures(), mixtures()]
    split = split_uncertainty(members)
    scaled = split_uncertainty([p.transform(scale=factor) for p in members])
    assert_allclose(scaled.aleatoric / factor / factor, split.aleatoric, rtol=1e-9)
    assert_allclose(scaled.mutual_information, split.mutual_information, atol=1e-9)
    shifted = split.aleatoric_entropy + np.log(factor)
    assert_allclose(scaled.aleatoric_entropy, shifted, atol=1e-9)


def test_a_seed_gives_the_same_draws_and_blocks_change_nothing() -> None:
    members = [full_mixtures(), full_mixtures()]
    first, again = (split_uncertainty(members, size=50, rng=3) for _ in range(2))
    assert_array_equal(first.mutual_information, again.mutual_information)
    fresh = split_uncertainty(members, size=50)
    assert not np.array_equal(first.mutual_information, fresh.mutual_information)
    line = [mixtures(), mixtures()]
    many = [MixtureParameters.concatenate([p] * 2000) for p in line]
    repeated = np.tile(split_uncertainty(line).mutual_information, 2000)
    assert_allclose(split_uncertainty(many).mutual_information, repeated, atol=1e-12)


def test_members_come_out_of_a_merged_mixture() -> None:
    for members in ([mixtures(), mixtures()], [full_mixtures(), full_mixtures()]):
        for ours, theirs in zip(split_members(merged(members), 2), members, strict=True):
            assert_allclose(ours.weights, theirs.weights)
            assert_array_equal(ours.means, theirs.means)
            assert_array_equal(ours.variances, theirs.variances)
            if theirs.covariances is not None:
                assert_array_equal(ours.covariances, theirs.covariances)


def test_nodes_integrate_polynomials_and_density_of_unlike_scales() -> None:
    p = mixture([[0.5, 0.3, 0.2]], [[0.0, 0.1, 50.0]], [[1.0, 1e-8, 100.0]])
    nodes, weights = line_nodes(p.weights, p.means, p.variances)
    density = p.prob(nodes[..., np.newaxis])
    assert (weights >= 0).all()
    assert (weights * density).sum() == pytest.approx(1.0, abs=1e-7)
    assert (weights * nodes * density).sum() == pytest.approx(p.mean()[0, 0], rel=1e-7)


def test_the_result_is_frozen_and_checked() -> None:
    split = split_uncertainty([mixtures()])
    with pytest.raises(ValueError, match="read-only"):
        split.aleatoric[0] = 1.0
    two, three = np.zeros(2), np.zeros(3)
    with pytest.raises(ValueError, match=r"epistemic must have shape \(2,\), got \(3,\)"):
        Uncertainty(two, three, two, two, two, two)
    with pytest.raises(ValueError, match=r"mutual_information_error must have shape \(2,\)"):
        Uncertainty(two[:, None], two[:, None], two, two, two, three)


@pytest.mark.parametrize(
    ("members", "options", "error", "message"),
    [
        ([], {}, ValueError, "members must hold at least one mixture"),
        (mixtures(), {}, TypeError, "must be a sequence of MixtureParameters.*split_members"),
        (5, {}, TypeError, "members must be a sequence of MixtureParameters, got int"),
        ([mixtures(), "p"], {}, TypeError, r"members\[1\] must be MixtureParameters.*, got str"),
        ([mixtures(), mixtures()[:3]], {}, ValueError, r"members\[1\] must have \(N, D\) = \(6, 1"),
        ([mixtures(), full_mixtures()], {}, ValueError, r"got \(6, 2\)"),
        ([full_mixtures()] * 2, {"size": 2}, ValueError, "size must be at least 2 for each of 2"),
        ([full_mixtures()], {"size": 0}, ValueError, "size must be at least 1"),
        ([full_mixtures()], {"rng": "a"}, TypeError, "rng must be a numpy.random.Generator"),
    ],
)
def test_bad_arguments(
    members: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        split_uncertainty(members, **options)


@pytest.mark.parametrize(
    ("parameters", "ensemble_size", "error", "message"),
    [
        (mixtures(4), 3, ValueError, "ensemble_size must divide the 4 components .* got 3"),
        (mixtures(4), 0, ValueError, "ensemble_size must be at least 1"),
        (mixtures(4), 2.0, TypeError, "ensemble_size must be an integer"),
        (None, 2, TypeError, "parameters must be MixtureParameters.*, got NoneType"),
        (
            mixture([[0.9, 0.1]], [[0.0, 1.0]], [[1.0, 1.0]]),
            2,
            ValueError,
            r"each member's components must weigh 1 / 2 together",
        ),
    ],
)
def test_what_is_no_ensemble_is_refused(
    parameters: Any, ensemble_size: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        split_members(parameters, ensemble_size)
