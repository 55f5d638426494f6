"""Stops a training whose loss is not finite, where the graph's own check is left out."""

from __future__ import annotations

import math

import keras

from expman.errors import TrainingError
from expman.training.progress import TrainingProgress


class StopOnNanLoss(keras.callbacks.Callback):
    """Looks at the loss after each execution; for trainings compiled by XLA, which drops assertions.

    Arguments:
        progress: read for step and epoch.

    Raises:
        TrainingError: out of `fit`; the weights may have been spoilt since the last checkpoint.
    """

    def __init__(self, *, progress: TrainingProgress) -> None:
        super().__init__()
        self._progress = progress

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if not math.isfinite(float(logs["loss"])):
            raise TrainingError(f"Training failed at step {self._progress.step} or just before, epoch "
                                f"{self._progress.epoch + 1}: the loss is not finite. The checkpoints are good. Set useXLA = "
                                "False to learn which tensor is the first that is not finite.")
