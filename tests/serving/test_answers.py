"""What is answered over HTTP equals what the library says, to the last digit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from tests.serving.conftest import COLUMNS, Server, ask, call, post
from tfp_mdn.estimator import MDNRegressor
from tfp_mdn.extraction import extract_parameters
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.models import build_mdn
from tfp_mdn.persistence import save
from tfp_mdn.serving import Limits, create_app

Library = Callable[[list[dict[str, Any]]], MixtureParameters]
Rows = list[dict[str, Any]]

GRID = np.linspace(-2.0, 2.0, 7).reshape(-1, 1)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Serve a plain model of one input and one target, without names."""
    path = tmp_path_factory.mktemp("plain") / "model"
    save(build_mdn(num_components=3, input_size=1, seed=0), path)
    return create_app(str(path))


class TestOfAServer:
    """Of a model with categories and two targets, in a process of its own."""

    def test_parameters(self, server: Server, library: Library, some_rides: Rows) -> None:
        expected = library(some_rides)
        reply = ask(f"{server.url}/v1/parameters", {"rows": some_rides})
        assert reply.status == 200
        assert reply.body == {
            "targets": ["fare", "tip"],
            "weights": expected.weights.tolist(),
            "means": expected.means.tolist(),
            "variances": expected.variances.tolist(),
        }

    def test_mean(self, server: Server, library: Library, some_rides: Rows) -> None:
        expected = library(some_rides)
        assert ask(f"{server.url}/v1/mean", {"rows": some_rides}).body == {
            "targets": ["fare", "tip"],
            "mean": expected.mean().tolist(),
            "stddev": expected.stddev().tolist(),
        }

    def test_quantiles_of_each_target(
        self, server: Server, library: Library, some_rides: Rows
    ) -> None:
        levels = [0.9, 0.001, 0.5]
        expected = library(some_rides)
        body = ask(f"{server.url}/v1/quantiles", {"rows": some_rides, "levels": levels}).body
        assert body["levels"] == levels
        assert np.shape(body["quantiles"]) == (3, 2, 3)
        for place in range(2):
            margin = expected.marginal(place).quantile(levels)
            assert [row[place] for row in body["quantiles"]] == margin.T.tolist()
        body = ask(f"{server.url}/v1/quantiles", {"rows": some_rides}).body
        assert body["levels"] == [0.05, 0.5, 0.95]

    def test_intervals_of_each_target(
        self, server: Server, library: Library, some_rides: Rows
    ) -> None:
        expected = library(some_rides)
        body = ask(f"{server.url}/v1/intervals", {"rows": some_rides, "coverage": 0.8}).body
        assert body["coverage"] == 0.8
        for place in range(2):
            margin = expected.marginal(place).interval(0.8)
            assert [row[place] for row in body["intervals"]] == margin.tolist()

    def test_samples_by_seed(self, server: Server, library: Library, some_rides: Rows) -> None:
        asked = {"rows": some_rides, "size": 5, "seed": 7}
        expected = library(some_rides).sample(5, rng=7)
        body = ask(f"{server.url}/v1/samples", asked).body
        assert body["seed"] == 7
        assert body["samples"] == expected.swapaxes(0, 1).tolist()

    def test_samples_without_a_seed_can_be_had_again(
        self, server: Server, some_rides: Rows
    ) -> None:
        url, asked = f"{server.url}/v1/samples", {"rows": some_rides, "size": 2}
        first, second = ask(url, asked).body, ask(url, asked).body
        assert first["samples"] != second["samples"]
        assert ask(url, {**asked, "seed": first["seed"]}).body == first

    @pytest.mark.parametrize("form", ["array", "object"])
    def test_log_prob(self, server: Server, library: Library, some_rides: Rows, form: str) -> None:
        y = [[8.0, 1.0], [20.0, 2.5], [1e200, 0.0]]
        given: Any = y if form == "array" else [{"tip": tip, "fare": fare} for fare, tip in y]
        body = ask(f"{server.url}/v1/log_prob", {"rows": some_rides, "y": given}).body
        with np.errstate(over="ignore"):
            expected = library(some_rides).log_prob(np.array(y)).tolist()
        assert expected[2] == -np.inf
        assert body["log_prob"] == [*expected[:2], None]

    def test_rows_as_arrays_and_with_json_s_own_booleans(
        self, server: Server, some_rides: Rows
    ) -> None:
        url = f"{server.url}/v1/mean"
        expected = ask(url, {"rows": some_rides}).body
        arrays = [[row[name] for name in COLUMNS] for row in some_rides]
        assert ask(url, {"rows": arrays}).body == expected
        booleans = [{**row, "night": row["night"] == "True"} for row in some_rides]
        assert ask(url, {"rows": [arrays[0], *booleans[1:]]}).body == expected

    def test_the_model(self, server: Server) -> None:
        body = ask(f"{server.url}/v1/model").body
        assert body["kind"] == "MDNRegressor"
        assert body["targets"] == ["fare", "tip"]
        assert (body["num_components"], body["event_size"]) == (4, 2)
        assert body["features"] == [
            {"name": "distance", "type": "number"},
            {"name": "color", "type": "category", "categories": ["green", "yellow"]},
            {"name": "night", "type": "category", "categories": ["False", "True"]},
        ]
        assert body["limits"]["max_rows"] == 2000
        assert body["schema"]["$defs"]["Row"]["required"] == list(COLUMNS)


