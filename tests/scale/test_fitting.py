"""Training on shards: an estimator like any other, as good as in memory, and what is refused."""

from __future__ import annotations

import inspect
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tf_keras

import tfp_mdn
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.scale import fit_shards, read_shards
from tfp_mdn.scale._training import Run

SMALL: dict[str, Any] = {
    **{"num_components": 4, "hidden_units": (16,), "num_intervals": 4, "batch_size": 64},
    **{"validation_share": 0.2},
}


@pytest.fixture(scope="module")
def fitted(shards: Path) -> MDNRegressor:
    return fit_shards(shards, target="y", epochs=6, **SMALL)


def grid(columns: str = "ab") -> pd.DataFrame:
    values = np.linspace(-1.5, 1.5, 8)
    return pd.DataFrame(dict.fromkeys(columns, values))


def test_it_learns(fitted: MDNRegressor) -> None:
    history = fitted.history_
    assert len(history["step"]) == len(history["loss"]) == len(history["val_loss"]) == 38
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2000, 2))
    y = rng.choice([-1.0, 1.0], 2000) * (1.0 + np.abs(x[:, 0])) + 0.1 * rng.normal(size=2000)
    truth = np.log(2.0) + 0.5 * np.log(2.0 * np.pi * np.e * 0.01)
    score = -fitted.log_prob(pd.DataFrame(x, columns=["a", "b"]), y).mean()
    # One normal density for all rows scores 2.0 nats.
    assert truth < score < truth + 0.35


def test_the_score_is_that_of_the_held_out_rows(fitted: MDNRegressor, shards: Path) -> None:
    x, y = next(
        read_shards(
            shards,
            targets="y",
            part="validation",
            validation_share=0.2,
            batch_size=5000,
            shuffle_rows=0,
        ).as_numpy_iterator()
    )
    score = -fitted.log_prob(pd.DataFrame(x, columns=["a", "b"]), y).mean()
    np.testing.assert_allclose(min(fitted.history_["val_loss"]), score, rtol=1e-4)


def test_units_are_those_of_all_training_rows(fitted: MDNRegressor, shards: Path) -> None:
    x, y = next(
        read_shards(
            shards,
            targets="y",
            part="training",
            validation_share=0.2,
            batch_size=5000,
            shuffle_rows=0,
        ).as_numpy_iterator()
    )
    standardise, *_, head = fitted.model_.layers
    np.testing.assert_allclose(standardise.get_config()["loc"], x.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(standardise.get_config()["scale"], x.std(axis=0), rtol=1e-9)
    np.testing.assert_allclose([head.loc, head.scale], [y.mean(axis=0), y.std(axis=0)], rtol=1e-9)


class TestTheEstimator:
    """Whatever is asked of an `MDNRegressor` after `fit` can be asked here."""

    def test_names_and_numbers(self, fitted: MDNRegressor) -> None:
        assert fitted.feature_names_in_.tolist() == ["a", "b"]
        assert (fitted.target_names_, fitted.num_rows_, fitted.n_features_in_) == (["y"], 3000, 2)
        with pytest.raises(ValueError, match="feature names"):
            fitted.predict(grid("ac"))

    def test_answers(self, fitted: MDNRegressor) -> None:
        x = grid()
        mean, stddev = fitted.predict(x, return_std=True)
        assert mean.shape == stddev.shape == (8,)
        assert fitted.predict_quantile(x, [0.1, 0.9]).shape == (2, 8)
        assert fitted.predict_interval(x).shape == (8, 2)
        assert fitted.sample(x, 3, random_state=0).shape == (3, 8, 1)
        assert np.isfinite(fitted.score(x, mean + 1.0))
        split = fitted.uncertainty(x)
        np.testing.assert_allclose(split.total, stddev**2, rtol=1e-6)

    def test_files(self, fitted: MDNRegressor, tmp_path: Path) -> None:
        tfp_mdn.save(fitted, tmp_path / "m")
        again = tfp_mdn.load(tmp_path / "m")
        for copy in (again, pickle.loads(pickle.dumps(fitted))):
            np.testing.assert_array_equal(copy.predict(grid()), fitted.predict(grid()))
            assert (copy.num_rows_, copy.history_) == (3000, fitted.history_)
            assert copy.get_params() == fitted.get_params()
        # Neither optimizer nor averages are left in the file.
        assert not again.model_._is_compiled
        metadata = json.loads((tmp_path / "m" / "metadata.json").read_text(encoding="utf-8"))
        assert metadata["rows"] == 3000

    def test_settings_are_kept(self, fitted: MDNRegressor) -> None:
        kept = fitted.get_params()
        expected = {
            **{"num_components": 4, "hidden_units": (16,), "ensemble_size": 1},
            **{"validation_fraction": 0.2, "random_state": 0, "batch_size": 64},
        }
        assert {name: kept[name] for name in expected} == expected

    def test_fit_starts_again(self, fitted: MDNRegressor) -> None:
        model = pickle.loads(pickle.dumps(fitted)).set_params(num_steps=20)
        x = np.linspace(0, 1, 30)[:, None]
        model.fit(x, x[:, 0])
        assert (model.num_rows_, model.n_features_in_) == (30, 1)


def test_several_targets_and_chosen_features(shards: Path) -> None:
    model = fit_shards(
        shards, target=["y", "b"], features=["a"], epochs=1, covariance_type="full", **SMALL
    )
    assert model.target_names_ == ["y", "b"]
    assert np.shape(model.predict(grid("a"))) == (8, 2)
    parameters = model.predict_parameters(grid("a"))
    assert isinstance(parameters, MixtureParameters)
    assert parameters.covariances is not None


def test_offsets_and_units_do_not_matter(
    write_shards: Callable[..., Path], table: np.ndarray, tmp_path: Path
) -> None:
    factors, shifts = np.array([1e-9, 1e6, 1e-3]), np.array([0.0, 1e12, 1e6])
    plain = write_shards(tmp_path / "plain", table, ["a", "b", "y"])
    other = write_shards(tmp_path / "other", shifts + factors * table, ["a", "b", "y"])
    losses = [
        fit_shards(place, target="y", epochs=1, **SMALL).history_["val_loss"]
        for place in (plain, other)
    ]
    # In its own unit the density is a thousand times as high.
    np.testing.assert_allclose(np.add(losses[1], np.log(1e3)), losses[0], atol=0.01)


def test_callbacks_see_every_look_and_the_order_follows_the_seed(
    shards: Path, fitted: MDNRegressor
) -> None:
    seen: list[float] = []
    watcher = tf_keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(logs["val_loss"])
    )
    model = fit_shards(shards, target="y", epochs=6, seed=1, callbacks=[watcher], **SMALL)
    assert seen == model.history_["val_loss"]
    assert not np.isin(seen, fitted.history_["val_loss"]).any()


