"""Notes SIGINT and SIGTERM instead of being ended by them, so that a server stops in its own order."""

from __future__ import annotations

import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_POLL_SECONDS = 0.2


class StopSignals:
    """The stop signals that have arrived, in their order; made by `stop_signals`."""

    def __init__(self) -> None:
        # Of Python's queues and events, only this one may be used inside a signal handler without risk of deadlock.
        self._arrived: queue.SimpleQueue[int] = queue.SimpleQueue()

    def note(self, number: int) -> None:
        """Called by the signals' handler."""
        self._arrived.put(number)

    def next(self, *, timeout_seconds: float) -> int | None:
        """Returns the number of the next stop signal, or None when none arrives in time."""
        try:
            return self._arrived.get(timeout=timeout_seconds)
        except queue.Empty:
            return None

    def wait(self) -> int:
        """Returns the number of the next stop signal, however long that takes."""
        # Not one endless wait: when the system hands the signal to another thread, only Python code that runs in the
        # main thread gets the handler called.
        while (number := self.next(timeout_seconds=_POLL_SECONDS)) is None:
            pass
        return number


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Notes the stop signals that arrive inside the block; works in the main thread only.

    The previous handlers are back after the block: leave it before a clean-up that may be long and that may be broken off
    at any point, and a second Ctrl-C ends that.
    """
    arrived = StopSignals()
    previous = {number: signal.signal(number, lambda received_number, _: arrived.note(received_number))
                for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield arrived
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
