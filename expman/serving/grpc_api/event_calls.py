"""Takes calls from gRPC as they come off the network, in the thread that reads them.

`grpc.server` hands each call to a thread of a pool, which waits there until gRPC's own thread has read the request: two ways
from thread to thread, each of which takes longer than a small model computes. Here gRPC's thread passes the request on itself.
A server that does nothing answers more than twice as many requests so (docs/serving_speed.md).

grpcio has no public interface for this. What is used of its inner parts is what its own server does with them in version 1.85.1:
registered methods, whose events a callable as tag receives. `has_event_calls` tells whether they are there; without them the
methods work as handlers, only slower.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from grpc import _server
from grpc._cython import cygrpc

from expman.wire.status import Code

_LOGGER = logging.getLogger(__name__)

_NO_FLAGS = 0
# What an event of gRPC's queue answers: the call that is over, if one is, and functions to be called.
_Outcome = tuple[Any, tuple[Callable[[], None], ...]]
_GOES_ON: _Outcome = (None, ())


def has_event_calls(server: grpc.Server) -> bool:
    """Whether this version of grpcio has what `EventMethods` needs."""
    return (all(hasattr(server, name) for name in ("_state", "_cy_server"))
            and all(hasattr(server._state, name) for name in ("completion_queue", "lock", "rpc_states", "server", "stage"))
            and all(hasattr(server._cy_server, name) for name in ("register_method", "request_registered_call"))
            and hasattr(_server, "_ServerStage"))


class EventMethods:
    """Methods with one request and one answer, whose requests gRPC's thread passes on.

    Arguments:
        server: not started yet.
        methods: path, as `/package.Service/Method` -> what begins to answer a request. It is called in gRPC's thread, where
            all others wait for it: what may take long, it does elsewhere, after `EventCall.keep`.
    """

    def __init__(self, server: grpc.Server, methods: Mapping[str, Callable[[bytes, EventCall], None]]) -> None:
        self._arrivals = [_Arrival(server._state, path, begin) for path, begin in methods.items()]
        for path in methods:
            server._cy_server.register_method(path)

    def start(self) -> None:
        """Takes calls; the server must have been started."""
        for arrival in self._arrivals:
            arrival.start()


class _Arrival:
    """Waits for the calls of one method, until the server stops."""

    def __init__(self, state: Any, path: str, begin: Callable[[bytes, EventCall], None]) -> None:
        self._state, self._path, self._begin = state, path, begin

    def start(self) -> None:
        self._state.rpc_states.add(self)
        self._wait_for_next()

    def _wait_for_next(self) -> bool:
        state = self._state
        with state.lock:
            if state.stage is not _server._ServerStage.STARTED:
                return False
            state.server.request_registered_call(state.completion_queue, state.completion_queue, self._path, self._come)
            return True

    def _come(self, event: Any) -> _Outcome:
        if event.success:
            call = EventCall(event, self._begin)
            self._state.rpc_states.add(call)
            call.receive()
        return _GOES_ON if self._wait_for_next() else (self, ())


class EventCall:
    """A call that has come in; see `Call`.

    Arguments:
        event: of gRPC, with the call.
        begin: takes the request.
    """

    __slots__ = ("_begin", "_call", "_deadline", "_is_cancelled", "_lock", "_num_due", "_on_cancelled")

    def __init__(self, event: Any, begin: Callable[[bytes, EventCall], None]) -> None:
        self._call, self._deadline, self._begin = event.call, event.call_details.deadline, begin
        self._is_cancelled = False
        self._lock: threading.Lock | None = None  # From `keep` on.
        self._num_due = 0  # Operations of a kept call that have not ended yet.
        self._on_cancelled: Callable[[], None] | None = None

    def receive(self) -> None:
        """Waits for the request."""
        self._call.start_server_batch((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), self._received)

    def keep(self) -> None:
        """Lets the call be answered later, and from another thread; to be called in gRPC's thread."""
        self._lock = threading.Lock()
        self._num_due = 1
        self._call.start_server_batch((cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),), self._closed)

    def when_cancelled(self, function: Callable[[], None]) -> None:
        """Has a function called, once, when a call that is kept is cancelled or its deadline is over."""
        with self._lock:
            self._on_cancelled = function
            is_cancelled = self._is_cancelled
        if is_cancelled:
            function()

    def time_remaining(self) -> float | None:
        """Seconds until the deadline; None: there is none."""
        return None if self._deadline == float("inf") else max(0.0, self._deadline - time.time())

    def is_active(self) -> bool:
        """Whether somebody waits for the answer."""
        return not self._is_cancelled

    def finish(self, answer: bytes) -> None:
        """Answers."""
        self._end(cygrpc.SendInitialMetadataOperation((), _NO_FLAGS), cygrpc.SendMessageOperation(answer, _NO_FLAGS),
                  cygrpc.SendStatusFromServerOperation((), cygrpc.StatusCode.ok, b"", _NO_FLAGS))

    def fail(self, code: Code, message: str) -> None:
        """Ends with a status."""
        self._end(cygrpc.SendInitialMetadataOperation((), _NO_FLAGS),
                  cygrpc.SendStatusFromServerOperation((), int(code), message.encode("utf-8"), _NO_FLAGS))

    def _end(self, *operations: Any) -> None:
        if self._lock is None:
            self._call.start_server_batch((*operations, cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS)), self._ended)
            return
        with self._lock:
            if not self._is_cancelled:  # Else gRPC may have forgotten the call.
                self._num_due += 1
                self._call.start_server_batch(operations, self._ended)

    def _received(self, event: Any) -> _Outcome:
        request = event.batch_operations[0].message()
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

    def _closed(self, event: Any) -> _Outcome:
        with self._lock:
            self._is_cancelled = bool(event.batch_operations[0].cancelled())
            over = self._one_less()
            on_cancelled = self._on_cancelled if self._is_cancelled else None
        return over, (() if on_cancelled is None else (on_cancelled,))

    def _ended(self, _: Any) -> _Outcome:
        if self._lock is None:
            return self, ()
        with self._lock:
            return self._one_less(), ()

    def _one_less(self) -> EventCall | None:
        self._num_due -= 1
        return None if self._num_due else self
