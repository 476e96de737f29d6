"""Densities whose slope is the small difference of large sums, or none that could be seen."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import ndtr

from tfp_mdn.mixture import MixtureParameters, _lines, _slope_signs

# Cells that one component may cost, whatever the others are: with bounds on single terms alone,
# flat stretches took millions.
LARGEST_NUMBER_OF_CELLS = 60


@pytest.fixture(autouse=True)
def bounded_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail as soon as a search takes more cells than it may."""
    evaluate = _slope_signs._Cells.__init__
    counts: dict[str, int] = {}

    def counted(self: object, lower: np.ndarray, *arguments: np.ndarray) -> None:
        counts["cells"] += len(lower)
        assert counts["cells"] <= LARGEST_NUMBER_OF_CELLS * counts["components"]
        evaluate(self, lower, *arguments)  # type: ignore[arg-type]

    def isolate(weights: np.ndarray, *arguments: np.ndarray) -> object:
        counts.update(cells=0, components=weights.size)
        return _slope_signs.isolate(weights, *arguments)

    monkeypatch.setattr(_slope_signs._Cells, "__init__", counted)
    monkeypatch.setattr(_lines, "isolate", isolate)


def evenly_spaced(num_components: int, gap: float, jitter: float = 0.0) -> MixtureParameters:
    """Return equal components, their weights changed by `jitter`."""
    shape = 1, num_components
    weights = 1.0 + jitter * np.random.default_rng(0).normal(size=shape)
    means = gap * np.arange(float(num_components))
    return MixtureParameters(weights / weights.sum(), means[np.newaxis], np.ones(shape))


def with_narrow_ones(num_components: int, gap: float) -> MixtureParameters:
    """Return evenly spaced components, every second of them a hundredth as wide."""
    p = evenly_spaced(num_components, gap)
    odd = np.arange(num_components) % 2
    return MixtureParameters(p.weights, p.means, np.where(odd, 1e-4, 1.0)[np.newaxis])


def check(p: MixtureParameters) -> None:
    """Check modes and regions."""
    (places,) = p.modes()
    assert 1 <= len(places) <= p.num_components
    means, scales = p.means[0, :, 0], np.sqrt(p.variances[0, :, 0])
    residuals = (places - means) / scales
    terms = p.weights[0] / scales**2 * residuals * np.exp(-0.5 * residuals**2)
    # Between neighbouring float64 numbers p' may change by as much as p'' could be.
    step = np.spacing(np.abs(places[:, 0])) * (p.weights[0] / scales**3).sum()
    assert (np.abs(terms.sum(axis=1)) <= 1e-12 * np.abs(terms).sum(axis=1) + step).all()
    assert (np.diff(p.log_prob(places[:, np.newaxis, :])[:, 0]) <= 0.0).all()
    for coverage in (1e-3, 0.5, 0.9):
        (region,) = p.highest_density_region(coverage)
        parts = ndtr((region[:, 1:] - means) / scales) - ndtr((region[:, :1] - means) / scales)
        assert_allclose((parts @ p.weights[0]).sum(), coverage, atol=2e-8)
        assert (region[:, 0] < region[:, 1]).all()
        assert (region[1:, 0] > region[:-1, 1]).all()


@pytest.mark.parametrize("num_components", [12, 50])
@pytest.mark.parametrize("gap", [1e-3, 0.1, 0.5, 1.0, 1.5, 3.0])
@pytest.mark.parametrize("jitter", [0.0, 1e-9])
def test_evenly_spaced_components(num_components: int, gap: float, jitter: float) -> None:
    check(evenly_spaced(num_components, gap, jitter))


@pytest.mark.parametrize(
    ("gap", "count"), [(1e-3, 1), (0.1, 1), (0.5, 1), (1.0, 190), (1.5, 196), (3.0, 200)]
)
def test_two_hundred_components(gap: float, count: int) -> None:
    p = evenly_spaced(200, gap)
    (places,) = p.modes()
    assert len(places) == count
    # A mirror image of itself; the slope of the ripple is 1e-8, so that eight digits are seen.
    ordered = np.sort(places[:, 0])
    assert_allclose(ordered + ordered[::-1], 199.0 * gap, atol=1e-6)


@pytest.mark.parametrize("num_components", [12, 50])
@pytest.mark.parametrize("gap", [1e-3, 0.1, 0.5, 1.0, 3.0])
def test_two_scales(num_components: int, gap: float) -> None:
    check(with_narrow_ones(num_components, gap))


def slope_sign(p: MixtureParameters, place: float) -> bool:
    """Return whether p' is positive, from numbers of 40 digits."""
    total = Decimal(0)
    for weight, mean, variance in zip(
        p.weights[0], p.means[0, :, 0], p.variances[0, :, 0], strict=True
    ):
        gap = Decimal(float(mean)) - Decimal(float(place))
        size = Decimal(float(variance))
        scale = size.sqrt() * size
        total += Decimal(float(weight)) * gap / scale * (-gap * gap / (2 * size)).exp()
    return total > 0


# One standard deviation apart, the ripple of the density is 1e-8 of it; the outer components make
# its slope larger than that up to about six standard deviations from the ends.
@pytest.mark.parametrize(
    ("num_components", "gap", "jitter"),
    [(8, 1.0, 0.0), (12, 1.0, 0.0), (12, 1.0, 1e-9), (12, 1.5, 0.0), (24, 1.0, 0.0)],
)
def test_ripples_have_the_modes_that_more_digits_show(
    num_components: int, gap: float, jitter: float
) -> None:
    p = evenly_spaced(num_components, gap, jitter)
    (places,) = p.modes()
    with localcontext() as context:
        context.prec = 40
        grid = np.linspace(-0.01, (num_components - 1) * gap + 0.01, 24 * num_components + 5)
        rises = np.array([slope_sign(p, place) for place in grid])
        assert len(places) == (rises[:-1] & ~rises[1:]).sum()
        for place in places[:, 0]:
            assert slope_sign(p, place - 1e-5)
            assert not slope_sign(p, place + 1e-5)


@pytest.mark.parametrize("num_components", [50, 200])
def test_a_flat_top_has_one_mode_in_its_middle(num_components: int) -> None:
    # The ripple is 1e-34 of the density, and far from the ends nothing else has a slope.
    p = evenly_spaced(num_components, 0.5)
    (places,) = p.modes()
    assert_allclose(places, [[0.25 * (num_components - 1)]], atol=0.5)
    (region,) = p.highest_density_region(0.5)
    assert region.shape == (1, 2)
    assert_allclose(region.sum(), 0.5 * (num_components - 1), atol=0.5)


def test_many_rows_are_those_alone() -> None:
    parts = [evenly_spaced(12, gap) for gap in (0.5, 1.0, 2.0)] + [with_narrow_ones(12, 0.5)]
    together = MixtureParameters.concatenate(parts).modes()
    for part, places in zip(parts, together, strict=True):
        assert_allclose(places, part.modes()[0], rtol=1e-9)
