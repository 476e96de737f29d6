"""The loop that trains members: what it keeps, what callbacks see, and how it ends early."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from numpy.testing import assert_allclose, assert_array_equal

from tfp_mdn import member_training
from tfp_mdn._member_steps import training_steps
from tfp_mdn.assembly import assemble, standard_rows
from tfp_mdn.member_training import train_with_recipe
from tfp_mdn.recipe import Recipe, split

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 1))
Y = 100.0 + 5.0 * (X + 0.3 * RNG.normal(size=(60, 1)))
ONES = np.ones(60)


def untrained() -> Any:
    options: dict[str, Any] = {
        **{"num_intervals": 4, "min_scale": 1e-3, "seed": 0, "ensemble_size": 2},
        **{"num_components": 2, "hidden_units": (8,), "activation": "tanh"},
    }
    return assemble(X, Y, ONES, **options)


def train(model: Any = None, *, given: np.ndarray = ONES, **options: Any) -> tuple[Any, Any]:
    """Return the model and the history of a short run."""
    model = untrained() if model is None else model
    settings = {
        **{"learning_rate": 0.03, "batch_size": 16, "num_steps": 40, "weight_decay": 0.0},
        **{"noise": 0.0, "validation_fraction": 0.2, "patience": None},
    }
    recipe = Recipe(**{name: options.pop(name, value) for name, value in settings.items()})
    held_out = options.pop("held_out", None)
    if held_out is not None:
        held_out = standard_rows(model, *held_out)
    rng = np.random.RandomState(0)
    rows = standard_rows(model, X, Y, given)
    return model, train_with_recipe(model, rows, recipe, held_out=held_out, rng=rng, **options)


def member_scores(model: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return -log p_m(y | x) of every member m and row, in units of y."""
    components = model(x)
    weights = components.mixture_distribution.probs_parameter().numpy().reshape(len(x), 2, 2)
    density = components.components_distribution.prob(y[:, None]).numpy().reshape(len(x), 2, 2)
    return -np.log((2 * weights * density).sum(axis=2)).T


