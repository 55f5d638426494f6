"""One trial of a sweep: an ordinary experiment's folder with the file `trial.json`."""

from __future__ import annotations

import csv
import dataclasses
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from expman.records.epochs_done import epochs_done
from expman.records.experiment_folder import ExperimentFolder, read_json, write_json

ENDED = ("finished", "pruned", "failed")
_VALIDATION = "val_"  # begins the columns of the validation metrics in metrics.csv


@dataclass
class Trial:
    """A trial as `trial.json` has it.

    Attributes:
        folder: the experiment's folder.
        number: from 1, in the order in which trials were suggested.
        hparams: what the sweep chose: name → value.
        point: the same in the words of the search: hyperopt's label → value, or index of a choice.
        status: 'waiting', 'running', 'finished', 'pruned' or 'failed'.
        value: the sweep's metric at the trial's best evaluation; None when there was none.
        reason: why it failed or was pruned.
        started: ISO time of its first start.
        seconds: time that it has been trained for.
    """

    folder: ExperimentFolder
    number: int
    hparams: Mapping[str, Any]
    point: Mapping[str, Any]
    status: str = "waiting"
    value: float | None = None
    reason: str = ""
    started: str = ""
    seconds: float = 0.0

    @classmethod
    def create(cls, sweep_folder: Path, *, number: int, session_name: str, hparams: Mapping[str, Any],
               point: Mapping[str, Any]) -> Trial:
        """Makes the folder of a new trial, `<number>_<session name>_<hparams>_<time>`."""
        folder = ExperimentFolder.create(working_folder=sweep_folder, session_name=f"{number:04d}_{session_name}",
                                         hparams=hparams)
        trial = cls(folder=folder, number=number, hparams=dict(hparams), point=dict(point),
                    started=datetime.now().astimezone().isoformat(timespec="seconds"))
        trial.write()
        return trial

    @classmethod
    def read(cls, folder: ExperimentFolder) -> Trial:
        """Reads a trial back.

        Raises:
            ExperimentFolderError: its file is damaged.
        """
        content = read_json(folder.trial_file)
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(folder=folder, **{name: value for name, value in content.items() if name in names})

    def write(self) -> None:
        """Writes `trial.json`."""
        content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "folder"}
        write_json(self.folder.trial_file, content)

    @property
    def has_ended(self) -> bool:
        """Tells whether it is finished, pruned or failed."""
        return self.status in ENDED

    @property
    def has_started(self) -> bool:
        """Returns True once the experiment's own record is complete, so that the training can go on from its folder."""
        return self.folder.identity_file.is_file() and self.folder.settings_file.is_file()

    def end(self, status: str, *, reason: str = "", value: float | None = None, seconds: float = 0.0) -> None:
        """Records how the trial ended."""
        self.status, self.reason, self.value = status, reason, value
        self.seconds += seconds
        self.write()

    def take_end_from_state(self, metric: str) -> None:
        """Takes over an end that the training has recorded in `state.json`, if it has."""
        state = self.folder.read_state()
        if state.get("status") not in ("finished", "pruned"):
            return
        best = state.get("best_metrics") or state.get("last_metrics") or {}
        value = best.get(metric)
        if value is None or math.isnan(value):
            self.end("failed", reason=f"no evaluation gave a number for {metric}")
        else:
            self.end(state["status"], value=value, reason=state.get("stop_reason", "") if state["status"] == "pruned" else "")

    def clear(self) -> None:
        """Removes what a training left that had not yet recorded what it was."""
        for entry in self.folder.path.iterdir():
            if entry.name in (self.folder.trial_file.name, self.folder.trial_log.name):
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def history(self, metric: str) -> list[tuple[float, float]]:
        """(epochs done, value) of each evaluation so far; without those in an epoch whose length is not known yet."""
        column = _VALIDATION + metric
        places = [(epochs_done(row), row[column]) for row in self._rows() if row.get(column)]
        return [(place, float(value)) for place, value in places if place is not None]

    def metrics(self) -> list[str]:
        """The names of the validation metrics that have been measured."""
        return [name.removeprefix(_VALIDATION) for name in next(iter(self._rows()), {}) if name.startswith(_VALIDATION)]

    def _rows(self) -> list[dict[str, str]]:
        """The rows of `metrics.csv`; [] before the first."""
        try:
            with self.folder.metrics_file.open(newline="", encoding="utf-8") as stream:
                return list(csv.DictReader(stream))
        except FileNotFoundError:
            return []
