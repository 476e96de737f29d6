from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scoringrules
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, special, stats

from tfp_mdn.mixture import MixtureParameters, density, scores

MixtureFactory = Callable[..., MixtureParameters]
Score = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 6)


def normal(mean: float = 0.0, scale: float = 1.0) -> MixtureParameters:
    return MixtureParameters(np.ones((1, 1)), np.array([[mean]]), np.array([[scale**2]]))


def crps_by_quadrature(p: MixtureParameters, y: float) -> float:
    """Integrate (F - 1{y <= t})^2 of one row, with F from SciPy."""
    scales = np.sqrt(p.variances[0, :, 0])
    frozen = stats.norm(p.means[0, :, 0], scales)

    def cdf(t: float) -> float:
        return float(p.weights[0] @ frozen.cdf(t))

    low = min(y, float((p.means[0, :, 0] - 12.0 * scales).min()))
    high = max(y, float((p.means[0, :, 0] + 12.0 * scales).max()))
    knots = np.unique([low, *(k for k in p.means[0, :, 0] if low < k < high), y, high])
    parts = zip(knots[:-1], knots[1:], strict=True)
    return sum(
        integrate.quad(
            lambda t, right=start >= y: (cdf(t) - right) ** 2, start, stop, epsabs=1e-11, limit=200
        )[0]
        for start, stop in parts
    )


# The continuous ranked probability score.


def test_crps_has_the_published_value() -> None:
    deviations = np.array([[0.5, 1.4, 0.7]])
    p = MixtureParameters(np.full((1, 3), 1 / 3), np.array([[0.0, -2.9, 0.9]]), deviations**2)
    assert_allclose(p.crps(0.3), 0.4510451, atol=5e-8)
    assert_allclose(scores.crps(p, 0.3), p.crps(0.3), rtol=0)


def test_crps_of_a_normal_distribution() -> None:
    # Gneiting and Raftery (2007): sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)).
    z = 0.3
    exact = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / math.sqrt(math.pi)
    assert_allclose(normal().crps(z), exact, rtol=1e-13)
    assert_allclose(exact, 0.269, atol=5e-4)
    quarter = normal(0.0, 3.0).crps(0.75)
    assert_allclose(normal(1e9, 3.0).crps(1e9 + 0.75), quarter, rtol=1e-14)


@given(seed=seeds, num_components=sizes, place=st.floats(-15.0, 15.0))
def test_crps_agrees_with_quadrature(
    make_mixture: MixtureFactory, seed: int, num_components: int, place: float
) -> None:
    p = make_mixture(seed, 1, num_components)
    assert_allclose(p.crps(place)[0], crps_by_quadrature(p, place), rtol=1e-8, atol=1e-10)


def test_crps_agrees_with_scoringrules(make_mixture: MixtureFactory) -> None:
    p = make_mixture(1, 200, 7, zero_weight=True)
    y = np.random.default_rng(0).normal(scale=4.0, size=200)
    expected = scoringrules.crps_mixnorm(
        y, p.means[..., 0], np.sqrt(p.variances[..., 0]), p.weights, backend="numpy"
    )
    assert_allclose(p.crps(y), expected, rtol=1e-11)


