"""One request on its way to its answer, whichever way gRPC calls come in."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from google.protobuf.message import DecodeError

from expman.serving.observers.observed_request import Observed
from expman.wire.status import Code, StatusError

CANCELLED = "the caller has cancelled the request"

_LOGGER = logging.getLogger(__name__)

# A status message travels in HTTP/2 trailers, of which clients accept 8 KiB; escaping can triple its length.
_LONGEST_MESSAGE_BYTES = 2048


class Call(Protocol):
    """A gRPC call with one request and one answer."""

    def time_remaining(self) -> float | None:
        """Seconds until its deadline; None: it has none."""

    def is_active(self) -> bool:
        """Tells whether somebody waits for the answer; False once it is cancelled."""

    def finish(self, answer: bytes) -> None:
        """Answers it."""

    def fail(self, code: Code, message: str) -> None:
        """Ends it with a status."""


class Exchange:
    """Ends a call once, with an answer or with what an error means to its caller, and tells the observers.

    Its `with` statement is the boundary of the process towards its clients: whatever is raised there ends the call, and one
    request's bug does not take the server down.

    Arguments:
        method: its name.
        request_type: the message that it takes.
        call: to be ended.
        observed: takes notes of the request, and is ended together with the call.

    Attributes:
        observed: the argument.
    """

    __slots__ = ("_call", "_method", "_request_type", "observed")

    def __init__(self, method: str, request_type: Any, call: Call, observed: Observed) -> None:
        self._method, self._request_type, self._call = method, request_type, call
        self.observed = observed

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self.fail(error)
        return True

    def request(self, data: bytes) -> Any:
        """Parses the request.

        Raises:
            DecodeError: the bytes are no such message.
            StatusError: CANCELLED, nobody waits any more.
        """
        self.check_is_wanted()
        return self._request_type.FromString(data)

    def check_is_wanted(self) -> None:
        """Raises StatusError CANCELLED when nobody waits for the answer any more."""
        if not self._call.is_active():
            raise StatusError(Code.CANCELLED, CANCELLED)

    def finish(self, answer: bytes) -> None:
        """Answers."""
        self.observed.end(Code.OK)
        self._call.finish(answer)

    def fail(self, error: Exception) -> None:
        """Tells the caller what went wrong; what is nobody's fault but the server's goes to its log too."""
        if isinstance(error, StatusError):
            code, message = error.code, error.message
        elif isinstance(error, DecodeError):
            # The code is that of gRPC for such a request.
            code, message = Code.INTERNAL, f"the request is no {self._request_type.DESCRIPTOR.full_name}: {error}"
        else:
            _LOGGER.error("%s failed", self._method, exc_info=error)
            code = Code.INTERNAL
            message = f"{self._method} failed on the server, whose log has the details: {type(error).__name__}: {error}"
        self.observed.end(code, message)
        self._call.fail(code, _shortened(message))


def _shortened(message: str) -> str:
    encoded = message.encode("utf-8")
    if len(encoded) <= _LONGEST_MESSAGE_BYTES:
        return message
    return encoded[:_LONGEST_MESSAGE_BYTES].decode("utf-8", "ignore") + " …"
