"""Ray Tune's rules that end trials early, made to end them as experiments of this project end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from expman.records.experiment_folder import ExperimentFolder
from expman.records.trial import Trial
from expman.sweeps.on_ray.ray_trial import EPOCH, LOSS, as_loss
from expman.sweeps.sweep_file import Sweep


class _InOrder:
    """Between Tune and one of its rules: a trial is asked to end by itself, and earlier runs of the sweep are known.

    Tune would stop the trial's worker; a trial that ends by itself exports and records that it was pruned.
    """

    def __init__(self, sweep: Sweep, **arguments: Any) -> None:
        super().__init__(time_attr=EPOCH, metric=LOSS, mode="min", grace_period=sweep.pruning_grace_epochs, **arguments)
        self._sweep = sweep
        self._added: set[str] = set()
        self._pruned: set[str] = set()

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Recalls what the trial measured before the sweep was interrupted."""
        if trial.trial_id not in self._added:  # not again after its node has died
            self._added.add(trial.trial_id)
            self.recall(trial, Trial.read(ExperimentFolder(trial.config["folder"])))
        super().on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        if trial.trial_id not in self._pruned:  # one whose node dies before it has ended is asked again
            if super().on_trial_result(tune_controller, trial, result) != TrialScheduler.STOP:
                return TrialScheduler.CONTINUE
            self._pruned.add(trial.trial_id)
        worker = trial.temporary_state.ray_actor  # its calls are served in their order, so this comes before the next step
        worker.prune.remote(f"epoch {result[EPOCH]:.4g}: {self._sweep.metric} has fallen behind, says Ray Tune's {self.rule}")
        return TrialScheduler.CONTINUE

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> None:
        """Leaves out the last result, which tells how the trial ended and repeats its last evaluation."""

    def recall(self, key: Any, trial: Trial) -> None:
        """Takes in all evaluations of a trial without a verdict; `key` stands for it."""
        for epoch, value in trial.history(self._sweep.metric):
            super().on_trial_add(None, key)
            super().on_trial_complete(None, key, {EPOCH: epoch, LOSS: as_loss(value, mode=self._sweep.mode)})


class OrderlyMedianStopping(_InOrder, MedianStoppingRule):
    """See `MedianStoppingRule` of Ray Tune."""

    rule = "MedianStoppingRule"


class OrderlyASHA(_InOrder, ASHAScheduler):
    """See `ASHAScheduler` of Ray Tune."""

    rule = "ASHAScheduler"


@dataclass(frozen=True)
class _EarlierTrial:
    """Stands for a trial that ended in an earlier run of the sweep."""

    trial_id: str


def ray_scheduler(sweep: Sweep, *, num_epochs: int, trials: Sequence[Trial]) -> TrialScheduler:
    """The rule that a sweep file asks for.

    Arguments:
        sweep: the checked sweep file.
        num_epochs: of a trial.
        trials: of earlier runs of the sweep.
    """
    if sweep.pruning == "median":
        scheduler = OrderlyMedianStopping(sweep, min_samples_required=sweep.pruning_min_trials,
                                          min_time_slice=math.inf)  # no trial is paused in favour of others
    elif sweep.pruning == "asha":
        scheduler = OrderlyASHA(sweep, reduction_factor=sweep.pruning_reduction_factor,
                                max_t=max(num_epochs, sweep.pruning_grace_epochs), stop_last_trials=False)
    else:
        return FIFOScheduler()
    for trial in trials:
        if trial.has_ended:  # the others are recalled when they go on
            scheduler.recall(_EarlierTrial(f"earlier_{trial.number}"), trial)
    return scheduler
