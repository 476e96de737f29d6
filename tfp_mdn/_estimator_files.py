"""How an estimator is saved, pickled and loaded again: its model in a format without code."""

from __future__ import annotations

import numbers
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import tf_keras
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from tfp_mdn import persistence
from tfp_mdn._model_file import model_from_bytes, model_to_bytes

if TYPE_CHECKING:
    from typing_extensions import Self  # from 3.11 on, typing has it

__all__ = ["SavableEstimator"]


class SavableEstimator(BaseEstimator):
    """Estimator whose fitted state is `model_`, `history_` and the names and shapes of its data."""

    model_: tf_keras.Model
    history_: dict[str, list[float]]
    target_names_: list[str] | None
    num_rows_: int
    _target_ndim: int

    def save(
        self, path: str | os.PathLike[str], *, extras: Mapping[str, Any] | None = None
    ) -> None:
        """Save the fitted estimator as a directory, with `extras` in it; see `tfp_mdn.save`."""
        persistence.save(self, path, extras=extras)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load an estimator that `save` wrote; see `tfp_mdn.load`.

        Raises:
            ValueError: If the directory holds a plain model; `tfp_mdn.load` loads that.
        """
        estimator = persistence.load(path)
        if not isinstance(estimator, cls):
            msg = f"{path} holds a plain model, not an {cls.__name__}; use tfp_mdn.load."
            raise ValueError(msg)
        return estimator

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the model in its own format, which holds no code."""
        state = super().__getstate__()
        if "model_" in state:
            state = {**state, "model_": model_to_bytes(state["model_"])}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what `__getstate__` returned."""
        if "model_" in state:
            state = {**state, "model_": model_from_bytes(state["model_"])}
        super().__setstate__(state)

    def _saved_model(self) -> tf_keras.Model:
        check_is_fitted(self, "model_")
        return self.model_

    def _saved_metadata(self) -> dict[str, Any]:
        parameters = self.get_params()
        if not isinstance(parameters["random_state"], numbers.Integral):
            parameters["random_state"] = None  # the state of a generator is not part of the model
        names = getattr(self, "feature_names_in_", None)
        return {
            "feature_names": None if names is None else names.tolist(),
            "target_names": self.target_names_,
            "target_ndim": self._target_ndim,
            "rows": getattr(self, "num_rows_", None),
            "arguments": parameters,
            "history": self.history_,
        }

    @classmethod
    def _from_saved(cls, model: tf_keras.Model, metadata: dict[str, Any]) -> Self:
        arguments = metadata["arguments"]
        # JSON knows lists only.
        as_given = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in arguments.items()
        }
        estimator = cls(**as_given)
        estimator.model_ = model
        estimator.history_ = metadata["history"]
        estimator.n_features_in_ = model.input_shape[-1]
        estimator._target_ndim = metadata["target_ndim"]
        estimator.target_names_ = metadata["target_names"]
        if metadata.get("rows") is not None:  # older directories do not say
            estimator.num_rows_ = metadata["rows"]
        if metadata["feature_names"] is not None:
            estimator.feature_names_in_ = np.asarray(metadata["feature_names"], dtype=object)
        return estimator
