"""Finds the examples of a Markdown page, and runs them as a reader would: one after the other.

A block fenced as `python` is run, in one namespace for each page. A `text` block right after it
shows what it prints; one with a title shows what it prints for instance, and only its words have to
be right, since the numbers of a trained network differ between machines. A block fenced as `py`
needs what is not installed here, and is left alone. `console` blocks hold shell commands.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Example", "commands", "examples", "languages", "pictures", "run"]

_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_PICTURE = re.compile(r"!\[[^\]]+\]\(([^)#]+)\)")


@dataclass(frozen=True)
class Example:
    """A block of Python, and what the page says that it prints, if it says so.

    Attributes:
        code: The block.
        line: Number of lines above it.
        printed: The output that the page shows.
        for_instance: Whether the numbers of the output are one instance of many.
    """

    code: str
    line: int
    printed: str | None = None
    for_instance: bool = False

    def shows(self, output: str) -> bool:
        """Return whether the page shows this output, blanks and ends of lines aside."""
        if self.printed is None:
            return not output
        if self.for_instance:
            return _words(self.printed) == _words(output)
        return self.printed.split() == output.split()


def languages(text: str) -> set[str]:
    """Return the languages of a page's blocks."""
    return {block[1] for block in _FENCE.finditer(text)}


def examples(text: str) -> list[Example]:
    """Return the blocks of Python of a page."""
    found: list[Example] = []
    end = -1
    for block in _FENCE.finditer(text):
        language, title, content = block.groups()
        if language == "python":
            found.append(Example(content, text.count("\n", 0, block.start(3))))
            end = block.end()
        elif language == "text" and end >= 0 and not text[end : block.start()].strip():
            last = found[-1]
            found[-1] = Example(last.code, last.line, content, for_instance="title=" in title)
    return found


def commands(text: str) -> list[list[str]]:
    """Return the shell commands of a page, in words, without comments and redirections."""
    lines = [
        re.sub(r"\s[<>]\s.*", "", line)
        for block in _FENCE.finditer(text)
        if block[1] == "console"
        for line in re.sub(r"\\\n", " ", block[3]).splitlines()
    ]
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def pictures(text: str) -> list[str]:
    """Return the pictures that a page shows, by the names that its links give."""
    return _PICTURE.findall(_FENCE.sub("", text))


def run(page: Path, folder: Path) -> Iterator[tuple[Example, str]]:
    """Run the examples of a page in `folder`, and yield each with what it printed.

    Args:
        page: The page, in Markdown.
        folder: Where files named without a folder are written.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    here = Path.cwd()
    for example in examples(page.read_text(encoding="utf-8")):
        # With as many empty lines before it as there are in the page, tracebacks tell its lines.
        compiled = compile("\n" * example.line + example.code, str(page), "exec")
        output = io.StringIO()
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(output):
                exec(compiled, namespace)
        finally:
            os.chdir(here)
        yield example, output.getvalue()


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d]{2,}", text))
