"""Keeps decoded files, in memory or as memory-mapped files, so that each is decoded once."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.clutter import is_hidden


class ArrayCacheError(RuntimeError):
    """The cache cannot be written; no fault of a data file, so it is never taken for one that may be skipped."""


class ArrayCache:
    """Remembers what a reader returned for a file.

    Arguments:
        place: False: nothing is remembered; True: in memory; a path: in that folder, which is made, as `.npy` files that are
            memory-mapped. A file that was changed since is decoded anew.

    Raises:
        ValueError: the place is none of these.
        OSError: the folder cannot be made.
    """

    def __init__(self, place: bool | str | os.PathLike[str]) -> None:
        if not isinstance(place, (bool, str, os.PathLike)):
            raise ValueError(f"cache must be True (in memory), False or the path of a folder. Got {place!r}.")
        self._memory: dict[tuple[str, str], Any] | None = {} if place is True else None
        self._folder = None if isinstance(place, bool) else Path(place)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)

    def get(self, path: str, kind: str, read: Callable[[str], Any]) -> Any:
        """Returns the first result of `read(path)`; `kind` tells apart what is read in different ways from one file.

        Raises:
            ArrayCacheError: the folder cannot be written.
        """
        if self._memory is not None:
            if (path, kind) not in self._memory:
                self._memory[path, kind] = read(path)  # two threads may both read it, which changes nothing
            return self._memory[path, kind]
        if self._folder is None:
            return read(path)
        return self._from_folder(self._folder / f"{_fingerprint(path, kind)}.npy", path, read)

    def _from_folder(self, file: Path, path: str, read: Callable[[str], Any]) -> np.ndarray:
        if not file.exists():
            array = read(path)
            if isinstance(array, np.memmap):
                return array
            _write(array, file)
        return np.load(file, mmap_mode="r")


def _write(array: np.ndarray, file: Path) -> None:
    unfinished = file.with_name(f"{file.stem}.{os.getpid()}.{threading.get_ident()}.unfinished")
    try:
        with open(unfinished, "wb") as stream:
            np.save(stream, array)
        os.replace(unfinished, file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise ArrayCacheError(f"the cache folder {file.parent} cannot be written: {error}") from error


def _fingerprint(path: str, kind: str) -> str:
    """Differs for other files, other kinds and other versions; those of a folder are its files'."""
    members = [path]
    if os.path.isdir(path):
        members = sorted(entry.path for entry in os.scandir(path) if not is_hidden(entry.name))
    versions = [f"{member} {status.st_size} {status.st_mtime_ns}" for member in members for status in (os.stat(member),)]
    text = "\0".join((os.path.abspath(path), kind, *versions))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]
