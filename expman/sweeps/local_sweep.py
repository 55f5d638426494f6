"""Runs a sweep on this machine: suggests trials, trains them in processes of their own, and keeps their records."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from expman.errors import SweepError, UsageError
from expman.hparams import HparamsOverrides
from expman.sweeps.isolated_processes import IsolatedProcess, IsolatedProcesses
from expman.sweeps.machine_shares import MachineShare, machine_shares
from expman.sweeps.pruning_rules import pruning_rule
from expman.sweeps.search_space import sample_hparams
from expman.sweeps.suggestions import Suggestion, Suggestions
from expman.sweeps.sweep_display import sweep_display
from expman.sweeps.sweep_file import Sweep, load_sweep
from expman.sweeps.sweep_folder import SweepFolder
from expman.sweeps.sweep_record import keep_record
from expman.sweeps.sweep_results import SweepResult, write_results
from expman.sweeps.trial import Trial
from expman.sweeps.trial_process import TrialRequest, describe_experiment, run_trial

_LOGGER = logging.getLogger(__name__)
_POLL_SECONDS = 0.25
_CHECKED_SAMPLES = 200


def run_sweep(sweep_file: str | os.PathLike[str], *, accepts_changes: bool = False) -> SweepResult:
    """Runs a sweep, or goes on with it: what its folder holds counts.

    Arguments:
        sweep_file: the sweep file.
        accepts_changes: go on although the sweep file, the settings or the model changed since the sweep was started.

    Raises:
        SettingsError, UsageError: the sweep file has faults, or does not fit to the settings.
        SweepError: the sweep cannot start or go on.
        SweepStoppedError: Ctrl-C or SIGTERM ended it; the same command goes on.
    """
    sweep = load_sweep(sweep_file)
    folder = SweepFolder(sweep.folder)
    folder.create()
    with folder.locked(), _stoppable():
        processes = IsolatedProcesses()
        experiment = _checked_experiment(sweep, processes)
        keep_record(folder, sweep, experiment=experiment, accepts_changes=accepts_changes)
        LocalSweep(sweep, folder=folder, experiment=experiment, processes=processes).run()
        return write_results(folder, sweep)


class SweepStoppedError(SweepError):
    """A signal asked the sweep to stop; it can be run again."""

    def __init__(self, received: int) -> None:
        self.exit_code = 128 + received
        super().__init__(f"The sweep was stopped by {signal.Signals(received).name}; trials that were running have been saved. "
                         "The same command goes on.")


@dataclass
class _Running:
    trial: Trial
    isolated: IsolatedProcess
    share: MachineShare
    start: float
    timed_out: bool = False


class LocalSweep:
    """The loop over the trials.

    Arguments:
        sweep: the checked sweep file.
        folder: its folder, locked.
        experiment: the settings of its experiment.
        processes: where trials are started.
    """

    def __init__(self, sweep: Sweep, *, folder: SweepFolder, experiment: dict[str, Any],
                 processes: IsolatedProcesses) -> None:
        self._sweep = sweep
        self._folder = folder
        self._experiment = experiment
        self._processes = processes
        self._suggestions = Suggestions(sweep)
        rule = pruning_rule(sweep) if sweep.pruning else None
        self._request = TrialRequest(folder=folder.path, settings_file=sweep.settings_file, metric=sweep.metric,
                                     pruning_rule=rule)
        self._free_shares = machine_shares(sweep.max_parallel_trials, used_gpu_ids=experiment["used_gpu_IDs"])
        self._running: list[_Running] = []
        self._trials = folder.trials()
        self._waiting = self._take_up()
        self._is_exhausted = False

    def run(self) -> None:
        """Trains until all trials have ended, or a reason to stop is found."""
        sweep = self._sweep
        with sweep_display(metric=sweep.metric, mode=sweep.mode, max_trials=sweep.max_trials,
                           num_epochs=self._experiment["nbEpoch"]) as display:
            try:
                while self._start_trials() or self._running:
                    wait([running.isolated.process.sentinel for running in self._running], timeout=_POLL_SECONDS)
                    self._stop_overdue()
                    for running in [one for one in self._running if not one.isolated.process.is_alive()]:
                        self._running.remove(running)
                        self._free_shares.append(running.share)
                        self._record_end(running)
                        display.ended(running.trial, self._trials)
                        self._stop_on_failures(running)
                    display.update(self._trials)
            finally:
                self._save_running()

    def _take_up(self) -> list[Trial]:
        """Tells the search what its folder holds; returns the trials that have not ended."""
        for trial in self._trials:
            if not trial.has_ended:
                trial.take_end_from_state(self._sweep.metric)
            status = trial.status if trial.has_ended else "running"
            self._suggestions.tell(_suggestion(trial), status=status, value=trial.value)
        waiting = [trial for trial in self._trials if not trial.has_ended]
        if self._trials:
            _LOGGER.info("The sweep goes on in %s: %d trials have ended, %d were interrupted.", self._folder.path,
                         len(self._trials) - len(waiting), len(waiting))
        return waiting

    def _start_trials(self) -> bool:
        """Starts as many trials as the machine has room for; returns whether any was started."""
        started = False
        while self._free_shares:
            trial = self._next_trial()
            if trial is None:
                break
            self._start(trial)
            started = True
        return started

    def _next_trial(self) -> Trial | None:
        if self._waiting:
            return self._waiting.pop(0)
        number = max((trial.number for trial in self._trials), default=0) + 1
        if self._is_exhausted or number > self._sweep.max_trials:
            return None
        reason = self._suggestions.stop_reason()
        suggested = [] if reason else self._suggestions.ask([number])
        if not suggested:
            _LOGGER.info("The search ends after %d trials: %s", number - 1, reason or "all combinations have been tried")
            self._is_exhausted = True
            return None
        trial = Trial.create(self._folder.path, number=number, session_name=self._experiment["session_name"],
                             hparams=suggested[0].hparams, point=suggested[0].point)
        self._suggestions.tell(suggested[0], status="running", value=None)
        self._trials.append(trial)
        return trial

    def _start(self, trial: Trial) -> None:
        share = self._free_shares.pop(0)
        trial.status = "running"
        trial.write()
        request = replace(self._request, folder=trial.folder.path, cores=share.cores, visible_gpus=share.visible_gpus,
                          gpu_ids=share.gpu_ids)
        isolated = self._processes.start(run_trial, request)
        self._running.append(_Running(trial, isolated, share, start=time.monotonic()))

    def _stop_overdue(self) -> None:
        limit = self._sweep.trial_timeout_seconds
        for running in self._running if limit else ():
            if not running.timed_out and time.monotonic() - running.start > limit:
                running.timed_out = True
                running.isolated.terminate()
                running.isolated.wait_or_kill()

    def _record_end(self, running: _Running) -> None:
        """Takes over the end that the trial's process recorded, or records how the process ended without."""
        trial, process = running.trial, running.isolated.process
        process.join()
        vars(trial).update(vars(Trial.read(trial.folder)))
        if not trial.has_ended:
            trial.take_end_from_state(self._sweep.metric)
        if not trial.has_ended:
            seconds = time.monotonic() - running.start
            if running.timed_out:
                reason = f"took longer than trial_timeout_seconds = {self._sweep.trial_timeout_seconds:g}"
            elif process.exitcode == -signal.SIGKILL:
                reason = "was killed by SIGKILL; when memory runs out, the system does that"
            elif process.exitcode < 0:
                reason = f"was ended by {signal.Signals(-process.exitcode).name}; see {trial.folder.trial_log.name}"
            else:
                reason = f"ended with exit code {process.exitcode}; see {trial.folder.trial_log.name}"
            trial.end("failed", reason=reason, seconds=seconds)
        self._suggestions.tell(_suggestion(trial), status=trial.status, value=trial.value)

    def _stop_on_failures(self, running: _Running) -> None:
        """Raises when it makes no sense to go on.

        Raises:
            UsageError: the first trial failed by a mistake in the user's own files; its folder is removed.
            SweepError: too many trials failed.
        """
        message = running.isolated.message()
        ended = [trial for trial in self._trials if trial.has_ended]
        if message and len(ended) == 1:
            text, exit_code = message[1]
            running.trial.clear()
            running.trial.folder.trial_file.unlink()
            running.trial.folder.trial_log.unlink(missing_ok=True)
            running.trial.folder.path.rmdir()
            self._trials.remove(running.trial)
            error = UsageError(f"The first trial failed, so the sweep stops.\n{text}")
            error.exit_code = exit_code
            raise error
        num_failed = sum(trial.status == "failed" for trial in ended)
        limit = self._sweep.max_failures
        if limit is not None and num_failed > limit:
            raise SweepError(f"{num_failed} trials failed, more than max_failures = {limit}; the last one: {ended[-1].reason}\n"
                             f"The logs are {self._folder.path}/*/trial.log.")

    def _save_running(self) -> None:
        """Lets the running trials write their checkpoints and end; nothing to do after a complete sweep."""
        for running in self._running:
            running.isolated.terminate()
        for running in self._running:
            running.isolated.wait_or_kill()


