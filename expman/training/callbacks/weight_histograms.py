"""Shows TensorBoard how the weights are distributed."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf
from tensorboard.plugins.histogram.summary import histogram_pb

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
        with self._writer.as_default(step=self._progress.step):
            for weight in self._weights:
                # Computed by NumPy: TensorFlow's op makes a dozen small ones of it, or a graph of them that takes long to trace.
                summary = histogram_pb(f"weights/{weight.path}", weight.numpy())
                tf.summary.experimental.write_raw_pb(summary.SerializeToString())
        self._writer.flush()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self._writer.close()