class TestOfAnApplication:
    """Of models in this process."""

    def test_a_plain_model_and_targets_as_numbers(self, plain: Any) -> None:
        expected = extract_parameters(build_mdn(num_components=3, input_size=1, seed=0), GRID)
        rows = GRID.tolist()
        assert post(plain, "/v1/mean", {"rows": rows}).body["mean"] == expected.mean().tolist()
        by_name = [{"x0": value} for (value,) in rows]
        assert post(plain, "/v1/parameters", {"rows": by_name}).body == {
            "targets": ["y"],
            "weights": expected.weights.tolist(),
            "means": expected.means.tolist(),
            "variances": expected.variances.tolist(),
        }
        log_prob = expected.log_prob(GRID).tolist()
        for y in (GRID[:, 0].tolist(), rows, [{"y": value} for (value,) in rows]):
            assert post(plain, "/v1/log_prob", {"rows": rows, "y": y}).body["log_prob"] == log_prob

    def test_a_full_covariance(self) -> None:
        model = build_mdn(2, 3, input_size=2, covariance_type="full", seed=0)
        expected = extract_parameters(model, [[0.0, 1.0]])
        body = post(create_app(model), "/v1/parameters", {"rows": [[0, 1]]}).body
        assert expected.covariances is not None
        assert body["covariances"] == expected.covariances.tolist()
        assert body["targets"] == ["y0", "y1", "y2"]

    def test_an_estimator_that_was_fitted_without_names(self, fitted: MDNRegressor) -> None:
        app = create_app(fitted)
        body = post(app, "/v1/quantiles", {"rows": [[0.5, 1], {"x0": 0.5, "x1": 1}]}).body
        expected = fitted.predict_quantile([[0.5, 1.0]] * 2, [0.05, 0.5, 0.95])
        assert body["quantiles"] == expected.T[:, np.newaxis].tolist()

    def test_names_that_are_no_identifiers(self, quick_fit: Callable[..., Any]) -> None:
        import pandas as pd

        frame = pd.DataFrame(
            {"cost ($)": [1.0, 2.0, 3.0], "_x": [0.0, 1.0, 0.5], "copy": [3.0, 1.0, 2.0]}
        )
        target = pd.Series([1.0, 2.0, 4.0], name="{y}")
        app = create_app(quick_fit(frame, target, num_steps=2))
        reply = post(app, "/v1/mean", {"rows": frame.to_dict("records")})
        assert reply.status == 200
        assert reply.body["targets"] == ["{y}"]
        assert post(app, "/v1/log_prob", {"rows": [[1, 1, 1]], "y": ["1"]}).status == 422

    def test_categories_that_are_numbers_are_taken_as_such(
        self, quick_fit: Callable[..., Any], tmp_path: Path
    ) -> None:
        import pandas as pd

        frame = pd.DataFrame({"zone=2": [1.0, 0.0, 1.0], "zone=2.5": [0.0, 1.0, 0.0]})
        model = quick_fit(frame, [1.0, 2.0, 3.0], num_steps=2)
        model.save(tmp_path / "m", extras={"categories": {"zone": ["2", "2.5"]}})
        app = create_app(tmp_path / "m")
        rows: list[Any] = [["2"], ["2.5"], ["2"]]
        expected = post(app, "/v1/mean", {"rows": rows}).body
        assert expected["mean"] == model.predict_parameters(frame).mean().tolist()
        assert post(app, "/v1/mean", {"rows": [[2], [2.5], [2.0]]}).body == expected
        for wrong in (3, True, None, 10**400, "2.0", [2]):
            assert post(app, "/v1/mean", {"rows": [[wrong]]}).status == 422, wrong

    def test_requests_do_not_trace_the_model_again(self) -> None:
        traced: list[int] = []

        def note(x: Any) -> Any:
            traced.append(1)
            return x

        layer = tf_keras.layers.Lambda(note, input_shape=(1,))
        backbone = tf_keras.Sequential([layer, tf_keras.layers.Dense(3)])
        app = create_app(build_mdn(num_components=2, backbone=backbone))
        before = len(traced)
        for count in (1, 2, 3, 50, 1000):
            assert post(app, "/v1/mean", {"rows": [[0.5]] * count}).status == 200
        assert len(traced) == before

    def test_one_request_at_a_time_or_many_is_all_the_same(self, plain: Any) -> None:
        async def together() -> list[Any]:
            bodies = [f'{{"rows": [[{k}]]}}'.encode() for k in range(20)]
            calls = (call(plain, "/v1/mean", [body]) for body in bodies)
            return [reply.body for reply in await asyncio.gather(*calls)]

        alone = [post(plain, "/v1/mean", {"rows": [[k]]}).body for k in range(20)]
        assert asyncio.run(together()) == alone

    @pytest.mark.parametrize(
        ("model", "error", "message"),
        [
            (None, TypeError, "must be a tf_keras model, a fitted MDNRegressor or the path"),
            ("no/such/place", FileNotFoundError, "there is no saved model at"),
            (MDNRegressor(), ValueError, "not fitted yet"),
            (build_mdn(3), ValueError, "has no weights yet"),
        ],
    )
    def test_what_cannot_be_served(self, model: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            create_app(model)

    def test_sequences_cannot_be_served(self) -> None:
        backbone = tf_keras.Sequential(
            [tf_keras.layers.LSTM(4, return_sequences=True, input_shape=(None, 2))]
        )
        with pytest.raises(ValueError, match=r"one input of shape \(N, F\) to be served"):
            create_app(build_mdn(2, backbone=backbone))

    def test_columns_must_be_those_of_the_model(
        self, quick_fit: Callable[..., Any], tmp_path: Path
    ) -> None:
        import pandas as pd

        model = quick_fit(pd.DataFrame({"a=1": [1.0, 0.0], "b": [0.0, 1.0]}), [1.0, 2.0])
        model.save(tmp_path / "m", extras={"categories": {"a": ["1", "2"]}})
        with pytest.raises(ValueError, match="do not describe the 2 feature"):
            create_app(tmp_path / "m")

    @pytest.mark.parametrize(
        ("bounds", "error", "message"),
        [
            ({"max_rows": 0}, ValueError, "max_rows must be at least 1, got 0"),
            ({"max_bytes": 1.5}, TypeError, "max_bytes must be an integer, got 1.5"),
            ({"timeout": 0}, ValueError, "timeout must be finite and greater than 0, got 0"),
        ],
    )
    def test_limits_are_checked(
        self, bounds: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            Limits(**bounds)

    def test_limits_have_a_type(self) -> None:
        with pytest.raises(TypeError, match="limits must be Limits, got dict"):
            create_app(None, limits={"max_rows": 1})  # type: ignore[arg-type]
