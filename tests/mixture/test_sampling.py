from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special, stats

from tfp_mdn.mixture import MixtureParameters, sampling

MixtureFactory = Callable[..., MixtureParameters]

# Five standard errors: a correct sampler fails once in two million seeds, and the seed is fixed.
STANDARD_ERRORS = 5.0


class CountingGenerator(np.random.Generator):
    """A generator that counts the normal and uniform numbers that are drawn from it."""

    normals = 0
    uniforms = 0

    def standard_normal(self, size: Any = None, *args: Any, **kwargs: Any) -> Any:
        self.normals += int(np.prod(size))
        return super().standard_normal(size, *args, **kwargs)

    def random(self, size: Any = None, *args: Any, **kwargs: Any) -> Any:
        self.uniforms += int(np.prod(size))
        return super().random(size, *args, **kwargs)


class ConstantGenerator(np.random.Generator):
    """A generator whose uniform numbers are all the same."""

    constant = 0.0

    def random(self, size: Any = None, *args: Any, **kwargs: Any) -> Any:
        return np.full(size, self.constant)


def separated(weights: list[float]) -> MixtureParameters:
    """Return a mixture whose components never overlap: the nearest mean tells the component."""
    means = 100.0 * np.arange(float(len(weights)))[np.newaxis]
    return MixtureParameters(np.array([weights]), means, np.ones_like(means))


def frequencies(p: MixtureParameters, size: int, **options: float) -> np.ndarray:
    draws = p.sample(size, rng=0, **options)[:, 0, 0]
    chosen = np.rint(draws / 100.0).astype(int)
    return np.bincount(chosen, minlength=p.num_components) / size


def assert_frequencies(found: np.ndarray, expected: np.ndarray, size: int) -> None:
    error = np.sqrt(expected * (1.0 - expected) / size)
    assert (np.abs(found - expected) <= STANDARD_ERRORS * error).all()


def test_samples_follow_the_cdf(make_mixture: MixtureFactory) -> None:
    p = make_mixture(1, num_inputs=4, zero_weight=True)
    draws = p.sample(5000, rng=0)
    assert draws.shape == (5000, 4, 1)
    for n in range(4):
        row = p[n]
        test = stats.kstest(draws[:, n, 0], lambda y, row=row: row.cdf(y[:, np.newaxis])[:, 0])
        assert test.pvalue > 1e-3


def test_samples_have_the_law_of_tfp(make_mixture: MixtureFactory) -> None:
    with warnings.catch_warnings():
        # TensorFlow and TFP use deprecated parts of NumPy and of the standard library on import.
        warnings.simplefilter("ignore")
        import tensorflow_probability as tfp

        tfd = tfp.distributions
        assert tfd.MixtureSameFamily is not None  # TFP loads itself on the first access.

    p = make_mixture(2, num_inputs=3, zero_weight=True)
    components = tfd.Normal(p.means[..., 0], np.sqrt(p.variances[..., 0]))
    theirs = tfd.MixtureSameFamily(tfd.Categorical(probs=p.weights), components)
    drawn = theirs.sample(5000, seed=1).numpy()
    ours = p.sample(5000, rng=1)[..., 0]
    for n in range(3):
        assert stats.ks_2samp(ours[:, n], drawn[:, n]).pvalue > 1e-3
    assert_allclose(p.mean()[:, 0], theirs.mean().numpy(), rtol=1e-12)
    assert_allclose(p.variance()[:, 0], theirs.variance().numpy(), rtol=1e-10)
    assert_allclose(p.cdf(np.ones(3)), theirs.cdf(np.ones(3)).numpy(), rtol=1e-12)


@pytest.mark.parametrize("full", [False, True])
def test_samples_have_the_moments_of_the_mixture(
    make_mixture: MixtureFactory, *, full: bool
) -> None:
    size = 100_000
    p = make_mixture(2, num_inputs=2, num_components=3, event_size=3, full=full)
    draws = p.sample(size, rng=0)
    error = p.stddev() / np.sqrt(size)
    assert (np.abs(draws.mean(axis=0) - p.mean()) < STANDARD_ERRORS * error).all()
    centred = draws - p.mean()
    products = centred[..., :, np.newaxis] * centred[..., np.newaxis, :]
    error = products.std(axis=0) / np.sqrt(size)
    assert (np.abs(products.mean(axis=0) - p.covariance()) < STANDARD_ERRORS * error).all()


