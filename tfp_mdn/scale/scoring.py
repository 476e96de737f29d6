"""Scores Parquet files of any size with a model: in bounded memory, and restartable at any time."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from tfp_mdn._placing import placed_whole
from tfp_mdn._validation import as_whole_number
from tfp_mdn.scale._scoring_answers import Answers, RowScorer, arrow
from tfp_mdn.scale._scoring_files import InputFile, Part, check_apart, find_inputs
from tfp_mdn.scale._scoring_model import columns_of, load_model
from tfp_mdn.scale._scoring_place import check_place, is_finished, locked, settle

if TYPE_CHECKING:
    from tfp_mdn.tables import Columns

__all__ = ["ScoringPlan", "ScoringSummary", "plan_scoring", "score_parquet"]

Progress = Callable[[int, int], object]


@final
@dataclass(frozen=True)
class ScoringSummary:
    """What was scored.

    Attributes:
        rows: Number of rows in the destination.
        files: Number of files there.
        files_before: How many of them were there already, from a run that was interrupted.
        seconds: How long it took.
    """

    rows: int
    files: int
    files_before: int
    seconds: float


def score_parquet(
    model: Any,
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    quantiles: Sequence[float] | float = (0.05, 0.5, 0.95),
    parameters: bool = True,
    mean: bool = True,
    columns_kept: Sequence[str] = (),
    target: str | Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    batch_rows: int = 32768,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ScoringSummary:
    """Score the rows of Parquet files, in their order, to files of the same names.

    Memory holds one batch of rows, however large the files are. Every output file is moved to its
    place whole, and `_scoring.json` beside them keeps the checksum of the model, the options and
    the inputs. When a run is interrupted, killed or fails, the same call goes on with what is
    missing; files that were added to the source since are scored then, too. A run with another
    model or other options, and an input that changed after it was scored, are refused.

    A file of over a million rows becomes a folder of its name, with a file for each group of row
    groups of about that size. Each row has, after the columns kept:

    - `weight`, `mean_0`, `variance_0` and so on, the columns of `tfp-mdn params`, each with a list
      of K values; `DataFrame.explode` makes that table of them;
    - `TARGET_mean`, `TARGET_stddev`, `TARGET_q0.5`, as of `tfp-mdn predict`;
    - with targets `log_prob`, log p(y | x) in nats, and `TARGET_pit`, P(Y ≤ y | x).

    Args:
        model: A `tf_keras` model that ends in a mixture layer, a fitted `MDNRegressor`, or the
            path of one that was saved, which also knows the categories of its columns.
        source: A Parquet file, or a folder of them at any depth. Names that begin with "." or "_"
            are passed over, as all readers of such folders do.
        destination: Folder to write: new, empty, or of an earlier run.
        quantiles: Levels strictly between 0 and 1; empty for none. With several targets these are
            quantiles of each alone.
        parameters: Whether to write the parameters of the components.
        mean: Whether to write mean and standard deviation.
        columns_kept: Columns of the source to write as they are, such as keys.
        target: Column(s) of the targets to judge the densities by.
        features: The columns that the model reads, in order, if it does not know their names.
        batch_rows: Rows to answer at a time.
        workers: Batches to answer at the same time, each in a thread.
        overwrite: Whether to remove first what an earlier run wrote to the destination.
        progress: Called with the rows done and those there are, after each batch.

    Returns:
        Numbers of rows and files, and the time.

    Raises:
        FileNotFoundError: If there is no model or source.
        FileExistsError: If the destination holds other files.
        ImportError: If PyArrow or pandas is not installed.
        OSError: If a file cannot be written, as on a full disk; those before it stay.
        TypeError: If an argument is of another type.
        ValueError: If an argument, a file or a value cannot be used; the message says which, with
            file and row. Finished files stay, and the same call goes on after the mend.

    Example:
        >>> import tempfile, numpy as np, pandas as pd
        >>> from tfp_mdn.models import build_mdn
        >>> table = pd.DataFrame({"id": [7, 8, 9], "x": [0.0, 0.5, 1.0]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table.to_parquet(f"{folder}/table.parquet")
        ...     done = score_parquet(
        ...         build_mdn(4, input_size=1), f"{folder}/table.parquet", f"{folder}/scored",
        ...         features=["x"], columns_kept=["id"], quantiles=[0.5],
        ...     )
        ...     scored = pd.read_parquet(f"{folder}/scored")
        >>> done.rows, scored.columns.tolist()
        (3, ['id', 'weight', 'mean_0', 'variance_0', 'y_mean', 'y_stddev', 'y_q0.5'])
        >>> scored.explode(["weight", "mean_0", "variance_0"]).shape
        (12, 7)
    """
    return plan_scoring(
        model,
        source,
        destination,
        answers=Answers.checked(quantiles, columns_kept, target, parameters=parameters, mean=mean),
        features=features,
        batch_rows=batch_rows,
        workers=workers,
        overwrite=overwrite,
    ).run(progress)


@final
@dataclass(frozen=True)
class ScoringPlan:
    """A scoring whose arguments and input files are known to be good, before TensorFlow is needed.

    Attributes:
        model: Model, estimator or path.
        columns: The columns that it reads.
        targets: The names of its targets, if it knows them.
        answers: What is asked of each row.
        inputs: The files to score.
        destination: The folder to write.
        batch_rows: Rows to answer at a time.
        workers: Batches to answer at the same time.
        overwrite: Whether to remove first what is there.
    """

    model: Any
    columns: Columns
    targets: list[str] | None
    answers: Answers
    inputs: list[InputFile]
    destination: Path
    batch_rows: int
    workers: int
    overwrite: bool

    @property
    def num_rows(self) -> int:
        """Number of rows of all files."""
        return sum(found.num_rows for found in self.inputs)

    def run(self, progress: Progress | None = None) -> ScoringSummary:
        """Score what is not finished; see `score_parquet`."""
        start = time.perf_counter()
        model = load_model(self.model, len(self.columns.features))
        scorer = RowScorer(model, self.columns, self.targets, self.answers)
        scorer.empty  # noqa: B018  raises if targets and names do not fit
        options = {
            "model": model.checksum,
            "features": self.columns.features,
            **{name: _plain(value) for name, value in asdict(self.answers).items()},
        }
        done, num_files, num_before = 0, 0, 0
        with locked(self.destination):
            settle(self.destination, options, self.inputs, overwrite=self.overwrite)
            for found in self.inputs:
                for part in found.parts:
                    finished = is_finished(self.destination, part)
                    if not finished:
                        for rows in self._score(scorer, found, part):
                            if progress is not None:
                                progress(done + rows, self.num_rows)
                    done += part.num_rows
                    num_files, num_before = num_files + 1, num_before + finished
                    if progress is not None:
                        progress(done, self.num_rows)
        return ScoringSummary(done, num_files, num_before, time.perf_counter() - start)

    def _score(self, scorer: RowScorer, found: InputFile, part: Part) -> Iterator[int]:
        """Write the output of a part, and yield the number of its rows that are done."""
        pa, pq = arrow()
        kept = self.answers.columns_kept
        needed = list(dict.fromkeys([*self.columns.names, *self.answers.target, *kept]))

        def answered(batch: tuple[int, Any]) -> Any:
            first, table = batch
            last = first + len(table) - 1
            answers = scorer.score(
                table.drop_columns([name for name in kept if name not in read]).to_pandas(),
                f"{part.path}, rows {first} to {last}",
                lambda place: f"{first + place} (counted from 0)",
            )
            columns = [*table.select(list(kept)).columns, *answers.columns]
            return pa.table(columns, schema=schema)

        read = {*self.columns.names, *self.answers.target}
        schema = pa.schema([*(found.schema.field(name) for name in kept), *scorer.empty.schema])
        target = (self.destination / part.output).absolute()
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = 0
        with placed_whole(target) as new:
            # Numbers of their own in nearly every row would only fill a dictionary.
            with pq.ParquetWriter(
                new, schema, use_dictionary=list(kept), write_page_checksum=True
            ) as writer:
                batches = part.batches(needed, self.batch_rows)
                for table in _mapped(answered, batches, self.workers):
                    writer.write_table(table)
                    rows += len(table)
                    yield rows
            found.shard.check_unchanged()


def plan_scoring(
    model: Any,
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    answers: Answers,
    features: Sequence[str] | None = None,
    batch_rows: int = 32768,
    workers: int = 1,
    overwrite: bool = False,
) -> ScoringPlan:
    """Check arguments and input files; see `score_parquet`, whose arguments these are."""
    arrow()
    for name, value in (("source", source), ("destination", destination)):
        if not isinstance(value, str | os.PathLike):
            msg = f"{name} must be a path, got {value!r}."
            raise TypeError(msg)
    if not isinstance(overwrite, bool):
        msg = f"overwrite must be True or False, got {overwrite!r}."
        raise TypeError(msg)
    columns, targets = columns_of(model, features)
    read, written = Path(source), Path(destination)
    check_apart(read, written)
    check_place(written)
    inputs = find_inputs(read, [*columns.names, *answers.target, *answers.columns_kept])
    return ScoringPlan(
        model,
        columns,
        targets,
        answers,
        inputs,
        written,
        as_whole_number("batch_rows", batch_rows),
        as_whole_number("workers", workers),
        overwrite,
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _mapped(work: Callable[[Any], Any], items: Iterable[Any], num_workers: int) -> Iterator[Any]:
    """Yield what work makes of each item, in order, and hold no more than are worked on."""
    if num_workers == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(num_workers) as pool:
        waiting: deque[Future[Any]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
