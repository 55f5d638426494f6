"""Fingerprints the files of a data folder: names, sizes and content hashes."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

from data_pipelines.clutter import is_clutter
from expman.records.file_hash_cache import FileHashCache, FileVersion

_LOGGER = logging.getLogger(__name__)
_DIGEST_BYTES = 20
_CHUNK_BYTES = 1 << 20
_SECONDS_BETWEEN_MESSAGES = 5.0
_SETTLED_AFTER_NS = 2 * 10**9  # a file changed twice within a tick of the file system's clock keeps its time
_LOWEST_PRIORITY = 19


class FingerprintCancelledError(Exception):
    """The fingerprint is no longer wanted."""


@dataclass(frozen=True)
class DataFile:
    """One file of a data folder.

    Attributes:
        name: its path below the folder.
        num_bytes: its size.
        hash: BLAKE2b of its content, 160 bits, in hexadecimal, as `b2sum --length=160` prints it; '' when it cannot be read.
    """

    name: str
    num_bytes: int
    hash: str


def fingerprint_folder(folder: str | os.PathLike[str], *, cache: FileHashCache, cancelled: threading.Event
                       ) -> list[DataFile]:
    """Hashes the files below a folder in parallel, except those that the cache knows; links are followed.

    What systems and tools leave among data (see `is_clutter`) is left out, as it is by the pipelines.

    Reading yields to other work of the process: the threads have the lowest priority where the system has one a thread.

    Arguments:
        folder: a folder, or one file; '' and what does not exist give [].
        cache: gets the new hashes.
        cancelled: ends the work early when it is set.

    Returns:
        The files in the order of their names. One that cannot be read has no hash, and a warning names it.

    Raises:
        FingerprintCancelledError: `cancelled` was set.
    """
    found = sorted(_files_below(str(folder)), key=lambda item: item[0])
    hashes = cache.look_up(version for _, version in found)
    unknown = list(dict.fromkeys(version for _, version in found if version not in hashes))
    hashes |= _hash_files(unknown, cache=cache, cancelled=cancelled)
    return [DataFile(name, version.num_bytes, hashes[version]) for name, version in found]


def combined_hash(files: Sequence[DataFile]) -> str:
    """One hash over the names, sizes and contents of files, in hexadecimal."""
    lines = (f"{file.name}\0{file.num_bytes}\0{file.hash}\n" for file in files)
    return hashlib.blake2b("".join(lines).encode("utf-8", "surrogateescape"), digest_size=_DIGEST_BYTES).hexdigest()


def _files_below(path: str) -> Iterator[tuple[str, FileVersion]]:
    """(name, version) of each regular file."""
    if os.path.isfile(path):
        yield os.path.basename(path), _version(os.path.realpath(path))
    waiting = [("", os.path.realpath(path), frozenset[str]())] if os.path.isdir(path) else []
    while waiting:
        prefix, folder, parents = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            _LOGGER.warning("The data folder %s cannot be read (%s): its files are not in the fingerprint.", folder,
                            error.strerror)
            continue
        for entry in entries:
            if is_clutter(entry.name):
                continue
            real_path = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
            if entry.is_dir():
                if real_path not in parents and real_path != folder:  # a link upwards would never end
                    waiting.append((f"{prefix}{entry.name}/", real_path, parents | {folder}))
            elif entry.is_file():  # neither a pipe, which would block, nor a device
                yield f"{prefix}{entry.name}", _version(real_path)
            elif entry.is_symlink():
                _LOGGER.warning("The data file %s is a link to nothing: it is not in the fingerprint.", entry.path)


def _version(path: str) -> FileVersion:
    try:
        status = os.stat(path)
    except OSError:
        return FileVersion(path, 0, 0)  # it vanished a moment ago: the attempt to read it tells the user
    return FileVersion(path, status.st_size, status.st_mtime_ns)


def _hash_files(files: Sequence[FileVersion], *, cache: FileHashCache, cancelled: threading.Event) -> dict[FileVersion, str]:
    hashes: dict[FileVersion, str] = {}
    all_bytes = sum(file.num_bytes for file in files)
    with ThreadPoolExecutor(max_workers=os.cpu_count(), initializer=_yield_to_other_work) as executor:
        jobs = {executor.submit(_hash_file, file, cancelled): file for file in files}
        waiting = set(jobs)
        while waiting:
            done, waiting = wait(waiting, timeout=_SECONDS_BETWEEN_MESSAGES)
            hashed = {jobs[job]: job.result() for job in done}
            hashes |= hashed
            cache.store((file, digest) for file, digest in hashed.items() if digest and _is_settled(file))
            if waiting:
                _LOGGER.info("Data files hashed: %d of %d, %.1f of %.1f GB.", len(hashes), len(files),
                             sum(file.num_bytes for file in hashes) / 1e9, all_bytes / 1e9)
    return hashes


def _hash_file(file: FileVersion, cancelled: threading.Event) -> str:
    """The hash of a file's content; '' when it cannot be read."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    try:
        with open(file.path, "rb", buffering=0) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                if cancelled.is_set():
                    raise FingerprintCancelledError
                digest.update(chunk)
    except OSError as error:
        _LOGGER.warning("The data file %s cannot be read (%s): the fingerprint holds only its name.", file.path,
                        error.strerror)
        return ""
    return digest.hexdigest()


def _is_settled(file: FileVersion) -> bool:
    """Returns True when a later change would surely show in size or time: only then may the hash be remembered."""
    return _version(file.path) == file and time.time_ns() - file.mtime_ns > _SETTLED_AFTER_NS


def _yield_to_other_work() -> None:
    if sys.platform == "linux":  # elsewhere the priority belongs to the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
