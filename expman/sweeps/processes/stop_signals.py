"""Turns the signals that ask a sweep to stop into an orderly end."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from expman.errors import SweepError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SweepStoppedError(SweepError):
    """A signal asked the sweep to stop; it can be run again."""

    def __init__(self, received: int) -> None:
        self.exit_code = 128 + received
        super().__init__(f"The sweep was stopped by {signal.Signals(received).name}; trials that were running have been saved"
                         ". The same command goes on.")


class StopRequest:
    """Remembers the signal that asked to stop, so that the sweep ends where it can."""

    def __init__(self) -> None:
        self._received: int | None = None

    def take(self, number: int) -> None:
        """Remembers a signal until it is asked for."""
        self._received = number

    def check(self) -> None:
        """Raises if a signal has come.

        Raises:
            SweepStoppedError: it has.
        """
        if self._received is not None:
            raise SweepStoppedError(self._received)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Turns SIGINT and SIGTERM into a `SweepStoppedError` wherever the sweep is."""
    def stop(number: int, _: Any) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # a second one would disturb the saving
        raise SweepStoppedError(number)

    with _handlers(stop):
        yield


@contextlib.contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Lets SIGINT and SIGTERM only leave a note; where this ends, it raises if nobody has checked before."""
    request = StopRequest()
    with _handlers(lambda number, _: request.take(number)):
        yield request
    request.check()


@contextlib.contextmanager
def _handlers(handler: Any) -> Iterator[None]:
    previous = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
