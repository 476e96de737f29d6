"""A mixture density network as a scikit-learn regressor."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import tf_keras
from numpy.typing import ArrayLike

from tfp_mdn._defaults import Defaults, defaults_for
from tfp_mdn._estimator_answers import AnsweringEstimator
from tfp_mdn._estimator_data import (
    check_flags,
    checked_rows,
    checked_validation_rows,
    column_names,
    source_of_randomness,
    unchanged_if_it_fails,
    weighted_rows,
)
from tfp_mdn._keras import checked_callbacks
from tfp_mdn._lattice import checked_lattice
from tfp_mdn._neighbours import Scatter, scatter_of
from tfp_mdn._validation import FloatArray, as_choice
from tfp_mdn.assembly import assemble, check_same_structure, standard_rows
from tfp_mdn.layers import head_class
from tfp_mdn.member_training import train_with_recipe
from tfp_mdn.recipe import Recipe

__all__ = ["MDNRegressor"]

_STRUCTURE = (
    *("num_components", "ensemble_size", "hidden_units", "activation", "covariance_type"),
    "component",
)


class MDNRegressor(AnsweringEstimator):
    """Mixture density network with the interface of a scikit-learn regressor.

    `fit` standardises inputs and targets, adds to each input its place among quantiles, and trains
    several small networks at once, each on most of the rows and judged on the rest; the averaged
    weights that were best there are kept. Everything that was learned, units included, is in
    `model_`, one network that ends in one mixture.

    Args:
        num_components: Components K of each member. More than the density has modes costs little;
            fewer misses some, and seven were too few for none of the classic problems.
        hidden_units: Units of each hidden layer; None takes three layers of 32, or of 64 from 2000
            rows on. Wider layers learned no better.
        ensemble_size: Number of networks M, whose mixtures become one of M K components. Five win
            0.01 to 0.3 nats over one, for less than five times the time. Far outside the training
            rows a single network is about as certain as inside, whatever it answers. Members
            disagree there, which widens their mixture: a hint of doubt, no bound on the error.
        activation: Activation of the hidden layers; a smooth one gives smooth parameters over x.
        covariance_type: "diag": the dimensions of y are independent within a component; "full":
            each component has a covariance matrix, which learns targets that move together with
            fewer components.
        component: Density of a component: "normal"; "student_t" or "logistic" for targets with
            outliers; "lognormal" for targets above 0, learned on a logarithmic scale;
            "truncated_normal" for targets of at least 0. All but "normal" need
            `covariance_type="diag"` and no `lattice`; `predict_parameters` then returns a
            `FamilyMixture`.
        num_intervals: Intervals between quantiles that each feature is placed in, which lets the
            network bend as sharply as trees do; 1 leaves the features as they are. None takes 8 to
            64, fewer for many features: more where there are more rows, fewer where their
            targets scatter.
        min_scale: Floor of the standard deviations, in standard deviations of y, so that a
            repeated value cannot raise the likelihood without end. Where y lies on a lattice, the
            floor is at least its step / sqrt(12), the standard deviation within a step.
        learning_rate: Peak learning rate of Adam; it warms up first and falls to 0 along a cosine.
        weight_decay: Share of the kernels that a step takes away, per unit of learning rate; None
            takes 0.1, and more where rows are few and scatter.
        batch_size: Rows per step; None takes 256.
        num_steps: Training steps; None takes 0.8 per row, at least 2000 and at most 8000.
        noise: Standard deviation of the noise added to standardised x and y at the first step; it
            fades to nothing at the last. None takes a quarter of what y scatters by among nearest
            neighbours, if that is noise, and 0 if it is detail: noise keeps scattered data from
            being learned by heart, and blurs precise data.
        validation_fraction: Share of the rows that each member holds out to choose its best
            weights; every member holds out other rows.
        patience: Training ends after so many of the 40 checks without a better weight of any
            member; None trains to the end.
        lattice: Step to which y was rounded, in its unit: a number, or one for each target, 0
            where there is none; "auto" finds the steps of what lies on a lattice. Training then
            maximises the probability P(y - step/2 < Y <= y + step/2) of what rounds to y in place
            of its density, which narrow components on the points of a lattice could raise without
            end, and needs no floor for it. Judge the fit by
            `mixture.scores.censored_log_score(parameters, y, step / 2)`: `log_prob` remains a
            density. Needs `covariance_type="diag"`.
        missing: What NaN in y means. "error" refuses it. "marginalise" takes it for a missing
            value: a row counts with the density of the dimensions that it has, exactly and without
            imputation, and a row with none is left out. It is right where what is missing does not
            depend on its value. `log_prob` then takes such rows too.
        warm_start: Whether a further `fit` goes on from the weights of the last one, and keeps its
            units, intervals and floor.
        random_state: Seed, or NumPy `Generator` or `RandomState`, of the split, the start and the
            training; None draws a fresh one and leaves NumPy's global state alone.
        verbose: 0 is silent, 1 shows a bar with the losses and the time left, 2 prints a line at
            each check.

    Attributes:
        model_: The `tf_keras.Model` that takes raw X and returns a distribution in units of y.
        history_: Dictionary of lists: `step`, `loss` on the training rows and `val_loss` on the
            held-out rows, means over the members, in nats per row in units of y, without a unit
            for targets on a `lattice`.
        num_rows_ (int): Number of rows that were learned from or held out.
        n_features_in_ (int): Number of features F.
        feature_names_in_ (np.ndarray): Names of the features, if X was a data frame.
        target_names_ (list[str] | None): Names of the targets, if y was a data frame or a named
            series.

    Example:
        >>> import numpy as np
        >>> x = np.linspace(0, 1, 50)[:, None]
        >>> model = MDNRegressor(num_steps=40, random_state=0).fit(x, 3 * x[:, 0])
        >>> model.predict_parameters(x).means.shape
        (50, 50, 1)
    """

    def __init__(
        self,
        num_components: int = 10,
        hidden_units: Sequence[int] | None = None,
        *,
        ensemble_size: int = 5,
        activation: str = "gelu",
        covariance_type: str = "diag",
        component: str = "normal",
        num_intervals: int | None = None,
        min_scale: float = 1e-3,
        learning_rate: float = 1e-2,
        weight_decay: float | None = None,
        batch_size: int | None = None,
        num_steps: int | None = None,
        noise: float | None = None,
        validation_fraction: float = 0.1,
        patience: int | None = 20,
        lattice: float | Sequence[float] | str | None = None,
        missing: str = "error",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.num_components = num_components
        self.hidden_units = hidden_units
        self.ensemble_size = ensemble_size
        self.activation = activation
        self.covariance_type = covariance_type
        self.component = component
        self.num_intervals = num_intervals
        self.min_scale = min_scale
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.num_steps = num_steps
        self.noise = noise
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.lattice = lattice
        self.missing = missing
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        validation_data: tuple[ArrayLike, ArrayLike] | None = None,
        callbacks: Sequence[tf_keras.callbacks.Callback] = (),
    ) -> MDNRegressor:
        """Train on rows of inputs and targets.

        Ctrl-C ends the training with the best weights so far and a warning.

        Args:
            X: Inputs of shape (N, F); a data frame's column names are kept and checked later.
            y: Targets of shape (N,) or (N, D), NaN where `missing` allows it.
            sample_weight: Weight of each row, (N,), at least 0.
            validation_data: Inputs and targets that the members are judged on; all rows of `X`
                are then trained on. By default each member holds out rows of its own.
            callbacks: Callbacks of `tf_keras`, called at each of the 40 checks as at an epoch. The
                model that they see has the averaged weights of that moment.

        Returns:
            The estimator.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If data or arguments are out of range, NaN, infinite or of uneven length.
            FloatingPointError: If the loss was never finite.
        """
        with unchanged_if_it_fails(self):
            self._fit(X, y, sample_weight, validation_data, checked_callbacks(callbacks))
        return self

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation_data: Any, callbacks: Any
    ) -> None:
        check_flags(self.warm_start, self.verbose)
        goes_on = self.warm_start and hasattr(self, "model_")
        names = column_names(y)
        missing = as_choice("missing", self.missing, ("error", "marginalise"))
        inputs, targets, ndim = checked_rows(self, X, y, missing=missing, reset=not goes_on)
        head = head_class(self.covariance_type, self.component)
        head.check_targets("y", targets)
        inputs, targets, weights = weighted_rows(inputs, targets, sample_weight)
        rng = source_of_randomness(self.random_state)
        scatter = _scatter_of_seen(inputs, head.transformed(targets), rng)
        settings = self._settings(defaults_for(len(inputs), inputs.shape[1], scatter))
        recipe = Recipe(**{field.name: settings[field.name] for field in fields(Recipe)})
        # Drawn in any case, so that a fit that goes on holds out the same rows.
        seed = int(rng.randint(2**31 - 1))
        structure = {name: settings[name] for name in _STRUCTURE}
        lattice = checked_lattice(self.lattice, targets, self.covariance_type, self.component)
        for doubt in head.doubts_about_targets(targets):
            warnings.warn(doubt, stacklevel=3)
        if goes_on:
            model = self.model_
            if self.hidden_units is None:
                structure["hidden_units"] = model.layers[-2].hidden_units
            check_same_structure(model, targets, structure)
        else:
            model = assemble(
                inputs,
                targets,
                weights,
                num_intervals=settings["num_intervals"],
                min_scale=settings["min_scale"],
                lattice=lattice,
                seed=seed,
                **structure,
            )
        rows = standard_rows(model, inputs, targets, weights)
        held_out = None
        if validation_data is not None:
            judged = checked_validation_rows(self, validation_data, targets.shape[1], missing)
            head.check_targets("y of validation_data", judged[1])
            held_out = standard_rows(model, *judged, np.ones(len(judged[0])))
        self.history_ = train_with_recipe(
            model,
            rows,
            recipe,
            held_out=held_out,
            rng=rng,
            lattice=lattice,
            callbacks=callbacks,
            verbose=self.verbose,
        )
        self.model_, self._target_ndim, self.target_names_ = model, ndim, names
        self.num_rows_ = len(inputs)

    def _settings(self, defaults: Defaults) -> dict[str, Any]:
        """Return the arguments, with the defaults of these rows in place of None."""
        given = self.get_params(deep=False)
        return given | {
            name: value for name, value in asdict(defaults).items() if given[name] is None
        }

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn what the estimator can do."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.non_deterministic = self.random_state is None
        return tags


def _scatter_of_seen(
    inputs: FloatArray, targets: FloatArray, rng: np.random.RandomState
) -> Scatter:
    """Return the scatter of targets, the mean over their dimensions where values are missing."""
    seen = ~np.isnan(targets)
    if seen.all():
        return scatter_of(inputs, targets, rng)
    each = [
        scatter_of(inputs[rows], targets[rows, d : d + 1], rng) for d, rows in enumerate(seen.T)
    ]
    return Scatter(*np.mean(each, axis=0).tolist())
