"""Batches of rows from files: all rows once, the same ones held out, orders by the seed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfp_mdn.losses import negative_log_likelihood
from tfp_mdn.models import build_mdn
from tfp_mdn.scale import read_shards
from tfp_mdn.training import fit_mdn


def rows_of(dataset: tf.data.Dataset) -> np.ndarray:
    return np.concatenate([np.concatenate(pair, axis=1) for pair in dataset.as_numpy_iterator()])


def sorted_rows(rows: np.ndarray) -> np.ndarray:
    return rows[np.argsort(rows[:, 0], kind="stable")]


def test_every_row_comes_once(shards: Path, table: np.ndarray) -> None:
    for shuffle_rows in (0, 1, 64, 1000, 10_000):
        found = rows_of(read_shards(shards, targets="y", shuffle_rows=shuffle_rows))
        np.testing.assert_array_equal(sorted_rows(found), sorted_rows(table))
        # The files are read in the order of their names.
        assert np.array_equal(found, table) is (shuffle_rows == 0)


def test_batches(shards: Path) -> None:
    dataset = read_shards(shards, features=["b"], targets=["y", "a"], batch_size=700)
    sizes = [(len(x), len(y)) for x, y in dataset.as_numpy_iterator()]
    assert sizes == [(700, 700)] * 4 + [(200, 200)]
    x, y = dataset.element_spec
    assert (x.shape[1], y.shape[1], x.dtype, y.dtype) == (1, 2, tf.float64, tf.float64)


def test_features_are_all_columns_but_the_targets(shards: Path, table: np.ndarray) -> None:
    x, y = next(read_shards(shards, targets=["a"], shuffle_rows=0).as_numpy_iterator())
    np.testing.assert_array_equal(x, table[: len(x), 1:])
    np.testing.assert_array_equal(y, table[: len(x), :1])


class TestParts:
    """Which rows are held out."""

    def parts(self, paths: Any, share: float = 0.2, **options: Any) -> tuple[np.ndarray, ...]:
        options = {"targets": "y", "validation_share": share, **options}
        return tuple(
            rows_of(read_shards(paths, part=part, **options)) for part in ("training", "validation")
        )

    def test_they_make_up_all_rows(self, shards: Path, table: np.ndarray) -> None:
        training, validation = self.parts(shards)
        together = np.concatenate([training, validation])
        np.testing.assert_array_equal(sorted_rows(together), sorted_rows(table))
        assert stats.binomtest(len(validation), 3000, 0.2).pvalue > 0.01

    def test_they_do_not_depend_on_seed_columns_or_buffer(self, shards: Path) -> None:
        held_out = sorted_rows(self.parts(shards)[1])
        for options in ({"seed": 3}, {"shuffle_rows": 100}, {"epochs": 2, "batch_size": 9}):
            again = sorted_rows(self.parts(shards, **options)[1])
            np.testing.assert_array_equal(np.unique(again, axis=0), np.unique(held_out, axis=0))

    def test_they_do_not_depend_on_place_format_or_way_of_naming(
        self, shards: Path, tmp_path: Path, write_shards: Callable[..., Path], table: np.ndarray
    ) -> None:
        held_out = sorted_rows(self.parts(shards)[1])
        other_groups = write_shards(tmp_path / "b", table, ["a", "b", "y"], group_rows=37)
        files = sorted(shards.iterdir())
        for paths in (str(shards / "*.parquet"), files[::-1], other_groups):
            np.testing.assert_array_equal(sorted_rows(self.parts(paths)[1]), held_out)

    def test_they_are_the_same_in_another_process(
        self, shards: Path, run_python: Callable[..., str]
    ) -> None:
        printed = run_python(
            """
            import sys
            from tfp_mdn.scale.files import find_shards
            from tfp_mdn.scale.stream import RowStream
            stream = RowStream(find_shards(sys.argv[1]), ["a"], "validation", 0.2)
            print([row.hex() for rows, _ in stream.in_order() for row in rows[:, 0].tolist()])
            """,
            shards,
        )
        held_out = self.parts(shards, shuffle_rows=0)[1][:, 0]
        assert re.findall(r"'(.*?)'", printed) == [float(value).hex() for value in held_out]

    def test_rows_of_one_name_in_two_folders_are_drawn_apart(
        self, write_shards: Callable[..., Path], tmp_path: Path
    ) -> None:
        place = np.arange(2000.0)[:, None] * np.ones(2)
        for day in ("day=1", "day=2"):
            write_shards(tmp_path / day, place, ["x", "y"], num_files=1)
        first, second = (
            set(self.parts(tmp_path / "day=*" / "*.parquet", shuffle_rows=0)[1][part, 0])
            for part in (slice(None, 400), slice(400, None))
        )
        # Independent draws of a fifth share a fifth of a fifth.
        assert 30 < len(first & second) < 150

    def test_a_larger_share_holds_out_more_of_them(self, shards: Path) -> None:
        small, large = (self.parts(shards, share)[1][:, 0] for share in (0.1, 0.3))
        assert set(small) < set(large)


class TestOrder:
    """The order of the rows."""

    def test_it_follows_the_seed(self, shards: Path) -> None:
        options: dict[str, Any] = {"targets": "y", "shuffle_rows": 500, "epochs": 2}
        a, b, c = (rows_of(read_shards(shards, seed=seed, **options)) for seed in (0, 0, 1))
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)

    def test_every_pass_has_its_own(self, shards: Path, table: np.ndarray) -> None:
        dataset = read_shards(shards, targets="y")
        first, second = rows_of(dataset), rows_of(dataset)
        assert not np.array_equal(first, second)
        twice = rows_of(read_shards(shards, targets="y", epochs=2))
        np.testing.assert_array_equal(twice, np.concatenate([first, second]))
        np.testing.assert_array_equal(sorted_rows(second), sorted_rows(table))

    def test_without_end(self, shards: Path) -> None:
        dataset = read_shards(shards, targets="y", epochs=None, batch_size=1000)
        assert len(rows_of(dataset.take(10))) == 10_000

    def test_rows_move_far(self, write_shards: Callable[..., Path], tmp_path: Path) -> None:
        place = np.arange(20_000.0)[:, None] * np.ones(2)
        write_shards(tmp_path, place, ["x", "y"], num_files=5, group_rows=500)
        found = rows_of(read_shards(tmp_path, targets="y", shuffle_rows=2000))[:, 0]
        assert abs(np.corrcoef(found, np.arange(20_000))[0, 1]) < 0.4
        # Within a batch, most of the spread of all rows: a sorted table does not train in order.
        within = np.array([found[i : i + 256].std() for i in range(0, 19_968, 256)])
        assert np.median(within) > 0.5 * found.std()
        # Neighbours in the files are no neighbours here.
        assert np.mean(np.abs(np.diff(found)) < 10) < 0.02


def test_plain_users_train_on_it(shards: Path) -> None:
    model = build_mdn(4, input_size=2, seed=0)
    history = fit_mdn(
        model,
        read_shards(shards, targets="y", batch_size=100, part="training", validation_share=0.1),
        validation_data=read_shards(
            shards, targets="y", part="validation", validation_share=0.1, shuffle_rows=0
        ),
        epochs=3,
    ).history
    assert history["val_loss"][-1] < history["val_loss"][0]
    # What was reported is the mean over the rows that were not learned from.
    held_out = rows_of(read_shards(shards, targets="y", part="validation", validation_share=0.1))
    y = tf.constant(held_out[:, 2:], tf.float32)
    expected = np.mean(negative_log_likelihood(y, model(held_out[:, :2])))
    np.testing.assert_allclose(history["val_loss"][-1], expected, rtol=1e-4)


def test_large_offsets_keep_their_digits(write_shards: Callable[..., Path], tmp_path: Path) -> None:
    z = np.random.default_rng(0).normal(size=(500, 2))
    write_shards(tmp_path, 1e9 + z, ["x", "y"])
    found = rows_of(read_shards(tmp_path, targets="y"))
    np.testing.assert_allclose(sorted_rows(found) - 1e9, sorted_rows(z), atol=1e-6)


def test_empty_shards_are_passed_over(
    write_shards: Callable[..., Path], tmp_path: Path, table: np.ndarray
) -> None:
    write_shards(tmp_path, table[:5], ["a", "b", "y"], num_files=9)
    assert len(rows_of(read_shards(tmp_path, targets="y"))) == 5


class TestRefusals:
    """What is refused, and how what happens on the way is told."""

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
            ({"batch_size": 2.5}, TypeError, "batch_size must be an integer"),
            ({"shuffle_rows": -1}, ValueError, "shuffle_rows must be at least 0"),
            ({"seed": -1}, ValueError, "seed must be at least 0"),
            ({"seed": None}, TypeError, "seed must be an integer"),
            ({"epochs": 0}, ValueError, "epochs must be at least 1"),
            ({"part": "test"}, ValueError, "part must be 'all' or 'training' or 'validation'"),
            ({"part": "validation"}, ValueError, "needs a validation_share greater than 0"),
            ({"validation_share": 1.0}, ValueError, "validation_share must be .* less than 1"),
            ({"targets": []}, ValueError, "targets must name at least one column"),
            ({"targets": 3}, TypeError, "targets must be a list of names"),
            ({"targets": ["a", "b", "y"]}, ValueError, "no column beside the targets"),
            ({"targets": "z"}, ValueError, "has no column 'z'; it has 'a', 'b', 'y'"),
            ({"features": ["a", "y"]}, ValueError, "features and targets must differ, got 'y'"),
            ({"features": "a"}, TypeError, "features must be a list of names"),
        ],
    )
    def test_arguments(
        self, shards: Path, options: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            read_shards(shards, **{"targets": "y", **options})

    def test_missing_values_on_the_way(
        self, write_shards: Callable[..., Path], tmp_path: Path, table: np.ndarray
    ) -> None:
        rows = table[:300].copy()
        rows[250, 1] = np.nan
        write_shards(tmp_path, rows, ["a", "b", "y"])
        with pytest.raises(tf.errors.OpError, match=r"part-2\.parquet, row group 0 has a missing"):
            rows_of(read_shards(tmp_path, targets="y"))

    def test_a_shard_that_vanishes_or_changes(
        self, write_shards: Callable[..., Path], tmp_path: Path, table: np.ndarray
    ) -> None:
        write_shards(tmp_path, table[:300], ["a", "b", "y"])
        dataset = read_shards(tmp_path, targets="y")
        file = tmp_path / "part-1.parquet"
        os.utime(file, ns=(0, 0))
        with pytest.raises(tf.errors.OpError, match=r"part-1\.parquet has changed since"):
            rows_of(dataset)
        file.unlink()
        with pytest.raises(tf.errors.OpError, match=r"part-1\.parquet is gone"):
            rows_of(dataset)

    def test_nothing_held_out(
        self, write_shards: Callable[..., Path], tmp_path: Path, table: np.ndarray
    ) -> None:
        write_shards(tmp_path, table[:3], ["a", "b", "y"])
        nothing = read_shards(tmp_path, targets="y", part="validation", validation_share=1e-9)
        with pytest.raises(tf.errors.OpError, match="no rows for part='validation'"):
            rows_of(nothing)
