"""What a report file holds, and what `write_report` refuses; test_report_page.py opens it."""

from __future__ import annotations

import base64
import builtins
import gzip
import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tfp_mdn.calibration import calibration_report
from tfp_mdn.extraction import extract_parameters
from tfp_mdn.models import build_mdn
from tfp_mdn.report import write_report

HOSTILE = "</script><b onmouseover=alert(1)>&amp;{x}"


def text_of(page: str) -> str:
    """Return the words of a page without its markup, scripts and styles."""
    bare = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]*>", " ", bare))


def data_of(page: str) -> dict[str, Any]:
    """Return what the scripts of a page read."""
    found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found.group(1))
    return data


@pytest.fixture(scope="module")
def page(fitted: Any, rows: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert write_report(fitted, rows[0], rows[1], path) == path
    return path.read_text(encoding="utf-8")


def test_the_page_tells_scores_verdict_settings_and_columns(
    page: str, fitted: Any, rows: Any
) -> None:
    text = " ".join(text_of(page).split())
    expected = calibration_report(fitted.predict_parameters(rows[0]), rows[1], rng=0)
    assert expected.verdict in text
    assert f"{expected.mean_log_score:.4g}" in text
    assert f"{expected.margins[0].mean_crps:.4g}" in text
    assert f"{min(fitted.history_['val_loss']):.4g} nats per row" in text
    assert "members of the ensemble 2 components of each member 3" in text
    first = rows[0][:, 0]
    assert f"x0 input {first.min():.6g} {np.median(first):.6g} {first.max():.6g} 60 0" in text
    assert "60 rows were given." in text
    assert text.startswith("y given x0, x1")


def test_pictures_are_drawn_from_the_library_numbers(page: str, fitted: Any, rows: Any) -> None:
    data = data_of(page)
    parameters = fitted.predict_parameters(rows[0])
    heights = np.histogram(parameters.pit(rows[1]), bins=10, range=(0, 1))[0] * 10 / 60
    np.testing.assert_allclose(data["calibration"][0]["pit"]["heights"], heights)
    inside = [
        ((rows[1] >= low) & (rows[1] <= high)).mean()
        for low, high in (parameters.interval(level).T for level in (0.05, 0.5, 0.95))
    ]
    observed = data["calibration"][0]["coverage"]["observed"]
    np.testing.assert_allclose([observed[0], observed[9], observed[18]], inside)
    assert data["history"]["val_loss"] == fitted.history_["val_loss"]
    np.testing.assert_array_equal(data["points"]["x"], rows[0].T)


def test_the_network_in_the_page_is_the_model_to_the_bit(page: str, fitted: Any) -> None:
    layers = data_of(page)["network"]["layers"]
    written = [
        np.frombuffer(base64.b64decode(layer[part]), "<f4")
        for layer in layers
        for part in ("kernel", "bias")
    ]
    weights = fitted.model_.layers[-2].get_weights()
    assert len(written) == len(weights)
    for ours, theirs in zip(written, weights, strict=True):
        np.testing.assert_array_equal(ours, theirs.ravel())


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    # Plotly's own code is compressed; the policy forbids what it could wish for.
    assert not re.search(r"""(src|href|action)\s*=\s*["']?\s*(https?:|//)""", page)
    assert not re.search(r"@import|url\(", page)
    assert page.count("<script") == 4
    assert page.count("<link") == 1
    assert 'href="data:,"' in page
    assert "Content-Security-Policy\" content=\"default-src 'none';" in page
    packed = re.search(r'id="plotly-code">(.*?)</script>', page, re.DOTALL)
    assert packed is not None
    assert b"plotly.js" in gzip.decompress(base64.b64decode(packed.group(1)))[:200]


def test_names_cannot_become_markup(quick_fit: Callable[..., Any], tmp_path: Path) -> None:
    x = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 2)), columns=[HOSTILE, "b"])
    y = pd.Series(x["b"] ** 2, name=f"y{HOSTILE}")
    model = quick_fit(x, y)
    page = write_report(model, x, y, tmp_path / "r.html", title=HOSTILE).read_text("utf-8")
    assert "<b onmouseover" not in page
    assert page.count("<script") == page.count("</script") == 4
    assert text_of(page).count(HOSTILE) >= 4  # twice the title, both columns
    data = data_of(page)
    assert data["features"][0]["name"] == HOSTILE
    assert data["targets"][0]["name"] == f"y{HOSTILE}"


def test_the_size_is_bounded_and_the_page_says_what_it_leaves_out(
    fitted: Any, rows: Any, tmp_path: Path
) -> None:
    x, y = np.tile(rows[0], (400, 1)), np.tile(rows[1], 400)
    few = write_report(fitted, rows[0], rows[1], tmp_path / "few.html")
    many = write_report(fitted, x, y, tmp_path / "many.html")
    assert many.stat().st_size < few.stat().st_size + 300_000 < 2_700_000
    page = many.read_text("utf-8")
    assert "Scores are those of 20000, chosen at random. Pictures show 2000" in page
    assert len(data_of(page)["points"]["y"][0]) == 2000
    again = write_report(fitted, x, y, tmp_path / "again.html")
    assert again.read_bytes() == many.read_bytes()
    other = write_report(fitted, x, y, tmp_path / "other.html", seed=1)
    assert data_of(other.read_text("utf-8"))["points"] != data_of(page)["points"]


