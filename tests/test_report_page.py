"""A report in a real browser: its numbers, controls, colours, widths, and that it loads nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from tfp_mdn.extraction import extract_parameters
from tfp_mdn.mixture import MixtureParameters
from tfp_mdn.models import build_mdn
from tfp_mdn.report import write_report

pytestmark = pytest.mark.browser

HOSTILE = "</script><b>x</b>&lt; $a$"
PHONE, DESK = 390, 1280
NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"


class Page:
    """A report in a browser, and what a reader does with it."""

    def __init__(self, driver: Chrome) -> None:
        self.driver: Any = driver  # parts of Selenium have no types

    def open(self, path: Path, *, width: int = DESK, dark: bool = False) -> Page:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(path.as_uri())
        self.until("document.documentElement.dataset.ready")
        return self

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, condition: str) -> None:
        WebDriverWait(self.driver, 60).until(lambda _: self.run(f"return {condition}"))

    def find(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, name: str) -> str:
        return str(self.run("return document.getElementById(arguments[0]).textContent", name))

    def settle(self) -> None:
        """Wait until the picture has followed the input."""
        self.driver.execute_async_script(
            "const done = arguments[0];"
            "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0)))"
        )

    def row(self) -> list[float]:
        """Return the inputs as the fields show them."""
        count = self.run("return data.features.length")
        return [float(self.find(f"#value-{f}").get_property("value")) for f in range(count)]

    def type(self, feature: int, text: str) -> None:
        field = self.find(f"#value-{feature}")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)
        self.settle()

    def curve(self) -> list[float]:
        values: list[float] = self.run(
            "return document.getElementById('slice').data.find(t => t.name === 'density').y"
        )
        return values

    def mistakes(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def page(driver: Chrome) -> Page:
    return Page(driver)


@pytest.fixture(scope="module")
def report(fitted: Any, rows: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(fitted, rows[0], rows[1], tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def hard(quick_fit: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return model and page: 50 components, 20 inputs, 2 dependent targets, names full of signs."""
    rng = np.random.default_rng(1)
    x = pd.DataFrame(rng.normal(1e9, 3.0, size=(200, 20)))
    x.columns = [HOSTILE, *(f"input number {f} of a long name" for f in range(1, 20))]
    side = rng.choice([-1.0, 1.0], 200)
    y = pd.DataFrame({"u": 1e9 + side, f"v {HOSTILE}": 1e-9 * (side + 0.1 * x.iloc[:, 0] - 1e8)})
    model = quick_fit(x, y, ensemble_size=5, num_components=10, covariance_type="full")
    path = tmp_path_factory.mktemp("hard") / "report.html"
    return model, write_report(model, x, y, path, title=HOSTILE)


def step(text: str) -> float:
    """Return the unit of the last digit of a number as it is printed."""
    digits, _, exponent = text.partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


def assert_shows(text: str, expected: Any) -> None:
    """Check that a text shows these numbers, rounded to the digits that it has."""
    shown = re.findall(NUMBER, text)
    values = np.ravel(expected)
    assert len(shown) == len(values), (text, values)
    for number, value in zip(shown, values, strict=True):
        # A hundredth for the network, which the library evaluates in float32.
        assert abs(float(number) - value) <= 0.51 * step(number), (text, value)


def assert_numbers_are_the_librarys(page: Page, model: Any, target: int = 0) -> None:
    margin = model.predict_parameters(_frame(model, page.row())).marginal(target)
    assert_shows(page.text("mean"), margin.mean())
    assert_shows(page.text("stddev"), margin.stddev())
    for level in (0.05, 0.5, 0.95):
        assert_shows(page.text(f"quantile-{level}"), margin.quantile(level))
    assert_shows(page.text("region"), margin.highest_density_region(0.9)[0])
    assert_shows(page.text("modes"), margin.modes()[0])
    heavy = [k for k in np.argsort(-margin.weights[0]) if margin.weights[0, k] >= 0.001]
    lines = page.run(
        "return [...document.querySelectorAll('#components tr')].map("
        "line => [...line.children].map(cell => cell.textContent))"
    )
    assert sorted(int(line[0]) for line in lines) == sorted(heavy)
    for place, weight, mean, stddev in lines:
        k = int(place)
        assert_shows(weight, margin.weights[0, k])
        assert_shows(mean, margin.means[0, k, 0])
        assert_shows(stddev, np.sqrt(margin.variances[0, k, 0]))
    curve = page.run(
        "const t = document.getElementById('slice').data.find(t => t.name === 'density');"
        "return [[...t.x], [...t.y]]"
    )
    expected = margin.prob(np.array(curve[0])[:, np.newaxis])[:, 0]
    scale = np.float64(expected.max())
    np.testing.assert_allclose(np.array(curve[1]) / scale, expected / scale, atol=1e-4)


