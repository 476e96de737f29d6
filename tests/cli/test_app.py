"""The frame of the shell tool: start, help, exit codes, errors, pipes and completion."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.cli.conftest import Run, Tool
from tfp_mdn.cli.commands import COMMANDS, LazyCommands

_LIGHT = """
import sys
from tfp_mdn.cli import main
try:
    main({arguments!r})
except SystemExit as error:
    assert error.code == {code}, error.code
heavy = {{"numpy", "pandas", "tensorflow", "matplotlib", "scipy", "rich"}} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        ([], 2),
        (["completion", "zsh"], 0),
        *(([name, "--help"], 0) for name in COMMANDS),
    ],
)
def test_help_imports_nothing_heavy(arguments: list[str], code: int) -> None:
    program = _LIGHT.format(arguments=arguments, code=code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout or code == 2


def test_help_answers_at_once(tool: Tool) -> None:
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert tool("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # Seconds of a processor, the best of some runs: others may be at work on the machine.
    assert min(seconds() for _ in range(5)) < 0.3


def test_every_command_is_listed_with_its_help(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 2
    helped = capsys.readouterr()
    assert helped.out == ""
    context = click.Context(click.Command("tfp-mdn"))
    for name, (_, text) in COMMANDS.items():
        command = LazyCommands().get_command(context, name)
        assert command is not None
        assert command.name == name
        assert text in helped.err
        assert command.help
    assert LazyCommands().get_command(context, "nonsense") is None


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "code", "message"),
        [
            (ValueError("two\nlines"), 2, "two lines"),
            (TypeError("a type"), 2, "a type"),
            (PermissionError(13, "Permission denied", "x.csv"), 2, "x.csv: Permission denied"),
            (OSError(28, "No space left on device", "x.csv"), 1, "x.csv: No space left on device"),
            (OSError("odd"), 1, "odd"),
            (FloatingPointError("training diverged"), 1, "training diverged"),
            (ImportError("needs pyarrow"), 1, "needs pyarrow"),
            (MemoryError(), 1, "MemoryError"),
            (KeyError("x"), 1, "unexpected KeyError: 'x'; tfp-mdn --traceback ... shows more"),
            (KeyboardInterrupt(), 1, "interrupted; nothing was written"),
            (click.FileError("x", "no"), 2, "Could not open file 'x': no"),
        ],
    )
    def test_are_one_line_and_an_exit_code(
        self,
        error: BaseException,
        code: int,
        message: str,
        run: Run,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def fail(_: object) -> None:
            raise error

        monkeypatch.setattr("tfp_mdn.cli.models.open_model", fail)
        assert run("params", "model", "--grid", "x=1") == code
        captured = capsys.readouterr()
        assert captured.out == ""
        # click ends the line of a terminal on which ^C was typed.
        assert captured.err.lstrip("\n") == f"tfp-mdn: {message}\n"

    def test_traceback_shows_where_it_happened(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from tfp_mdn.cli import main

        def fail(_: object) -> None:
            raise KeyError("x")

        monkeypatch.setattr("tfp_mdn.cli.models.open_model", fail)
        with pytest.raises(KeyError):
            main(["--traceback", "params", "model", "--grid", "x=1"])


class TestStandardOutput:
    """Of the installed command, whose process has pipes of its own."""

    def test_a_reader_that_has_enough_is_no_error_to_speak_of(self, tool: Tool) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        done = tool(
            "completion", "zsh", stdout=writing, stderr=subprocess.PIPE, capture_output=False
        )
        os.close(writing)
        assert done.returncode == 1
        assert done.stderr == ""

    def test_a_full_disk_is_one_line(self, tool: Tool) -> None:
        with Path("/dev/full").open("w") as full:
            done = tool("--help", stdout=full, stderr=subprocess.PIPE, capture_output=False)
        assert done.returncode == 1
        assert done.stderr == "tfp-mdn: No space left on device\n"


class TestCompletion:
    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_prints_the_script_of_the_shell(
        self, shell: str, run: Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run("completion", shell) == 0
        script = capsys.readouterr().out
        assert f"_TFP_MDN_COMPLETE={shell}_complete" in script
        if shell == "bash":
            subprocess.run(["bash", "-n"], input=script, text=True, check=True)

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ("tfp-mdn ev", ["plain,evaluate"]),
            ("tfp-mdn predict --qua", ["plain,--quantile"]),
            ("tfp-mdn predict mo", ["dir,mo"]),
            ("tfp-mdn predict model da", ["file,da"]),
            ("tfp-mdn params m --format ", ["plain,csv", "plain,parquet", "plain,json"]),
        ],
    )
    def test_completes_words(self, words: str, expected: list[str], tool: Tool) -> None:
        count = len(words.split()) - (not words.endswith(" "))
        variables = {"COMP_WORDS": words, "COMP_CWORD": str(count)}
        done = tool(env=os.environ | variables | {"_TFP_MDN_COMPLETE": "bash_complete"})
        found = done.stdout.splitlines()
        assert found[: len(expected)] == expected
        assert len(found) == len(expected) or words.endswith("--qua")


def test_real_errors_of_the_start_are_shown() -> None:
    code = (
        "import os\n"
        "from tfp_mdn._startup import _filtered_stderr\n"
        "with _filtered_stderr():\n"
        "    os.write(2, b'I0000 cudart_stub.cc:31] Could not find cuda drivers on it\\n')\n"
        "    os.write(2, b'a real error\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "a real error\n"


@pytest.mark.parametrize("arguments", [(), ("params",), ("completion",)])
def test_examples_in_the_help_keep_their_lines(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert run(*arguments, "--help") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert not [line for line in lines if "\\b" in line]
    starts = ("tfp-mdn fit ", "tfp-mdn params model ", "bash: ")
    assert [line for line in lines if line.startswith(starts)]
