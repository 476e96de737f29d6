"""Which part each column of a table plays in a fit, and what to do with those of no numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_numeric", "features_of"]


def features_of(
    table: pd.DataFrame,
    source: str,
    features: Sequence[str],
    categorical: Sequence[str],
    others: Sequence[str],
    weight: str | None,
) -> list[str]:
    """Return the columns to predict from, once every column has one part to play.

    Args:
        table: The table.
        source: What messages call it.
        features: The columns named as features; none means all that have no other part.
        categorical: Those of them that hold names.
        others: Targets, and columns to ignore.
        weight: The column of weights, if any.

    Raises:
        click.UsageError: If a column has two parts, none is left, or one has no name.
        ValueError: If a column is not there.
    """
    from tfp_mdn.tables.columns import check_columns

    named = [*others, *(() if weight is None else [weight])]
    check_columns(table, [*named, *features, *categorical], source)
    names = list(features) or [name for name in table.columns if name not in named]
    parts = [*names, *named]
    twice = sorted({name for name in parts if parts.count(name) > 1})
    if twice:
        message = f"{source}: {', '.join(twice)} is named twice, or for two purposes."
        raise click.UsageError(message)
    if not names:
        message = f"{source}: no feature is left to predict from."
        raise click.UsageError(message)
    strangers = [name for name in categorical if name not in names]
    if strangers:
        message = f"--categorical {', '.join(strangers)} must be among the features."
        raise click.UsageError(message)
    unnamed = [name for name in names if name.startswith("Unnamed: ")]
    if unnamed and not features:
        ignored = " ".join(f"--ignore '{name}'" for name in unnamed)
        message = (
            f"{source} has {len(unnamed)} column(s) without a name, often row numbers. Leave out "
            f"with {ignored}, or name them in the header line."
        )
        raise click.UsageError(message)
    return names


def check_numeric(
    table: pd.DataFrame,
    used: Sequence[str],
    features: Sequence[str],
    categorical: Sequence[str],
    source: str,
) -> None:
    """Raise if a column that is used as numbers holds something else, and say what can be done.

    Args:
        table: The table.
        used: All columns that are used.
        features: Those of them that are features.
        categorical: Those of them that may hold names.
        source: What messages call the table.

    Raises:
        click.UsageError: If a column holds text, booleans or dates.
    """
    from tfp_mdn.tables import find_text_columns

    found = find_text_columns(table, [name for name in used if name not in categorical])
    if not found:
        return
    listed = ", ".join(
        f"{name!r} ({kind}, such as {text!r})" for name, (kind, text) in found.items()
    )
    kinds = {kind for kind, _ in found.values()}
    names = [name for name, (kind, _) in found.items() if kind in ("text", "boolean")]
    encodable = " ".join(f"--categorical '{name}'" for name in names if name in features)
    advice = []
    if "decimal comma" in kinds:
        advice.append("read decimal commas with --decimal ','")
    if "numbers in most rows" in kinds:
        advice.append("empty the cells that are not numbers, and use --drop-missing")
    if encodable:
        advice.append(f"encode names one-hot with {encodable}")
    if "date" in kinds:
        advice.append("make dates numbers, such as days since the first")
    if any(name in features for name in found):
        advice.append("leave columns out with --ignore")
    if any(name not in features for name in found):
        advice = ["targets and weights must be numbers", *advice]
    remedy = "; or ".join(advice)
    remedy = f"{remedy[0].upper()}{remedy[1:]}."
    message = f"{source} has column(s) that are not numbers: {listed}. {remedy}"
    raise click.UsageError(message)
