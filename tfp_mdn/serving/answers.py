"""The answers to each question, from the mixtures at the rows of a request."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from tfp_mdn._validation import FloatArray
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.serving.limits import Limits
from tfp_mdn.serving.served import ServedModel, arrays_of

__all__ = ["QUESTIONS", "Refused", "answer"]

# Up to here programs that know floats alone, such as browsers, read integers exactly.
_OWN_SEEDS = 2**53


@final
class Refused(ValueError):
    """A request that was understood and cannot be answered.

    Attributes:
        place: What is wrong in the body.
    """

    def __init__(self, place: str, message: str) -> None:
        super().__init__(message)
        self.place = place


def answer(question: str, served: ServedModel, limits: Limits, body: Any) -> dict[str, Any]:
    """Return the answer to a checked request, with arrays that are contiguous.

    Raises:
        Refused: If the answer would be too long, or the model's is not finite.
    """
    rows = _in_order(body.rows, served.columns.names)
    per_row = {"quantiles": "levels", "samples": "size"}.get(question)
    if per_row is not None:
        asked = getattr(body, per_row)
        times = asked if isinstance(asked, int) else len(asked)
        if times * len(rows) * len(served.targets) > limits.max_values:
            msg = f"the answer would have more than {limits.max_values} numbers; ask for fewer"
            raise Refused(per_row, msg)
    if question == "log_prob" and len(body.y) != len(rows):
        msg = f"there must be one target for each of the {len(rows)} row(s), got {len(body.y)}"
        raise Refused("y", msg)
    try:
        with np.errstate(over="ignore"):  # float32 networks cannot take all of float64
            parameters = served.parameters(rows)
    except ValueError as error:
        msg = "the model has no finite answer for these rows; are they in its units?"
        raise Refused("rows", msg) from error
    with np.errstate(all="ignore"):  # what is beyond float64 leaves as null
        found = QUESTIONS[question](parameters, body, served)
    whole = {
        name: np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value
        for name, value in found.items()
    }
    return {"targets": served.targets, **whole}


def _in_order(rows: Sequence[Any], names: Sequence[str]) -> list[Sequence[Any]]:
    """Return rows given by name or in order as the latter."""
    return [[row[name] for name in names] if isinstance(row, dict) else row for row in rows]


def _parameters(parameters: Any, _: Any, __: ServedModel) -> dict[str, Any]:
    return dict(arrays_of(parameters))


def _mean(parameters: MixtureParameters, _: Any, __: ServedModel) -> dict[str, Any]:
    return {"mean": parameters.mean(), "stddev": parameters.stddev()}


def _quantiles(parameters: MixtureParameters, body: Any, _: ServedModel) -> dict[str, Any]:
    levels = np.array(body.levels)
    each = _each_target(parameters, lambda margin: margin.quantile(levels).T)
    return {"levels": levels, "quantiles": each}


def _intervals(parameters: MixtureParameters, body: Any, _: ServedModel) -> dict[str, Any]:
    each = _each_target(parameters, lambda margin: margin.interval(body.coverage))
    return {"coverage": body.coverage, "intervals": each}


def _samples(parameters: MixtureParameters, body: Any, _: ServedModel) -> dict[str, Any]:
    # A seed of our own is told, so that every answer can be had again.
    seed = secrets.randbelow(_OWN_SEEDS) if body.seed is None else body.seed
    return {"seed": seed, "samples": parameters.sample(body.size, rng=seed).swapaxes(0, 1)}


def _log_prob(parameters: MixtureParameters, body: Any, served: ServedModel) -> dict[str, Any]:
    targets = [value if isinstance(value, dict | tuple) else (value,) for value in body.y]
    y = np.array(_in_order(targets, served.targets), dtype=np.float64)
    return {"log_prob": parameters.log_prob(y)}


def _each_target(
    parameters: MixtureParameters, function: Callable[[MixtureParameters], FloatArray]
) -> FloatArray:
    """Return what a function of one dimension says (N, Q), for each of the target's, (N, D, Q)."""
    size = parameters.event_size
    return np.stack([function(parameters.marginal(place)) for place in range(size)], axis=1)


QUESTIONS: dict[str, Callable[[MixtureParameters, Any, ServedModel], dict[str, Any]]] = {
    "parameters": _parameters,
    "mean": _mean,
    "quantiles": _quantiles,
    "intervals": _intervals,
    "samples": _samples,
    "log_prob": _log_prob,
}
