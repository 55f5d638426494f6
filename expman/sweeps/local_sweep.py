"""Runs a sweep on this machine: suggests trials, trains them in processes of their own, and keeps their records."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from typing import Any

from expman.records.sweep_folder import SweepFolder
from expman.records.trial import Trial
from expman.sweeps.experiment_check import checked_experiment
from expman.sweeps.processes.isolated_processes import IsolatedProcess, IsolatedProcesses
from expman.sweeps.processes.machine_slots import MachineShare, machine_shares
from expman.sweeps.processes.stop_signals import stoppable
from expman.sweeps.processes.trial_process import TrialRequest, record_end, run_trial
from expman.sweeps.search.pruning_rules import pruning_rule
from expman.sweeps.search.sweep_trials import SweepTrials
from expman.sweeps.sweep_display import sweep_display
from expman.sweeps.sweep_file import Sweep, load_sweep
from expman.sweeps.sweep_record import keep_record
from expman.sweeps.sweep_results import SweepResult, write_results

_POLL_SECONDS = 0.25


def run_sweep(sweep_file: str | os.PathLike[str], *, accepts_changes: bool = False) -> SweepResult:
    """Runs a sweep, or goes on with it: what its folder holds counts.

    Arguments:
        sweep_file: the sweep file.
        accepts_changes: go on although the sweep file, the settings or the model changed since the sweep was started.

    Raises:
        SettingsError, UsageError: the sweep file has errors, or does not fit to the settings.
        SweepError: the sweep cannot start or go on.
        SweepStoppedError: Ctrl-C or SIGTERM ended it; the same command goes on.
    """
    sweep = load_sweep(sweep_file)
    folder = SweepFolder(sweep.folder)
    folder.create()
    with folder.locked(), stoppable():
        processes = IsolatedProcesses()
        experiment = checked_experiment(sweep, processes)
        keep_record(folder, sweep, experiment=experiment, accepts_changes=accepts_changes)
        LocalSweep(sweep, folder=folder, experiment=experiment, processes=processes).run()
        return write_results(folder, sweep)


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
        self._experiment = experiment
        self._processes = processes
        rule = pruning_rule(sweep) if sweep.pruning else None
        self._request = TrialRequest(folder=folder.path, settings_file=sweep.settings_file, metric=sweep.metric,
                                     pruning_rule=rule)
        self._free_shares = machine_shares(sweep.max_parallel_trials, used_gpu_ids=experiment["used_gpu_IDs"])
        self._running: list[_Running] = []
        self._trials = SweepTrials(sweep, folder=folder, session_name=experiment["session_name"])

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
                        self._take_end(running)
                        display.ended(running.trial, self._trials.all)
                        message = running.isolated.message()
                        self._trials.stop_on_failures(running.trial, mistake=message and message[1])
                    display.update(self._trials.all)
            finally:
                self._save_running()

    def _start_trials(self) -> bool:
        """Starts as many trials as the machine has room for; returns whether any was started."""
        started = False
        while self._free_shares:
            trial = self._trials.next_trial()
            if trial is None:
                break
            self._start(trial)
            started = True
        return started

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

    def _take_end(self, running: _Running) -> None:
        running.isolated.process.join()
        record_end(running.trial, running.isolated.process, metric=self._sweep.metric,
                   seconds=time.monotonic() - running.start,
                   exceeded_seconds=self._sweep.trial_timeout_seconds if running.timed_out else None)
        self._trials.learn(running.trial)

    def _save_running(self) -> None:
        """Lets the running trials write their checkpoints and end; nothing to do after a complete sweep."""
        for running in self._running:
            running.isolated.terminate()
        for running in self._running:
            running.isolated.wait_or_kill()
