"""Writes a file or directory beside its place and moves it in whole."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["as_path", "placed_whole", "writable_place"]

# Arguments of Linux's renameat2 and of macOS' renamex_np that swap two names in one step.
_AT_FDCWD, _RENAME_EXCHANGE, _RENAME_SWAP = -100, 2, 2


def as_path(name: str, value: Any) -> Path:
    """Return a path.

    Raises:
        TypeError: If `value` is neither text nor an object with a path.
    """
    if isinstance(value, str | os.PathLike) and not isinstance(os.fspath(value), bytes):
        return Path(value)
    msg = f"{name} must be a path, as text or pathlib.Path, got {value!r}."
    raise TypeError(msg)


def writable_place(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of something to be written, once it is known that it can be.

    Folders above it that are missing are made.

    Raises:
        FileExistsError: If `path` is a symbolic link.
        OSError: If nothing can be written beside it.
    """
    target = Path(path).absolute()
    with _told("cannot be written", target):
        if target.is_symlink():
            found = f"it is a symbolic link; give the place that it leads to, {target.resolve()}"
            raise FileExistsError(errno.EEXIST, found)
        if target.parent.exists() and not target.parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{target.parent} is not a directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-").cleanup()
    return target


@contextlib.contextmanager
def placed_whole(target: Path) -> Iterator[Path]:
    """Yield a path to write to; what is there when the block ends becomes `target`, in one step.

    If the block fails, or the process is killed, what `target` was before stays as it was. After a
    kill, a folder `.NAME-...` can remain beside it and may be deleted.

    Args:
        target: Absolute path, in an existing folder, that is free or may be replaced.

    Raises:
        OSError: If writing fails, as on a full disk.
    """
    with (
        _told("could not be written", target),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch,
    ):
        new = Path(scratch) / "new"
        yield new
        _flush(new)
        if target.is_dir():
            _swap(new, target)  # what was there goes with the scratch folder
        else:
            new.replace(target)


def _flush(path: Path) -> None:
    """Wait until the contents of files are on the disk: a name may get there before them."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb+") as stream:
                os.fsync(stream.fileno())


def _swap(new: Path, target: Path) -> None:
    """Give a directory the name of another and the other way round."""
    if _swapped_in_one_step(new, target):
        return
    old = new.with_name("old")
    target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        old.rename(target)
        raise


def _swapped_in_one_step(one: Path, other: Path) -> bool:
    """Swap two names if system and file system can, so that neither is ever missing."""
    first, second = os.fsencode(one), os.fsencode(other)
    with contextlib.suppress(AttributeError, OSError):  # a C library without the function
        if sys.platform.startswith("linux"):
            rename = ctypes.CDLL(None).renameat2
            swapped: int = rename(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE)
            return swapped == 0
        if sys.platform == "darwin":
            swapped = ctypes.CDLL(None).renamex_np(first, second, _RENAME_SWAP)
            return swapped == 0
    return False


@contextlib.contextmanager
def _told(failed: str, target: Path) -> Iterator[None]:
    """Name the place, and say that nothing is lost, in the errors of the operating system."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        msg = f"{target} {failed} ({error.strerror}); nothing that was there has changed"
        raise OSError(error.errno, msg) from error
