"""The part that a worker other than the chief has in a training: it computes, and writes nothing."""

from __future__ import annotations

import keras

from expman.training.training_callbacks import computing_callbacks
from expman.training.training_run import TrainingRun


class WorkerRun(TrainingRun):
    """Takes the same steps and decisions as the chief's run, and reads its checkpoints when it restarts."""

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        return computing_callbacks(self._experiment, progress=self._progress, addon=self._addon)

    def _mark_restart(self) -> None:
        """Nothing: the curves are the chief's."""

    def _export_best(self) -> None:
        """Nothing: the chief exports."""

    def _save(self) -> None:
        """Nothing: the chief has the same variables."""

    def _write_state(self, status: str) -> None:
        """Nothing: the chief's file tells the state of all."""
