"""Ends a training between two executions when the process is asked to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import keras

from expman.errors import TrainingStoppedError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal(keras.callbacks.Callback):
    """Finishes the running execution after SIGINT or SIGTERM; a second signal ends the process as usual.

    Arguments:
        agree: makes of the signal that this process received, or None, the one that any of the workers received, so that
            all stop after the same step.

    Raises:
        TrainingStoppedError: out of `fit`, after a signal.
    """

    def __init__(self, *, agree: Callable[[int | None], int | None] = lambda received: received) -> None:
        super().__init__()
        self._agree = agree
        self._received: int | None = None
        self._previous_handlers: dict[int, Any] = {}

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            self._previous_handlers = {number: signal.signal(number, self._remember) for number in _SIGNALS}

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._stop_if_asked()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._stop_if_asked()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self.restore_handlers()

    def restore_handlers(self) -> None:
        """Gives the signals back; to be called when `fit` ended by an exception."""
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        self._previous_handlers = {}

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._received = number
        self.restore_handlers()

    def _stop_if_asked(self) -> None:
        received = self._agree(self._received)
        if received is not None:
            raise TrainingStoppedError(signal.Signals(received))
