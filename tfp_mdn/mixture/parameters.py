"""The frozen container of a conditional Gaussian mixture, one row of parameters for each input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture import conversion
from tfp_mdn.mixture._methods import ConditioningMethods, Mixture

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MixtureParameters"]


@final
@dataclass(frozen=True, eq=False, repr=False)
class MixtureParameters(Mixture, ConditioningMethods):
    """Weights, means and variances of N mixtures of K normal distributions in D dimensions.

    Row n is the conditional density p(y | xₙ) = Σₖ weights[n, k] N(y | means[n, k], Σₙₖ), where
    Σₙₖ is covariances[n, k], or the diagonal matrix of variances[n, k] where there are none. The
    arrays are float64 and read-only; they are copies, unless they were so when given. Rows are
    selected with `p[i]`, `p[a:b]`, `p[mask]` and `p[indices]`, all of which keep the axis N.

    Targets `y` are one value a row, (N,) or (N, D), or a grid that tries M values for every row:
    (M, 1, D), (M, N, D), and for D = 1 also (M, N). A grid gives results with a leading axis M.
    (N, 1) is always one value a row, and a scalar is shared by all rows (D = 1); a shape that
    could mean two things is refused.

    Args:
        weights: Component weights (N, K), not negative; rows sum to 1 within 1e-5 and are then
            renormalised.
        means: Component means (N, K, D), or (N, K) for D = 1, in the target's units.
        variances: Component variances (never standard deviations), shaped like the means.
        covariances: Component covariances (N, K, D, D), symmetric and positive definite with the
            variances on the diagonal, or None if the dimensions are independent in a component.

    Raises:
        TypeError: If an array does not hold real numbers.
        ValueError: If shapes disagree or a value is out of its range.

    References:
        C. M. Bishop (1994), Mixture density networks, Aston University NCRG/94/004.

    Example:
        >>> p = MixtureParameters(
        ...     weights=[[0.5, 0.5], [0.1, 0.9]], means=[[-1.0, 1.0], [0.0, 2.0]],
        ...     variances=[[0.25, 0.25], [1.0, 4.0]],
        ... )
        >>> p
        MixtureParameters(num_inputs=2, num_components=2, event_size=1)
        >>> p.mean()
        array([[0. ],
               [1.8]])
        >>> p.log_prob([0.0, 1.0]).round(4)
        array([-2.2258, -1.7003])
        >>> p[1].cdf(2.0).round(4)
        array([0.5477])
    """

    def __reduce__(self) -> tuple[type[MixtureParameters], tuple[FloatArray | None, ...]]:
        """Copy and unpickle through the constructor, so that the arrays stay read-only."""
        return type(self), self._arrays()

    def __repr__(self) -> str:
        """Return the sizes, not the arrays."""
        covariance = "" if self.covariances is None else ", covariance='full'"
        return (
            f"MixtureParameters(num_inputs={self.num_inputs}, "
            f"num_components={self.num_components}, event_size={self.event_size}{covariance})"
        )

    @classmethod
    def concatenate(cls, parts: Iterable[MixtureParameters]) -> MixtureParameters:
        """Join the rows of several mixtures that agree in K, in D and in having covariances.

        Raises:
            TypeError: If a part is not a `MixtureParameters`.
            ValueError: If there is no part, or the parts do not agree.

        Example:
            >>> p = MixtureParameters([[1.0]], [[0.0]], [[1.0]])
            >>> len(MixtureParameters.concatenate([p, p]))
            2
        """
        if not isinstance(parts, Iterable):
            msg = f"parts must be a sequence of MixtureParameters, got {type(parts).__name__}."
            raise TypeError(msg)
        parts = list(parts)
        if not parts:
            msg = "parts must hold at least one MixtureParameters, got none."
            raise ValueError(msg)
        for i, part in enumerate(parts):
            if not isinstance(part, MixtureParameters):
                msg = f"parts[{i}] must be a MixtureParameters, got {type(part).__name__}."
                raise TypeError(msg)
            if _layout(part) != _layout(parts[0]):
                msg = (
                    "parts must agree in num_components, event_size and in having covariances, "
                    f"got {parts[0]!r} first and {part!r} as parts[{i}]."
                )
                raise ValueError(msg)
        full = [part.covariances for part in parts if part.covariances is not None]
        return cls._trusted(
            np.concatenate([part.weights for part in parts]),
            np.concatenate([part.means for part in parts]),
            np.concatenate([part.variances for part in parts]),
            np.concatenate(full) if full else None,
        )

    def sorted(self) -> MixtureParameters:
        """Return the same mixtures, components ordered by the first dimension of their means.

        Example:
            >>> MixtureParameters([[0.3, 0.7]], [[5.0, 1.0]], [[1.0, 1.0]]).sorted().weights
            array([[0.7, 0.3]])
        """
        order = np.argsort(self.means[..., 0], axis=1, kind="stable")
        rows = np.arange(self.num_inputs)[:, np.newaxis]
        return self._map(lambda array: array[rows, order])

    def to_dict(self) -> dict[str, Any]:
        """Return sizes and arrays as plain numbers and lists that `json.dumps` takes as they are.

        Example:
            >>> MixtureParameters([[1.0]], [[0.5]], [[2.0]]).to_dict()["means"]
            [[[0.5]]]
        """
        return conversion.to_dict(*self._arrays())

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MixtureParameters:
        """Return the parameters that `to_dict` wrote, equal to the last bit.

        Raises:
            TypeError: If `data` is not a mapping, or an entry does not hold real numbers.
            ValueError: If an entry is missing or does not fit the others.

        Example:
            >>> p = MixtureParameters([[0.3, 0.7]], [[0.1, 0.2]], [[1.0, 2.0]])
            >>> bool((MixtureParameters.from_dict(p.to_dict()).weights == p.weights).all())
            True
        """
        return cls(*conversion.from_dict(data))

    def to_dataframe(self) -> pd.DataFrame:
        """Return a tidy table with one line for each row and component.

        The columns are row, component, weight, mean_0, ..., variance_0, ... and, where there are
        covariances, covariance_0_1 and so on for each pair of dimensions.

        Raises:
            ImportError: If pandas is not installed.

        Example:
            >>> MixtureParameters([[0.3, 0.7]], [[0.0, 5.0]], [[1.0, 4.0]]).to_dataframe()
               row  component  weight  mean_0  variance_0
            0    0          0     0.3     0.0         1.0
            1    0          1     0.7     5.0         4.0
        """
        return conversion.to_dataframe(*self._arrays())


def _layout(parameters: MixtureParameters) -> tuple[int, int, bool]:
    """Return what has to agree between mixtures whose rows are joined."""
    full = parameters.covariances is not None
    return parameters.num_components, parameters.event_size, full
