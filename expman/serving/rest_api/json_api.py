"""Answers requests in JSON with JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from expman.serving.inference.inference import CLASSIFY, PREDICT, REGRESS, Inference
from expman.serving.inference.model_spec import DEFAULT_SIGNATURE_NAME
from expman.serving.observers.observed_request import NOT_OBSERVED, Observed
from expman.serving.rest_api.json_answers import (
    classification_answer,
    metadata_answer,
    regression_answer,
    status_answer,
)
from expman.serving.rest_api.json_documents import parse_object, parse_strictly
from expman.serving.rest_api.json_predict import JsonPredict
from expman.serving.rest_api.json_requests import (
    asks_for_rows,
    examples_input,
    predict_inputs,
    predict_inputs_or_none,
    signature_name,
)
from expman.serving.rest_api.paths import ModelPath
from expman.wire.protos import classification_pb2, get_model_metadata_pb2, get_model_status_pb2, regression_pb2
from expman.wire.status import Code, StatusError

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo

_METHODS = {"predict": PREDICT, "classify": CLASSIFY, "regress": REGRESS}
_ReadInputs = Callable[[Mapping[str, Any], Mapping[str, "TensorInfo"]], dict[str, np.ndarray] | None]


class JsonApi:
    """The methods of TensorFlow Serving's REST API, without HTTP; all raise `StatusError`.

    Arguments:
        inference: what answers.
    """

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    def predict(self, path: ModelPath, body: bytes, *, timeout_seconds: float | None, observed: Observed = NOT_OBSERVED
                ) -> bytes:
        """Runs a signature on the arrays of the body."""
        prepared = self._prepared(path, parse_object(body), predict_inputs, observed)
        assert prepared is not None  # Other than `predict_inputs_or_none`, `predict_inputs` raises.
        try:
            outputs = prepared.run(timeout_seconds=timeout_seconds)
        finally:
            prepared.release()
        return prepared.written(outputs)

    def prepare_predict(self, path: ModelPath, body: bytes, *, observed: Observed = NOT_OBSERVED) -> JsonPredict | None:
        """Reads a request to predict, to be run later; its version is held until the caller releases it.

        Returns:
            None where that may take long, as it does to read what is no strict JSON, or to find the value that does not fit:
            `predict` answers such a request.
        """
        document = parse_strictly(body)
        return self._prepared(path, document, predict_inputs_or_none, observed) if type(document) is dict else None

    def classify(self, path: ModelPath, body: bytes, *, timeout_seconds: float | None, observed: Observed = NOT_OBSERVED
                 ) -> bytes:
        """Runs a signature that classifies on the examples of the body."""
        request = classification_pb2.ClassificationRequest()
        self._fill_from_examples(request, path, body)
        response = self._inference.classify(request, timeout_seconds=timeout_seconds, observed=observed)
        return classification_answer(response.result)

    def regress(self, path: ModelPath, body: bytes, *, timeout_seconds: float | None, observed: Observed = NOT_OBSERVED
                ) -> bytes:
        """Runs a signature that computes one number for each example of the body."""
        request = regression_pb2.RegressionRequest()
        self._fill_from_examples(request, path, body)
        response = self._inference.regress(request, timeout_seconds=timeout_seconds, observed=observed)
        return regression_answer(response.result)

    def status(self, path: ModelPath) -> bytes:
        """Tells the state of a model's versions."""
        request = get_model_status_pb2.GetModelStatusRequest()
        path.fill(request.model_spec)
        return status_answer(self._inference.model_status(request))

    def metadata(self, path: ModelPath) -> bytes:
        """Tells the signatures of a version."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        path.fill(request.model_spec)
        return metadata_answer(self._inference.metadata(request))

    def observed(self, path: ModelPath) -> Observed:
        """Begins to observe a request to run a model; see `Inference.observed`."""
        return self._inference.observed(_METHODS[path.action], entrypoint="REST", model=path.name)

    def _prepared(self, path: ModelPath, document: Mapping[str, Any], read_inputs: _ReadInputs, observed: Observed
                  ) -> JsonPredict | None:
        name = signature_name(document)
        prepared = self._inference.prepare_predict_of_arrays(
            lambda signatures: read_inputs(document, _known_inputs(signatures, name)), model=path.name, version=path.version,
            label=path.label, signature_name=name, observed=observed)
        return None if prepared is None else JsonPredict(prepared, has_rows=asks_for_rows(document))

    def _fill_from_examples(self, request: Any, path: ModelPath, body: bytes) -> None:
        document = parse_object(body)
        path.fill(request.model_spec)
        request.model_spec.signature_name = signature_name(document)
        request.input.CopyFrom(examples_input(document))


def _known_inputs(signatures: Mapping[str, Any], name: str) -> Mapping[str, TensorInfo]:
    signature = signatures.get(name or DEFAULT_SIGNATURE_NAME)
    if signature is None:
        raise StatusError(Code.INVALID_ARGUMENT,
                          f'Serving signature name: "{name or DEFAULT_SIGNATURE_NAME}" not found in signature def')
    if not signature.inputs:
        raise StatusError(Code.INVALID_ARGUMENT, f"Failed to get input map for signature: {name or 'DEFAULT'}")
    return signature.inputs
