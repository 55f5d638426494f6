"""Writes the curves of training and validation for TensorBoard, on one step axis."""

from __future__ import annotations

import time
from pathlib import Path

import keras
import tensorflow as tf

from expman.training.progress import TrainingProgress


class TensorBoardScalars(keras.callbacks.Callback):
    """Writes loss, norm of the gradient, learning rate and steps per second several times an epoch, and the metrics of each evaluation.

    Loss and norm of a point, and what else a `train_step` of the user returns, are means since the point before. Training and
    validation have a run each, and share tags and the axis of the training step, so that TensorBoard draws them into one chart.

    Arguments:
        train_logs: folder of the training's event file.
        validation_logs: folder of the validation's event file.
        progress: read for the step.
        points_per_epoch: training points in an epoch.
        steps_per_epoch: steps of an epoch; None while it is unknown: then one point an epoch.
    """

    def __init__(self, *, train_logs: Path, validation_logs: Path, progress: TrainingProgress, points_per_epoch: int,
                 steps_per_epoch: int | None) -> None:
        super().__init__()
        self._folders = (train_logs, validation_logs)
        self._progress = progress
        self._steps_between = max(1, steps_per_epoch // points_per_epoch) if steps_per_epoch else None
        self._last_step, self._timed_step, self._last_time = 0, 0, 0.0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._train, self._validation = (tf.summary.create_file_writer(str(folder)) for folder in self._folders)
        self._last_step = self._timed_step = self._progress.step
        self._last_time = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._last_sums = self.model.epoch_sums.values()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self._progress.evaluated:
            self._write_evaluation()
            self._timed_step, self._last_time = self._progress.step, time.monotonic()  # it does not count as training time
        if self._steps_between and self._progress.step - self._last_step >= self._steps_between:
            self._write_training_point()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self._progress.step > self._last_step:
            self._write_training_point()
        if self._progress.evaluated:
            self._write_evaluation()
        self._train.flush()
        self._validation.flush()
        self._last_time = time.monotonic()  # the evaluation does not count as training time

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self._train.close()
        self._validation.close()

    def _write_evaluation(self) -> None:
        with self._validation.as_default(step=self._progress.step):
            for name, value in self._progress.last_metrics.items():
                tf.summary.scalar(name, value)
        self._validation.flush()

    def _write_training_point(self) -> None:
        step, now, sums = self._progress.step, time.monotonic(), self.model.epoch_sums
        with self._train.as_default(step=step):
            for name, mean in sums.means(since=self._last_sums).items():
                tf.summary.scalar(name, mean)
            tf.summary.scalar("learning_rate", self.model.optimizer.learning_rate)
            if step > self._timed_step:
                tf.summary.scalar("steps_per_second", (step - self._timed_step) / max(now - self._last_time, 1e-9))
        self._last_step = self._timed_step = step
        self._last_time, self._last_sums = now, sums.values()
