"""Suggests trials and learns from their outcome: hyperopt's algorithms, or all combinations of a grid."""

from __future__ import annotations

import functools
import logging
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from expman.errors import UserCodeError
from expman.settings.user_module import user_code
from expman.sweeps.search.search_space import drawn_point, grid_points, hparams_at, labels_of, point_error
from expman.sweeps.sweep_file import Sweep

if TYPE_CHECKING:  # takes a second to import, and a grid does without
    import hyperopt

_LOGGER = logging.getLogger(__name__)
_STATUSES = ("running", "finished", "pruned", "failed")
_ANY_TIME = datetime.fromtimestamp(0, UTC)  # algorithms must not depend on how long trials took


@dataclass(frozen=True)
class Suggestion:
    """A suggestion of what a trial should try, in plain Python values that JSON takes.

    Attributes:
        number: of the trial, from 1.
        hparams: name → value.
        point: hyperopt's label → value, or index of an option; all that `Suggestions.tell` needs to know it again.
    """

    number: int
    hparams: dict[str, Any]
    point: dict[str, Any]


@dataclass(frozen=True)
class _Outcome:
    """The outcome of a trial, as far as it is known; `loss` is the value with the sign that makes small best, or None."""

    point: Mapping[str, Any]
    is_running: bool
    loss: float | None


class Suggestions:
    """Asks for trials and is told how they went.

    Each suggestion follows from the sweep's seed, its number and the trials told so far, ordered by number. So the sequence
    is the same however often it was interrupted, provided that all trials are told again.

    Arguments:
        sweep: the checked sweep file.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._first_points = [drawn_point(sweep.space, point) for point in sweep.points_to_evaluate]
        search = _GridSearch if sweep.algorithm == "grid" else _HyperoptSearch
        self._search = search(sweep, first_points=self._first_points)
        self._outcomes: dict[int, _Outcome] = {}
        self._stop_rule = _StopRule(sweep)

    def tell(self, suggestion: Suggestion, *, status: str, value: float | None) -> None:
        """Records how a trial is or went; telling again replaces that.

        Arguments:
            suggestion: what the trial tries.
            status: 'running', 'finished', 'pruned' or 'failed'.
            value: the metric's value, of a trial that finished or was pruned; without a finite one it counts as failed.

        A trial whose point lies outside the space, since that was changed, does not count; a warning says so.

        Raises:
            ValueError: the status is none of these.
        """
        if status not in _STATUSES:
            raise ValueError(f"status must be one of {', '.join(_STATUSES)}. Got {status!r}.")
        error = point_error(self._sweep.space, suggestion.point)
        if error:
            _LOGGER.warning("Trial %d does not count for the search, as the space has changed: its point %s",
                            suggestion.number, error)
            return
        has_value = status in ("finished", "pruned") and value is not None and math.isfinite(value)
        sign = 1 if self._sweep.mode == "min" else -1
        outcome = _Outcome(suggestion.point, is_running=status == "running", loss=sign * float(value) if has_value else None)
        self._outcomes[suggestion.number] = outcome
        self._stop_rule.add(suggestion.number, outcome)

    def ask(self, numbers: Sequence[int]) -> list[Suggestion]:
        """Suggests trials, which then count as running.

        Arguments:
            numbers: of the new trials, from 1.

        Returns:
            One suggestion a number; fewer when a grid has no more combinations.
        """
        suggestions = []
        for number in numbers:
            self._outcomes.pop(number, None)
            if number <= len(self._first_points):
                point = self._first_points[number - 1]
            else:
                point = self._search.point(number, dict(sorted(self._outcomes.items())))
            if point is None:
                break
            suggestion = Suggestion(number, hparams=hparams_at(self._sweep.space, point), point=dict(point))
            self.tell(suggestion, status="running", value=None)
            suggestions.append(suggestion)
        return suggestions

    def stop_reason(self) -> str | None:
        """Why `early_stop_fn` wants the sweep to end, or None.

        Raises:
            UserCodeError: it raised, or did not return the pair that hyperopt expects.
        """
        return self._stop_rule.reason()


class _GridSearch:
    """Suggests all combinations in their order, but for those that were to be tried first."""

    def __init__(self, sweep: Sweep, *, first_points: Sequence[Mapping[str, Any]]) -> None:
        self._space = sweep.space
        self._first_points = first_points

    def point(self, number: int, outcomes: Mapping[int, _Outcome]) -> dict[str, Any] | None:
        """The point of a trial; None when there are no more."""
        others = (point for point in grid_points(self._space) if point not in self._first_points)
        return next(islice(others, number - len(self._first_points) - 1, None), None)


class _HyperoptSearch:
    """One of hyperopt's algorithms."""

    def __init__(self, sweep: Sweep, *, first_points: Sequence[Mapping[str, Any]]) -> None:
        import hyperopt
        self._space = sweep.space
        self._seed = sweep.random_seed
        self._domain = hyperopt.Domain(None, sweep.space)
        self._suggest = _hyperopt_algorithm(sweep.algorithm)

    def point(self, number: int, outcomes: Mapping[int, _Outcome]) -> dict[str, Any]:
        """The point of a trial, given the outcomes of others by number."""
        import numpy as np
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0]) >> 1  # hyperopt takes 31 bits
        trials = _hyperopt_trials(outcomes, labels=list(self._domain.params))
        (document,) = self._suggest([number], self._domain, trials, seed)
        values = {label: drawn[0] for label, drawn in document["misc"]["vals"].items() if len(drawn)}
        return drawn_point(self._space, values)


