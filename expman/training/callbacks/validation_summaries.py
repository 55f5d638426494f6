"""Draws the user's validation summaries for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from expman.training.progress import TrainingProgress

_MAX_IMAGES = 8


class ValidationSummaries(keras.callbacks.Callback):
    """Writes what `get_validation_summaries` returns after each evaluation: images, scalars, histograms.

    Arguments:
        folder: of the event file.
        compute: returns tag → tensor for one validation batch.
        progress: read for the step and `evaluated`.
    """

    def __init__(self, *, folder: Path, compute: Callable[[], Mapping[str, Any]], progress: TrainingProgress) -> None:
        super().__init__()
        self._folder = folder
        self._compute = compute
        self._progress = progress

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._writer = tf.summary.create_file_writer(str(self._folder))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if not self._progress.evaluated:
            return
        with self._writer.as_default(step=self._progress.step):
            for tag, tensor in self._compute().items():
                if tensor.shape.rank == 4:
                    tf.summary.image(tag, tensor, max_outputs=_MAX_IMAGES)
                elif tensor.shape.rank == 0:
                    tf.summary.scalar(tag, tensor)
                else:
                    tf.summary.histogram(tag, tensor)
        self._writer.flush()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self._writer.close()
