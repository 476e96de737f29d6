"""The settings that follow from the rows."""

from __future__ import annotations

from dataclasses import asdict, fields

import pytest

from tfp_mdn._defaults import defaults_for
from tfp_mdn._neighbours import Scatter
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.members import MemberNetwork
from tfp_mdn.recipe import Recipe


@pytest.mark.parametrize("num_rows", [2, 10, 100, 1999, 2000, 100_000, 10_000_000])
@pytest.mark.parametrize("scatter", [(0.0, 0.0), (1.0, 0.0), (0.3, 0.5), (1.0, 1.0)])
def test_every_setting_can_be_trained_with(num_rows: int, scatter: tuple[float, float]) -> None:
    settings = asdict(defaults_for(num_rows, 3, Scatter(*scatter)))
    MemberNetwork(1, 1, 1, hidden_units=settings["hidden_units"])
    assert type(settings["num_intervals"]) is int
    assert settings["num_intervals"] >= 1
    own = {field.name: settings[field.name] for field in fields(Recipe) if field.name in settings}
    Recipe(**{"learning_rate": 0.1, "validation_fraction": 0.1, "patience": None, **own})


def test_noise_is_for_what_scatters_and_fine_intervals_for_what_is_precise() -> None:
    precise, scattered = (defaults_for(1000, 3, Scatter(share, share)) for share in (0.0, 1.0))
    assert precise.noise == 0.0 < scattered.noise
    assert precise.num_intervals >= scattered.num_intervals


def test_more_rows_never_mean_less() -> None:
    sizes = [
        defaults_for(num_rows, 3, Scatter(0.3, 0.5)) for num_rows in (10, 1000, 10_000, 1_000_000)
    ]
    for name in ("num_steps", "num_intervals", "hidden_units", "batch_size"):
        values = [getattr(each, name) for each in sizes]
        assert values == sorted(values)


def test_they_stand_in_for_arguments_that_are_none() -> None:
    parameters = MDNRegressor().get_params()
    assert all(parameters[name] is None for name in asdict(defaults_for(10, 3, Scatter(0.0, 0.0))))


@pytest.mark.parametrize("num_features", [1, 16, 100, 5000])
def test_the_first_layer_stays_small_for_many_features(num_features: int) -> None:
    defaults = defaults_for(1_000_000, num_features, Scatter(0.0, 0.0))
    assert 1 <= defaults.num_intervals <= 64
    assert num_features * defaults.num_intervals <= max(1024, num_features)
