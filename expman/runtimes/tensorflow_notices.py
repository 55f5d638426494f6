"""Keeps the notices that TensorFlow writes while it starts off the user's terminal."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

_LEVEL_VARIABLE = "TF_CPP_MIN_LOG_LEVEL"
_NOTICE = re.compile(rb"WARNING: All log messages before absl|[IW]\d{4} \d\d:|E\d{4} \d\d:.*failed call to cuInit")


@contextlib.contextmanager
def hidden_notices() -> Iterator[None]:
    """Drops TensorFlow's own notices from standard error while the context lasts; all other lines pass, afterwards.

    TensorFlow 2.21 writes them from native code and does not obey `TF_CPP_MIN_LOG_LEVEL` before it has started; setting
    that variable to 0 shows them.
    """
    if os.environ.setdefault(_LEVEL_VARIABLE, "2") == "0":
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            captured.seek(0)
            os.write(2, b"".join(line for line in captured if not _NOTICE.match(line)))


def import_tensorflow() -> None:
    """Imports TensorFlow without its notices; it does not look for devices yet."""
    with hidden_notices():
        import tensorflow  # noqa: F401


def start_tensorflow() -> None:
    """Imports TensorFlow and lets it look for GPUs, without its notices."""
    import_tensorflow()
    with hidden_notices():
        import tensorflow as tf
        tf.config.list_physical_devices("GPU")
