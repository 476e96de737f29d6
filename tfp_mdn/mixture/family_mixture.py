"""The frozen container of a conditional mixture of heavy-tailed or positive components."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture import _family_conversion as conversion
from tfp_mdn.mixture._arguments import as_dimensions, as_each_dimension
from tfp_mdn.mixture._family_arrays import FamilyArrays
from tfp_mdn.mixture._methods import Mixture

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

__all__ = ["FamilyMixture"]


@final
@dataclass(frozen=True, eq=False, repr=False)
class FamilyMixture(Mixture, FamilyArrays):
    """N mixtures of K components of one family in D dimensions, which are independent in each.

    Row n is the conditional density p(y | xₙ) = Σₖ weights[n, k] Π_d f(y_d | locs[n, k, d], ...).
    It answers what `MixtureParameters` does, with the same names, shapes and checks; see there for
    the shapes of targets. With z = (y − loc) / scale, f is

    - "student_t": ∝ (1 + z²/df)^(−(df + 1)/2), with tails that fall off like |y|^(−df − 1);
    - "logistic": ∝ exp(−z) / (1 + exp(−z))², with exponential tails;
    - "lognormal": that of a y > 0 whose logarithm is normal: loc and scale are those of log y;
    - "truncated_normal": ∝ exp(−z²/2) for y ≥ 0, else 0; loc and scale are those of the normal
      distribution before it is cut off at 0.

    These are the `loc`, `scale` and `df` of TFP's distributions (of `TruncatedNormal` with low 0
    and high infinite). The arrays are float64 and read-only.

    What has no meaning is refused: the mean of Student's t with df ≤ 1, its variance with df ≤ 2.
    Modes are for one dimension; see `modes` for two that lie within 1/64 of a component's scale.

    Args:
        family: Kind of the components, one of the four above.
        weights: Component weights (N, K), not negative; rows sum to 1 within 1e-5 and are then
            renormalised.
        locs: Locations (N, K, D), or (N, K) for D = 1.
        scales: Scales, positive, shaped like the locations.
        df: Degrees of freedom, positive, for "student_t" alone: a number, or like the locations,
            or with 1 in place of any of N, K and D.

    Raises:
        TypeError: If an array does not hold real numbers.
        ValueError: If `family` is unknown, shapes disagree or a value is out of its range.

    References:
        C. M. Bishop (1994), Mixture density networks, Aston University NCRG/94/004.

    Example:
        >>> p = FamilyMixture("student_t", [[0.5, 0.5]], [[-1.0, 1.0]], [[0.5, 0.5]], df=3.0)
        >>> p
        FamilyMixture('student_t', num_inputs=1, num_components=2, event_size=1)
        >>> p.quantile([0.01, 0.99]).round(3).T
        array([[-2.827,  2.827]])
        >>> q = FamilyMixture("lognormal", [[1.0]], [[0.0]], [[0.5]])
        >>> q.mode().round(4), q.mean().round(4), q.cdf(0.0)
        (array([[0.7788]]), array([[1.1331]]), array([0.]))
    """

    def __reduce__(self) -> tuple[type[FamilyMixture], tuple[Any, ...]]:
        """Copy and unpickle through the constructor, so that the arrays stay read-only."""
        return type(self), (self.family, self.weights, self.locs, self.scales, self.df)

    def __repr__(self) -> str:
        """Return family and sizes, not the arrays."""
        return (
            f"FamilyMixture({self.family!r}, num_inputs={self.num_inputs}, "
            f"num_components={self.num_components}, event_size={self.event_size})"
        )

    @property
    def support(self) -> tuple[float, float]:
        """Lower and upper end of the values that a target can take."""
        return self._family.lower_end, math.inf

    @property
    def means(self) -> FloatArray:
        """Means of the components (N, K, D); NaN where Student's t has none, for df ≤ 1."""
        return self._family.moments(*self._shape)[0]

    @property
    def variances(self) -> FloatArray:
        """Variances of the components (N, K, D); inf for Student's t with df ≤ 2, NaN for ≤ 1."""
        return self._family.moments(*self._shape)[1]

    def marginal(self, dims: int | Sequence[int]) -> FamilyMixture:
        """Return the mixtures of some of the target's dimensions, p(y_dims | x).

        Args:
            dims: One dimension or several distinct ones, from 0 to D − 1 (negative ones count
                from the end), in the order that they are to have.

        Raises:
            TypeError: If `dims` does not hold integers.
            ValueError: If `dims` is empty, repeats a dimension or names one that does not exist.

        Example:
            >>> p = FamilyMixture("logistic", [[1.0]], [[[1.0, 2.0]]], [[[3.0, 4.0]]])
            >>> p.marginal(1).median()
            array([2.])
        """
        chosen = as_dimensions("dims", dims, self.event_size)
        return self._map(
            lambda array: array if array.ndim == 2 else np.ascontiguousarray(array[..., chosen])
        )

    def transform(self, loc: ArrayLike = 0.0, scale: ArrayLike = 1.0) -> FamilyMixture:
        """Return the mixtures of loc + scale Y, for instance in other units.

        Args:
            loc: Offsets in the new units: a number, (D,) for each dimension, or (N, D). Only 0 for
                targets that cannot be negative: their support has to begin at 0.
            scale: Factors of the same shapes, not 0, and positive for such targets.

        Raises:
            TypeError: If an argument does not hold real numbers.
            ValueError: If an argument is not finite, does not fit or is not possible here, or a
                scale would vanish or overflow.

        Example:
            >>> p = FamilyMixture("lognormal", [[1.0]], [[0.0]], [[0.5]])
            >>> p.transform(scale=1000.0).median().round(6)
            array([1000.])
        """
        shift = as_each_dimension("loc", loc, self.num_inputs, self.event_size)
        factor = as_each_dimension("scale", scale, self.num_inputs, self.event_size)
        positive = self.support[0] == 0.0
        if positive and (shift != 0.0).any():
            msg = (
                f"loc must be 0 for family {self.family!r}, whose targets begin at 0, "
                f"got {float(shift[shift != 0.0][0])}. Use scale alone."
            )
            raise ValueError(msg)
        if (factor == 0.0).any() or (positive and (factor < 0.0).any()):
            need = f"be positive for family {self.family!r}" if positive else "not be 0"
            msg = f"scale must {need}, got {float(factor[factor <= 0.0][0])}."
            raise ValueError(msg)
        with np.errstate(over="ignore", under="ignore"):
            locs, scales, *rest = self._family.transform(
                shift[:, np.newaxis], factor[:, np.newaxis], *self._shape
            )
        if not (np.isfinite(locs).all() and np.isfinite(scales).all() and (scales > 0.0).all()):
            msg = "scale and loc must leave locs finite and scales positive and finite."
            raise ValueError(msg)
        return self._trusted(self.family, self.weights, locs, scales, rest[0] if rest else None)

    def sorted(self) -> FamilyMixture:
        """Return the same mixtures, components ordered by the first dimension of their locs.

        Example:
            >>> p = FamilyMixture("logistic", [[0.3, 0.7]], [[5.0, 1.0]], [[1.0, 1.0]])
            >>> p.sorted().weights
            array([[0.7, 0.3]])
        """
        order = np.argsort(self.locs[..., 0], axis=1, kind="stable")
        rows = np.arange(self.num_inputs)[:, np.newaxis]
        return self._map(lambda array: array[rows, order])

    @classmethod
    def concatenate(cls, parts: Iterable[FamilyMixture]) -> FamilyMixture:
        """Join the rows of several mixtures that agree in family, K and D.

        Raises:
            TypeError: If a part is not a `FamilyMixture`.
            ValueError: If there is no part, or the parts do not agree.

        Example:
            >>> p = FamilyMixture("logistic", [[1.0]], [[0.0]], [[1.0]])
            >>> len(FamilyMixture.concatenate([p, p]))
            2
        """
        return cls._trusted(*conversion.joined(parts, cls))

    def to_dict(self) -> dict[str, Any]:
        """Return family, sizes and arrays as plain values that `json.dumps` takes as they are.

        Example:
            >>> p = FamilyMixture("student_t", [[1.0]], [[0.5]], [[2.0]], df=4.0)
            >>> p.to_dict()["family"], p.to_dict()["df"]
            ('student_t', [[[4.0]]])
        """
        return conversion.to_dict(self.family, self.weights, self.locs, self.scales, self.df)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FamilyMixture:
        """Return the mixtures that `to_dict` wrote, equal to the last bit.

        Raises:
            TypeError: If `data` is not a mapping, or an entry does not hold real numbers.
            ValueError: If an entry is missing or does not fit the others.

        Example:
            >>> p = FamilyMixture("logistic", [[0.3, 0.7]], [[0.1, 0.2]], [[1.0, 2.0]])
            >>> bool((FamilyMixture.from_dict(p.to_dict()).locs == p.locs).all())
            True
        """
        return cls(*conversion.from_dict(data))

    def to_dataframe(self) -> pd.DataFrame:
        """Return a tidy table with one line for each row and component.

        The columns are row, component, weight, loc_0, ..., scale_0, ... and for Student's t
        df_0, ...

        Raises:
            ImportError: If pandas is not installed.

        Example:
            >>> p = FamilyMixture("logistic", [[0.3, 0.7]], [[0.0, 5.0]], [[1.0, 2.0]])
            >>> p.to_dataframe()
               row  component  weight  loc_0  scale_0
            0    0          0     0.3    0.0      1.0
            1    0          1     0.7    5.0      2.0
        """
        return conversion.to_dataframe(self.weights, self.locs, self.scales, self.df)
