"""Counts the training steps and epochs."""

from __future__ import annotations

import keras

from expman.training.progress import TrainingProgress
from expman.training.steps.optimizer_state import completed_steps


class StepCounter(keras.callbacks.Callback):
    """Keeps `progress.step` and `progress.epoch` true; the first callback, so that all others can read them.

    Arguments:
        progress: the counters of the training.
    """

    def __init__(self, *, progress: TrainingProgress) -> None:
        super().__init__()
        self._progress = progress
        self._steps_before_epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        # Not from `progress.step`, which counted updates in checkpoints of earlier versions with accumulated gradients.
        self._steps_before_epoch = completed_steps(self.model.optimizer) - self._progress.step_in_epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        # Read from the optimizer: an execution of several steps that meets the end of the data is shorter than announced.
        self._progress.step = completed_steps(self.model.optimizer)
        self._progress.step_in_epoch = self._progress.step - self._steps_before_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._progress.epoch, self._progress.step_in_epoch = epoch + 1, 0