def test_rows_that_lack_a_value_are_counted_and_left_out(
    fitted: Any, rows: Any, tmp_path: Path
) -> None:
    x, y = rows[0].copy(), rows[1].copy()
    x[3, 0], x[4, 1], y[5] = np.nan, np.inf, np.nan
    page = write_report(fitted, x, y, tmp_path / "r.html").read_text("utf-8")
    text = " ".join(text_of(page).split())
    assert "60 rows were given. 3 of them lack a value and are left out." in text
    assert re.search(r"x0 input \S+ \S+ \S+ 59 1 ", text)
    whole = np.delete(x, [3, 4, 5], axis=0), np.delete(y, [3, 4, 5])
    score = calibration_report(fitted.predict_parameters(whole[0]), whole[1]).mean_log_score
    assert f"{score:.4g}" in text


@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_several_targets(
    covariance_type: str, quick_fit: Callable[..., Any], rows: Any, tmp_path: Path
) -> None:
    y = np.stack([rows[1], rows[1] ** 2, -rows[1]], axis=1)
    model = quick_fit(rows[0], y, covariance_type=covariance_type)
    page = write_report(model, rows[0], y, tmp_path / "r.html").read_text("utf-8")
    data = data_of(page)
    assert [target["name"] for target in data["targets"]] == ["y0", "y1", "y2"]
    assert len(data["calibration"]) == 3
    assert "0 is y0, 1 is y1, 2 is y2" in page
    margin = model.predict_parameters([data["references"][0]["row"]]).marginal(2)
    reference = data["references"][0]["targets"][2]
    # The network computes in float32, whose rounding depends on the number of rows of a call.
    exact = {"rtol": 1e-6, "atol": 1e-6 * margin.stddev().item()}
    np.testing.assert_allclose(reference["means"], margin.means[0, :, 0], **exact)
    quantiles = margin.quantile([0.05, 0.5, 0.95])[:, 0]
    np.testing.assert_allclose([y for _, y in reference["quantiles"]], quantiles, **exact)
    region = margin.highest_density_region(0.9)[0]
    np.testing.assert_allclose(reference["region"][1:], region, **exact)


@pytest.mark.parametrize("scale", [1e-200, 1e-9, 1e12, 1e29])
def test_any_unit(scale: float, quick_fit: Callable[..., Any], rows: Any, tmp_path: Path) -> None:
    y = (3 + rows[1]) * max(scale, 1e-25)
    model = quick_fit(rows[0] * scale, y)
    page = write_report(model, rows[0] * scale, y, tmp_path / "r.html").read_text("utf-8")
    assert data_of(page)["features"][0]["high"] == (rows[0][:, 0] * scale).max()


@pytest.mark.filterwarnings("ignore:column")
def test_one_row_and_constant_columns(quick_fit: Callable[..., Any], tmp_path: Path) -> None:
    x, y = np.ones((20, 1)), np.full(20, 5.0)
    page = write_report(quick_fit(x, y), x[:1], y[:1], tmp_path / "r.html").read_text("utf-8")
    assert "Too few rows to tell" in page
    feature = data_of(page)["features"][0]
    assert feature["low"] < 1.0 < feature["high"]


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        (
            "model",
            "model",
            TypeError,
            "model must be a fitted MDNRegressor or a tf_keras model, got str",
        ),
        ("X", np.zeros((60, 3)), ValueError, r"X must have 2 column.*got shape \(60, 3\)"),
        ("X", np.zeros(60), ValueError, r"X must have shape \(N, columns\).*got \(60,\)"),
        ("X", np.zeros((0, 2)), ValueError, "at least one row"),
        ("X", np.zeros((59, 2)), ValueError, "X and y must have as many rows, got 59 and 60"),
        ("X", np.full((60, 2), "a"), TypeError, "X must hold real numbers"),
        ("X", np.full((60, 2), np.nan), ValueError, "all of the 60 rows of X and y have a missing"),
        ("y", np.zeros((60, 2)), ValueError, r"y must have 1 column.*got shape \(60, 2\)"),
        ("y", ["a"] * 60, TypeError, "y must hold real numbers"),
        ("title", 3, TypeError, "title must be text or None, got int"),
        ("seed", -1, ValueError, "seed must be at least 0"),
        ("seed", 1.5, TypeError, "seed must be an integer"),
        ("lattice", -1.0, ValueError, "lattice"),
    ],
)
def test_what_is_refused(
    name: str,
    value: Any,
    error: type[Exception],
    message: str,
    fitted: Any,
    rows: Any,
    tmp_path: Path,
) -> None:
    given = {"model": fitted, "X": rows[0], "y": rows[1], "path": tmp_path / "r.html"}
    with pytest.raises(error, match=message):
        write_report(**{**given, name: value})
    assert list(tmp_path.iterdir()) == []


