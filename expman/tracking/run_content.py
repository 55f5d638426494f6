"""Reads the files of an experiment's folder for a run of MLflow; needs nothing of MLflow."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from expman.records.experiment_folder import ExperimentFolder, read_json

# Those that people compare beside the hparams; the settings file itself goes along as an artifact.
_PARAMS = ("batch_size", "nbEpoch", "initial_learning_rate", "num_epochs_per_decay", "learning_rate_decay_factor",
           "random_seed", "weights_moving_average_decay", "gradient_clip_norm", "gradient_accumulation_steps",
           "early_stopping_patience", "enable_mixed_precision")
_STATUS = {"finished": "FINISHED", "pruned": "KILLED", "stopped": "KILLED", "interrupted": "KILLED", "failed": "FAILED"}
_REFUSED_CHARACTERS = re.compile(r"[^\w\-. :/]|/(?=/)|^[/.]+")
_LONGEST_KEY = 250
_LONGEST_VALUE = 5000


@dataclass(frozen=True)
class MetricsRow:
    """The numbers of an epoch.

    Attributes:
        step: after which they were measured.
        time_ms: when, in milliseconds since 1970: the experiment's start and the training time until then.
        values: name → number.
    """

    step: int
    time_ms: int
    values: dict[str, float]


class RunContent:
    """One experiment as its files have it now.

    Arguments:
        folder: of the experiment; `experiment.json` must be there.
    """

    def __init__(self, folder: ExperimentFolder) -> None:
        self._folder = folder
        self._identity = folder.read_identity()

    @property
    def experiment_name(self) -> str:
        """Of MLflow's experiment: see `experiment_name`."""
        return experiment_name(self._folder, session_name=self._identity["settings"]["session_name"])

    @property
    def start_ms(self) -> int:
        """When the experiment was created, in milliseconds since 1970."""
        return round(datetime.fromisoformat(self._identity["created"]).timestamp() * 1000)

    def params(self) -> dict[str, str]:
        """Returns the settings and hyperparameters as MLflow's parameters."""
        settings = self._identity["settings"]
        values = {name: settings.get(name) for name in _PARAMS}
        values |= {name: hparam["value"] for name, hparam in self._identity["hparams"].items()}
        return {key(name): str(value)[:_LONGEST_VALUE] for name, value in values.items()}

    def tags(self) -> dict[str, str]:
        """Returns the origin of the run; MLflow's page shows 'mlflow.source…'."""
        identity = self._identity
        tags = {"folder": str(self._folder.path.resolve()), "session_name": identity["settings"]["session_name"],
                "mlflow.source.name": identity["settings_file"], "mlflow.source.type": "LOCAL"}
        if identity["git"]:
            tags["mlflow.source.git.commit"] = identity["git"]["commit"]
        if self._folder.trial_file.exists():
            tags |= {"sweep": str(self._folder.path.resolve().parent),
                     "trial": str(read_json(self._folder.trial_file).get("number"))}
        return tags

    def rows_after(self, step: int) -> list[MetricsRow]:
        """The rows of `metrics.csv` beyond a step; [] before the first."""
        if not self._folder.metrics_file.exists():
            return []
        seconds, rows = 0.0, []
        with self._folder.metrics_file.open(newline="", encoding="utf-8") as stream:
            for cells in csv.DictReader(stream):
                seconds += float(cells["seconds"])
                if int(cells["step"]) > step:
                    rows.append(MetricsRow(step=int(cells["step"]), time_ms=self.start_ms + round(seconds * 1000),
                                           values=_numbers(cells)))
        return rows

    def best(self) -> MetricsRow | None:
        """The metrics of the best evaluation as `best_val_<metric>`; None when there was none."""
        state = self._folder.read_state()
        if not state.get("best_metrics"):
            return None
        values = {key(f"best_val_{name}"): value for name, value in state["best_metrics"].items()}
        return MetricsRow(step=state["best_step"], time_ms=self.start_ms, values=values)

    def end(self) -> tuple[str, str, str]:
        """MLflow's word for how the training ended, ours, and the reason."""
        state = self._folder.read_state()
        status, reason = state.get("status", "failed"), state.get("stop_reason", "")
        if status == "training":
            status = "interrupted"
        trial = read_json(self._folder.trial_file) if self._folder.trial_file.exists() else {}
        if trial.get("status") == "failed":  # for instance since its process died: the sweep wrote why
            status, reason = "failed", trial.get("reason", "")
        return _STATUS[status], status, reason[:_LONGEST_VALUE]

    def sources(self) -> list[Path]:
        """Returns the files that the experiment was made from, which are there from its start."""
        folder = self._folder
        return [path for path in (folder.settings_file, folder.model_file, folder.identity_file, folder.user_modules)
                if path.exists()]


def experiment_name(folder: ExperimentFolder | None, *, session_name: str) -> str:
    """The name of MLflow's experiment: that of the sweep's folder for a trial, else the session's.

    Arguments:
        folder: None for a new experiment, which is no trial.
        session_name: of the settings.
    """
    return folder.path.resolve().parent.name if folder and folder.trial_file.exists() else session_name


def key(name: str) -> str:
    """A name that MLflow takes: letters, digits and -_.:/ and blanks, at most 250 of them."""
    return _REFUSED_CHARACTERS.sub("-", name)[:_LONGEST_KEY]


def _numbers(cells: dict[str, Any]) -> dict[str, float]:
    numbers = {}
    for name, cell in cells.items():
        try:
            numbers[key(name)] = float(cell)
        except (TypeError, ValueError):  # an epoch without evaluation, or what a user's callback put into the logs
            continue
    numbers.pop("step", None)  # the axis of all others
    return numbers
