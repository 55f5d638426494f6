"""Reads an experiment's plain files into a record; a damaged file makes a record that says so, never an exception."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from expman.errors import ExperimentFolderError
from expman.records import identity_format
from expman.records.experiment_folder import ExperimentFolder, exported_versions, read_json
from expman.reports.metrics_table import MetricsTable, MetricsTableError, read_metrics_table

_COMMIT_CHARACTERS = 8
_FINGERPRINT_BYTES = 5
SETTINGS_OF_DATA = ("raw_data_dir_train", "raw_data_dir_val")


@dataclass
class ExperimentRecord:
    """The content of one experiment's plain files.

    Attributes:
        files: the experiment's folder.
        identity: `experiment.json`; {} when it is missing or damaged.
        state: `state.json`; likewise.
        trial: `trial.json` of a sweep's trial; {} for any other experiment.
        metrics_table: the rows of `metrics.csv`; None when it is missing or damaged.
        is_live: whether a process trains in the folder now.
        errors: what is wrong with the files, each with the file's name; () for a sound experiment.
    """

    files: ExperimentFolder
    identity: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    trial: Mapping[str, Any] = field(default_factory=dict)
    metrics_table: MetricsTable | None = None
    is_live: bool = False
    errors: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The experiment's folder."""
        return self.files.path

    @property
    def name(self) -> str:
        """The name of that folder."""
        return self.folder.name

    @cached_property
    def status(self) -> str:
        """'damaged', 'waiting', 'training', 'interrupted', 'finished', 'pruned', 'stopped' or 'failed'."""
        if self.errors:
            return "damaged"
        said = self.trial.get("status")
        if said in ("failed", "pruned"):
            return said
        if not self.state:
            return "training" if self.is_live else "waiting" if said == "waiting" else "interrupted"
        said = str(self.state.get("status", ""))
        return "interrupted" if said == "training" and not self.is_live else said

    @cached_property
    def reason(self) -> str:
        """The reason of the status, as far as a file tells."""
        if self.errors:
            return "; ".join(self.errors)
        return str(self.trial.get("reason") or self.state.get("stop_reason") or "")

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The settings that the training started with; {} where none are recorded."""
        return _mapping(self.identity.get("settings"))

    @cached_property
    def hparams(self) -> dict[str, Any]:
        """Name → value, lists as text; of a trial that never started, those that the sweep chose."""
        recorded = _mapping(self.identity.get("hparams")) or _mapping(self.trial.get("hparams"))
        values = {name: entry.get("value") if isinstance(entry, Mapping) else entry for name, entry in recorded.items()}
        return {name: str(value) if isinstance(value, list) else value for name, value in values.items()}

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The validation metrics of the best evaluation; of the last one when none gave a number to judge by."""
        found = _mapping(self.state.get("best_metrics")) or _mapping(self.state.get("last_metrics"))
        return {name: value for name, value in found.items() if isinstance(value, (int, float))}

    @property
    def metric(self) -> str:
        """The metric by which the experiment itself tells what 'best' means; '' when unknown."""
        return str(self.settings.get("earlystopping_metric", ""))

    @property
    def mode(self) -> str:
        """'min' or 'max': what of `metric` is best."""
        return "max" if self.settings.get("earlystopping_mode") == "max" else "min"

    @cached_property
    def duration_seconds(self) -> float | None:
        """Training time: the sum over all epochs; None before the first ended."""
        return self.metrics_table.total_seconds if self.metrics_table and self.metrics_table.rows else None

    @cached_property
    def exported_models(self) -> dict[str, list[int]]:
        """Name of the model → its versions, ascending."""
        if not self.files.exports.is_dir():
            return {}
        found = {base_path.name: exported_versions(base_path) for base_path in sorted(self.files.exports.iterdir())}
        return {name: versions for name, versions in found.items() if versions}

    @property
    def versions(self) -> list[int]:
        """The numbers of the exported versions, ascending."""
        return sorted({version for versions in self.exported_models.values() for version in versions})

    @property
    def settings_of_data(self) -> tuple[str, ...]:
        """The settings that name data folders: the two of each experiment, then its further validation data."""
        named = [name for name in _mapping(self.identity.get("data")) if name.startswith("validation_sets")]
        return (*SETTINGS_OF_DATA, *named)

    @cached_property
    def data_fingerprint(self) -> str:
        """A short hash that two experiments share when their data are the same; '' when it was not recorded.

        Of data without files it is that of the first batches, which depend on `batch_size` as well.
        """
        data = _mapping(self.identity.get("data"))
        hashes = [str(_mapping(data.get(setting)).get("hash", "")) for setting in self.settings_of_data]
        if not any(_mapping(data.get(setting)).get("num_files") for setting in self.settings_of_data):
            hashes = [str(digest) for _, digest in sorted(_mapping(data.get("first_batches")).items()) if digest]
        if not any(hashes):
            return ""
        return hashlib.blake2b(" ".join(hashes).encode(), digest_size=_FINGERPRINT_BYTES).hexdigest()

    @cached_property
    def git_commit(self) -> str:
        """The abbreviated commit, with a '+' when files had changed since; '' outside of a repository."""
        git = _mapping(self.identity.get("git"))
        commit = str(git.get("commit", ""))[:_COMMIT_CHARACTERS]
        return f"{commit}+" if commit and git.get("diff") else commit