def _wrong(kind: str) -> Score:
    """Return one of the mistakes that have been made in a CRPS of mixtures."""

    def mean_size(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
        scale = variance if kind == "variance for deviation" else np.sqrt(variance)
        residual = mean / scale
        result: np.ndarray = mean * special.erf(residual / math.sqrt(2.0)) + scale * math.sqrt(
            2.0 / math.pi
        ) * np.exp(-0.5 * residual**2)
        return result

    def crps(y: np.ndarray, w: np.ndarray, m: np.ndarray, v: np.ndarray) -> np.ndarray:
        first = (w * mean_size(y[:, np.newaxis] - m, v)).sum(axis=1)
        gaps = m[:, :, np.newaxis] - m[:, np.newaxis, :]
        pairs = mean_size(gaps, v[:, :, np.newaxis] + v[:, np.newaxis, :])
        spread = np.einsum("nj,nk,njk->n", w, w, pairs)
        result: np.ndarray = first - (1.0 if kind == "no half" else 0.5) * spread
        if kind == "no diagonal":
            own = mean_size(np.zeros_like(m), 2.0 * v)
            result += 0.5 * (w**2 * own).sum(axis=1)
        return result

    return crps


@pytest.mark.parametrize("kind", ["variance for deviation", "no half", "no diagonal"])
def test_the_comparison_catches_mistakes(make_mixture: MixtureFactory, kind: str) -> None:
    p = make_mixture(2, 1, 3)
    right, arrays = crps_by_quadrature(p, 0.5), (p.weights, p.means[..., 0], p.variances[..., 0])
    assert_allclose(_wrong("none")(np.array([0.5]), *arrays), right, rtol=1e-8)
    assert abs(_wrong(kind)(np.array([0.5]), *arrays)[0] / right - 1.0) > 1e-3
    assert_allclose(p.crps(0.5), right, rtol=1e-8)


@given(seed=seeds, y=st.floats(-1e6, 1e6), decades=st.floats(0.0, 12.0))
def test_crps_is_not_negative_and_at_most_the_mean_distance(
    seed: int, y: float, decades: float
) -> None:
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.uniform(-decades, 0.0, (1, 4))
    p = MixtureParameters(rng.dirichlet(np.ones(4), 1), rng.normal(size=(1, 4)), scales**2)
    assert 0.0 <= p.crps(y)[0] <= abs(y) + 10.0


def test_crps_of_a_point_mass_is_the_distance() -> None:
    p = MixtureParameters(np.full((1, 2), 0.5), np.full((1, 2), 2.0), np.full((1, 2), 1e-300))
    assert_array_equal(p.crps([[2.5], [-1.0]])[:, 0], [0.5, 3.0])
    two = MixtureParameters(
        np.array([[0.25, 0.75]]), np.array([[0.0, 4.0]]), np.full((1, 2), 1e-300)
    )
    # E|Y - 1| - E|Y - Y'| / 2 = 2.5 - 0.75 for points at 0 and 4.
    assert_allclose(two.crps(1.0), 1.75, rtol=1e-15)


@given(seed=seeds, factor=st.sampled_from([-1e9, 1e-9, 3.0]))
def test_scores_follow_an_affine_map(
    make_mixture: MixtureFactory, seed: int, factor: float
) -> None:
    p = make_mixture(seed)
    q = p.transform(scale=factor)
    y = np.random.default_rng(seed).normal(scale=4.0, size=3)
    size = abs(factor)
    assert_allclose(q.crps(factor * y), size * p.crps(y), rtol=1e-10)
    for function in (scores.interval_score,):
        assert_allclose(function(q, factor * y), size * function(p, y), rtol=1e-7)
    assert_allclose(
        scores.log_score(q, factor * y), scores.log_score(p, y) + math.log(size), rtol=1e-10
    )


def test_weights_of_zero_and_order_mean_nothing(make_mixture: MixtureFactory) -> None:
    p = make_mixture(3)
    far = [np.concatenate([a, np.full((3, 1, 1), 1e308)], axis=1) for a in (p.means, p.variances)]
    q = MixtureParameters(np.concatenate([p.weights, np.zeros((3, 1))], axis=1), *far)
    r = MixtureParameters(p.weights[:, ::-1], p.means[:, ::-1], p.variances[:, ::-1])
    y = np.array([0.0, 1.0, -3.0])
    assert_allclose(q.crps(y), p.crps(y), rtol=1e-12)
    assert_allclose(r.crps(y), p.crps(y), rtol=1e-12)


def test_shapes_and_blocks(make_mixture: MixtureFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    p = make_mixture(0, 50)
    y = np.random.default_rng(0).normal(size=(4, 50))
    grid = p.crps(y)
    assert grid.shape == (4, 50)
    assert_allclose(grid[2], p.crps(y[2]), rtol=1e-14)
    assert p[:0].crps(np.zeros(0)).shape == (0,)
    assert scores.quantile_loss(p, y, [0.1, 0.9]).shape == (2, 4, 50)
    assert scores.quantile_loss(p, y[0], [0.1, 0.9]).shape == (2, 50)
    assert scores.quantile_loss(p, y[0], 0.5).shape == (50,)
    assert scores.interval_score(p, y).shape == (4, 50)
    assert scores.censored_log_score(p, y, 0.5).shape == (4, 50)
    assert scores.log_score(p, y).shape == (4, 50)
    monkeypatch.setattr(density, "BLOCK_SIZE", 28)
    assert_allclose(p.crps(y), grid, rtol=1e-13)


# The others.


def test_log_score_is_minus_the_log_density(make_mixture: MixtureFactory) -> None:
    p = make_mixture(4, event_size=2, full=True)
    y = np.random.default_rng(0).normal(size=(3, 2))
    assert_array_equal(scores.log_score(p, y), -p.log_prob(y))


def test_interval_and_quantile_scores_agree_with_scoringrules(make_mixture: MixtureFactory) -> None:
    p = make_mixture(5, 300)
    y = np.random.default_rng(0).normal(scale=6.0, size=300)
    lower, upper = p.interval(0.8).T
    expected = scoringrules.interval_score(y, lower, upper, 0.2)
    assert_allclose(scores.interval_score(p, y, 0.8), expected, rtol=1e-10)
    for level in (0.05, 0.5, 0.9):
        expected = scoringrules.quantile_score(y, p.quantile(level), level)
        assert_allclose(scores.quantile_loss(p, y, level), expected, rtol=1e-10, atol=1e-12)


@settings(max_examples=10)
@given(seed=seeds, place=st.floats(-8.0, 8.0))
def test_quantile_losses_add_up_to_the_crps(
    make_mixture: MixtureFactory, seed: int, place: float
) -> None:
    p = make_mixture(seed, 1)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    losses = scores.quantile_loss(p, [place], 0.5 + 0.5 * nodes)[:, 0]
    # The loss has a kink at the level of y, which bounds what this rule can reach.
    assert_allclose(weights @ losses, p.crps(place)[0], rtol=5e-3, atol=2e-3)


def test_energy_score_is_the_crps_in_one_dimension(make_mixture: MixtureFactory) -> None:
    p = make_mixture(6, 40)
    y = np.random.default_rng(0).normal(scale=4.0, size=40)
    value, error = scores.energy_score(p, y, size=4000, rng=0)
    residuals = (value - p.crps(y)) / error
    assert np.abs(residuals).max() < 4.5
    # The standard errors are neither too small nor too large.
    assert 0.7 < np.sqrt(np.mean(residuals**2)) < 1.4


@pytest.mark.parametrize("full", [False, True])
def test_energy_score_agrees_with_an_ensemble(make_mixture: MixtureFactory, *, full: bool) -> None:
    p = make_mixture(7, 3, event_size=2, full=full)
    y = np.random.default_rng(0).normal(scale=3.0, size=(3, 2))
    value, error = scores.energy_score(p, y, size=20_000, rng=1)
    draws = np.moveaxis(p.sample(1500, rng=2), 0, 1)
    expected = scoringrules.es_ensemble(y, draws, estimator="fair", backend="numpy")
    assert_allclose(value, expected, atol=0.1)
    assert (error < 0.05).all()
    again, _ = scores.energy_score(p, y, size=20_000, rng=1)
    assert_array_equal(again, value)


def test_energy_score_of_the_plane() -> None:
    # E|Z| = sqrt(pi / 2) in two dimensions, and Z - Z' is sqrt(2) times as long.
    p = MixtureParameters(np.ones((1, 1)), np.zeros((1, 1, 2)), np.ones((1, 1, 2)))
    value, error = scores.energy_score(p, np.zeros((1, 2)), size=100_000, rng=0)
    assert abs(value[0] - math.sqrt(math.pi / 2) * (1 - math.sqrt(0.5))) < 4.0 * error[0]


@given(seed=seeds, place=st.floats(-8.0, 8.0), half=st.floats(0.01, 5.0))
def test_censored_log_score_agrees_with_the_cdf(
    make_mixture: MixtureFactory, seed: int, place: float, half: float
) -> None:
    p = make_mixture(seed, zero_weight=True)
    inside = p.cdf(place + half) - p.cdf(place - half)
    assert_allclose(np.exp(-scores.censored_log_score(p, place, half)), inside, atol=1e-13)


def test_censored_log_score_keeps_its_digits() -> None:
    p = normal()
    # Far out, where both values of the distribution function round to 1.
    expected = -(
        stats.norm.logsf(29.5) + np.log1p(-np.exp(-np.diff(stats.norm.logsf([30.5, 29.5]))))
    )
    assert_allclose(scores.censored_log_score(p, 30.0, 0.5), expected, rtol=1e-12)
    assert_allclose(scores.censored_log_score(p, -30.0, 0.5), expected, rtol=1e-12)
    # A narrow cell has the density times its width, on either side of the switch of formulas.
    for half in (1e-9, 9.9e-5, 1.01e-4, 1e-3):
        for y in (0.0, 2.0, 9.0):
            area = integrate.quad(
                lambda t, y=y: math.exp(0.5 * y * y - 0.5 * (y + t) ** 2), -half, half, epsrel=1e-13
            )[0]
            log_area = math.log(area) + stats.norm.logpdf(y)
            assert_allclose(scores.censored_log_score(p, y, half), -log_area, rtol=1e-11)
    assert_array_equal(scores.censored_log_score(normal(0.0, 1e-9), 0.0, 0.5), 0.0)
    widths = np.array([0.5, 1.0, 2.0])
    many = MixtureParameters(np.ones((3, 1)), np.zeros((3, 1)), np.ones((3, 1)))
    assert_allclose(
        np.exp(-scores.censored_log_score(many, 0.0, widths)), 2 * stats.norm.cdf(widths) - 1
    )


@pytest.mark.parametrize(
    ("function", "arguments", "error", "message"),
    [
        (scores.crps, {"y": np.zeros(5)}, ValueError, r"y must have shape \(N,\)"),
        (scores.log_score, {"y": [np.nan] * 3}, ValueError, "y must be finite"),
        (scores.log_score, {"y": normal()}, TypeError, r"y .* targets, got a distribution \(Mix"),
        (scores.energy_score, {"size": 1}, ValueError, "size must be at least 2"),
        (scores.energy_score, {"y": np.zeros((2, 3))}, ValueError, "y must hold one target a row"),
        (scores.interval_score, {"coverage": 1.0}, ValueError, "coverage must be finite"),
        (scores.quantile_loss, {"q": [0.5, 1.0]}, ValueError, "strictly between 0 and 1"),
        (scores.quantile_loss, {"q": 2.0}, ValueError, "q must hold levels from 0 to 1"),
        (scores.censored_log_score, {"half_width": 0.0}, ValueError, "positive, got 0.0"),
        (scores.censored_log_score, {"half_width": [1, 2]}, ValueError, r"shape \(N,\) = \(3,\)"),
    ],
)
def test_bad_arguments_are_refused(
    make_mixture: MixtureFactory,
    function: Callable[..., Any],
    arguments: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    extra: dict[Any, dict[str, Any]] = {
        scores.quantile_loss: {"q": 0.5},
        scores.censored_log_score: {"half_width": 1.0},
    }
    given_ = {"y": np.zeros(3), **extra.get(function, {})}
    function(make_mixture(), **given_)
    with pytest.raises(error, match=message):
        function(make_mixture(), **{**given_, **arguments})
    with pytest.raises(TypeError, match="parameters must be a MixtureParameters, got dict"):
        function({}, **given_)


def test_scores_for_one_dimension_say_so(make_mixture: MixtureFactory) -> None:
    p, y = make_mixture(event_size=2), np.zeros((3, 2))
    for name, extra in (
        ("crps", {}),
        ("interval_score", {}),
        ("quantile_loss", {"q": 0.5}),
        ("censored_log_score", {"half_width": 1.0}),
    ):
        with pytest.raises(ValueError, match=f"^{name} is for targets of one dimension"):
            getattr(scores, name)(p, y, **extra)


# Far out and very large or small.


def test_censored_log_score_ignores_a_weight_of_zero() -> None:
    p = MixtureParameters(
        np.array([[1.0, 0.0]]), np.array([[0.0, 1e308]]), np.array([[1.0, 1e-308]])
    )
    assert_allclose(scores.censored_log_score(p, 1.0, 0.5), _censored(1.0, 0.5), rtol=1e-13)


def _censored(y: float, half: float) -> float:
    return float(-np.log(stats.norm.cdf(y + half) - stats.norm.cdf(y - half)))


@pytest.mark.parametrize(
    ("variance", "y", "half", "expected"),
    [
        # -log p(y) - log 2h, of which only z^2 / 2 is left.
        (1e300, 1e300, 0.5, 5e299),
        (1.0, 1e120, 0.5, 5e239),
        (1e-300, 1.0, 0.5, 1.25e299),
        (1.0, 1e160, 0.5, np.inf),
        (5e-324, 1.0, 0.5, np.inf),
        (1.0, 1e160, 1e161, 0.0),
        (1e-300, 1e300, 1e301, 0.0),
        (1e-300, 1e-300, 1e308, 0.0),
    ],
)
def test_censored_log_score_far_out(
    variance: float, y: float, half: float, expected: float
) -> None:
    p = MixtureParameters(
        np.array([[0.5, 0.5]]), np.array([[0.0, 0.0]]), np.array([[variance, variance]])
    )
    assert_allclose(scores.censored_log_score(p, y, half), expected, rtol=1e-13)


def test_censored_log_score_beside_a_far_component() -> None:
    p = MixtureParameters(np.array([[0.5, 0.5]]), np.array([[0.0, 1e200]]), np.array([[1.0, 1.0]]))
    expected = _censored(1.0, 0.5) + math.log(2.0)
    assert_allclose(scores.censored_log_score(p, 1.0, 0.5), expected, rtol=1e-13)


@pytest.mark.parametrize("factor", [1e-320, 1e-160, 1e160, 1e200, 1.5e307])
def test_scores_of_points_far_apart(factor: float) -> None:
    p = MixtureParameters(
        np.array([[0.25, 0.75]]), np.array([[0.0, 4.0 * factor]]), np.array([[5e-324, 5e-324]])
    )
    if factor > 1e-162:
        # E|Y - 1| - E|Y - Y'| / 2 = 2.5 - 0.75 in units of the factor.
        assert_allclose(p.crps(factor), 1.75 * factor, rtol=1e-2 if factor < 1.0 else 1e-14)
    score, error = scores.energy_score(p, factor, size=400, rng=0)
    assert np.isfinite(score).all()
    if factor > 1.0:
        assert abs(score[0] / factor - 1.75) < 4.0 * error[0] / factor < 0.4


def test_crps_of_variances_whose_sum_overflows() -> None:
    p = MixtureParameters(
        np.array([[0.5, 0.5]]), np.array([[0.0, 0.0]]), np.array([[1.6e308, 1.6e308]])
    )
    q = MixtureParameters(np.array([[1.0]]), np.array([[0.0]]), np.array([[1.6e308]]))
    assert_allclose(p.crps(1e154), q.crps(1e154), rtol=1e-14)
    assert_allclose(q.crps(0.0), math.sqrt(1.6e308) * normal().crps(0.0), rtol=1e-14)


def test_the_interval_score_of_a_target_beyond_reach_is_infinite() -> None:
    assert_array_equal(scores.interval_score(normal(), -1.7e308), np.inf)


def test_no_level_gives_no_loss() -> None:
    assert scores.quantile_loss(normal(), 0.0, []).shape == (0, 1)
    assert scores.quantile_loss(normal(), [[[0.0]], [[1.0]]], []).shape == (0, 2, 1)
