"""What the mixture layers share: their arguments, their files, and the distribution's tensor."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_mdn._distribution import MixtureDistribution
from tfp_mdn._keras import reject_keras3
from tfp_mdn._validation import FloatArray, as_finite_array, as_real, as_whole_number

if TYPE_CHECKING:
    from typing_extensions import Self  # from 3.11 on, typing has it

__all__ = ["DEFAULT_MIN_SCALE", "MixtureHead", "as_event_shape", "lower_bound"]

tfd = tfp.distributions

# Without a floor, softplus of a parameter below about -104 is 0 in float32, the density of that
# component is 0/0, and the whole log-probability NaN. The value is small enough to change nothing
# else for targets of ordinary size.
DEFAULT_MIN_SCALE = 1e-6

# float32 carries 24 bits: beyond this ratio of location to scale, an affine map keeps fewer than
# about three decimal digits of the standardised target.
_MAX_FLOAT32_RATIO = 1e4

# Beyond this, standard deviations and targets leave the range of float32, 1e-38 to 3e38.
_MAX_FLOAT32_SCALE = 1e30

_CONVERSIONS = {
    name: getattr(tfd.Distribution, name) for name in ("mean", "sample", "stddev", "variance")
}


class MixtureHead(tfp.layers.DistributionLambda):
    """A mixture as the last layer of a model, of which a subclass knows the components.

    Its input is K logits, followed by the parameters of each component in turn.

    Args:
        num_components: Number of components K.
        event_shape: Shape of one target.
        convert_to_tensor_fn: "mean", "sample", "stddev" or "variance".
        min_scale: Floor of the scales, in units of `scale`.
        loc: Location of the affine map of the target: a number or D numbers.
        scale: Scale of that map, likewise.
        **kwargs: Keyword arguments of `tf_keras.layers.Layer`.
    """

    component: ClassVar[str] = "normal"  # name of the family that the components are of

    def __init__(
        self,
        num_components: int,
        event_shape: int | Sequence[int],
        convert_to_tensor_fn: str | Callable[[Any], Any] = "mean",
        *,
        min_scale: float = DEFAULT_MIN_SCALE,
        loc: Any = 0.0,
        scale: Any = 1.0,
        **kwargs: Any,
    ) -> None:
        num_components = as_whole_number("num_components", num_components)
        event_shape = as_event_shape(event_shape)
        self._conversion_name = _conversion_name(convert_to_tensor_fn)
        conversion = _CONVERSIONS[self._conversion_name]
        # Of TFP's own mixture layer, which a subclass may be as well, this is all that is needed.
        tfp.layers.DistributionLambda.__init__(self, self._distribution, conversion, **kwargs)
        self._num_components = num_components
        self._event_shape = event_shape
        self._min_scale = as_real("min_scale", min_scale, above=0.0)
        self._loc = _as_per_dimension("loc", loc, event_shape)
        self._scale = _as_per_dimension("scale", scale, event_shape)
        if not (self._scale > 0).all():
            msg = f"scale must be greater than 0, got {scale!r}."
            raise ValueError(msg)
        if self.compute_dtype != "float64":
            _check_float32(self._loc, self._scale)
        self._params_size = int(self.params_size(num_components, event_shape))
        # What `tf_keras.layers.Lambda` calls: in place of the function that the parent closes over.
        self.function = self._distribution_and_tensor
        self.supports_masking = True

    @staticmethod
    @abstractmethod
    def params_size(num_components: int, event_shape: Any) -> Any:
        """Return the number of parameters of a row."""

    @abstractmethod
    def _components(self, params: tf.Tensor) -> tfp.distributions.Distribution:
        """Return the components that parameters of shape (..., K, size) describe."""

    @property
    def num_components(self) -> int:
        """Number of mixture components K."""
        return self._num_components

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one target: (D,) or ()."""
        return tuple(self._event_shape)

    @property
    def min_scale(self) -> float:
        """Floor of the standard deviations or of the diagonals, in units of `scale`."""
        return self._min_scale

    @property
    def loc(self) -> FloatArray:
        """Location of the affine map of the target, () or (D,), in target units."""
        return self._loc

    @property
    def scale(self) -> FloatArray:
        """Scale of the affine map of the target, () or (D,), in target units."""
        return self._scale

    @staticmethod
    def check_targets(name: str, y: FloatArray) -> None:
        """Raise ValueError if a target, of any shape, is where the components have no density."""

    @staticmethod
    def doubts_about_targets(y: FloatArray) -> Iterator[str]:
        """Yield warnings of targets (N, D) that raise the likelihood without end where they repeat.

        Normal components have a floor there, which follows from the step of a lattice.
        """
        return iter(())

    @staticmethod
    def transformed(y: Any) -> Any:
        """Return what `loc` and `scale` act on, y itself for most, of an array or a tensor."""
        return y

    def log_unit(self, standard: Any) -> Any:
        """Return log(dy / dz), which the log density of z is above that of y, for each dimension.

        Args:
            standard: Targets in standard units z = (transformed(y) - loc) / scale, (N, D), an array
                or a tensor.
        """
        return 0.0 * standard + np.log(self._scale)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the mixture that `inputs`, of shape (..., params_size), describe."""
        reject_keras3("inputs", inputs)
        if not (hasattr(inputs, "shape") and tf.as_dtype(inputs.dtype).is_floating):
            kind = getattr(inputs, "dtype", type(inputs).__name__)
            msg = f"inputs must be a tensor or array of floating-point numbers, got {kind}."
            raise TypeError(msg)
        size = inputs.shape[-1] if len(inputs.shape) else None
        if size != self._params_size:
            name = type(self).__name__
            msg = (
                f"{name}({self._num_components}, event_shape={self.event_shape}) needs "
                f"{self._params_size} parameters a row in the last axis of its input, got shape "
                f"{tuple(inputs.shape)}. End the network in "
                f"Dense({name}.params_size({self._num_components}, {self.event_shape}))."
            )
            raise ValueError(msg)
        return super().__call__(inputs, *args, **kwargs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Pass on which steps of a sequence are real, so that losses and metrics know."""
        # `Lambda`, a parent, ends the mask here without a word, and padded steps would count.
        return mask

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain values, without code."""
        # The parents' configurations hold a pickled function, which safe mode rightly refuses.
        config = tf_keras.layers.Layer.get_config(self)
        config.update(
            num_components=self._num_components,
            event_shape=list(self.event_shape),
            min_scale=self._min_scale,
            loc=self._loc.tolist(),
            scale=self._scale.tolist(),
            convert_to_tensor_fn=self._conversion_name,
        )
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make the layer that `get_config` describes."""
        # `Lambda.from_config` looks for a function in the configuration; there is none here.
        return cls(**config)

    def _distribution_and_tensor(self, params: Any) -> tuple[MixtureDistribution, tf.Tensor]:
        """Return the distribution and its tensor, each knowing the other as Keras expects."""
        distribution = MixtureDistribution(
            self._distribution(params), _CONVERSIONS[self._conversion_name]
        )
        value = distribution._value()
        # TFP loses the size of an axis of length 1 in a graph; Keras reads it off the tensor.
        value.set_shape(distribution.batch_shape.concatenate(distribution.event_shape))
        value._tfp_distribution = distribution
        distribution._shape = value.shape
        distribution.get_shape = value.get_shape
        return distribution, value

    def _distribution(self, params: tf.Tensor) -> tfp.distributions.MixtureSameFamily:
        if params.dtype in (tf.float16, tf.bfloat16):
            params = tf.cast(params, tf.float32)  # half precision has no room for densities
        count = self._num_components
        logits, rest = params[..., :count], params[..., count:]
        size = self._params_size // count - 1
        shape = tf.concat([tf.shape(params)[:-1], [count, size]], axis=0)
        components = self._components(tf.reshape(rest, shape))
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), components)


