"""The number of components: which one is chosen, on which rows, and bad input."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import joblib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tfp_mdn import datasets
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.plotting.selection import plot_selection
from tfp_mdn.selection import ComponentSelection, select_num_components


class Marginal(BaseEstimator):
    """A mixture of the targets alone, fitted by expectation maximisation."""

    def __init__(self, num_components: int = 1) -> None:
        self.num_components = num_components

    def fit(self, X: Any, y: Any) -> Marginal:
        mixture = GaussianMixture(self.num_components, random_state=0, n_init=3)
        self.mixture_ = mixture.fit(np.reshape(y, (-1, 1)))
        self.rows_seen_ = len(X)
        return self

    def predict_parameters(self, X: Any) -> MixtureParameters:
        parts = self.mixture_.weights_, self.mixture_.means_[:, 0]
        arrays = [
            np.tile(part, (len(X), 1)) for part in (*parts, self.mixture_.covariances_.ravel())
        ]
        return MixtureParameters(*arrays)


def three_groups(num_rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(num_rows, 1)), 8.0 * rng.integers(0, 3, num_rows) + rng.normal(
        size=num_rows
    )


CANDIDATES = (1, 2, 3, 4, 6, 9)


@pytest.mark.parametrize("pipeline", [False, True])
def test_three_groups_take_three_components(pipeline: bool) -> None:  # noqa: FBT001
    estimator = make_pipeline(StandardScaler(), Marginal()) if pipeline else Marginal()
    result = select_num_components(*three_groups(), CANDIDATES, estimator=estimator, random_state=0)
    assert result.chosen == 3
    assert result.best >= 3
    assert result.candidates == CANDIDATES


def test_the_scores_are_those_of_a_loop_over_the_folds() -> None:
    X, y = three_groups(90)
    result = select_num_components(X, y, [3, 1], cv=4, estimator=Marginal(), random_state=7)
    folds = list(KFold(4, shuffle=True, random_state=7).split(X))
    for candidate, scores, mean, error in zip(
        *(result.candidates, result.fold_scores, result.mean, result.standard_error), strict=True
    ):
        expected = [
            Marginal(candidate)
            .fit(X[train], y[train])
            .predict_parameters(X[held_out])
            .log_prob(y[held_out])
            .mean()
            for train, held_out in folds
        ]
        np.testing.assert_allclose(scores, expected, rtol=1e-12)
        assert mean == pytest.approx(np.mean(expected))
        assert error == pytest.approx(np.std(expected, ddof=1) / 2.0)
    assert result.candidates == (1, 3)
    assert result.threshold == pytest.approx(result.mean[1] - result.standard_error[1])


class Scripted(Marginal):
    """Return densities whose log score at 0 is scripted: 3 is best, 2 close to it."""

    SCALES: ClassVar[dict[int, float]] = {1: 4.0, 2: 1.02, 3: 1.0, 4: 1.5}

    def predict_parameters(self, X: Any) -> MixtureParameters:
        # Rows count differently, so that folds scatter.
        scale = self.SCALES[self.num_components] * np.exp(0.2 * X)
        return MixtureParameters(np.ones_like(scale), 0.0 * scale, scale**2)


def test_the_fewest_within_one_standard_error_are_chosen() -> None:
    X = np.random.default_rng(0).normal(size=(60, 1))
    y = np.zeros(60) + 1e-9 * X[:, 0]
    result = select_num_components(X, y, (4, 3, 2, 1), estimator=Scripted(), random_state=0)
    assert (result.best, result.chosen) == (3, 2)
    assert result.mean[1] >= result.threshold > result.mean[0]
    table = str(result)
    assert table.startswith("2 components: the fewest within one standard error of the best, 3")
    assert [line.split()[0] for line in table.splitlines()[3:]] == ["1", "2", "3", "4"]
    assert table.splitlines()[4].endswith("chosen")
    assert table.splitlines()[5].endswith("best")
    # One split has no scatter to go by.
    one = ShuffleSplit(1, random_state=0)
    alone = select_num_components(X, y, (1, 2, 3), cv=one, estimator=Scripted())
    assert (alone.best, alone.chosen, alone.standard_error) == (3, 3, (0.0, 0.0, 0.0))


class Threaded(Marginal):
    """Remember which threads it was fitted in."""

    threads: ClassVar[set[int]] = set()

    def fit(self, X: Any, y: Any) -> Marginal:
        self.threads.add(threading.get_ident())
        return super().fit(X, y)


def test_jobs_and_seeds_give_the_same_scores() -> None:
    arguments: Any = (*three_groups(60), (1, 3))
    options: dict[str, Any] = {"estimator": Threaded(), "cv": 3, "random_state": 1}
    alone = select_num_components(*arguments, **options)
    assert {threading.get_ident()} == Threaded.threads
    with joblib.parallel_config(backend="threading"):
        assert alone == select_num_components(*arguments, **options, n_jobs=2)
    assert len(Threaded.threads) > 1
    assert alone != select_num_components(*arguments, **{**options, "random_state": 2})
    with pytest.raises(dataclasses.FrozenInstanceError):
        alone.best = 2  # type: ignore[misc]


def test_networks_of_every_size_are_tried(rows: tuple[Any, Any], quick_fit: Any) -> None:
    estimator = quick_fit()
    result = select_num_components(*rows, (1, 2), cv=2, estimator=estimator, random_state=0)
    assert np.isfinite(result.fold_scores).all()
    assert estimator.num_components == 3


@pytest.mark.slow
def test_the_default_finds_the_branches_of_the_inverse_sinusoid() -> None:
    x, y = datasets.inverse_sinusoid().sample(1000, rng=0)
    result = select_num_components(x, y[:, 0], (1, 3, 5, 8), random_state=0)
    assert result.chosen >= 5


X, Y = three_groups(20)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((X, Y, ()), {}, ValueError, "candidates must hold at least one number"),
        ((X, Y, (1, 1)), {}, ValueError, r"each once, got \[1, 1\]"),
        ((X, Y, (0, 1)), {}, ValueError, "candidates must be at least 1, got 0"),
        ((X, Y, (1.5,)), {}, TypeError, "candidates must be an integer"),
        ((X, Y, 3), {}, TypeError, "candidates must be a sequence"),
        ((X, Y, "123"), {}, TypeError, "candidates must be a sequence"),
        ((X, Y, (1,)), {"cv": 1}, ValueError, "cv must be at least 2"),
        ((X, Y, (1,)), {"cv": 2.5}, TypeError, "cv must be an integer"),
        ((X, Y, (1,)), {"random_state": "0"}, TypeError, "random_state must be an integer"),
        ((X, Y, (1,)), {"estimator": 3}, TypeError, "one parameter num_components, .* got int"),
        ((X, Y, (1,)), {"estimator": KFold()}, TypeError, "num_components, .* got KFold"),
        ((X, Y[:5], (1,)), {"estimator": Marginal()}, ValueError, "inconsistent numbers of samp"),
        ((X[:3], Y[:3], (1,)), {"estimator": Marginal()}, ValueError, "number of splits"),
        ((X, Y * np.nan, (1,)), {"estimator": Marginal()}, ValueError, "NaN"),
    ],
)
def test_bad_input(
    arguments: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        select_num_components(*arguments, **options)


RESULT = ComponentSelection(
    candidates=(1, 2, 3, 5, 8, 12),
    fold_scores=((-2.6, -2.7),) * 6,
    mean=(-2.62, -2.1, -1.55, -1.43, -1.41, -1.46),
    standard_error=(0.02, 0.03, 0.03, 0.03, 0.04, 0.05),
    best=8,
    chosen=5,
)


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def test_the_picture_shows_scores_threshold_and_choice() -> None:
    ax: Any = plot_selection(RESULT)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "3", "5", "8", "12"]
    texts = {text.get_text() for text in ax.get_legend().get_texts()}
    assert {"best: 8", "chosen: 5", "one standard error below the best"} <= texts
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert lines["chosen: 5"].get_xydata().tolist() == [[3.0, -1.43]]
    assert lines["one standard error below the best"].get_ydata()[0] == pytest.approx(-1.45)
    _, other = plt.subplots()
    assert plot_selection(RESULT, ax=other) is other


plot: Any = plot_selection  # without types, so that wrong ones can be tried


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot([1, 2]), "what select_num_components returned, got list"),
        (lambda: plot(RESULT, ax="here"), "ax must be a matplotlib.axes.Axes"),
    ],
)
def test_other_results_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()
