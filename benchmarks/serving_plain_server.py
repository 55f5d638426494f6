"""What one writes without a model server: a pool of threads behind gRPC, each calling what `tf.saved_model.load` returned.

python benchmarks/serving_plain_server.py PORT VERSION_FOLDER
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers Predict from one model."""

    def __init__(self, version_folder: str) -> None:
        self._model = tf.saved_model.load(version_folder)
        self._signature = self._model.signatures["serving_default"]

    def Predict(self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext) -> predict_pb2.PredictResponse:
        inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
        response = predict_pb2.PredictResponse()
        for name, tensor in self._signature(**inputs).items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(tensor.numpy()))
        return response


def main() -> None:
    port, version_folder = sys.argv[1:]
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1),
                                                         ("grpc.max_send_message_length", -1)])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(version_folder), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
