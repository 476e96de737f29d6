"""What is asked of a trained model or of its mixtures: ours, and peers for the same answers.

Each way is a function that prepares, warm-up included, and returns what is timed, with a factor:
a way that is too slow for all rows gets a part of them, and its time is scaled up.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from benchmarks.racers.workloads import Workload
from tfp_mdn.mixture import MixtureParameters

__all__ = ["ANSWERS", "random_mixtures", "rows_of"]

Prepared = tuple[Callable[[], Any], float]

NETWORK = Workload("inverse_sinusoid", 0, (128, 128), "relu", 10, 1, 0, None, 0, 0, 0)
LEVELS = np.array([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99])
_CHUNK = 16384
_SAMPLES = 10
_SCIPY_ROWS = 100
_SCORING_ROWS = 100_000  # arrays (N, K, K) of a million rows would take 800 MB each
_PYTHON_ROWS = 1000


def random_mixtures(num_rows: int) -> MixtureParameters:
    """Return random mixtures, several modes in most of them."""
    rng = np.random.default_rng(0)
    shape = num_rows, NETWORK.num_components
    weights = rng.dirichlet(np.ones(shape[1]), num_rows)
    return MixtureParameters(
        weights, rng.normal(scale=3.0, size=shape), rng.uniform(0.3, 2.0, shape) ** 2
    )


def rows_of(subject: str) -> tuple[str, int]:
    """Return the task and the number of rows of a subject such as "samples, 1e6 rows"."""
    task, size = subject.removesuffix(" rows").split(", ")
    return task, int(float(size))


def _inputs(rows: int) -> Any:
    return np.random.default_rng(0).normal(size=(rows, 1)).astype(np.float32)


def _often(work: Callable[[], Any], rows: int) -> Prepared:
    """Return what repeats a call on few rows, which alone would be too short to time."""
    repeats = min(20, max(1, 10_000 // rows))

    def run() -> Any:
        for _ in range(repeats - 1):
            work()
        return work()

    return run, 1.0 / repeats


def _extract_ours(rows: int) -> Prepared:
    from tfp_mdn import build_mdn, extract_parameters

    model = build_mdn(10, hidden_units=(128, 128), activation="relu", input_size=1, seed=0)
    x = _inputs(rows)
    extract_parameters(model, x[:_CHUNK])
    return _often(lambda: extract_parameters(model, x), rows)


def _extract_plain(rows: int) -> Prepared:
    from benchmarks.racers.tf_ways import plain_model

    model, x = plain_model(NETWORK, NETWORK.start(0)), _inputs(rows)

    def parameters(x: Any) -> Any:
        density = model(x)
        components = density.components_distribution
        weights = density.mixture_distribution.probs_parameter().numpy()
        return weights, components.mean().numpy(), components.variance().numpy()

    parameters(x[:_CHUNK])
    return _often(lambda: parameters(x), rows)


def _extract_keras(rows: int) -> Prepared:
    from benchmarks.racers.keras_layer import keras_model

    model, x = keras_model(NETWORK, 0), _inputs(rows)

    def parameters(x: Any) -> Any:
        raw = model.predict(x, batch_size=8192, verbose=0)
        means, scales, logits = np.split(raw, 3, axis=1)
        return special.softmax(logits, axis=1), means, np.square(scales)

    parameters(x[:_CHUNK])
    return lambda: parameters(x), 1.0


def _extract_torch(rows: int) -> Prepared:
    import torch

    from benchmarks.racers.pytorch import torch_network, torch_parameters

    network, x = torch_network(NETWORK, 0), torch.from_numpy(_inputs(rows))

    def parameters(x: Any) -> Any:
        results = [np.empty((len(x), 10), np.float32) for _ in range(3)]
        with torch.inference_mode():
            for start in range(0, len(x), _CHUNK):
                raw = network(x[start : start + _CHUNK])
                logits, means, scales = torch_parameters(NETWORK, raw)
                parts = logits.softmax(-1), means[..., 0], scales[..., 0].square()
                for result, part in zip(results, parts, strict=True):
                    result[start : start + _CHUNK] = part.numpy()
        return results

    parameters(x[:_CHUNK])
    return lambda: parameters(x), 1.0


def _products_alone(rows: int) -> Prepared:
    import tensorflow as tf

    kernels = [tf.constant(kernel) for kernel, _ in NETWORK.start(0)]
    x = _inputs(rows)

    @tf.function(input_signature=[tf.TensorSpec((None, 1))], autograph=False)
    def products(values: Any) -> Any:
        for kernel in kernels:
            values = values @ kernel
        return values

    def run(x: Any) -> None:
        for start in range(0, len(x), _CHUNK):
            products(x[start : start + _CHUNK]).numpy()

    run(x[:_CHUNK])
    return lambda: run(x), 1.0


def _sample_ours(rows: int) -> Prepared:
    p = random_mixtures(rows)
    p[:1000].sample(_SAMPLES, 0)
    return lambda: p.sample(_SAMPLES, 1), 1.0


def _sample_tfp(rows: int) -> Prepared:
    import tensorflow as tf
    import tensorflow_probability as tfp

    p, tfd = random_mixtures(rows), tfp.distributions
    parts = (p.weights, p.means[..., 0], np.sqrt(p.variances[..., 0]))
    weights, means, scales = (tf.constant(part, tf.float32) for part in parts)
    density = tfd.MixtureSameFamily(tfd.Categorical(probs=weights), tfd.Normal(means, scales))
    tfd.MixtureSameFamily(
        tfd.Categorical(probs=weights[:1000]), tfd.Normal(means[:1000], scales[:1000])
    ).sample(_SAMPLES, seed=0)
    return lambda: density.sample(_SAMPLES, seed=1).numpy(), 1.0


def _raw_keras(rows: int) -> Any:
    p = random_mixtures(rows)
    parts = p.means[..., 0], np.sqrt(p.variances[..., 0]), np.log(p.weights)
    return np.concatenate(parts, axis=1).astype(np.float32)


def _sample_keras(rows: int) -> Prepared:
    mdn, raw = importlib.import_module("keras_mdn_layer"), _raw_keras(rows)
    draw = mdn.get_mixture_sampling_fun(1, 10)

    def run(raw: Any) -> Any:
        return np.stack([np.asarray(draw(raw)) for _ in range(_SAMPLES)])

    run(raw[:_PYTHON_ROWS])
    return lambda: run(raw), 1.0


def _sample_keras_rows(rows: int) -> Prepared:
    mdn, raw = importlib.import_module("keras_mdn_layer"), _raw_keras(min(rows, _PYTHON_ROWS))

    def run() -> Any:
        return [[mdn.sample_from_output(row, 1, 10) for row in raw] for _ in range(_SAMPLES)]

    return run, rows / len(raw)


def _quantiles_ours(rows: int) -> Prepared:
    p = random_mixtures(rows)
    p[:1000].quantile(LEVELS)
    return lambda: p.quantile(LEVELS), 1.0


def _quantiles_scipy(rows: int, *, lean: bool = False) -> Prepared:
    """Solve for each level of each row with Brent's method.

    The plain way makes a `stats.norm` of each row; the lean one knows that `special.ndtr` is
    the same function without the checks.
    """
    p = random_mixtures(min(rows, _SCIPY_ROWS))

    def run() -> None:
        for weights, means, variances in zip(p.weights, p.means[..., 0], p.variances, strict=True):
            scales = np.sqrt(variances[:, 0])
            normal = stats.norm(means, scales)

            def excess(y: float, level: float) -> float:
                parts = special.ndtr((y - means) / scales) if lean else normal.cdf(y)  # noqa: B023
                return float(weights @ parts - level)  # noqa: B023

            for level in LEVELS:
                ends = means + special.ndtri(level) * scales
                optimize.brentq(excess, ends.min() - 1e-9, ends.max() + 1e-9, (level,), xtol=1e-12)

    return run, rows / len(p.weights)


def _quantiles_scipy_lean(rows: int) -> Prepared:
    return _quantiles_scipy(rows, lean=True)


def _scored(rows: int) -> tuple[MixtureParameters, Any]:
    return random_mixtures(rows), np.random.default_rng(1).normal(scale=3.0, size=rows)


def _crps_ours(rows: int) -> Prepared:
    p, y = _scored(rows)
    return lambda: p.crps(y), 1.0


def _crps_scoringrules(rows: int) -> Prepared:
    scoringrules = importlib.import_module("scoringrules")
    part = min(rows, _SCORING_ROWS)
    p, y = _scored(part)
    arrays = y, p.means[..., 0], np.sqrt(p.variances[..., 0]), p.weights
    return lambda: scoringrules.crps_mixnorm(*arrays, backend="numpy"), rows / part


def _log_prob_ours(rows: int) -> Prepared:
    p, y = _scored(rows)
    return lambda: p.log_prob(y), 1.0


def _log_prob_tfp(rows: int) -> Prepared:
    from tfp_mdn.extraction import to_distribution

    p, y = _scored(rows)
    density, few = to_distribution(p), to_distribution(p[:1000])
    few.log_prob(y[:1000, np.newaxis])
    return lambda: density.log_prob(y[:, np.newaxis]).numpy(), 1.0


def _modes_ours(rows: int) -> Prepared:
    return random_mixtures(rows).modes, 1.0


def _regions_ours(rows: int) -> Prepared:
    return random_mixtures(rows).highest_density_region, 1.0


_TFP = ("tensorflow", "tensorflow-probability", "tf-keras")
_KERAS = ("keras-mdn-layer", "keras", "jax")

# Task: way: what the report calls it, packages, preparation. The first way is the reference.
ANSWERS: dict[str, dict[str, tuple[str, tuple[str, ...], Callable[[int], Prepared]]]] = {
    "parameters": {
        "plain": ("plain `model(x)`, then NumPy", _TFP, _extract_plain),
        "ours": ("**`extract_parameters`**", ("tfp-mdn", *_TFP), _extract_ours),
        "keras-mdn-layer": ("keras-mdn-layer `predict`, batches of 8192", _KERAS, _extract_keras),
        "pytorch": ("PyTorch in chunks", ("torch",), _extract_torch),
        "floor": ("the matrix products alone", ("tensorflow",), _products_alone),
    },
    "samples": {
        "tfp": ("TFP `sample`, float32", _TFP, _sample_tfp),
        "ours": ("**`MixtureParameters.sample`**", ("tfp-mdn",), _sample_ours),
        "keras-mdn-layer": ("keras-mdn-layer's sampling function", _KERAS, _sample_keras),
        "keras-mdn-layer-rows": (
            "keras-mdn-layer `sample_from_output`, scaled up from 1000 rows",
            _KERAS,
            _sample_keras_rows,
        ),
    },
    "quantiles": {
        "scipy": (
            "SciPy `brentq` on `stats.norm`, scaled up from 100 rows",
            ("scipy",),
            _quantiles_scipy,
        ),
        "ours": ("**`MixtureParameters.quantile`**", ("tfp-mdn",), _quantiles_ours),
        "scipy-lean": (
            "SciPy `brentq` on `special.ndtr`, scaled up from 100 rows",
            ("scipy",),
            _quantiles_scipy_lean,
        ),
    },
    "CRPS": {
        "scoringrules": (
            "scoringrules `crps_mixnorm`, scaled up from 100000 rows",
            ("scoringrules",),
            _crps_scoringrules,
        ),
        "ours": ("**`MixtureParameters.crps`**", ("tfp-mdn",), _crps_ours),
    },
    "log density": {
        "tfp": ("TFP `log_prob`, float64", _TFP, _log_prob_tfp),
        "ours": ("**`MixtureParameters.log_prob`**", ("tfp-mdn",), _log_prob_ours),
    },
    "modes": {"ours": ("**`MixtureParameters.modes`**", ("tfp-mdn",), _modes_ours)},
    "90% regions": {
        "ours": ("**`MixtureParameters.highest_density_region`**", ("tfp-mdn",), _regions_ours)
    },
}
