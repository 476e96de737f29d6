"""Functions of the normal distribution as exact as SciPy's and several times as fast.

`scipy.special.erf` and `ndtr` branch on each element. Here the values come from a table of places
z₀, so close together that a few terms of Taylor's series in d = z − z₀ reach the last digits, and
every step is one of NumPy's vectorised operations. The arrays for them are the caller's, since
fresh ones cost more than the arithmetic in them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import erf, ndtr

from tfp_mdn._validation import FloatArray

__all__ = ["mean_size", "normal_cdf"]

# Table places in one standard deviation, a power of two so that z₀ and d are exact.
PLACES = 512

# Where the density has underflowed; beyond it Φ is 0 or 1.
LARGEST_RESIDUAL = 39

# Where E|z + Z| is |z| to the last digit.
LARGEST_GAP = 9

CDF = ndtr(np.arange(-LARGEST_RESIDUAL * PLACES, LARGEST_RESIDUAL * PLACES + 1) / PLACES)
GAPS = np.arange(LARGEST_GAP * PLACES + 1) / PLACES
ERF = erf(GAPS * math.sqrt(0.5))
TWICE_DENSITY = math.sqrt(2.0 / math.pi) * np.exp(-0.5 * np.square(GAPS))


def normal_cdf(
    z: FloatArray, kernel: FloatArray, cdf: FloatArray, spare: Sequence[FloatArray]
) -> None:
    """Write Φ(z) and exp(−z²/2) into arrays of the shape of z, which is held to ±39 in place.

    With f = z d, the series that leads from z back to z₀ gives

        Φ(z) = Φ(z₀) + φ(z) d (1 + f/2 + (f² − d²)/6 + (f³ − 3 f d²)/24 + f⁴/120).

    What it leaves out is below 1e-16, and in the far tails, which are steep, below 1e-11 of Φ.

    Args:
        z: Standardised residuals.
        kernel: Gets exp(−z²/2).
        cdf: Gets Φ(z).
        spare: Three more arrays of that shape, which are overwritten.
    """
    delta, product, series = spare
    np.maximum(z, -LARGEST_RESIDUAL, out=z)
    np.minimum(z, LARGEST_RESIDUAL, out=z)
    np.multiply(z, PLACES, out=delta)
    np.rint(delta, out=delta)
    np.add(delta, LARGEST_RESIDUAL * PLACES, out=product)
    index = kernel.view(np.intp)
    np.copyto(index, product, casting="unsafe")
    # The mode "raise" would buffer its output; what is not a number may have any place.
    CDF.take(index, out=cdf, mode="clip")
    delta *= -1.0 / PLACES
    delta += z
    np.square(z, out=kernel)
    kernel *= -0.5
    np.exp(kernel, out=kernel)
    np.multiply(z, delta, out=product)
    np.multiply(product, 1.0 / 120.0, out=series)
    for coefficient in (1.0 / 24.0, 1.0 / 6.0, 0.5):
        series += coefficient
        series *= product
    series += 1.0
    product *= 0.125
    product += 1.0 / 6.0
    product *= delta
    product *= delta
    series -= product
    series *= delta
    series *= kernel
    series *= 1.0 / math.sqrt(2.0 * math.pi)
    cdf += series


def mean_size(gap: FloatArray, scale: FloatArray, spare: Sequence[FloatArray]) -> FloatArray:
    """Return E|μ + σZ| for a standard normal Z, in one of the spare arrays.

    With z = |μ| / σ and e = z₀ d, the series around z₀ gives

        σ (z erf(z₀ / √2) + 2 φ(z₀) (1 + d² (1/2 − e/6 + (e² − d²)/24))).

    What it leaves out is below 1e-16 of the result.

    Args:
        gap: Sizes of the means |μ|.
        scale: Standard deviations σ; where they have underflowed to 0 the result is |μ|.
        spare: Four arrays of the shape of the arguments, which are overwritten.
    """
    delta, product, series, index = spare
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        np.divide(gap, scale, out=delta)
    # Not np.minimum, which would keep the NaN of 0 / 0.
    np.fmin(delta, LARGEST_GAP, out=delta)
    np.multiply(delta, PLACES, out=product)
    np.rint(product, out=product)
    np.copyto(index.view(np.intp), product, casting="unsafe")
    product *= 1.0 / PLACES
    delta -= product
    product *= delta
    np.multiply(product, 1.0 / 24.0, out=series)
    series -= 1.0 / 6.0
    series *= product
    series += 0.5
    np.square(delta, out=delta)
    np.multiply(delta, 1.0 / 24.0, out=product)
    series -= product
    series *= delta
    series += 1.0
    series *= scale
    series *= TWICE_DENSITY.take(index.view(np.intp), out=delta, mode="clip")
    ERF.take(index.view(np.intp), out=delta, mode="clip")
    delta *= gap
    series += delta
    return series
