"""Picture of how the held-out score depends on the number of components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tfp_mdn._validation import as_finite_array
from tfp_mdn.plotting._inputs import as_axes
from tfp_mdn.plotting._style import BLACK, BLUE, GREEN, VERMILLION, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_selection"]

_ATTRIBUTES = ("candidates", "mean", "standard_error", "best", "chosen", "threshold")


class _Selection(Protocol):
    """What `select_num_components` returns."""

    @property
    def candidates(self) -> tuple[int, ...]: ...
    @property
    def mean(self) -> tuple[float, ...]: ...
    @property
    def standard_error(self) -> tuple[float, ...]: ...
    @property
    def best(self) -> int: ...
    @property
    def chosen(self) -> int: ...
    @property
    def threshold(self) -> float: ...


def plot_selection(result: _Selection, *, ax: Axes | None = None) -> Axes:
    """Draw the held-out log score over the number of components, and which one was chosen.

    Points are means over the folds, bars one standard error either way. The dashed line lies one
    standard error below the best mean; the fewest components above it are chosen.

    Args:
        result: What `select_num_components` returned.
        ax: Axes to draw on, or None for a new figure.

    Returns:
        The axes that were drawn on.

    Raises:
        TypeError: If `result` is something else, or `ax` is not an axes.

    Example:
        >>> from types import SimpleNamespace
        >>> from matplotlib.figure import Figure
        >>> result = SimpleNamespace(candidates=(1, 2), mean=(-1.4, -1.1), best=2, chosen=2,
        ...                          standard_error=(0.05, 0.04), threshold=-1.14)
        >>> ax = plot_selection(result, ax=Figure().subplots())
        >>> ax.get_xlabel()
        'components'
    """
    missing = [name for name in _ATTRIBUTES if not hasattr(result, name)]
    if missing:
        msg = (
            "result must be what select_num_components returned, got "
            f"{type(result).__name__} without {missing[0]}."
        )
        raise TypeError(msg)
    mean = as_finite_array("result.mean", result.mean)
    places = range(len(result.candidates))
    ax = new_axes()[0] if ax is None else as_axes(ax)
    # At equal distances: candidates are mostly spaced ever wider, and only their order matters.
    ax.errorbar(
        *(places, mean, result.standard_error),
        **_look(BLUE, marker="o", markersize=5.0, linewidth=1.8, elinewidth=1.2, capsize=3.0),
        label="mean of the folds ± standard error",
    )
    label = "one standard error below the best"
    ax.axhline(result.threshold, color=GREEN, linestyle="dashed", linewidth=1.5, label=label)
    # Rings of two sizes, which can be seen around one point too.
    for name, number, color, size in (
        ("best", result.best, BLACK, 10.0),
        ("chosen", result.chosen, VERMILLION, 15.0),
    ):
        place = result.candidates.index(number)
        ring = _look(color, marker="o", markersize=size, linestyle="none")
        ax.plot(
            [place],
            [mean[place]],
            **ring,
            markerfacecolor="none",
            markeredgewidth=1.8,
            label=f"{name}: {number}",
        )
    ax.set_xticks(list(places), [str(number) for number in result.candidates])
    ax.set(xlabel="components", ylabel="held-out log score (nats)", title="Number of components")
    ax.legend(loc="best")
    return ax


def _look(color: str, **style: Any) -> dict[str, Any]:
    return {"color": color, **style}
