"""Tries a sweep's space on the settings of its experiment, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expman.errors import UsageError
from expman.settings.hparams import HparamsOverrides
from expman.sweeps.processes.isolated_processes import IsolatedProcesses
from expman.sweeps.processes.trial_process import describe_experiment
from expman.sweeps.search.search_space import sample_hparams
from expman.sweeps.sweep_file import Sweep
from expman.tracking.tracking_server import TrackingServer

_CHECKED_SAMPLES = 200


def checked_experiment(sweep: Sweep, processes: IsolatedProcesses) -> dict[str, Any]:
    """The settings of the sweep's experiment, after all that the sweep may set has been tried on its `hparams`.

    Raises:
        UsageError: the settings file has errors, or its `hparams` do not take what the space holds, or the MLflow server that
            it names does not answer.
    """
    isolated = processes.start(describe_experiment, Path(sweep.settings_file), {})
    isolated.process.join()
    kind, content = isolated.message() or ("mistake", (f"{sweep.settings_file} ended the process that loaded it.", 1))
    if kind == "mistake":
        error = UsageError(content[0])
        error.exit_code = content[1]
        raise error
    TrackingServer(content["tracking_uri"]).check(experiment_name=sweep.folder.resolve().name)
    for sample in sample_hparams(sweep.space, num_samples=_CHECKED_SAMPLES, seed=sweep.random_seed):
        overrides = HparamsOverrides(sample, origin="sweep")
        overrides.apply(content["hparams"])
        overrides.check_all_used(content["hparams"], file=str(sweep.settings_file))
    return content
