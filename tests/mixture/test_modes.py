from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize

from tfp_mdn.mixture import MixtureParameters, density

MixtureFactory = Callable[..., MixtureParameters]

seeds = st.integers(0, 2**32 - 1)


def peaks_on_a_grid(p: MixtureParameters, row: int = 0) -> int:
    """Count the changes of p' from + to - on a grid that is fine around every component."""
    weights, means = p.weights[row], p.means[row, :, 0]
    scales = np.sqrt(p.variances[row, :, 0])
    fine = np.linspace(-7.0, 7.0, 1401)
    grid = np.unique(
        np.concatenate(
            [
                np.linspace(means.min() - scales.min(), means.max() + scales.min(), 5001),
                (means[:, np.newaxis] + scales[:, np.newaxis] * fine).ravel(),
            ]
        )
    )
    residuals = (grid[:, np.newaxis] - means) / scales
    slope = -(weights / scales**2 * residuals * np.exp(-0.5 * residuals**2)).sum(axis=1)
    signs = np.sign(slope)
    signs = signs[signs != 0.0]
    return int((np.diff(signs) < 0.0).sum())


def log_density_slope(p: MixtureParameters, row: int, place: np.ndarray) -> np.ndarray:
    """Return the gradient of log p at a place (D,), in units of the narrowest scale."""
    shares = p[row].responsibilities(place[np.newaxis])[0]
    matrices = (
        p.variances[row, :, :, np.newaxis] * np.eye(p.event_size)
        if p.covariances is None
        else p.covariances[row]
    )
    pulls = np.linalg.solve(matrices, (p.means[row] - place)[..., np.newaxis])[..., 0]
    gradient: np.ndarray = shares @ pulls * np.sqrt(p.variances[row].min(axis=0))
    return gradient


@given(
    seed=seeds,
    num_components=st.integers(1, 10),
    spread=st.sampled_from([0.5, 1.0, 3.0, 20.0]),
    decades=st.sampled_from([0.0, 0.3, 1.5]),
)
def test_modes_are_as_many_as_changes_of_sign(
    seed: int, num_components: int, spread: float, decades: float
) -> None:
    rng = np.random.default_rng(seed)
    shape = 3, num_components
    p = MixtureParameters(
        rng.dirichlet(np.ones(num_components), 3),
        spread * rng.normal(size=shape),
        10.0 ** (2.0 * rng.uniform(-decades, decades, shape)),
    )
    for row, places in enumerate(p.modes()):
        assert len(places) == peaks_on_a_grid(p, row)
        assert 1 <= len(places) <= num_components
        heights = p[row].log_prob(places[:, np.newaxis, :])[:, 0]
        assert (np.diff(heights) <= 0.0).all()
        for place in places:
            assert_allclose(log_density_slope(p, row, place), 0.0, atol=1e-9)
            near = place + 1e-4 * np.sqrt(p.variances[row].min()) * np.array([[-1.0], [1.0]])
            assert (p[row].log_prob(near[:, np.newaxis]) <= heights[0] + 1e-12).all()


# Two equal normal curves have one mode up to a separation of two standard deviations, two above.
@pytest.mark.parametrize(
    ("excess", "count"),
    [(-0.5, 1), (-1e-3, 1), (-1e-6, 1), (0.0, 1), (1e-5, 2), (1e-4, 2), (1e-3, 2), (0.5, 2)],
)
@pytest.mark.parametrize(("loc", "scale"), [(0.0, 1.0), (0.3, 1.0), (5.0, 1e-6)])
def test_two_equal_components_split_at_two_standard_deviations(
    excess: float, count: int, loc: float, scale: float
) -> None:
    half = 1.0 + excess
    weights = np.array([[0.5, 0.5]])
    p = MixtureParameters(
        weights, loc + scale * np.array([[-half, half]]), np.full((1, 2), scale**2)
    )
    assert len(p.modes()[0]) == count
    if count == 1:
        assert_allclose(p.modes()[0][0, 0], loc, atol=1e-2 * scale)


def test_modes_beyond_underflow() -> None:
    # At the dip between these the density is exp(-5e17), which no float64 number holds.
    p = MixtureParameters(np.array([[0.3, 0.7]]), np.array([[-1e9, 1e9]]), np.ones((1, 2)))
    assert_array_equal(p.modes()[0], [[1e9], [-1e9]])
    assert_array_equal(p.mode(), [[1e9]])