def test_correlated_samples_have_the_distances_of_a_normal(make_mixture: MixtureFactory) -> None:
    p = make_mixture(3, num_inputs=1, num_components=1, event_size=4, full=True)
    assert p.covariances is not None
    centred = p.sample(5000, rng=0)[:, 0] - p.means[0, 0]
    distances = np.einsum("si,ij,sj->s", centred, np.linalg.inv(p.covariances[0, 0]), centred)
    assert stats.kstest(distances, stats.chi2(4).cdf).pvalue > 1e-3


@pytest.mark.parametrize("full", [False, True])
def test_one_normal_vector_and_one_uniform_number_are_drawn_per_sample(
    make_mixture: MixtureFactory, *, full: bool
) -> None:
    p = make_mixture(num_inputs=5, num_components=8, event_size=2, full=full)
    rng = CountingGenerator(np.random.PCG64(0))
    draws = p.sample(7, rng=rng)
    assert rng.normals == draws.size == 7 * 5 * 2
    assert rng.uniforms == 7 * 5


@pytest.mark.parametrize("full", [False, True])
def test_memory_does_not_grow_with_the_number_of_components(
    make_mixture: MixtureFactory, *, full: bool
) -> None:
    p = make_mixture(num_inputs=10, num_components=100, event_size=2, full=full)
    tracemalloc.start()
    draws = p.sample(5000, rng=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * draws.nbytes


def test_memory_beyond_the_samples_does_not_grow_with_them() -> None:
    weights = np.full((100_000, 2), 0.5)
    p = MixtureParameters(weights, weights, weights)
    tracemalloc.start()
    draws = p.sample(20, rng=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * draws.nbytes


def test_each_row_has_its_own_samples_however_many_rows_there_are() -> None:
    centres = np.arange(30_000.0)[:, np.newaxis]
    ones = np.ones_like(centres)
    draws = MixtureParameters(ones, centres, 1e-12 * ones).sample(10, rng=0)[..., 0]
    assert_allclose(draws, np.broadcast_to(centres[:, 0], draws.shape), atol=1e-4)
    assert len(np.unique(draws[:, 0])) == 10


def test_more_components_than_a_byte_counts() -> None:
    weights = np.eye(300)[[299, 256, 0]]
    chosen = sampling.sample_components(4, weights, np.random.default_rng(0))
    assert_array_equal(chosen, np.broadcast_to([299, 256, 0], (4, 3)))


def test_components_are_drawn_by_their_weights() -> None:
    weights = np.array([0.1, 0.0, 0.6, 0.3, 0.0])
    found = frequencies(separated(list(weights)), 50_000)
    assert_frequencies(found, weights, 50_000)


def test_the_ends_of_the_unit_interval_draw_no_component_of_weight_zero() -> None:
    # Ten times 0.1 adds up to the largest number below 1, which is also the largest uniform one.
    weights = np.array([[0.0, *[0.1] * 10, 0.0]])
    rng = ConstantGenerator(np.random.PCG64(0))
    rng.constant = 0.0
    assert sampling.sample_components(1, weights, rng) == 1
    rng.constant = np.nextafter(1.0, 0.0)
    assert weights.cumsum()[-1] <= rng.constant
    assert sampling.sample_components(1, weights, rng) == 10


@pytest.mark.parametrize("temperature", [0.25, 0.5, 2.0, 1e6])
def test_temperature_divides_the_logits(temperature: float) -> None:
    weights = np.array([0.5, 0.3, 0.2, 0.0])
    expected = np.append(special.softmax(np.log(weights[:3]) / temperature), 0.0)
    assert_allclose(sampling.temper(weights[np.newaxis], temperature), [expected], rtol=1e-12)
    found = frequencies(separated(list(weights)), 50_000, temperature=temperature)
    assert_frequencies(found, expected, 50_000)


@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1e-3])
def test_temperature_zero_takes_the_heaviest_component(temperature: float) -> None:
    weights = [0.3, 0.4, 0.3, 0.0]
    assert_array_equal(frequencies(separated(weights), 1000, temperature=temperature), [0, 1, 0, 0])


def test_temperature_zero_takes_the_first_of_equals() -> None:
    assert_array_equal(frequencies(separated([0.2, 0.4, 0.4]), 1000, temperature=0.0), [0, 1, 0])


def test_temperature_one_leaves_the_weights_alone() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(5), 100)
    assert_array_equal(sampling.temper(weights, 1.0), weights)
    assert_allclose(sampling.temper(weights, 1.0 + 1e-12), weights, rtol=1e-10)


