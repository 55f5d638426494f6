"""Writes summaries for TensorBoard after each evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from expman.training.after_evaluations import AfterEvaluations
from expman.training.progress import TrainingProgress


class EvaluationSummaries(AfterEvaluations):
    """Calls a function after each evaluation whose `tf.summary` calls go to an event file, with the present step.

    Arguments:
        folder: of the event file.
        write: makes the summaries, e.g. by `tf.summary.image`.
        progress: read for the step and `evaluated`.
    """

    def __init__(self, *, folder: Path, write: Callable[[], None], progress: TrainingProgress) -> None:
        super().__init__(progress=progress)
        self._folder = folder
        self._write = write

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._writer = tf.summary.create_file_writer(str(self._folder))

    def on_evaluation(self) -> None:
        with self._writer.as_default(step=self._progress.step):
            self._write()
        self._writer.flush()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self._writer.close()
