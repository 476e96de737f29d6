"""Parameters out of models and distributions, against what TFP itself says of them."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from numpy.testing import assert_allclose, assert_array_equal

from tfp_mdn import extraction
from tfp_mdn.extraction import extract_parameters, to_distribution
from tfp_mdn.layers import MixtureMultivariateNormal, MixtureNormal
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.models import build_mdn

tfd, tfpl = tfp.distributions, tfp.layers

X = np.random.default_rng(0).normal(size=(23, 2)).astype(np.float32)


def full_head() -> tuple[Any, int]:
    """A head of TFP with a full scale matrix in two dimensions, as its documentation builds one."""
    component = tfpl.MultivariateNormalTriL.params_size(2)
    return tfpl.MixtureSameFamily(2, tfpl.MultivariateNormalTriL(2)), 2 * (1 + component)


HEADS: dict[str, Callable[[], tuple[Any, int]]] = {
    "ours": lambda: (MixtureNormal(3), 9),
    "ours-scalar": lambda: (MixtureNormal(3, ()), 9),
    "ours-plane": lambda: (MixtureNormal(3, 2), 15),
    "ours-affine": lambda: (MixtureNormal(3, loc=7.0, scale=0.5), 9),
    "ours-full": lambda: (MixtureMultivariateNormal(3, 2, loc=1.0, scale=[0.1, 9.0]), 18),
    "ours-float64": lambda: (MixtureNormal(3, loc=1e9, dtype="float64"), 9),
    "stock": lambda: (tfpl.MixtureNormal(3, (1,)), 9),
    "stock-scalar": lambda: (tfpl.MixtureNormal(3, ()), 9),
    "stock-plane": lambda: (tfpl.MixtureNormal(3, (2,)), 15),
    "stock-full": full_head,
}


def make_model(head: str = "ours", *extra: Any) -> tf_keras.Model:
    layer, size = HEADS[head]()
    layers = [tf_keras.layers.Dense(5, "tanh"), *extra, tf_keras.layers.Dense(size), layer]
    return tf_keras.Sequential([tf_keras.Input((2,)), *layers])


@pytest.fixture(scope="module")
def shared() -> tf_keras.Model:
    """Return a model of two inputs; no test may change it."""
    return make_model()


def assert_equals_accessors(p: MixtureParameters, distribution: Any, *, rtol: float = 2e-6) -> None:
    """Compare with the accessors that the documentation names."""
    mixture = getattr(distribution, "tensor_distribution", distribution)
    rows = int(np.prod(mixture.batch_shape))
    components = mixture.components_distribution
    weights = mixture.mixture_distribution.probs_parameter().numpy()
    assert_allclose(p.weights, weights.reshape(rows, -1), rtol=rtol)
    for ours, theirs in ((p.means, components.mean()), (p.variances, components.variance())):
        assert_allclose(ours.ravel(), theirs.numpy().ravel(), rtol=5 * rtol, atol=1e-7)
    if p.covariances is not None:
        covariances = components.covariance().numpy().reshape(p.covariances.shape)
        assert_allclose(p.covariances, covariances, rtol=1e-5, atol=1e-6)


def assert_same(p: MixtureParameters, q: MixtureParameters, *, rtol: float = 1e-6) -> None:
    for name in ("weights", "means", "variances"):
        assert_allclose(getattr(p, name), getattr(q, name), rtol=rtol, atol=1e-7)


@pytest.mark.parametrize("head", HEADS)
def test_models_give_what_their_distributions_say(head: str) -> None:
    model = make_model(head)
    p = extract_parameters(model, X)
    assert (p.num_inputs, p.event_size) == (23, 2 if "plane" in head or "full" in head else 1)
    assert (p.covariances is not None) is ("full" in head)
    distribution = model(X)
    assert_equals_accessors(p, distribution)
    assert_same(p, extract_parameters(distribution))
    if p.event_size == 1 and head != "ours-float64":
        # through the mixture's own density, which knows nothing of how parameters are stored
        y = np.linspace(-1, 8, 23, dtype=np.float32)
        grid = y[:, None] if distribution.event_shape.rank else y
        assert_allclose(p.log_prob(y), distribution.log_prob(grid), rtol=1e-4, atol=1e-4)


RNG = np.random.default_rng(1)
LOGITS, MEANS = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3, 2))
STDDEVS = RNG.uniform(0.5, 2.0, size=(4, 3, 2))
TRIL = np.tril(RNG.normal(size=(4, 3, 2, 2)))
TRIL[..., [0, 1], [0, 1]] = np.abs(TRIL[..., [0, 1], [0, 1]]) + 0.1

DISTRIBUTIONS: dict[str, Callable[[], Any]] = {
    "normal": lambda: tfd.Normal(MEANS[..., 0], STDDEVS[..., 0]),
    "independent": lambda: tfd.Independent(tfd.Normal(MEANS, STDDEVS), 1),
    "diagonal": lambda: tfd.MultivariateNormalDiag(MEANS, STDDEVS),
    "triangular": lambda: tfd.MultivariateNormalTriL(MEANS, TRIL),
    "shared-scale": lambda: tfd.Normal(MEANS[..., 0], 0.5),
    "shared-matrix": lambda: tfd.MultivariateNormalTriL(MEANS, TRIL[0, 0]),
    "shared-components": lambda: tfd.Normal(MEANS[0, :, 0], STDDEVS[0, :, 0]),
    "negative-scale": lambda: tfd.MultivariateNormalDiag(MEANS, -STDDEVS),
}


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
@pytest.mark.parametrize("logits", [LOGITS, LOGITS[0]])
def test_distributions_of_every_kind_and_broadcast(kind: str, logits: np.ndarray) -> None:
    components = DISTRIBUTIONS[kind]()
    mixture = tfd.MixtureSameFamily(tfd.Categorical(logits=logits), components)
    p = extract_parameters(mixture)
    assert len(p) == int(np.prod(mixture.batch_shape))
    y = RNG.normal(size=(len(p), p.event_size))
    target = y[:, 0] if mixture.event_shape.rank == 0 else y
    if mixture.batch_shape.rank == 0:
        target = target[0]
    assert_allclose(p.log_prob(y), np.ravel(mixture.log_prob(target)), rtol=1e-9)


@pytest.mark.parametrize("size", [2, 5])
@pytest.mark.parametrize("ratio", [1e3, 1e7, 1e12])
def test_dimensions_that_determine_each_other_have_covariances_all_the_same(
    size: int, ratio: float
) -> None:
    factor = np.tril(np.full((size, size), ratio)) + (1.0 - ratio) * np.eye(size)
    mixture = tfd.MixtureSameFamily(
        tfd.Categorical(logits=[0.0]), tfd.MultivariateNormalTriL(np.zeros((1, size)), factor[None])
    )
    p = extract_parameters(mixture)
    assert p.covariances is not None
    assert_allclose(p.variances[0, 0], np.square(factor).sum(axis=1), rtol=1e-9)
    assert np.isfinite(p.log_prob(np.zeros((1, size)))).all()
    first = np.linalg.cholesky(p.covariances[0, 0])[:2, :2]
    # Within what float64 has room for, the factor is kept; beyond, the matrix gets 1e-12 of its
    # diagonal, half of that by way of the other dimension.
    added = 2e-12 * ratio**2 if ratio > 1e6 else 0.0
    assert_allclose(first, [[1.0, 0.0], [ratio, np.sqrt(1.0 + added)]], rtol=1e-2)


def test_a_single_mixture_and_a_batch_of_two_axes() -> None:
    single = extract_parameters(
        tfd.MixtureSameFamily(tfd.Categorical(probs=[0.25, 0.75]), tfd.Normal([0.0, 1.0], [1, 2.0]))
    )
    assert_allclose(single.weights, [[0.25, 0.75]])
    assert_allclose(single.variances[..., 0], [[1.0, 4.0]])
    twice = tfd.MixtureSameFamily(
        tfd.Categorical(logits=np.stack([LOGITS, LOGITS + 1])),
        tfd.Normal(np.stack([MEANS[..., 0], MEANS[..., 1]]), 1.0),
    )
    p = extract_parameters(twice)
    assert_array_equal(p.means[4:, :, 0], MEANS[..., 1])


@pytest.mark.parametrize("full", [False, True])
def test_round_trip(full: bool) -> None:  # noqa: FBT001
    weights = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    covariances = TRIL @ np.swapaxes(TRIL, -1, -2)
    variances = np.diagonal(covariances, axis1=-2, axis2=-1) if full else STDDEVS**2
    p = MixtureParameters(weights, MEANS, variances, covariances if full else None)
    distribution = to_distribution(p)
    assert isinstance(distribution, tfd.MixtureSameFamily)
    assert (distribution.batch_shape, distribution.event_shape) == ((4,), (2,))
    assert distribution.dtype == tf.float64
    y = RNG.normal(size=(4, 2))
    assert_allclose(distribution.log_prob(y), p.log_prob(y), rtol=1e-10)
    assert_same(extract_parameters(distribution), p, rtol=1e-12)
    with pytest.raises(TypeError, match="parameters must be MixtureParameters or .*, got ndarray"):
        to_distribution(MEANS)  # type: ignore[arg-type]


class Traced(tf_keras.layers.Layer):
    """Counts how often Python runs its call: once for every tracing."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.calls, self.factor = 0, factor
        self.rows: list[int | None] = []
        self.lock = threading.Lock()

    def call(self, inputs: Any) -> Any:
        with self.lock:
            self.calls += 1
            self.rows.append(inputs.shape[0])
        return self.factor * inputs


