"""What a page needs to compute the mixtures of a fitted model itself, and to check that it can."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from numpy.typing import NDArray

from tfp_mdn._validation import FloatArray
from tfp_mdn.members import MemberNetwork
from tfp_mdn.mixture import MixtureParameters

__all__ = ["COVERAGE", "LEVELS", "as_text", "network_of", "references_of"]

# Levels of the quantiles, and the probability of the highest-density region, that pages show.
LEVELS, COVERAGE = (0.05, 0.5, 0.95), 0.9

# Standard units beyond which `Standardize` draws inputs in; the page checks that it agrees.
_FARTHEST = 10.0

# The functions that network.js has.
_ACTIVATIONS = (
    *("elu", "exponential", "gelu", "linear", "mish", "relu", "selu", "sigmoid", "silu"),
    *("softplus", "softsign", "swish", "tanh"),
)


def network_of(model: tf_keras.Model) -> dict[str, Any] | None:
    """Return the weights and constants of an estimator's model, in the form that network.js reads.

    None if the hidden layers have an activation that it does not know.
    """
    standardise, encode, network, head = model.layers
    settings = network.get_config()
    if settings["activation"] not in _ACTIVATIONS:
        return None
    weights = network.get_weights()
    units = standardise.get_config()
    return {
        "loc": units["loc"],
        "scale": units["scale"],
        "farthest": _FARTHEST,
        "places": np.stack(encode.encoding, axis=1).tolist(),
        "activation": settings["activation"],
        "layers": [
            {"kernel": as_text(kernel), "bias": as_text(bias), "units": kernel.shape[-1]}
            for kernel, bias in zip(weights[::2], weights[1::2], strict=True)
        ],
        "members": network.ensemble_size,
        "components": network.num_components,
        "dimensions": network.event_size,
        "scales": _places_of_scales(network),
        "minScale": head.min_scale,
    }


def references_of(inputs: FloatArray, parameters: MixtureParameters) -> list[dict[str, Any]]:
    """Return what the library computes at rows (N, F), for the page to compare itself with."""
    margins = [parameters.marginal(d) for d in range(parameters.event_size)]
    quantiles = [margin.quantile(LEVELS) for margin in margins]
    regions = [margin.highest_density_region(COVERAGE) for margin in margins]
    return [
        {
            "row": row.tolist(),
            "targets": [
                {
                    "weights": parameters.weights[n].tolist(),
                    "means": parameters.means[n, :, d].tolist(),
                    "stddevs": np.sqrt(parameters.variances[n, :, d]).tolist(),
                    "quantiles": list(zip(LEVELS, quantiles[d][:, n].tolist(), strict=True)),
                    "region": [COVERAGE, *regions[d][n].tolist()],
                }
                for d in range(parameters.event_size)
            ],
        }
        for n, row in enumerate(inputs)
    ]


def _places_of_scales(network: MemberNetwork) -> list[list[int]]:
    """Return where the row of the triangular scale of each dimension stands, its diagonal last.

    Places count from the end of the component's location; "diag" has a diagonal alone. A margin
    has the length of its row as its standard deviation.
    """
    size = network.event_size
    if network.covariance_type == "diag":
        return [[d] for d in range(size)]
    places = tfp.math.fill_triangular(tf.range(size * (size + 1) // 2)).numpy()
    return [places[d, : d + 1].tolist() for d in range(size)]


def as_text(values: NDArray[np.floating[Any]]) -> str:
    """Return numbers as the bytes of float32, in letters that JSON takes."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")
