"""What the tests of the shell tool share: ways to run it, tables and models fitted through it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tfp_mdn.cli import main
from tfp_mdn.datasets import load_faithful

Run = Callable[..., int]
Tool = Callable[..., "subprocess.CompletedProcess[str]"]


def run_in_process(*arguments: str | Path | float) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return int(exit_.value.code or 0)


@pytest.fixture(scope="session")
def run() -> Run:
    """Return a function that runs the tool in this process and returns its exit code."""
    return run_in_process


@pytest.fixture(scope="session")
def tool() -> Tool:
    """Return a function that runs the installed command in a process of its own."""
    command = Path(sys.executable).with_name("tfp-mdn")

    def start(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(command), *map(str, arguments)],
            **{"capture_output": True, "text": True, "check": False, **options},
        )

    return start


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    waiting, eruptions = load_faithful()
    path = tmp_path_factory.mktemp("data") / "faithful.csv"
    frame = {"waiting": waiting[:, 0], "half": waiting[:, 0] / 2, "eruptions": eruptions}
    pd.DataFrame(frame).to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def model(data: Path, tool: Tool) -> Path:
    """Fit through the tool, on two features, in a process of its own."""
    path = data.parent / "model"
    settings = ("--steps", "60", "--components", "3", "--members", "2")
    done = tool("fit", data, "--target", "eruptions", "-o", path, *settings)
    assert done.returncode == 0, done.stderr
    # Neither TensorFlow's greetings nor a progress bar where there is no terminal.
    assert done.stderr == ""
    assert "272 rows, 2 feature(s), 2 network(s) of 3 components, 60 steps" in done.stdout
    return path


@pytest.fixture(scope="session")
def fares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write rides with a colour, a flag, a distance, two targets, and holes in the colour."""
    rng = np.random.default_rng(0)
    distance = rng.uniform(0.5, 10.0, 120).round(2)
    yellow = rng.random(120) < 0.5
    table = pd.DataFrame(
        {
            "distance": distance,
            "color": np.where(yellow, "yellow", "green"),
            "night": rng.random(120) < 0.3,
            "note": "so so",
            "weight": rng.uniform(0.5, 1.5, 120).round(2),
            "fare": (2.5 + 2 * distance + 3 * yellow + rng.normal(size=120)).round(2),
            "tip": rng.uniform(0.0, 3.0, 120).round(2),
        }
    )
    table.loc[[3, 7], "color"] = ""
    path = tmp_path_factory.mktemp("fares") / "fares.csv"
    table.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def rides(fares: Path) -> Path:
    """Fit two targets on a number and two categorical columns."""
    path = fares.parent / "rides"
    arguments: list[str | Path] = [
        *("fit", fares, "--target", "fare", "--target", "tip", "-o", path, "--drop-missing"),
        *("--categorical", "color", "--categorical", "night", "--ignore", "note", "--quiet"),
        *("--weight", "weight", "--steps", "40", "--components", "2", "--members", "2"),
        *("--hidden", "8,8", "--validation-fraction", "0.2", "--seed", "3"),
    ]
    assert run_in_process(*arguments) == 0
    return path


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """Return a function that returns the files of a directory."""

    def read(folder: Path) -> dict[str, bytes]:
        return {name: (folder / name).read_bytes() for name in sorted(os.listdir(folder))}

    return read
