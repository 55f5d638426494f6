"""The gRPC methods of PredictionService and ModelService, on top of `Inference`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

from expman.serving.grpc_api.event_calls import EventCall
from expman.serving.grpc_api.exchange import Call, Exchange
from expman.serving.inference.inference import CLASSIFY, MULTI_INFERENCE, REGRESS, Inference
from expman.serving.observers.observed_request import NOT_OBSERVED, Observed
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
        begin_observed: begins to observe a request.
        runs_model: False for those that only tell or change what is served: they take no time limit and are not observed.
    """

    name: str
    function: Callable[..., Any]
    request_type: Any
    begin_observed: Callable[[], Observed] = lambda: NOT_OBSERVED
    runs_model: bool = False

    def answer(self, data: bytes, call: Call) -> None:
        """Answers in this thread."""
        with self._exchange(call) as exchange:
            request = exchange.request(data)
            arguments = {"timeout_seconds": call.time_remaining(), "observed": exchange.observed} if self.runs_model else {}
            exchange.finish(self.function(request, **arguments).SerializeToString())

    def begin(self, data: bytes, call: EventCall, threads: Executor) -> None:
        """Answers in one of the threads; returns at once."""
        call.keep()
        threads.submit(self.answer, data, call)

    def _exchange(self, call: Call) -> Exchange:
        return Exchange(self.name, self.request_type, call, self.begin_observed())


def of_models(name: str, inference: Inference) -> dict[str, Any]:
    """Returns the arguments of `Method` for one that runs a model."""
    return {"begin_observed": partial(inference.observed, name, entrypoint="GRPC"), "runs_model": True}


def service_methods(inference: Inference, *, predict: Method) -> dict[str, Method]:
    """Returns path -> method, of both services.

    Arguments:
        inference: what answers.
        predict: the one method that has a way of its own.
    """
    services = {
        PREDICTION_SERVICE: (
            predict,
            Method(CLASSIFY, inference.classify, classification_pb2.ClassificationRequest,
                   **of_models(CLASSIFY, inference)),
            Method(REGRESS, inference.regress, regression_pb2.RegressionRequest,
                   **of_models(REGRESS, inference)),
            Method(MULTI_INFERENCE, inference.multi_inference, inference_pb2.MultiInferenceRequest,
                   **of_models(MULTI_INFERENCE, inference)),
            Method("GetModelMetadata", inference.metadata, get_model_metadata_pb2.GetModelMetadataRequest),
        ),
        MODEL_SERVICE: (
            Method("GetModelStatus", inference.model_status, get_model_status_pb2.GetModelStatusRequest),
            Method("HandleReloadConfigRequest", inference.reload_config, model_management_pb2.ReloadConfigRequest),
        ),
    }
    return {f"/{service}/{method.name}": method for service, methods in services.items() for method in methods}
