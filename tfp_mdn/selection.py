"""How many mixture components a data set needs, by cross-validation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import GridSearchCV, KFold

from tfp_mdn._validation import as_whole_number
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.scorers import neg_log_likelihood_scorer

__all__ = ["ComponentSelection", "select_num_components"]

_PARAMETER = "num_components"


@final
@dataclass(frozen=True)
class ComponentSelection:
    """What `select_num_components` found; `print` shows it as a table.

    Attributes:
        candidates: Numbers of components, ascending.
        fold_scores: Mean log score on the held-out rows of each fold, one tuple a candidate, in
            nats; greater is better.
        mean: Mean of the fold scores of each candidate.
        standard_error: Standard error of each mean, from the scatter of the folds.
        best: The candidate of the greatest mean.
        chosen: The smallest candidate whose mean is at least `threshold`.
    """

    candidates: tuple[int, ...]
    fold_scores: tuple[tuple[float, ...], ...]
    mean: tuple[float, ...]
    standard_error: tuple[float, ...]
    best: int
    chosen: int

    @property
    def threshold(self) -> float:
        """The greatest mean less its standard error, in nats."""
        place = self.candidates.index(self.best)
        return self.mean[place] - self.standard_error[place]

    def __str__(self) -> str:
        """Return the choice and a table for a terminal."""
        folds = len(self.fold_scores[0])
        lines = [
            f"{self.chosen} components: the fewest within one standard error of the best, "
            f"{self.best} ({folds} folds)",
            "",
            "components   log score (nats)   standard error",
        ]
        for candidate, mean, error in zip(
            self.candidates, self.mean, self.standard_error, strict=True
        ):
            notes = [
                name
                for name, number in (("best", self.best), ("chosen", self.chosen))
                if candidate == number
            ]
            note = f"   {', '.join(notes)}" if notes else ""
            lines.append(f"{candidate:10d}   {mean:16.4f}   {error:14.4f}{note}")
        return "\n".join(lines)


def select_num_components(
    X: ArrayLike,
    y: ArrayLike,
    candidates: Iterable[int] = (1, 2, 3, 5, 8, 12),
    *,
    cv: Any = 5,
    estimator: Any = None,
    random_state: int | None = None,
    n_jobs: int | None = None,
) -> ComponentSelection:
    """Choose the number of components K by the log score on rows that were held out.

    All candidates are fitted to the same folds. The greatest mean score may owe its lead to luck,
    so the fewest components within one standard error of it are chosen. Only these rows are
    looked at: keep rows for a final test out of `X`, and fit once more with the chosen number.

    Args:
        X: Inputs (N, F).
        y: Targets (N,) or (N, D).
        candidates: Numbers of components to try.
        cv: Number of folds, at least 2, of shuffled rows; or a splitter of scikit-learn, or an
            iterable of pairs of row numbers.
        estimator: What to fit, with a parameter `num_components` and `predict_parameters`, or a
            pipeline that ends in such a one; it stays as it is. None takes
            `MDNRegressor(ensemble_size=1)`: one network, whose mixture has K components itself.
        random_state: Seed of the folds and, if `estimator` is None, of the networks; None draws a
            fresh one.
        n_jobs: Fits at a time, as in scikit-learn: None is 1, -1 one for each core.

    Returns:
        The choice and all scores.

    Raises:
        TypeError: If a candidate or an argument has the wrong type.
        ValueError: If there is no candidate, one is repeated or below 1, `cv` is below 2, or the
            data do not fit.

    References:
        L. Breiman, J. H. Friedman, R. A. Olshen, C. J. Stone (1984), Classification and regression
        trees, section 3.4.3, https://doi.org/10.1201/9781315139470.

    Example:
        >>> x = np.linspace(0, 1, 40)[:, np.newaxis]
        >>> quick = MDNRegressor(ensemble_size=1, hidden_units=(4,), num_steps=40, random_state=0)
        >>> result = select_num_components(x, x[:, 0], [1, 2], cv=2, estimator=quick)
        >>> result.candidates, len(result.mean), result.chosen <= result.best
        ((1, 2), 2, True)
    """
    numbers = _as_candidates(candidates)
    seed = (
        None if random_state is None else as_whole_number("random_state", random_state, minimum=0)
    )
    if estimator is None:
        estimator = MDNRegressor(ensemble_size=1, random_state=seed)
    if not hasattr(cv, "split") and not isinstance(cv, Iterable):
        cv = KFold(as_whole_number("cv", cv, minimum=2), shuffle=True, random_state=seed)
    search = GridSearchCV(
        estimator,
        {_parameter_of(estimator): numbers},
        scoring=neg_log_likelihood_scorer,
        cv=cv,
        n_jobs=n_jobs,
        refit=False,
        error_score="raise",
    ).fit(X, y)
    results = search.cv_results_
    scores = np.stack([results[f"split{fold}_test_score"] for fold in range(search.n_splits_)], 1)
    mean = scores.mean(axis=1)
    # One fold has no scatter, and leaves the best as the choice.
    folds = scores.shape[1]
    error = scores.std(axis=1, ddof=1) / math.sqrt(folds) if folds > 1 else np.zeros(len(mean))
    best = int(mean.argmax())
    chosen = int(np.flatnonzero(mean >= mean[best] - error[best])[0])
    return ComponentSelection(
        candidates=tuple(numbers),
        fold_scores=tuple(map(tuple, scores.tolist())),
        mean=tuple(mean.tolist()),
        standard_error=tuple(error.tolist()),
        best=numbers[best],
        chosen=numbers[chosen],
    )


def _as_candidates(candidates: Any) -> list[int]:
    """Return the candidates in ascending order.

    Raises:
        TypeError: If they are not integers in an iterable.
        ValueError: If there is none, one is below 1 or one is repeated.
    """
    if isinstance(candidates, str) or not isinstance(candidates, Iterable):
        msg = f"candidates must be a sequence such as (1, 2, 3, 5), got {candidates!r}."
        raise TypeError(msg)
    numbers = sorted(as_whole_number("candidates", number) for number in candidates)
    if not numbers or len(set(numbers)) < len(numbers):
        msg = f"candidates must hold at least one number, each once, got {numbers}."
        raise ValueError(msg)
    return numbers


def _parameter_of(estimator: Any) -> str:
    """Return the name under which the estimator takes its number of components.

    Raises:
        TypeError: If there is none, or more than one.
    """
    names = estimator.get_params() if hasattr(estimator, "get_params") else ()
    found = [name for name in names if name.split("__")[-1] == _PARAMETER]
    if len(found) != 1:
        msg = (
            f"estimator must have one parameter {_PARAMETER}, as MDNRegressor has, got "
            f"{type(estimator).__name__} with {found or 'none'}."
        )
        raise TypeError(msg)
    return found[0]