def _frame(model: Any, row: list[float]) -> Any:
    names = getattr(model, "feature_names_in_", None)
    return np.array([row]) if names is None else pd.DataFrame([row], columns=names)


def test_it_loads_without_an_error_and_without_a_request(page: Page, report: Path) -> None:
    page.open(report)
    page.settle()
    events = [
        json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")
    ]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [report.as_uri()]
    assert page.mistakes() == []
    assert page.find("#check").get_attribute("data-good") == "true"
    assert not page.find("#problem").is_displayed()
    drawn = page.run("return [...document.querySelectorAll('.plot .main-svg')].length")
    assert drawn >= 5


def test_the_numbers_are_those_of_the_library(page: Page, report: Path, fitted: Any) -> None:
    page.open(report)
    assert_numbers_are_the_librarys(page, fitted)
    for texts in (("0.3", "-1.2"), ("-2.5", "2e0"), ("25", "-400")):
        for feature, text in enumerate(texts):
            page.type(feature, text)
        assert page.row() == [float(text) for text in texts]
        assert_numbers_are_the_librarys(page, fitted)
    WebDriverWait(page.driver, 5).until(lambda _: "outside the data" in page.text("summary"))


def test_slider_keys_and_clicks_move_the_density(page: Page, report: Path, fitted: Any) -> None:
    page.open(report)
    before, first = page.curve(), page.row()[0]
    slider = page.find("#slider-0")
    slider.send_keys(Keys.ARROW_RIGHT)
    page.settle()
    second = page.row()[0]
    assert second > first
    assert page.curve() != before
    assert slider.get_attribute("aria-valuetext") == page.find("#value-0").get_property("value")
    slider.send_keys(Keys.HOME)
    page.settle()
    low = page.run("return data.features[0].low")
    assert page.row()[0] == pytest.approx(low, abs=1e-2)
    place = page.find("#map .nsewdrag")
    ActionChains(page.driver).scroll_to_element(place).move_to_element(place).click().perform()
    page.settle()
    middle = page.run("return data.features[0].low / 2 + data.features[0].high / 2")
    assert page.row()[0] == pytest.approx(middle, abs=0.1)
    assert_numbers_are_the_librarys(page, fitted)
    page.find("#reset").click()
    page.settle()
    assert page.row()[0] == first
    assert page.curve() == before


def test_another_input_moves_the_picture_over_the_chosen_one(page: Page, report: Path) -> None:
    page.open(report)
    script = "return document.getElementById('map').data[0].customdata[80]"
    before = page.run(script)
    page.find("#slider-1").send_keys(Keys.END)
    page.settle()
    assert page.run(script) != before
    Select(page.find("#chosen")).select_by_index(1)
    page.settle()
    assert page.run("return document.getElementById('map').layout.xaxis.title.text") == "x1"
    assert page.find("#chosen-row label").text == "x1"


def test_what_is_no_number_is_marked_and_changes_nothing(page: Page, report: Path) -> None:
    page.open(report)
    before = page.text("mean")
    for text in ("abc", " ", "--1"):
        page.type(0, text)
        assert page.find("#value-0").get_attribute("aria-invalid") == "true"
    assert page.text("mean") == before
    page.type(0, "1e999")
    assert page.find("#value-0").get_attribute("aria-invalid") == "true"
    page.type(0, "0,5")
    assert page.find("#value-0").get_attribute("aria-invalid") == "false"
    assert page.run("return state.row[0]") == 0.5


