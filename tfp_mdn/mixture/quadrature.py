"""Nodes and weights for integrals over the line of functions of mixture densities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray

__all__ = ["line_nodes"]

# Where each component cuts the line, in its standard deviations. Of a function such as p log p,
# less than 1e-9 lies beyond the last.
_CUTS = np.array([-7.0, -5.0, -3.5, -1.75, 0.0, 1.75, 3.5, 5.0, 7.0])

# A component of less weight than this need not be followed in detail.
_NEGLIGIBLE = 1e-10

# Nodes between two cuts, and the standard deviations, of the narrowest component near by, that two
# intervals may have together to be one: with both, entropies are right to about 1e-6 nats.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
_JOINED = 2.0


def line_nodes(
    weights: FloatArray, means: FloatArray, variances: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights (Q, N) of Gauss-Legendre rules between cuts of all components.

    The integral of f over the line is the sum of weights f(nodes), for an f that falls off as the
    components do, whatever the ratios of their scales. Q depends on them.

    Args:
        weights: Component weights (N, K).
        means: Component means (N, K, 1).
        variances: Component variances (N, K, 1).

    Example:
        >>> one = np.ones((1, 1))
        >>> nodes, weights = line_nodes(one, 2.0 * one[..., None], 9.0 * one[..., None])
        >>> density = np.exp(-0.5 * (nodes - 2.0) ** 2 / 9.0) / np.sqrt(2.0 * np.pi * 9.0)
        >>> float((weights * nodes * density).sum().round(6))
        2.0
    """
    centres, scales = means[..., 0], np.sqrt(variances[..., 0])
    heaviest = np.arange(len(weights))[:, np.newaxis], weights.argmax(axis=1)[:, np.newaxis]
    matters = weights > _NEGLIGIBLE
    centres = np.where(matters, centres, centres[heaviest]).T
    scales = np.where(matters, scales, scales[heaviest]).T
    cuts = centres + scales * _CUTS[:, np.newaxis, np.newaxis]
    edges = _thinned(np.sort(cuts.reshape(-1, len(weights)), axis=0), centres, scales)
    half = 0.5 * np.diff(edges, axis=0)
    middle = edges[:-1] + half
    nodes = middle + _NODES[:, np.newaxis, np.newaxis] * half
    widths = _WEIGHTS[:, np.newaxis, np.newaxis] * half
    return nodes.reshape(-1, len(weights)), widths.reshape(-1, len(weights))


def _thinned(edges: FloatArray, centres: FloatArray, scales: FloatArray) -> FloatArray:
    """Return increasing edges (B, N) without those that only many components together make.

    Edges that are dropped leave their place to the last one, as intervals of no length.
    """
    narrowest = np.full(edges.shape, np.inf)
    for centre, scale in zip(centres, scales, strict=True):
        near = np.abs(edges - centre) <= _CUTS[-1] * scale
        np.minimum(narrowest, scale, out=narrowest, where=near)
    last, allowed = edges[0].copy(), narrowest[0].copy()
    kept = np.ones(edges.shape, bool)
    for place in range(1, len(edges) - 1):
        np.minimum(allowed, narrowest[place], out=allowed)
        reach = _JOINED * np.minimum(allowed, narrowest[place + 1])
        now = edges[place + 1] - last > reach
        kept[place] = now
        last = np.where(now, edges[place], last)
        allowed = np.where(now, narrowest[place], allowed)
    edges = np.sort(np.where(kept, edges, edges[-1]), axis=0)
    most = int(kept.sum(axis=0).max())
    result: FloatArray = edges[:most]
    return result
