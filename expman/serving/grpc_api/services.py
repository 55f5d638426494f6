"""The gRPC methods of PredictionService and ModelService, on top of `Inference`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from expman.serving.grpc_api.event_calls import EventCall
from expman.serving.grpc_api.exchange import Call, Exchange
from expman.serving.inference.inference import Inference
from expman.wire.protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    regression_pb2,
)

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"


@dataclass(frozen=True)
class Method:
    """One method of a service.

    It takes bytes: where gRPC itself cannot parse a request, it never gives the thread back (grpcio 1.85.1), so that a few
    damaged requests would stop the server.

    Attributes:
        name: within its service.
        function: what answers.
        request_type: the message that it takes.
        has_deadline: it runs a model, which may take as long as the caller waits.
    """

    name: str
    function: Callable[..., Any]
    request_type: Any
    has_deadline: bool = True

    def answer(self, data: bytes, call: Call) -> None:
        """Answers in this thread."""
        with self._exchange(call) as exchange:
            request = exchange.request(data)
            arguments = {"timeout_seconds": call.time_remaining()} if self.has_deadline else {}
            exchange.finish(self.function(request, **arguments).SerializeToString())

    def begin(self, data: bytes, call: EventCall, threads: Executor) -> None:
        """Answers in one of the threads; returns at once."""
        call.keep()
        threads.submit(self.answer, data, call)

    def _exchange(self, call: Call) -> Exchange:
        return Exchange(self.name, self.request_type, call)


def service_methods(inference: Inference, *, predict: Method) -> dict[str, Method]:
    """Returns path -> method, of both services.

    Arguments:
        inference: what answers.
        predict: the one method that has a way of its own.
    """
    services = {
        PREDICTION_SERVICE: (
            predict,
            Method("Classify", inference.classify, classification_pb2.ClassificationRequest),
            Method("Regress", inference.regress, regression_pb2.RegressionRequest),
            Method("MultiInference", inference.multi_inference, inference_pb2.MultiInferenceRequest),
            Method("GetModelMetadata", inference.metadata, get_model_metadata_pb2.GetModelMetadataRequest, False),
        ),
        MODEL_SERVICE: (
            Method("GetModelStatus", inference.model_status, get_model_status_pb2.GetModelStatusRequest, False),
            Method("HandleReloadConfigRequest", inference.reload_config, model_management_pb2.ReloadConfigRequest, False),
        ),
    }
    return {f"/{service}/{method.name}": method for service, methods in services.items() for method in methods}
