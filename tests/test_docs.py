"""The guide: its examples run and print what it shows, its commands and its names exist."""

from __future__ import annotations

import re
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import tfp_mdn
from docs.examples import Example, commands, examples, languages, pictures, run
from tfp_mdn.cli.commands import LazyCommands

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "pages"
NAMES = sorted(path.relative_to(PAGES).as_posix() for path in PAGES.rglob("*.md"))
TEXTS = {name: (PAGES / name).read_text(encoding="utf-8") for name in NAMES}
WITH_EXAMPLES = [name for name in NAMES if examples(TEXTS[name])]
TOOL = LazyCommands("tfp-mdn")


@pytest.fixture(autouse=True)
def _figures_are_closed() -> Iterator[None]:
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run_and_print_what_is_shown(name: str, tmp_path: Path) -> None:
    for example, output in run(PAGES / name, tmp_path):
        assert example.shows(output), f"{name}, line {example.line}: it prints\n{output}"
    missing = [picture for picture in pictures(TEXTS[name]) if not (tmp_path / picture).is_file()]
    assert missing == []


def test_pictures_have_examples_that_draw_them() -> None:
    assert [name for name in NAMES if pictures(TEXTS[name]) and name not in WITH_EXAMPLES] == []


@pytest.mark.parametrize("name", NAMES)
def test_languages_of_blocks_are_known(name: str) -> None:
    assert languages(TEXTS[name]) <= {"python", "py", "text", "console"}


@pytest.mark.parametrize("name", [name for name in NAMES if commands(TEXTS[name])])
def test_commands_are_accepted(name: str) -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for program, *arguments in commands(TEXTS[name]):
        if program == "pip":
            (extra,) = re.findall(r"\[(\w+)\]", arguments[-1])
            assert re.search(rf"^{extra} = \[", project, flags=re.MULTILINE), arguments
        else:
            assert program == "tfp-mdn"
            check_command(arguments)


def check_command(arguments: list[str]) -> None:
    """Raise what click would: a command, an option or a value that is unknown or missing.

    Whether files exist is not looked at, and nothing is run.
    """
    command_name, *rest = arguments
    context = click.Context(TOOL, info_name="tfp-mdn")
    command = TOOL.get_command(context, command_name)
    assert command is not None, f"no command {command_name}"
    inner = click.Context(command, info_name=command_name, parent=context)
    values, left, _ = command.make_parser(inner).parse_args(list(rest))
    assert left == [], f"{arguments}: {left} are too many"
    for parameter in command.params:
        given = values.get(str(parameter.name))
        if given is None or not isinstance(given, str | list | tuple):
            assert given is not None or not parameter.required, f"{arguments}: {parameter.name}"
        elif isinstance(parameter.type, click.Choice | click.types.IntParamType | click.FloatRange):
            for value in [given] if isinstance(given, str) else given:
                parameter.type(value, parameter, inner)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fitt data.csv", "no command fitt"),
        ("fit data.csv --target y", "output"),
        ("fit data.csv --target y -o m --member 2 x", "too many|No such option"),
        ("predict m t.csv --quantiles 0.5", "No such option"),
        ("predict m t.csv --quantile half", "not a valid float"),
        ("predict m t.csv --quantile 1.5", "not in the range"),
        ("export m -o x --format onyx", "onyx"),
    ],
)
def test_wrong_commands_are_noticed(line: str, message: str) -> None:
    with pytest.raises((click.UsageError, AssertionError), match=message):
        check_command(line.split())


def test_every_public_name_is_in_the_reference() -> None:
    shown = {
        identifier
        for name in NAMES
        for identifier in re.findall(r"^::: tfp_mdn\.([\w.]+)$", TEXTS[name], flags=re.MULTILINE)
    }
    assert [name for name in shown if resolved(name) is None] == []
    here = {id(resolved(name)) for name in shown}
    missing = [
        f"{module.__name__}.{name}"
        for module in [tfp_mdn, *public_modules()]
        for name in module.__all__
        if not isinstance(value := getattr(module, name), types.ModuleType | str | float)
        and id(value) not in here
    ]
    assert missing == []


def public_modules() -> list[Any]:
    values = [getattr(tfp_mdn, name) for name in tfp_mdn.__all__]
    modules = [value for value in values if isinstance(value, types.ModuleType)]
    return [*modules, tfp_mdn.mixture.scores]


def resolved(name: str) -> Any:
    value: Any = tfp_mdn
    with warnings.catch_warnings():
        for part in name.split("."):
            if not hasattr(value, part):
                __import__(f"{value.__name__}.{part}")
            value = getattr(value, part)
    return value


PAGE = """\
Text.

```python
x = 1 + 1
print(x, "is two")
```

```text
2 is two
```

![A picture](a.png)

```py
left alone
```

```console
tfp-mdn fit a.csv --target y \\
    -o m  # a remark
tfp-mdn predict m - < b.csv > c.csv
```

```python
print(x + 0.123)
```

```text title="For instance"
2.456
```
"""


def test_a_page_is_read_as_meant(tmp_path: Path) -> None:
    first, second = examples(PAGE)
    assert first == Example('x = 1 + 1\nprint(x, "is two")\n', 3, "2 is two\n")
    assert second.for_instance
    assert commands(PAGE) == [
        ["tfp-mdn", "fit", "a.csv", "--target", "y", "-o", "m"],
        ["tfp-mdn", "predict", "m", "-"],
    ]
    assert pictures(PAGE) == ["a.png"]
    assert languages(PAGE) == {"python", "text", "py", "console"}
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    assert [output for _, output in run(page, tmp_path)] == ["2 is two\n", "2.123\n"]


@pytest.mark.parametrize(
    ("printed", "for_instance", "output", "shown"),
    [
        (None, False, "", True),
        (None, False, "something\n", False),
        ("1 row\n", False, "1  row\n", True),
        ("1 row\n", False, "2 row\n", False),
        ("1 row\n", True, "2 row\n", True),
        ("1 row\n", True, "2 rows\n", False),
    ],
)
def test_output_is_compared(printed: Any, for_instance: Any, output: str, shown: Any) -> None:
    assert Example("", 0, printed, for_instance=for_instance).shows(output) is shown


def test_tracebacks_tell_the_line_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Text.\n\n```python\nx = 1\nx / 0\n```\n", encoding="utf-8")
    with pytest.raises(ZeroDivisionError) as error:
        list(run(page, tmp_path))
    assert error.traceback[-1].lineno + 1 == 5
    assert str(error.traceback[-1].path) == str(page)
