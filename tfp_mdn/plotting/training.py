"""Curves of a training: how the score fell, where it was best, and how low it could go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from matplotlib.ticker import MaxNLocator

from tfp_mdn._validation import FloatArray, as_float_array, as_real
from tfp_mdn.plotting._inputs import Pair, as_axes
from tfp_mdn.plotting._style import BLACK, BLUE, GREEN, VERMILLION, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_history"]

_CURVES = (("loss", "training", BLUE), ("val_loss", "held out", VERMILLION))
# The highest tenth of the values is cut off if it reaches three times as far above the lowest
# value as the rest does; then the axis ends at one and a half times that height.
_CUT, _FAR, _SPARE = 0.1, 3.0, 1.5
_MARGIN = 0.06
# Shorter curves show their points: a single one would otherwise be an invisible line.
_FEW = 12


class _HasHistory(Protocol):
    """What a Keras `History` offers."""

    history: dict[str, Any]


def plot_history(
    history: _HasHistory | Mapping[str, Sequence[float]],
    *,
    entropy: float | None = None,
    ax: Axes | None = None,
    xlabel: str | None = None,
    ylabel: str = "negative log-likelihood (nats)",
) -> Axes:
    """Draw the training loss and the held-out loss over the steps of a training.

    The best held-out value is marked. Where the highest tenth of the values, most often the first
    ones, reaches much farther up than the rest, the axis ends below it and the legend names the
    highest value. A value that is NaN or infinite leaves a gap.

    Args:
        history: What `fit` returned, or a mapping of lists such as `MDNRegressor.history_`: `loss`
            or `val_loss` or both, and `step` if the values are not one an epoch.
        entropy: Lowest loss that any model can reach, if known, drawn as a dashed line.
        ax: Axes to draw on, or None for a new figure.
        xlabel: Label of the x axis; None takes "step" if there are steps, else "epoch".
        ylabel: Label of the y axis.

    Returns:
        The axes that were drawn on.

    Raises:
        TypeError: If `history` is neither, `ax` is not an axes, or a curve does not hold numbers.
        ValueError: If there is no curve, lengths differ, or no value of a curve is finite.

    Example:
        >>> from matplotlib.figure import Figure
        >>> history = {"loss": [3.0, 2.0, 1.5], "val_loss": [2.8, 2.1, 2.2]}
        >>> ax = plot_history(history, ax=Figure().subplots())
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['training', 'held out', 'best: 2.1 at epoch 2']
    """
    curves, unit = _as_curves(history)
    floor = None if entropy is None else as_real("entropy", entropy)
    ax = new_axes()[0] if ax is None else as_axes(ax)
    bottom, top = _limits(np.concatenate([values for _, values in curves.values()]), floor)
    for name, label, color in _CURVES:
        if name in curves:
            steps, values = curves[name]
            if np.nanmax(values) > top:
                label = f"{label} (highest: {np.nanmax(values):.4g})"
            marker = "." if len(steps) <= _FEW else ""
            ax.plot(steps, values, color=color, label=label, marker=marker, linewidth=1.8)
    if "val_loss" in curves:
        steps, held_out = curves["val_loss"]
        best = int(np.nanargmin(held_out))
        label = f"best: {held_out[best]:.4g} at {unit} {steps[best]:g}"
        mark = ax.plot(steps[best], held_out[best], "o", color=BLACK, markersize=8, label=label)
        mark[0].set(markerfacecolor="none", markeredgewidth=1.8)
    if floor is not None:
        label = f"best possible: {floor:.4g}"
        ax.axhline(floor, color=GREEN, linestyle="dashed", linewidth=1.8, label=label)
    ax.set_ylim(bottom, top)
    # An epoch is a whole number, however few there are.
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(loc="best")
    ax.set(xlabel=xlabel or unit, ylabel=ylabel, title="Training")
    return ax


def _limits(values: FloatArray, floor: float | None) -> tuple[float, float]:
    """Return limits that leave out the highest values if they would flatten the rest."""
    values = values[np.isfinite(values)]
    low = float(values.min() if floor is None else min(floor, values.min()))
    highest, most = float(values.max()), float(np.quantile(values, 1.0 - _CUT))
    if most > low and highest - low > _FAR * (most - low):
        highest = low + _SPARE * (most - low)
    width = (highest - low) or abs(highest) or 1.0
    return low - _MARGIN * width, highest + _MARGIN * width


def _as_curves(history: object) -> tuple[dict[str, Pair], str]:
    """Return the steps and checked values of the curves, gaps as NaN, and what a step is."""
    table = getattr(history, "history", history)
    if not isinstance(table, Mapping):
        msg = (
            "history must be a Keras History or a mapping of lists such as "
            f'{{"loss": [...], "val_loss": [...]}}, got {type(history).__name__}.'
        )
        raise TypeError(msg)
    curves = {name: _as_curve(name, table[name]) for name, _, _ in _CURVES if name in table}
    if not curves:
        msg = (
            f"history must hold 'loss' or 'val_loss', got the names {sorted(map(str, table))}. "
            "Was the model fitted?"
        )
        raise ValueError(msg)
    length = len(next(iter(curves.values())))
    unit = "step" if "step" in table else "epoch"
    steps = _as_curve("step", table["step"]) if "step" in table else np.arange(1.0, length + 1.0)
    # With `validation_freq`, Keras has a held-out loss for every second, third ... epoch only.
    every = max(1, length // len(curves["val_loss"])) if unit == "epoch" and len(curves) > 1 else 1
    placed = {"step": (steps, steps)} | {
        name: (steps[every - 1 :: every] if name == "val_loss" else steps, curve)
        for name, curve in curves.items()
    }
    for name, (places, curve) in placed.items():
        if len(curve) != len(places) or len(steps) != length:
            first = next(iter(curves))
            msg = (
                "history must hold lists of one length, "
                f"got {length} values of {first!r} and {len(curve)} of {name!r}."
            )
            raise ValueError(msg)
    return {name: placed[name] for name in curves}, unit


def _as_curve(name: str, value: Any) -> FloatArray:
    """Return one list of the history as a vector whose values that are not finite are NaN."""
    curve = as_float_array(f"history[{name!r}]", value)
    if curve.ndim != 1 or not np.isfinite(curve).any():
        msg = (
            f"history[{name!r}] must be a vector with at least one finite value, "
            f"got shape {curve.shape} with {int(np.isfinite(curve).sum())} finite value(s)."
        )
        raise ValueError(msg)
    return np.where(np.isfinite(curve), curve, np.nan)
