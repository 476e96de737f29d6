"""Data beside samples: does the model draw what was seen?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfp_mdn._validation import FloatArray, as_generator
from tfp_mdn.plotting._inputs import (
    AxesArray,
    Pair,
    as_axes_array,
    as_column,
    as_mixture_over,
    as_pair,
    as_samples,
)
from tfp_mdn.plotting._style import BLUE, DATA_COLOUR, SAMPLE_COLOUR, draw_points, limits, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from tfp_mdn.mixture._methods import Mixture

__all__ = ["plot_comparison", "plot_samples"]

# Percentiles of the samples that the limits hold; one sample far out would flatten the rest.
_RANGE = (0.1, 99.9)
# Width and height in inches of figures of one, two and three panels.
_SIZES = {1: (6.0, 4.0), 2: (8.0, 4.0), 3: (10.0, 3.8)}


def plot_samples(
    x: ArrayLike,
    samples: ArrayLike,
    *,
    data: tuple[ArrayLike, ArrayLike] | None = None,
    axes: Sequence[Axes] | AxesArray | None = None,
    xlabel: str = "x",
    ylabel: str = "y",
) -> AxesArray:
    """Draw the data beside samples of the model, in two panels with the same limits.

    The limits hold all data and 99.8 % of the samples, so that a sample far out does not flatten
    the rest.

    Args:
        x: Inputs of shape (N,) or (N, 1), in any order, in their own units.
        samples: Samples of shape (S, N, 1) at those inputs, as `MixtureParameters.sample` gives
            them, in the target's units.
        data: Pair (x, y) of vectors of data points, or None to draw the samples alone.
        axes: Two axes, one if there is no data, or None for a new figure.
        xlabel: Label of the x axes.
        ylabel: Label of the first y axis.

    Returns:
        The axes of data and samples, an array of shape (2,), or (1,) without data.

    Raises:
        TypeError: If an element of `axes` is not an axes, `data` not a pair, or an array does not
            hold real numbers.
        ValueError: If shapes or lengths do not fit, or a value is NaN or infinite.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> x = np.linspace(0.0, 1.0, 20)
        >>> p = MixtureParameters(np.ones((20, 1)), x[:, np.newaxis], np.full((20, 1), 0.1))
        >>> axes = plot_samples(x, p.sample(10, rng=0), data=(x, x), axes=Figure().subplots(1, 2))
        >>> [ax.get_title() for ax in axes]
        ['Data', 'Samples']
    """
    inputs = as_column("x", x)
    drawn = _flat(inputs, as_samples(samples, len(inputs)))
    points = None if data is None else as_pair("data", data)
    num_panels = 1 if points is None else 2
    panels = _panels(axes, num_panels)
    if points is not None:
        draw_points(panels[0], points, color=DATA_COLOUR)
        panels[0].set_title("Data")
    draw_points(panels[-1], drawn, color=SAMPLE_COLOUR)
    panels[-1].set_title("Samples")
    _finish(panels, [drawn[0]], [np.percentile(drawn[1], _RANGE)], points, xlabel, ylabel)
    return panels


def plot_comparison(
    x: ArrayLike,
    parameters: Mixture,
    *,
    data: tuple[ArrayLike, ArrayLike],
    squared_error: ArrayLike,
    samples: ArrayLike | None = None,
    rng: np.random.Generator | int | None = None,
    axes: Sequence[Axes] | AxesArray | None = None,
    xlabel: str = "x",
    ylabel: str = "y",
) -> AxesArray:
    """Draw data, a squared-error network and a mixture density network side by side.

    The last panel shows samples. If none are given, it shows as many as there are data points:
    for each data point one sample at the nearest x of the grid, so that the two clouds may be
    compared point for point. All limits are the same.

    Args:
        x: Inputs of shape (N,) or (N, 1), in any order, in their own units.
        parameters: Mixtures at those inputs, for targets of one dimension.
        data: Pair (x, y) of vectors of data points.
        squared_error: Predictions of the squared-error network at `x`, (N,) or (N, 1), in the
            target's units.
        samples: Samples of shape (S, N, 1) at `x`, or None to draw them here.
        rng: Generator, integer seed, or None for fresh randomness; used if `samples` is None.
        axes: Three axes, or None for a new figure.
        xlabel: Label of the x axes.
        ylabel: Label of the first y axis.

    Returns:
        The three axes, an array of shape (3,).

    Raises:
        TypeError: If an element of `axes` is not an axes, `parameters` not a `MixtureParameters`,
            `data` not a pair, `rng` not a generator, or an array does not hold real numbers.
        ValueError: If `parameters.event_size` is not 1, shapes or lengths do not fit, a value is
            NaN or infinite, `x` holds fewer than two different values, or `axes` are not three.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from tfp_mdn.mixture import MixtureParameters
        >>> x = np.linspace(0.0, 1.0, 20)
        >>> p = MixtureParameters(np.ones((20, 1)), x[:, np.newaxis], np.full((20, 1), 0.1))
        >>> axes = plot_comparison(
        ...     x, p, data=(x, x), squared_error=x, rng=0, axes=Figure().subplots(1, 3)
        ... )
        >>> [ax.get_title() for ax in axes]
        ['Data', 'Squared-error network', 'Mixture density network']
    """
    inputs, mixture = as_mixture_over(x, parameters)
    points = as_pair("data", data)
    prediction = as_column("squared_error", squared_error)
    if len(prediction) != len(inputs):
        msg = (
            f"squared_error must have one prediction for each of the {len(inputs)} values of x, "
            f"got {len(prediction)}."
        )
        raise ValueError(msg)
    if samples is None:
        drawn = _samples_like(points, inputs, mixture, as_generator("rng", rng))
    else:
        drawn = _flat(as_column("x", x), as_samples(samples, len(inputs)))
    panels = _panels(axes, 3)
    order = np.argsort(as_column("x", x), kind="stable")

    for ax in panels[:2]:
        draw_points(ax, points, color=DATA_COLOUR)
    panels[1].plot(inputs, prediction[order], color=BLUE, linewidth=2.5)
    draw_points(panels[2], drawn, color=SAMPLE_COLOUR)
    titles = ("Data", "Squared-error network", "Mixture density network")
    for ax, title in zip(panels, titles, strict=True):
        ax.set_title(title)
    spans = [prediction, np.percentile(drawn[1], _RANGE)]
    _finish(panels, [inputs], spans, points, xlabel, ylabel)
    return panels


def _flat(x: FloatArray, samples: FloatArray) -> Pair:
    """Return samples (S, N) and their inputs as two vectors."""
    return np.tile(x, len(samples)), samples.ravel()


def _samples_like(
    points: Pair, inputs: FloatArray, mixture: Mixture, rng: np.random.Generator
) -> Pair:
    """Return one sample for each data point, at the nearest of the sorted inputs."""
    # Sorted: if the data came from the same seed, row by row, the uniform numbers that made them
    # would choose their components again, and the samples would form patterns.
    rows = np.searchsorted(0.5 * (inputs[1:] + inputs[:-1]), np.sort(points[0]))
    return inputs[rows], mixture[rows].sample(1, rng)[0, :, 0]


def _panels(axes: Sequence[Axes] | AxesArray | None, size: int) -> AxesArray:
    """Return the caller's axes, or a row of new ones."""
    if axes is not None:
        return as_axes_array(axes, size)
    return new_axes(1, size, size=_SIZES[size])


def _finish(
    panels: AxesArray,
    x_spans: list[FloatArray],
    y_spans: list[FloatArray],
    points: Pair | None,
    xlabel: str,
    ylabel: str,
) -> None:
    """Give all panels the same limits, and the labels."""
    if points is not None:
        x_spans, y_spans = [*x_spans, points[0]], [*y_spans, points[1]]
    for ax in panels:
        ax.set_xlim(limits(*x_spans))
        ax.set_ylim(limits(*y_spans))
        ax.set_xlabel(xlabel)
    panels[0].set_ylabel(ylabel)
