"""Small SavedModels and servers for the tests of serving and of the client; each model is saved once and copied."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from expman.runtimes.saved_model_predictor import SavedModelPredictor
from expman.serving.embedded_server import EmbeddedServer, Endpoints
from expman.serving.models.model_config import ModelConfig
from expman.serving.server_options import ServerOptions

MAX_MESSAGE_BYTES = 16 * 2**20
_FIRST_PORT = 12_000
_PORTS_OF_WORKER = 1_000
_NUM_PORT_RANGES = 20


def saved_once(save: Callable[..., Path]) -> Callable[..., Path]:
    """Lets a function that saves a model do so once for all tests of this process; each gets a copy, which appears at once."""
    @functools.cache
    def saved(**parameters: object) -> Path:
        return save(Path(tempfile.mkdtemp(dir=_folder_of_models().name)) / "model", **parameters)

    @functools.wraps(save)
    def copied(folder: Path, **parameters: object) -> Path:
        hidden = folder.with_name(f".{folder.name}.copied")
        shutil.copytree(saved(**parameters), hidden, copy_function=shutil.copy)
        return hidden.rename(folder)

    return copied


@functools.cache
def _folder_of_models() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="saved-models-", ignore_cleanup_errors=True)


@saved_once
def save_affine_model(folder: Path, *, slope: float = 2.0, num_unused_bytes: int = 0) -> Path:
    """Saves a model of y = slope · x + shift, with a variable of some size that only takes memory.

    `serving_default`: x float32 [None, 2] -> y [None, 2] and z = -y. `with_shift`: x and a scalar shift -> y.
    `inverse`: matrix float32 [None, None] -> its inverse, which a matrix that is not square has none of.
    """
    if slope != 2.0:
        save_affine_model(folder, num_unused_bytes=num_unused_bytes)
        _set_variables(folder, {"slope": np.float32(slope)})
        return folder

    class Affine(tf.Module):
        def __init__(self) -> None:
            self.slope = tf.Variable(slope)
            self.unused = tf.Variable(tf.random.uniform([num_unused_bytes // 4]))

        @tf.function
        def both_heads(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            y = self.slope * x
            return {"y": y, "z": -y}

        @tf.function
        def with_shift(self, x: tf.Tensor, shift: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": self.slope * x + shift}

        @tf.function
        def inverse(self, matrix: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"inverse": tf.linalg.inv(matrix)}

    model = Affine()
    x = tf.TensorSpec([None, 2], tf.float32, "x")
    tf.saved_model.save(model, str(folder), signatures={
        "serving_default": model.both_heads.get_concrete_function(x),
        "with_shift": model.with_shift.get_concrete_function(x, tf.TensorSpec([], tf.float32, "shift")),
        "inverse": model.inverse.get_concrete_function(tf.TensorSpec([None, None], tf.float32, "matrix")),
    })
    return folder


def _set_variables(folder: Path, values: dict[str, np.ndarray]) -> None:
    """Replaces variables of a saved model, in hundredths of the time of saving another one."""
    prefix = str(folder / "variables" / "variables")
    reader = tf.train.load_checkpoint(prefix)
    tensors = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    for name, value in values.items():
        tensors[f"{name}/.ATTRIBUTES/VARIABLE_VALUE"] = value
    names = sorted(tensors)
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names),
                      tensors=[tensors[name] for name in names])


@saved_once
def save_text_model(folder: Path) -> Path:
    """Saves a model of text string [None] -> upper case, the joined text as a scalar, and the lengths int32 [None]."""
    class Text(tf.Module):
        @tf.function
        def upper(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"upper": tf.strings.upper(text), "joined": tf.strings.reduce_join(text),
                    "length": tf.strings.length(text)}

    model = Text()
    tf.saved_model.save(model, str(folder), signatures={
        "serving_default": model.upper.get_concrete_function(tf.TensorSpec([None], tf.string, "text"))})
    return folder


@saved_once
def save_slow_model(folder: Path) -> Path:
    """Saves a model that writes the file `started` when a request begins and answers `seconds` later."""
    class Slow(tf.Module):
        @tf.function
        def wait(self, seconds: tf.Tensor, started: tf.Tensor) -> dict[str, tf.Tensor]:
            with tf.control_dependencies([tf.io.write_file(started, "")]):
                end = tf.timestamp() + seconds
            count, = tf.while_loop(lambda _: tf.timestamp() < end, lambda count: [count + 1],
                                   [tf.constant(0, tf.int64)])
            return {"count": count}

    model = Slow()
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.wait.get_concrete_function(
        tf.TensorSpec([], tf.float64, "seconds"), tf.TensorSpec([], tf.string, "started"))})
    return folder


def free_port() -> int:
    """Returns a port that was free a moment ago.

    It is none of those that the system gives to connections by itself (from 32768), and each worker of a parallel run has a range
    of its own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = _FIRST_PORT + worker % _NUM_PORT_RANGES * _PORTS_OF_WORKER
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", first + secrets.randbelow(_PORTS_OF_WORKER)))
            return probe.getsockname()[1]