def test_names_of_columns_are_checked(quick_fit: Callable[..., Any], tmp_path: Path) -> None:
    x = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 2)), columns=["a", "b"])
    y = pd.DataFrame({"u": x["a"], "v": x["b"]})
    model = quick_fit(x, y)
    with pytest.raises(ValueError, match=r"X must have the columns \['a', 'b'\]"):
        write_report(model, x[["b", "a"]], y, tmp_path / "r.html")
    with pytest.raises(ValueError, match=r"y must have the columns \['u', 'v'\]"):
        write_report(model, x, y[["v", "u"]], tmp_path / "r.html")


def test_an_unfitted_model_is_refused(rows: Any, tmp_path: Path) -> None:
    from sklearn.exceptions import NotFittedError

    from tfp_mdn.estimator import MDNRegressor

    with pytest.raises(NotFittedError):
        write_report(MDNRegressor(), rows[0], rows[1], tmp_path / "r.html")


def test_the_page_of_a_plain_network_holds_slices_through_the_medians(
    rows: Any, tmp_path: Path
) -> None:
    model = build_mdn(num_components=4, input_size=2, loc=1.0, scale=2.0, seed=0)
    page = write_report(model, rows[0], rows[1], tmp_path / "r.html").read_text("utf-8")
    data = data_of(page)
    assert data["network"] is None
    assert data["history"] is None
    slices = data["slices"]["inputs"][1]
    assert len(slices["grid"]) == 101
    grid = np.array(slices["grid"])
    at = np.stack([np.full(101, np.median(rows[0][:, 0])), grid], axis=1)
    expected = extract_parameters(model, at)
    target = data["targets"][0]
    means = np.frombuffer(base64.b64decode(slices["means"]), "<f4").reshape(101, 4, 1)
    np.testing.assert_allclose(
        target["loc"] + target["scale"] * means, expected.means, rtol=1e-5, atol=1e-5
    )
    weights = np.frombuffer(base64.b64decode(slices["weights"]), "<f4").reshape(101, 4)
    np.testing.assert_allclose(weights, expected.weights, atol=1e-6)
    low, high = rows[0][:, 1].min(), rows[0][:, 1].max()
    np.testing.assert_allclose(grid, np.linspace(low, high, 101), atol=0.001)


def test_an_activation_that_the_page_does_not_know_gets_slices(
    quick_fit: Callable[..., Any], rows: Any, tmp_path: Path
) -> None:
    model = quick_fit(activation="softmax")
    data = data_of(write_report(model, rows[0], rows[1], tmp_path / "r.html").read_text("utf-8"))
    assert data["network"] is None
    assert data["slices"]["components"] == 6
    assert data["history"] == model.history_


def test_slices_of_many_inputs_and_components_are_coarser(rows: Any, tmp_path: Path) -> None:
    model = build_mdn(num_components=200, input_size=20, seed=0)
    x = np.random.default_rng(0).normal(size=(60, 20))
    path = write_report(model, x, rows[1], tmp_path / "r.html")
    assert len(data_of(path.read_text("utf-8"))["slices"]["inputs"][0]["grid"]) == 62
    assert path.stat().st_size < 6_500_000


def test_places_that_cannot_be_written(fitted: Any, rows: Any, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a directory; name a file in it"):
        write_report(fitted, rows[0], rows[1], tmp_path)
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    with pytest.raises(OSError, match="not a directory"):
        write_report(fitted, rows[0], rows[1], tmp_path / "file" / "r.html")
    assert (tmp_path / "file").read_text("utf-8") == "kept"


def test_without_plotly_the_extra_is_named_and_nothing_is_lost(
    fitted: Any, rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("plotly"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    path = tmp_path / "r.html"
    path.write_text("before", encoding="utf-8")
    with pytest.raises(ImportError, match=r'pip install "tfp-mdn\[report\]"'):
        write_report(fitted, rows[0], rows[1], path)
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]
    assert path.read_text("utf-8") == "before"


def test_the_command(quick_fit: Callable[..., Any], tmp_path: Path) -> None:
    from tfp_mdn.cli import main

    x = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 1)), columns=["x"])
    y = pd.Series(x["x"].round(), name="y")
    quick_fit(x, y).save(tmp_path / "model")
    pd.concat([x, y], axis=1).to_csv(tmp_path / "data.csv", index=False)
    arguments = ["report", tmp_path / "model", tmp_path / "data.csv", "-o", tmp_path / "r.html"]
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments), "--title", "Rounded", "--lattice", "1"])
    assert not ended.value.code
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "<title>Rounded</title>" in page
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments), "--lattice", "0.5", "--lattice", "1"])
    assert ended.value.code == 2
