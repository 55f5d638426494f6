"""Tells the logger of a tracking server that the experiment has something new."""

from __future__ import annotations

from collections.abc import Callable

from expman.training.after_evaluations import AfterEvaluations
from expman.training.progress import TrainingProgress


class TrackerLogging(AfterEvaluations):
    """Calls a logger after each epoch and each evaluation, when its row stands in `metrics.csv` and its version is exported.

    Arguments:
        log: returns at once, and does not raise.
        progress: read for `evaluated`.
    """

    def __init__(self, *, log: Callable[[], None], progress: TrainingProgress) -> None:
        super().__init__(progress=progress)
        self._log = log

    def on_evaluation(self) -> None:
        self._log()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._log()
