"""Remembers the hashes of files over experiments, in one database a user."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

_LOGGER = logging.getLogger(__name__)
_LOCK_TIMEOUT_SECONDS = 10
_CREATE = "CREATE TABLE IF NOT EXISTS blake2b_160 (path BLOB PRIMARY KEY, num_bytes INTEGER, mtime_ns INTEGER, hash TEXT)"
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class FileVersion:
    """A file as it is now, without reading it.

    Attributes:
        path: absolute, without symbolic links, so that a link that turns to another file is not taken for the old one.
        num_bytes: its size.
        mtime_ns: time of its last change, in nanoseconds since 1970.
    """

    path: str
    num_bytes: int
    mtime_ns: int


class FileHashCache:
    """Hashes by path, size and time of the last change; processes may share one file.

    A cache that cannot be read or written is as good as an empty one: this is said once, and everything works without.
    A damaged one is replaced.

    Arguments:
        file: the SQLite database; made when first written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def look_up(self, files: Iterable[FileVersion]) -> dict[FileVersion, str]:
        """The known hashes, as hexadecimal text, of those of the files that have not changed since."""
        if not self._file.exists():
            return {}
        return self._with_database(lambda database: _select(database, files)) or {}

    def store(self, hashes: Iterable[tuple[FileVersion, str]]) -> None:
        """Remembers hashes; each replaces that of an older version of the file."""
        rows = [(os.fsencode(file.path), file.num_bytes, file.mtime_ns, digest) for file, digest in hashes]
        if rows:
            self._with_database(lambda database: database.executemany("REPLACE INTO blake2b_160 VALUES (?, ?, ?, ?)", rows))

    def _with_database(self, use: Callable[[sqlite3.Connection], _Answer]) -> _Answer | None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._file, timeout=_LOCK_TIMEOUT_SECONDS)) as database, database:
                database.execute(_CREATE)
                return use(database)
        except sqlite3.OperationalError as error:  # locked for long, read-only, no space
            _LOGGER.warning("The cache of file hashes %s is not used: %s.", self._file, error)
        except sqlite3.DatabaseError as error:
            _LOGGER.warning("The cache of file hashes %s is damaged and starts anew: %s.", self._file, error)
            self._file.unlink(missing_ok=True)
        except OSError as error:
            _LOGGER.warning("The cache of file hashes %s is not used: %s.", self._file, error.strerror)
        return None


def user_cache() -> FileHashCache:
    """The cache that all experiments of the present user share."""
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return FileHashCache(Path(folder) / "tensorflow-experiments-manager" / "file_hashes.sqlite3")


def _select(database: sqlite3.Connection, files: Iterable[FileVersion]) -> dict[FileVersion, str]:
    query = "SELECT hash FROM blake2b_160 WHERE path = ? AND num_bytes = ? AND mtime_ns = ?"
    found = {}
    for file in files:
        row = database.execute(query, (os.fsencode(file.path), file.num_bytes, file.mtime_ns)).fetchone()
        if row:
            found[file] = row[0]
    return found
