"""The bridge between TensorFlow and NumPy: mixture parameters out of models, distributions back."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from numpy.typing import NDArray

from tfp_mdn._keras import check_input_shape, reject_keras3, reject_keras3_in_model
from tfp_mdn._parameter_tensors import parameter_tensors
from tfp_mdn._validation import FloatArray, as_real_array, as_whole_number, check_finite
from tfp_mdn.mixture import FamilyMixture, MixtureParameters

__all__ = ["AnyMixture", "extract_parameters", "to_distribution"]

tfd = tfp.distributions

# `MixtureParameters` or, for components that are not normal, `FamilyMixture`. Which of them is
# known when a program runs; a union of the two would have every caller say so to a type checker.
AnyMixture: TypeAlias = MixtureParameters | Any

# Rows per compiled call: beyond this the network's activations leave the processor's caches and
# memory grows without a gain in speed.
_CHUNK_ROWS = 16384

# Of a correlation matrix. One of less, where some dimensions determine another almost exactly,
# would be singular once its entries are rounded to float64.
_LEAST_EIGENVALUE = 1e-12

# One compiled function per model and structure of its inputs. The functions refer to their model
# weakly, so that an entry goes when its model does.
_COMPILED: weakref.WeakKeyDictionary[Any, dict[Any, tuple[str, Callable[..., Any]]]] = (
    weakref.WeakKeyDictionary()
)

# Layers of TFP remember whether they are being called, so a model bears one trace at a time.
_TRACING = threading.Lock()


def extract_parameters(
    model_or_distribution: Any, x: Any = None, *, batch_size: int | None = None
) -> AnyMixture:
    """Return the weights, means and variances of a mixture for every row of an input grid.

    A model is compiled once, for inputs of any number of rows, and called in chunks, so the memory
    in use is that of the result and of one chunk. The arrays equal
    `mixture_distribution.probs_parameter()`, `components_distribution.mean()` and
    `components_distribution.variance()` of `model(x)` to the rounding of the model's own numbers.

    Args:
        model_or_distribution: A `tf_keras` model that ends in a mixture layer, ours or one of
            `tfp.layers`; or a distribution, which needs no `x`: a `tfd.MixtureSameFamily` of
            `Normal`, `StudentT`, `Logistic`, `LogNormal` or `TruncatedNormal` components, of
            `Independent` ones, of `MultivariateNormalDiag` or `MultivariateNormalTriL`, or what
            such a model returned. Truncated ones must be so at 0 and infinity.
        x: Inputs of shape (N, F), or (N,) for one feature; (N, T, F) for a model of sequences,
            whose N T steps become rows in C order; a list or dictionary of such arrays for a model
            of several inputs.
        batch_size: Rows per call of the model, when the default does not fit into memory.

    Returns:
        `MixtureParameters` of N rows, in the units of the target. Of sequences,
        `parameters.means.reshape(N, T, K, D)` has the steps apart, and `parameters[real.ravel()]`
        keeps those where a mask `real`, (N, T), is true. Components with a full scale matrix have
        `covariances` too; where some dimensions determine another to less than about a
        millionth of its standard deviation, which float64 cannot hold, to about that. For other
        components than normal ones, a `FamilyMixture` of their weights, locations and scales.

    Raises:
        TypeError: If the first argument is neither a model nor such a mixture, or comes from
            Keras 3; if `x` does not hold numbers.
        ValueError: If `x` is missing, empty, not finite or of the wrong shape.

    Example:
        >>> import numpy as np
        >>> from tfp_mdn.models import build_mdn
        >>> parameters = extract_parameters(build_mdn(num_components=3), np.linspace(-1, 1, 100))
        >>> parameters.weights.shape, parameters.means.shape, parameters.variances.shape
        ((100, 3), (100, 3, 1), (100, 3, 1))
    """
    if not tf.executing_eagerly():
        msg = (
            "extract_parameters makes NumPy arrays, which there are none of inside a tf.function; "
            "call it outside, on the model and its inputs."
        )
        raise TypeError(msg)
    if isinstance(model_or_distribution, tfd.Distribution):
        if x is not None:
            msg = "x must be None for a distribution, whose rows are there already."
            raise ValueError(msg)
        family, tensors = parameter_tensors(model_or_distribution)
        return _from_arrays(family, [tensor.numpy().astype(np.float64) for tensor in tensors])
    reject_keras3_in_model("model_or_distribution", model_or_distribution)
    if not isinstance(model_or_distribution, tf_keras.Model):
        msg = (
            "model_or_distribution must be a tf_keras model or a tfp distribution, got "
            f"{type(model_or_distribution).__name__}."
        )
        raise TypeError(msg)
    inputs, num_rows = _as_inputs(x, model_or_distribution)
    rows = _CHUNK_ROWS if batch_size is None else as_whole_number("batch_size", batch_size)
    family, compiled = _compiled(model_or_distribution, inputs)
    results: list[FloatArray] = []
    for start in range(0, num_rows, rows):
        tensors = compiled(
            tf.nest.map_structure(lambda array: tf.constant(array[start : start + rows]), inputs)  # noqa: B023
        )
        per_input = len(tensors[0]) // min(rows, num_rows - start)
        if not results:
            results = [np.empty((num_rows * per_input, *tensor.shape[1:])) for tensor in tensors]
        for result, tensor in zip(results, tensors, strict=True):
            result[start * per_input : start * per_input + len(tensor)] = tensor.numpy()
    return _from_arrays(family, results)


def to_distribution(
    parameters: MixtureParameters | FamilyMixture,
) -> tfp.distributions.MixtureSameFamily:
    """Return the mixture as a distribution of TensorFlow Probability, in float64.

    Args:
        parameters: Parameters of N mixtures of K components in D dimensions.

    Returns:
        A `tfd.MixtureSameFamily` with batch shape (N,) and event shape (D,).

    Raises:
        TypeError: If `parameters` is something else.

    Example:
        >>> to_distribution(MixtureParameters([[1.0]], [[[2.0]]], [[[9.0]]])).stddev().numpy()
        array([[3.]])
    """
    if not isinstance(parameters, MixtureParameters | FamilyMixture):
        msg = (
            "parameters must be MixtureParameters or a FamilyMixture, got "
            f"{type(parameters).__name__}."
        )
        raise TypeError(msg)
    components: tfp.distributions.Distribution
    if isinstance(parameters, FamilyMixture):
        components = tfd.Independent(_density(parameters), reinterpreted_batch_ndims=1)
    elif parameters.covariances is None:
        normal = tfd.Normal(parameters.means, np.sqrt(parameters.variances))
        components = tfd.Independent(normal, reinterpreted_batch_ndims=1)
    else:
        scale_tril = np.linalg.cholesky(parameters.covariances)
        components = tfd.MultivariateNormalTriL(parameters.means, scale_tril)
    return tfd.MixtureSameFamily(tfd.Categorical(probs=parameters.weights), components)


def _density(parameters: FamilyMixture) -> tfp.distributions.Distribution:
    """Return the components, with their dimensions apart."""
    locs, scales = parameters.locs, parameters.scales
    if parameters.family == "student_t":
        return tfd.StudentT(parameters.df, locs, scales)
    if parameters.family == "logistic":
        return tfd.Logistic(locs, scales)
    if parameters.family == "lognormal":
        return tfd.LogNormal(locs, scales)
    low = np.zeros_like(locs)
    return tfd.TruncatedNormal(locs, scales, low, low + np.inf)


def _compiled(model: tf_keras.Model, inputs: Any) -> tuple[str, Callable[..., Any]]:
    """Return the family and the compiled function from such inputs to parameter tensors."""
    signature = tf.nest.map_structure(
        lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), inputs
    )
    # A model can get or lose layers, at any depth, after it was compiled here: they are part of the
    # key, by weak references, since a new layer may have the id of one that is gone.
    layers = tuple(weakref.ref(layer) for layer in model._flatten_layers())
    key = (str(signature), layers)
    with _TRACING:
        functions = _COMPILED.setdefault(model, {})
        if key not in functions:
            functions[key] = _traced(weakref.ref(model), signature)
        return functions[key]


def _traced(reference: weakref.ref[Any], signature: Any) -> tuple[str, Callable[..., Any]]:
    families = []

    @tf.function(input_signature=[signature], autograph=False)
    def parameters(values: Any) -> Any:
        model = reference()
        assert model is not None  # it is alive: the caller of `_compiled` holds it
        family, tensors = parameter_tensors(model(values, training=False))
        families.append(family)
        return tensors

    # Called through `parameters` itself, TensorFlow would take many models for one function that
    # is traced again and again, and warn.
    concrete = parameters.get_concrete_function()
    return families[-1], concrete


def _from_arrays(family: str, arrays: list[FloatArray]) -> AnyMixture:
    """Return the parameters held by arrays of our own, which are squared and frozen in place."""
    weights, means, scales, *extras = arrays
    weights /= weights.sum(axis=1, keepdims=True)
    if family == "truncated_normal" and not extras.pop().all():
        msg = "truncated normal components must have low=0 and high=inf, got other bounds."
        raise ValueError(msg)
    if family != "normal":
        for array in (weights, means, scales, *extras):
            array.setflags(write=False)
        return FamilyMixture(family, weights, means, scales, *extras)
    if scales.ndim == means.ndim:
        variances, covariances = np.square(scales, out=scales), None
    else:
        covariances = _covariances(scales)
        variances = np.diagonal(covariances, axis1=-2, axis2=-1).copy()
    for array in (weights, means, variances):
        array.setflags(write=False)  # so that they are not copied
    return MixtureParameters(weights, means, variances, covariances)


def _covariances(factors: FloatArray) -> FloatArray:
    """Return L L^T for triangular factors (..., D, D), positive definite after rounding too.

    The correlation matrix has a determinant of prod_i (L_ii / |row i|)^2, and its least eigenvalue
    is not below a third of that; where it may be, _LEAST_EIGENVALUE is added.
    """
    covariances: FloatArray = factors @ np.swapaxes(factors, -1, -2)
    variances = np.einsum("...ii->...i", covariances)
    squares = np.square(np.einsum("...ii->...i", factors)) / variances
    variances[squares.prod(axis=-1) < 3.0 * _LEAST_EIGENVALUE] *= 1.0 + _LEAST_EIGENVALUE
    return covariances


def _as_inputs(x: Any, model: tf_keras.Model) -> tuple[Any, int]:
    """Return the arrays of `x` as the model takes them, and their number of rows."""
    if x is None:
        msg = "x must be given with a model: the inputs at which to read its parameters."
        raise ValueError(msg)
    reject_keras3("x", x)
    several = isinstance(x, dict) or (
        isinstance(x, list | tuple) and all(isinstance(part, np.ndarray | tf.Tensor) for part in x)
    )
    # A model that standardises its own inputs takes them in float64, where no digit is lost.
    wants_float64 = bool(model.inputs) and model.inputs[0].dtype == tf.float64
    dtype = "float64" if wants_float64 else tf_keras.backend.floatx()

    def as_input(value: Any) -> NDArray[Any]:
        array = as_real_array("x", value)
        array = array[:, np.newaxis] if array.ndim == 1 else array
        if array.ndim < 2 or array.size == 0:
            msg = f"x must have shape (N, F) with at least one row, got {array.shape}."
            raise ValueError(msg)
        check_finite("x", array)
        check_input_shape("x", array.shape, model)
        return array.astype(dtype, copy=False)

    inputs = tf.nest.map_structure(as_input, x) if several else as_input(x)
    lengths = {len(array) for array in tf.nest.flatten(inputs)}
    if not lengths:
        msg = f"x must hold at least one array, got an empty {type(x).__name__}."
        raise ValueError(msg)
    if len(lengths) > 1:
        msg = f"the arrays in x must have the same number of rows, got {sorted(lengths)}."
        raise ValueError(msg)
    return inputs, lengths.pop()
