"""The gRPC methods of PredictionService and ModelService, on top of `Inference`."""

from __future__ import annotations

from expman.serving.grpc_api.method import Method
from expman.serving.grpc_api.predict_method import predict_method
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


def service_methods(inference: Inference) -> dict[str, Method]:
    """Path -> method, of both services."""
    services = {
        PREDICTION_SERVICE: (
            predict_method(inference),
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
