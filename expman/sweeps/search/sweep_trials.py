"""The trials of a sweep: which comes next, what the search learns from each, and when it makes no sense to go on."""

from __future__ import annotations

import logging

from expman.errors import SweepError, UsageError
from expman.records.sweep_folder import SweepFolder
from expman.records.trial import Trial
from expman.sweeps.search.suggestions import Suggestion, Suggestions
from expman.sweeps.sweep_file import Sweep

_LOGGER = logging.getLogger(__name__)


class SweepTrials:
    """Trials of a sweep: those that its folder holds, and those to come.

    Arguments:
        sweep: the checked sweep file.
        folder: its folder, locked.
        session_name: of the experiment; part of the names of the trials' folders.

    Attributes:
        all: the trials in the order of their numbers.
    """

    def __init__(self, sweep: Sweep, *, folder: SweepFolder, session_name: str) -> None:
        self._sweep = sweep
        self._folder = folder
        self._session_name = session_name
        self._suggestions = Suggestions(sweep)
        self._is_exhausted = False
        self.all = folder.trials()
        self._waiting = self._take_up()

    @property
    def num_left(self) -> int:
        """Returns how many trials are still to be started, unless the search ends before."""
        return len(self._waiting) + max(0, self._sweep.max_trials - self._next_number + 1)

    def next_trial(self) -> Trial | None:
        """The trial to start now: one that was interrupted, else a new one; None when there is no more."""
        if self._waiting:
            return self._waiting.pop(0)
        number = self._next_number
        if self._is_exhausted or number > self._sweep.max_trials:
            return None
        reason = self._suggestions.stop_reason()
        suggested = [] if reason else self._suggestions.ask([number])
        if not suggested:
            _LOGGER.info("The search ends after %d trials: %s", number - 1, reason or "all combinations have been tried")
            self._is_exhausted = True
            return None
        trial = Trial.create(self._folder.path, number=number, session_name=self._session_name,
                             hparams=suggested[0].hparams, point=suggested[0].point)
        self._suggestions.tell(suggested[0], status="running", value=None)
        self.all.append(trial)
        return trial

    def learn(self, trial: Trial) -> None:
        """Tells the search how a trial is or went."""
        status = trial.status if trial.has_ended else "running"
        suggestion = Suggestion(number=trial.number, hparams=dict(trial.hparams), point=dict(trial.point))
        self._suggestions.tell(suggestion, status=status, value=trial.value)

    def stop_on_failures(self, trial: Trial, *, mistake: tuple[str, int] | None) -> None:
        """Raises when it makes no sense to go on.

        Arguments:
            trial: has just ended.
            mistake: in the user's own files, that the trial met: text and exit code.

        Raises:
            UsageError: the first trial failed by a mistake in the user's own files; its folder is removed.
            SweepError: too many trials failed.
        """
        ended = [each for each in self.all if each.has_ended]
        if mistake and len(ended) == 1:
            self._remove(trial)
            text, exit_code = mistake
            error = UsageError(f"The first trial failed, so the sweep stops.\n{text}")
            error.exit_code = exit_code
            raise error
        num_failed = sum(each.status == "failed" for each in ended)
        limit = self._sweep.max_failures
        if limit is not None and num_failed > limit:
            raise SweepError(f"{num_failed} trials failed, more than max_failures = {limit}; the last one: {trial.reason}\n"
                             f"The logs are {self._folder.path}/*/trial.log.")

    @property
    def _next_number(self) -> int:
        return max((trial.number for trial in self.all), default=0) + 1

    def _take_up(self) -> list[Trial]:
        """Tells the search what the folder holds; returns the trials that have not ended."""
        for trial in self.all:
            if not trial.has_ended:
                trial.take_end_from_state(self._sweep.metric)
            self.learn(trial)
        waiting = [trial for trial in self.all if not trial.has_ended]
        if self.all:
            _LOGGER.info("The sweep goes on in %s: %d trials have ended, %d were interrupted.", self._folder.path,
                         len(self.all) - len(waiting), len(waiting))
        return waiting

    def _remove(self, trial: Trial) -> None:
        trial.clear()
        trial.folder.trial_file.unlink()
        trial.folder.trial_log.unlink(missing_ok=True)
        trial.folder.path.rmdir()
        self.all.remove(trial)
