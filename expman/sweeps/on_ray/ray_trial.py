"""Trains trials in a worker of Ray: it starts their processes, hands Tune each evaluation, and tells how they ended."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import math
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import ray
from ray import tune

from expman.records.experiment_folder import ExperimentFolder
from expman.records.sweep_folder import SweepFolder
from expman.records.trial import Trial
from expman.sweeps.processes.isolated_processes import IsolatedProcess, IsolatedProcesses
from expman.sweeps.processes.trial_process import TrialRequest, record_end, run_trial

EPOCH, LOSS, END = "epoch", "loss", "end"  # names in the results that Tune gets
_POLL_SECONDS = 1.0
_SECONDS_TO_APPEAR = 30.0  # until a shared file system shows a folder that another machine has just made
_ASKED_TO_STOP = (128 + signal.SIGINT, 128 + signal.SIGTERM)


@dataclass(frozen=True)
class RayTerms:
    """Values that all trials of a sweep have in common, in plain values.

    Attributes:
        current_folder: where the sweep was started; relative paths in the settings start there.
        sweep_folder, settings_file: absolute.
        metric, mode: of the sweep.
        num_cpus, num_gpus: of a trial.
        timeout_seconds: a trial that takes longer has failed; None: no limit.
    """

    current_folder: str
    sweep_folder: str
    settings_file: str
    metric: str
    mode: str
    num_cpus: int
    num_gpus: int
    timeout_seconds: float | None


def place_error(terms: RayTerms, *, record: str) -> str | None:
    """Returns what keeps this machine from running trials of a sweep; None: nothing.

    Arguments:
        terms: of the sweep.
        record: text of `sweep.json` where the sweep was started.
    """
    file = SweepFolder(terms.sweep_folder).record_file
    remedy = "Put it on a file system that all nodes share, mounted at the same path"
    try:
        found = file.read_text(encoding="utf-8")
    except OSError as error:
        return f"cannot read {file} ({error.strerror}). {remedy}, or set sweepFolder to a path there."
    if found != record:
        return f"sees another {file} than where the sweep was started. {remedy}, or set sweepFolder to a path there."
    if not Path(terms.settings_file).is_file():
        return f"cannot find the settings file {terms.settings_file}. {remedy}."
    if not Path(terms.current_folder).is_dir():
        return f"has no folder {terms.current_folder}, where the sweep was started. {remedy}, or start elsewhere."
    if importlib.util.find_spec("tensorflow") is None:
        return "has no tensorflow in the Python that Ray uses. Install this project with it, as where the sweep was started."
    return None


class RayTrial(tune.Trainable):
    """One trial after the other; each `step` goes on to the next evaluation, the last one tells how the trial ended.

    The configuration holds `folder`, the trial's, and `terms`, the fields of `RayTerms`.
    """

    def setup(self, config: Mapping[str, Any]) -> None:
        """Prepares the process of the trial."""
        self._processes = IsolatedProcesses()
        self._processes.prepare()  # the time for it is none of the trial's
        self._start(config)

    def reset_config(self, new_config: Mapping[str, Any]) -> bool:
        """Takes up another trial, whose process is forked from the server that is there."""
        self._start(new_config)
        return True

    def prune(self, reason: str) -> None:
        """Lets the trial end after the evaluation that it has just made; called by `ray_pruning` before the next step."""
        self._verdict = reason

    def step(self) -> dict[str, Any]:
        """Waits for the next evaluation of the trial, or for its end."""
        if self._isolated is None:
            return self._result_at_end()
        if self._is_asked:
            self._answer()
        while True:
            wait([self._isolated.process.sentinel, self._evaluations], timeout=_POLL_SECONDS)
            evaluation = self._evaluation()
            if evaluation is not None:
                self._is_asked = True
                self._last = {EPOCH: evaluation[0], LOSS: as_loss(evaluation[1], mode=self._terms.mode)}
                return dict(self._last)
            if not self._isolated.process.is_alive():
                return self._end()
            limit = self._terms.timeout_seconds
            if limit and time.monotonic() - self._start_time > limit:
                self._isolated.terminate()
                self._isolated.wait_or_kill()
                return self._end(exceeded_seconds=limit)

    def cleanup(self) -> None:
        """Lets a trial that is still running write a checkpoint and end, to go on another time."""
        if self._isolated is not None:
            self._isolated.terminate()
            self._evaluations.close()  # lets it go, if it waits for an answer
            self._isolated.wait_or_kill()

    def _start(self, config: Mapping[str, Any]) -> None:
        self._terms = terms = RayTerms(**config["terms"])
        folder = ExperimentFolder(config["folder"])
        _wait_for(folder.trial_file)
        self._trial = Trial.read(folder)
        self._isolated: IsolatedProcess | None = None
        self._verdict: str | None = None
        self._is_asked = False
        self._last = {EPOCH: 0, LOSS: math.inf}
        if not self._trial.has_ended:  # as it has when its node died before it could tell
            self._trial.take_end_from_state(terms.metric)
        if not self._trial.has_ended:
            self._start_process(folder)

    def _start_process(self, folder: ExperimentFolder) -> None:
        terms = self._terms
        self._trial.status = "running"
        self._trial.write()
        self._evaluations, other_end = Pipe()
        gpus = [str(gpu) for gpu in ray.get_gpu_ids()]
        request = TrialRequest(
            folder=folder.path, settings_file=Path(terms.settings_file), metric=terms.metric, num_threads=terms.num_cpus,
            visible_gpus=",".join(gpus) if gpus else None, gpu_ids=range(len(gpus)) if gpus else None, verdicts=other_end)
        self._start_time = time.monotonic()
        self._isolated = self._processes.start(_run_in, terms.current_folder, request)
        other_end.close()

    def _answer(self) -> None:
        self._is_asked = False
        with contextlib.suppress(OSError):  # the process has ended, which the loop will see
            self._evaluations.send(self._verdict)

    def _evaluation(self) -> tuple[float, float] | None:
        try:
            return self._evaluations.recv() if self._evaluations.poll() else None
        except (EOFError, OSError):
            self._isolated.process.join()
            return None

    def _end(self, *, exceeded_seconds: float | None = None) -> dict[str, Any]:
        """The result that ends the trial.

        Raises:
            InterruptedError: something else asked the process to stop, as when a node is drained: the trial is to go on.
        """
        process = self._isolated.process
        process.join()
        if exceeded_seconds is None and process.exitcode in _ASKED_TO_STOP:
            raise InterruptedError(f"The trial was asked to stop: exit code {process.exitcode}.")
        record_end(self._trial, process, metric=self._terms.metric, seconds=time.monotonic() - self._start_time,
                   exceeded_seconds=exceeded_seconds)
        message = self._isolated.message()
        return self._result_at_end(mistake=message and message[1])

    def _result_at_end(self, *, mistake: tuple[str, int] | None = None) -> dict[str, Any]:
        """Takes what `ray_search` records: the file that says the same may be seen there a little later."""
        end = {name: getattr(self._trial, name) for name in ("status", "value", "reason", "seconds")}
        return {**self._last, "done": True, END: {"trial": end, "mistake": mistake and list(mistake)}}


def as_loss(value: float, *, mode: str) -> float:
    """A metric's value with the sign that makes small best; NaN is worst."""
    return math.inf if math.isnan(value) else value if mode == "min" else -value


def config_of(trial: Trial, terms: RayTerms) -> dict[str, Any]:
    """The configuration of a `RayTrial`."""
    return {"folder": str(trial.folder.path), "terms": dataclasses.asdict(terms)}


def _run_in(current_folder: str, request: TrialRequest, connection: Connection) -> None:
    os.chdir(current_folder)  # in a process of its own, which has to find what the sweep's start would find
    run_trial(request, connection)


def _wait_for(file: Path) -> None:
    """Waits until a file can be seen.

    Raises:
        FileNotFoundError: it does not appear.
    """
    deadline = time.monotonic() + _SECONDS_TO_APPEAR
    while not file.is_file():
        if time.monotonic() > deadline:
            raise FileNotFoundError(f"{file} cannot be seen on {os.uname().nodename}: the sweep's folder must lie on a file "
                                    "system that all nodes share, mounted at the same path")
        time.sleep(0.5)