def test_components_that_differ_by_twelve_orders_in_scale() -> None:
    p = MixtureParameters(np.array([[0.5, 0.5]]), np.array([[0.0, 5e5]]), np.array([[1e12, 1e-12]]))
    assert_allclose(p.modes()[0][:, 0], [5e5, 0.0], atol=1e-6)


def test_equal_components_are_one_mode() -> None:
    p = MixtureParameters(np.full((1, 4), 0.25), np.full((1, 4), 2.5), np.full((1, 4), 3.0))
    assert_array_equal(p.modes()[0], [[2.5]])
    close = MixtureParameters(
        np.full((1, 3), 1 / 3), 1e9 + np.array([[0.0, 0.25, 0.5]]), np.ones((1, 3))
    )
    assert_allclose(close.modes()[0], [[1e9 + 0.25]], atol=1e-6)


def test_weights_of_zero_make_no_modes() -> None:
    p = MixtureParameters(
        np.array([[0.0, 1.0]]), np.array([[1e308, 0.0]]), np.array([[1e-300, 1.0]])
    )
    assert_array_equal(p.modes()[0], [[0.0]])
    plane = MixtureParameters(
        np.array([[0.0, 1.0]]),
        np.array([[[1e308, 0.0], [1.0, 2.0]]]),
        np.array([[[1e-300, 1.0], [1.0, 1.0]]]),
    )
    assert_array_equal(plane.modes()[0], [[1.0, 2.0]])


@given(seed=seeds, factor=st.sampled_from([-1e6, 1e-9, 2.0]), event_size=st.integers(1, 2))
def test_modes_follow_an_affine_map(
    make_mixture: MixtureFactory, seed: int, factor: float, event_size: int
) -> None:
    p = make_mixture(seed, event_size=event_size)
    for mapped, places in zip(p.transform(scale=factor).modes(), p.modes(), strict=True):
        assert_allclose(mapped, factor * places, rtol=1e-6, atol=1e-6 * abs(factor))


def test_order_and_splitting_of_components_mean_nothing(make_mixture: MixtureFactory) -> None:
    p = make_mixture(3, 20, 5)
    order = np.random.default_rng(0).permutation(5)
    twice = [np.concatenate([array, array[:, order]], axis=1) for array in (p.means, p.variances)]
    weights = np.concatenate([0.3 * p.weights, 0.7 * p.weights[:, order]], axis=1)
    q = MixtureParameters(weights, *twice)
    for mine, theirs in zip(p.modes(), q.modes(), strict=True):
        assert_allclose(mine, theirs, atol=1e-9)


# More than one dimension.


@given(seed=seeds, event_size=st.integers(2, 4), full=st.booleans())
def test_modes_in_space_are_peaks(
    make_mixture: MixtureFactory, seed: int, event_size: int, *, full: bool
) -> None:
    p = make_mixture(seed, 3, event_size=event_size, full=full, zero_weight=True)
    rng = np.random.default_rng(seed)
    for row, places in enumerate(p.modes()):
        assert places.shape[1] == event_size
        heights = p[row].log_prob(places[:, np.newaxis, :])[:, 0]
        assert (np.diff(heights) <= 0.0).all()
        # No component mean lies above every mode.
        assert heights[0] >= p[row].log_prob(p.means[row][:, np.newaxis]).max() - 1e-12
        for place, height in zip(places, heights, strict=True):
            assert_allclose(log_density_slope(p, row, place), 0.0, atol=1e-8)
            steps = 1e-4 * rng.normal(size=(30, 1, event_size))
            assert (p[row].log_prob(place + steps) < height + 1e-12).all()


def test_a_saddle_is_left_on_both_sides() -> None:
    # The broad component's own mean lies on the ridge between two peaks.
    p = MixtureParameters(
        np.array([[0.3, 0.3, 0.4]]),
        np.array([[[-3.0, 0.0], [3.0, 0.0], [0.0, 0.0]]]),
        np.array([[[1.0, 1.0], [1.0, 1.0], [100.0, 100.0]]]),
    )
    places = p.modes()[0]
    assert_allclose(np.sort(places[:, 0]), [-3.0, 3.0], atol=1e-2)
    assert_allclose(places[:, 1], 0.0, atol=1e-9)