def test_everything_can_be_reached_and_seen_by_keyboard(page: Page, report: Path) -> None:
    page.open(report)
    reached = []
    for _ in range(40):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        place, ring = page.run(
            "const e = document.activeElement;"
            "return [e.id || e.className || e.tagName, getComputedStyle(e).outlineStyle]"
        )
        if place == "BODY" or place in reached:
            break
        assert ring != "none", place
        reached.append(place)
    wanted = ["skip", "theme", "chosen", "slider-0", "value-0", "slider-1", "value-1", "reset"]
    assert [place for place in reached if place in wanted] == wanted
    assert "zoom" in reached
    unnamed = page.run(
        "return [...document.querySelectorAll('input, select, button')].filter(e => e.offsetParent"
        " && !e.getAttribute('aria-label') && !e.labels?.length && !e.textContent).length"
    )
    assert unnamed == 0
    told = page.run(
        "return [...document.querySelectorAll('[role=img]')].map(e => e.getAttribute('aria-label'))"
    )
    assert len(told) == 5
    assert all(len(text) > 20 for text in told)


@pytest.mark.parametrize("dark", [False, True])
def test_dark_and_light_have_contrast(page: Page, report: Path, *, dark: bool) -> None:
    page.open(report, dark=dark)
    for name in ("text", "muted", "blue", "orange", "green"):
        for ground in ("paper", "panel"):
            assert contrast_of(page, name, ground) >= 4.5, (name, ground)
    shade = page.run("return getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", shade))) < 60) is dark
    page.find("#theme").click()
    after = page.run("return getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", after))) < 60) is not dark
    ground = page.run("return document.getElementById('slice').layout.paper_bgcolor")
    assert ground == page.run("return colour('paper')")
    assert page.find("#theme").get_attribute("aria-pressed") == str(not dark).lower()


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb by WCAG 2.2."""
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast_of(page: Page, one: str, other: str) -> float:
    ends = sorted(luminance(page.run("return colour(arguments[0])", name)) for name in (one, other))
    return (ends[1] + 0.05) / (ends[0] + 0.05)


@pytest.mark.parametrize("width", [320, PHONE, 768, DESK])
def test_no_width_scrolls_sideways(page: Page, report: Path, hard: Any, width: int) -> None:
    for path in (report, hard[1]):
        page.open(path, width=width)
        page.settle()
        assert page.run("return document.documentElement.scrollWidth") <= width
        columns = page.run(
            "return getComputedStyle(document.querySelector('.pair'))['grid-template-columns']"
        )
        assert len(columns.split()) == (1 if width <= 768 else 2)


def test_fifty_components_twenty_inputs_and_hostile_names(page: Page, hard: Any) -> None:
    model, path = hard
    page.open(path)
    assert page.mistakes() == []
    assert page.find("#check").get_attribute("data-good") == "true"
    assert page.driver.title == HOSTILE
    assert page.find("h1").text == HOSTILE
    assert page.run("return document.querySelectorAll('b').length") == 0
    shown = page.run("return document.querySelector('#map .xtitle').textContent")
    assert shown == HOSTILE
    assert_numbers_are_the_librarys(page, model, 0)
    page.type(7, "1000000004.25")
    assert_numbers_are_the_librarys(page, model, 0)
    Select(page.find("#target")).select_by_index(1)
    page.settle()
    assert_numbers_are_the_librarys(page, model, 1)
    assert page.mistakes() == []


@pytest.mark.parametrize("num_components", [1, 2, 7, 50])
def test_mixtures_in_the_page_equal_those_of_the_library(
    page: Page, report: Path, num_components: int
) -> None:
    page.open(report)
    rng = np.random.default_rng(num_components)
    for _ in range(5):
        weights = rng.dirichlet(np.full(num_components, 0.5))
        means = rng.normal(size=num_components)
        stddevs = np.exp(rng.normal(-1.0, 1.5, size=num_components))
        p = MixtureParameters(weights[None], means[None, :, None], stddevs[None, :, None] ** 2)
        places = np.linspace(-3, 3, 7)
        levels = [1e-6, 0.05, 0.5, 0.95, 1 - 1e-6]
        got = page.run(
            """
            const [w, m, s, places, levels] = arguments;
            const p = { w, m, s };
            return {
              mean: mean(p), stddev: stddev(p), quantile: levels.map((q) => quantile(p, q)),
              prob: places.map((y) => density(p, y)), cdf: places.map((y) => cdf(p, y)),
              modes: modes(p), regions: [0.5, 0.9, 0.99].map((c) => region(p, c)),
            };
            """,
            *(array.tolist() for array in (weights, means, stddevs, places)),
            levels,
        )
        near: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-9}
        np.testing.assert_allclose(got["mean"], p.mean()[0, 0], **near)
        np.testing.assert_allclose(got["stddev"], p.stddev()[0, 0], **near)
        np.testing.assert_allclose(got["prob"], p.prob(places[:, None])[:, 0], **near)
        np.testing.assert_allclose(got["cdf"], p.cdf(places[:, None])[:, 0], **near)
        np.testing.assert_allclose(got["quantile"], p.quantile(levels)[:, 0], rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(got["modes"], p.modes()[0][:, 0], rtol=1e-7, atol=1e-7)
        for coverage, region in zip((0.5, 0.9, 0.99), got["regions"], strict=True):
            expected = p.highest_density_region(coverage)[0]
            np.testing.assert_allclose(region, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "activation",
    ["elu", "exponential", "gelu", "linear", "mish", "relu", "selu", "sigmoid", "silu"]
    + ["softplus", "softsign", "swish", "tanh"],
)
def test_activations_equal_those_of_keras(page: Page, report: Path, activation: str) -> None:
    import tensorflow as tf
    import tf_keras

    page.open(report)
    places = np.linspace(-6, 6, 25)
    got = page.run(
        "return arguments[1].map(ACTIVATIONS[arguments[0]])", activation, places.tolist()
    )
    expected = np.asarray(tf_keras.activations.get(activation)(tf.constant(places)))
    # TensorFlow rounds the square root of 2 in gelu, and constants of others, to float32.
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_a_page_that_disagrees_with_the_library_says_so(
    page: Page, report: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.html"
    text = report.read_text("utf-8").replace('"activation":"gelu"', '"activation":"tanh"')
    broken.write_text(text, encoding="utf-8")
    page.open(broken)
    assert page.find("#check").get_attribute("data-good") == "false"
    assert "do not rely on its numbers" in page.find("#problem").text


def test_a_browser_that_cannot_unpack_plotly_still_shows_numbers(
    page: Page, report: Path, fitted: Any, tmp_path: Path
) -> None:
    old = tmp_path / "old.html"
    text = report.read_text("utf-8").replace("DecompressionStream", "NoSuchStream")
    old.write_text(text, encoding="utf-8")
    page.driver.get(old.as_uri())
    page.until("!document.getElementById('problem').hidden")
    assert "The pictures cannot be drawn" in page.find("#problem").text
    page.type(0, "0.25")
    margin = fitted.predict_parameters([page.row()])
    assert_shows(page.text("mean"), margin.mean())


def test_a_plain_network_is_shown_along_one_input(page: Page, rows: Any, tmp_path: Path) -> None:
    model = build_mdn(num_components=4, input_size=2, loc=1.0, scale=2.0, seed=0)
    page.open(write_report(model, rows[0], rows[1], tmp_path / "r.html"))
    assert page.mistakes() == []
    assert page.find("#value-0").is_enabled()
    assert not page.find("#value-1").is_enabled()
    assert not page.find("#history").is_displayed()
    medians = np.median(rows[0], axis=0)
    page.find("#slider-0").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    page.settle()
    for feature in (0, 1):
        row = [medians[0], medians[1]]
        row[feature] = page.run("return state.row[arguments[0]]", feature)
        assert page.run("return state.row") == row
        margin = extract_parameters(model, np.array([row]))
        assert_shows(page.text("mean"), margin.mean())
        assert_shows(page.text("region"), margin.highest_density_region(0.9)[0])
        assert_shows(page.text("modes"), margin.modes()[0])
        Select(page.find("#chosen")).select_by_index(1)
        page.settle()
