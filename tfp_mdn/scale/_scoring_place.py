"""Where scored rows are written: what a folder says of how its files were made, and its lock."""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfp_mdn._placing import placed_whole
from tfp_mdn.model_directory import package_versions
from tfp_mdn.scale._scoring_files import InputFile, Part, num_rows_of

__all__ = ["MANIFEST", "check_place", "is_finished", "locked", "settle"]

# Readers of Parquet folders pass over names that begin with an underscore.
MANIFEST = "_scoring.json"

_FORMAT, _VERSION = "tfp_mdn scoring", 1


def check_place(destination: Path) -> None:
    """Raise if a folder holds anything but what scoring wrote.

    Raises:
        FileExistsError: If it does.
        NotADirectoryError: If it is a file.
    """
    if destination.exists() and not destination.is_dir():
        msg = f"destination {destination} is a file; name a folder."
        raise NotADirectoryError(msg)
    if not destination.exists() or (destination / MANIFEST).exists():
        return
    # A process that was killed at the very beginning leaves no more than this.
    others = [path for path in destination.iterdir() if not path.name.startswith(f".{MANIFEST}-")]
    if others:
        msg = (
            f"destination {destination} holds files that scoring did not write, such as "
            f"{others[0].name}; choose an empty folder or a new one."
        )
        raise FileExistsError(msg)


@contextlib.contextmanager
def locked(destination: Path) -> Iterator[None]:
    """Make the folder, and keep other processes that would write to it away.

    A lock ends with its process, also when that is killed. Where the file system knows none, two
    processes would do the same work twice and write the same files.

    Raises:
        ValueError: If another process is at work there.
        OSError: If the folder cannot be made.
    """
    destination.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    descriptor = os.open(destination, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                msg = f"another process is scoring to {destination} now; wait until it has ended."
                raise ValueError(msg) from error
        yield
    finally:
        os.close(descriptor)


def settle(
    destination: Path, options: Mapping[str, Any], inputs: Sequence[InputFile], *, overwrite: bool
) -> None:
    """Write down how the files are made, or make sure that those there were made alike.

    Args:
        destination: The folder, locked.
        options: Model and options, as plain JSON.
        inputs: The files to score.
        overwrite: Whether what was scored before goes.

    Raises:
        ValueError: If another model, other options or other inputs were scored before, or the
            manifest is damaged.
        OSError: If nothing can be written.
    """
    path = destination / MANIFEST
    before = _read(path) if path.exists() else None
    if before is not None and overwrite:
        _remove(destination, before)
        before = None
    if before is not None:
        _check_options(destination, before, options)
        _check_inputs(destination, before["inputs"], inputs)
    for folder, name in [(destination, MANIFEST), *_outputs(destination, inputs)]:
        for remains in folder.glob(f".{glob.escape(name)}-*"):
            shutil.rmtree(remains, ignore_errors=True)
    known = {
        found.name: {
            "bytes": found.shard.state[0],
            "modified_ns": found.shard.state[1],
            "rows": found.num_rows,
            "outputs": [part.output for part in found.parts],
        }
        for found in inputs
    }
    if before is None or before["inputs"] != known:
        record = {"format": _FORMAT, "version": _VERSION, "versions": package_versions()}
        text = json.dumps({**record, "options": options, "inputs": known}, indent=1)
        with placed_whole(path.absolute()) as new:
            new.write_text(text + "\n", encoding="utf-8")


def is_finished(destination: Path, part: Part) -> bool:
    """Return whether the output of a part is there, whole."""
    path = destination / part.output
    return path.is_file() and num_rows_of(path) == part.num_rows


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if (record["format"], record["version"]) != (_FORMAT, _VERSION):
            raise ValueError(f"its format is {record['format']!r}, version {record['version']!r}")
        for known in record["inputs"].values():
            for output in map(Path, known["outputs"]):
                if output.is_absolute() or ".." in output.parts:
                    raise ValueError(f"it names the output {str(output)!r}")
        return {
            "options": dict(record["options"]),
            "inputs": dict(record["inputs"]),
            "version": record["versions"]["tfp-mdn"],
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{path} is damaged ({error}); score to another folder."
        raise ValueError(msg) from error


def _check_options(
    destination: Path, before: Mapping[str, Any], options: Mapping[str, Any]
) -> None:
    then, now = before["options"], package_versions()["tfp-mdn"]
    other = [name for name in options if then.get(name) != options[name]]
    if not other:
        return
    if "model" not in other:
        found = ", ".join(f"with {name}={then.get(name)!r}, not {options[name]}" for name in other)
    elif before["version"] == now:
        found = "with another model"
    else:  # to which the structure of the model, and so its checksum, may look different
        found = f"by version {before['version']}"
    msg = (
        f"{destination} was scored {found}. Score to another folder, or pass overwrite=True "
        "(--overwrite)."
    )
    raise ValueError(msg)


def _check_inputs(
    destination: Path, before: Mapping[str, Any], inputs: Sequence[InputFile]
) -> None:
    """Raise if an input that was scored has changed or is gone; new ones are welcome."""
    now = {found.name: found.shard for found in inputs}
    for name, known in before.items():
        outputs = [output for output in known["outputs"] if (destination / output).exists()]
        same = name in now and now[name].state == (known["bytes"], known["modified_ns"])
        if outputs and not same:
            what = "has changed" if name in now else "is gone"
            msg = (
                f"input {name} {what} since it was scored. Put the old file back, delete "
                f"{destination / outputs[0].split('/')[0]}, or pass overwrite=True (--overwrite) "
                "to score everything again."
            )
            raise ValueError(msg)


def _outputs(destination: Path, inputs: Sequence[InputFile]) -> Iterator[tuple[Path, str]]:
    """Yield folder and name of each output."""
    for found in inputs:
        for part in found.parts:
            path = destination / part.output
            yield path.parent, path.name


def _remove(destination: Path, before: Mapping[str, Any]) -> None:
    """Remove what was scored before; other files stay."""
    for known in before["inputs"].values():
        for output in known["outputs"]:
            path = destination / output
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == destination:
                    break
                with contextlib.suppress(OSError):  # not empty
                    folder.rmdir()
    (destination / MANIFEST).unlink()