@pytest.mark.parametrize(("scale", "count"), [(0.65, 3), (0.72, 4), (0.8, 1)])
def test_three_components_in_the_plane_can_have_four_modes(scale: float, count: int) -> None:
    # Carreira-Perpinan and Williams (2003), On the number of modes of a Gaussian mixture.
    angles = np.pi / 2.0 + 2.0 * np.pi / 3.0 * np.arange(3)
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    p = MixtureParameters(np.full((1, 3), 1 / 3), corners[np.newaxis], np.full((1, 3, 2), scale**2))
    assert len(p.modes()[0]) == count


def test_ridges_that_cross_make_modes_that_no_component_mean_leads_to() -> None:
    covariances = np.array(
        [
            [
                [[3.87, 0.02], [0.02, 0.43]],
                [[0.59, 0.76], [0.76, 1.51]],
                [[4.16, 3.23], [3.23, 3.07]],
                [[8.92, -3.73], [-3.73, 1.63]],
            ]
        ]
    )
    p = MixtureParameters(
        np.array([[0.26, 0.28, 0.32, 0.14]]),
        np.array([[[-4.07, 3.72], [1.03, -0.95], [-1.04, -0.58], [-0.59, 0.76]]]),
        np.diagonal(covariances, axis1=-2, axis2=-1),
        covariances,
    )
    assert_allclose(p.mode(), [[1.424, -0.173]], atol=1e-3)
    assert p.log_prob(p.mode())[0] == pytest.approx(-2.42514, abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_no_peak_in_the_plane_is_missed_that_random_searches_find(seed: int) -> None:
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(1, 4, 2, 2))
    covariances = roots @ np.swapaxes(roots, -1, -2) + 0.05 * np.eye(2)
    p = MixtureParameters(
        rng.dirichlet(np.ones(4), 1),
        2.0 * rng.normal(size=(1, 4, 2)),
        np.diagonal(covariances, axis1=-2, axis2=-1),
        covariances,
    )
    (listed,) = p.modes()
    for start in rng.uniform(-5.0, 5.0, (10, 2)):
        found = minimize(
            lambda place: -p.log_prob(place[np.newaxis])[0],
            start,
            method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-13, "maxiter": 2000},
        )
        assert np.abs(listed - found.x).max(axis=1).min() < 1e-3


def test_a_single_normal_distribution_peaks_at_its_mean(make_mixture: MixtureFactory) -> None:
    for event_size, full in ((1, False), (3, False), (3, True)):
        p = make_mixture(0, 5, 1, event_size=event_size, full=full)
        assert_array_equal(p.mode(), p.means[:, 0])
        assert_array_equal(np.array(p.modes()), p.means)


def test_shapes_and_blocks(make_mixture: MixtureFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    for event_size in (1, 2):
        p = make_mixture(0, 9, event_size=event_size)
        assert p[:0].modes() == []
        assert p[:0].mode().shape == (0, event_size)
        whole = p.modes()
        assert_array_equal(p.mode(), [places[0] for places in whole])
        with monkeypatch.context() as patch:
            patch.setattr(density, "BLOCK_SIZE", 40)
            for mine, theirs in zip(p.modes(), whole, strict=True):
                assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("means", "scales"),
    [
        ([0.0, 3.0], [1.0, 1e-20]),
        ([0.0, 3.0, 6.0], [1.0, 1e-150, 1.0]),
        ([1e9 - 1.0, 1e9 + 1.0], [1e-9, 1e-9]),
        ([0.0, 1e20], [1.0, 1.0]),
        ([-1e200, 0.0, 1e200], [1.0, 1.0, 1.0]),
    ],
)
def test_components_narrower_than_the_numbers_around_them(
    means: list[float], scales: list[float]
) -> None:
    weights = np.arange(1.0, len(means) + 1.0)
    p = MixtureParameters(
        np.array([weights / weights.sum()]), np.array([means]), np.array([np.square(scales)])
    )
    places = p.modes()[0][:, 0]
    assert_allclose(np.sort(places), means, rtol=1e-15, atol=1e-6)
    peaks = weights / np.asarray(scales)
    assert_allclose(p.mode()[0, 0], means[int(peaks.argmax())], rtol=1e-15)
    assert_allclose(places, np.asarray(means)[np.argsort(-peaks, kind="stable")], atol=1e-6)
