"""Remembers which versions could not be loaded, and when each is to be tried again."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from expman.serving.models.version_folders import Fingerprint, fingerprint


@dataclass(frozen=True)
class _Failure:
    folder: Path
    fingerprint: Fingerprint
    num_tries: int
    next_try: float  # By the monotonic clock, in seconds; infinite when only a change of the folder helps.


class LoadFailures:
    """The failures of one model. Its owner lets only one thread at a time change them.

    Arguments:
        max_num_retries: how often a version is tried again while its folder stays as it is.
        retry_interval_seconds: the time before each of these tries.
    """

    def __init__(self, *, max_num_retries: int, retry_interval_seconds: float) -> None:
        self._max_num_retries = max_num_retries
        self._retry_interval_seconds = retry_interval_seconds
        self._failures: dict[int, _Failure] = {}

    def add(self, number: int, folder: Path, seen: Fingerprint) -> None:
        """Notes a failure.

        Arguments:
            seen: what the folder held before it was loaded, so that a change meanwhile counts as one.
        """
        before = self._failures.get(number)
        num_tries = before.num_tries + 1 if before and (before.folder, before.fingerprint) == (folder, seen) else 1
        next_try = time.monotonic() + self._retry_interval_seconds if num_tries <= self._max_num_retries else math.inf
        self._failures[number] = _Failure(folder, seen, num_tries, next_try)

    def forget(self, number: int) -> None:
        """Lets a version be tried at once, with all its retries."""
        self._failures.pop(number, None)

    def blocks(self, number: int) -> bool:
        """Returns True when a version is not to be tried now."""
        failure = self._failures.get(number)
        return failure is not None and time.monotonic() < failure.next_try

    def changed(self, folders: Mapping[int, Path]) -> list[int]:
        """Returns the versions whose folder is gone, elsewhere, or holds something else than it did; reads the disk.

        Arguments:
            folders: version -> its folder now.
        """
        return [number for number, failure in list(self._failures.items())
                if folders.get(number) != failure.folder or fingerprint(failure.folder) != failure.fingerprint]
