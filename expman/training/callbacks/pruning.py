"""Ends a training that a pruner no longer finds worth its time."""

from __future__ import annotations

from collections.abc import Callable

from expman.training.after_evaluations import AfterEvaluations
from expman.training.progress import TrainingProgress


class Pruning(AfterEvaluations):
    """Asks a pruner after each evaluation, when `metrics.csv` holds its results.

    Arguments:
        pruner: returns why training should end, or None to go on.
        progress: gets the reason; `is_pruned` marks the end.
    """

    def __init__(self, *, pruner: Callable[[], str | None], progress: TrainingProgress) -> None:
        super().__init__(progress=progress)
        self._pruner = pruner

    def on_evaluation(self) -> None:
        reason = self._pruner()
        if reason is not None:
            self._progress.stop_reason, self._progress.is_pruned = reason, True
            self.model.stop_training = True
