"""Conformal regions and intervals: exact coverage, exact scores, and every wrong argument."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, stats

from tfp_mdn import conformal
from tfp_mdn.conformal import _content
from tfp_mdn.conformal._rank import num_left_out
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.mixture.family_mixture import FamilyMixture

# Of 20 rows that are exchangeable, a cut at the second lowest score of 19 leaves out a tenth.
NUM_ROWS, COVERAGE, REPEATS = 19, 0.9, 300
BAND = stats.binom.ppf([1e-4, 1 - 1e-4], REPEATS, COVERAGE)


def mixtures(seed: int, num_rows: int, event_size: int = 1, *, full: bool = False) -> Any:
    rng = np.random.default_rng(seed)
    shape = num_rows, 3, event_size
    means, variances = rng.normal(scale=3.0, size=shape), rng.uniform(0.2, 1.5, shape) ** 2
    covariances = None
    if full:
        factors = rng.normal(size=(*shape, event_size))
        covariances = factors @ np.swapaxes(factors, -1, -2) + 0.1 * np.eye(event_size)
        variances = np.diagonal(covariances, axis1=-2, axis2=-1)
    return MixtureParameters(rng.dirichlet([2.0] * 3, num_rows), means, variances, covariances)


def mix(weights: Any, means: Any, variances: Any) -> MixtureParameters:
    return MixtureParameters(np.asarray(weights), np.asarray(means), np.asarray(variances))


def stretched(p: MixtureParameters, factor: float) -> MixtureParameters:
    """Return mixtures whose scales are off by a factor."""
    full = None if p.covariances is None else p.covariances * factor**2
    return MixtureParameters(p.weights, p.means, p.variances * factor**2, full)


@pytest.mark.parametrize("factor", [1 / 1.5, 1.5])
@pytest.mark.parametrize("calibrate", [conformal.calibrate_regions, conformal.calibrate_intervals])
def test_coverage_is_exact_however_wrong_the_densities(
    calibrate: Callable[..., Any], factor: float
) -> None:
    # One new row for each calibration, so that hits are independent and binomial.
    truth = mixtures(0, REPEATS * (NUM_ROWS + 1))
    y = truth.sample(1, rng=1)[0, :, 0]
    wrong, hits = stretched(truth, factor), 0
    for start in range(0, len(y), NUM_ROWS + 1):
        rows, new = np.arange(start, start + NUM_ROWS), [start + NUM_ROWS]
        calibrated = calibrate(wrong[rows], y[rows], coverage=COVERAGE)
        hits += int(calibrated.contains(wrong[new], y[new])[0])
    assert BAND[0] <= hits <= BAND[1]


def test_coverage_holds_in_two_dimensions_with_few_draws() -> None:
    truth = mixtures(2, REPEATS * (NUM_ROWS + 1), event_size=2, full=True)
    y = truth.sample(1, rng=3)[0]
    wrong, hits = stretched(truth, 1.5), 0
    for start in range(0, len(y), NUM_ROWS + 1):
        rows, new = np.arange(start, start + NUM_ROWS), [start + NUM_ROWS]
        regions = conformal.calibrate_regions(wrong[rows], y[rows], num_draws=100, rng=start)
        hits += int(regions.contains(wrong[new], y[new], rng=start + 1)[0])
    # Shares of 100 draws tie, which can only raise the coverage, by no more than 1/50 here.
    assert BAND[0] <= hits <= stats.binom.ppf(1 - 1e-4, REPEATS, COVERAGE + 0.02)


def test_right_densities_keep_their_own_regions_and_intervals() -> None:
    p = mixtures(4, 4000)
    y = p.sample(1, rng=5)[0, :, 0]
    assert conformal.calibrate_regions(p, y).outside == pytest.approx(0.1, abs=0.02)
    assert conformal.calibrate_intervals(p, y).margin == pytest.approx(0.0, abs=0.2)
    narrow, wide = (conformal.calibrate_regions(stretched(p, factor), y) for factor in (0.5, 2.0))
    assert narrow.outside < 0.03
    assert wide.outside > 0.2


def test_scores_are_the_integral_of_the_density_where_it_is_lower() -> None:
    p = mixtures(6, 30)
    y = p.sample(1, rng=7)[0]
    scores = _content.exact(p, y)
    for row, target in zip(p, y[:, 0], strict=True):
        height = row.prob(target)[0]
        grid = np.linspace(-25.0, 25.0, 200_001)
        density = row.prob(grid.reshape(-1, 1, 1))[:, 0]
        expected = integrate.trapezoid(np.where(density <= height, density, 0.0), grid)
        assert scores[0] == pytest.approx(expected, abs=2e-4)
        scores = scores[1:]


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e6), st.floats(0.0, 36.0))
def test_the_score_of_one_component_is_its_two_tails(
    mean: float, scale: float, residual: float
) -> None:
    p = mix([[1.0]], [[mean]], [[scale**2]])
    y = mean + residual * scale
    exact = 2.0 * stats.norm.sf((y - mean) / scale)
    # A place that float64 cannot tell from its neighbours has no more digits than they differ in.
    slack = 1e-9 + 40.0 * 4.0 * np.spacing(abs(y)) / scale
    assert_allclose(_content.exact(p, np.array([[y]])), [exact], rtol=min(slack, 1.0), atol=1e-7)


def test_scores_keep_their_digits_far_out() -> None:
    p = mix([[0.5, 0.5]], [[-1.0, 1.0]], [[1.0, 1.0]])
    # By symmetry the set lies beyond ±y.
    expected = stats.norm.sf(30.0 - 1.0) + stats.norm.sf(30.0 + 1.0)
    assert_allclose(_content.exact(p, np.array([[30.0]])), [expected], rtol=1e-9)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_region_contains_and_threshold_agree(factor: float) -> None:
    p = mixtures(8, 300)
    y = p.sample(1, rng=9)[0, :, 0]
    wrong = stretched(p, factor)
    regions = conformal.calibrate_regions(wrong[:150], y[:150])
    test, target = wrong[150:], y[150:]
    inside = [
        ((piece[:, 0] <= value) & (value <= piece[:, 1])).any()
        for piece, value in zip(regions.region(test), target, strict=True)
    ]
    assert_array_equal(regions.contains(test, target), inside)
    assert_array_equal(test.log_prob(target) >= regions.log_density_threshold(test), inside)
    assert {len(piece) for piece in regions.region(test)} >= {1, 2}


def test_threshold_and_membership_agree_in_two_dimensions() -> None:
    p = mixtures(10, 400, event_size=2)
    y = p.sample(1, rng=11)[0]
    regions = conformal.calibrate_regions(p[:200], y[:200], num_draws=100)
    inside = regions.contains(p[200:], y[200:], rng=5)
    thresholds = regions.log_density_threshold(p[200:], rng=5)
    assert_array_equal(p[200:].log_prob(y[200:]) >= thresholds, inside)
    assert 0 < inside.sum() < 200


def test_a_target_at_the_mode_leaves_the_mode() -> None:
    p = mix([[1.0]] * 9, [[2.0]] * 9, [[1.0]] * 9)
    regions = conformal.calibrate_regions(p, np.full(9, 2.0))
    assert regions.outside == 1.0
    assert_allclose(regions.region(p[0])[0], [[2.0, 2.0]], atol=1e-8)
    assert regions.contains(p[0], [2.0]).all()


def test_the_margin_is_the_order_statistic_of_the_paper() -> None:
    p = mixtures(12, 50)
    y = p.sample(1, rng=13)[0, :, 0]
    intervals = conformal.calibrate_intervals(p, y, coverage=0.8)
    lower, upper = p.quantile([0.1, 0.9])
    scores = np.maximum(lower - y, y - upper)
    expected = np.quantile(scores, np.ceil(51 * 0.8) / 50, method="inverted_cdf")
    assert intervals.margin == expected
    assert_allclose(intervals.interval(p), np.stack([lower - expected, upper + expected], axis=1))


def test_ends_never_pass_each_other() -> None:
    wide = mix([[1.0]] * 99, [[0.0]] * 99, [[1.0]] * 99)
    intervals = conformal.calibrate_intervals(wide, np.zeros(99))
    narrow = mix([[1.0]], [[3.0]], [[1e-4]])
    assert_allclose(intervals.interval(narrow), [[3.0, 3.0]], atol=1e-9)
    assert intervals.contains(narrow, [3.1]).tolist() == [False]


@pytest.mark.parametrize(
    ("num_rows", "coverage", "expected"),
    # Binary products would round 100 * 0.55 up, and 10 * (1 - 0.9) down.
    [(9, 0.9, 1), (99, 0.55, 45), (19, 0.95, 1), (99, 0.9, 10), (100, 0.9, 10), (999, 0.999, 1)],
)
def test_the_rank_is_that_of_exact_arithmetic(
    num_rows: int, coverage: float, expected: int
) -> None:
    assert num_left_out(num_rows, coverage) == expected


def test_too_few_rows_give_everything_and_a_warning() -> None:
    p, plane = mixtures(14, 8), mixtures(14, 8, event_size=2)
    y = p.sample(1, rng=15)[0, :, 0]
    message = "8 calibration rows are too few to guarantee a coverage of 0.9, .* at least 9"
    with pytest.warns(UserWarning, match=message):
        regions = conformal.calibrate_regions(p, y)
    with pytest.warns(UserWarning, match=message):
        intervals = conformal.calibrate_intervals(p, y)
    with pytest.warns(UserWarning, match=message):
        planes = conformal.calibrate_regions(plane, plane.sample(1, rng=0)[0])
    assert [piece.tolist() for piece in regions.region(p[:2])] == [[[-np.inf, np.inf]]] * 2
    assert intervals.interval(p[:1]).tolist() == [[-np.inf, np.inf]]
    assert regions.contains(p[:1], [1e300]).all()
    assert intervals.contains(p[:1], [1e300]).all()
    assert planes.contains(plane[:1], [[1e300, 0.0]]).all()
    for calibrated, parameters in ((regions, p), (planes, plane)):
        assert (calibrated.log_density_threshold(parameters) == -np.inf).all()


def test_densities_that_are_far_too_narrow_are_named() -> None:
    p = mix([[1.0]] * 20, [[0.0]] * 20, [[1.0]] * 20)
    with pytest.warns(UserWarning, match="give 20 of 20 targets a probability of 0"):
        regions = conformal.calibrate_regions(p, np.full(20, 1e6))
    assert regions.contains(p, np.full(20, -1e9)).all()


def test_calibration_is_silent_and_repeats_itself() -> None:
    p = mixtures(16, 50, event_size=2)
    y = p.sample(1, rng=17)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = (conformal.calibrate_regions(p, y) for _ in range(2))
    assert first == second


class Stub:
    """Predict a bimodal mixture at each input."""

    def predict_parameters(self, X: Any) -> MixtureParameters:
        centre = np.asarray(X)[:, :1]
        means = np.hstack([centre - 3.0, centre + 3.0])
        return MixtureParameters(np.full_like(means, 0.5), means, np.ones_like(means))


def test_an_estimator_is_calibrated_through_its_densities() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 1))
    y = X[:, 0] + 3.0 * rng.choice([-1.0, 1.0], 500) + rng.normal(size=500)
    calibrated = conformal.calibrate_estimator(Stub(), X, y, coverage=0.8)
    parameters = Stub().predict_parameters(X)
    assert calibrated.regions == conformal.calibrate_regions(parameters, y, coverage=0.8)
    assert calibrated.intervals == conformal.calibrate_intervals(parameters, y, coverage=0.8)
    assert calibrated.predict_region([[0.0]])[0].shape == (2, 2)
    assert calibrated.predict_interval([[0.0], [1.0]]).shape == (2, 2)
    assert calibrated.contains([[0.0]] * 3, [-3.0, 0.0, 3.0]).tolist() == [True, False, True]


def test_a_fitted_regressor_is_calibrated(fitted: Any, rows: tuple[Any, Any]) -> None:
    calibrated = conformal.calibrate_estimator(fitted, *rows, coverage=0.8)
    # The calibration rows themselves: the r-th least conforming one is inside.
    assert calibrated.contains(*rows).sum() == 49
    assert calibrated.estimator is fitted


LINE, PLANE = mixtures(18, 20), mixtures(18, 20, event_size=2)
Y, POINTS = np.zeros(20), PLANE.sample(1, rng=0)[0]
REGIONS: Any = conformal.calibrate_regions(LINE, Y)
PLANE_REGIONS: Any = conformal.calibrate_regions(PLANE, POINTS)
INTERVALS: Any = conformal.calibrate_intervals(LINE, Y)
# Without types, so that wrong ones can be tried.
regions: Any = conformal.calibrate_regions
intervals: Any = conformal.calibrate_intervals
calibrate_estimator: Any = conformal.calibrate_estimator


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: regions(Y, Y), TypeError, "parameters must be a MixtureParameters, got ndarray"),
        (lambda: intervals(Y, Y), TypeError, "must be a MixtureParameters, got ndarray"),
        (lambda: regions(LINE, Y[:5]), ValueError, "one target for each of the 20 rows"),
        (lambda: intervals(LINE, Y[:5]), ValueError, "one target for each of the 20 rows"),
        (lambda: regions(LINE, Y * np.nan), ValueError, "y must be finite"),
        (lambda: intervals(LINE, ["a"] * 20), TypeError, "y must hold real numbers"),
        (lambda: regions(LINE, Y, coverage=1.0), ValueError, "coverage must be .* less than 1"),
        (lambda: intervals(LINE, Y, coverage=90), ValueError, "coverage must be .* less than 1"),
        (lambda: regions(LINE, Y, coverage="90%"), TypeError, "coverage must be a number"),
        (lambda: regions(PLANE, POINTS, num_draws=0), ValueError, "num_draws must be at least 1"),
        (lambda: regions(PLANE, POINTS, rng="0"), TypeError, "rng must be"),
        (lambda: intervals(PLANE, POINTS), ValueError, "event_size 2. Use calibrate_regions"),
        (lambda: regions(LINE, Y, sample_weight=Y), TypeError, "sample_weight"),
        (lambda: PLANE_REGIONS.region(PLANE), ValueError, "event_size 2. Use contains"),
        (lambda: REGIONS.region(PLANE), ValueError, "the event_size 1 of the calibration, got 2"),
        (lambda: REGIONS.contains(PLANE, POINTS), ValueError, "event_size 1 of the calibration"),
        (lambda: REGIONS.region(Y), TypeError, "must be a MixtureParameters"),
        (lambda: REGIONS.contains(LINE, Y[:3]), ValueError, "one target for each"),
        (lambda: INTERVALS.interval(PLANE), ValueError, "intervals are for targets of one dimen"),
        (lambda: INTERVALS.contains(LINE, Y[:3]), ValueError, "one target for each"),
        (lambda: calibrate_estimator(object(), Y, Y), TypeError, "must have predict_parameters"),
        (
            lambda: conformal.ConformalPredictor(None, PLANE_REGIONS, None).predict_interval(Y),
            ValueError,
            "event_size 2. Use contains",
        ),
    ],
)
def test_bad_input(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("family", ["student_t", "logistic", "lognormal", "truncated_normal"])
def test_mixtures_of_other_components_are_calibrated(family: str) -> None:
    rng = np.random.default_rng(4)
    shape = (400, 3, 1)
    parameters = FamilyMixture(
        family,
        rng.dirichlet([2.0] * 3, 400),
        rng.normal(1.0, 1.0, shape),
        rng.uniform(0.2, 0.8, shape),
        df=np.full(shape, 3.0) if family == "student_t" else None,
    )
    y = parameters.sample(1, rng=5)[0]
    content = _content.exact(parameters, y)
    draws = parameters.sample(4000, rng=6)
    share = (parameters.log_prob(draws) <= parameters.log_prob(y)).mean(axis=0)
    np.testing.assert_allclose(content, share, atol=5 * 0.5 / np.sqrt(4000))

    regions = conformal.calibrate_regions(parameters, y, coverage=0.8)
    held = regions.contains(parameters, y)
    assert held.sum() == np.ceil(0.8 * 401)
    assert regions.outside == pytest.approx(0.2, abs=0.06)
    inside = [
        ((ends[:, 0] <= value) & (value <= ends[:, 1])).any()
        for ends, value in zip(regions.region(parameters), y[:, 0], strict=True)
    ]
    # The target whose level was chosen lies on an end, where rounding decides.
    assert (np.array(inside) != held).sum() <= 1
    intervals = conformal.calibrate_intervals(parameters, y, coverage=0.8)
    assert intervals.contains(parameters, y).sum() == np.ceil(0.8 * 401)


def test_a_target_outside_of_the_support_has_no_content() -> None:
    one = np.ones((1, 1))
    parameters = FamilyMixture("lognormal", one, 0.0 * one, one)
    assert _content.exact(parameters, np.array([[-1.0]])) == [0.0]
