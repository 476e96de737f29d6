"""How long it takes until there is an answer at all: imports, the shell tool, a first call."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.racers.measuring import cost_of

__all__ = ["STARTUPS"]

Figures = dict[str, float]


def _process(arguments: list[str]) -> Figures:
    """Time a process from its start to its end."""
    before, wall = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - wall, os.times()
    cpu = after.children_user + after.children_system
    return {"cpu": cpu - before.children_user - before.children_system, "wall": wall}


def _bare() -> Figures:
    return _process(["-c", "pass"])


def _import() -> Figures:
    return cost_of(lambda: __import__("tfp_mdn"))._asdict()


def _help() -> Figures:
    return _process(["-c", "from tfp_mdn.cli import main; main(['--help'])"])


def _import_tensorflow() -> Figures:
    return cost_of(lambda: __import__("tensorflow"))._asdict()


def _import_layers() -> Figures:
    import tensorflow  # noqa: F401

    def imports() -> None:
        import tensorflow_probability as tfp

        _ = tfp.layers, tfp.distributions

    return cost_of(imports)._asdict()


def _saved_model(folder: str) -> Path:
    """Make a model in a process of its own, so that this one has traced nothing."""
    path = Path(folder, "model.keras")
    code = (
        "import sys, tfp_mdn; tfp_mdn.save(tfp_mdn.build_mdn(10, hidden_units=(128, 128), "
        "input_size=1, seed=0), sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    return path


def _first_answer() -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        path = _saved_model(folder)
        import numpy as np
        import tensorflow_probability as tfp

        import tfp_mdn
        from tfp_mdn import extraction, persistence  # noqa: F401

        _ = tfp.layers
        model, x = tfp_mdn.load(path), np.linspace(-1, 1, 100)
        return cost_of(lambda: tfp_mdn.extract_parameters(model, x))._asdict()


def _load() -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        path = _saved_model(folder)
        import tensorflow_probability as tfp

        import tfp_mdn
        from tfp_mdn import persistence  # noqa: F401

        _ = tfp.layers
        return cost_of(lambda: tfp_mdn.load(path))._asdict()


# What the report calls it, and what measures it. The first three are figures to compare with.
STARTUPS: dict[str, tuple[str, Callable[[], Figures]]] = {
    "python": ("a bare Python process", _bare),
    "tensorflow": ("`import tensorflow`", _import_tensorflow),
    "layers": ("the import of `tfp.layers` and tf_keras after it", _import_layers),
    "import": ("**`import tfp_mdn`**", _import),
    "help": ("**`tfp-mdn --help`**, the whole process", _help),
    "load": ("**`tfp_mdn.load`** of a model, everything imported", _load),
    "first": ("**first `extract_parameters`** on it, 100 rows", _first_answer),
}
