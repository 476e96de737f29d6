from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_mdn import sequences
from tfp_mdn._one_step import OneStepTwin, has_one_step_twin
from tfp_mdn._validation import FloatArray
from tfp_mdn.extraction import extract_parameters
from tfp_mdn.layers import MixtureNormal
from tfp_mdn.losses import NegativeLogLikelihood, NLLLoss, negative_log_likelihood
from tfp_mdn.models import build_mdn
from tfp_mdn.sequences import generate
from tfp_mdn.training import fit_mdn

layers = tf_keras.layers

SEQUENCES, STEPS = 6, 7


def padded() -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return inputs and targets (6, 7, 2), zeros after the end of half of them, and what is real.

    The last batch of 4 has other numbers of real steps than the first.
    """
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, SEQUENCES, STEPS, 2))
    real = np.arange(STEPS) < np.array([[4], [7], [2], [7], [7], [5]])
    return x * real[..., np.newaxis], y, real.astype(float)


def gru(*, return_sequences: bool = True) -> tf_keras.layers.Layer:
    return layers.GRU(
        4,
        return_sequences=return_sequences,
        kernel_initializer=tf_keras.initializers.GlorotUniform(seed=0),
        recurrent_initializer=tf_keras.initializers.Orthogonal(seed=0),
    )


def masked_model(kind: str = "graph", loss: Any = negative_log_likelihood) -> tf_keras.Model:
    hidden = [layers.Masking(), gru()]
    if kind in ("graph", "class"):
        hidden.insert(0, tf_keras.Input((None, 2)))
    elif kind == "layers":
        model = build_mdn(3, 2, backbone=gru(), seed=0)
        model = type(model)([layers.Masking(), *model.layers])
        model.compile("sgd", loss)
        return model
    covariance_type = "full" if kind == "full" else "diag"
    backbone = tf_keras.Sequential(hidden)
    model = build_mdn(3, 2, backbone=backbone, covariance_type=covariance_type, seed=0)
    model.compile("sgd", loss)
    return model


def nll_of(model: tf_keras.Model, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the negative log density of each step (N, T), by NumPy."""
    parameters = extract_parameters(model, x)
    return -parameters.log_prob(y.reshape(-1, y.shape[-1])).reshape(y.shape[:2])


@pytest.mark.parametrize("kind", ["graph", "no graph yet", "layers", "full", "class"])
def test_masked_steps_count_nothing(kind: str) -> None:
    x, y, real = padded()
    model = masked_model(kind, NLLLoss() if kind == "class" else negative_log_likelihood)
    scored = model.evaluate(x, y, verbose=0)
    nll = nll_of(model, x, y)
    assert scored == pytest.approx((nll * real).sum() / real.sum(), rel=1e-5)
    y[real == 0] = 1e6
    assert model.evaluate(x, y, verbose=0) == pytest.approx(scored, rel=1e-6)


@pytest.mark.parametrize("per_step", [True, False])
def test_weights_and_a_mask_together_are_divided_by_the_real_steps(per_step: bool) -> None:  # noqa: FBT001
    x, y, real = padded()
    model = masked_model()
    model.compile("sgd", negative_log_likelihood, weighted_metrics=[])
    weights = np.random.default_rng(1).uniform(size=real.shape if per_step else SEQUENCES)
    scored = model.evaluate(x, y, sample_weight=weights, verbose=0)
    by_step = weights if per_step else weights[:, np.newaxis]
    expected = (nll_of(model, x, y) * by_step * real).sum() / real.sum()
    assert scored == pytest.approx(expected, rel=1e-5)


def test_metrics_leave_masked_steps_out() -> None:
    x, y, real = padded()
    model = masked_model()
    model.compile(
        "sgd",
        negative_log_likelihood,
        metrics=[NegativeLogLikelihood()],
        weighted_metrics=[NegativeLogLikelihood("weighted")],
    )
    weights = np.random.default_rng(1).uniform(size=real.shape)
    logs = model.evaluate(x, y, sample_weight=weights, batch_size=4, return_dict=True, verbose=0)
    nll = nll_of(model, x, y)
    assert logs["nll"] == pytest.approx((nll * real).sum() / real.sum(), rel=1e-5)
    by_hand = (nll * real * weights).sum() / (real * weights).sum()
    assert logs["weighted"] == pytest.approx(by_hand, rel=1e-5)


