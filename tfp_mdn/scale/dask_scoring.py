"""Scores the rows of a Dask data frame, each worker with a model that it loads once."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from tfp_mdn.scale._scoring_answers import Answers, RowScorer, arrow
from tfp_mdn.scale._scoring_model import columns_of, load_model
from tfp_mdn.tables.columns import check_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["score_dask"]

_NEEDS_DASK = 'score_dask needs Dask: pip install "tfp-mdn[dask]"'

# The models that this process loaded last, and the lock that keeps two threads from loading one
# twice.
_SCORERS: dict[_Sent, RowScorer] = {}
_MOST_SCORERS = 4
_LOADING = threading.Lock()


def score_dask(
    model: Any,
    frame: Any,
    *,
    quantiles: Sequence[float] | float = (0.05, 0.5, 0.95),
    parameters: bool = True,
    mean: bool = True,
    columns_kept: Sequence[str] = (),
    target: str | Sequence[str] | None = None,
    features: Sequence[str] | None = None,
) -> Any:
    """Return the Dask data frame of what a model answers to the rows of another.

    It is one `map_partitions`: the divisions and the index stay. The columns are those that
    `score_parquet` writes; the lists of parameters have the Arrow type of fixed-size lists.

    Args:
        model: The path of a saved model, which every worker must be able to read, or a model or
            estimator that can be saved, which is sent to the workers.
        frame: A Dask data frame with the columns that the model reads.
        quantiles: As for `score_parquet`.
        parameters: As for `score_parquet`.
        mean: As for `score_parquet`.
        columns_kept: As for `score_parquet`.
        target: As for `score_parquet`.
        features: As for `score_parquet`.

    Returns:
        A Dask data frame; nothing is computed but its columns.

    Raises:
        FileNotFoundError: If there is no model at the path.
        ImportError: If Dask or PyArrow is not installed.
        TypeError: If an argument is of another type.
        ValueError: If an argument cannot be used; in the computation, if a value cannot be.

    References:
        https://docs.dask.org/en/stable/generated/dask.dataframe.DataFrame.map_partitions.html

    Example:
        >>> import dask.dataframe as dd, pandas as pd
        >>> from tfp_mdn.models import build_mdn
        >>> rows = dd.from_pandas(pd.DataFrame({"id": [7, 8, 9], "x": [0.0, 0.5, 1.0]}))
        >>> scored = score_dask(build_mdn(4, input_size=1), rows, features=["x"],
        ...                     columns_kept=["id"], parameters=False)
        >>> scored.columns.tolist(), len(scored)
        (['id', 'y_mean', 'y_stddev', 'y_q0.05', 'y_q0.5', 'y_q0.95'], 3)
    """
    try:
        import dask.dataframe as dd
    except ImportError as error:
        raise ImportError(_NEEDS_DASK) from error
    arrow()
    if not isinstance(frame, dd.DataFrame):
        msg = f"frame must be a dask.dataframe.DataFrame, got {type(frame).__name__}."
        raise TypeError(msg)
    answers = Answers.checked(quantiles, columns_kept, target, parameters=parameters, mean=mean)
    columns, targets = columns_of(model, features)
    needed = list(dict.fromkeys([*columns.names, *answers.target, *answers.columns_kept]))
    check_columns(frame, needed, "frame")
    loaded = load_model(model, len(columns.features))
    if isinstance(model, str | os.PathLike):
        content: bytes | str = os.path.abspath(model)
    else:
        from tfp_mdn._model_file import model_from_bytes, model_to_bytes

        # The answers are those of the model as it is now, however it is trained on.
        content = model_to_bytes(loaded.network)
        loaded = load_model(model_from_bytes(content), len(columns.features))
    scorer = RowScorer(loaded, columns, targets, answers)
    sent = _Sent(
        loaded.checksum,
        answers,
        columns.names,
        tuple(columns.categories.items()),
        None if targets is None else tuple(targets),
        content,
    )
    with _LOADING:
        _keep(sent, scorer)
    meta = _beside(frame._meta[list(answers.columns_kept)], scorer.empty)
    return frame[needed].map_partitions(_score_partition, sent, meta=meta)


@final
@dataclass(frozen=True)
class _Sent:
    """What a worker is sent; equal if the answers are.

    Attributes:
        checksum: That of the model.
        answers: What is asked.
        names: The columns that the model reads.
        categories: Those that are not numbers, and their categories.
        targets: Names of the targets, if the model knows them.
        content: Where the model is saved, or its file.
    """

    checksum: str
    answers: Answers
    names: tuple[str, ...]
    categories: tuple[tuple[str, tuple[str, ...]], ...]
    targets: tuple[str, ...] | None
    content: bytes | str = field(compare=False, repr=False)

    def __dask_tokenize__(self) -> Any:
        """Return what the name of the computation depends on."""
        return repr(self)

    def load(self) -> RowScorer:
        """Load the model.

        Raises:
            ValueError: If another model is at the path by now.
        """
        from tfp_mdn._model_file import model_from_bytes
        from tfp_mdn.tables import Columns

        columns = Columns(self.names, dict(self.categories))
        content = self.content
        found = content if isinstance(content, str) else model_from_bytes(content)
        loaded = load_model(found, len(columns.features))
        if loaded.checksum != self.checksum:
            msg = f"{content!r} holds another model than when score_dask was called; call it again."
            raise ValueError(msg)
        return RowScorer(loaded, columns, self.targets, self.answers)


def _score_partition(frame: pd.DataFrame, sent: _Sent) -> pd.DataFrame:
    with _LOADING:
        scorer = _SCORERS.get(sent) or _keep(sent, sent.load())
    kept = frame[list(sent.answers.columns_kept)]
    if frame.empty:
        return _beside(kept, scorer.empty)
    source = f"the partition with index {frame.index[0]!r} to {frame.index[-1]!r}"
    answers = scorer.score(frame, source, lambda place: repr(frame.index[place]))
    return _beside(kept, answers)


def _keep(sent: _Sent, scorer: RowScorer) -> RowScorer:
    """Keep a model for the next partitions, and forget the one that came first of too many."""
    _SCORERS.setdefault(sent, scorer)
    if len(_SCORERS) > _MOST_SCORERS:
        del _SCORERS[next(iter(_SCORERS))]
    return scorer


def _beside(kept: pd.DataFrame, answers: Any) -> pd.DataFrame:
    """Return the columns kept and the answers, on the index of the former."""
    import pandas as pd

    pa, _ = arrow()
    table = answers.to_pandas(
        # Lists as objects of Python would take many times the memory.
        types_mapper=lambda kind: pd.ArrowDtype(kind) if pa.types.is_nested(kind) else None
    )
    return pd.concat([kept, table.set_index(kept.index)], axis=1)