def _suggestion(trial: Trial) -> Suggestion:
    return Suggestion(number=trial.number, hparams=dict(trial.hparams), point=dict(trial.point))


def _checked_experiment(sweep: Sweep, processes: IsolatedProcesses) -> dict[str, Any]:
    """The settings of the sweep's experiment, after all that the sweep may set has been tried on its `hparams`.

    Raises:
        UsageError: the settings file has faults, or its `hparams` do not take what the space holds.
    """
    isolated = processes.start(describe_experiment, Path(sweep.settings_file), {})
    isolated.process.join()
    kind, content = isolated.message() or ("mistake", (f"{sweep.settings_file} ended the process that loaded it.", 1))
    if kind == "mistake":
        error = UsageError(content[0])
        error.exit_code = content[1]
        raise error
    for sample in sample_hparams(sweep.space, num_samples=_CHECKED_SAMPLES, seed=sweep.random_seed):
        overrides = HparamsOverrides(sample, origin="sweep")
        overrides.apply(content["hparams"])
        overrides.check_all_used(content["hparams"], file=str(sweep.settings_file))
    return content


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Turns SIGINT and SIGTERM into a `SweepStoppedError` wherever the sweep is."""
    def stop(number: int, _: Any) -> None:
        for each in previous:
            signal.signal(each, signal.SIG_IGN)  # a second one would disturb the saving
        raise SweepStoppedError(number)

    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in previous:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