def test_a_reloaded_model_passes_masks_on(tmp_path: Path) -> None:
    x, y, _ = padded()
    model = masked_model()
    model.save(tmp_path / "masked.keras")
    again = tf_keras.models.load_model(tmp_path / "masked.keras")
    assert again.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0))


def test_a_mask_ends_where_the_steps_do() -> None:
    x, y, _ = padded()
    hidden = [tf_keras.Input((None, 2)), layers.Masking(), gru(return_sequences=False)]
    model = build_mdn(3, 2, backbone=tf_keras.Sequential(hidden))
    model.compile("sgd", negative_log_likelihood)
    expected = -extract_parameters(model, x).log_prob(y[:, 0]).mean()
    assert model.evaluate(x, y[:, 0], verbose=0) == pytest.approx(expected, rel=1e-5)


def by_hand(
    model: tf_keras.Model, x: FloatArray, y: FloatArray, counted: FloatArray, real: FloatArray
) -> float:
    """Take a step of SGD after each of two batches; return the loss as Keras averages it."""
    total = 0.0
    for part in (slice(0, 4), slice(4, 6)):
        with tf.GradientTape() as tape:
            nll = -model(x[part].astype("f4")).log_prob(y[part].astype("f4"))
            loss = tf.reduce_sum(nll * counted[part]) / real[part].sum()
        variables = model.trainable_variables
        model.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        total += float(loss) * len(x[part]) / len(x)
    return total


@pytest.mark.parametrize(
    ("weights_of", "masked"), [("", True), ("sequences", True), ("steps", True), ("steps", False)]
)
def test_fit_mdn_trains_on_masks_and_weights_of_steps(weights_of: str, masked: bool) -> None:  # noqa: FBT001
    x, y, real = padded()
    if not masked:
        x, real = x + 10.0, np.ones_like(real)
    shape = {"": (1, 1), "sequences": (SEQUENCES, 1), "steps": (SEQUENCES, STEPS)}[weights_of]
    weights = np.random.default_rng(1).uniform(size=shape)
    weights = np.ones(shape) if weights_of == "" else weights
    given = {"": None, "sequences": weights[:, 0], "steps": weights}[weights_of]
    model, reference = masked_model(), masked_model()
    reference.set_weights(model.get_weights())
    history = fit_mdn(
        model,
        *(x, y),
        sample_weight=given,
        validation_data=(x, y, np.broadcast_to(weights, real.shape)),
        epochs=1,
        batch_size=4,
        shuffle=False,
    ).history
    expected = by_hand(reference, x, y, (weights * real).astype("f4"), real.astype("f4"))
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
    for ours, theirs in zip(model.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    assert np.isfinite(history["val_loss"][0])


def test_zero_weights_hide_padded_steps_from_fit_mdn() -> None:
    x, y, real = padded()
    ends = []
    for hidden_value in (0.0, 50.0):
        model = build_mdn(3, 2, backbone=tf_keras.Sequential([tf_keras.Input((None, 2))]), seed=0)
        hidden = np.where(real[..., np.newaxis] == 1, y, hidden_value)
        fit_mdn(model, x, hidden, sample_weight=real, epochs=3, seed=0)
        ends.append(np.concatenate([np.ravel(weight) for weight in model.get_weights()]))
    np.testing.assert_array_equal(ends[0], ends[1])


@pytest.mark.parametrize(
    ("y_shape", "weights", "message"),
    [
        ((6, 7, 1), np.ones((6, 5)), r"or for each of their steps, in shape \(6, 7\), got shape"),
        ((6, 7, 1), np.ones((6, 7, 1)), r"for each of their steps, in shape \(6, 7\), got shape"),
        ((6, 7, 1), -np.ones((6, 7)), "must hold one number of at least 0"),
        ((6, 7, 1), np.ones(5), "sample_weight must have 6 rows"),
        ((6, 7), np.ones((6, 7)), r"for one a step, y must have shape \(N, T, D\), got"),
    ],
)
def test_weights_of_other_shapes_are_refused(
    y_shape: tuple[int, ...], weights: FloatArray, message: str
) -> None:
    model = build_mdn(2, backbone=layers.GRU(3, return_sequences=True))
    with pytest.raises(ValueError, match=message):
        fit_mdn(model, np.ones((6, 7, 2)), np.ones(y_shape), sample_weight=weights, epochs=1)


def test_a_model_without_an_input_takes_sequences_of_other_lengths() -> None:
    x, y, _ = padded()
    model = build_mdn(2, 2, backbone=layers.GRU(3, return_sequences=True))
    fit_mdn(model, x, y, epochs=1)
    whole = extract_parameters(model, x).means.reshape(SEQUENCES, STEPS, 2, 2)
    start = extract_parameters(model, x[:, :3]).means.reshape(SEQUENCES, 3, 2, 2)
    np.testing.assert_allclose(start, whole[:, :3], atol=1e-6)
    assert has_one_step_twin(model)
    with pytest.raises(ValueError, match=r"x must have shape \(N, any, 2\)"):
        extract_parameters(model, x[..., :1])


def two(*hidden: tf_keras.layers.Layer, **settings: Any) -> tf_keras.Model:
    """Return a model of two features, whose targets are such features."""
    settings = {"min_scale": 0.05} | settings
    backbone = tf_keras.Sequential([tf_keras.Input((None, 2)), *hidden])
    return build_mdn(3, 2, backbone=backbone, seed=3, **settings)


def skipping() -> tf_keras.Model:
    inputs = tf_keras.Input((None, 2))
    masked = layers.Masking()(inputs)
    first = layers.LSTM(4, return_sequences=True)(masked)
    second = layers.GRU(4, return_sequences=True)(layers.Concatenate()([masked, first]))
    cells = layers.RNN([layers.SimpleRNNCell(3), layers.GRUCell(3)], return_sequences=True)(second)
    joined = layers.LayerNormalization()(layers.Concatenate()([first, second, cells]))
    return build_mdn(3, 2, backbone=tf_keras.Model(inputs, joined), seed=3)


def stock() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            layers.GRU(4, return_sequences=True, input_shape=(None, 2)),
            layers.Dense(tfp.layers.MixtureNormal.params_size(3, [2])),
            tfp.layers.MixtureNormal(3, [2]),
        ]
    )


