"""Moving into place: whole or not at all, whatever happens on the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tfp_mdn._placing import placed_whole, writable_place

WRITER = """
import os, signal, sys
from pathlib import Path
from tfp_mdn import _placing
target, point = Path(sys.argv[1]), sys.argv[2]

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def write(text):
    with _placing.placed_whole(target) as new:
        if sys.argv[3] == "file":
            new.write_text(text)
            return
        new.mkdir()
        (new / "a").write_text(text)
        if point == "between files":
            kill()
        (new / "b").write_text(text)

if point == "before the swap":
    _placing._swap = kill
    Path.replace = kill
elif point == "after the swap":
    _placing.tempfile.TemporaryDirectory.cleanup = kill
elif point == "on the way to the disk":
    os.fsync = kill
while point == "any time":
    for number in range(1000):
        write(str(number) * 10000)
write("new")
"""


def start(target: Path, point: str, kind: str) -> subprocess.Popen[bytes]:
    root = Path(__file__).resolve().parent.parent
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(target), point, kind],
        env=os.environ | {"PYTHONPATH": str(root)},
    )


def write_old(target: Path) -> None:
    target.mkdir()
    for name in ("a", "b"):
        (target / name).write_text("old")


def contents(target: Path) -> set[str]:
    """Return the different texts in a directory of two files."""
    assert sorted(os.listdir(target)) == ["a", "b"]
    return {(target / name).read_text() for name in ("a", "b")}


@pytest.mark.parametrize(
    ("point", "found"),
    [
        ("between files", "old"),
        ("on the way to the disk", "old"),
        ("before the swap", "old"),
        ("after the swap", "new"),
    ],
)
def test_a_kill_leaves_the_old_directory_or_the_new(tmp_path: Path, point: str, found: str) -> None:
    write_old(tmp_path / "target")
    assert start(tmp_path / "target", point, "directory").wait() == -signal.SIGKILL
    assert contents(tmp_path / "target") == {found}


def test_a_kill_at_any_time_never_mixes(tmp_path: Path) -> None:
    target = tmp_path / "target"
    write_old(target)
    for attempt in range(8):
        (before,) = contents(target)
        process = start(target, "any time", "directory")
        while (target / "a").read_text() == before:  # until the writer is at work
            assert process.poll() is None
        time.sleep(0.0013 * attempt)
        process.kill()
        process.wait()
        assert len(contents(target)) == 1


def test_a_kill_leaves_a_file_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    assert start(target, "on the way to the disk", "file").wait() == -signal.SIGKILL
    assert target.read_text() == "old"


@pytest.mark.parametrize("in_one_step", [True, False])
def test_directories_are_swapped_on_every_system(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_one_step: bool,  # noqa: FBT001
) -> None:
    if not in_one_step:
        monkeypatch.setattr(sys, "platform", "win32")
    write_old(tmp_path / "target")
    with placed_whole(tmp_path / "target") as new:
        new.mkdir()
        for name in ("a", "b"):
            (new / name).write_text("new")
    assert contents(tmp_path / "target") == {"new"}
    assert os.listdir(tmp_path) == ["target"]


def test_the_old_directory_comes_back_if_the_new_one_cannot_be_moved_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def rename_all_but_new(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(Path, "rename", rename_all_but_new)
    write_old(tmp_path / "target")
    with pytest.raises(KeyboardInterrupt), placed_whole(tmp_path / "target") as new:
        shutil.copytree(tmp_path / "target", new)
    assert contents(tmp_path / "target") == {"old"}
    assert os.listdir(tmp_path) == ["target"]


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="target cannot be .*file is not a directory"):
        writable_place(tmp_path / "file" / "target")
    with pytest.raises(OSError, match="cannot be written .File name too long"):
        writable_place(tmp_path / ("x" * 300))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(PermissionError, match="target cannot be written .Permission denied.; no"):
        writable_place(tmp_path / "target")


def test_nothing_is_left_of_a_block_that_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), placed_whole(tmp_path / "target") as new:
        new.write_text(str(1 / 0))
    assert os.listdir(tmp_path) == []


def test_missing_folders_are_made(tmp_path: Path) -> None:
    assert writable_place(tmp_path / "a" / "b").parent.is_dir()
