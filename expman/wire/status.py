"""Errors of a model or of a request to it, in the codes that TensorFlow, gRPC and TensorFlow Serving share."""

from __future__ import annotations

import enum


class Code(enum.IntEnum):
    """The canonical codes (google/rpc/code.proto)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class StatusError(Exception):
    """A status that is not OK: of TensorFlow itself, or of a request that cannot be answered.

    Attributes:
        code: what kind of error it is; each protocol maps it to its own.
        message: tells the caller what to change; TensorFlow's own words where it comes from there.
    """

    def __init__(self, code: int, message: str) -> None:
        self.code = Code(code) if code in Code._value2member_map_ else Code.UNKNOWN
        self.message = message
        super().__init__(message)


def check_time_is_left(timeout_seconds: float | None) -> None:
    """Does nothing when a request may still be computed.

    Raises:
        StatusError: its time is over.
    """
    if timeout_seconds is not None and timeout_seconds <= 0:
        raise StatusError(Code.DEADLINE_EXCEEDED, "The time that the caller gave the request is over.")