def of_one_length() -> tf_keras.Model:
    inputs = tf_keras.Input((5, 2))
    hidden = layers.Conv1D(4, 2, padding="causal", activation="tanh")(inputs)
    return build_mdn(3, 2, backbone=tf_keras.Model(inputs, hidden), seed=3)


class Own(tf_keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent = layers.SimpleRNN(4, return_sequences=True)
        self.dense = layers.Dense(MixtureNormal.params_size(3, (2,)))
        self.head = MixtureNormal(3, (2,))

    def call(self, inputs: Any, training: Any = None) -> Any:
        return self.head(self.dense(self.recurrent(inputs)))


# Name: model, whether it has a twin, steps that it reads at once.
MODELS: dict[str, tuple[Callable[[], tf_keras.Model], bool, int | None]] = {
    "gru": (lambda: two(gru()), True, None),
    "layer": (lambda: build_mdn(3, 2, backbone=gru(), seed=3), True, None),
    "nested": (lambda: two(tf_keras.Sequential([gru(), layers.Dropout(0.5)])), True, None),
    "skipping": (skipping, True, None),
    "full": (lambda: two(gru(), covariance_type="full"), True, None),
    "float64": (lambda: two(gru(), loc=[1e3, 0.0], scale=[0.5, 2.0]), True, None),
    "causal convolution": (
        lambda: two(layers.Conv1D(4, 3, padding="causal", dilation_rate=2)),
        False,
        None,
    ),
    "stock": (stock, False, None),
    "own": (Own, False, None),
    "of one length": (of_one_length, False, 5),
    "one for the sequence": (lambda: two(gru(return_sequences=False)), False, 4),
    "bidirectional, one for the sequence": (
        lambda: two(layers.Bidirectional(layers.GRU(3))),
        False,
        4,
    ),
}


def used_twice(layer: tf_keras.layers.Layer) -> tf_keras.Model:
    inputs = tf_keras.Input((None, 2))
    once = layer(layers.Dense(2)(inputs))
    twice = layer(layers.Dense(2)(once))
    return build_mdn(3, 2, backbone=tf_keras.Model(inputs, twice))


def of_states() -> tf_keras.Model:
    inputs = tf_keras.Input((None, 2))
    state = layers.Dense(4)(layers.GlobalAveragePooling1D()(inputs))
    return build_mdn(3, 2, backbone=tf_keras.Model(inputs, gru()(inputs, initial_state=state)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: used_twice(gru()),
        lambda: used_twice(tf_keras.Sequential([tf_keras.Input((None, 2)), gru()])),
        of_states,
        lambda: two(layers.GRU(4, return_sequences=True, go_backwards=True)),
        lambda: two(gru(), layers.LayerNormalization(axis=1, center=False, scale=False)),
        lambda: build_mdn(3, 2, backbone=gru()),
    ],
    ids=["layer twice", "model twice", "states", "backwards", "over steps", "not built"],
)
def test_models_that_no_twin_would_follow_have_none(make: Callable[[], tf_keras.Model]) -> None:
    assert not has_one_step_twin(make())


PROMPT = np.random.default_rng(7).normal(size=(4, 2))


def generated_by_hand(
    model: tf_keras.Model,
    prompt: FloatArray,
    num_steps: int,
    *,
    num_samples: int,
    temperature: float = 1.0,
    scale_temperature: float = 1.0,
    window: int | None = None,
    to_input: Callable[[FloatArray, int], FloatArray] = lambda target, step: target,
) -> FloatArray:
    """Return what `generate` promises, by the model on the sequence so far and NumPy's draws."""
    rng = np.random.default_rng(11)
    uniform = rng.random((num_steps, num_samples))
    normal = rng.standard_normal((num_steps, num_samples, 2))
    sequence, drawn = np.stack([prompt] * num_samples), []
    for step in range(num_steps):
        seen = sequence if window is None else sequence[:, -window:]
        short = 0 if window is None else window - seen.shape[1]
        seen = np.pad(seen, ((0, 0), (0, short), (0, 0)))
        distribution = model(seen.astype("f4"))
        mixture = getattr(distribution, "tensor_distribution", distribution)
        logits = mixture.mixture_distribution.logits.numpy().astype(float)
        components = mixture.components_distribution
        mean = components.mean().numpy()
        is_full = isinstance(components, tfp.distributions.MultivariateNormalTriL)
        diagonal = components.variance().numpy()[..., np.newaxis] * np.eye(2)
        covariance = components.covariance().numpy() if is_full else diagonal
        if logits.ndim == 3:
            at = -1 - short
            logits, mean, covariance = logits[:, at], mean[:, at], covariance[:, at]
        targets = np.empty((num_samples, 2))
        for s in range(num_samples):
            weights = np.exp((logits[s] - logits[s].max()) / max(temperature, 1e-9))
            k = np.searchsorted(weights.cumsum() / weights.sum(), uniform[step, s], side="right")
            deviation = np.linalg.cholesky(covariance[s, k].astype(float)) @ normal[step, s]
            targets[s] = mean[s, k] + np.sqrt(scale_temperature) * deviation
        drawn.append(targets)
        sequence = np.concatenate([sequence, to_input(targets, step)[:, np.newaxis]], axis=1)
    return np.stack(drawn, axis=1)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_generated_is_what_the_model_says_of_the_sequence_so_far(name: str) -> None:
    make, has_twin, window = MODELS[name]
    model = make()
    if name in ("own", "layer"):
        model(PROMPT[np.newaxis].astype("f4"))
    assert has_one_step_twin(model) is has_twin
    before = model.get_weights()
    drawn = generate(model, PROMPT, 6, num_samples=3, seed=11)
    expected = generated_by_hand(model, PROMPT, 6, num_samples=3, window=window)
    assert drawn.shape == (3, 6, 2)
    assert drawn.dtype == np.float64
    np.testing.assert_allclose(drawn, expected, rtol=1e-5, atol=2e-5)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_temperatures_change_what_is_made_of_the_same_numbers() -> None:
    model = two(gru())
    for temperature, scale_temperature in ((0.3, 1.0), (1.0, 0.25), (0.0, 0.0), (1e-300, 2.0)):
        settings: dict[str, Any] = {
            "temperature": temperature,
            "scale_temperature": scale_temperature,
            "num_samples": 2,
        }
        drawn = generate(model, PROMPT, 4, seed=11, **settings)
        expected = generated_by_hand(model, PROMPT, 4, **settings)
        np.testing.assert_allclose(drawn, expected, rtol=1e-5, atol=2e-5)
    coldest = generate(model, PROMPT, 4, temperature=0, scale_temperature=0, num_samples=2)
    np.testing.assert_array_equal(coldest[0], coldest[1])


@pytest.mark.parametrize("way", ["by step", "by window"])
def test_to_input_makes_the_next_input_of_a_target(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "by window":
        monkeypatch.setattr(sequences, "has_one_step_twin", lambda model: False)
    known = np.linspace(-1, 1, 6)
    model = two(gru())
    drawn = generate(
        model,
        PROMPT,
        6,
        num_samples=3,
        seed=11,
        to_input=lambda y, step: tf.stack(
            [y[:, 0] + y[:, 1], tf.fill([3], tf.constant(known, tf.float32)[step])], axis=1
        ),
    )
    expected = generated_by_hand(
        model,
        PROMPT,
        6,
        num_samples=3,
        to_input=lambda y, step: np.stack([y.sum(axis=1), np.full(3, known[step])], axis=1),
    )
    np.testing.assert_allclose(drawn, expected, rtol=1e-5, atol=2e-5)


def test_a_seed_gives_the_same_draws_and_another_seed_others() -> None:
    model = build_mdn(2, backbone=gru())
    first, again, other = (generate(model, [0.0, 1.0], 5, seed=seed) for seed in (1, 1, 2))
    assert first.shape == (1, 5, 1)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).min() > 1e-6
    generator = np.random.default_rng(1)
    np.testing.assert_array_equal(generate(model, [0.0, 1.0], 5, seed=generator), first)
    assert np.abs(generate(model, [0.0, 1.0], 5, seed=generator) - first).min() > 1e-6


def test_scalar_targets_and_one_step_are_generated() -> None:
    model = tf_keras.Sequential(
        [
            layers.GRU(4, return_sequences=True, input_shape=(None, 1)),
            layers.Dense(MixtureNormal.params_size(2, ())),
            MixtureNormal(2, ()),
        ]
    )
    assert generate(model, [0.5], 1, num_samples=2).shape == (2, 1, 1)


def test_what_is_drawn_equals_the_value_of_padding_and_is_real() -> None:
    masking, plain = two(layers.Masking(), gru()), two(gru())
    plain.set_weights(masking.get_weights())
    settings: dict[str, Any] = {"seed": 0, "to_input": lambda y, step: tf.zeros_like(y)}
    drawn = generate(masking, PROMPT, 5, **settings)
    np.testing.assert_allclose(drawn, generate(plain, PROMPT, 5, **settings), atol=1e-6)


def test_long_sequences_of_a_random_walk_have_its_law() -> None:
    # x_{t+1} = 0.8 x_t + N(0, 1), whose law is known: variance 1 / (1 - 0.64), correlation 0.8.
    model = build_mdn(1, backbone=tf_keras.Sequential([tf_keras.Input((None, 1))]))
    scale = np.log(np.e - 1.0)  # softplus of it is 1
    model.layers[-2].set_weights([np.array([[0.0, 0.8, 0.0]]), np.array([0.0, 0.0, scale])])
    drawn = generate(model, [0.0], 1000, num_samples=400, seed=0)[:, 50:, 0]
    assert drawn.mean() == pytest.approx(0.0, abs=0.04)
    assert drawn.var() == pytest.approx(1 / 0.36, rel=0.03)
    assert (drawn[:, 1:] * drawn[:, :-1]).mean() / drawn.var() == pytest.approx(0.8, abs=0.005)


def test_inputs_are_counted_once_for_each_step_by_the_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    twin_call = OneStepTwin.__call__

    def counted(twin: Any, inputs: Any) -> Any:
        seen.append(tuple(inputs.shape))
        return twin_call(twin, inputs)

    monkeypatch.setattr(OneStepTwin, "__call__", counted)
    generate(two(gru()), PROMPT, 30, num_samples=3)
    assert seen == [(3, 1, 2)]  # traced once, for all steps


def exploding() -> tf_keras.Model:
    model = two()
    model.layers[-2].set_weights([np.full((2, 15), 1e12), np.zeros(15)])
    return model


def broken() -> tf_keras.Model:
    model = two(gru())
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    return model


def of_rows() -> tf_keras.Model:
    return build_mdn(2, 2, input_size=2)


def of_two_inputs() -> tf_keras.Model:
    inputs = [tf_keras.Input((None, 1)) for _ in range(2)]
    return build_mdn(2, 2, backbone=tf_keras.Model(inputs, layers.Concatenate()(inputs)))


@functools.cache
def sound() -> tf_keras.Model:
    return masked_model()


def shortening() -> tf_keras.Model:
    return two(layers.MaxPooling1D(2))


@pytest.mark.parametrize(
    ("make", "arguments", "error", "message"),
    [
        (lambda: "mdn", {}, TypeError, "model must be a tf_keras model, got str"),
        (of_rows, {}, ValueError, r"model must take one array of sequences \(N, T, F\), got"),
        (of_two_inputs, {}, ValueError, "model must take one array of sequences"),
        (shortening, {}, ValueError, "model must return a mixture for each step or"),
        (
            lambda: tf_keras.Sequential([tf_keras.Input((None, 2)), gru()]),
            {},
            TypeError,
            "generate needs a model that returns a mixture of normals",
        ),
        (
            lambda: two(layers.Bidirectional(gru())),
            {},
            ValueError,
            "model must not look ahead: its output at a step changes",
        ),
        (
            lambda: two(layers.Conv1D(4, 3, padding="same")),
            {"prompt": PROMPT[:1]},
            ValueError,
            "model must not look ahead",
        ),
        (
            lambda: tf_keras.Sequential(
                [
                    layers.GRU(2, stateful=True, batch_input_shape=(1, None, 2)),
                    layers.Dense(5),
                    MixtureNormal(1, (2,)),
                ]
            ),
            {},
            ValueError,
            "model must be built without stateful=True",
        ),
        (lambda: build_mdn(2, 1, backbone=gru()), {}, ValueError, "to_input must be given: the m"),
        (of_one_length, {"prompt": np.ones((6, 2))}, ValueError, "with at most 5 steps for this"),
        (broken, {}, ValueError, "what the model generates is NaN or infinite from step 0 on"),
        (exploding, {"num_steps": 60}, ValueError, "is NaN or infinite from step [1-9]"),
        (sound, {"prompt": np.ones((4, 3))}, ValueError, r"prompt must have shape \(T, 2\)"),
        (sound, {"prompt": np.ones((1, 4, 2))}, ValueError, r"prompt must have shape \(T, F\)"),
        (sound, {"prompt": np.ones((0, 2))}, ValueError, "with at least one step"),
        (sound, {"prompt": PROMPT * np.nan}, ValueError, "prompt must be finite"),
        (sound, {"prompt": "go"}, TypeError, "prompt must hold real numbers"),
        (
            sound,
            {"prompt": PROMPT * [[1], [1], [1], [0]]},
            ValueError,
            "steps that the model masks",
        ),
        (sound, {"num_steps": 0}, ValueError, "num_steps must be at least 1"),
        (sound, {"num_samples": 1.5}, TypeError, "num_samples must be an integer"),
        (sound, {"temperature": -1}, ValueError, "temperature must be finite and at least 0"),
        (sound, {"scale_temperature": np.nan}, ValueError, "scale_temperature must be finite"),
        (sound, {"seed": "x"}, TypeError, "seed must be"),
        (sound, {"to_input": 3}, TypeError, "to_input must be a function or None, got int"),
        (sound, {"to_input": lambda y, step: y[:, :1]}, ValueError, "to_input must return inputs"),
        (
            sound,
            {"to_input": lambda y, step: np.cos(y)},
            TypeError,
            "to_input must use operations of TensorFlow",
        ),
    ],
)
def test_bad_arguments_are_named(
    make: Callable[[], Any], arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    model = make()
    given: dict[str, Any] = {"prompt": PROMPT, "num_steps": 3} | arguments
    with pytest.raises(error, match=message):
        generate(model, **given)
