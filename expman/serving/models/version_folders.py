"""Finds a model's versions on disk, and tells when one of them changes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

_LOGGER = logging.getLogger(__name__)

_LARGEST_VERSION = 2**63 - 1  # Messages carry versions as int64.

# What a folder holds: (path, size, time of change) of each entry.
Fingerprint = tuple[tuple[str, int, int], ...]


def version_folders(base_path: Path) -> dict[int, Path]:
    """Finds the versions below a model's base path: folders whose name is a number, with or without leading zeros.

    Raises:
        OSError: the base path cannot be read, or is not there.
    """
    folders: dict[int, Path] = {}
    with os.scandir(base_path) as entries:
        names = sorted(entry.name for entry in entries if _is_number(entry.name) and entry.is_dir())
    for name in names:
        if int(name) in folders:
            # As in TensorFlow Serving, the last in the order of text: the one with the fewest zeros.
            _LOGGER.warning("%s holds version %d twice: '%s' is used, '%s' is not", base_path, int(name), name,
                            folders[int(name)].name)
        folders[int(name)] = base_path / name
    return folders


def fingerprint(folder: Path) -> Fingerprint:
    """Changes when anything below the folder does; entries that cannot be looked at are left out."""
    return tuple(sorted(_entries(folder)))


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and int(name) <= _LARGEST_VERSION


def _entries(folder: Path) -> Iterator[tuple[str, int, int]]:
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            try:
                stat = os.stat(path)
            except OSError:
                continue
            yield path, stat.st_size, stat.st_mtime_ns
