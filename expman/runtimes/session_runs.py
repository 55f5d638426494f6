"""One run of a session: its options, and whether its time can be foreseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from expman.wire.protos import config_pb2
from expman.wire.status import check_time_is_left

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

# Serialized RunOptions. Operations run in the thread that calls, if they all are on one device. Such a run cannot be ended early.
IN_CALLERS_THREAD = config_pb2.RunOptions(inter_op_thread_pool=-1).SerializeToString()

_LONGEST_TIMEOUT_SECONDS = 1e9  # More than anyone waits; TensorFlow counts in nanoseconds, which must not overflow.

# Loops, which the values of an input may keep turning; what waits for files; and what calls Python back.
_UNFORESEEABLE = frozenset({
    "Enter", "EagerPyFunc", "PyFunc", "PyFuncStateless", "ReadFile", "StatelessWhile", "While", "WriteFile"})


def with_timeout(seconds: float) -> bytes:
    """Returns serialized RunOptions by which a run ends with DEADLINE_EXCEEDED when the time is over.

    Operations run in TensorFlow's own threads then.

    Raises:
        StatusError: the time is over already.
    """
    check_time_is_left(seconds)
    milliseconds = round(min(seconds, _LONGEST_TIMEOUT_SECONDS) * 1000)
    return config_pb2.RunOptions(timeout_in_ms=max(1, milliseconds)).SerializeToString()


def is_foreseeable(meta_graph: MetaGraphDef) -> bool:
    """Returns True when runs on inputs of the same size take about the same time, whatever their values."""
    graph = meta_graph.graph_def
    nodes = [graph.node, *(function.node_def for function in graph.library.function)]
    return not any(node.op in _UNFORESEEABLE for part in nodes for node in part)
