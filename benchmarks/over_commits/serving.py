"""How long the embedded server takes to start, and for a request on one connection."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from .small_experiment import trained


class Serving:
    """A small network, so that nearly all time is the server's."""

    timeout = 300
    repeat = (3, 10, 20.0)

    def setup_cache(self) -> str:
        """Exports the model that is served; asv removes its folder, the current one, at the end."""
        (model,) = (trained(Path.cwd()) / "export").iterdir()
        return str(model)

    def setup(self, model: str) -> None:
        """Starts the server and sends the first request."""
        import grpc
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
        self._process, port = started(model)
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._predict = prediction_service_pb2_grpc.PredictionServiceStub(self._channel).Predict
        self._request = predict_pb2.PredictRequest()
        self._request.model_spec.name = "m"
        self._request.inputs["x"].CopyFrom(tf.make_tensor_proto([[0.5]]))
        self._predict(self._request)

    def teardown(self, model: str) -> None:
        """Ends the server."""
        self._channel.close()
        end(self._process)

    def time_request(self, model: str) -> None:
        """One request after the other."""
        self._predict(self._request)


class ServerStart:
    """From the start of the process until it can answer."""

    timeout = 300
    repeat = (3, 7, 30.0)
    number = 1
    setup_cache = Serving.setup_cache

    def time_ready(self, model: str) -> None:
        """The server says that it is ready."""
        end(started(model)[0])


def started(model: str) -> tuple[subprocess.Popen[str], int]:
    """A server that is ready, and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "expman.serving", "--model_name=m", f"--model_base_path={model}",
                                "--address=127.0.0.1", f"--port={port}"], stdout=subprocess.PIPE, text=True)
    if not process.stdout.readline().startswith("serving "):
        raise RuntimeError("The server did not start; see above.")
    return process, port


def end(process: subprocess.Popen[str]) -> None:
    """Kills a server that has nothing to lose."""
    process.kill()
    process.communicate()
