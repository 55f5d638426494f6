"""TensorFlow Serving's gRPC services on top of a store of versions: messages in, messages out, faults to codes."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np

from expman.serving.faults import InvalidRequestError, NotFoundError, RequestError
from expman.serving.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from expman.serving.tensor_codec import to_numpy, to_tensor_proto
from expman.serving.version_store import VersionStatus, VersionStore

_LOGGER = logging.getLogger(__name__)

_CODE_OF_FAULT = {
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
}
# A status message travels in HTTP/2 trailers, of which clients accept 8 KiB; escaping can triple its length.
_LONGEST_MESSAGE_BYTES = 2048
_METADATA_FIELD = "signature_def"


def _with_faults_as_codes(method: Callable[[Any, Any], Any]) -> Callable[[Any, Any, grpc.ServicerContext], Any]:
    """Makes a gRPC method of one that takes a request alone: what it raises becomes the call's status."""

    @functools.wraps(method)
    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request)
        except RequestError as fault:
            context.abort(_CODE_OF_FAULT[type(fault)], _shortened(str(fault)))
        except Exception as error:
            # The boundary of the process towards its clients: one request's bug must not take the server down.
            _LOGGER.exception("%s failed", method.__name__)
            context.abort(grpc.StatusCode.INTERNAL, _shortened(
                f"{method.__name__} failed on the server, whose log has the details: {type(error).__name__}: {error}"))

    return answer


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the service's other methods answer UNIMPLEMENTED.

    Arguments:
        store: where the versions come from.
    """

    def __init__(self, store: VersionStore) -> None:
        self._store = store

    @_with_faults_as_codes
    def Predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """Runs a signature; answers carry typed fields (`float_val` …), as TensorFlow Serving's do."""
        name, version = _wanted_model(request)
        inputs = {key: _decoded(key, tensor) for key, tensor in request.inputs.items()}
        signature_name = request.model_spec.signature_name
        with self._store.acquire(name, version) as served:
            outputs = served.predictor.predict(signature_name=signature_name, inputs=inputs,
                                               output_filter=request.output_filter)
            response = predict_pb2.PredictResponse(
                model_spec=_answered_spec(name, served.number, signature_name or "serving_default"))
        for key, array in outputs.items():
            response.outputs[key].CopyFrom(to_tensor_proto(array))
        return response

    @_with_faults_as_codes
    def GetModelMetadata(self, request: get_model_metadata_pb2.GetModelMetadataRequest,
                         ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Tells the signatures of the served version."""
        name, version = _wanted_model(request)
        if not request.metadata_field:
            raise InvalidRequestError("GetModelMetadataRequest must specify at least one metadata_field "
                                      f"(known: {_METADATA_FIELD}).")
        for field in request.metadata_field:
            if field != _METADATA_FIELD:
                raise InvalidRequestError(f"Metadata field {field} is not supported (known: {_METADATA_FIELD}).")
        signature_map = get_model_metadata_pb2.SignatureDefMap()
        with self._store.acquire(name, version) as served:
            for key, signature in served.predictor.signatures.items():
                signature_map.signature_def[key].CopyFrom(signature)
            response = get_model_metadata_pb2.GetModelMetadataResponse(
                model_spec=_answered_spec(name, served.number, ""))
        response.metadata[_METADATA_FIELD].Pack(signature_map)
        return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus; the service's other method answers UNIMPLEMENTED.

    Arguments:
        store: where the versions come from.
    """

    def __init__(self, store: VersionStore) -> None:
        self._store = store

    @_with_faults_as_codes
    def GetModelStatus(self, request: get_model_status_pb2.GetModelStatusRequest,
                       ) -> get_model_status_pb2.GetModelStatusResponse:
        """Tells the state of one version or of all, newest first."""
        statuses = self._store.statuses(*_wanted_model(request))
        return get_model_status_pb2.GetModelStatusResponse(
            model_version_status=[_status_message(status) for status in statuses])


def _wanted_model(request: Any) -> tuple[str, int | None]:
    """The model's name and the version (None: the newest) of any request that has a model_spec.

    Raises:
        InvalidRequestError: neither is given, or a label, which this server has none of.
    """
    if not request.HasField("model_spec"):
        raise InvalidRequestError("Missing ModelSpec")
    spec = request.model_spec
    if not spec.name:
        raise InvalidRequestError("ModelSpec has no name specified.")
    if spec.WhichOneof("version_choice") == "version_label":
        raise InvalidRequestError(f"Unrecognized servable version label: {spec.version_label}")
    return spec.name, spec.version.value if spec.HasField("version") else None


def _answered_spec(name: str, version: int, signature_name: str) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=name, signature_name=signature_name)
    spec.version.value = version
    return spec


def _decoded(name: str, tensor_proto: Any) -> np.ndarray:
    try:
        return to_numpy(tensor_proto)
    except ValueError as error:
        raise InvalidRequestError(f"tensor parsing error: {name}: {error}") from error


def _status_message(status: VersionStatus) -> get_model_status_pb2.ModelVersionStatus:
    message = get_model_status_pb2.ModelVersionStatus(version=status.version, state=int(status.state))
    if status.error:
        message.status.error_code = grpc.StatusCode.UNKNOWN.value[0]
        message.status.error_message = status.error
    else:
        message.status.error_code = grpc.StatusCode.OK.value[0]
    return message


def _shortened(message: str) -> str:
    encoded = message.encode("utf-8")
    if len(encoded) <= _LONGEST_MESSAGE_BYTES:
        return message
    return encoded[:_LONGEST_MESSAGE_BYTES].decode("utf-8", "ignore") + " …"
