"""What mixture layers share whose components have independent dimensions, each with few numbers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_mdn._validation import as_whole_number
from tfp_mdn.layers._head import DEFAULT_MIN_SCALE, MixtureHead, as_event_shape, lower_bound

__all__ = ["IndependentHead", "bounded_location", "bounded_scale"]

tfd = tfp.distributions

# Standard units beyond which a location or a scale counts as this: a network that diverged would
# otherwise reach inf, and inf - inf is NaN in the densities of most families.
_FARTHEST = 1e6


class IndependentHead(MixtureHead):
    """A mixture whose components are products of one-dimensional densities.

    Its input is K logits and then, for each component, D locations, D raw scales and whatever else
    the family has, D of each. A subclass says which density they make.

    Args:
        num_components: Number of components K.
        event_shape: Shape of one target.
        convert_to_tensor_fn: "mean", "sample", "stddev" or "variance".
        min_scale: Floor of the scales, in units of `scale`.
        loc: Location of the affine map of the target: a number or D numbers.
        scale: Scale of that map, likewise.
        **kwargs: Keyword arguments of `tf_keras.layers.Layer`.
    """

    # The standard deviation of a component of scale 1, where a training starts.
    first_stddev: ClassVar[float] = 1.0

    # Where the numbers of a component beside location and scale start.
    first_extras: ClassVar[tuple[float, ...]] = ()

    def __init__(
        self,
        num_components: int,
        event_shape: int | Sequence[int] = (1,),
        convert_to_tensor_fn: str | Callable[[Any], Any] = "mean",
        *,
        min_scale: float = DEFAULT_MIN_SCALE,
        loc: Any = 0.0,
        scale: Any = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            *(num_components, event_shape, convert_to_tensor_fn),
            min_scale=min_scale,
            loc=loc,
            scale=scale,
            **kwargs,
        )

    @classmethod
    def params_size(cls, num_components: int, event_shape: int | Sequence[int] = (1,)) -> int:
        """Return the number of parameters of a row, K (1 + D n) with n numbers a dimension."""
        count = as_whole_number("num_components", num_components)
        (size,) = as_event_shape(event_shape) or (1,)
        return count * (1 + cls.num_parts() * size)

    @classmethod
    def num_parts(cls) -> int:
        """Return how many numbers describe a component in one dimension."""
        return 2 + len(cls.first_extras)

    @staticmethod
    @abstractmethod
    def density(
        parts: Sequence[tf.Tensor], min_scale: float, loc: Any = 0.0, scale: Any = 1.0
    ) -> tfp.distributions.Distribution:
        """Return the densities of single numbers that parameters of one shape make.

        Args:
            parts: Locations, raw scales and whatever else the family has, of any one shape.
            min_scale: Floor of the scales, in units of `scale`.
            loc: Location of the affine map, which broadcasts against the parts.
            scale: Scale of that map, likewise.
        """

    @classmethod
    def standard_density(
        cls, parts: Sequence[tf.Tensor], min_scale: float
    ) -> tfp.distributions.Distribution:
        """Return the densities of targets in standard units."""
        return cls.density(parts, min_scale)

    @staticmethod
    def inside(standard: tf.Tensor) -> tf.Tensor:
        """Return standard units, such as targets with noise, where there is a density."""
        return standard

    def _components(self, params: tf.Tensor) -> tfp.distributions.Distribution:
        parts = tf.split(params, self.num_parts(), axis=-1)
        loc, scale = (tf.constant(value, params.dtype) for value in (self._loc, self._scale))
        if self.event_shape:
            density = self.density(parts, self._min_scale, loc, scale)
            return tfd.Independent(density, reinterpreted_batch_ndims=1)
        return self.density([part[..., 0] for part in parts], self._min_scale, loc, scale)


def bounded_location(location: tf.Tensor) -> tf.Tensor:
    """Return locations in standard units that are finite."""
    return tf.clip_by_value(location, -_FARTHEST, _FARTHEST)


def bounded_scale(raw_scale: tf.Tensor, min_scale: float) -> tf.Tensor:
    """Return scales in standard units, softplus of the raw ones between the floor and a bound."""
    return lower_bound(tf.nn.softplus(tf.minimum(raw_scale, _FARTHEST)), min_scale)
