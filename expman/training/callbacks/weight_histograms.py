"""Shows TensorBoard how the weights are distributed."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf

from expman.training.progress import TrainingProgress


class WeightHistograms(keras.callbacks.Callback):
    """Writes a histogram of each trainable weight after each evaluation.

    Arguments:
        folder: of the event file.
        weights: the weights.
        progress: read for the step and `evaluated`.
    """

    def __init__(self, *, folder: Path, weights: list[keras.Variable], progress: TrainingProgress) -> None:
        super().__init__()
        self._folder = folder
        self._weights = weights
        self._progress = progress

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._writer = tf.summary.create_file_writer(str(self._folder))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if not self._progress.evaluated:
            return
        with self._writer.as_default():
            self._write(tf.constant(self._progress.step, tf.int64))
        self._writer.flush()

    @tf.function(autograph=False)
    def _write(self, step: tf.Tensor) -> None:
        """In a graph, since the many small ops of a histogram take several times as long one by one."""
        for weight in self._weights:
            tf.summary.histogram(f"weights/{weight.path}", weight.value, step=step)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self._writer.close()