class Recorder(tf_keras.callbacks.Callback):
    """Writes down what it is told, with the weights of that moment."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.events: list[tuple[str, Any]] = []
        self.logs: list[dict[str, float]] = []
        self.weights: list[list[np.ndarray]] = []
        self._stop_at = stop_at

    def on_train_begin(self, logs: Any = None) -> None:
        self.events.append(("train begin", self.params["epochs"]))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.events.append(("begin", epoch))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.events.append(("end", epoch))
        self.logs.append(dict(logs))
        self.weights.append(self.model.get_weights())
        if epoch == self._stop_at:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        self.events.append(("train end", self.model.get_weights()))


@pytest.fixture(scope="module")
def run() -> tuple[Any, Any, Recorder]:
    """Return the model, the history and the callback of a run."""
    recorder = Recorder()
    return *train(callbacks=[recorder]), recorder


def test_history_has_one_entry_a_check_in_units_of_y(run: tuple[Any, Any, Recorder]) -> None:
    _, history, recorder = run
    assert history["step"] == [float(step) for step in range(1, 41)]
    assert [logs["loss"] for logs in recorder.logs] == history["loss"]
    assert [logs["val_loss"] for logs in recorder.logs] == history["val_loss"]
    assert history["val_loss"][-1] < history["val_loss"][0] - 0.3
    # A normal of the standard deviation of y scores about 1.42 + log 5.
    assert abs(history["loss"][0] - 0.5 * np.log(2 * np.pi * np.e * Y.var())) < 0.5


def test_each_member_ends_with_its_best_average(run: tuple[Any, Any, Recorder]) -> None:
    model, history, recorder = run
    _, held_out = split(60, 2, 0.2, np.random.RandomState(0))
    scores = []
    for weights in recorder.weights:
        seen = untrained()
        seen.set_weights(weights)
        scores.append([member_scores(seen, X[h], Y[h])[m].mean() for m, h in enumerate(held_out)])
    assert_allclose(np.mean(scores, axis=1), history["val_loss"], rtol=1e-4)
    final = [member_scores(model, X[h], Y[h])[m].mean() for m, h in enumerate(held_out)]
    assert_allclose(final, np.min(scores, axis=0), rtol=1e-4)


def test_callbacks_are_told_what_keras_tells_them(run: tuple[Any, Any, Recorder]) -> None:
    model, _, recorder = run
    names = [name for name, _ in recorder.events]
    assert names == ["train begin", *["begin", "end"] * 40, "train end"]
    assert recorder.events[0][1] == 40
    assert [check for name, check in recorder.events if name == "begin"] == list(range(40))
    for seen, left in zip(recorder.events[-1][1], model.get_weights(), strict=True):
        assert_array_equal(seen, left)


def test_a_check_begins_before_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    made = training_steps

    def spied(*arguments: Any, **options: Any) -> Any:
        steps = made(*arguments, **options)

        def run(*values: Any) -> Any:
            order.append("steps")
            return steps(*values)

        return run

    monkeypatch.setattr(member_training, "training_steps", spied)
    watch = tf_keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda *_: order.append("begin"), on_epoch_end=lambda *_: order.append("end")
    )
    train(num_steps=2, callbacks=[watch])
    assert order == ["begin", "steps", "end"] * 2


def test_callbacks_of_keras_do_their_work(tmp_path: Path) -> None:
    files = tf_keras.callbacks.ModelCheckpoint(
        str(tmp_path / "best.keras"), monitor="val_loss", save_best_only=True
    )
    table = tf_keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    kept = tf_keras.callbacks.History()
    _, history = train(num_steps=5, callbacks=[files, table, kept])
    loaded = tf_keras.models.load_model(tmp_path / "best.keras", safe_mode=True)
    _, held_out = split(60, 2, 0.2, np.random.RandomState(0))
    scores = [member_scores(loaded, X[h], Y[h])[m].mean() for m, h in enumerate(held_out)]
    assert np.mean(scores) == pytest.approx(min(history["val_loss"]), rel=1e-4)
    assert kept.history["loss"] == history["loss"]
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 6


def test_a_callback_can_stop_the_training_and_need_not_be_in_a_list() -> None:
    recorder = Recorder(stop_at=3)
    model, history = train(callbacks=recorder)
    assert len(history["step"]) == 4
    assert recorder.events[-1][0] == "train end"
    # The next training is not stopped by the last one's wish.
    assert len(train(model)[1]["step"]) == 40


def test_early_stopping_of_keras_stops_it() -> None:
    stopping = tf_keras.callbacks.EarlyStopping("val_loss", patience=1, min_delta=10.0)
    assert len(train(callbacks=[stopping])[1]["step"]) == 2


def test_patience_counts_checks_without_a_better_weight_of_any_member(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losses = iter([(5, 5), (4, 4), (6, 3), (4, 3), (7, 8), (1, 1)])  # the first at the start
    monkeypatch.setattr(
        member_training, "_judge", lambda *_: lambda _: np.array(next(losses), float)
    )
    recorder = Recorder()
    model, history = train(patience=2, callbacks=[recorder])
    assert len(history["step"]) == 4
    kernel = model.get_weights()[0]
    assert_array_equal(kernel[0], recorder.weights[0][0][0])
    assert_array_equal(kernel[1], recorder.weights[1][0][1])


def test_held_out_rows_can_be_given() -> None:
    weights = np.linspace(0.0, 2.0, 10)
    seen = Recorder()
    model, history = train(held_out=(X[:10], Y[:10], weights), num_steps=3, callbacks=[seen])
    model.set_weights(seen.weights[-1])
    expected = np.average(member_scores(model, X[:10], Y[:10]), axis=1, weights=weights).mean()
    assert history["val_loss"][-1] == pytest.approx(expected, rel=1e-4)


def test_a_training_that_goes_on_never_ends_worse_than_it_began() -> None:
    model, first = train()
    before = model.get_weights()
    _, second = train(model, learning_rate=10.0, num_steps=5)
    assert min(second["val_loss"]) > min(first["val_loss"])
    for old, new in zip(before, model.get_weights(), strict=True):
        assert_array_equal(old, new)


class Interrupt(tf_keras.callbacks.Callback):
    def __init__(self, moment: str, error: type[BaseException] = KeyboardInterrupt) -> None:
        super().__init__()
        self._moment, self._error = moment, error

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._moment == f"begin {epoch}":
            raise self._error("now")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._moment == f"end {epoch}":
            raise self._error("now")


def test_ctrl_c_keeps_the_best_so_far() -> None:
    recorder = Recorder()
    with pytest.warns(UserWarning, match="interrupted; the best weights so far are kept"):
        model, history = train(callbacks=[Interrupt("begin 20"), recorder])
    assert len(history["step"]) == 20
    stopped, _ = train(callbacks=[Recorder(stop_at=19)])
    for one, other in zip(model.get_weights(), stopped.get_weights(), strict=True):
        assert_array_equal(one, other)
    assert recorder.events[-1][0] == "train end"


@pytest.mark.parametrize(
    ("moment", "error"),
    [("begin 0", KeyboardInterrupt), ("begin 0", ZeroDivisionError), ("end 5", ZeroDivisionError)],
)
def test_what_ends_a_training_otherwise_leaves_the_model_as_it_was(
    moment: str, error: type[BaseException]
) -> None:
    model = untrained()
    with pytest.raises(error):
        train(model, callbacks=[Interrupt(moment, error)])
    for old, new in zip(untrained().get_weights(), model.get_weights(), strict=True):
        assert_array_equal(old, new)


def test_a_loss_that_is_never_finite_is_an_error_and_leaves_the_model_as_it_was() -> None:
    model = untrained()
    with pytest.raises(FloatingPointError, match=r"diverged: .*smaller learning_rate or a larger"):
        train(model, noise=1e30, callbacks=[Recorder()])
    for old, new in zip(untrained().get_weights(), model.get_weights(), strict=True):
        assert_array_equal(old, new)


def test_a_member_that_diverges_goes_on_from_its_best_at_a_smaller_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, rates, curvatures = training_steps, [], []

    def spoilt(*arguments: Any, **options: Any) -> Any:
        steps = made(*arguments, **options)

        def run(state: Any, batches: Any, schedule: Any, member_rates: Any, encoding: Any) -> Any:
            rates.append(member_rates[:, 0].copy())
            curvatures.append(np.array(state.curvature))
            state, losses = steps(state, batches, schedule, member_rates, encoding)
            if len(rates) == 10:  # member 1 is lost
                state = state._replace(
                    weights=tf.concat([state.weights[:1], np.nan * state.weights[1:]], axis=0),
                    curvature=tf.concat([state.curvature[:1], np.inf * state.curvature[1:]], 0),
                )
            return state, losses

        return run

    monkeypatch.setattr(member_training, "training_steps", spoilt)
    with pytest.warns(UserWarning, match=r"1 member\(s\) diverged, and went on from their best"):
        model, history = train()
    assert_array_equal(rates[9], [1.0, 1.0])
    assert rates[10][0] == 1.0 > rates[10][1] > 0.0
    # Without it, the first steps would be larger than those that went wrong.
    assert_array_equal(curvatures[10][1], curvatures[9][1])
    assert np.isfinite(history["val_loss"]).all()
    assert np.isfinite(member_scores(model, X, Y)).all()
    assert history["val_loss"][-1] < history["val_loss"][8]


def test_rows_of_little_weight_say_little() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given = np.where(np.arange(60) < 30, 1.0, 1e-12)
        _, history = train(given=given, num_steps=3)
    assert np.isfinite(history["loss"] + history["val_loss"]).all()


@pytest.mark.parametrize(("verbose", "words"), [(0, []), (1, ["40/40", "val_loss"]), (2, ["40/"])])
def test_what_is_printed(
    verbose: int, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    train(verbose=verbose)
    printed = capsys.readouterr().out
    assert bool(printed) == bool(verbose)
    assert all(word in printed for word in words)
