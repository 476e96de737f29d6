"""What a fitted estimator answers: means, quantiles, draws, densities and uncertainties."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from tfp_mdn._estimator_data import (
    checked_targets,
    reject_repeated_names,
    reject_scalar,
    source_of_randomness,
)
from tfp_mdn._estimator_files import SavableEstimator
from tfp_mdn._validation import FloatArray
from tfp_mdn.extraction import AnyMixture, extract_parameters
from tfp_mdn.uncertainty import Uncertainty, split_members, split_uncertainty

__all__ = ["AnsweringEstimator"]


class AnsweringEstimator(RegressorMixin, SavableEstimator):
    """Estimator that answers from the mixture which its model gives for each row."""

    missing: str

    def predict_parameters(self, X: ArrayLike) -> AnyMixture:
        """Return the mixture at each row of X (N, F), in units of y.

        It is a `FamilyMixture`, which answers the same questions, for other components than normal
        ones.
        """
        check_is_fitted(self, "model_")
        reject_repeated_names("X", X)
        inputs = validate_data(self, X, dtype=np.float64, reset=False)
        return extract_parameters(self.model_, inputs)

    def predict(
        self,
        X: ArrayLike,
        return_std: bool = False,  # noqa: FBT001, FBT002  scikit-learn's own signature
    ) -> FloatArray | tuple[FloatArray, FloatArray]:
        """Return the conditional mean, and the conditional standard deviation if asked for.

        The standard deviation says little where a component of small weight is wide or far off,
        as it counts by the square of its distance: it can be many times the half width of
        `predict_interval`, which such a tail hardly moves.

        Args:
            X: Inputs of shape (N, F).
            return_std: Whether to return a pair.

        Returns:
            Array (N,) or (N, D), as y was in `fit`; or two of them. In units of y.
        """
        parameters = self.predict_parameters(X)
        mean = self._like_target(parameters.mean())
        return (mean, self._like_target(parameters.stddev())) if return_std else mean

    def predict_quantile(self, X: ArrayLike, q: ArrayLike) -> FloatArray:
        """Return conditional quantiles of a target of one dimension, in units of y.

        Args:
            X: Inputs of shape (N, F).
            q: A level or an array of levels (Q,), from 0 to 1.

        Returns:
            Array (N,) for one level, (Q, N) for an array of them.

        Raises:
            ValueError: If y has several dimensions, whose quantiles
                `predict_parameters(X).marginal(d).quantile(q)` returns, or a level is out of range.
        """
        return self._one_target(X, "quantile").quantile(q)

    def predict_interval(self, X: ArrayLike, coverage: float = 0.9) -> FloatArray:
        """Return the central interval of that probability, (N, 2), in units of y, for D = 1.

        Raises:
            ValueError: If y has several dimensions, whose intervals
                `predict_parameters(X).marginal(d).interval(coverage)` returns, or `coverage` is not
                between 0 and 1.
        """
        return self._one_target(X, "interval").interval(coverage)

    def sample(self, X: ArrayLike, size: int = 1, random_state: Any = None) -> FloatArray:
        """Draw `size` targets for each row of X (N, F); returns (S, N, D) in units of y."""
        rng = np.random.default_rng(source_of_randomness(random_state).randint(2**31 - 1))
        return self.predict_parameters(X).sample(size, rng)

    def log_prob(self, X: ArrayLike, y: ArrayLike) -> FloatArray:
        """Return log p(y | x) of each row, (N,), in nats.

        With `missing="marginalise"`, that of the dimensions of y that are not NaN.

        Raises:
            ValueError: If `y` is one value for all rows, which `np.full(len(X), value)` spells out,
                does not fit, or is not finite.
        """
        reject_scalar("y", y)
        return self.predict_parameters(X).log_prob(y, missing=self.missing)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return R² of the conditional mean, the mean over the dimensions of y.

        It judges the mean alone; `log_prob(X, y).mean()` judges the density.

        Args:
            X: Inputs of shape (N, F).
            y: Targets of shape (N,) or (N, D).
            sample_weight: Weight of each row, (N,).

        Raises:
            ValueError: If `y` does not fit, or is not finite.
        """
        return float(super().score(X, checked_targets(y), sample_weight))

    def uncertainty(
        self, X: ArrayLike, *, size: int = 1000, random_state: Any = None
    ) -> Uncertainty:
        """Split what is open about y into noise of the data and doubt about the model.

        The members of the ensemble are compared: see `tfp_mdn.uncertainty.split_uncertainty`. With
        `ensemble_size=1` the epistemic parts are 0, which only says that there is nothing to
        compare.

        Args:
            X: Inputs of shape (N, F).
            size: Draws for each row that the entropies of a target of several dimensions, or of
                other components than normal ones, are estimated from.
            random_state: Seed of the draws, or NumPy `Generator` or `RandomState`; None draws
                fresh ones.

        Returns:
            Variances in squared units of y, shaped as y was in `fit`, and entropies (N,) in nats.

        Example:
            >>> from tfp_mdn.estimator import MDNRegressor
            >>> x = np.linspace(0, 1, 50)[:, None]
            >>> model = MDNRegressor(num_steps=40, random_state=0).fit(x, 3 * x[:, 0])
            >>> split = model.uncertainty(x)
            >>> bool(np.allclose(split.total, model.predict(x, return_std=True)[1] ** 2))
            True
        """
        rng = np.random.default_rng(source_of_randomness(random_state).randint(2**31 - 1))
        parameters = self.predict_parameters(X)
        members = split_members(parameters, self.model_.layers[-2].ensemble_size)
        split = split_uncertainty(members, size=size, rng=rng)
        return replace(
            split,
            aleatoric=self._like_target(split.aleatoric),
            epistemic=self._like_target(split.epistemic),
        )

    def _one_target(self, X: ArrayLike, question: str) -> AnyMixture:
        """Return the mixtures, if their target has the one dimension that a question is for."""
        parameters = self.predict_parameters(X)
        if parameters.event_size > 1:
            msg = (
                f"predict_{question} is for a target of one dimension, got {parameters.event_size}."
                f" For dimension d, call predict_parameters(X).marginal(d).{question}(...)."
            )
            raise ValueError(msg)
        return parameters

    def _like_target(self, values: FloatArray) -> FloatArray:
        return values[:, 0] if self._target_ndim == 1 else values
