"""Kernel for the continuous ranked probability score of mixtures of any family."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tfp_mdn.mixture._family_lines import FamilyLines
from tfp_mdn.mixture.density import row_blocks

if TYPE_CHECKING:
    from tfp_mdn._validation import FloatArray
    from tfp_mdn.mixture.families import Family, Shape

__all__ = ["crps", "half_mean_difference"]

# Relative difference of the two rules at which an interval is not halved any more, which leaves the
# better one an error of about its square, and the number of halvings that is always enough.
TOLERANCE = 1e-5
MOST_HALVINGS = 50

# Tails begin here, in probability of each component: their squares are nothing beside the rest.
FIRST_TAIL, LAST_TAIL = 0.02, 1e-11

# Rules of 7 and 15 points after Gauss and Kronrod, on [-1, 1].
# fmt: off
NODES = np.array([
    0.991455371120812639206854697526329, 0.949107912342758524526189684047851,
    0.864864423359769072789712788640926, 0.741531185599394439863864773280788,
    0.586087235467691130294144691693013, 0.405845151377397166906606412076961,
    0.207784955007898467600689403773245, 0.0,
])
KRONROD = np.array([
    0.022935322010529224963732008058970, 0.063092092629978553290700663189204,
    0.104790010322250183839876322541518, 0.140653259715525918745189590510238,
    0.169004726639267902826583426598550, 0.190350578064785409913256402421014,
    0.204432940075298892414161999234649, 0.209482141084727828012999174891714,
])
GAUSS = np.array([
    0.0, 0.129484966168869693270611432679082, 0.0, 0.279705391489276667901467771423780,
    0.0, 0.381830050505118944950369775488975, 0.0, 0.417959183673469387755102040816327,
])
# fmt: on
NODES = np.concatenate([-NODES, NODES[-2::-1]])
KRONROD = np.concatenate([KRONROD, KRONROD[-2::-1]])
GAUSS = np.concatenate([GAUSS, GAUSS[-2::-1]])


def crps(y: FloatArray, family: Family, weights: FloatArray, shape: Shape) -> FloatArray:
    """Return E|Y − y| − ½ E|Y − Y'| for D = 1, (..., N), in the target's units.

    The first term is a sum over components in closed form, the second one an integral.

    Args:
        y: Targets (..., N, 1).
        family: The kind of components.
        weights: Component weights (N, K).
        shape: Its parameters (N, K, 1) each.

    References:
        A. Jordan, F. Krüger, S. Lerch (2019), Evaluating probabilistic forecasts with
        scoringRules, Journal of Statistical Software 90(12), appendix A,
        https://doi.org/10.18637/jss.v090.i12.
    """
    num_rows, num_components = weights.shape
    spread = half_mean_difference(FamilyLines.of(family, weights, shape))
    result = np.empty(y.shape[:-1])
    for rows in row_blocks(num_rows, num_components * math.prod(y.shape[:-2])):
        parameters = tuple(part[rows, :, 0] for part in shape)
        with np.errstate(invalid="ignore"):
            away = family.distance(y[..., rows, :], *parameters)
        # A component of no weight may have no mean.
        away = np.where(weights[rows] > 0.0, away, 0.0)
        distance = np.einsum("nk,...nk->...n", weights[rows], away)
        # Not negative but for rounding.
        result[..., rows] = np.maximum(distance - spread[rows], 0.0)
    return result


def half_mean_difference(lines: FamilyLines) -> FloatArray:
    """Return ½ E|Y − Y'| of each row, (B,).

    With any place m it is E|Y − m| − ∫ F² below m − ∫ (1 − F)² above m, where the integrands fall
    off twice as fast as the tails do. Between places of the components' tails the integral is
    taken by Gauss and Kronrod's rules, and intervals are halved until the two agree.

    Args:
        lines: The mixtures.
    """
    num_rows, num_components = lines.size
    result = np.empty(num_rows)
    for rows in row_blocks(num_rows, 4 * len(NODES) * num_components**2):
        result[rows] = _half_mean_difference(lines.take(rows))
    return result


def _half_mean_difference(lines: FamilyLines) -> FloatArray:
    """Return ½ E|Y − Y'| of each row of a block, (B,)."""
    num_rows, _ = lines.size
    family, shape, weights = lines.family, lines.shape, lines.weights
    modes = family.mode(*shape)
    # Of all components the last tails of the outermost, and of each one where its slope is steep.
    (low, high), (first, last) = (
        (
            family.tail_places(np.full_like(modes, tail), np.full(modes.shape, upper), *shape)[2]
            for upper in (False, True)
        )
        for tail in (FIRST_TAIL, LAST_TAIL)
    )
    first, last = np.maximum(first.min(axis=0), family.lower_end), last.max(axis=0)
    edges = np.clip(np.concatenate([modes, low, high, [first, last]]), first, last)
    centre = modes[weights.argmax(axis=0), np.arange(num_rows)]
    unit = 0.5 * (high - low).min(axis=0)
    edges = np.sort(edges, axis=0)
    total = _integrals(lines, edges, centre, unit)
    away = np.where(weights > 0.0, family.distance(centre, *shape), 0.0)
    return np.einsum("kb,kb->b", weights, away) - total


