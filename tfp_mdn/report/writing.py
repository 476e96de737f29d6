"""Writes a report on a fitted model to a file."""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras
from numpy.typing import ArrayLike, NDArray

from tfp_mdn._placing import placed_whole, writable_place
from tfp_mdn._validation import FloatArray, as_whole_number
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.extraction import extract_parameters
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.report import _words
from tfp_mdn.report._content import calibration_of, column_table, ranges_of
from tfp_mdn.report._network import COVERAGE, LEVELS, references_of
from tfp_mdn.report._page import page, table
from tfp_mdn.report._slices import slices_of
from tfp_mdn.report._subject import Subject, subject_of

__all__ = ["write_report"]

# Bounds on the time that a report takes and on the size of its file.
_MOST_SCORED, _MOST_POINTS, _REFERENCES = 20_000, 2_000, 5


def write_report(
    model: MDNRegressor | tf_keras.Model,
    X: ArrayLike,
    y: ArrayLike,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    lattice: ArrayLike | None = None,
    seed: int = 0,
) -> Path:
    """Write what a model learned, and how far it can be trusted, as one HTML file.

    The file needs no network and no other file. It shows the data, the model, its learning curve,
    its calibration on the rows given, and an explorer in which every input can be set: density,
    components, quantiles, modes and the highest-density region follow. The page of an estimator
    holds the network itself and compares its own answers with the library's when it is opened. Of
    other models it holds the mixtures along each input while the others are at their medians.

    Args:
        model: Fitted `MDNRegressor`; or a `tf_keras` model that takes rows (N, F) and ends in a
            mixture layer, ours or one of `tfp.layers`.
        X: Inputs (N, F), best of rows that the model was not fitted to: on rows it was, every
            score is too good. Rows with a missing value, in X or y, are counted and left out.
        y: Their targets, (N,) or (N, D).
        path: File to write; one that is there is replaced once the new one is whole.
        title: Title of the page; names of target and inputs by default.
        lattice: Step to which targets were rounded; see `calibration_report`.
        seed: Seed of the choice of rows: at most 20000 are scored and 2000 drawn.

    Returns:
        The absolute path.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If shapes or names do not fit the model, or no row is complete.
        ImportError: If Plotly, which the extra "report" installs, is missing.
        OSError: If the file cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> x = np.linspace(0, 1, 50)[:, None]
        >>> model = MDNRegressor(num_steps=40, random_state=0).fit(x, 3 * x[:, 0])
        >>> with TemporaryDirectory() as folder:
        ...     write_report(model, x, 3 * x[:, 0], f"{folder}/report.html").name
        'report.html'
    """
    if title is not None and not isinstance(title, str):
        msg = f"title must be text or None, got {type(title).__name__}."
        raise TypeError(msg)
    rng = np.random.default_rng(as_whole_number("seed", seed, minimum=0))
    subject = subject_of(model, X, y)
    inputs, targets = subject.inputs, subject.targets
    place = _as_place(path)
    whole = np.flatnonzero(np.isfinite(inputs).all(axis=1) & np.isfinite(targets).all(axis=1))
    if not len(whole):
        msg = f"all of the {len(inputs)} rows of X and y have a missing or infinite value."
        raise ValueError(msg)
    scored, drawn = _some(whole, _MOST_SCORED, rng), _some(whole, _MOST_POINTS, rng)
    parameters = extract_parameters(subject.model, inputs[scored])
    calibration = calibration_of(parameters, targets[scored], lattice=lattice, seed=seed)
    data = {
        **_explorer(subject, whole, _some(whole, _REFERENCES, rng)),
        "points": {"x": inputs[drawn].T.tolist(), "y": targets[drawn].T.tolist()},
        "history": subject.history,
        "calibration": calibration.pictures,
    }
    columns = column_table(inputs, targets, subject.features, subject.names)
    parts = {
        "tiles": _words.tiles(calibration.report, subject.names),
        "rows": html.escape(_words.rows_in_words(len(inputs), len(whole), len(scored), len(drawn))),
        "verdict": _words.verdict(calibration.report, subject.names),
        "coverage": _words.coverage(calibration, subject.names),
        "columns": table(columns, "Columns of the data"),
        "settings": table(subject.settings, "The model and its settings"),
    }
    title = title or _words.default_title(subject.features, subject.names)
    text = page(title, parts=parts, data=data)
    with placed_whole(place) as new:
        new.write_text(text, encoding="utf-8")
    return place


def _explorer(
    subject: Subject, whole: NDArray[np.intp], checked: NDArray[np.intp]
) -> dict[str, Any]:
    """Return what the explorer computes with: the network itself, or slices through the medians."""

    def predict(rows: FloatArray) -> MixtureParameters:
        return extract_parameters(subject.model, rows)

    features = ranges_of(subject.inputs[whole], subject.features)
    ranges = ranges_of(subject.targets[whole], subject.names)
    slices, references = None, []
    if subject.network is None:
        loc = np.array([column["median"] for column in ranges])
        scale = np.array([column["high"] - column["low"] for column in ranges])
        slices = slices_of(predict, features, loc, scale)
    else:
        head = subject.model.layers[-1]
        loc, scale = head.loc, head.scale
        rows = subject.inputs[checked]
        references = references_of(rows, predict(rows))
    units = zip(ranges, loc.tolist(), scale.tolist(), strict=True)
    return {
        "features": features,
        "targets": [{**column, "loc": low, "scale": unit} for column, low, unit in units],
        "levels": LEVELS,
        "coverage": COVERAGE,
        "network": subject.network,
        "slices": slices,
        "references": references,
    }


def _some(rows: NDArray[np.intp], most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the rows, or as many of them as allowed, in their order."""
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def _as_place(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a file that can be written, before anything is computed."""
    if Path(path).is_dir():
        msg = f"{path} is a directory; name a file in it."
        raise IsADirectoryError(msg)
    return writable_place(path)
