"""A mixture density network as a scikit-learn regressor."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from tfp_mdn import persistence
from tfp_mdn._validation import FloatArray, as_real, as_whole_number
from tfp_mdn.callbacks import KeepBestAverage
from tfp_mdn.extraction import extract_parameters
from tfp_mdn.initializers import start_from_targets
from tfp_mdn.layers import MixtureNormal
from tfp_mdn.losses import negative_log_likelihood
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.models import MixtureSequential, build_mdn

__all__ = ["MDNRegressor"]

# How often the average of the weights is tried on the held-out rows. More checks cost time, fewer
# miss the best moment of a model that overfits early.
_NUM_CHECKS = 40

# Below this many rows nothing is held out: a few rows say less about the end of training than
# they add to it.
_MIN_ROWS_TO_SPLIT = 10

_WARM_UP = 0.02  # share of the steps over which the learning rate rises to its peak
_EMA_MOMENTUM = 0.995  # averages the weights over about 200 steps
_CLIP_NORM = 10.0  # keeps one bad batch from throwing the weights far away


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
        random_state: Seed, or NumPy `RandomState`, of the split, the start and the training.
        verbose: What `tf_keras.Model.fit` prints: 0 nothing, 1 a bar, 2 a line per check.

    Attributes:
        model_: The `tf_keras.Model` that takes raw X and returns a distribution in units of y.
        history_: Dictionary of lists: `step`, `loss` on the noisy training rows and `val_loss` on
            the held-out rows, in nats per row in units of y.
        n_features_in_: Number of features F.
        feature_names_in_: Names of the features, if X was a data frame.

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
        self._target_names = _column_names(y)
        X, y = validate_data(
            self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, ensure_min_samples=2
        )
        targets = np.asarray(y, np.float64).reshape(len(X), -1)
        self._target_ndim = np.ndim(y)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weights.any():
            msg = "sample_weight must be positive for at least one row."
            raise ValueError(msg)
        rng = check_random_state(self.random_state)
        x_loc, x_scale = _location_and_scale("X", X, weights)
        y_loc, y_scale = _location_and_scale("y", targets, weights)
        rescale = np.divide(1.0, x_scale, where=x_scale > 0, out=np.zeros_like(x_scale))
        network = start_from_targets(
            build_mdn(
                self.num_components,
                targets.shape[1],
                hidden_units=self.hidden_units,
                activation=self.activation,
                input_size=X.shape[1],
                min_scale=self.min_scale,
                scale=y_scale,
                seed=int(rng.randint(2**31 - 1)),
            ),
            targets - y_loc,
        )
        # Only differences from the mean go through float32: a large offset costs no digits.
        self.history_ = self._train(
            network, (X - x_loc) * rescale, targets - y_loc, weights, rng, callbacks
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
        rescaling = tf_keras.layers.Rescaling(
            rescale.tolist(), (-x_loc * rescale).tolist(), dtype="float64", name="standardise"
        )
        raw = tf_keras.Input((X.shape[1],), dtype="float64")
        self.model_ = MixtureSequential([raw, rescaling, *network.layers[:-1], head], name="mdn")
        return self

    def predict_parameters(self, X: ArrayLike) -> MixtureParameters:
        """Return the mixture at each row of X (N, F), in units of y."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return extract_parameters(self.model_, X)

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

    def sample(self, X: ArrayLike, size: int = 1, random_state: Any = None) -> FloatArray:
        """Draw `size` targets for each row of X (N, F); returns (S, N, D) in units of y."""
        rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
        return self.predict_parameters(X).sample(size, rng)

    def log_prob(self, X: ArrayLike, y: ArrayLike) -> FloatArray:
        """Return log p(y | x) of each row, (N,), in nats."""
        return self.predict_parameters(X).log_prob(y)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the fitted estimator as a directory; see `tfp_mdn.save`."""
        check_is_fitted(self)
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

    def _train(
        self,
        network: tf_keras.Model,
        x: FloatArray,
        y: FloatArray,
        weights: FloatArray,
        rng: np.random.RandomState,
        callbacks: Sequence[tf_keras.callbacks.Callback],
    ) -> dict[str, list[float]]:
        """Train on standardised inputs and centred targets; leave the best averaged weights."""
        training, held_out = self._split(weights, rng)
        num_steps = self._num_steps(len(training))
        steps_per_check = -(-num_steps // min(_NUM_CHECKS, num_steps))
        num_checks = num_steps // steps_per_check
        num_steps = num_checks * steps_per_check
        batch_size = min(as_whole_number("batch_size", self.batch_size), len(training))
        warm_up = max(1, round(_WARM_UP * num_steps))
        rate = as_real("learning_rate", self.learning_rate, above=0.0)
        schedule = tf_keras.optimizers.schedules.CosineDecay(
            0.0, max(1, num_steps - warm_up), warmup_target=rate, warmup_steps=warm_up
        )
        optimizer = tf_keras.optimizers.Adam(
            schedule, global_clipnorm=_CLIP_NORM, use_ema=True, ema_momentum=_EMA_MOMENTUM
        )
        network.compile(
            optimizer,
            negative_log_likelihood,
            weighted_metrics=[],
            steps_per_execution=steps_per_check,
        )
        relative = (weights / weights[training].mean()).astype(np.float32)
        data = (x.astype(np.float32), y.astype(np.float32), relative)
        target_scale = network.layers[-1].scale.astype(np.float32)
        noise = as_real("noise", self.noise, minimum=0.0)
        best = KeepBestAverage()
        history = network.fit(
            _noisy_batches(
                [tf.constant(part[training]) for part in data],
                batch_size,
                num_steps,
                noise * np.ones(x.shape[1], np.float32),
                noise * target_scale,
                int(rng.randint(2**31 - 1)),
            ),
            steps_per_epoch=steps_per_check,
            epochs=num_checks,
            validation_data=tuple(part[held_out] for part in data),
            validation_batch_size=max(batch_size, 4096),
            callbacks=[best, *callbacks],
            verbose=self.verbose,
        ).history
        if not np.isfinite(best.best_loss):
            msg = (
                "training diverged: no finite loss on the held-out rows was seen. "
                "Try a smaller learning_rate or a larger min_scale."
            )
            raise FloatingPointError(msg)
        steps = [float(steps_per_check * (check + 1)) for check in range(num_checks)]
        return {"step": steps, "loss": history["loss"], "val_loss": history["val_loss"]}

    def _split(
        self, weights: FloatArray, rng: np.random.RandomState
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the indices of the rows to train on and of those held out; both if few."""
        fraction = as_real("validation_fraction", self.validation_fraction, above=0.0, below=1.0)
        rows = rng.permutation(np.flatnonzero(weights))
        if len(rows) < _MIN_ROWS_TO_SPLIT:
            return rows, rows
        count = min(max(1, round(fraction * len(rows))), len(rows) - 1)
        return rows[count:], rows[:count]

    def _num_steps(self, num_rows: int) -> int:
        if self.num_steps is None:
            return int(np.clip(0.8 * num_rows, 2000, 8000))
        return as_whole_number("num_steps", self.num_steps)

    def _like_target(self, values: FloatArray) -> FloatArray:
        return values[:, 0] if self._target_ndim == 1 else values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.non_deterministic = self.random_state is None
        return tags

    def _saved_model(self) -> tf_keras.Model:
        check_is_fitted(self)
        return self.model_

    def _saved_metadata(self) -> dict[str, Any]:
        parameters = self.get_params()
        if not isinstance(self.random_state, int):
            parameters["random_state"] = None  # the state of a generator is not part of the model
        names = getattr(self, "feature_names_in_", None)
        return {
            "feature_names": None if names is None else names.tolist(),
            "target_names": self._target_names,
            "target_ndim": self._target_ndim,
            "arguments": parameters,
            "history": self.history_,
        }

    @classmethod
    def _from_saved(cls, model: tf_keras.Model, metadata: dict[str, Any]) -> MDNRegressor:
        estimator = cls(**metadata["arguments"])
        estimator.model_ = model
        estimator.history_ = metadata["history"]
        estimator.n_features_in_ = model.input_shape[-1]
        estimator._target_ndim = metadata["target_ndim"]
        estimator._target_names = metadata["target_names"]
        if metadata["feature_names"] is not None:
            estimator.feature_names_in_ = np.asarray(metadata["feature_names"], dtype=object)
        return estimator


