"""Mixtures of other components: the contract, against SciPy, TFP and quadrature."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from tfp_mdn import FamilyMixture, MixtureParameters, calibration_report
from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture import scores

FAMILIES = ("student_t", "logistic", "lognormal", "truncated_normal")
POSITIVE = ("lognormal", "truncated_normal")


def mixture_of(*arguments: Any, **more: Any) -> FamilyMixture:
    """Return a mixture of lists, which the types of its fields do not allow."""
    return FamilyMixture(*arguments, **more)


def make(
    family: str,
    seed: int = 0,
    num_inputs: int = 3,
    num_components: int = 3,
    event_size: int = 1,
    *,
    least_df: float = 4.5,
) -> FamilyMixture:
    rng = np.random.default_rng(seed)
    shape = num_inputs, num_components, event_size
    weights = rng.dirichlet(np.ones(num_components), num_inputs)
    locs = rng.normal(size=shape) * (0.5 if family == "lognormal" else 2.0)
    scales = rng.uniform(0.2, 1.0, shape)
    df = rng.uniform(least_df, 12.0, shape) if family == "student_t" else None
    return mixture_of(family, weights, locs, scales, df)


def component(p: FamilyMixture, *place: int) -> Any:
    loc, scale = p.locs[place], p.scales[place]
    if p.family == "student_t":
        assert p.df is not None
        return stats.t(p.df[place], loc, scale)
    if p.family == "logistic":
        return stats.logistic(loc, scale)
    if p.family == "lognormal":
        return stats.lognorm(scale, scale=np.exp(loc))
    return stats.truncnorm(-loc / scale, np.inf, loc, scale)


def mixed(p: FamilyMixture, function: str, *arguments: FloatArray) -> FloatArray:
    return np.array(
        [
            sum(
                p.weights[n, k]
                * getattr(component(p, n, k, 0), function)(*(value[n] for value in arguments))
                for k in range(p.num_components)
            )
            for n in range(p.num_inputs)
        ]
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_density_and_moments_are_scipys(family: str) -> None:
    p = make(family)
    for level in (0.001, 0.3, 0.9, 0.9999):
        y = p.quantile(level)
        np.testing.assert_allclose(p.prob(y), mixed(p, "pdf", y), rtol=1e-11)
        np.testing.assert_allclose(p.cdf(y), mixed(p, "cdf", y), rtol=1e-9)
        np.testing.assert_allclose(p.survival_function(y), mixed(p, "sf", y), rtol=1e-9)
        np.testing.assert_allclose(np.exp(p.log_cdf(y)), p.cdf(y), rtol=1e-12)
        np.testing.assert_allclose(p.pit(y), level, rtol=1e-10)
    mean = mixed(p, "mean")
    np.testing.assert_allclose(p.mean()[:, 0], mean, rtol=1e-11)
    square = mixed(p, "moment", np.full(3, 2))
    np.testing.assert_allclose(p.variance()[:, 0], square - mean**2, rtol=1e-9)
    np.testing.assert_allclose(p.stddev() ** 2, p.variance(), rtol=1e-12)
    np.testing.assert_allclose(p.covariance()[:, 0], p.variance(), rtol=1e-12)
    for n in range(3):
        for k in range(3):
            own = mixture_of(
                family,
                [[1.0]],
                p.locs[n, [k]],
                p.scales[n, [k]],
                None if p.df is None else p.df[n, [k]],
            )
            moments = component(p, n, k, 0).stats("mvsk")
            found = own.mean()[0, 0], own.variance()[0, 0], own.skewness()[0], own.kurtosis()[0]
            # SciPy's kurtosis of a truncated normal has lost its digits far out.
            most = 3 if family == "truncated_normal" else 4
            np.testing.assert_allclose(found[:most], moments[:most], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_higher_moments_of_a_mixture_are_those_of_quadrature(family: str) -> None:
    p = make(family, num_inputs=1, least_df=9.0)
    mean, stddev = p.mean()[0, 0], p.stddev()[0, 0]
    ends = [-np.inf, *p.quantile([0.01, 0.5, 0.99])[:, 0], np.inf]
    for power, found in ((3, p.skewness()[0]), (4, p.kurtosis()[0] + 3.0)):
        total = sum(
            integrate.quad(lambda y, q=power: p.prob(y)[0] * ((y - mean) / stddev) ** q, a, b)[0]
            for a, b in zip(ends[:-1], ends[1:], strict=True)
        )
        assert found == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_tfp_says_the_same(family: str) -> None:
    import tensorflow_probability as tfp

    tfd = tfp.distributions
    p = make(family, 1)
    locs, scales = p.locs[..., 0], p.scales[..., 0]
    components = {
        "student_t": lambda: tfd.StudentT(None if p.df is None else p.df[..., 0], locs, scales),
        "logistic": lambda: tfd.Logistic(locs, scales),
        "lognormal": lambda: tfd.LogNormal(locs, scales),
        "truncated_normal": lambda: tfd.TruncatedNormal(
            locs, scales, np.float64(0.0), np.float64(np.inf)
        ),
    }[family]()
    q = tfd.MixtureSameFamily(tfd.Categorical(probs=p.weights), components)
    y = p.quantile(0.7)
    np.testing.assert_allclose(p.log_prob(y), q.log_prob(y).numpy(), rtol=1e-9)
    np.testing.assert_allclose(p.cdf(y), q.cdf(y).numpy(), rtol=1e-9)
    np.testing.assert_allclose(p.mean()[:, 0], q.mean().numpy(), rtol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_several_dimensions_are_products_in_each_component(family: str) -> None:
    p = make(family, 2, event_size=2)
    y = np.stack([p.marginal(d).quantile(0.6) for d in range(2)], axis=1)
    parts = [
        p.marginal(d).responsibilities(y[:, d]) * p.marginal(d).prob(y[:, d])[:, None]
        for d in range(2)
    ]
    joint = (parts[0] * parts[1] / p.weights).sum(axis=1)
    np.testing.assert_allclose(p.prob(y), joint, rtol=1e-12)
    seen = y.copy()
    seen[0, 1] = seen[1] = np.nan
    found = p.log_prob(seen, missing="marginalise")
    np.testing.assert_allclose(found[0], p.marginal(0).log_prob(y[:, 0])[0], rtol=1e-12)
    assert found[1] == 0.0
    np.testing.assert_allclose(found[2], p.log_prob(y)[2], rtol=1e-12)
    draws = p.sample(20000, rng=0)
    assert np.abs(draws.mean(axis=0) - p.mean()).max() < 0.1 * p.stddev().max()
    with pytest.raises(ValueError, match=r"modes is for targets of one dimension .* marginal"):
        p.modes()
    with pytest.raises(ValueError, match="quantile is for targets of one dimension"):
        p.quantile(0.5)


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_have_the_distribution(family: str) -> None:
    p = make(family, 3, num_inputs=2)
    draws = p.sample(5000, rng=1)
    for n in range(2):
        shares = p[n].cdf(draws[:, [n]])[:, 0]
        assert stats.kstest(shares, "uniform").pvalue > 1e-3
    limit = p.sample(3, rng=1, temperature=0.0, scale_temperature=0.0)
    heaviest = p.locs[np.arange(2), p.weights.argmax(axis=1), 0]
    expected = {"lognormal": np.exp(heaviest), "truncated_normal": np.maximum(heaviest, 0.0)}
    np.testing.assert_allclose(limit[0, :, 0], expected.get(family, heaviest), rtol=1e-12)
    value, error = p.entropy(4000, rng=0)
    exact = [
        integrate.quad(
            lambda u, n=n: -p[n].log_prob(p[n].quantile(u))[0], 0.0, 1.0, epsabs=1e-4, limit=60
        )[0]
        for n in range(2)
    ]
    assert (np.abs(value - exact) < 5.0 * error + 1e-3).all()
    divergence, error = p.kl_divergence(p, rng=0)
    np.testing.assert_array_equal(divergence, 0.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_files_and_copies(family: str) -> None:
    p = make(family, 4, event_size=2)
    pairs = [
        (p, FamilyMixture.from_dict(json.loads(json.dumps(p.to_dict())))),
        (p, pickle.loads(pickle.dumps(p))),
        (p, FamilyMixture.concatenate([p[0], p[1:]])),
        (p[1], p[[False, True, False]]),
        (p, FamilyMixture.concatenate(list(p))),
    ]
    for first, second in pairs:
        assert second.family == family
        for name in ("weights", "locs", "scales", "df"):
            one, other = getattr(first, name), getattr(second, name)
            np.testing.assert_array_equal(one, other) if one is not None else None
            assert other is None or not other.flags.writeable
    assert repr(p) == f"FamilyMixture({family!r}, num_inputs=3, num_components=3, event_size=2)"
    table = p.to_dataframe()
    names = [f"{part}_{d}" for part in ("loc", "scale", "df") for d in range(2)]
    names = names if family == "student_t" else names[:4]
    assert list(table.columns) == ["row", "component", "weight", *names]
    assert (np.diff(p.sorted().locs[..., 0], axis=1) >= 0.0).all()
    y = p.sample(1, rng=0)[0]
    np.testing.assert_allclose(p.sorted().log_prob(y), p.log_prob(y), rtol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_transformed_mixtures_are_those_of_transformed_targets(family: str) -> None:
    p = make(family, 5)
    shift, factor = (0.0, 2.5) if family in POSITIVE else (3.0, -2.5)
    q = p.transform(shift, factor)
    y = p.quantile(0.3)
    np.testing.assert_allclose(q.log_prob(shift + factor * y), p.log_prob(y) - np.log(2.5))
    np.testing.assert_allclose(q.mean(), shift + factor * p.mean(), rtol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_calibration_of_the_truth_is_good(family: str) -> None:
    p = make(family, 6, num_inputs=500)
    y = p.sample(1, rng=2)[0, :, 0]
    report = calibration_report(p, y)
    assert report.verdict == "well calibrated"
    assert report.mean_log_score == pytest.approx(scores.log_score(p, y).mean())


def test_a_report_says_nan_where_there_is_no_moment() -> None:
    p = mixture_of("student_t", np.ones((50, 1)), np.zeros((50, 1)), np.ones((50, 1)), df=1.5)
    report = calibration_report(p, p.sample(1, rng=0)[0, :, 0])
    assert np.isnan(report.margins[0].mean_stddev)
    assert report.margins[0].mean_crps > 0.0


def test_moments_that_are_not_there_are_refused_and_named() -> None:
    p = mixture_of("student_t", [[0.5, 0.5]], [[0.0, 1.0]], [[1.0, 1.0]], [[0.9, 1.5]])
    assert np.isnan(p.means[0, 0, 0])
    assert p.means[0, 1, 0] == 1.0
    assert np.isinf(p.variances[0, 1, 0])
    for method, least in (
        ("mean", 1),
        ("crps", 1),
        ("variance", 2),
        ("skewness", 3),
        ("kurtosis", 4),
    ):
        arguments = [0.0] if method == "crps" else []
        message = (
            rf"{method} needs .*: df must be greater than {least}, got 0.9 at index \(0, 0, 0\)"
        )
        with pytest.raises(ValueError, match=message):
            getattr(p, method)(*arguments)
    q = mixture_of("student_t", [[0.0, 1.0]], [[0.0, 1.0]], [[1.0, 1.0]], [[0.9, 1.5]])
    assert q.mean()[0, 0] == 1.0
    assert q.crps(1.0)[0] > 0.0
    huge = mixture_of("lognormal", [[1.0]], [[700.0]], [[40.0]])
    with pytest.raises(ValueError, match="mean would overflow"):
        huge.mean()


ONE = [[1.0]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("gamma", ONE, ONE, ONE), ValueError, "family must be 'student_t' or .*, got 'gamma'"),
        (("normal", ONE, ONE, ONE), ValueError, "family must be"),
        ((3, ONE, ONE, ONE), ValueError, "family must be .*, got 3"),
        (("logistic", ONE, ONE, ONE, 3.0), ValueError, "df must be None for family 'logistic'"),
        (("student_t", ONE, ONE, ONE), ValueError, "df must be given"),
        (("student_t", ONE, ONE, ONE, 0.0), ValueError, "df must be positive, got 0"),
        (("student_t", ONE, ONE, ONE, np.nan), ValueError, "df must be finite"),
        (("student_t", ONE, ONE, ONE, [1.0, 2.0]), ValueError, "df must be a number or have"),
        (("student_t", ONE, ONE, ONE, "many"), TypeError, "df must hold real numbers"),
        (("logistic", [[0.5]], ONE, ONE), ValueError, "weights must sum to 1"),
        (("logistic", ONE, [[1.0, 2.0]], ONE), ValueError, "locs must have shape"),
        (("logistic", ONE, ONE, [[0.0]]), ValueError, "scales must be positive, got 0"),
        (("logistic", ONE, ONE, [[[1.0, 2.0]]]), ValueError, "scales must have the shape of locs"),
        (("logistic", ONE, [[np.inf]], ONE), ValueError, "locs must be finite"),
    ],
)
def test_bad_parameters(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        mixture_of(*arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.transform(loc=1.0), "loc must be 0 for family 'lognormal'"),
        (lambda p: p.transform(scale=-1.0), "scale must be positive for family 'lognormal'"),
        (lambda p: p.transform(scale=[1.0, 2.0]), "scale must be a number or have shape"),
        (lambda p: p.log_prob([1.0, 2.0]), "y must have shape"),
        (lambda p: p.log_prob(np.nan), "y must be finite"),
        (lambda p: p.quantile(1.5), "q must hold levels from 0 to 1"),
        (lambda p: p.marginal(1), "dims must be from 0"),
        (lambda p: FamilyMixture.concatenate([]), "at least one FamilyMixture"),
        (lambda p: FamilyMixture.concatenate([p, make("logistic")]), "must agree in family"),
        (lambda p: FamilyMixture.from_dict({"family": "logistic"}), "missing"),
    ],
)
def test_bad_questions(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(make("lognormal", num_inputs=1))


def test_either_class_says_its_family() -> None:
    assert MixtureParameters(*map(np.array, ([[1.0]], [[0.0]], [[1.0]]))).family == "normal"
    assert make("logistic").support == (-np.inf, np.inf)
    assert make("lognormal").support == (0.0, np.inf)
    with pytest.raises(TypeError, match=r"parts\[0\] must be a FamilyMixture, got dict"):
        FamilyMixture.concatenate([{}])  # type: ignore[list-item]


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_take_them(family: str) -> None:
    from matplotlib.figure import Figure

    from tfp_mdn import plotting

    p, x = make(family, num_inputs=30), np.linspace(0.0, 1.0, 30)
    y = p.sample(1, rng=0)[0, :, 0]
    drawings: list[Any] = [
        lambda ax: plotting.plot_density(x, p, data=(x, y), ax=ax),
        lambda ax: plotting.plot_components(x, p, ax=ax),
        lambda ax: plotting.plot_quantiles(x, p, ax=ax),
        lambda ax: plotting.plot_pit(p, y, ax=ax),
        lambda ax: plotting.plot_coverage(p, y, ax=ax),
    ]
    for draw in drawings:
        ax = Figure().subplots()
        assert draw(ax) is ax
        assert ax.get_title()
    (ax,) = plotting.plot_slices([0.0], p[:1], axes=[Figure().subplots()])
    curves = {line.get_label(): line.get_data() for line in ax.lines}
    places, total = curves["density"]
    parts = [curves[f"component {k}"][1] for k in range(3) if f"component {k}" in curves]
    np.testing.assert_allclose(np.sum(parts, axis=0), total, rtol=1e-9, atol=1e-12)
    pair: Any = make(family, num_inputs=1, event_size=2)
    with pytest.raises(ValueError, match="this picture is for normal components, got family"):
        plotting.plot_joint(pair)