def test_training_ends_when_nothing_improves(shards: Path) -> None:
    options = {**SMALL, "learning_rate": 1e-12}
    stopped = fit_shards(shards, target="y", epochs=1, patience=3, **options)
    assert len(stopped.history_["step"]) < 38
    assert stopped.num_rows_ == 3000


class TestInterruption:
    """Ctrl-C keeps what there is."""

    @staticmethod
    def raise_at(check: int) -> tf_keras.callbacks.Callback:
        def raises(epoch: int, logs: Any) -> None:
            if epoch == check:
                raise KeyboardInterrupt

        return tf_keras.callbacks.LambdaCallback(on_epoch_begin=raises)

    def test_the_best_weights_are_returned(self, shards: Path, fitted: MDNRegressor) -> None:
        with pytest.warns(UserWarning, match="interrupted; the best weights so far are kept"):
            model = fit_shards(shards, target="y", epochs=6, callbacks=[self.raise_at(20)], **SMALL)
        # Up to there the run is that of the fit that was not interrupted.
        assert model.history_["val_loss"] == fitted.history_["val_loss"][:20]
        x, y = next(
            read_shards(
                shards,
                targets="y",
                part="validation",
                validation_share=0.2,
                batch_size=5000,
                shuffle_rows=0,
            ).as_numpy_iterator()
        )
        score = -model.log_prob(pd.DataFrame(x, columns=["a", "b"]), y).mean()
        np.testing.assert_allclose(score, min(model.history_["val_loss"]), rtol=1e-4)

    def test_before_the_first_look_there_is_nothing_to_keep(self, shards: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            fit_shards(shards, target="y", callbacks=[self.raise_at(0)], **SMALL)


class TestRefusals:
    """Errors of data and arguments."""

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"target": "z"}, ValueError, "has no column 'z'"),
            ({"target": []}, ValueError, "^target must name at least one column"),
            ({"features": ["a", "c"]}, ValueError, "has no column 'c'"),
            ({"num_components": 0}, ValueError, "num_components must be at least 1"),
            ({"hidden_units": 8}, TypeError, "hidden_units must be a sequence"),
            ({"covariance_type": "round"}, ValueError, "covariance_type must be"),
            ({"min_scale": 0.0}, ValueError, "min_scale must be .* greater than 0"),
            ({"epochs": 0}, ValueError, "epochs must be at least 1"),
            ({"validation_share": 0.0}, ValueError, "validation_share must be .* greater than 0"),
            ({"validation_share": 1e-9}, ValueError, "a larger share"),
            ({"patience": 0}, ValueError, "patience must be at least 1"),
            ({"learning_rate": "fast"}, TypeError, "learning_rate must be a number"),
            ({"weight_decay": -1.0}, ValueError, "weight_decay must be .* at least 0"),
            ({"verbose": 3}, ValueError, "verbose must be 0, 1 or 2"),
            ({"strategy": "mirrored"}, TypeError, r"strategy must be a tf\.distribute\.Strategy"),
            ({"callbacks": [3]}, TypeError, "callbacks"),
        ],
    )
    def test_arguments(
        self, shards: Path, options: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            fit_shards(shards, **{"target": "y", **SMALL, **options})

    def test_a_missing_value(
        self, write_shards: Callable[..., Path], table: np.ndarray, tmp_path: Path
    ) -> None:
        rows = table.copy()
        rows[1500, 2] = np.nan
        write_shards(tmp_path, rows, ["a", "b", "y"])
        with pytest.raises(ValueError, match=r"part-1\.parquet, row group 5 has a missing value"):
            fit_shards(tmp_path, target="y", **SMALL)

    def test_a_file_that_vanishes_while_training(
        self, write_shards: Callable[..., Path], table: np.ndarray, tmp_path: Path
    ) -> None:
        write_shards(tmp_path, table, ["a", "b", "y"])
        remove = tf_keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: (tmp_path / "part-1.parquet").unlink(missing_ok=True)
        )
        with pytest.raises(FileNotFoundError, match=r"part-1\.parquet is gone"):
            fit_shards(tmp_path, target="y", callbacks=[remove], epochs=3, **SMALL)

    def test_units_out_of_range(
        self, write_shards: Callable[..., Path], table: np.ndarray, tmp_path: Path
    ) -> None:
        write_shards(tmp_path, table * [1.0, 1.0, 1e40], ["a", "b", "y"])
        with pytest.raises(ValueError, match="column 'y' must have a standard deviation between"):
            fit_shards(tmp_path, target="y", **SMALL)

    def test_a_run_that_diverges(self, shards: Path) -> None:
        class Spoil(tf_keras.callbacks.Callback):
            def on_train_begin(self, logs: Any = None) -> None:
                self.model.set_weights([np.nan * part for part in self.model.get_weights()])

        with (
            pytest.warns(UserWarning, match="the loss was nan in epoch 1"),
            pytest.raises(FloatingPointError, match="training diverged: no finite loss"),
        ):
            fit_shards(shards, target="y", epochs=1, callbacks=[Spoil()], **SMALL)


