"""What requests may look like, as pydantic models made for the columns of one model."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, create_model
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from tfp_mdn.serving.limits import MAX_LEVELS, Limits
from tfp_mdn.serving.served import ServedModel

__all__ = ["BRANCHES", "request_models"]

_CLOSED = ConfigDict(extra="forbid")

# The forms of a row, which do not belong into the place of an error.
BRANCHES = ("object", "array", "number")

_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Inside = Annotated[float, Field(strict=True, gt=0.0, lt=1.0)]


def request_models(served: ServedModel, limits: Limits) -> dict[str, type[BaseModel]]:
    """Return the model of the body of each question."""
    kinds = {
        name: _category(served.columns.categories[name])
        if name in served.columns.categories
        else _Number
        for name in served.columns.names
    }
    rows = (_many(_row("Row", kinds), limits), ...)
    target = _row("Target", dict.fromkeys(served.targets, _Number), single=len(served.targets) == 1)
    levels = Annotated[
        list[_Inside],
        Field(min_length=1, max_length=MAX_LEVELS, description="Quantile levels."),
    ]
    coverage = Annotated[_Inside, Field(description="Probability inside the central interval.")]
    size = Annotated[int, Field(strict=True, ge=1, description="Draws for each row.")]
    seed = Annotated[
        int | None,
        Field(strict=True, ge=0, lt=2**63, description="The same seed gives the same draws."),
    ]
    fields: dict[str, dict[str, Any]] = {
        "parameters": {},
        "mean": {},
        "quantiles": {"levels": (levels, [0.05, 0.5, 0.95])},
        "intervals": {"coverage": (coverage, 0.9)},
        "samples": {"size": (size, 1), "seed": (seed, None)},
        "log_prob": {"y": (_many(target, limits), ...)},
    }
    make: Any = create_model
    return {
        question: make(_title(question), __config__=_CLOSED, rows=rows, **more)
        for question, more in fields.items()
    }


def _title(question: str) -> str:
    return f"{question.title().replace('_', '')}Request"


def _many(row: Any, limits: Limits) -> Any:
    return Annotated[list[row], Field(min_length=1, max_length=limits.max_rows)]


def _row(title: str, kinds: dict[str, Any], *, single: bool = False) -> Any:
    """Return the type of a row: an object by name or an array, or a number where one is enough."""
    make: Any = TypedDict
    by_name: Any = make(title, kinds)
    by_name.__pydantic_config__ = _CLOSED
    in_order: Any = tuple[tuple(kinds.values())]  # type: ignore[misc]
    either = Annotated[by_name, Tag("object")] | Annotated[in_order, Tag("array")]
    listed = ", ".join(kinds)
    message = f"must be an object by name or an array in this order: {listed}"
    if single:
        either |= Annotated[_Number, Tag("number")]
        message = f"must be a number, an array of one, or an object with {listed}"
    form = Discriminator(
        lambda value: _form(value, single=single),
        custom_error_type="row_type",
        # Braces would be taken for places to fill in.
        custom_error_message=message.replace("{", "(").replace("}", ")"),
    )
    return Annotated[either, form]


def _form(value: Any, *, single: bool) -> str | None:
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list | tuple):
        return "array"
    return "number" if single else None


def _category(known: tuple[str, ...]) -> Any:
    """Return the type of a category: its text, or the number or boolean that is written so."""

    def choose(value: Any) -> str:
        text = _as_text(value)
        if text not in known:
            listed = ", ".join(map(repr, known))
            raise PydanticCustomError(
                "unknown_category", "the model knows the categories {known}", {"known": listed}
            )
        return text

    shown = [*known, *(twin for text in known for twin in _twins(text))]
    return Annotated[str, BeforeValidator(choose), Field(json_schema_extra={"enum": shown})]


def _as_text(value: Any) -> str | None:
    """Return what stands in a table for a value of JSON; None if nothing can."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.0f}" if value == round(value) else repr(value)
    return None


def _twins(text: str) -> list[Any]:
    """Return the booleans and numbers that are accepted for a category."""
    if text in ("True", "False"):
        return [text == "True"]
    try:
        number = float(text)
    except ValueError:
        return []
    return [number] if _as_text(number) == text else []
