"""The clients' stubs of TensorFlow Serving's services, imported without starting TensorFlow; they bring gRPC."""

from __future__ import annotations

from expman.wire.protos import empty_package_for_tensorflow

with empty_package_for_tensorflow():
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

__all__ = ["model_service_pb2_grpc", "prediction_service_pb2_grpc"]
