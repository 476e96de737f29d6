"""How the shell tool fits, saves and loads models."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import click

from tfp_mdn.cli.places import is_quiet

if TYPE_CHECKING:
    import pandas as pd

    from tfp_mdn.estimator import MDNRegressor
    from tfp_mdn.mixture import MixtureParameters
    from tfp_mdn.tables import Columns

__all__ = ["SavedModel", "fit_model", "held_out_score", "load_model", "open_model"]


@final
@dataclass(frozen=True)
class SavedModel:
    """A saved model as its metadata describe it, before TensorFlow is imported.

    Attributes:
        path: Its directory.
        columns: The columns of a table that it reads.
        targets: The names of its targets.
    """

    path: Path
    columns: Columns
    targets: list[str]

    def load(self) -> MDNRegressor:
        """Load the model itself."""
        from tfp_mdn._startup import import_quietly

        import_quietly()
        from tfp_mdn.estimator import MDNRegressor

        return MDNRegressor.load(self.path)

    def predict(self, inputs: pd.DataFrame) -> MixtureParameters:
        """Load the model and return the mixture at each row of its features."""
        return self.load().predict_parameters(inputs)


def open_model(path: Path) -> SavedModel:
    """Return what is known about a saved model without loading it.

    Raises:
        click.UsageError: If there is none, or it does not know the names of its columns.
        ValueError: If it is damaged.
    """
    from tfp_mdn.model_directory import read_metadata
    from tfp_mdn.tables import CATEGORIES, Columns

    metadata = read_metadata(path)
    features, targets = metadata["feature_names"], metadata["target_names"]
    if features is None or targets is None:
        message = f"{path} was fitted without column names; fit it with tfp-mdn or data frames."
        raise click.UsageError(message)
    columns = Columns.from_features(features, metadata["extras"].get(CATEGORIES))
    return SavedModel(path, columns, targets)


def load_model(path: Path) -> MDNRegressor:
    """Load a model that knows the names of its columns."""
    return open_model(path).load()


def fit_model(
    inputs: pd.DataFrame,
    outputs: pd.DataFrame,
    place: Path,
    *,
    columns: Columns,
    weights: Any = None,
    **settings: Any,
) -> tuple[MDNRegressor, bool]:
    """Train and save a model, once it is known that it can be saved.

    Args:
        inputs: The features.
        outputs: The targets.
        place: Directory to write.
        columns: The columns behind the features, kept with the model.
        weights: Weight of each row, or None.
        **settings: Arguments of `MDNRegressor`.

    Returns:
        The model, and whether its training ended before the last step for want of progress.

    Raises:
        click.Abort: If training was interrupted; nothing is saved then.
    """
    from tfp_mdn.model_directory import check_place

    check_place(place)
    from tfp_mdn._startup import import_quietly

    import_quietly()
    import tf_keras

    from tfp_mdn.callbacks import ProgressBar
    from tfp_mdn.estimator import MDNRegressor
    from tfp_mdn.tables import CATEGORIES

    model = MDNRegressor(**settings)
    bar = None if is_quiet() else ProgressBar()
    watcher = bar or tf_keras.callbacks.Callback()  # is told how many checks there would be
    try:
        with _interruption_ends_it():
            model.fit(inputs, outputs, weights, callbacks=[watcher])
    finally:
        if bar is not None:
            bar.close()
    extras = {CATEGORIES: columns.to_dict()} if columns.categories else None
    model.save(place, extras=extras)
    return model, len(model.history_["step"]) < watcher.params["epochs"]


def held_out_score(model: MDNRegressor) -> float:
    """Return the best loss on the rows held out, in nats per row."""
    return float(min(model.history_["val_loss"]))


@contextmanager
def _interruption_ends_it() -> Iterator[None]:
    """Give up when training is interrupted: the library would keep the best weights so far."""
    message = "training was interrupted"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=message, category=UserWarning)
        try:
            yield
        except UserWarning as warning:
            if not str(warning).startswith(message):
                raise
            raise click.Abort from warning
