"""Imports TensorFlow without the lines that it prints on every start, for the shell tool."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

__all__ = ["import_quietly"]

# What TensorFlow writes at any log level on a machine without a GPU, and how its lines begin.
# Everything else that appears meanwhile is passed on.
_NOISE = re.compile(
    rb"All log messages before absl::InitializeLog|Could not find cuda drivers|"
    rb"failed call to cuInit|oneDNN custom operations|optimized to use available CPU instructions|"
    rb"To enable the following instructions|computation_placer already registered|"
    rb"Unable to register cu\w+ factory|Cannot dlopen some GPU libraries|"
    rb"Skipping registering GPU devices"
)


def import_quietly() -> None:
    """Import the packages that train and predict, and start TensorFlow's device.

    Lines that are not known noise reach standard error when the import is over, or has failed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _filtered_stderr():
        import tensorflow as tf

        import tfp_mdn.estimator  # noqa: F401  the slow import, made here once

        tf.zeros(())  # the first operation looks for GPUs, and says so


@contextlib.contextmanager
def _filtered_stderr() -> Iterator[None]:
    """Hold back what is written to file descriptor 2, by C++ code too, and pass on what matters."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        original = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            held.seek(0)
            os.write(2, b"".join(line for line in held if not _NOISE.search(line)))
