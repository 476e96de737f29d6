"""The command `score`: the same files however often it is stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tfp_mdn
from tfp_mdn.scale import scoring

Run = Callable[..., int]

# What is started in the background of a shell script inherits that Ctrl-C is ignored.
WITH_CTRL_C = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from tfp_mdn.cli import main
main()
"""


def write(folder: Path, num_files: int, file_rows: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for place in range(num_files):
        waiting = rng.uniform(40.0, 100.0, file_rows)
        table = pd.DataFrame({"id": np.arange(file_rows) + place * file_rows, "waiting": waiting})
        table = table.assign(half=waiting / 2.0, eruptions=waiting / 20.0)
        table.to_parquet(folder / f"{place}.parquet")
    return folder


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}


def test_score(run: Run, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = write(tmp_path / "in", 2, 50), tmp_path / "out"
    options = ("--keep", "id", "--quantiles", "0.1,0.9", "--target", "eruptions")
    assert run("score", source, out, model, *options, "--json") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    summary = json.loads(printed.out)
    assert summary.pop("seconds") > 0.0
    assert summary == {"rows": 100, "files": 2, "files_before": 0}
    found = pd.read_parquet(out)
    assert list(found) == [
        *("id", "weight", "mean_0", "variance_0", "eruptions_mean", "eruptions_stddev"),
        *("eruptions_q0.1", "eruptions_q0.9", "log_prob", "eruptions_pit"),
    ]
    given = pd.read_parquet(source)
    expected = tfp_mdn.load(model).predict(given[["waiting", "half"]])
    np.testing.assert_allclose(found["eruptions_mean"], np.ravel(expected), rtol=1e-5)
    assert run("score", source, out, model, *options, "--workers", 2) == 0
    assert capsys.readouterr().out.startswith("100 rows in 2 file(s), 2 of them before, ")
    assert run("score", source, out, model, "--quantiles", "", "--no-parameters") == 2
    assert "pass overwrite=True (--overwrite)" in capsys.readouterr().err
    bare = ("--quantiles", "", "--no-parameters", "--overwrite", "--quiet")
    assert run("score", source, out, model, *bare) == 0
    assert capsys.readouterr() == ("", "")
    assert list(pd.read_parquet(out)) == ["eruptions_mean", "eruptions_stddev"]


def test_model_without_names(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tfp_mdn.save(tfp_mdn.build_mdn(2, input_size=2, seed=0), tmp_path / "model")
    source = write(tmp_path / "in", 1, 5)
    places = (source, tmp_path / "out", tmp_path / "model")
    assert run("score", *places) == 2
    assert "features must name the columns" in capsys.readouterr().err
    assert run("score", *places, "--feature", "waiting", "--feature", "half") == 0
    assert len(pd.read_parquet(tmp_path / "out")) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--quantiles", "half"), "--quantiles must be levels such as 0.05,0.5,0.95, got 'half'."),
        (("--quantiles", "0,0.5"), "quantiles must be levels strictly between 0 and 1"),
        (("--keep", "nix"), "0.parquet has no column 'nix'; it has 'id', 'waiting'"),
        (("--keep", "id", "--keep", "id"), "columns_kept names 'id' twice"),
        (("--workers", "0"), "0 is not in the range x>=1"),
    ],
)
def test_refused(
    run: Run,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    assert run("score", write(tmp_path / "in", 1, 5), tmp_path / "out", model, *options) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_interruption_says_what_to_do(
    run: Run,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, out = write(tmp_path / "in", 3, 50), tmp_path / "out"
    score = scoring.ScoringPlan._score

    def interrupted(self: Any, scorer: Any, found: Any, part: Any) -> Any:
        if part.output == "1.parquet":
            raise KeyboardInterrupt
        return score(self, scorer, found, part)

    monkeypatch.setattr(scoring.ScoringPlan, "_score", interrupted)
    assert run("score", source, out, model) == 1
    assert capsys.readouterr().err.strip() == (
        "tfp-mdn: interrupted; finished files stay, and the same command goes on with the others"
    )
    monkeypatch.undo()
    assert run("score", source, out, model) == 0
    assert "3 file(s), 1 of them before" in capsys.readouterr().out


def test_stopped_twice_and_equal_to_one_run(run: Run, model: Path, tmp_path: Path) -> None:
    source, out = write(tmp_path / "in", 9, 60_000), tmp_path / "out"
    assert run("score", source, tmp_path / "whole", model, "--keep", "id", "--quiet") == 0
    whole = outputs(tmp_path / "whole")
    command = [sys.executable, "-c", WITH_CTRL_C, "score", str(source), str(out)]
    for sign in (signal.SIGINT, signal.SIGKILL):
        before = len(outputs(out))
        process = subprocess.Popen(
            [*command, str(model), "--keep", "id"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            until = time.monotonic() + 240.0
            while len(list(out.glob("*.parquet"))) < before + 2:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < until, "nothing was written in four minutes"
                time.sleep(0.005)
            process.send_signal(sign)
            printed = process.communicate(timeout=240.0)[0]
        finally:
            process.kill()
            process.wait()
        assert process.returncode == (1 if sign == signal.SIGINT else -signal.SIGKILL)
        assert ("the same command goes on" in printed) is (sign == signal.SIGINT)
        done = outputs(out)
        assert before + 2 <= len(done) < 9
        # What is there is whole.
        assert done == {name: whole[name] for name in done}
    assert run("score", source, out, model, "--keep", "id", "--quiet") == 0
    assert outputs(out) == whole
    assert not list(out.glob(".*"))
