"""Writes summaries for TensorBoard after each evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from expman.training.progress import TrainingProgress


class EvaluationSummaries(keras.callbacks.Callback):
    """Calls a function after each evaluation whose `tf.summary` calls go to an event file, with the present step.

    Arguments:
        folder: of the event file.
        write: makes the summaries, e.g. by `tf.summary.image`.
        progress: read for the step and `evaluated`.
    """

    def __init__(self, *, folder: Path, write: Callable[[], None], progress: TrainingProgress) -> None:
        super().__init__()
        self._folder = folder
        self._write = write
        self._progress = progress

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._writer = tf.summary.create_file_writer(str(self._folder))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if not self._progress.evaluated:
            return
        with self._writer.as_default(step=self._progress.step):
            self._write()
        self._writer.flush()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self._writer.close()