def read_record(path: str | os.PathLike[str]) -> ExperimentRecord:
    """Reads all that the plain files of an experiment's folder tell; no file is opened that holds weights or models."""
    files = ExperimentFolder(path)
    errors: list[str] = []
    trial = _read_object(files.trial_file, errors) if files.trial_file.exists() else {}
    has_identity, has_state = files.identity_file.exists(), files.state_file.exists()
    is_before_training = bool(trial) and (not has_identity or trial.get("status") == "failed")
    identity = _read_identity(files.identity_file, errors) if has_identity or not is_before_training else {}
    state = _read_object(files.state_file, errors) if has_state else {}
    is_live = (state.get("status") == "training" or not has_state) and files.is_being_trained()
    if not (has_state or is_live or is_before_training):
        errors.append(f"{files.state_file.name} is missing")
    if identity and not isinstance(identity.get("settings"), Mapping):
        errors.append(f"{files.identity_file.name} holds no settings")
    metrics_table = _read_metrics(files, state=state, errors=errors)
    return ExperimentRecord(files=files, identity=identity, state=state, trial=trial, is_live=is_live,
                            metrics_table=metrics_table, errors=tuple(errors))


def _read_identity(path: Path, errors: list[str]) -> dict[str, Any]:
    """The content of `experiment.json`, completed; {} and a line in `errors` when it cannot be used."""
    content = _read_object(path, errors)
    try:
        return identity_format.completed(content, source=path.name) if content else {}
    except ExperimentFolderError as error:
        errors.append(str(error))
        return {}


def _read_object(path: Path, errors: list[str]) -> dict[str, Any]:
    """The JSON object of a file; {} and a line in `errors` when there is none."""
    if not path.exists():
        errors.append(f"{path.name} is missing")
        return {}
    try:
        return read_json(path)
    except ExperimentFolderError as error:
        errors.append(f"{path.name} is damaged ({error.__cause__ or 'it holds no JSON object'})")
    except RecursionError:
        errors.append(f"{path.name} is damaged (too deeply nested)")
    return {}


def _read_metrics(files: ExperimentFolder, *, state: Mapping[str, Any], errors: list[str]) -> MetricsTable | None:
    if not files.metrics_file.exists():
        epoch = state.get("epoch")
        if isinstance(epoch, int) and epoch > 0:
            errors.append(f"{files.metrics_file.name} is missing")
        return None
    try:
        return read_metrics_table(files.metrics_file)
    except MetricsTableError as error:
        errors.append(f"{files.metrics_file.name} is damaged ({error})")
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    """A part of a file that should be an object; {} when it is anything else."""
    return value if isinstance(value, Mapping) else {}
