"""A mixture density network as a scikit-learn regressor."""

from __future__ import annotations

import numbers
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tf_keras
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from tfp_mdn import persistence
from tfp_mdn._validation import FloatArray
from tfp_mdn.extraction import extract_parameters
from tfp_mdn.initializers import start_from_targets
from tfp_mdn.layers import MixtureNormal
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.models import MixtureSequential, build_mdn
from tfp_mdn.preprocessing import Standardize, location_and_scale
from tfp_mdn.recipe import train_with_recipe

__all__ = ["MDNRegressor"]


class MDNRegressor(RegressorMixin, BaseEstimator):
    """Mixture density network with the interface of a scikit-learn regressor.

    `fit` standardises inputs and targets, starts the components spread over the targets, trains
    on most rows with noise that fades, and keeps the averaged weights that were best on the rows
    held out. Everything that it learned, units included, is in `model_`.

    Args:
        num_components: Components K. More than the density has modes costs little; fewer misses
            some, and seven were too few for none of the classic problems.
        hidden_units: Units of each hidden layer.
        activation: Activation of the hidden layers; a smooth one gives smooth parameters over x.
        min_scale: Floor of the standard deviations, in standard deviations of y, so that a
            repeated value cannot raise the likelihood without end.
        learning_rate: Peak learning rate of Adam; it warms up first and falls to 0 along a cosine.
        batch_size: Rows per step.
        num_steps: Training steps; None takes 0.8 per row, at least 2000 and at most 8000.
        noise: Standard deviation of the noise added to standardised x and y at the first step; it
            fades to nothing at the last. It keeps small data sets from being learned by heart.
        validation_fraction: Share of the rows that is held out to choose the best weights.
        random_state: Seed, or NumPy `RandomState`, of the split, the start and the training; None
            draws a fresh one and leaves NumPy's global state alone.
        verbose: What `tf_keras.Model.fit` prints: 0 nothing, 1 a bar, 2 a line per check.

    Attributes:
        model_: The `tf_keras.Model` that takes raw X and returns a distribution in units of y.
        history_: Dictionary of lists: `step`, `loss` on the noisy training rows and `val_loss` on
            the held-out rows, in nats per row in units of y.
        n_features_in_: Number of features F.
        feature_names_in_: Names of the features, if X was a data frame.
        target_names_: Names of the targets, if y was a data frame or a named series, else None.

    Example:
        >>> import numpy as np
        >>> x = np.linspace(0, 1, 50)[:, None]
        >>> model = MDNRegressor(num_steps=40, random_state=0).fit(x, 3 * x[:, 0])
        >>> model.predict_parameters(x).means.shape
        (50, 10, 1)
    """

    def __init__(
        self,
        num_components: int = 10,
        hidden_units: Sequence[int] = (32, 32, 32),
        *,
        activation: str = "gelu",
        min_scale: float = 1e-3,
        learning_rate: float = 1e-2,
        batch_size: int = 256,
        num_steps: int | None = None,
        noise: float = 0.2,
        validation_fraction: float = 0.2,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.num_components = num_components
        self.hidden_units = hidden_units
        self.activation = activation
        self.min_scale = min_scale
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.num_steps = num_steps
        self.noise = noise
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        callbacks: Sequence[tf_keras.callbacks.Callback] = (),
    ) -> MDNRegressor:
        """Train on rows of inputs and targets.

        Args:
            X: Inputs of shape (N, F); a data frame's column names are kept and checked later.
            y: Targets of shape (N,) or (N, D).
            sample_weight: Weight of each row, (N,), at least 0.
            callbacks: Callbacks of `tf_keras`, called at each of the 40 checks as at an epoch.

        Returns:
            The estimator.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If data or arguments are out of range, NaN, infinite or of uneven length.
        """
        for name, values in (("X", X), ("y", y)):
            if np.asarray(values).dtype.kind in "mM":
                msg = f"{name} holds dates or times; turn them into numbers of a unit first."
                raise TypeError(msg)
        if isinstance(callbacks, tf_keras.callbacks.Callback):
            callbacks = [callbacks]
        self.target_names_ = _column_names(y)
        inputs, targets = validate_data(
            self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, ensure_min_samples=2
        )
        self._target_ndim = targets.ndim
        targets = targets.astype(np.float64).reshape(len(inputs), -1)
        weights = _check_sample_weight(
            sample_weight, inputs, dtype=np.float64, ensure_non_negative=True
        )
        if not weights.any():
            msg = "sample_weight must be positive for at least one row."
            raise ValueError(msg)
        weights = weights / weights.max()  # only their ratios count, and sums must not overflow
        rng = _random_state(self.random_state)
        x_loc, x_scale = location_and_scale("X", inputs, weights, limit=1e300)
        y_loc, y_scale = location_and_scale("y", targets, weights, limit=1e30)
        standardise = Standardize(x_loc, x_scale, name="standardise")
        network = start_from_targets(
            build_mdn(
                self.num_components,
                targets.shape[1],
                hidden_units=self.hidden_units,
                activation=self.activation,
                input_size=inputs.shape[1],
                min_scale=self.min_scale,
                scale=y_scale,
                seed=int(rng.randint(2**31 - 1)),
            ),
            (targets - y_loc)[weights > 0],
        )
        # Only differences from the mean go through float32: a large offset costs no digits.
        self.history_ = train_with_recipe(
            network,
            standardise(inputs).numpy(),
            targets - y_loc,
            weights,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            num_steps=self.num_steps,
            noise=self.noise,
            validation_fraction=self.validation_fraction,
            rng=rng,
            callbacks=callbacks,
            verbose=self.verbose,
        )
        head = MixtureNormal(
            self.num_components,
            (targets.shape[1],),
            min_scale=self.min_scale,
            loc=y_loc,
            scale=y_scale,
            dtype="float64",
            name="mixture",
        )
        raw = tf_keras.Input((inputs.shape[1],), dtype="float64")
        self.model_ = MixtureSequential([raw, standardise, *network.layers[:-1], head], name="mdn")
        return self

    def predict_parameters(self, X: ArrayLike) -> MixtureParameters:
        """Return the mixture at each row of X (N, F), in units of y."""
        check_is_fitted(self, "model_")
        inputs = validate_data(self, X, dtype=np.float64, reset=False)
        return extract_parameters(self.model_, inputs)

    def predict(
        self,
        X: ArrayLike,
        return_std: bool = False,  # noqa: FBT001, FBT002  scikit-learn's own signature
    ) -> FloatArray | tuple[FloatArray, FloatArray]:
        """Return the conditional mean, and the conditional standard deviation if asked for.

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
        """
        return self.predict_parameters(X).quantile(q)

    def predict_interval(self, X: ArrayLike, coverage: float = 0.9) -> FloatArray:
        """Return the central interval of that probability, (N, 2), in units of y, for D = 1."""
        return self.predict_parameters(X).interval(coverage)

    def sample(self, X: ArrayLike, size: int = 1, random_state: Any = None) -> FloatArray:
        """Draw `size` targets for each row of X (N, F); returns (S, N, D) in units of y."""
        rng = np.random.default_rng(_random_state(random_state).randint(2**31 - 1))
        return self.predict_parameters(X).sample(size, rng)

    def log_prob(self, X: ArrayLike, y: ArrayLike) -> FloatArray:
        """Return log p(y | x) of each row, (N,), in nats."""
        return self.predict_parameters(X).log_prob(y)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the fitted estimator as a directory; see `tfp_mdn.save`."""
        persistence.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> MDNRegressor:
        """Load an estimator that `save` wrote; see `tfp_mdn.load`.

        Raises:
            ValueError: If the directory holds a plain model; `tfp_mdn.load` loads that.
        """
        estimator = persistence.load(path)
        if not isinstance(estimator, cls):
            msg = f"{path} holds a plain model, not an {cls.__name__}; use tfp_mdn.load."
            raise ValueError(msg)
        return estimator

    def _like_target(self, values: FloatArray) -> FloatArray:
        return values[:, 0] if self._target_ndim == 1 else values

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.non_deterministic = self.random_state is None
        return tags

    def _saved_model(self) -> tf_keras.Model:
        check_is_fitted(self, "model_")
        return self.model_

    def _saved_metadata(self) -> dict[str, Any]:
        parameters = self.get_params()
        if not isinstance(self.random_state, numbers.Integral):
            parameters["random_state"] = None  # the state of a generator is not part of the model
        names = getattr(self, "feature_names_in_", None)
        return {
            "feature_names": None if names is None else names.tolist(),
            "target_names": self.target_names_,
            "target_ndim": self._target_ndim,
            "arguments": parameters,
            "history": self.history_,
        }

    @classmethod
    def _from_saved(cls, model: tf_keras.Model, metadata: dict[str, Any]) -> MDNRegressor:
        estimator = cls(**metadata["arguments"])
        estimator.hidden_units = tuple(estimator.hidden_units)  # JSON knows lists only
        estimator.model_ = model
        estimator.history_ = metadata["history"]
        estimator.n_features_in_ = model.input_shape[-1]
        estimator._target_ndim = metadata["target_ndim"]
        estimator.target_names_ = metadata["target_names"]
        if metadata["feature_names"] is not None:
            estimator.feature_names_in_ = np.asarray(metadata["feature_names"], dtype=object)
        return estimator


def _column_names(y: Any) -> list[str] | None:
    """Return the names of the targets if `y` is a data frame or a named series."""
    if hasattr(y, "columns"):
        return [str(name) for name in y.columns]
    return None if getattr(y, "name", None) is None else [str(y.name)]


def _random_state(seed: Any) -> np.random.RandomState:
    """Return a source of random numbers that is never NumPy's global one."""
    return np.random.RandomState() if seed is None else check_random_state(seed)
