"""Links a sweep to the loop of Ray Tune: which trial comes next, and what follows from its end.

Tune's HyperOptSearch is not used: it knows no algorithm but TPE, refuses `evaluated_rewards` and `add_evaluated_point`, so
that a sweep that goes on could not tell it what earlier trials gave without training them again, takes no space that is an
expression as a whole, and does not tell the point of a suggestion, only the values. `Suggestions` asks the same hyperopt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from expman.errors import ExperimentError
from expman.records.trial import Trial
from expman.sweeps.on_ray.ray_trial import END, LOSS
from expman.sweeps.processes.stop_signals import StopRequest
from expman.sweeps.search.sweep_trials import SweepTrials
from expman.sweeps.sweep_display import SweepLines

_LOGGER = logging.getLogger(__name__)


class SweepSearcher(Searcher):
    """Gives Tune the sweep's trials, interrupted ones first.

    Arguments:
        trials: of the sweep.
        configure: makes Tune's configuration of a trial.
    """

    def __init__(self, trials: SweepTrials, *, configure: Callable[[Trial], dict[str, Any]]) -> None:
        super().__init__(metric=LOSS, mode="min")
        self._trials = trials
        self._configure = configure

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """Returns the hyperparameters of the next trial, or Ray's word for no more."""
        trial = self._trials.next_trial()
        return Searcher.FINISHED if trial is None else self._configure(trial)

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Leaves to `SweepFollower` what follows from an end."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Saves nothing: the state of a sweep is its folder."""


class SweepFollower(tune.Callback):
    """Records how trials end and shows them; ends the sweep when it makes no sense to go on.

    Arguments:
        trials: of the sweep.
        display: shows them.
        stop_request: a signal that asked to stop, perhaps.
    """

    def __init__(self, trials: SweepTrials, *, display: SweepLines, stop_request: StopRequest) -> None:
        self._trials = trials
        self._display = display
        self._stop_request = stop_request
        self._error: ExperimentError | None = None

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Counts the trial as running."""
        self._trial_of(trial).status = "running"

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Records how the trial ended."""
        end = trial.last_result.get(END)
        if end is not None:
            ended = self._trial_of(trial)
            vars(ended).update(end["trial"])
            self._follow(ended, mistake=end["mistake"] and tuple(end["mistake"]))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tells that a trial lost its machine."""
        _LOGGER.warning("Trial %d lost its node or worker; it goes on from its last checkpoint, on another if need be.",
                        self._trial_of(trial).number)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Gives up a trial that Tune has restarted as often as it may."""
        ended = self._trial_of(trial)
        lines = str(trial.get_pickled_error() or "").strip().splitlines()
        ended.end("failed", reason=f"could not be run, in {trial.num_failures} attempts; the last one: "
                                    f"{lines[-1] if lines else 'no reason known'}")
        self._follow(ended, mistake=None)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Ends the sweep from here, where Tune does not take exceptions for those of a trial.

        Raises:
            ExperimentError: why.
        """
        self._stop_request.check()
        if self._error is not None:
            raise self._error
        self._display.update(self._trials.all)

    def _trial_of(self, trial: Any) -> Trial:
        return next(each for each in self._trials.all if str(each.folder.path) == trial.config["folder"])

    def _follow(self, ended: Trial, *, mistake: tuple[str, int] | None) -> None:
        self._trials.learn(ended)
        self._display.ended(ended, self._trials.all)
        try:
            self._trials.stop_on_failures(ended, mistake=mistake)
        except ExperimentError as error:
            self._error = self._error or error
