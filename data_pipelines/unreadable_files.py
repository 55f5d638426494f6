"""Treats files that cannot be read: the error names one, or it is skipped and counted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

POLICIES = ("raise", "skip")
_LOG = logging.getLogger(__name__)


class UnreadableFileError(ValueError):
    """A data file that cannot be read; the message starts with its path."""

    def __init__(self, path: str, reason: object) -> None:
        super().__init__(f"{path}: {reason}")


class UnreadableFiles:
    """Calls readers and treats what they raise in the way that the pipeline's caller chose.

    Arguments:
        policy: 'raise' (the default of all pipelines) or 'skip'.

    Attributes:
        reasons: path → why it was skipped, so far.

    Raises:
        ValueError: the policy is not known.
    """

    def __init__(self, policy: str) -> None:
        if policy not in POLICIES:
            raise ValueError(f"on_unreadable_file must be one of {', '.join(map(repr, POLICIES))}. Got {policy!r}.")
        self._skips = policy == "skip"
        self._lock = threading.Lock()
        self.reasons: dict[str, str] = {}

    def read(self, reader: Callable[[str], Any], path: str) -> Any:
        """Returns `reader(path)`, or None when the file cannot be read and is to be skipped.

        Raises:
            UnreadableFileError: the file cannot be read (`reader` raised OSError or ValueError) and the policy is 'raise'.
        """
        try:
            return reader(path)
        except (OSError, ValueError) as error:
            fault = error if isinstance(error, UnreadableFileError) else UnreadableFileError(path, error)
            if not self._skips:
                raise fault from error
        with self._lock:
            is_new = path not in self.reasons
            self.reasons[path] = str(fault)
            count = len(self.reasons)
        if is_new:
            _LOG.warning("skipped (%d so far): %s", count, fault)
        return None
