"""Saves checkpoints: at the end of each epoch, and from time to time within a long one."""

from __future__ import annotations

import time
from collections.abc import Callable

import keras

from expman.training.progress import TrainingProgress


class Checkpointing(keras.callbacks.Callback):
    """Saves after all other callbacks of the epoch have done their work, so that a restart repeats none of it.

    Arguments:
        save: writes the checkpoint and the state.
        every_seconds: longest time between two checkpoints within an epoch, but for the length of one execution.
        progress: read for `improved`: the best evaluation within an epoch is saved at once.
    """

    def __init__(self, *, save: Callable[[], None], every_seconds: float, progress: TrainingProgress) -> None:
        super().__init__()
        self._progress = progress
        self._save = save
        self._every_seconds = every_seconds
        self._last_time = 0.0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._last_time = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self._progress.improved or time.monotonic() - self._last_time >= self._every_seconds:
            self._save_now()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._save_now()

    def _save_now(self) -> None:
        self._save()
        self._last_time = time.monotonic()
