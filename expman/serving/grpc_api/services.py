"""The gRPC methods of PredictionService and ModelService, on top of `Inference`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from expman.protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)
from expman.saved_models.status import Code, StatusError
from expman.serving.inference.inference import Inference
from expman.serving.metrics import observe_request

_LOGGER = logging.getLogger(__name__)

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"

_GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}
# A status message travels in HTTP/2 trailers, of which clients accept 8 KiB; escaping can triple its length.
_LONGEST_MESSAGE_BYTES = 2048


@dataclass(frozen=True)
class _Method:
    """One method of a service.

    Attributes:
        function: what answers.
        request_type: the message that it takes.
        has_deadline: whether it runs a model, which may take as long as the caller waits.
    """

    function: Callable[..., Any]
    request_type: Any
    has_deadline: bool = True


def service_handlers(inference: Inference) -> list[grpc.GenericRpcHandler]:
    """Both services, for `grpc.Server.add_generic_rpc_handlers`."""
    services = {
        PREDICTION_SERVICE: {
            "Predict": _Method(inference.predict, predict_pb2.PredictRequest),
            "Classify": _Method(inference.classify, classification_pb2.ClassificationRequest),
            "Regress": _Method(inference.regress, regression_pb2.RegressionRequest),
            "MultiInference": _Method(inference.multi_inference, inference_pb2.MultiInferenceRequest),
            "GetModelMetadata": _Method(inference.metadata, get_model_metadata_pb2.GetModelMetadataRequest, False),
        },
        MODEL_SERVICE: {
            "GetModelStatus": _Method(inference.model_status, get_model_status_pb2.GetModelStatusRequest, False),
            "HandleReloadConfigRequest": _Method(inference.reload_config, model_management_pb2.ReloadConfigRequest, False),
        },
    }
    return [grpc.method_handlers_generic_handler(service, {
        name: grpc.unary_unary_rpc_method_handler(_answering(name, method)) for name, method in methods.items()})
        for service, methods in services.items()]


def _answering(name: str, method: _Method) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    """Makes a gRPC method of one that takes a request alone: what it raises becomes the call's status.

    The method takes bytes: where gRPC itself cannot parse a request, it never gives the thread back (grpcio 1.85.1), so that
    a few damaged requests would stop the server.
    """

    def answer(data: bytes, context: grpc.ServicerContext) -> bytes:
        started = time.perf_counter()
        code, message, model = Code.OK, "", ""
        try:
            # A caller that has left while the request waited for a thread needs no answer.
            if not context.is_active():
                raise StatusError(Code.CANCELLED, "the caller has cancelled the request")
            request = method.request_type.FromString(data)
            model = _model_name(request)
            if method.has_deadline:
                return method.function(request, timeout_seconds=context.time_remaining()).SerializeToString()
            return method.function(request).SerializeToString()
        except StatusError as fault:
            code, message = fault.code, fault.message
        except DecodeError as error:
            # The code is that of gRPC for such a request.
            code, message = Code.INTERNAL, f"the request is no {method.request_type.DESCRIPTOR.full_name}: {error}"
        except Exception as error:
            # The boundary of the process towards its clients: one request's bug must not take the server down.
            _LOGGER.exception("%s failed", name)
            code = Code.INTERNAL
            message = f"{name} failed on the server, whose log has the details: {type(error).__name__}: {error}"
        finally:
            observe_request(name, model=model, entrypoint="GRPC", code=code,
                            seconds=time.perf_counter() - started)
        context.abort(_GRPC_CODES[int(code)], _shortened(message))

    return answer


def _model_name(request: Any) -> str:
    spec = getattr(request, "model_spec", None)
    return "" if spec is None else spec.name


def _shortened(message: str) -> str:
    encoded = message.encode("utf-8")
    if len(encoded) <= _LONGEST_MESSAGE_BYTES:
        return message
    return encoded[:_LONGEST_MESSAGE_BYTES].decode("utf-8", "ignore") + " …"
