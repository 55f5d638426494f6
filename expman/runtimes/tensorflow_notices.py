"""Keeps the notices that TensorFlow writes while it starts off the user's terminal."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator

from expman.runtimes.held_back_stderr import held_back_stderr

_LEVEL_VARIABLE = "TF_CPP_MIN_LOG_LEVEL"
_NOTICE = re.compile(rb"WARNING: All log messages before absl|[IW]\d{4} \d\d:|E\d{4} \d\d:.*failed call to cuInit")


@contextlib.contextmanager
def hidden_notices() -> Iterator[None]:
    """Drops TensorFlow's own notices from standard error while the context lasts; all other lines pass, afterwards.

    If the process dies in there, all of them pass, notices too.

    TensorFlow 2.21 writes them from native code and does not obey `TF_CPP_MIN_LOG_LEVEL` before it has started; setting
    that variable to 0 shows them.
    """
    if os.environ.setdefault(_LEVEL_VARIABLE, "2") == "0":
        yield
        return
    with held_back_stderr(drops=lambda line: _NOTICE.match(line) is not None):
        yield


def import_tensorflow() -> None:
    """Imports TensorFlow without its notices; it does not look for devices yet."""
    if "tensorflow" not in sys.modules:
        with hidden_notices():
            import tensorflow  # noqa: F401


def start_tensorflow() -> None:
    """Imports TensorFlow and lets it look for GPUs, without its notices."""
    with hidden_notices():
        import tensorflow as tf
        tf.config.list_physical_devices("GPU")
