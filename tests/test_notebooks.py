"""The notebooks as they are committed, and `run.py`, which executes them."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import jupytext
import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("[0-9]*_*.py"))
# Absolute paths, addresses of objects, start-up lines of TensorFlow.
MACHINE = re.compile(r"(?:^|[\s'\"(])/\w+/\S*|0x[0-9a-f]{6,}|(?i:cuda|onednn|warning)")
every_notebook = pytest.mark.parametrize("name", NAMES)

SCORES = {"problem": "p", "entropy": 1.0, "nll": {"document": 1.5}, "gap": {"document": 0.5}}
SHOWS_SCORES = f"""# %% [markdown]
# # Title

# %%
import sys
from IPython.display import Markdown, display
print("a warning", file=sys.stderr)
display(Markdown("table"), metadata={{"tfp_mdn_scores": {SCORES!r}}})
"""
# The kernel sends what was printed in pieces, where a pause falls into it.
SHOWS_NONE = "# %%\nimport time\nprint(6, flush=True)\ntime.sleep(0.5)\nprint(7)\n"
FAILS = "# %%\nraise KeyError('gone')\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return `run.py`, told that the notebooks and the README are in `tmp_path`."""
    monkeypatch.syspath_prepend(NOTEBOOKS)
    module = importlib.import_module("run")
    monkeypatch.setattr(module, "HERE", tmp_path)
    monkeypatch.setattr(module, "README", tmp_path / "README.md")
    return module


@pytest.fixture
def notebook(tmp_path: Path) -> Any:
    """Return a function that writes the source of a notebook."""

    def write(name: str, source: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(source, encoding="utf-8")
        return path

    return write


def read(folder: Path, name: str) -> Any:
    return nbformat.read(folder / f"{name}.ipynb", as_version=4)  # type: ignore[no-untyped-call]


def test_there_are_notebooks() -> None:
    assert [name[:2] for name in NAMES] == [f"{i:02d}" for i in range(1, len(NAMES) + 1)]
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == NAMES


@every_notebook
def test_committed_notebook_is_its_source_executed(name: str) -> None:
    source = jupytext.read(NOTEBOOKS / f"{name}.py")
    cells = read(NOTEBOOKS, name).cells
    assert [cell.source for cell in cells] == [cell.source for cell in source.cells]
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


@every_notebook
def test_committed_notebook_shows_nothing_of_the_machine(name: str) -> None:
    for cell in read(NOTEBOOKS, name).cells:
        assert cell.metadata == {}
        for output in cell.get("outputs", []):
            assert output.output_type in ("stream", "display_data", "execute_result")
            assert output.get("name") != "stderr"
            shown = output.get("text", "") + "".join(
                value
                for kind, value in output.get("data", {}).items()
                if not kind.startswith("image/")
            )
            assert MACHINE.findall(shown) == []


@every_notebook
def test_every_picture_of_a_notebook_is_shown(name: str) -> None:
    shows = [cell for cell in read(NOTEBOOKS, name).cells if "plt.show()" in cell.source]
    assert shows
    for cell in shows:
        kinds = [kind for output in cell.outputs for kind in output.get("data", {})]
        assert kinds.count("image/png") == 1


def test_recorded_scores_are_those_of_the_notebooks(run: ModuleType) -> None:
    found = {name: run.find_scores(read(NOTEBOOKS, name)) for name in NAMES}
    recorded = json.loads((NOTEBOOKS / "scores.json").read_text(encoding="utf-8"))
    assert recorded == {name: scores for name, scores in found.items() if scores}


def test_run_executes_all_and_collects_scores(
    run: ModuleType, notebook: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook("01_scores", SHOWS_SCORES)
    notebook("02_none", SHOWS_NONE)
    output = tmp_path / "build"
    output.mkdir()
    # 02 had scores in an earlier run.
    (output / "scores.json").write_text(json.dumps({"02_none": SCORES, "03_other": SCORES}))
    recorded = tmp_path / "recorded.json"
    recorded.write_text(json.dumps({"01_scores": SCORES}))
    assert run.main(["-o", str(output), "--compare", str(recorded)]) == 0
    assert json.loads((output / "scores.json").read_text()) == {
        "01_scores": SCORES,
        "03_other": SCORES,
    }
    printed = capsys.readouterr().out
    assert re.search(r"01_scores: \d+ s, \{'document': 0.5\}\n02_none: \d+ s, no scores", printed)
    executed = read(output, "01_scores")
    assert [cell.id for cell in executed.cells] == ["cell-01", "cell-02"]
    assert [out.output_type for out in executed.cells[1].outputs] == ["display_data"]
    assert executed.metadata["language_info"] == {"name": "python"}
    assert [out.text for out in read(output, "02_none").cells[0].outputs] == ["6\n7\n"]


def test_run_ends_at_a_cell_that_raises(
    run: ModuleType, notebook: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = notebook("01_fails", FAILS)
    assert run.main(["01_fails", "-o", str(tmp_path / "build")]) == 1
    assert "gone" in capsys.readouterr().err
    assert not list(tmp_path.glob("build/*"))
    with pytest.raises(CellExecutionError, match="gone"):
        run.execute(path)


def test_run_names_the_notebooks_that_there_are(
    run: ModuleType, notebook: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook("01_scores", SHOWS_SCORES)
    assert run.main(["9_unknown"]) == 2
    assert capsys.readouterr().err == "no such notebook: 9_unknown; there are 01_scores\n"


@pytest.mark.parametrize(
    ("new", "recorded", "message"),
    [
        ({"nll": {"document": 1.58}}, {"nll": {"document": 1.5}}, ""),
        ({"nll": {"build_mdn": 1.58}}, {"nll": {"build_mdn": 1.5}}, "1.58 nats, recorded 1.5"),
        ({"nll": {"document": float("nan")}}, {"nll": {"document": 1.5}}, "nan nats"),
        ({"nll": {"document": 1.5}}, {"nll": {}}, "1.5 nats, recorded nan"),
        ({"nll": {}}, {"nll": {"document": 1.5}}, "nan nats, recorded 1.5"),
        (None, {"nll": {"document": 1.5}}, "nan nats, recorded 1.5"),
        ({"nll": {"document": 1.5}}, None, "1.5 nats, recorded nan"),
        (None, None, ""),
    ],
)
def test_compare_finds_what_differs(
    run: ModuleType, capsys: pytest.CaptureFixture[str], new: Any, recorded: Any, message: str
) -> None:
    scores, known = ({"01": score} if score else {} for score in (new, recorded))
    # What was not run is not compared.
    assert run.compare(scores, known | {"02": {"nll": {"document": 1.0}}}, ["01"]) == bool(message)
    printed = capsys.readouterr().err
    assert message in printed
    assert bool(message) == bool(printed)


def test_readme_gets_a_table_between_its_marks(run: ModuleType, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- scores: by run -->\nold\n<!-- end of scores -->\nafter\n")
    run.write_readme({"02_b": SCORES, "01_a": SCORES})
    lines = readme.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "before"
    assert lines[-2:] == ["<!-- end of scores -->", "after"]
    assert lines[5:7] == [
        "| [01_a](notebooks/01_a.ipynb) | p | 1.000 | 1.500 |",
        "| [02_b](notebooks/02_b.ipynb) | p | 1.000 | 1.500 |",
    ]
