"""Runs a sweep on a cluster, by Ray Tune: the same file, the same folder and the same records as on one machine."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from expman.errors import UsageError
from expman.records.sweep_folder import SweepFolder
from expman.sweeps.experiment_check import checked_experiment
from expman.sweeps.on_ray.cluster_slots import ClusterShare, cluster_share
from expman.sweeps.on_ray.ray_cluster import check_places, chosen_address, connected, require_ray
from expman.sweeps.processes.isolated_processes import IsolatedProcesses
from expman.sweeps.processes.stop_signals import stop_request, stoppable
from expman.sweeps.search.sweep_trials import SweepTrials
from expman.sweeps.sweep_display import sweep_display
from expman.sweeps.sweep_file import Sweep, load_sweep
from expman.sweeps.sweep_record import keep_record
from expman.sweeps.sweep_results import SweepResult, write_results

if TYPE_CHECKING:  # imports Ray
    from expman.sweeps.on_ray.ray_trial import RayTerms

_LOGGER = logging.getLogger(__name__)
_MOST_RESTARTS = 5  # of a trial whose node dies


def run_ray_sweep(sweep_file: str | os.PathLike[str], *, address: str | None = None, accepts_changes: bool = False
                  ) -> SweepResult:
    """Runs a sweep on a Ray cluster, or goes on with it: what its folder holds counts.

    Arguments:
        sweep_file: the sweep file.
        address: HOST:PORT of the cluster's head, or 'auto'; None: RAY_ADDRESS, else Ray starts on this machine.
        accepts_changes: see `local_sweep.run_sweep`.

    Raises:
        SettingsError, UsageError: the sweep file has errors, or does not fit to the settings or to Ray.
        SweepError: the sweep cannot start or go on, here or on the cluster.
        SweepStoppedError: Ctrl-C or SIGTERM ended it; the same command goes on.
    """
    sweep = load_sweep(sweep_file)
    require_ray()
    address = chosen_address(address)
    folder = SweepFolder(sweep.folder.resolve())
    folder.create()
    with folder.locked(), stoppable():
        experiment = checked_experiment(sweep, IsolatedProcesses())
        _check_strategy(experiment)
        keep_record(folder, sweep, experiment=experiment, accepts_changes=accepts_changes)
        trials = SweepTrials(sweep, folder=folder, session_name=experiment["session_name"])
        if trials.num_left:
            _train_on_cluster(sweep, folder=folder, trials=trials, experiment=experiment, address=address)
        return write_results(folder, sweep)


def _check_strategy(experiment: Mapping[str, Any]) -> None:
    if experiment["distribution_strategy"] == "MultiWorkerMirroredStrategy":
        raise UsageError("distribution_strategy = 'MultiWorkerMirroredStrategy' needs a process on each of several machines, "
                         "but a trial of a sweep on Ray is one process on one of them. Set it to 'auto'.")


def _train_on_cluster(sweep: Sweep, *, folder: SweepFolder, trials: SweepTrials, experiment: Mapping[str, Any],
                      address: str) -> None:
    """Trains until all trials have ended, or a reason to stop is found."""
    from expman.sweeps.on_ray.ray_trial import RayTerms
    with connected(address) as nodes:
        share = cluster_share([node.resources for node in nodes], num_trials=sweep.max_parallel_trials,
                              most_gpus=len(experiment["used_gpu_IDs"]))
        rest = ("" if share.num_at_a_time == sweep.max_parallel_trials else
                f", until nodes join that have room for max_parallel_trials = {sweep.max_parallel_trials}")
        _LOGGER.info("Nodes: %d. Of one of them each trial gets CPU cores: %d, GPUs: %d. Trials at a time: %d%s.", len(nodes),
                     share.num_cpus, share.num_gpus, share.num_at_a_time, rest)
        terms = RayTerms(current_folder=os.getcwd(), sweep_folder=str(folder.path),
                         settings_file=str(sweep.settings_file.resolve()), metric=sweep.metric, mode=sweep.mode,
                         num_cpus=share.num_cpus, num_gpus=share.num_gpus, timeout_seconds=sweep.trial_timeout_seconds)
        check_places([node for node in nodes if node.has_room_for(share)], terms,
                     record=folder.record_file.read_text(encoding="utf-8"))
        _tune(sweep, trials=trials, num_epochs=experiment["nbEpoch"], terms=terms, share=share)


def _tune(sweep: Sweep, *, trials: SweepTrials, num_epochs: int, terms: RayTerms, share: ClusterShare) -> None:
    from ray import tune

    from expman.sweeps.on_ray.ray_pruning import ray_scheduler
    from expman.sweeps.on_ray.ray_search import SweepFollower, SweepSearcher
    from expman.sweeps.on_ray.ray_trial import RayTrial, config_of
    with contextlib.ExitStack() as stack:
        display = stack.enter_context(sweep_display(metric=sweep.metric, mode=sweep.mode, max_trials=sweep.max_trials,
                                                    num_epochs=num_epochs))
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="expman-ray-", ignore_cleanup_errors=True))
        request = stack.enter_context(stop_request())  # an exception wherever the sweep is would end up in Tune
        tuner = tune.Tuner(
            tune.with_resources(RayTrial, {"cpu": share.num_cpus, "gpu": share.num_gpus}),
            tune_config=tune.TuneConfig(
                search_alg=SweepSearcher(trials, configure=functools.partial(config_of, terms=terms)),
                scheduler=ray_scheduler(sweep, num_epochs=num_epochs, trials=trials.all),
                num_samples=trials.num_left, max_concurrent_trials=sweep.max_parallel_trials, reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id),
            run_config=tune.RunConfig(
                name="sweep", storage_path=scratch, verbose=0,  # the sweep's folder holds all that is worth keeping
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # experiments have their own
                failure_config=tune.FailureConfig(max_failures=_MOST_RESTARTS),
                callbacks=[SweepFollower(trials, display=display, stop_request=request)]))
        tuner.fit()
