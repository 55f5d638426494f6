"""Runs in the process of one trial: it trains one experiment in the folder that the sweep made for it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from expman.errors import ExperimentError, ExperimentFolderError, SettingsError, TrainingStoppedError, UsageError, UserCodeError
from expman.records.experiment_folder import ExperimentFolder
from expman.records.sweep_folder import SweepFolder
from expman.records.trial import Trial
from expman.tracking.background_mirror import end_run_of_dead_process

_USER_MISTAKES = (UsageError, SettingsError, UserCodeError)
_SECONDS_FOR_PREDECESSOR = 180.0  # it saves within 60; a file server frees the lock of a dead machine after about 90


@dataclass(frozen=True)
class TrialRequest:
    """A request to the process of a trial.

    Attributes:
        folder: the trial's folder, which holds `trial.json`.
        settings_file: the settings file of the sweep.
        metric: by which trials are compared.
        pruning_rule: see `pruning_rules`; None: no trial is pruned.
        cores: the CPU cores that it may use; None: all.
        visible_gpus: value of CUDA_VISIBLE_DEVICES; None: as the sweep's own.
        gpu_ids: replaces `used_gpu_IDs`, counted within the visible ones; None: as the settings have it.
        num_threads: of TensorFlow; None: as many as cores.
        verdicts: asked instead of a rule: gets (epoch, value), answers why the trial should end, or None.
    """

    folder: Path
    settings_file: Path
    metric: str
    pruning_rule: Any = None
    cores: Sequence[int] | None = None
    visible_gpus: str | None = None
    gpu_ids: Sequence[int] | None = None
    num_threads: int | None = None
    verdicts: Connection | None = None


def describe_experiment(settings_file: Path, hparams: Mapping[str, Any], connection: Connection) -> None:
    """Sends what a settings file says, ('settings', dict), or what is wrong with it, ('mistake', (text, exit code))."""
    try:
        from expman.runtimes.tensorflow_notices import start_tensorflow
        from expman.settings.loading import load_settings
        start_tensorflow()
        settings = load_settings(settings_file, overrides=hparams, origin="sweep")
        values = {name: value for name, value in settings.values.items() if name != "hparams"}
        connection.send(("settings", {**values, "hparams": dict(settings.hparams), "model_path": str(settings.model_file)}))
    except ExperimentError as error:
        connection.send(("mistake", (str(error), error.exit_code)))


def run_trial(request: TrialRequest, connection: Connection) -> None:
    """Trains a trial, from its start or its last checkpoint, and records its end in `trial.json`.

    Sends ('mistake', (text, exit code)) when the user's own files are at fault. After SIGTERM the trial stays 'running'.
    """
    folder = ExperimentFolder(request.folder)
    _write_to(folder.trial_log)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("expman").setLevel(logging.INFO)
    _wait_for_predecessor(folder)
    trial = Trial.read(folder)
    if trial.has_ended:
        return
    start = time.monotonic()
    try:
        train_trial(request, trial)
    except TrainingStoppedError as error:
        trial.seconds += time.monotonic() - start
        trial.write()
        sys.exit(error.exit_code)
    except ExperimentError as error:
        logging.getLogger("expman").error("%s", error)
        trial.end("failed", reason=str(error), seconds=time.monotonic() - start)
        if isinstance(error, _USER_MISTAKES):
            connection.send(("mistake", (str(error), error.exit_code)))
    except Exception as error:  # the boundary of the process: the sweep goes on
        traceback.print_exc()
        trial.end("failed", reason=f"{type(error).__name__}: {error}", seconds=time.monotonic() - start)
    else:
        trial.seconds += time.monotonic() - start
        trial.take_end_from_state(request.metric)


def record_end(trial: Trial, process: Any, *, metric: str, seconds: float, exceeded_seconds: float | None = None) -> None:
    """Takes over the end that a trial's process recorded, or records how the process ended without.

    Arguments:
        trial: gets its end, in memory and on disk.
        process: of the trial, which has ended.
        metric: by which trials are compared.
        seconds: how long the process ran.
        exceeded_seconds: the limit for which the process was ended; None: it was not.
    """
    vars(trial).update(vars(Trial.read(trial.folder)))
    if not trial.has_ended:
        trial.take_end_from_state(metric)
    if trial.has_ended:
        return
    log = trial.folder.trial_log.name
    if exceeded_seconds is not None:
        reason = f"took longer than trial_timeout_seconds = {exceeded_seconds:g}"
    elif process.exitcode == -signal.SIGKILL:
        reason = "was killed by SIGKILL; when memory runs out, the system does that"
    elif process.exitcode < 0:
        reason = f"was ended by {signal.Signals(-process.exitcode).name}; see {log}"
    else:
        reason = f"ended with exit code {process.exitcode}; see {log}"
    trial.end("failed", reason=reason, seconds=seconds)
    end_run_of_dead_process(trial.folder)


def train_trial(request: TrialRequest, trial: Trial) -> None:
    """Trains in this process.

    Raises:
        ExperimentError: see `experiment_run.train`.
    """
    _take_resources(request)
    from expman.experiment_run import TrialOverrides, restart, train
    overrides = TrialOverrides(folder=trial.folder, gpu_ids=request.gpu_ids, pruner=_Pruner(request, trial), exports_once=True)
    if trial.has_started:
        restart(trial.folder.path, trial=overrides)
    else:
        trial.clear()
        train(request.settings_file, hparams=trial.hparams, hparams_origin="sweep", trial=overrides)


class _Pruner:
    """Decides after each evaluation whether the trial goes on, from the files of all trials."""

    def __init__(self, request: TrialRequest, trial: Trial) -> None:
        self._request = request
        self._trial = trial
        self._ended: dict[int, list[tuple[float, float]]] = {}

    def __call__(self) -> str | None:
        metric = self._request.metric
        history = self._trial.history(metric)
        if not history and metric in self._trial.metrics():
            return None  # within an epoch of unknown length, in which trials cannot be compared
        if not history:
            raise UsageError(f"metric = {metric!r} of the sweep is none of the validation metrics: "
                             f"{', '.join(self._trial.metrics()) or 'there are none'}. Set it to one of them.")
        if self._request.verdicts is not None:
            return self._asked_verdict(history[-1])
        if self._request.pruning_rule is None:
            return None
        return self._request.pruning_rule.reason_to_end(history, self._others())

    def _asked_verdict(self, evaluation: tuple[float, float]) -> str | None:
        try:
            self._request.verdicts.send(evaluation)
            return self._request.verdicts.recv()
        except (EOFError, OSError):  # nobody is there any more; this process is being told so by SIGTERM
            return None

    def _others(self) -> list[list[tuple[float, float]]]:
        """The histories of the other trials; those of trials that have ended are read once."""
        histories = []
        for other in SweepFolder(self._trial.folder.path.parent).trials():
            if other.number == self._trial.number:
                continue
            history = self._ended.get(other.number)
            if history is None:
                history = other.history(self._request.metric)
                if other.has_ended:
                    self._ended[other.number] = history
            histories.append(history)
        return histories


def _write_to(log: Path) -> None:
    """Lets all that this process prints go to a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
        stream.reconfigure(line_buffering=True)
    os.close(descriptor)


def _wait_for_predecessor(folder: ExperimentFolder) -> None:
    """Waits for a process that a killed sweep left behind: it saves and ends by itself.

    Raises:
        ExperimentFolderError: it does not end.
    """
    deadline = time.monotonic() + _SECONDS_FOR_PREDECESSOR
    while True:
        try:
            with folder.locked_for_training():
                return
        except ExperimentFolderError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _take_resources(request: TrialRequest) -> None:
    """Keeps this process to its share of the machine; before TensorFlow has looked at it."""
    if request.visible_gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = request.visible_gpus
    if request.cores is not None:
        os.sched_setaffinity(0, request.cores)
    num_threads = request.num_threads or len(request.cores or ())
    if num_threads:
        import tensorflow as tf
        tf.config.threading.set_intra_op_parallelism_threads(num_threads)
        tf.config.threading.set_inter_op_parallelism_threads(num_threads)