def test_constant_columns_and_gross_outliers_are_warned_of(
    write_shards: Callable[..., Path], table: np.ndarray, tmp_path: Path
) -> None:
    rows = table.copy()
    rows[:, 1] = 7.0
    rows[5::1000, 2] = 1e9
    write_shards(tmp_path, rows, ["a", "b", "y"])
    with (
        pytest.warns(UserWarning, match=r"column\(s\) 'b' are constant"),
        pytest.warns(UserWarning, match=r"target\(s\) 'y' have values more than 100"),
    ):
        model = fit_shards(tmp_path, target="y", epochs=2, **SMALL)
    assert np.abs(model.predict(grid())).max() < 10.0
    # In units of the outliers, the floor of the scales alone would bring it below -10.
    ordinary = pd.DataFrame(rows[:5, :2], columns=["a", "b"])
    assert model.log_prob(ordinary, rows[:5, 2]).min() > -5.0


def test_a_table_of_few_rows(
    write_shards: Callable[..., Path], table: np.ndarray, tmp_path: Path
) -> None:
    write_shards(tmp_path, table[:12], ["a", "b", "y"])
    model = fit_shards(tmp_path, target="y", **{**SMALL, "validation_share": 0.5})
    assert np.isfinite(model.predict(grid())).all()


def test_steps_of_a_run() -> None:
    run = Run.of(1_000_000, 2, 1000)
    assert (run.batch_size, run.steps_a_check, run.num_checks, run.num_steps) == (
        1000,
        50,
        40,
        2000,
    )
    tiny = Run.of(7, 1, 1000)
    assert (tiny.batch_size, tiny.num_steps, tiny.num_checks) == (7, 1, 1)


def test_defaults_are_those_of_the_estimator_where_they_can_be() -> None:
    ours, theirs = (inspect.signature(f).parameters for f in (fit_shards, MDNRegressor))
    for name in ("num_components", "activation", "min_scale", "learning_rate", "patience"):
        assert ours[name].default == theirs[name].default


@pytest.mark.slow
def test_two_replicas_share_each_batch(shards: Path, run_python: Callable[..., str]) -> None:
    code = """
        import sys
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        half = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(cpu, [half, half])
        from tfp_mdn.scale import fit_shards
        two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        strategy = two if int(sys.argv[2]) else None
        model = fit_shards(sys.argv[1], target="y", epochs=1, num_components=3, hidden_units=(8,),
                           num_intervals=4, batch_size=64, strategy=strategy)
        print(*model.history_["val_loss"])
        """
    alone, shared = (np.fromstring(run_python(code, shards, n), sep=" ") for n in (0, 1))
    np.testing.assert_allclose(shared, alone, atol=1e-4)
