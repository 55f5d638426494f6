"""Shows a sweep while it runs: one live table on a terminal, a line a trial elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from expman.records.trial import Trial

_SECONDS_BETWEEN_UPDATES = 0.5
_SHOWN_ENDED = 8


def sweep_display(*, metric: str, mode: str, max_trials: int, num_epochs: int, stream: TextIO | None = None) -> SweepLines:
    """The display that fits where the output goes."""
    stream = stream or sys.stdout
    kind = LiveTable if stream.isatty() else SweepLines
    return kind(metric=metric, mode=mode, max_trials=max_trials, num_epochs=num_epochs, stream=stream)


class SweepLines:
    """Prints a line when a trial ends.

    Arguments:
        metric, mode: what is searched, and whether it is best when small ('min') or large ('max').
        max_trials: trials of the whole sweep.
        num_epochs: epochs of a trial.
        stream: where to print.
    """

    def __init__(self, *, metric: str, mode: str, max_trials: int, num_epochs: int, stream: TextIO) -> None:
        self._metric = metric
        self._sign = 1 if mode == "min" else -1
        self._max_trials = max_trials
        self._num_epochs = num_epochs
        self._stream = stream
        self._start = time.monotonic()
        self._num_ended_here = 0

    def __enter__(self) -> SweepLines:
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the last state visible."""

    def update(self, trials: Sequence[Trial]) -> None:
        """Shows how far the running trials are."""

    def ended(self, trial: Trial, trials: Sequence[Trial]) -> None:
        """Tells how a trial ended."""
        self._num_ended_here += 1
        self._print(f"trial {trial.number}/{self._max_trials} {trial.status}: {self._outcome(trial)}  "
                    f"{_assignments(trial.hparams)}  {trial.seconds:.1f}s{self._best(trials)}{self._time_left(trials)}")

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)

    def _outcome(self, trial: Trial) -> str:
        value = "" if trial.value is None else f"{self._metric} {trial.value:.5g}"
        return " ".join(part for part in (value, f"({trial.reason})" if trial.reason else "") if part)

    def _best(self, trials: Sequence[Trial]) -> str:
        best = best_trial(trials, sign=self._sign)
        return "" if best is None else f", best {best.value:.5g} (trial {best.number})"

    def _time_left(self, trials: Sequence[Trial]) -> str:
        num_left = self._max_trials - sum(trial.has_ended for trial in trials)
        if not self._num_ended_here or num_left <= 0:
            return ""
        seconds = round((time.monotonic() - self._start) / self._num_ended_here * num_left)
        return f", {seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} left"


class LiveTable(SweepLines):
    """Draws the running and the last trials as one table that stays in its place; see `SweepLines` for the arguments."""

    def __enter__(self) -> LiveTable:
        from rich.console import Console
        from rich.live import Live
        self._last_update = 0.0
        self._live = Live(console=Console(file=self._stream), auto_refresh=False)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, trials: Sequence[Trial]) -> None:
        """Shows the trials, at most a few times a second."""
        if time.monotonic() - self._last_update >= _SECONDS_BETWEEN_UPDATES:
            self._last_update = time.monotonic()
            self._live.update(self._table(trials), refresh=True)

    def ended(self, trial: Trial, trials: Sequence[Trial]) -> None:
        """Counts a trial that ended, and keeps a line of one that failed."""
        self._num_ended_here += 1
        if trial.status == "failed":  # stays in the terminal's history; the table forgets old trials
            self._live.console.print(f"trial {trial.number} failed: {trial.reason}", markup=False, highlight=False)
        self._live.update(self._table(trials), refresh=True)

    def _table(self, trials: Sequence[Trial]) -> Any:
        from rich.table import Table
        from rich.text import Text
        num_ended = sum(trial.has_ended for trial in trials)
        table = Table(title=f"{num_ended} of {self._max_trials} trials{self._best(trials)}{self._time_left(trials)}")
        names = list(dict.fromkeys(name for trial in trials for name in trial.hparams))
        for column in ("trial", "status", *names, "epoch", self._metric, "seconds"):
            table.add_column(Text(column), justify="left" if column in ("status", *names) else "right")
        ended = [trial for trial in trials if trial.has_ended]
        best = best_trial(trials, sign=self._sign)
        shown = {trial.number: trial for trial in [*ended[-_SHOWN_ENDED:], *([best] if best else []),
                                                   *(trial for trial in trials if trial.status == "running")]}
        for trial in sorted(shown.values(), key=lambda trial: trial.number):
            table.add_row(*map(Text, self._cells(trial, names)), style="bold green" if trial is best else
                          "red" if trial.status == "failed" else "cyan" if trial.status == "running" else "")
        return table

    def _cells(self, trial: Trial, names: Sequence[str]) -> list[str]:
        history = trial.history(self._metric) if trial.status == "running" else []
        value = history[-1][1] if history else trial.value
        epoch = trial.folder.read_state().get("epoch", 0)
        return [str(trial.number), trial.status, *(_short(trial.hparams.get(name, "")) for name in names),
                f"{epoch}/{self._num_epochs}", "" if value is None else f"{value:.5g}",
                f"{trial.seconds:.1f}" if trial.has_ended else ""]


def best_trial(trials: Sequence[Trial], *, sign: int) -> Trial | None:
    """The trial with the best value among those that finished or were pruned; None when there is none.

    Arguments:
        trials: all trials.
        sign: 1 when small values are good, −1 when large ones are.
    """
    rated = [trial for trial in trials if trial.value is not None and trial.status in ("finished", "pruned")]
    return min(rated, key=lambda trial: (sign * trial.value, trial.number), default=None)


def _assignments(hparams: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_short(value)}" for name, value in hparams.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
