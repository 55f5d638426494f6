"""Regress: tf.Examples in, one number for each out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from expman.serving.inference.example_signature import ExampleSignature, shape_text
from expman.wire.protos import regression_pb2
from expman.wire.status import Code, StatusError

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

METHOD_NAME = "tensorflow/serving/regress"
_OUTPUTS = "outputs"


def regression_signature(signature: SignatureDef, *, checks_method_name: bool) -> ExampleSignature:
    """Checks that a signature is one that regresses: the input `inputs`, the output `outputs`.

    Raises:
        StatusError: INVALID_ARGUMENT or FAILED_PRECONDITION: it is not.
    """
    if checks_method_name and signature.method_name != METHOD_NAME:
        raise StatusError(Code.INVALID_ARGUMENT, f"Expected regression signature method_name to be {METHOD_NAME}. "
                                                 f"Was: {signature.method_name}")
    if len(signature.inputs) != 1:
        raise StatusError(Code.INVALID_ARGUMENT, "Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise StatusError(Code.INVALID_ARGUMENT, "Expected one output Tensor.")
    if "inputs" not in signature.inputs:
        raise StatusError(Code.FAILED_PRECONDITION, f"No regression inputs found in SignatureDef: {signature}")
    if _OUTPUTS not in signature.outputs:
        raise StatusError(Code.FAILED_PRECONDITION, f"No regression outputs found in SignatureDef: {signature}")
    return ExampleSignature(signature.inputs["inputs"].name, {_OUTPUTS: signature.outputs[_OUTPUTS].name})


def regression_result(signature: ExampleSignature, num_examples: int, tensors: Mapping[str, np.ndarray]
                      ) -> regression_pb2.RegressionResult:
    """Puts numbers (float32 [examples] or [examples, 1]) into the answer.

    Raises:
        StatusError: INVALID_ARGUMENT, the model computed something else.
    """
    array = tensors[signature.outputs[_OUTPUTS]]
    if array.ndim != 1 and (array.ndim != 2 or array.shape[1] != 1):
        raise StatusError(Code.INVALID_ARGUMENT, "Expected output Tensor shape to be either [batch_size] or "
                                                 f"[batch_size, 1] but got {shape_text(array)}")
    if array.shape[0] != num_examples:
        raise StatusError(Code.INVALID_ARGUMENT, "Input batch size did not match output batch size: "
                                                 f"{num_examples} vs. {array.shape[0]}")
    if array.dtype != np.float32:
        raise StatusError(Code.INVALID_ARGUMENT, f"Expected output Tensor of DT_FLOAT.  Got: {array.dtype.name}")
    return regression_pb2.RegressionResult(
        regressions=[regression_pb2.Regression(value=value) for value in array.ravel().tolist()])