@saved_once
def save_example_model(folder: Path) -> Path:
    """Saves a model of tf.Examples with a feature x (float, one number) and a context feature w (float, 1 if absent).

    `serving_default` and `classify`: inputs -> classes [batch, 2] ("low", "high") and scores [batch, 2] (w·x, -w·x);
    `scores_only`: without the classes; `regress`: inputs -> outputs [batch, 1], 10·w·x; `regress_flat`: the same as [batch];
    `regress_wrong`: outputs of shape [batch, 3].
    """
    class Examples(tf.Module):
        def product(self, serialized: tf.Tensor) -> tf.Tensor:
            parsed = tf.io.parse_example(serialized, {
                "x": tf.io.FixedLenFeature([1], tf.float32), "w": tf.io.FixedLenFeature([1], tf.float32, 1.0)})
            return parsed["w"] * parsed["x"]

        @tf.function
        def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            product = self.product(inputs)
            return {"classes": tf.tile([["low", "high"]], [tf.shape(product)[0], 1]),
                    "scores": tf.concat([product, -product], 1)}

        @tf.function
        def scores_only(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"scores": self.classify(inputs)["scores"]}

        @tf.function
        def regress(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"outputs": 10 * self.product(inputs)}

        @tf.function
        def regress_flat(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"outputs": 10 * self.product(inputs)[:, 0]}

        @tf.function
        def regress_wrong(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"outputs": tf.tile(self.product(inputs), [1, 3])}

    model = Examples()
    inputs = tf.TensorSpec([None], tf.string, "inputs")
    names = ("classify", "scores_only", "regress", "regress_flat", "regress_wrong")
    signatures = {name: getattr(model, name).get_concrete_function(inputs) for name in names}
    tf.saved_model.save(model, str(folder), signatures={"serving_default": signatures["classify"], **signatures})
    return folder


@contextmanager
def running_server(base_path: Path, *, model_name: str = "m", **options: object) -> Iterator[int]:
    """Serves a model in this process over gRPC; yields the port."""
    with running_endpoints(base_path, model_name=model_name, **options) as endpoints:
        yield endpoints.grpc_port


@contextmanager
def running_endpoints(base_path: Path, *, model_name: str = "m", **options: object) -> Iterator[Endpoints]:
    """Serves a model in this process; yields where.

    Arguments:
        options: of `ServerOptions`; REST is off unless `rest_port` is given.
    """
    limits = {"grpc.max_receive_message_length": MAX_MESSAGE_BYTES, "grpc.max_send_message_length": MAX_MESSAGE_BYTES}
    server = EmbeddedServer(ServerOptions(**{
        "models": [ModelConfig(name=model_name, base_path=base_path)], "address": "127.0.0.1", "grpc_port": 0,
        "grpc_arguments": limits, "poll_seconds": 0.05, **options}))
    endpoints = server.start()
    try:
        yield endpoints
    finally:
        server.stop()


def noted_threads_of_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list to which each run of a model that is loaded from now on adds the name of its thread."""
    names: list[str] = []
    load = SavedModelPredictor.__init__

    def noting(self: SavedModelPredictor, *arguments: object, **named: object) -> None:
        load(self, *arguments, **named)
        compute = self.run

        def noted(*run_arguments: object, **run_named: object) -> list[np.ndarray]:
            names.append(threading.current_thread().name)
            return compute(*run_arguments, **run_named)

        self.run = noted

    monkeypatch.setattr(SavedModelPredictor, "__init__", noting)
    return names


class OfficialClient:
    """The stubs of tensorflow-serving-api on one channel, as any TensorFlow Serving client uses them."""

    def __init__(self, port: int) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[
            ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)])
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def __enter__(self) -> OfficialClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def predict(self, inputs: dict, **spec: object) -> predict_pb2.PredictResponse:
        return self.prediction.Predict(predict_request(inputs, **spec), timeout=60)

    def statuses(self, name: str = "m") -> list[get_model_status_pb2.ModelVersionStatus]:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        return list(self.model.GetModelStatus(request, timeout=60).model_version_status)


def predict_request(inputs: dict, *, name: str = "m", signature_name: str = "", version: int | None = None,
                    label: str = "", output_filter: tuple[str, ...] = ()) -> predict_pb2.PredictRequest:
    """A request with the inputs (array-like) encoded by TensorFlow itself."""
    request = predict_pb2.PredictRequest(output_filter=output_filter)
    request.model_spec.name = name
    request.model_spec.signature_name = signature_name
    if version is not None:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request
