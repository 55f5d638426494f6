"""Finds the signatures of a SavedModel whose variables nothing restores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef, SignatureDef


def unrestored_variables(meta_graph: MetaGraphDef, signature: SignatureDef) -> list[str]:
    """Names of the variables that a signature reads although only copies of them are restored.

    `tf.saved_model.save` leaves a network of Keras 3 so: a variable of Keras contains one of TensorFlow, the signatures read
    the one, and the checkpoint belongs to the other. `tf.saved_model.load` knows how they belong together, but sessions, and
    with them TensorFlow Serving, do not: each request fails with "Could not find variable".
    """
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    copied = _copied_variables(meta_graph.graph_def, nodes) - _inputs(nodes.get(meta_graph.saver_def.restore_op_name))
    return sorted(copied & _needed_nodes(nodes, signature)) if copied else []


def _copied_variables(graph: GraphDef, nodes: Mapping[str, NodeDef]) -> set[str]:
    """The variables that other variables take their first value from."""
    values = [nodes.get(_node_name(node.input[1])) for node in graph.node if node.op == "AssignVariableOp"]
    return {_node_name(value.input[0]) for value in values if value is not None and value.op == "ReadVariableOp"}


def _needed_nodes(nodes: Mapping[str, NodeDef], signature: SignatureDef) -> set[str]:
    """Returns the names of the nodes that a signature's outputs are computed from."""
    needed: set[str] = set()
    found = [_node_name(output.name) for output in signature.outputs.values()]
    while found:
        name = found.pop()
        if name not in needed:
            needed.add(name)
            found += _inputs(nodes.get(name))
    return needed


def _inputs(node: NodeDef | None) -> set[str]:
    return set() if node is None else {_node_name(tensor) for tensor in node.input}


def _node_name(tensor: str) -> str:
    """The node of `node:0` or `^node`."""
    return tensor.removeprefix("^").partition(":")[0]
