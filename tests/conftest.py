"""What every test shares: settings of property tests, fresh processes, a browser, an estimator."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# A time limit per example would make the result depend on how busy the machine is.
settings.register_profile("deterministic", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("deterministic")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def run_python() -> Callable[..., str]:
    """Return a function that runs code in a fresh process and returns what it printed."""

    def run(code: str, *arguments: Any) -> str:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Return 60 rows of two inputs, of which the first alone matters, and a target."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    return x, x[:, 0] + 0.1 * rng.normal(size=60)


@pytest.fixture(scope="session")
def quick_fit(rows: tuple[np.ndarray, np.ndarray]) -> Callable[..., Any]:
    """Return a function that fits a small estimator in 40 steps."""
    from tfp_mdn.estimator import MDNRegressor

    small = {
        **{"ensemble_size": 2, "num_components": 3, "hidden_units": (8,)},
        **{"num_steps": 40, "random_state": 0},
    }

    def fit(x: Any = None, y: Any = None, sample_weight: Any = None, **options: Any) -> Any:
        x, y = rows[0] if x is None else x, rows[1] if y is None else y
        return MDNRegressor(**{**small, **options}).fit(x, y, sample_weight)

    return fit


@pytest.fixture(scope="session")
def fitted(quick_fit: Callable[..., Any]) -> Any:
    """Return an estimator fitted to `rows`; no test may change it."""
    return quick_fit()


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Start Chromium, without a window."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
        *("disable-background-networking", "disable-component-update", "disable-sync"),
        f"user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService("/usr/bin/chromedriver")
    browser = webdriver.Chrome(options=options, service=service)
    yield browser
    browser.quit()
