"""Tells a mirror of the experiment that there is something new."""

from __future__ import annotations

from collections.abc import Callable

from expman.training.callbacks.after_evaluations import AfterEvaluations
from expman.training.progress import TrainingProgress


class Mirroring(AfterEvaluations):
    """Asks after each epoch and each evaluation, when its row stands in `metrics.csv` and its version is exported.

    Arguments:
        request: returns at once, and does not raise.
        progress: read for `evaluated`.
    """

    def __init__(self, *, request: Callable[[], None], progress: TrainingProgress) -> None:
        super().__init__(progress=progress)
        self._request = request

    def on_evaluation(self) -> None:
        self._request()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._request()
