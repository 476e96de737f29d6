"""The results file: one line of JSON for each finished run, and what tells runs apart."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Key", "Store", "code_state"]


@dataclass(frozen=True)
class Key:
    """What a run is; a stored result is used again only if all of it agrees.

    Attributes:
        protocol: "classic", "test" or "development".
        data: Name of the table or of the classic case.
        checksum: Digits that change when the data do.
        method: Name of the method.
        split: Number of the split; for classic cases the seed.
        settings: Versions of packages, default arguments and so on, as JSON.
    """

    protocol: str
    data: str
    checksum: str
    method: str
    split: int
    settings: str

    @property
    def cell(self) -> tuple[str, str, str, str]:
        """What the splits of one cell of a table have in common."""
        return self.protocol, self.data, self.checksum, self.method


class Store:
    """Results in a file of JSON lines; the last one of a key counts.

    Each is appended whole and synced, so a kill loses at most the run in progress.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results: dict[Key, dict[str, Any]] = {}
        lines = path.read_bytes().split(b"\n") if path.exists() else []
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line) if line else None
            except ValueError as error:
                if number == len(lines):
                    continue  # what a kill in the middle of a write leaves
                msg = f"{path}, line {number} is not a result; remove the line or the file."
                raise ValueError(msg) from error
            if record:
                key = Key(**record["key"])
                self.results.pop(key, None)  # so that the newest result is last
                self.results[key] = record["result"]

    def append(self, key: Key, result: dict[str, Any]) -> None:
        """Write a result and keep it."""
        line = json.dumps({"key": asdict(key), "result": result}, ensure_ascii=False) + "\n"
        self._end_last_line()
        with open(self.path, "ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self.results.pop(key, None)
        self.results[key] = result

    def check_writable(self) -> None:
        """Raise an OSError now rather than after the first run, if results cannot be written."""
        self._end_last_line()
        with open(self.path, "ab"):
            pass

    def finished(self, keys: Iterable[Key]) -> set[Key]:
        """Return those of the keys that have a result; what failed is tried again."""
        return {key for key in keys if "scores" in self.results.get(key, {})}

    def newest(self) -> dict[Key, dict[str, Any]]:
        """Return the results, of each cell those with the settings of its newest one."""
        settings = {key.cell: key.settings for key in self.results}
        return {k: result for k, result in self.results.items() if k.settings == settings[k.cell]}

    def _end_last_line(self) -> None:
        """Cut off what a kill in the middle of a write left, so that the next line stands alone."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = self.path.read_bytes() if self.path.exists() else b""
        torn = content[content.rfind(b"\n") + 1 :]
        if torn:
            with open(self.path, "r+b") as file:
                file.truncate(len(content) - len(torn))
                if _is_json(torn):  # an editor took the last newline
                    file.seek(0, os.SEEK_END)
                    file.write(torn + b"\n")


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def code_state() -> str:
    """Return 12 digits that change with the code that `MDNRegressor` runs, not with its comments.

    They are kept beside a result, not in its key: most changes do not move a score, but nobody
    should compare results of two states without being told.
    """
    import tfp_mdn.estimator  # noqa: F401

    digest = hashlib.sha256()
    for name in sorted(name for name in sys.modules if name.startswith("tfp_mdn.")):
        if name.split(".")[1] in {"datasets", "mixture", "tables"}:
            continue  # they score the result, but do not make it
        tree = ast.parse(Path(str(sys.modules[name].__file__)).read_text("utf-8"))
        for node in ast.walk(tree):
            match getattr(node, "body", None):
                case [ast.Expr(value=ast.Constant() as docstring), *_]:
                    docstring.value = None
        digest.update(f"{name} {ast.dump(tree)}".encode())
    return digest.hexdigest()[:12]