class _StopRule:
    """Asks `early_stop_fn` once after each trial that gave a value, as `hyperopt.fmin` does."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._ended: dict[int, _Outcome] = {}  # in the order in which they ended
        self._not_asked: list[int] = []
        self._arguments: Sequence[Any] = ()
        self._reason: str | None = None

    def add(self, number: int, outcome: _Outcome) -> None:
        if self._sweep.early_stop_fn is None or outcome.is_running:
            return
        if outcome.loss is not None and number not in self._ended:
            self._not_asked.append(number)
        self._ended[number] = outcome

    def reason(self) -> str | None:
        while self._not_asked and self._reason is None:
            number = self._not_asked.pop(0)
            if self._wants_end(number):
                self._reason = f"early_stop_fn ends the sweep after trial {number}"
        return self._reason

    def _wants_end(self, number: int) -> bool:
        known = list(self._ended)
        until = {each: self._ended[each] for each in known[:known.index(number) + 1]}
        trials = _hyperopt_trials(until, labels=labels_of(self._sweep.space))
        with user_code("early_stop_fn", default_place=str(self._sweep.file)):
            answer = self._sweep.early_stop_fn(trials, *self._arguments)
        if not isinstance(answer, (tuple, list)) or len(answer) != 2 or not isinstance(answer[1], (tuple, list)):
            raise UserCodeError(f"{self._sweep.file}: early_stop_fn must return (whether to stop, the list of its further "
                                f"arguments in the next call), as hyperopt's do. Got {answer!r}.")
        self._arguments = answer[1]
        return bool(answer[0])


def _hyperopt_trials(outcomes: Mapping[int, _Outcome], *, labels: Sequence[str]) -> hyperopt.Trials:
    """Outcomes as hyperopt keeps them."""
    from hyperopt import JOB_STATE_DONE, JOB_STATE_RUNNING, STATUS_FAIL, STATUS_OK, STATUS_RUNNING, trials_from_docs
    documents = []
    for number, outcome in outcomes.items():
        status = STATUS_RUNNING if outcome.is_running else STATUS_FAIL if outcome.loss is None else STATUS_OK
        active = {label: label in outcome.point for label in labels}
        documents.append({
            "tid": number, "state": JOB_STATE_RUNNING if outcome.is_running else JOB_STATE_DONE, "spec": None,
            "result": {"status": status, "loss": outcome.loss},
            "misc": {"tid": number, "cmd": None, "workdir": None,
                     "idxs": {label: [number] if active[label] else [] for label in labels},
                     "vals": {label: [outcome.point[label]] if active[label] else [] for label in labels}},
            "exp_key": None, "owner": None, "version": 0, "book_time": _ANY_TIME, "refresh_time": _ANY_TIME})
    return trials_from_docs(documents, validate=False)


def _hyperopt_algorithm(name: str) -> Callable[..., Any]:
    from hyperopt import anneal, rand, tpe
    return {"tpe": functools.partial(tpe.suggest, verbose=False), "random": rand.suggest, "anneal": anneal.suggest,
            "atpe": _suggest_by_atpe}[name]


def _suggest_by_atpe(new_ids: Sequence[int], domain: hyperopt.Domain, trials: hyperopt.Trials, seed: int) -> Any:
    """Calls hyperopt's atpe, which draws from the global generators and takes only trials that have a loss."""
    import numpy as np
    from hyperopt import atpe, trials_from_docs
    known = trials_from_docs([trial for trial in trials.trials if trial["result"]["loss"] is not None], validate=False)
    states = random.getstate(), np.random.get_state()
    try:
        random.seed(seed)
        np.random.seed(seed)
        return atpe.suggest(new_ids, domain, known, seed)
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
