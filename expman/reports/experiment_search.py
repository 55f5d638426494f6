"""Finds the experiments that a user's folders hold: an experiment, a sweep, or a folder of experiments at any depth."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from expman.errors import UsageError
from expman.records.experiment_folder import ExperimentFolder
from expman.reports.experiment_records import ExperimentRecord, read_record

_LOGGER = logging.getLogger(__name__)
_REMEDY = "Give the folder of an experiment, of a sweep, or one with experiments below it."
_FILES = ExperimentFolder("")
# One of them is enough, so that an experiment whose identity was lost is still found.
_MARKS = frozenset(file.name for file in (_FILES.identity_file, _FILES.state_file, _FILES.settings_file, _FILES.trial_file))


def find_experiments(folders: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The folders of all experiments in and below some folders, each once, in the order of their names.

    Links below the folders are not followed: the `best` of a sweep is one of its trials.

    Raises:
        UsageError: a folder does not exist or holds no experiment.
    """
    if not folders:
        raise UsageError("Give at least one folder of experiments.")
    found: dict[str, Path] = {}
    for folder in folders:
        path = Path(folder)
        if not path.is_dir():
            raise UsageError(f"'{path}' {'is a file' if path.exists() else 'does not exist'}. {_REMEDY}")
        below = {os.path.realpath(experiment): Path(experiment) for experiment in _experiments_below(str(path))}
        if not below:
            raise UsageError(f"'{path}' holds no experiment, at no depth: no folder in it has an {_FILES.identity_file.name}. "
                             f"{_REMEDY}")
        found = below | found
    return sorted(found.values())


def read_experiments(folders: Sequence[str | os.PathLike[str]]) -> list[ExperimentRecord]:
    """The records of all experiments in and below some folders; see `find_experiments`."""
    return [read_record(path) for path in find_experiments(folders)]


def _experiments_below(path: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(path))
    except OSError as error:
        _LOGGER.warning("The folder %s cannot be read (%s): experiments in it are left out.", path, error.strerror)
        return
    if any(entry.name in _MARKS for entry in entries):
        yield path
        return
    for entry in entries:
        if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
            yield from _experiments_below(entry.path)
