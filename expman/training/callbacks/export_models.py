"""Exports the model after evaluations."""

from __future__ import annotations

from collections.abc import Callable

import keras

from expman.training.progress import TrainingProgress


class ExportModels(keras.callbacks.Callback):
    """Exports a version after each evaluation that improved, or after each.

    Arguments:
        export: writes and publishes a version; returns its folder, relative to the experiment's.
        progress: read for `evaluated` and `improved`; gets the version's folder and its step.
        policy: 'best' or 'latest'.
    """

    def __init__(self, *, export: Callable[[], str], progress: TrainingProgress, policy: str) -> None:
        super().__init__()
        self._export = export
        self._progress = progress
        self._policy = policy

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self._progress.improved or (self._progress.evaluated and self._policy == "latest"):
            self._progress.last_exported_model = self._export()
            self._progress.exported_step = self._progress.step
