"""Stops a training that no longer improves."""

from __future__ import annotations

import keras

from expman.training.progress import TrainingProgress


class EarlyStopping(keras.callbacks.Callback):
    """Stops when the best evaluation lies too many epochs back; unlike Keras' own, it remembers over a restart.

    Arguments:
        progress: read for the best epoch and for where patience begins; gets the reason of the stop.
        patience: epochs without improvement before stopping.
    """

    def __init__(self, *, progress: TrainingProgress, patience: int) -> None:
        super().__init__()
        self._progress = progress
        self._patience = patience

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        progress = self._progress
        num_epochs = epoch + 1 - max(progress.best_epoch, progress.patience_start)
        if progress.evaluated and num_epochs >= self._patience:
            progress.stop_reason = f"no improvement for {num_epochs} epochs"
            progress.stopped_early = True
            self.model.stop_training = True