def lower_bound(values: tf.Tensor, bound: float) -> tf.Tensor:
    """Return max(values, bound), whose gradient at the floor passes only where it leads upwards.

    A plain maximum has no gradient below the bound, so a component that once fell there would
    never come back; this is the rule "identity if towards" of Ballé et al. (2018),
    https://openreview.net/forum?id=rkcQFMZRb.
    """
    floor = tf.constant(bound, values.dtype)

    @tf.custom_gradient
    def bounded(inputs: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            passes = tf.logical_or(inputs >= floor, upstream < 0)
            return tf.where(passes, upstream, tf.zeros_like(upstream))

        return tf.maximum(inputs, floor), gradient

    return bounded(values)


def as_event_shape(event_shape: int | Sequence[int]) -> tuple[int, ...]:
    """Return the shape of one target, () or (D,), or raise if it is none."""
    if isinstance(event_shape, list | tuple | tf.TensorShape | np.ndarray):
        sizes = tuple(as_whole_number("event_shape", size) for size in event_shape)
    else:
        sizes = (as_whole_number("event_shape", event_shape),)
    if len(sizes) > 1:
        msg = f"event_shape must be () or (D,), got {sizes}."
        raise ValueError(msg)
    return sizes


def _as_per_dimension(name: str, value: Any, event_shape: tuple[int, ...]) -> FloatArray:
    array = as_finite_array(name, value)
    if array.shape not in ((), event_shape):
        msg = f"{name} must be a number or have the event shape {event_shape}, got {array.shape}."
        raise ValueError(msg)
    return array


def _check_float32(loc: FloatArray, scale: FloatArray) -> None:
    if (np.abs(loc) > _MAX_FLOAT32_RATIO * scale).any():
        msg = (
            f"loc may be at most {_MAX_FLOAT32_RATIO:g} times scale in float32, or the digits of "
            f"the target are lost; got loc {loc} and scale {scale}. Pass dtype='float64' too."
        )
        raise ValueError(msg)
    if not ((scale >= 1 / _MAX_FLOAT32_SCALE) & (scale <= _MAX_FLOAT32_SCALE)).all():
        msg = (
            f"scale must lie between {1 / _MAX_FLOAT32_SCALE:g} and {_MAX_FLOAT32_SCALE:g} in "
            f"float32, got {scale}. Change the unit of the target, or pass dtype='float64' too."
        )
        raise ValueError(msg)


def _conversion_name(conversion: str | Callable[[Any], Any]) -> str:
    for name, method in _CONVERSIONS.items():
        if conversion == name or conversion is method:
            return name
    msg = (
        f"convert_to_tensor_fn must be one of {sorted(_CONVERSIONS)}, got {conversion!r}. "
        "Another function cannot be saved safely: apply it to model(x) instead."
    )
    raise ValueError(msg)
