"""What is computed for each row that is scored, and under which names it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np

from tfp_mdn._validation import as_finite_array
from tfp_mdn.scale._scoring_model import LoadedModel, as_names
from tfp_mdn.tables import numeric_columns
from tfp_mdn.tables.columns import is_missing
from tfp_mdn.tables.reading import NEEDS_PYARROW

if TYPE_CHECKING:
    import pandas as pd

    from tfp_mdn.tables import Columns

__all__ = ["Answers", "RowScorer", "arrow"]


def arrow() -> tuple[Any, Any]:
    """Return the modules `pyarrow` and `pyarrow.parquet`.

    Raises:
        ImportError: If PyArrow is not installed; the message names the extra.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError(NEEDS_PYARROW) from error
    return pa, pq


@final
@dataclass(frozen=True)
class Answers:
    """What is asked of each row.

    Attributes:
        quantiles: Levels, each strictly between 0 and 1.
        parameters: Whether the parameters of the components are wanted.
        mean: Whether mean and standard deviation are.
        columns_kept: Columns of the input that stand beside the answers.
        target: Columns of the targets that are judged; empty for none.
    """

    quantiles: tuple[float, ...]
    parameters: bool
    mean: bool
    columns_kept: tuple[str, ...]
    target: tuple[str, ...]

    @classmethod
    def checked(
        cls, quantiles: Any, columns_kept: Any, target: Any, *, parameters: Any, mean: Any
    ) -> Answers:
        """Return what is asked, once it is known that it can be.

        Raises:
            TypeError: If an argument is of another type.
            ValueError: If a level is not between 0 and 1, a name is there twice, or nothing is
                asked.
        """
        levels = as_finite_array("quantiles", quantiles)
        if levels.ndim > 1 or ((levels <= 0.0) | (levels >= 1.0)).any():
            msg = f"quantiles must be levels strictly between 0 and 1, got {quantiles!r}."
            raise ValueError(msg)
        for name, value in (("parameters", parameters), ("mean", mean)):
            if not isinstance(value, bool):
                msg = f"{name} must be True or False, got {value!r}."
                raise TypeError(msg)
        kept = as_names("columns_kept", columns_kept)
        targets = [] if target is None else as_names("target", target)
        flat = tuple(map(float, np.atleast_1d(levels)))
        if len({f"{level:g}" for level in flat}) < len(flat):
            msg = f"quantiles must differ in the first six digits, got {quantiles!r}."
            raise ValueError(msg)
        if not (flat or parameters or mean or targets):
            msg = "nothing is asked: give quantiles, parameters=True, mean=True or a target."
            raise ValueError(msg)
        return cls(flat, parameters, mean, tuple(kept), tuple(targets))


@final
@dataclass(frozen=True)
class RowScorer:
    """A model, and what it is asked of each row of a table.

    Attributes:
        model: The model.
        columns: The columns that it reads.
        targets: The names of its targets, if it knows them.
        answers: What is asked.
    """

    model: LoadedModel
    columns: Columns
    targets: Sequence[str] | None
    answers: Answers

    @cached_property
    def empty(self) -> Any:
        """The answers to no rows: an Arrow table of all columns and types.

        Raises:
            ValueError: If there are not as many targets as the model has dimensions, or two columns
                would have one name.
        """
        table = self._table(np.zeros((1, len(self.columns.features))), None)
        twice = [*table.column_names, *self.answers.columns_kept]
        clash = sorted({name for name in twice if twice.count(name) > 1})
        if clash:
            msg = (
                f"{', '.join(map(repr, clash))} would be the name of two columns: rename the "
                "column of the table, do not keep it, or ask for less."
            )
            raise ValueError(msg)
        return table.slice(0, 0)

    def score(self, frame: pd.DataFrame, source: str, row_name: Callable[[int], Any]) -> Any:
        """Return the answers to the rows of a table as an Arrow table.

        Args:
            frame: At least one row, with the columns that the model reads and the targets.
            source: What messages call the rows.
            row_name: What messages call the row at a place in the table.

        Raises:
            ValueError: If a value is missing, infinite, no number, or a category that the model
                never saw; the message says where.
        """
        judged = self.answers.target
        for name in (*self.columns.names, *judged):
            _check_column(frame[name], name, source, row_name)
        inputs = self.columns.encode(frame, source)
        targets = numeric_columns(frame, judged, source).to_numpy() if judged else None
        return self._table(inputs.to_numpy(), targets)

    def _table(self, inputs: Any, targets: Any) -> Any:
        mixtures = self.model.mixtures(inputs)
        if targets is None and self.answers.target:  # the one row that only tells the columns
            targets = mixtures.mean()
        pa, _ = arrow()
        return pa.table(self._columns(mixtures, targets))

    def _columns(self, mixtures: Any, targets: Any) -> dict[str, Any]:
        pa, _ = arrow()
        names = self._target_names(mixtures.event_size)
        columns: dict[str, Any] = {}
        if self.answers.parameters:
            tidy = mixtures.to_dataframe()
            for name in tidy.columns.drop(["row", "component"]):
                values = pa.array(tidy[name].to_numpy())
                columns[name] = pa.FixedSizeListArray.from_arrays(values, mixtures.num_components)
        moments = (
            {"mean": mixtures.mean(), "stddev": mixtures.stddev()} if self.answers.mean else {}
        )
        for place, name in enumerate(names):
            columns |= {f"{name}_{part}": values[:, place] for part, values in moments.items()}
            if self.answers.quantiles:
                found = mixtures.marginal(place).quantile(self.answers.quantiles)
                for level, values in zip(self.answers.quantiles, found, strict=True):
                    columns[f"{name}_q{level:g}"] = values
        if targets is not None:
            from tfp_mdn.calibration import pit_values

            columns["log_prob"] = mixtures.log_prob(targets)
            for name, values in zip(names, pit_values(mixtures, targets).T, strict=True):
                columns[f"{name}_pit"] = values
        return columns

    def _target_names(self, event_size: int) -> list[str]:
        names = list(self.targets or self.answers.target)
        if not names:
            names = ["y"] if event_size == 1 else [f"y_{place}" for place in range(event_size)]
        for given in (names, self.answers.target):
            if given and len(given) != event_size:
                msg = f"target must name the {event_size} target(s) of the model, got {given}."
                raise ValueError(msg)
        return names


def _check_column(
    column: pd.Series[Any], name: str, source: str, row_name: Callable[[int], Any]
) -> None:
    """Raise if a value is missing or infinite, and say where the first one is."""
    bad, what = is_missing(column).to_numpy(bool), "missing"
    if not bad.any() and column.dtype.kind == "f":
        bad, what = np.isinf(column.to_numpy()), "infinite"
    if bad.any():
        msg = (
            f"{source}: the value of {name!r} is {what} in row {row_name(int(bad.argmax()))}. "
            "Fill such values, or leave those rows out."
        )
        raise ValueError(msg)
