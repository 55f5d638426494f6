"""Names and writes the files of a sweep's folder; its state is that of the trials' folders in it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from expman.errors import ExperimentFolderError, SweepError
from expman.records.experiment_folder import ExperimentFolder, read_json, write_atomically, write_json
from expman.records.trial import Trial

_LOGGER = logging.getLogger(__name__)


class SweepFolder:
    """One sweep on disk.

    Arguments:
        path: the folder; it need not exist, nothing is read or written here.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.record_file = self.path / "sweep.json"
        self.sweep_file = self.path / "sweep_file.py"
        self.trials_table = self.path / "trials.csv"
        self.pictures = self.path / "pictures"
        self.best_link = self.path / "best"

    def create(self) -> None:
        """Makes the folder if there is none.

        Raises:
            SweepError: it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SweepError(f"sweepFolder '{self.path}' cannot be written ({error.strerror}). Set another one.") from error

    def read_record(self) -> dict[str, Any]:
        """Returns the sweep as it was when it first started; {} for a new one."""
        return read_json(self.record_file) if self.record_file.exists() else {}

    def write_record(self, record: Mapping[str, Any], *, sweep_text: str) -> None:
        """Writes what the sweep was when it first started, and a copy of its file."""
        write_atomically(self.sweep_file, sweep_text)
        write_json(self.record_file, record)

    def trials(self) -> list[Trial]:
        """Returns the trials in the order of their numbers; a folder whose record is damaged is left out and named."""
        trials = []
        for file in self.path.glob("[0-9]*/trial.json"):
            try:
                trials.append(Trial.read(ExperimentFolder(file.parent)))
            except (ExperimentFolderError, TypeError) as error:
                _LOGGER.warning("%s is left out: %s", file.parent.name, error)
        return sorted(trials, key=lambda trial: trial.number)

    def point_to_best(self, trial: Trial) -> None:
        """Lets `best` point to a trial, in one step."""
        temporary = self.best_link.with_name(f".best.{os.getpid()}.tmp")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(trial.folder.path.name, target_is_directory=True)
        os.replace(temporary, self.best_link)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second sweep out of the folder; the lock ends with the process, however that ends.

        Raises:
            SweepError: another process sweeps here.
        """
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise SweepError(f"Another process runs the sweep in {self.path}. Wait for its end, stop it by SIGTERM, or set "
                             "another sweepFolder.") from error
        except OSError as error:  # a file system without locks
            _LOGGER.warning("%s cannot be locked (%s): see to it that no other sweep runs there.", self.path, error)
        try:
            yield
        finally:
            os.close(descriptor)