def _integrals(
    lines: FamilyLines, edges: FloatArray, centre: FloatArray, unit: FloatArray
) -> FloatArray:
    """Return ∫ F² below the centre plus ∫ (1 − F)² above it, each (B,), between the outer edges.

    In u, with y = centre + unit sinh u, heavy tails fall off exponentially.
    """
    with np.errstate(over="ignore"):
        places = np.arcsinh((edges - centre) / unit)
    places = np.sort(np.concatenate([places, np.zeros((1, len(centre)))]), axis=0)
    index, rows = np.nonzero(places[:-1] < places[1:])
    lower, upper = places[index, rows], places[index + 1, rows]
    total = np.zeros(len(centre))
    for _ in range(MOST_HALVINGS):
        value, error = _rules(lines, lower, upper, rows, centre, unit)
        size = total + np.bincount(rows, value, len(centre))
        # Each interval gets a share of the error by its length.
        share = (upper - lower) / (places[-1] - places[0])[rows]
        good = error <= TOLERANCE * size[rows] * np.maximum(share, 1e-3)
        total += np.bincount(rows[good], value[good], len(centre))
        rows, lower, upper = rows[~good], lower[~good], upper[~good]
        if not len(rows):
            break
        middle = 0.5 * lower + 0.5 * upper
        rows = np.tile(rows, 2)
        lower, upper = np.concatenate([lower, middle]), np.concatenate([middle, upper])
    else:
        total += np.bincount(rows, value[~good].repeat(2) * 0.5, len(centre))
    return total


def _rules(
    lines: FamilyLines,
    lower: FloatArray,
    upper: FloatArray,
    rows: NDArray[np.intp],
    centre: FloatArray,
    unit: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return integrals over intervals (I,) of u by the better rule, and estimates of its error."""
    values = np.empty(len(rows))
    errors = np.empty(len(rows))
    num_components = lines.size[1]
    for block in row_blocks(len(rows), len(NODES) * num_components):
        row = rows[block]
        half = 0.5 * (upper[block] - lower[block])
        u = 0.5 * (upper[block] + lower[block]) + NODES[:, np.newaxis] * half
        y = centre[row] + unit[row] * np.sinh(u)
        chosen = lines.take(row)
        shape = tuple(part[:, np.newaxis] for part in chosen.shape)
        below, above = lines.family.tails(y, *shape)
        # The end that belongs to the side of the interval: none reaches over u = 0.
        tails = np.where(u < 0.0, below, above)
        square = np.square(np.einsum("ki,kji->ji", chosen.weights, tails))
        square *= unit[row] * np.cosh(u)
        values[block] = half * (KRONROD @ square)
        errors[block] = np.abs(values[block] - half * (GAUSS @ square))
    return values, errors
