"""Records the fingerprint of an experiment's data while it trains; a restart compares the data with the record."""

from __future__ import annotations

import contextlib
import csv
import io
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from data_pipelines.clutter import is_clutter
from expman.records.data_fingerprint import DataFile, FingerprintCancelledError, combined_hash, fingerprint_folder
from expman.records.experiment_folder import ExperimentFolder, write_atomically
from expman.records.file_hash_cache import user_cache

_LOGGER = logging.getLogger(__name__)
_NAMED_FILES = 5
_COLUMNS = ("setting", "name", "num_bytes", "hash")


@contextlib.contextmanager
def data_recorded(folder: ExperimentFolder, *, data_folders: Mapping[str, str],
                  first_batch_hashes: Callable[[], Mapping[str, str | None]], is_restart: bool = False) -> Iterator[None]:
    """Fingerprints the data in a thread, beside the training that the context holds.

    Training does not wait for the hashing of large data, except at its end. `experiment.json` gets the fingerprint, as
    'data', and `data_files.csv` the list of files, when it is complete. A training that fails or is stopped before leaves it
    out; the files hashed until then are in the user's cache. A restart warns of all that differs from the record and goes
    on; the record stays that of the first start.

    Arguments:
        folder: the experiment's folder.
        data_folders: name of the setting → the folder that it names.
        first_batch_hashes: returns description → hash of a first batch, None for one that is drawn at random.
        is_restart: whether a record is expected.
    """
    cancelled = threading.Event()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="data-fingerprint") as executor:
        job = executor.submit(_record_or_compare, folder, data_folders=data_folders, first_batch_hashes=first_batch_hashes,
                              is_restart=is_restart, cancelled=cancelled)
        try:
            yield
            job.result()
        finally:
            cancelled.set()


def _record_or_compare(folder: ExperimentFolder, *, data_folders: Mapping[str, str],
                       first_batch_hashes: Callable[[], Mapping[str, str | None]], is_restart: bool,
                       cancelled: threading.Event) -> None:
    recorded = folder.read_identity().get("data")
    if is_restart and recorded is None:
        _LOGGER.warning("The record of the data was not complete when training ended: whether they changed since then "
                        "cannot be told. They are recorded as they are now.")
    first_batches = first_batch_hashes()
    try:
        files = {setting: fingerprint_folder(path, cache=user_cache(), cancelled=cancelled)
                 for setting, path in data_folders.items()}
    except FingerprintCancelledError:
        return
    if recorded is None:
        _write_record(folder, data_folders=data_folders, files=files, first_batches=first_batches)
        return
    changes = [*_changed_folders(folder, recorded=recorded, files=files),
               *_changed_batches(recorded["first_batches"], first_batches)]
    if changes:
        _LOGGER.warning("The data changed since the experiment started; training goes on with what they are now:\n  %s",
                        "\n  ".join(changes))


def _write_record(folder: ExperimentFolder, *, data_folders: Mapping[str, str], files: Mapping[str, Sequence[DataFile]],
                  first_batches: Mapping[str, str | None]) -> None:
    record = {setting: {"folder": data_folders[setting], "num_files": len(found),
                        "num_bytes": sum(file.num_bytes for file in found), "hash": combined_hash(found)}
              for setting, found in files.items()}
    try:
        if any(files.values()):
            _write_file_list(folder.data_files, files)
        folder.write_identity({**folder.read_identity(), "data": {**record, "first_batches": dict(first_batches)}})
    except OSError as error:
        _LOGGER.warning("The fingerprint of the data could not be written (%s): a restart will not know whether they "
                        "changed.", error)


def _write_file_list(path: Path, files: Mapping[str, Sequence[DataFile]]) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((setting, file.name, file.num_bytes, file.hash) for setting, found in files.items() for file in found)
    write_atomically(path, table.getvalue().encode("utf-8", "surrogateescape"))  # names of files may be no UTF-8


def _read_file_list(path: Path, setting: str) -> list[DataFile]:
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        return [DataFile(row["name"], int(row["num_bytes"]), row["hash"]) for row in csv.DictReader(stream)
                if row["setting"] == setting]


def _changed_folders(folder: ExperimentFolder, *, recorded: Mapping[str, Any], files: Mapping[str, Sequence[DataFile]]
                     ) -> Iterator[str]:
    """A line for each data folder whose files are not those of the record."""
    for setting, found in files.items():
        if setting not in recorded or combined_hash(found) == recorded[setting]["hash"]:
            continue
        try:
            before = _read_file_list(folder.data_files, setting) if recorded[setting]["num_files"] else []
            details = _changed_files(before, found)
        except (OSError, ValueError, KeyError, TypeError) as error:  # the list was deleted or edited
            details = f"which files cannot be told, since {folder.data_files} cannot be read ({error!r})"
        if details:
            yield f"{setting} '{recorded[setting]['folder']}': {details}"


def _changed_files(before: Sequence[DataFile], now: Sequence[DataFile]) -> str:
    """Returns what differs; '' where only clutter does, which older records hold."""
    old, new = ({file.name: file for file in files if not any(map(is_clutter, file.name.split("/")))} for files in (before, now))
    kinds = {"changed": [name for name in new if name in old and new[name] != old[name]],
             "added": [name for name in new if name not in old],
             "removed": [name for name in old if name not in new]}
    return "; ".join(f"{len(names)} {'file' if len(names) == 1 else 'files'} {kind} ({_first_of(names)})"
                     for kind, names in kinds.items() if names)


def _first_of(names: Sequence[str]) -> str:
    named = ", ".join(name.encode("utf-8", "backslashreplace").decode() for name in names[:_NAMED_FILES])
    return f"{named} and {len(names) - _NAMED_FILES} more" if len(names) > _NAMED_FILES else named


def _changed_batches(before: Mapping[str, str | None], now: Mapping[str, str | None]) -> Iterator[str]:
    """A line for each first batch that is another; one that is drawn at random is not compared."""
    for described_as, digest in now.items():
        if digest and before.get(described_as) and digest != before[described_as]:
            yield (f"the first batch of the {described_as} differs: other data, or a pipeline that the seed does not "
                   "determine")