def _column_names(y: Any) -> list[str] | None:
    """Return the names of the targets if `y` is a data frame or a named series."""
    if hasattr(y, "columns"):
        return [str(name) for name in y.columns]
    return None if getattr(y, "name", None) is None else [str(y.name)]


def _location_and_scale(
    name: str, values: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return weighted means and standard deviations of columns; constant ones have no scale.

    An input that never varied says nothing and is multiplied by 0; a target that never varied is
    warned about and keeps its unit.
    """
    loc = np.average(values, axis=0, weights=weights)
    scale = np.sqrt(np.average((values - loc) ** 2, axis=0, weights=weights))
    constant = np.ptp(values[weights > 0], axis=0) == 0
    if constant.any():
        loc = np.where(constant, values[np.flatnonzero(weights)[0]], loc)
        warnings.warn(
            f"column(s) {np.flatnonzero(constant).tolist()} of {name} are constant", stacklevel=3
        )
    return loc, np.where(constant, 0.0 if name == "X" else 1.0, scale)


def _noisy_batches(
    data: Sequence[tf.Tensor],
    batch_size: int,
    num_steps: int,
    x_noise: NDArray[np.float32],
    y_noise: NDArray[np.float32],
    seed: int,
) -> tf.data.Dataset:
    """Return a data set of shuffled batches, each with fresh noise that fades over the steps."""
    x, y, weights = data
    num_rows = len(x)

    def batch(step: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        fading = (1.0 - tf.cast(step, tf.float32) / num_steps) ** 2
        key = tf.stack([tf.constant(seed, tf.int64), step])
        draws = tf.random.stateless_normal([batch_size, len(x_noise) + len(y_noise)], key)
        noise_x, noise_y = tf.split(fading * draws, [len(x_noise), len(y_noise)], axis=1)
        return (
            tf.gather(x, rows) + x_noise * noise_x,
            tf.gather(y, rows) + y_noise * noise_y,
            tf.gather(weights, rows),
        )

    rows = tf.data.Dataset.range(num_rows).shuffle(num_rows, seed=seed).repeat()
    steps = tf.data.Dataset.range(num_steps)
    return tf.data.Dataset.zip(steps, rows.batch(batch_size, drop_remainder=True)).map(batch)
