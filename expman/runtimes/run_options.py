"""How one run of a session is to go, as serialized RunOptions."""

from __future__ import annotations

from expman.wire.protos import config_pb2
from expman.wire.status import check_time_is_left

# Operations run in the thread that calls, if they all are on one device. Such a run cannot be ended early.
IN_CALLERS_THREAD = config_pb2.RunOptions(inter_op_thread_pool=-1).SerializeToString()

_LONGEST_TIMEOUT_SECONDS = 1e9  # More than anyone waits; TensorFlow counts in nanoseconds, which must not overflow.


def with_timeout(seconds: float) -> bytes:
    """Operations run in TensorFlow's own threads, and the run ends with DEADLINE_EXCEEDED when the time is over.

    Raises:
        StatusError: the time is over already.
    """
    check_time_is_left(seconds)
    milliseconds = round(min(seconds, _LONGEST_TIMEOUT_SECONDS) * 1000)
    return config_pb2.RunOptions(timeout_in_ms=max(1, milliseconds)).SerializeToString()
