"""Turns SIGINT and SIGTERM into items of a queue, so that a server ends in its own order."""

from __future__ import annotations

import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_signals() -> Iterator[queue.SimpleQueue[int]]:
    """Collects the numbers of the stop signals that arrive inside the block; works in the main thread only.

    The previous handlers are back after the block: leave it before a long clean-up, and a second Ctrl-C ends that.
    """
    # Of Python's queues and events, only SimpleQueue may be used inside a signal handler without risk of deadlock.
    received: queue.SimpleQueue[int] = queue.SimpleQueue()
    previous = {number: signal.signal(number, lambda received_number, _: received.put(received_number))
                for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
