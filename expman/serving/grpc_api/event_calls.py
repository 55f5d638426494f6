"""Takes calls from gRPC as they come off the network, in the thread that reads them.

`grpc.server` hands each call to a thread of a pool, which waits there until gRPC's own thread has read the request: two ways
from thread to thread, each of which takes longer than a small model computes. Here gRPC's thread passes the request on itself.
A server that does nothing answers more than twice as many requests so (docs/serving_speed.md).

`grpcio_internals` tells which versions of grpcio can do this; with the others the methods work as handlers, only slower.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc

from expman.serving.grpc_api.grpcio_internals import (
    InnerCall,
    Outcome,
    ServerEvents,
    brings_call,
    received_message,
    was_cancelled,
)
from expman.wire.status import Code

_LOGGER = logging.getLogger(__name__)

_GOES_ON: Outcome = (None, ())


class EventMethods:
    """Methods with one request and one answer, whose requests gRPC's thread passes on.

    Arguments:
        server: not started yet.
        methods: path, as `/package.Service/Method` -> what begins to answer a request. It is called in gRPC's thread, where
            all others wait for it: what may take long, it does elsewhere, after `EventCall.keep`.
    """

    def __init__(self, server: grpc.Server, methods: Mapping[str, Callable[[bytes, EventCall], None]]) -> None:
        events = ServerEvents(server)
        self._arrivals = [_Arrival(events, path, begin) for path, begin in methods.items()]
        for path in methods:
            events.register(path)

    def start(self) -> None:
        """Takes calls; the server must have been started."""
        for arrival in self._arrivals:
            arrival.start()


class _Arrival:
    """Waits for the calls of one method, until the server stops."""

    def __init__(self, events: ServerEvents, path: str, begin: Callable[[bytes, EventCall], None]) -> None:
        self._events, self._path, self._begin = events, path, begin

    def start(self) -> None:
        self._events.keep(self)
        self._events.take_next_call(self._path, self._come)

    def _come(self, event: Any) -> Outcome:
        if brings_call(event):
            call = EventCall(InnerCall(event), self._begin)
            self._events.keep(call)
            call.receive()
        return _GOES_ON if self._events.take_next_call(self._path, self._come) else (self, ())


class EventCall:
    """A call that has come in; see `Call`.

    Arguments:
        call: as gRPC has it.
        begin: takes the request.
    """

    __slots__ = ("_begin", "_call", "_is_cancelled", "_lock", "_num_due", "_on_cancelled")

    def __init__(self, call: InnerCall, begin: Callable[[bytes, EventCall], None]) -> None:
        self._call, self._begin = call, begin
        self._is_cancelled = False
        self._lock: threading.Lock | None = None  # From `keep` on.
        self._num_due = 0  # Operations of a kept call that have not ended yet.
        self._on_cancelled: Callable[[], None] | None = None

    def receive(self) -> None:
        """Waits for the request."""
        self._call.receive(self._received)

    def keep(self) -> None:
        """Lets the call be answered later, and from another thread; to be called in gRPC's thread."""
        self._lock = threading.Lock()
        self._num_due = 1
        self._call.watch(self._closed)

    def when_cancelled(self, function: Callable[[], None]) -> None:
        """Has a function called, once, when a call that is kept is cancelled or its deadline is over."""
        with self._lock:
            self._on_cancelled = function
            is_cancelled = self._is_cancelled
        if is_cancelled:
            function()

    def time_remaining(self) -> float | None:
        """Returns the seconds until the deadline; None: there is none."""
        deadline = self._call.deadline
        return None if deadline == float("inf") else max(0.0, deadline - time.time())

    def is_active(self) -> bool:
        """Returns True while somebody waits for the answer."""
        return not self._is_cancelled

    def finish(self, answer: bytes) -> None:
        """Answers the call."""
        if self._lock is None:
            self._call.finish(answer, self._ended, watches=True)
            return
        with self._lock:
            if self._begins_operation():
                self._call.finish(answer, self._ended, watches=False)

    def fail(self, code: Code, message: str) -> None:
        """Ends the call with a status."""
        if self._lock is None:
            self._call.fail(int(code), message, self._ended, watches=True)
            return
        with self._lock:
            if self._begins_operation():
                self._call.fail(int(code), message, self._ended, watches=False)

    def _begins_operation(self) -> bool:
        """Counts one more operation of a kept call; False when it is cancelled, since gRPC may have forgotten it then."""
        if self._is_cancelled:
            return False
        self._num_due += 1
        return True

    def _received(self, event: Any) -> Outcome:
        request = received_message(event)
        if request is None:
            self.fail(Code.UNIMPLEMENTED, "the method requires exactly one request message.")
            return _GOES_ON
        try:
            self._begin(request, self)
        except Exception:
            # Whatever it is, gRPC's thread must not die of it, since nobody would be answered any more.
            _LOGGER.exception("a request could not be begun")
            self.fail(Code.INTERNAL, "the request failed on the server, whose log has the details")
        return _GOES_ON

    def _closed(self, event: Any) -> Outcome:
        with self._lock:
            self._is_cancelled = was_cancelled(event)
            over = self._one_less()
            on_cancelled = self._on_cancelled if self._is_cancelled else None
        return over, (() if on_cancelled is None else (on_cancelled,))

    def _ended(self, _: Any) -> Outcome:
        if self._lock is None:
            return self, ()
        with self._lock:
            return self._one_less(), ()

    def _one_less(self) -> EventCall | None:
        self._num_due -= 1
        return None if self._num_due else self