@given(seed=st.integers(0, 2**32 - 1), stretch=st.floats(0.01, 100.0), full=st.booleans())
def test_scale_temperature_stretches_about_the_component_means(
    make_mixture: MixtureFactory, seed: int, stretch: float, *, full: bool
) -> None:
    p = make_mixture(seed, event_size=2, full=full)
    centres = p.sample(20, rng=seed, scale_temperature=0.0)
    apart = np.abs(centres[:, :, np.newaxis] - p.means).max(axis=-1).min(axis=-1)
    assert_array_equal(apart, 0.0)
    plain = p.sample(20, rng=seed)
    stretched = p.sample(20, rng=seed, scale_temperature=stretch)
    expected = centres + np.sqrt(stretch) * (plain - centres)
    assert_allclose(stretched, expected, rtol=1e-9, atol=1e-9)


def test_scale_temperature_multiplies_the_variance() -> None:
    size = 50_000
    p = MixtureParameters(np.ones((1, 1)), np.full((1, 1), 3.0), np.full((1, 1), 4.0))
    draws = p.sample(size, rng=0, scale_temperature=0.25)
    assert stats.kstest(draws.ravel(), stats.norm(3.0, 1.0).cdf).pvalue > 1e-3


def test_both_temperatures_zero_give_the_mean_of_the_heaviest(make_mixture: MixtureFactory) -> None:
    p = make_mixture(4, num_inputs=6, event_size=2, full=True)
    draws = p.sample(3, rng=0, temperature=0.0, scale_temperature=0.0)
    heaviest = p.means[np.arange(6), p.weights.argmax(axis=1)]
    assert_array_equal(draws, np.broadcast_to(heaviest, (3, 6, 2)))


def test_a_large_offset_and_a_tiny_scale_keep_their_shape() -> None:
    ones = np.ones((1, 1))
    far = MixtureParameters(ones, 1e9 * ones, ones).sample(5000, rng=0)
    assert stats.kstest((far - 1e9).ravel(), stats.norm.cdf).pvalue > 1e-3
    tiny = MixtureParameters(ones, 0.0 * ones, 1e-18 * ones).sample(5000, rng=0)
    assert stats.kstest((tiny * 1e9).ravel(), stats.norm.cdf).pvalue > 1e-3


def test_a_seed_repeats_and_a_generator_moves_on(make_mixture: MixtureFactory) -> None:
    p = make_mixture(5)
    first = p.sample(4, rng=7)
    assert_array_equal(p.sample(4, rng=7), first)
    assert_array_equal(p.sample(4, rng=np.random.default_rng(7)), first)
    rng = np.random.default_rng(7)
    assert_array_equal(p.sample(4, rng), first)
    assert (p.sample(4, rng) != first).all()
    assert (p.sample(4) != p.sample(4)).all()
    assert (p.sample(4, rng=8) != first).all()


def test_global_random_state_is_neither_read_nor_changed(make_mixture: MixtureFactory) -> None:
    p = make_mixture(5)
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    p.sample(4)
    p.sample(4, rng=0)
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert_array_equal(before["state"]["key"], after["state"]["key"])
    assert before["state"]["pos"] == after["state"]["pos"]


def test_no_draws_and_no_rows(make_mixture: MixtureFactory) -> None:
    p = make_mixture(event_size=2)
    assert p.sample(0, rng=0).shape == (0, 3, 2)
    assert p[:0].sample(5, rng=0).shape == (5, 0, 2)


@pytest.mark.parametrize(
    ("argument", "value", "error", "message"),
    [
        ("size", -1, ValueError, "size must be at least 0, got -1"),
        ("size", 2.0, TypeError, "size must be an integer, got 2.0"),
        ("size", True, TypeError, "size must be an integer, got True"),
        ("rng", 1.5, TypeError, "rng must be a numpy.random.Generator, an integer seed or None"),
        ("rng", -1, ValueError, "rng must be at least 0"),
        ("temperature", -0.1, ValueError, "temperature must be finite and at least 0, got -0.1"),
        ("temperature", np.nan, ValueError, "temperature must be finite and at least 0, got nan"),
        ("temperature", np.inf, ValueError, "temperature must be finite and at least 0, got inf"),
        ("temperature", "hot", TypeError, "temperature must be a number, got 'hot'"),
        ("scale_temperature", -1.0, ValueError, "scale_temperature must be finite and at least 0"),
        ("scale_temperature", np.nan, ValueError, "scale_temperature must be finite"),
    ],
)
def test_bad_arguments_are_refused(
    make_mixture: MixtureFactory, argument: str, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_mixture().sample(**{"size": 1, argument: value})
