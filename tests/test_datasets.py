"""Densities against quadrature and samples, entropies against known values, bad input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import integrate, stats

from tfp_mdn._validation import FloatArray
from tfp_mdn.datasets import (
    Problem,
    cardioid,
    inverse_sinusoid,
    load_faithful,
    noisy_spiral,
    quadrature,
    sinusoid,
)
from tfp_mdn.datasets.quadrature import log_density

PROBLEMS: dict[str, Problem] = {
    "sinusoid": sinusoid(),
    "inverse": inverse_sinusoid(),
    "inverse-quiet": inverse_sinusoid(limit=6.0, noise=0.05),
    "spiral": noisy_spiral(),
    "spiral-normalised": noisy_spiral(normalise=True),
    "spiral-one-turn": noisy_spiral(revolutions=1.0, noise=1.0),
    "cardioid": cardioid(),
    "cardioid-quiet": cardioid(noise=0.01),
}
every_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS.keys())


def density_on_grid(problem: Problem, x: float, steps_per_noise: float) -> list[FloatArray]:
    """A grid of y that holds all but 1e-15 of the mass at x, and p(y | x) on it."""
    low, high = problem.y_range
    noise = problem.noise * problem.factor
    # The noise on y is independent of x, so even at an outlying x the mass stays near the curve.
    margin = 0.0 if problem.name == "inverse sinusoid" else 8 * noise
    num_points = 1 + 2 * int((high - low + 2 * margin) / noise * steps_per_noise / 2)
    y = np.linspace(low - margin, high + margin, num_points)
    return [y, np.exp(problem.log_prob(np.full(num_points, x), y))]


@every_problem
@pytest.mark.parametrize("place", [-0.15, 0.02, 0.37, 0.5, 0.81, 1.3])
def test_density_integrates_to_one(problem: Problem, place: float) -> None:
    low, high = problem.x_range
    # In y the inverse sinusoid is as narrow as the noise over the curve's slope.
    steps = 800.0 if problem.name == "inverse sinusoid" else 5.0
    y, density = density_on_grid(problem, low + place * (high - low), steps)
    assert integrate.simpson(density, x=y) == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize(
    ("problem", "position", "low", "high", "x", "y"),
    [
        (
            noisy_spiral(),
            lambda t: (t * np.cos(t), t * np.sin(t)),
            0.0,
            4 * np.pi,
            3.1,
            5.4,
        ),
        (
            noisy_spiral(revolutions=1.5, noise=0.5),
            lambda t: (t * np.cos(t), t * np.sin(t)),
            0.0,
            3 * np.pi,
            -2.0,
            1.0,
        ),
        (
            cardioid(),
            lambda t: (2 * (1 - np.cos(t)) * np.sin(t), 2 * (1 - np.cos(t)) * np.cos(t)),
            -np.pi,
            np.pi,
            0.7,
            -3.4,
        ),
    ],
    ids=["spiral", "spiral-wide", "cardioid"],
)
def test_log_prob_equals_scipy_quadrature(
    problem: Problem,
    position: Callable[[float], tuple[float, float]],
    low: float,
    high: float,
    x: float,
    y: float,
) -> None:
    def joint(t: float) -> float:
        u, v = position(t)
        return float(stats.norm.pdf(x, u, problem.noise) * stats.norm.pdf(y, v, problem.noise))

    def marginal(t: float) -> float:
        return float(stats.norm.pdf(x, position(t)[0], problem.noise))

    def over_latent(integrand: Callable[[float], float]) -> float:
        edges = np.linspace(low, high, 41)
        parts = [
            integrate.quad(integrand, a, b, epsabs=0, epsrel=1e-11)[0]
            for a, b in zip(edges[:-1], edges[1:], strict=True)
        ]
        return float(np.sum(parts))

    expected = np.log(over_latent(joint) / over_latent(marginal))
    assert problem.log_prob([x], [y])[0] == pytest.approx(expected, abs=1e-9)


def test_inverse_sinusoid_equals_scipy_quadrature() -> None:
    def likelihood(y: float) -> float:
        return float(stats.norm.pdf(2.0, 7 * np.sin(0.75 * y) + 0.5 * y, 1.0))

    total = integrate.quad(likelihood, -10.5, 10.5, epsrel=1e-12, limit=500)[0]
    got = inverse_sinusoid().log_prob([2.0], [4.0])[0]
    assert got == pytest.approx(np.log(likelihood(4.0) / total), abs=1e-10)


@pytest.mark.parametrize("offset", [0.0, 3.0, 30.0, 300.0])
def test_log_prob_is_exact_where_the_density_underflows(offset: float) -> None:
    # Both integrals by Simpson's rule on a grid fine enough for the steep integrand.
    x, y = 12.6 + offset, 0.5
    t = np.linspace(4 * np.pi - 0.5, 4 * np.pi, 200_001)
    squared_x = (x - t * np.cos(t)) ** 2
    squared = squared_x + (y - t * np.sin(t)) ** 2
    highest = -0.5 * np.array([squared.min(), squared_x.min()]) / 0.04
    joint, marginal = (
        integrate.simpson(np.exp(-0.5 * values / 0.04 - peak), x=t)
        for values, peak in zip((squared, squared_x), highest, strict=True)
    )
    expected = highest[0] - highest[1] + np.log(joint / marginal)
    expected += stats.norm.logpdf(0.0, scale=0.2)
    got = noisy_spiral().log_prob([x], [y])[0]
    assert got == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("noise", [1e-4, 0.01, 0.2, 3.0, 100.0])
@pytest.mark.parametrize("make", [noisy_spiral, cardioid])
@pytest.mark.parametrize("planar", [True, False], ids=["plane", "axis"])
def test_more_nodes_change_nothing(
    make: Callable[..., Problem],
    noise: float,
    planar: bool,  # noqa: FBT001
) -> None:
    problem = make(noise=noise)
    x, y = problem.sample(400, rng=1)
    far_x, far_y = np.random.default_rng(2).uniform(-20, 20, (2, 100))
    points = np.concatenate([x[:, 0] + 1j * y[:, 0], far_x + 1j * far_y])
    points = points if planar else points.real.copy()
    curve = problem.curve  # type: ignore[attr-defined]
    once = log_density(points, curve, noise)
    twice = log_density(points, curve, noise, num_nodes=2 * quadrature._NODES)
    np.testing.assert_allclose(once[:400], twice[:400], rtol=0, atol=1e-9)
    # Far off, the log density itself is as large as 1e10 and its rounding is all that is left.
    np.testing.assert_allclose(once, twice, rtol=1e-13, atol=1e-9)


@pytest.mark.parametrize("name", ["inverse", "spiral", "spiral-normalised", "cardioid"])
def test_samples_follow_the_density(name: str) -> None:
    # If p(y | x) is right, the probability integral transform of y within its x is uniform.
    problem = PROBLEMS[name]
    x, y = problem.sample(150, rng=3)
    transform = np.empty(len(x))
    for i, (x_i, y_i) in enumerate(zip(x[:, 0], y[:, 0], strict=True)):
        grid, density = density_on_grid(problem, x_i, 20.0 if name == "inverse" else 3.0)
        mass = integrate.cumulative_trapezoid(density, grid, initial=0.0)
        transform[i] = np.interp(y_i, grid, mass / mass[-1])
    assert stats.kstest(transform, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("name", ["inverse", "spiral", "cardioid"])
def test_binned_samples_follow_the_density(name: str) -> None:
    problem = PROBLEMS[name]
    x, y = problem.sample(400_000, rng=4)
    low, high = problem.x_range
    centre, width = low + 0.55 * (high - low), 0.002 * (high - low)
    near = y[np.abs(x - centre) < width]
    grid, density = density_on_grid(problem, centre, 50.0)
    mass = integrate.cumulative_trapezoid(density, grid, initial=0.0)
    edges = np.interp(np.linspace(0, 1, 21), mass / mass[-1], grid)
    edges[0], edges[-1] = -np.inf, np.inf
    counts = np.histogram(near, edges)[0]
    assert len(near) > 1000
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (inverse_sinusoid(), 1.2880),
        (inverse_sinusoid(limit=10.0), 1.3263),
        (noisy_spiral(), 1.2045),
        (cardioid(), 0.0750),
        (sinusoid(), stats.norm.entropy()),
        (sinusoid(limit=2.0, noise=0.3), stats.norm(scale=0.3).entropy()),
    ],
    ids=["inverse", "inverse-10", "spiral", "cardioid", "sinusoid", "sinusoid-quiet"],
)
def test_entropy_has_the_known_value(problem: Problem, expected: float) -> None:
    assert problem.entropy() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "name", ["sinusoid", "inverse", "inverse-quiet", "spiral", "spiral-one-turn", "cardioid"]
)
@pytest.mark.parametrize(
    ("num_samples", "tolerance"),
    [(20_000, 0.025), pytest.param(400_000, 0.005, marks=pytest.mark.slow)],
)
def test_entropy_is_the_mean_negative_log_density(
    name: str, num_samples: int, tolerance: float
) -> None:
    problem = PROBLEMS[name]
    log_prob = problem.log_prob(*problem.sample(num_samples, rng=5))
    assert -log_prob.mean() == pytest.approx(problem.entropy(), abs=tolerance)


def test_normalised_spiral_is_a_change_of_variables() -> None:
    raw, normalised = noisy_spiral(), PROBLEMS["spiral-normalised"]
    shift, factor = normalised.shift, normalised.factor
    x, y = raw.sample(200, rng=6)
    scaled_x, scaled_y = normalised.sample(200, rng=6)
    np.testing.assert_allclose(scaled_x, (x - shift) * factor, rtol=1e-14)
    np.testing.assert_allclose(scaled_y, (y - shift) * factor, rtol=1e-14)
    np.testing.assert_allclose(
        normalised.log_prob(scaled_x, scaled_y), raw.log_prob(x, y) - np.log(factor), atol=1e-9
    )
    assert factor == pytest.approx(0.203, abs=5e-4)
    assert normalised.entropy() == pytest.approx(raw.entropy() + np.log(factor), abs=1e-12)
    assert normalised.entropy() == pytest.approx(-0.390, abs=2e-3)
    assert (raw.shift, raw.factor) == (0.0, 1.0)


def test_normalised_ranges_fill_zero_to_five() -> None:
    problem = PROBLEMS["spiral-normalised"]
    ends = (*problem.x_range, *problem.y_range)
    assert min(ends) == pytest.approx(0.0, abs=1e-12)
    assert max(ends) == pytest.approx(5.0, abs=1e-12)


@every_problem
def test_samples_have_their_shape_and_range(problem: Problem) -> None:
    x, y = problem.sample(2000, rng=7)
    assert x.shape == y.shape == (2000, 1)
    assert x.dtype == y.dtype == np.float64
    for axis, (low, high) in ((x, problem.x_range), (y, problem.y_range)):
        assert np.mean((axis >= low) & (axis <= high)) > 0.97


@every_problem
def test_a_seed_fixes_the_sample(problem: Problem) -> None:
    first = np.hstack(problem.sample(50, rng=8))
    np.testing.assert_array_equal(first, np.hstack(problem.sample(50, np.random.default_rng(8))))
    assert not np.array_equal(first, np.hstack(problem.sample(50, rng=9)))
    assert not np.array_equal(np.hstack(problem.sample(5)), np.hstack(problem.sample(5)))


@every_problem
def test_log_prob_takes_vectors_and_columns(problem: Problem) -> None:
    x, y = problem.sample(7, rng=10)
    expected = problem.log_prob(x, y)
    assert expected.shape == (7,)
    np.testing.assert_array_equal(problem.log_prob(x[:, 0], y), expected)
    np.testing.assert_array_equal(problem.log_prob(x[:, 0].tolist(), y[:, 0].tolist()), expected)


def test_rows_do_not_influence_each_other() -> None:
    problem = cardioid()
    x, y = problem.sample(700, rng=11)
    parts = [problem.log_prob(x[i : i + 7], y[i : i + 7]) for i in range(0, 700, 7)]
    np.testing.assert_allclose(problem.log_prob(x, y), np.concatenate(parts), rtol=1e-12)


def test_targets_beyond_the_limit_are_impossible() -> None:
    log_prob = inverse_sinusoid(limit=10.5).log_prob([0.0, 0.0, 0.0], [10.49, 10.51, -1e300])
    assert np.isfinite(log_prob[0])
    assert np.isneginf(log_prob[1:]).all()


@pytest.mark.parametrize("name", ["sinusoid", "spiral", "spiral-normalised", "cardioid"])
def test_distant_targets_stay_finite_and_fall(name: str) -> None:
    y = np.logspace(1, 140, 80)
    log_prob = PROBLEMS[name].log_prob(np.ones(80), y)
    assert np.all(np.diff(log_prob) < 0)
    assert np.isfinite(PROBLEMS[name].log_prob([1.0], [1.7e308])[0])


@pytest.mark.parametrize("problem", [inverse_sinusoid(), noisy_spiral(), cardioid()])
def test_unresolvable_inputs_are_refused(problem: Problem) -> None:
    with pytest.raises(ValueError, match=r"x must lie between .* got 1e\+09"):
        problem.log_prob([0.0, 1e9], [0.0, 0.0])
    assert np.isfinite(sinusoid().log_prob([1e9], [0.0])[0])


def test_problems_compare_by_their_arguments() -> None:
    assert inverse_sinusoid() == inverse_sinusoid(10.5, 1.0)
    assert inverse_sinusoid() != inverse_sinusoid(limit=10.0)
    assert hash(noisy_spiral()) == hash(noisy_spiral())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: inverse_sinusoid(limit=0.0), ValueError, "limit must be .* greater than 0"),
        (lambda: inverse_sinusoid(limit=1e9), ValueError, "limit must be .* less than 1000"),
        (lambda: inverse_sinusoid(noise=0.0), ValueError, "noise must be .* at least 1e-06"),
        (lambda: sinusoid(noise=-1.0), ValueError, "noise must be .* got -1.0"),
        (lambda: sinusoid(limit=-1.0), ValueError, "limit must be"),
        (lambda: cardioid(noise=np.nan), ValueError, "noise must be finite"),
        (lambda: cardioid(noise="small"), TypeError, "noise must be a number"),  # type: ignore[arg-type]
        (lambda: noisy_spiral(revolutions=0), ValueError, "revolutions must be"),
        (lambda: noisy_spiral(noise=np.inf), ValueError, "noise must be finite"),
        (lambda: noisy_spiral(normalise=1), TypeError, "normalise must be True or"),  # type: ignore[arg-type]
        (lambda: cardioid().sample(0), ValueError, "n must be at least 1, got 0"),
        (lambda: cardioid().sample(2.5), TypeError, "n must be an integer"),  # type: ignore[arg-type]
        (lambda: cardioid().sample(2, rng=-1), ValueError, "rng must be at least 0"),
        (lambda: cardioid().sample(2, rng="a"), TypeError, "rng must be a numpy"),  # type: ignore[arg-type]
        (lambda: cardioid().log_prob([1.0, 2.0], [1.0]), ValueError, r"rows as x \(2\), got 1"),
        (lambda: cardioid().log_prob([np.nan], [1.0]), ValueError, "x must be finite"),
        (lambda: cardioid().log_prob([1.0], [np.inf]), ValueError, "y must be finite"),
        (lambda: cardioid().log_prob([1.0], np.ones((1, 2))), ValueError, r"y must have 1 col"),
        (lambda: cardioid().log_prob([], []), ValueError, "x must hold at least one row"),
        (lambda: cardioid().log_prob(["a"], [1.0]), TypeError, "x must hold real numbers"),
    ],
)
def test_bad_input(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_faithful() -> None:
    waiting, eruptions = load_faithful()
    assert waiting.shape == (272, 1)
    assert eruptions.shape == (272,)
    assert waiting.dtype == eruptions.dtype == np.float64
    assert (waiting[0, 0], eruptions[0]) == (79.0, 3.6)
    assert (waiting[-1, 0], eruptions[-1]) == (74.0, 4.467)
    # The means that R's summary(faithful) prints.
    assert waiting.mean() == pytest.approx(70.9, abs=0.05)
    assert eruptions.mean() == pytest.approx(3.488, abs=5e-4)
