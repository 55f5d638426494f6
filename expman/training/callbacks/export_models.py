"""Exports the model after evaluations."""

from __future__ import annotations

from collections.abc import Callable

from expman.training.after_evaluations import AfterEvaluations
from expman.training.progress import TrainingProgress


class ExportModels(AfterEvaluations):
    """Exports a version after each evaluation that improved, or after each.

    Arguments:
        export: writes and publishes a version; returns its folder, relative to the experiment's.
        progress: read for `evaluated` and `improved`; gets the version's folder and its step.
        policy: 'best' or 'latest'.
    """

    def __init__(self, *, export: Callable[[], str], progress: TrainingProgress, policy: str) -> None:
        super().__init__(progress=progress)
        self._export = export
        self._policy = policy

    def on_evaluation(self) -> None:
        if self._progress.improved or self._policy == "latest":
            self._progress.last_exported_model = self._export()
            self._progress.exported_step = self._progress.step
