"""Tells whether the time of a model's run can be foreseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

# Loops, which the values of an input may keep turning; what waits for files; and what calls Python back.
_UNFORESEEABLE = frozenset({
    "Enter", "EagerPyFunc", "PyFunc", "PyFuncStateless", "ReadFile", "StatelessWhile", "While", "WriteFile"})


def is_foreseeable(meta_graph: MetaGraphDef) -> bool:
    """Whether runs on inputs of the same size take about the same time, whatever their values."""
    graph = meta_graph.graph_def
    nodes = [graph.node, *(function.node_def for function in graph.library.function)]
    return not any(node.op in _UNFORESEEABLE for part in nodes for node in part)
