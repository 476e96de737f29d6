"""Which columns of a table a network reads, and its features: numbers, and categories one-hot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from tfp_mdn.tables.columns import (
    MISSING_REMEDY,
    as_text,
    check_columns,
    is_missing,
    missing_counts,
    numeric_columns,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CATEGORIES", "Columns"]

# Under this name the directory of a model keeps the categories of its columns.
CATEGORIES = "categories"

# One-hot features for more than this would be a table of their own; such a column is a name.
_MOST_CATEGORIES = 100


@final
@dataclass(frozen=True)
class Columns:
    """Columns of a table that a model reads, in order.

    A column of numbers is one feature of its own name. A categorical column is one feature for
    each of its categories, called "column=category", which is 1 in its rows and 0 elsewhere.

    Attributes:
        names: The columns.
        categories: The categories of those that are not numbers, sorted.
    """

    names: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]

    @classmethod
    def learn(
        cls, table: pd.DataFrame, names: Sequence[str], categorical: Sequence[str], source: str
    ) -> Columns:
        """Return the columns with the categories that are found in a table.

        Raises:
            ValueError: If a column is not there, a category is missing in some rows, there are
                too many, or a feature would have the name of a column.
        """
        check_columns(table, [*names, *categorical], source)
        holes = missing_counts(table, categorical)
        if holes:
            listed = ", ".join(f"{name!r} {count}" for name, count in holes.items())
            msg = f"{source} has missing values: {listed}. {MISSING_REMEDY}"
            raise ValueError(msg)
        categories = {name: tuple(sorted(set(as_text(table[name])))) for name in categorical}
        for name, found in categories.items():
            if len(found) > _MOST_CATEGORIES:
                msg = (
                    f"{source} has {len(found)} categories in {name!r}, more than "
                    f"{_MOST_CATEGORIES}; merge the rare ones, or leave the column out."
                )
                raise ValueError(msg)
        columns = cls(tuple(names), categories)
        features = columns.features
        twice = sorted({name for name in features if features.count(name) > 1})
        if twice:
            msg = (
                f"{source} has a column {twice[0]!r}, the name of a category's feature; rename it."
            )
            raise ValueError(msg)
        return columns

    @classmethod
    def from_features(cls, features: Sequence[str], categories: Any) -> Columns:
        """Return the columns of a model from its feature names and what `to_dict` returned.

        Raises:
            ValueError: If the categories are not what `to_dict` returns.
        """
        found = categories or {}
        try:
            kept = {str(name): tuple(map(str, values)) for name, values in found.items()}
        except (AttributeError, TypeError) as error:
            msg = f"categories must map columns to lists of names, got {categories!r}."
            raise ValueError(msg) from error
        column = {f"{name}={value}": name for name, values in kept.items() for value in values}
        names = tuple(dict.fromkeys(column.get(feature, feature) for feature in features))
        return cls(names, {name: kept[name] for name in names if name in kept})

    @property
    def numeric(self) -> list[str]:
        """The columns of numbers."""
        return [name for name in self.names if name not in self.categories]

    @property
    def features(self) -> list[str]:
        """The names of the features, in the order of the columns."""
        return [
            feature
            for name in self.names
            for feature in (
                [f"{name}={value}" for value in self.categories[name]]
                if name in self.categories
                else [name]
            )
        ]

    def to_dict(self) -> dict[str, list[str]]:
        """Return the categories as JSON has them."""
        return {name: list(values) for name, values in self.categories.items()}

    def encode(self, table: pd.DataFrame, source: str) -> pd.DataFrame:
        """Return the features (N, F) of the rows of a table as float64, on its index.

        Raises:
            ValueError: If a column is not there, a value is missing, infinite or not a number, or
                a category was not there when the categories were learned.
        """
        import pandas as pd

        check_columns(table, self.names, source)
        numbers = numeric_columns(table, self.numeric, source)
        columns: dict[str, Any] = {}
        for name in self.names:
            if name in self.categories:
                text = self._known(table[name], name, source)
                for value in self.categories[name]:
                    columns[f"{name}={value}"] = (text == value).to_numpy(np.float64)
            else:
                columns[name] = numbers[name].to_numpy()
        return pd.DataFrame(columns, index=table.index)

    def readable(self, table: pd.DataFrame, source: str) -> pd.DataFrame:
        """Return the columns themselves: numbers as float64, categories as text."""
        numbers = numeric_columns(table, self.numeric, source)
        for place, name in enumerate(self.names):
            if name in self.categories:
                numbers.insert(place, name, as_text(table[name]))
        return numbers

    def _known(self, column: pd.Series[Any], name: str, source: str) -> pd.Series[str]:
        """Return a categorical column as text, once every row is known to hold a category."""
        num_missing = int(is_missing(column).sum())
        if num_missing:
            msg = f"{source} has missing values: {name!r} {num_missing}. {MISSING_REMEDY}"
            raise ValueError(msg)
        text = as_text(column)
        unknown = sorted(set(text) - set(self.categories[name]))
        if unknown:
            listed = ", ".join(map(repr, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
            known = ", ".join(map(repr, self.categories[name]))
            rows = int(text.isin(unknown).sum())
            msg = (
                f"{source} has {rows} row(s) whose {name!r} the model never saw: {listed}; "
                f"it knows {known}. Leave those rows out, or fit again with them."
            )
            raise ValueError(msg)
        return text
