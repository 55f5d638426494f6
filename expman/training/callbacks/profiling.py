"""Traces a few training steps."""

from __future__ import annotations

import logging

import keras
import tensorflow as tf

from expman.records.experiment_folder import ExperimentFolder, write_atomically
from expman.training.profiling.profile_report import TRACED_SPAN, as_text, summarise
from expman.training.profiling.profile_trace import read_events, write_trace
from expman.training.progress import TrainingProgress

_LOGGER = logging.getLogger(__name__)
_WARM_UP_EXECUTIONS = 5
_MOST_EXECUTIONS = 5
_ENOUGH_STEPS = 20


class Profiling(keras.callbacks.Callback):
    """Traces some executions after the warm-up, once, and logs where their time went.

    An execution is what `fit` starts at once: `steps_per_execution` steps. Tracing ends after five of them, or when it has
    20 steps, so that the trace stays small, or with the epoch. It leaves a trace that https://ui.perfetto.dev and
    chrome://tracing open, the logged table as a text file, and TensorFlow's own profile, for TensorBoard's Profile tab.
    The first callback of the list: then the time of the others between two executions counts, and an evaluation does not.

    Arguments:
        folder: the experiment's; gets the files.
        progress: read for step and epoch.
        num_epochs: after this epoch training ends, perhaps after several calls of `fit`.
    """

    def __init__(self, *, folder: ExperimentFolder, progress: TrainingProgress, num_epochs: int) -> None:
        super().__init__()
        self._folder = folder
        self._progress = progress
        self._num_epochs = num_epochs
        self._span: tf.profiler.experimental.Trace | None = None
        self._is_done = False
        self._num_executions = self._executions_before = self._steps_before = 0

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self._span and (self._num_executions - self._executions_before >= _MOST_EXECUTIONS
                           or self._progress.step - self._steps_before >= _ENOUGH_STEPS):
            self._stop()
        if self._num_executions >= _WARM_UP_EXECUTIONS and not (self._span or self._is_done):
            self._start()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._num_executions += 1

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self._span:
            self._stop()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        is_over = self._progress.epoch >= self._num_epochs or self._progress.stop_reason
        if is_over and not self._is_done:
            _LOGGER.warning(
                "Nothing was profiled: training ended after %d executions, and the first %d are the warm-up. Train more "
                "epochs, or set steps_per_execution lower.", self._num_executions, _WARM_UP_EXECUTIONS)

    def _start(self) -> None:
        try:
            tf.profiler.experimental.start(str(self._folder.profile_logs))
        except tf.errors.AlreadyExistsError:
            _LOGGER.warning("Nothing is profiled by use_profiling: another profiler runs, e.g. one of addon_callbacks.")
            self._is_done = True
            return
        self._executions_before, self._steps_before = self._num_executions, self._progress.step
        self._span = tf.profiler.experimental.Trace(TRACED_SPAN)
        self._span.__enter__()

    def _stop(self) -> None:
        self._span.__exit__(None, None, None)
        self._span, self._is_done = None, True
        tf.profiler.experimental.stop()
        folder = self._folder
        profiles = folder.profile_logs.glob("plugins/profile/*/*.xplane.pb")
        events = read_events(max(profiles, key=lambda file: file.stat().st_mtime_ns))
        num_left_out = write_trace(folder.profile_trace, events)
        table = as_text(summarise(events), num_steps=self._progress.step - self._steps_before,
                        num_executions=self._num_executions - self._executions_before)
        write_atomically(folder.profile_report, table)
        _LOGGER.info("%sThe trace, to open in https://ui.perfetto.dev: %s%s", table, folder.profile_trace,
                     f" (without its last {num_left_out} events)" if num_left_out else "")
