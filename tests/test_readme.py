"""The README: every block of code runs, every command exists, every score is the measured one."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from docs.examples import commands, examples, languages
from tfp_mdn.cli import main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = commands(README)


def test_every_block_is_known() -> None:
    assert languages(README) == {"python", "console"}
    assert {command[0] for command in COMMANDS} == {"make", "pip", "tfp-mdn"}


@pytest.mark.parametrize("code", [example.code for example in examples(README)])
def test_python_blocks_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})


def test_shell_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = (files("tfp_mdn") / "data" / "faithful.csv").read_text(encoding="utf-8")
    Path("faithful.csv").write_text(table, encoding="utf-8")
    for name, *arguments in COMMANDS:
        if name == "tfp-mdn":
            with pytest.raises(SystemExit) as exit_:
                main(arguments)
            assert not exit_.value.code, arguments
    assert {path.name for path in Path().iterdir()} == {
        *("faithful.csv", "faithful", "report.html", "predicted.csv", "samples.csv"),
        *("parameters.csv", "pictures", "exported"),
    }


def test_make_targets_and_extras_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name, *arguments in COMMANDS:
        if name == "make":
            assert re.search(rf"^{arguments[0]}:", makefile, flags=re.MULTILINE), arguments
        if name == "pip":
            (extras,) = re.findall(r"\[([\w,]+)\]", arguments[-1])
            for extra in extras.split(","):
                assert re.search(rf"^{extra} = \[", project, flags=re.MULTILINE), arguments


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_scores_are_those_of_the_notebooks() -> None:
    scores = json.loads((ROOT / "notebooks" / "scores.json").read_text(encoding="utf-8"))
    rows = [line for line in README.splitlines() if line.startswith("| [")]
    assert len(rows) == len(scores) == 5
    for row, (name, score) in zip(rows, scores.items(), strict=True):
        assert name in row
        numbers = re.findall(r"-?\d+\.\d{3}", row.replace("−", "-"))
        expected = [score["entropy"], *score["nll"].values()]
        assert [float(number) for number in numbers] == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize("name", ["quality", "speed"])
def test_figures_of_tables_are_those_that_were_measured(name: str) -> None:
    report = (ROOT / "benchmarks" / f"{name}.md").read_text(encoding="utf-8")
    block = README.split(f"<!-- {name}: from benchmarks/{name}.md -->")[1]
    block = block.split(f"<!-- end of {name} -->")[0]
    quoted = [line for line in block.splitlines() if line.startswith("| ")]
    assert len(quoted) > 10
    assert [line for line in quoted if line not in report.splitlines()] == []
