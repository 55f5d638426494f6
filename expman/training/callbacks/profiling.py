"""Traces a few training steps."""

from __future__ import annotations

import logging
from pathlib import Path

import keras
import tensorflow as tf

_LOGGER = logging.getLogger(__name__)
_WARM_UP_EXECUTIONS = 5
_TRACED_EXECUTIONS = 5


class Profiling(keras.callbacks.Callback):
    """Traces some executions after the warm-up, once, into a folder that TensorBoard's Profile tab reads.

    Arguments:
        folder: gets `plugins/profile/<time>/`.
    """

    def __init__(self, *, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._num_executions = 0
        self._is_tracing = False

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._num_executions, self._is_tracing = 0, False

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if self._num_executions == _WARM_UP_EXECUTIONS:
            tf.profiler.experimental.start(str(self._folder))
            self._is_tracing = True

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._num_executions += 1
        if self._is_tracing and self._num_executions == _WARM_UP_EXECUTIONS + _TRACED_EXECUTIONS:
            self._stop()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        if self._is_tracing:
            self._stop()

    def _stop(self) -> None:
        tf.profiler.experimental.stop()
        self._is_tracing = False
        _LOGGER.info("A profile of %d executions lies in %s.", _TRACED_EXECUTIONS, self._folder)
