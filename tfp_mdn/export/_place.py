"""Where an export may be written: a free place, or that of an older export."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tfp_mdn._placing import writable_place

__all__ = ["export_place"]


def export_place(
    path: str | os.PathLike[str], *, overwrite: bool, is_own: Callable[[Path], bool]
) -> Path:
    """Return the absolute path that an export may be written to.

    Args:
        path: The path as given.
        overwrite: Whether an older export there may be replaced.
        is_own: Whether what is there is an older export in the same format.

    Raises:
        FileExistsError: If something is there that may not be replaced.
        OSError: If nothing can be written there.
    """
    target = Path(path).absolute()
    if target.exists() and not target.is_symlink():
        if not is_own(target):
            msg = f"{target} exists and is not an older export in this format; choose another path."
            raise FileExistsError(msg)
        if not overwrite:
            msg = f"{target} is an older export; pass overwrite=True (--overwrite) to replace it."
            raise FileExistsError(msg)
    return writable_place(target)