def test_a_model_is_compiled_once_whatever_the_number_of_rows() -> None:
    traced = Traced()
    model = make_model("ours", traced)
    before = traced.calls
    for num_rows, batch_size in ((23, None), (5, None), (23, 7), (1, 1), (23, 100)):
        extract_parameters(model, X[:num_rows], batch_size=batch_size)
    assert traced.calls == before + 1
    assert traced.rows[-1] is None
    extract_parameters(model, X.astype(np.float64))
    extract_parameters(model, X.tolist())
    assert traced.calls == before + 1


@pytest.mark.parametrize("batch_size", [1, 7, 22, 23, 24, np.int64(5)])
def test_chunks_give_the_same_as_one_call(shared: tf_keras.Model, batch_size: int) -> None:
    whole = extract_parameters(shared, X)
    assert_same(extract_parameters(shared, X, batch_size=batch_size), whole)


def test_the_default_chunk_bounds_the_rows_of_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "_CHUNK_ROWS", 8)
    sizes: list[int] = []

    def noted(rows: np.ndarray) -> np.ndarray:
        sizes.append(len(rows))
        return rows

    class Sizes(tf_keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            seen = tf.numpy_function(noted, [inputs], tf.float32)
            seen.set_shape(inputs.shape)
            return seen

    model = make_model("ours", Sizes())
    sizes.clear()
    assert len(extract_parameters(model, X)) == 23
    assert sizes == [8, 8, 7]


def test_what_is_compiled_dies_with_its_model() -> None:
    model = make_model()
    extract_parameters(model, X)
    reference, before = weakref.ref(model), len(extraction._COMPILED)
    del model
    gc.collect()
    assert reference() is None
    assert len(extraction._COMPILED) < before


@pytest.mark.parametrize("nested", [False, True])
def test_layers_added_or_replaced_later_are_noticed(nested: bool) -> None:  # noqa: FBT001
    inner = tf_keras.Sequential([tf_keras.Input((2,)), tf_keras.layers.Dense(9)])
    model = tf_keras.Sequential([inner, MixtureNormal(3)]) if nested else inner
    model(X)
    if not nested:
        inner.add(MixtureNormal(3))
    first = extract_parameters(model, X)
    for units in (9, 9):
        if nested:
            inner.pop()
            inner.add(tf_keras.layers.Dense(units))
        else:
            for _ in range(2):
                inner.pop()
            inner.add(tf_keras.layers.Dense(units))
            inner.add(MixtureNormal(3))
        gc.collect()
        p = extract_parameters(model, X)
        assert_same(p, extract_parameters(model(X)), rtol=1e-5)
        assert not np.allclose(p.means, first.means)


def test_new_weights_are_used_without_tracing_again() -> None:
    model = make_model()
    before = extract_parameters(model, X)
    model.set_weights([2 * array + 0.1 for array in model.get_weights()])
    after = extract_parameters(model, X)
    assert not np.allclose(after.means, before.means)
    assert_equals_accessors(after, model(X))


class Subclassed(tf_keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense, self.head = tf_keras.layers.Dense(9), MixtureNormal(3)

    def call(self, inputs: Any) -> Any:
        return self.head(self.dense(inputs))


def test_subclassed_models_before_and_after_their_first_call() -> None:
    model = Subclassed()
    first = extract_parameters(model, X)
    model(X)
    assert_same(extract_parameters(model, X[:4]), first[:4])
    assert_equals_accessors(first, model(X))


def test_dropout_is_off() -> None:
    model = make_model("ours", tf_keras.layers.Dropout(0.9))
    assert_same(extract_parameters(model, X), extract_parameters(model, X))


def test_several_inputs_as_list_tuple_or_dictionary() -> None:
    inputs = [tf_keras.Input((1,), name="a"), tf_keras.Input((1,), name="b")]
    backbone = tf_keras.Model(inputs, tf_keras.layers.Concatenate()(inputs))
    model = build_mdn(3, backbone=backbone)
    a, b = X[:, :1], X[:, 1:]
    expected = extract_parameters(model([a, b]))
    for x in ([a, b], (a, b), {"a": a, "b": b}, [a[:, 0], tf.constant(b)]):
        assert_same(extract_parameters(model, x, batch_size=9), expected)
    with pytest.raises(ValueError, match=r"same number of rows, got \[22, 23\]"):
        extract_parameters(model, [a[1:], b])


@pytest.mark.parametrize("steps", [4, None])
def test_the_steps_of_sequences_become_rows(steps: int | None) -> None:
    inputs = tf_keras.Input((steps, 2))
    hidden = tf_keras.layers.GRU(3, return_sequences=True)(inputs)
    model = build_mdn(3, backbone=tf_keras.Model(inputs, hidden))
    x = RNG.normal(size=(7, 4, 2)).astype(np.float32)
    p = extract_parameters(model, x, batch_size=3)
    assert len(p) == 28
    assert_equals_accessors(p, model(x))


def test_a_vector_is_one_feature_and_tables_and_tensors_are_taken() -> None:
    model = build_mdn(3, input_size=1)
    column = np.linspace(-1, 1, 9, dtype=np.float32)
    expected = extract_parameters(model(column[:, None]))
    for x in (column, column[:, None], list(column), tf.constant(column), pd.Series(column)):
        assert_same(extract_parameters(model, x), expected)
    assert len(extract_parameters(model, np.arange(3))) == 3


def test_float64_inputs_keep_their_digits_where_the_model_takes_them() -> None:
    inputs = tf_keras.Input((1,), dtype="float64")
    shifted = tf_keras.layers.Rescaling(1.0, -1e9, dtype="float64")(inputs)
    model = build_mdn(3, backbone=tf_keras.Model(inputs, shifted))
    x = np.linspace(-1, 1, 9)
    network = build_mdn(3, hidden_units=(), input_size=1)
    network.set_weights(model.get_weights())
    p = extract_parameters(model, 1e9 + x)
    assert_allclose(p.means, extract_parameters(network, x).means, atol=1e-5)
    predicted = model.predict(1e9 + x, verbose=0)
    assert_allclose(predicted, p.mean(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("warm", [False, True])
def test_threads_get_right_answers(warm: bool) -> None:  # noqa: FBT001
    model = make_model()
    expected = [extract_parameters(model(X[i : i + 3])) for i in range(8)]
    if warm:
        extract_parameters(model, X)
    barrier = threading.Barrier(32)

    def ask(i: int) -> MixtureParameters:
        barrier.wait()
        return extract_parameters(model, X[i % 8 : i % 8 + 3])

    with ThreadPoolExecutor(32) as pool:
        for i, p in enumerate(pool.map(ask, range(32))):
            assert_same(p, expected[i % 8], rtol=1e-5)


def mixture_of(components: Any) -> Any:
    return tfd.MixtureSameFamily(tfd.Categorical(logits=np.zeros(2)), components)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mixture_of(tfd.Gamma([1.0, 2.0], 1.0)), "must be Normal, .* got Gamma with event"),
        (lambda: mixture_of(tfd.Cauchy([0.0, 1.0], 1.0)), "got Cauchy"),
        (
            lambda: mixture_of(tfd.Independent(tfd.Laplace(np.zeros((2, 1)), 1.0), 1)),
            "got Laplace",
        ),
        (
            lambda: mixture_of(tfd.Independent(tfd.Normal(np.zeros((2, 3, 4)), 1.0), 2)),
            r"got Normal with event shape \(3, 4\)",
        ),
        (
            lambda: mixture_of(
                tfd.Independent(tfd.MultivariateNormalDiag(np.zeros((2, 3, 2)), np.ones(2)), 1)
            ),
            "got MultivariateNormalDiag with event shape",
        ),
        (
            lambda: mixture_of(tfd.LogLogistic([0.0, 1.0], 1.0)),
            "got LogLogistic",
        ),
        (lambda: tfd.Normal(0.0, 1.0), "tfd.MixtureSameFamily only, got Normal"),
        (lambda: "model", "must be a tf_keras model or a tfp distribution, got str"),
        (lambda: None, "must be a tf_keras model or a tfp distribution, got NoneType"),
        (lambda: MixtureNormal(2), "got MixtureNormal"),
        (lambda: keras.Sequential([keras.layers.Dense(3)]), "Keras 3 object"),
    ],
)
def test_other_objects_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        extract_parameters(make(), X if not isinstance(make(), tfd.Distribution) else None)


def test_models_without_a_mixture_are_refused() -> None:
    plain = tf_keras.Sequential([tf_keras.Input((2,)), tf_keras.layers.Dense(3)])
    with pytest.raises(TypeError, match=r"MixtureSameFamily only, got .*MixtureNormal"):
        extract_parameters(plain, X)
    inputs = tf_keras.Input((2,))
    mixed = tf_keras.Model(inputs, keras.layers.Dense(9)(inputs))
    with pytest.raises(TypeError, match="model_or_distribution holds a Keras 3 object"):
        extract_parameters(mixed, X)


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (None, {}, ValueError, "x must be given with a model"),
        (X[:, :1], {}, ValueError, r"x must have shape \(N, 2\) for this model, got \(23, 1\)"),
        (X[:, 0], {}, ValueError, r"x must have shape \(N, 2\) for this model"),
        (X[None], {}, ValueError, r"x must have shape \(N, 2\)"),
        (1.0, {}, ValueError, r"at least one row, got \(\)"),
        (X[:0], {}, ValueError, r"at least one row, got \(0, 2\)"),
        ([], {}, ValueError, "x must hold at least one array, got an empty list"),
        ({}, {}, ValueError, "x must hold at least one array, got an empty dict"),
        ([[1.0, 2.0], [3.0]], {}, ValueError, "x must be a rectangular array"),
        (X * np.nan, {}, ValueError, "x must be finite: 46 of 46"),
        (np.full((1, 2), np.inf), {}, ValueError, "x must be finite"),
        (X.astype(str), {}, TypeError, "x must hold real numbers, got dtype <U"),
        (X > 0, {}, TypeError, "x must hold real numbers, got dtype bool"),
        (X, {"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        (X, {"batch_size": 2.0}, TypeError, "batch_size must be an integer"),
    ],
)
def test_bad_inputs(
    shared: tf_keras.Model, x: Any, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        extract_parameters(shared, x, **options)


def test_a_distribution_takes_no_inputs() -> None:
    with pytest.raises(ValueError, match="x must be None for a distribution"):
        extract_parameters(mixture_of(tfd.Normal([0.0, 1.0], 1.0)), X)


def test_graphs_are_refused(shared: tf_keras.Model) -> None:
    @tf.function(autograph=False)
    def graph(x: Any) -> Any:
        return extract_parameters(shared(x)).means

    with pytest.raises(TypeError, match=r"inside a tf.function; call it outside"):
        graph(X)


def test_a_model_that_returns_nan_is_not_taken_at_its_word() -> None:
    model = make_model()
    model.set_weights([array * np.nan for array in model.get_weights()])
    with pytest.raises(ValueError, match="must be finite"):
        extract_parameters(model, X)


def test_many_models_bring_no_warning_of_retracing(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(8):
        extract_parameters(build_mdn(2, hidden_units=(), input_size=1), np.zeros(3))
    assert [record.message for record in caplog.records if "retracing" in record.message] == []
