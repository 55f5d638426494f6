"""grpcio's private names: each is used here only, and checked when this file is imported.

grpcio has no public interface for taking calls as they come off the network. What is used of its inner parts is what its own
server does with them in version 1.85.1: registered methods, whose events a callable as tag receives. `missing_names` tells what
a version of grpcio lacks; where it lacks anything, `pool_handlers` serve the same methods by the public interface.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import grpc

# What a tag is called with an event for, and answers: the call that is over, if one is, and functions to be called.
Outcome = tuple[Any, tuple[Callable[[], None], ...]]
Tag = Callable[[Any], Outcome]

NAMES = {
    "grpc._server": ("_ServerStage.STARTED",),
    "grpc._cython.cygrpc": (
        "BatchOperationEvent.batch_operations", "Call.start_server_batch", "CallDetails.deadline",
        "ReceiveCloseOnServerOperation.cancelled", "ReceiveMessageOperation.message", "RequestCallEvent.call",
        "RequestCallEvent.call_details", "RequestCallEvent.success", "SendInitialMetadataOperation", "SendMessageOperation",
        "SendStatusFromServerOperation", "Server.register_method", "Server.request_registered_call", "StatusCode.ok"),
}
# They are there only once a server is made.
SERVER_NAMES = ("_cy_server", "_state.completion_queue", "_state.lock", "_state.rpc_states", "_state.server", "_state.stage")

_NO_FLAGS = 0


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _has(thing: Any, path: str) -> bool:
    for name in path.split("."):
        if not hasattr(thing, name):
            return False
        thing = getattr(thing, name)
    return True


def _missing() -> Iterator[str]:
    for module_name, paths in NAMES.items():
        module = _module(module_name)
        yield from (f"{module_name}.{path}" for path in paths if not _has(module, path))


_MISSING = tuple(_missing())
_cygrpc = _module("grpc._cython.cygrpc")
_server = _module("grpc._server")


def missing_names(server: grpc.Server) -> list[str]:
    """Returns the names that grpcio lacks here, in its modules or in a server that it made; [] when all are there."""
    return [*_MISSING, *(f"grpc.Server.{path}" for path in SERVER_NAMES if not _has(server, path))]


class ServerEvents:
    """The events of a server that lacks no name.

    Arguments:
        server: not started yet.
    """

    def __init__(self, server: grpc.Server) -> None:
        self._state, self._inner_server = server._state, server._cy_server

    def register(self, path: str) -> None:
        """Makes a method known; before the server starts."""
        self._inner_server.register_method(path)

    def keep(self, tag: object) -> None:
        """Lets the server not end before an event has told that this is over."""
        self._state.rpc_states.add(tag)

    def take_next_call(self, path: str, tag: Tag) -> bool:
        """Has a tag called with the next call of a method; False when the server does not run any more."""
        state = self._state
        with state.lock:
            if state.stage is not _server._ServerStage.STARTED:
                return False
            state.server.request_registered_call(state.completion_queue, state.completion_queue, path, tag)
            return True


class InnerCall:
    """A call that has come in.

    Arguments:
        event: by which it has come.

    Attributes:
        deadline: in seconds since 1970; infinite when there is none.
    """

    __slots__ = ("_start", "deadline")

    def __init__(self, event: Any) -> None:
        self._start = event.call.start_server_batch
        self.deadline: float = event.call_details.deadline

    def receive(self, tag: Tag) -> None:
        """Has a tag called when the request is there."""
        self._start((_cygrpc.ReceiveMessageOperation(_NO_FLAGS),), tag)

    def watch(self, tag: Tag) -> None:
        """Has a tag called when the call is over, answered or cancelled."""
        self._start((_cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),), tag)

    def finish(self, answer: bytes, tag: Tag, *, watches: bool) -> None:
        """Answers; with `watches` the tag is called when the call is over, else when the answer is sent."""
        self._send((_cygrpc.SendInitialMetadataOperation((), _NO_FLAGS), _cygrpc.SendMessageOperation(answer, _NO_FLAGS),
                    _cygrpc.SendStatusFromServerOperation((), _cygrpc.StatusCode.ok, b"", _NO_FLAGS)), tag, watches)

    def fail(self, code: int, message: str, tag: Tag, *, watches: bool) -> None:
        """Ends the call with a status; see `finish`."""
        self._send((_cygrpc.SendInitialMetadataOperation((), _NO_FLAGS),
                    _cygrpc.SendStatusFromServerOperation((), code, message.encode("utf-8"), _NO_FLAGS)), tag, watches)

    def _send(self, operations: tuple[Any, ...], tag: Tag, watches: bool) -> None:
        self._start((*operations, _cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS)) if watches else operations, tag)


def brings_call(event: Any) -> bool:
    """Returns True when an event brings a call, False when the server ends."""
    return event.success


def received_message(event: Any) -> bytes | None:
    """Returns the request of `InnerCall.receive`; None when the client sent none."""
    return event.batch_operations[0].message()


def was_cancelled(event: Any) -> bool:
    """Returns True when the call of `InnerCall.watch` was cancelled, or its deadline passed, before it was answered."""
    return bool(event.batch_operations[0].cancelled())
