"""Targets of which some dimensions are missing: against SciPy's marginals, and finite slopes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special, stats

from tfp_mdn.extraction import extract_parameters
from tfp_mdn.layers import MixtureMultivariateNormal, MixtureNormal
from tfp_mdn.losses import NLLLoss, negative_log_likelihood
from tfp_mdn.models import build_mdn
from tfp_mdn.training import fit_mdn

LAYERS = [MixtureNormal, MixtureMultivariateNormal]
LOC, SCALE = np.array([1.0, -2.0, 300.0]), np.array([1.0, 5.0, 0.1])
RNG = np.random.default_rng(0)
Y = LOC + SCALE * RNG.normal(size=(8, 3))
MISSING: tuple[list[int], ...] = ([0], [1], [2], [0, 1], [1, 2], [0, 2], [0, 1, 2], [])
Y_SEEN = Y.copy()
for _row, _dims in enumerate(MISSING):
    Y_SEEN[_row, _dims] = np.nan


def head_and_parameters(layer: Any) -> tuple[Any, tf.Tensor]:
    head = layer(3, (3,), loc=LOC, scale=SCALE, min_scale=1e-3, dtype="float64")
    return head, tf.constant(RNG.normal(size=(8, layer.params_size(3, (3,)))))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_loss_is_that_of_the_marginal(layer: Any, jit_compile: bool) -> None:  # noqa: FBT001
    head, params = head_and_parameters(layer)
    loss = NLLLoss(missing="marginalise", reduction="none")
    run = tf.function(lambda p: loss(Y_SEEN, head(p)), jit_compile=jit_compile)
    parameters = extract_parameters(head(params))
    covariances = parameters.covariances
    if covariances is None:
        covariances = parameters.variances[..., np.newaxis] * np.eye(3)
    expected = np.zeros(8)
    for row, dims in enumerate(MISSING):
        seen = np.setdiff1d(np.arange(3), dims)
        if len(seen):
            terms = [
                stats.multivariate_normal(mean[seen], matrix[np.ix_(seen, seen)]).logpdf(
                    Y[row, seen]
                )
                for mean, matrix in zip(parameters.means[row], covariances[row], strict=True)
            ]
            expected[row] = -special.logsumexp(np.log(parameters.weights[row]) + terms)
    assert_allclose(run(params), expected, rtol=1e-5, atol=1e-7)
    assert_allclose(-parameters.log_prob(Y_SEEN, missing="marginalise"), expected, rtol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_slopes_are_those_of_the_likelihood_and_a_row_without_a_target_has_none(layer: Any) -> None:
    head, params = head_and_parameters(layer)
    slopes = []
    for loss, y in (
        (NLLLoss(missing="marginalise", reduction="none"), Y_SEEN),
        (NLLLoss(missing="marginalise", reduction="none"), Y),
        (negative_log_likelihood, Y),
    ):
        with tf.GradientTape() as tape:
            tape.watch(params)
            losses = loss(y, head(params))
        slopes.append(tape.gradient(losses, params).numpy())
    assert np.isfinite(slopes[0]).all()
    assert not slopes[0][6].any()
    assert (np.abs(slopes[0][:6]).max(axis=1) > 1e-3).all()
    assert_allclose(slopes[1], slopes[2], rtol=1e-6, atol=1e-9)
    assert_allclose(slopes[0][7], slopes[2][7], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("layer", LAYERS)
def test_slopes_are_finite_far_out_and_for_dimensions_that_move_as_one(layer: Any) -> None:
    head = layer(2, (3,), min_scale=1e-4)
    params = np.full((4, layer.params_size(2, (3,))), 30.0, np.float32)
    params[:, 2 + 6 :] = -50.0  # scales at the floor, correlations near 1
    y = np.array([[np.nan, 0, 0], [0, np.nan, 1e4], [1e4, 0, np.nan], [np.nan] * 3], np.float32)
    tensor = tf.constant(params)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        losses = NLLLoss(missing="marginalise", reduction="none")(y, head(tensor))
    assert np.isfinite(losses).all()
    assert np.isfinite(tape.gradient(losses, tensor)).all()


@pytest.mark.parametrize("event_shape", [(), (1,)])
def test_rows_without_a_target_do_not_count_in_the_mean(event_shape: tuple[int, ...]) -> None:
    head = MixtureNormal(2, event_shape)
    params = tf.constant(RNG.normal(size=(5, 6)).astype(np.float32))
    y = np.array([0.5, np.nan, -1.0, np.nan, 2.0], np.float32)
    loss = NLLLoss(0.3, missing="marginalise")
    weights = np.array([1.0, 5.0, 2.0, 3.0, 1.0], np.float32)
    kept = [0, 2, 4]
    some = head(tf.gather(params, kept))
    assert_allclose(loss(y, head(params)), NLLLoss(0.3)(y[kept], some), rtol=1e-6)
    expected = NLLLoss(0.3)(y[kept], some, sample_weight=weights[kept])
    assert_allclose(loss(y, head(params), sample_weight=weights), expected, rtol=1e-6)


@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_keras_trains_on_incomplete_rows(covariance_type: str) -> None:
    x = RNG.normal(size=(64, 1)).astype(np.float32)
    y = np.concatenate([x, -x], axis=1) + 0.1 * RNG.normal(size=(64, 2)).astype(np.float32)
    y[RNG.random(y.shape) < 0.3] = np.nan
    model = build_mdn(2, 2, hidden_units=(8,), input_size=1, covariance_type=covariance_type)
    model.compile(tf_keras.optimizers.Adam(0.01), NLLLoss(missing="marginalise"))
    losses = model.fit(x, y, epochs=20, batch_size=16, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - 0.5
    history = fit_mdn(model, x, y, epochs=3, batch_size=24, seed=0, verbose=0).history["loss"]
    assert history[-1] < losses[0] - 0.5
    with pytest.raises(ValueError, match="y must be finite: 1 of 128 values"):
        model.fit(x, np.where(np.arange(128).reshape(64, 2) == 7, np.inf, 0.0), verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_bad_arguments_and_what_stays_refused() -> None:
    head, params = head_and_parameters(MixtureNormal)
    with pytest.raises(ValueError, match="missing must be 'error' or 'marginalise', got 'drop'"):
        NLLLoss(missing="drop")
    for refuse in (negative_log_likelihood, NLLLoss()):
        with pytest.raises(ValueError, match="y must be finite, got NaN or infinite"):
            refuse(Y_SEEN, head(params))
    with pytest.raises(ValueError, match="y must be finite, got infinite values"):
        NLLLoss(missing="marginalise")(np.where(np.isnan(Y_SEEN), np.inf, Y), head(params))
    again = NLLLoss.from_config(NLLLoss(0.1, missing="marginalise").get_config())
    assert_array_equal([again.entropy_penalty, again.missing == "marginalise"], [0.1, True])
