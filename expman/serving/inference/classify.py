"""Classify: tf.Examples in, labels and scores out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from expman.serving.inference.example_signature import ExampleSignature, shape_text
from expman.wire.protos import classification_pb2
from expman.wire.status import Code, StatusError

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

METHOD_NAME = "tensorflow/serving/classify"
_CLASSES, _SCORES = "classes", "scores"


def classification_signature(signature: SignatureDef, *, checks_method_name: bool) -> ExampleSignature:
    """Checks that a signature is one that classifies: the input `inputs`, the outputs `classes`, `scores` or both.

    Raises:
        StatusError: INVALID_ARGUMENT or FAILED_PRECONDITION: it is not.
    """
    if checks_method_name and signature.method_name != METHOD_NAME:
        raise StatusError(Code.INVALID_ARGUMENT, f"Expected classification signature method_name to be {METHOD_NAME}. "
                                                 f"Was: {signature.method_name}")
    if len(signature.inputs) != 1:
        raise StatusError(Code.INVALID_ARGUMENT, "Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise StatusError(Code.INVALID_ARGUMENT,
                          f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if "inputs" not in signature.inputs:
        raise StatusError(Code.FAILED_PRECONDITION, f"No classification inputs found in SignatureDef: {signature}")
    outputs = {alias: signature.outputs[alias].name for alias in (_CLASSES, _SCORES) if alias in signature.outputs}
    if not outputs:
        raise StatusError(Code.FAILED_PRECONDITION, (
            f'Expected classification signature outputs to contain at least one of "{_CLASSES}" or "{_SCORES}". '
            f"Signature was: {signature}"))
    return ExampleSignature(signature.inputs["inputs"].name, outputs)


def classification_result(signature: ExampleSignature, num_examples: int, tensors: Mapping[str, np.ndarray]
                          ) -> classification_pb2.ClassificationResult:
    """Puts labels (string [examples, classes]) and scores (float32, same shape) into the answer.

    Raises:
        StatusError: INVALID_ARGUMENT, the model computed something else.
    """
    arrays = {alias: tensors[name] for alias, name in signature.outputs.items()}
    for alias, (kind, kind_name) in {_CLASSES: (np.dtype(object), "DT_STRING"),
                                     _SCORES: (np.dtype(np.float32), "DT_FLOAT")}.items():
        if alias in arrays:
            _check(alias, arrays[alias], num_examples=num_examples, dtype=kind, dtype_name=kind_name)
    classes, scores = arrays.get(_CLASSES), arrays.get(_SCORES)
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise StatusError(Code.INVALID_ARGUMENT, "Tensors class and score should match in dim_size(1). "
                                                 f"Got {classes.shape[1]} vs. {scores.shape[1]}")
    num_classes = next(iter(arrays.values())).shape[1]
    labels = np.full((num_examples, num_classes), b"", object) if classes is None else classes
    values = np.zeros((num_examples, num_classes), np.float32) if scores is None else scores
    result = classification_pb2.ClassificationResult()
    for example_labels, example_values in zip(labels.tolist(), values.tolist()):
        result.classifications.add().classes.extend(
            classification_pb2.Class(label=_text(label), score=score)
            for label, score in zip(example_labels, example_values))
    return result


def _check(alias: str, array: np.ndarray, *, num_examples: int, dtype: np.dtype, dtype_name: str) -> None:
    if array.ndim != 2:
        raise StatusError(Code.INVALID_ARGUMENT,
                          f"Expected Tensor shape: [batch_size num_classes] but got {shape_text(array)}")
    if array.dtype != dtype:
        raise StatusError(Code.INVALID_ARGUMENT, f"Expected {alias} Tensor of {dtype_name}. Got: {array.dtype.name}")
    if array.shape[0] != num_examples:
        raise StatusError(Code.INVALID_ARGUMENT,
                          f"Expected {alias} output batch size of {num_examples}. Got: {array.shape[0]}")


def _text(label: bytes) -> str:
    return label.decode("utf-8", "replace")
