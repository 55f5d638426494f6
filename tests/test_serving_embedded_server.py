"""Clients with the official stubs get right answers, right refusals, and no failure while versions are swapped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving_models import (
    MAX_MESSAGE_BYTES,
    OfficialClient,
    free_port,
    predict_request,
    running_server,
    save_affine_model,
    save_slow_model,
    save_text_model,
)
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from expman.errors import ServingError
from expman.serving.embedded_server import EmbeddedServer
from expman.serving.predictor import SavedModelPredictor
from expman.serving.version_store import VersionStore

_X = np.array([[1, 2], [3, 4]], np.float32)
_REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def server_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server of version 3 of the affine model `m`."""
    base_path = tmp_path_factory.mktemp("affine")
    save_affine_model(base_path / "3")
    with running_server(base_path) as port:
        yield port


@pytest.fixture(scope="module")
def client(server_port: int) -> Iterator[OfficialClient]:
    with OfficialClient(server_port) as official_client:
        yield official_client


def test_answer_holds_outputs_and_echoes_the_model(client: OfficialClient) -> None:
    response = client.predict({"x": _X})
    np.testing.assert_allclose(tf.make_ndarray(response.outputs["y"]), 2 * _X)
    np.testing.assert_allclose(tf.make_ndarray(response.outputs["z"]), -2 * _X)
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 3, "serving_default")


def test_answer_carries_typed_fields(client: OfficialClient) -> None:
    output = client.predict({"x": _X}).outputs["y"]
    assert list(output.float_val) == [2, 4, 6, 8]
    assert not output.tensor_content


def test_version_signature_and_output_filter_are_respected(client: OfficialClient) -> None:
    response = client.predict({"x": _X}, version=3, output_filter=("z",))
    assert list(response.outputs) == ["z"]
    response = client.predict({"x": _X, "shift": np.float32(5)}, signature_name="with_shift")
    np.testing.assert_allclose(tf.make_ndarray(response.outputs["y"]), 2 * _X + 5)
    assert response.model_spec.signature_name == "with_shift"


def test_strings_are_served(tmp_path: Path) -> None:
    save_text_model(tmp_path / "1")
    with running_server(tmp_path) as port, OfficialClient(port) as official_client:
        outputs = official_client.predict({"text": [b"ab", "zwölf".encode()]}).outputs
    assert tf.make_ndarray(outputs["upper"]).tolist() == [b"AB", "ZWöLF".encode()]


def test_metadata_are_the_signatures_of_the_export(client: OfficialClient) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "m"
    response = client.prediction.GetModelMetadata(request, timeout=60)
    signature_map = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signature_map)
    assert set(signature_map.signature_def["with_shift"].inputs) == {"x", "shift"}
    assert response.model_spec.version.value == 3


def test_status_tells_the_available_version(client: OfficialClient) -> None:
    status, = client.statuses()
    assert status.version == 3
    assert status.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert status.status.error_code == 0


_REFUSED_PREDICTIONS = {
    "unknown model": (predict_request({"x": _X}, name="other"), "NOT_FOUND",
                      "Servable not found for request: Latest(other)"),
    "unknown version": (predict_request({"x": _X}, version=7), "NOT_FOUND",
                        "Servable not found for request: Specific(m, 7)"),
    "unknown signature": (predict_request({"x": _X}, signature_name="wrong"), "NOT_FOUND",
                          'Serving signature key "wrong" not found.'),
    "missing input": (predict_request({}), "INVALID_ARGUMENT", "missing input 'x'"),
    "unknown input": (predict_request({"x": _X, "w": _X}), "INVALID_ARGUMENT", "unknown input 'w'"),
    "unknown output": (predict_request({"x": _X}, output_filter=("q",)), "INVALID_ARGUMENT", "unknown output 'q'"),
    "wrong dtype": (predict_request({"x": _X.astype(np.float64)}), "INVALID_ARGUMENT",
                    "input 'x' must be of dtype float32. Got float64."),
    "wrong shape": (predict_request({"x": _X[:, :1]}), "INVALID_ARGUMENT",
                    "input 'x' must be of shape (None, 2) (None: any size). Got (2, 1)."),
    "refused by the kernel": (predict_request({"matrix": _X[:1]}, signature_name="inverse"), "INVALID_ARGUMENT",
                              "must be square"),
    "no model_spec": (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
    "no name": (predict_request({"x": _X}, name="", version=1), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
}


@pytest.mark.parametrize("case", _REFUSED_PREDICTIONS)
def test_wrong_prediction_request_gets_its_code_and_reason(client: OfficialClient, case: str) -> None:
    request, code, message = _REFUSED_PREDICTIONS[case]
    _assert_refused(client.prediction.Predict, request, code=code, message=message)


def test_malformed_tensor_is_invalid(client: OfficialClient) -> None:
    request = predict_request({"x": _X})
    request.inputs["x"].tensor_content = b"short"
    _assert_refused(client.prediction.Predict, request, code="INVALID_ARGUMENT", message="tensor parsing error: x: ")


def test_version_label_is_invalid(client: OfficialClient) -> None:
    request = predict_request({"x": _X})
    request.model_spec.version_label = "stable"
    _assert_refused(client.prediction.Predict, request, code="INVALID_ARGUMENT",
                    message="Unrecognized servable version label: stable")


@pytest.mark.parametrize(("fields", "message"), [
    ([], "must specify at least one metadata_field"), (["other"], "Metadata field other is not supported")])
def test_other_metadata_are_invalid(client: OfficialClient, fields: list[str], message: str) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = "m"
    _assert_refused(client.prediction.GetModelMetadata, request, code="INVALID_ARGUMENT", message=message)


def test_status_of_an_unknown_model_is_not_found(client: OfficialClient) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "other"
    _assert_refused(client.model.GetModelStatus, request, code="NOT_FOUND",
                    message="Could not find any versions of model other")


def test_methods_that_are_not_there_are_unimplemented(client: OfficialClient) -> None:
    _assert_refused(client.prediction.Classify, classification_pb2.ClassificationRequest(), code="UNIMPLEMENTED",
                    message="")
    _assert_refused(client.model.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest(),
                    code="UNIMPLEMENTED", message="")


def test_long_message_reaches_the_client(client: OfficialClient) -> None:
    request = predict_request({"ä" * 20_000: _X})
    _assert_refused(client.prediction.Predict, request, code="INVALID_ARGUMENT", message="missing input 'x'")


def test_bug_of_the_server_is_internal_and_logged_with_its_traceback(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class BrokenPredictor:
        signatures: dict = {}

        def predict(self, **_: object) -> dict:
            raise ZeroDivisionError("a bug")

        def close(self) -> None:
            pass

    (tmp_path / "1").mkdir()
    store = VersionStore(model_name="m", base_path=tmp_path, load=lambda _: BrokenPredictor())
    server = EmbeddedServer(store=store, address="127.0.0.1", port=0, max_message_bytes=MAX_MESSAGE_BYTES)
    _, port = server.start()
    with OfficialClient(port) as official_client:
        _assert_refused(official_client.prediction.Predict, predict_request({"x": _X}), code="INTERNAL",
                        message="ZeroDivisionError: a bug")
    server.stop()
    assert "Traceback" in caplog.text and "ZeroDivisionError: a bug" in caplog.text


def test_requests_up_to_the_message_limit_are_answered_and_larger_ones_refused(server_port: int) -> None:
    options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{server_port}", options=options) as channel:
        predict = PredictionServiceStub(channel).Predict
        # Four million numbers fill the limit; two million are beyond gRPC's own default of 4 MiB.
        request = predict_request({"x": np.ones((2**20, 2), np.float32)}, output_filter=("y",))
        assert len(predict(request, timeout=60).outputs["y"].float_val) == 2**21
        _assert_refused(predict, predict_request({"x": np.ones((2**21, 2), np.float32)}), code="RESOURCE_EXHAUSTED",
                        message="larger than max")


def test_hot_swaps_under_load_fail_no_request_and_mix_no_versions(tmp_path: Path) -> None:
    versions = range(1, 9)
    hidden = tmp_path / "being_written"
    for number in versions:
        save_affine_model(hidden / str(number), slope=float(number))
    base_path = tmp_path / "m"
    base_path.mkdir()
    (hidden / "1").rename(base_path / "1")
    with running_server(base_path, poll_seconds=0.02) as port:
        load = _Load(port, num_clients=4)
        for number in versions[1:]:
            load.wait_for_version(number - 1)
            (hidden / str(number)).rename(base_path / str(number))
        load.wait_for_version(versions[-1])
        load.stop()
        with OfficialClient(port) as official_client:
            states = {status.version: status.state for status in official_client.statuses()}
    assert load.failures == []
    assert load.versions_seen == set(versions)
    assert states == {number: get_model_status_pb2.ModelVersionStatus.END for number in versions[:-1]} | {
        versions[-1]: get_model_status_pb2.ModelVersionStatus.AVAILABLE}


def test_broken_new_version_is_reported_and_the_old_one_serves_on(tmp_path: Path) -> None:
    save_affine_model(tmp_path / "1")
    with running_server(tmp_path) as port, OfficialClient(port) as official_client:
        (tmp_path / ".2").mkdir()
        (tmp_path / ".2" / "saved_model.pb").write_bytes(b"\xff" * 100)
        (tmp_path / ".2").rename(tmp_path / "2")
        while not (broken := [status for status in official_client.statuses() if status.version == 2
                              and status.state == get_model_status_pb2.ModelVersionStatus.END]):
            time.sleep(0.01)
        assert "is not a SavedModel" in broken[0].status.error_message
        assert broken[0].status.error_code != 0
        assert official_client.predict({"x": _X}).model_spec.version.value == 1


def test_port_in_use_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    save_affine_model(tmp_path / "1")
    with running_server(tmp_path) as port:
        store = VersionStore(model_name="m", base_path=tmp_path, load=SavedModelPredictor)
        second = EmbeddedServer(store=store, address="127.0.0.1", port=port, max_message_bytes=MAX_MESSAGE_BYTES)
        with pytest.raises(ServingError, match=f"port {port} on 127.0.0.1 is already in use.*`--port`"):
            second.start()


def test_address_of_another_machine_is_an_error(tmp_path: Path) -> None:
    store = VersionStore(model_name="m", base_path=tmp_path, load=SavedModelPredictor)
    server = EmbeddedServer(store=store, address="192.0.2.1", port=0, max_message_bytes=MAX_MESSAGE_BYTES)
    with pytest.raises(ServingError, match="cannot listen on address '192.0.2.1'.*127.0.0.1"):
        server.start()


def test_port_stays_closed_when_no_version_can_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\xff" * 100)
    port = free_port()
    store = VersionStore(model_name="m", base_path=tmp_path, load=SavedModelPredictor)
    server = EmbeddedServer(store=store, address="127.0.0.1", port=port, max_message_bytes=MAX_MESSAGE_BYTES)
    with pytest.raises(ServingError, match="version 1: .*is not a SavedModel"):
        server.start()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_stop_signal_lets_the_request_in_flight_be_answered_and_exits_0(tmp_path: Path, stop_signal: int) -> None:
    save_slow_model(tmp_path / "m" / "1")
    started = tmp_path / "started"
    with _server_process(tmp_path / "m") as process:
        ready_line = process.stdout.readline()
        assert ready_line.startswith("serving 'm' version 1 on 127.0.0.1:"), ready_line
        port = int(ready_line.split(" (")[0].rpartition(":")[2])
        with OfficialClient(port) as official_client:
            answer = official_client.prediction.Predict.future(
                predict_request({"seconds": np.float64(2), "started": str(started).encode()}), timeout=60)
            while not started.exists():
                assert not answer.done(), answer.exception()
                time.sleep(0.01)
            process.send_signal(stop_signal)
            assert tf.make_ndarray(answer.result().outputs["count"]) > 0
        assert process.wait(60) == 0
        assert process.stdout.read() == ""
        assert "Traceback" not in process.stderr.read()


@contextmanager
def _server_process(base_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Serves in a process of its own, which never outlives the test."""
    program = f"""
import sys
from pathlib import Path
from expman.serving.engines import serve
sys.exit(serve(base_path=Path({str(base_path)!r}), model_name="m", engine="embedded", address="127.0.0.1", port=0,
               rest_port=0, on_gpu=False, max_message_bytes={MAX_MESSAGE_BYTES}))
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=_REPOSITORY, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}) as process:
        try:
            yield process
        finally:
            process.kill()


def _assert_refused(method: grpc.UnaryUnaryMultiCallable, request: object, *, code: str, message: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        method(request, timeout=60)
    assert caught.value.code().name == code, caught.value.details()
    assert message in caught.value.details()


class _Load:
    """Clients that ask without a pause; each answer must be all of the version that it names."""

    def __init__(self, port: int, *, num_clients: int) -> None:
        self.failures: list[str] = []
        self.versions_seen: set[int] = set()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(port,)) for _ in range(num_clients)]
        for thread in self._threads:
            thread.start()

    def wait_for_version(self, number: int) -> None:
        while number not in self.versions_seen and not self.failures:
            time.sleep(0.001)

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, port: int) -> None:
        with OfficialClient(port) as official_client:
            while not self._is_over.is_set():
                try:
                    response = official_client.predict({"x": _X})
                except grpc.RpcError as error:
                    self.failures.append(f"{error.code()}: {error.details()}")
                    return
                version = response.model_spec.version.value
                y, z = (tf.make_ndarray(response.outputs[name]) for name in ("y", "z"))
                if not (np.array_equal(y, version * _X) and np.array_equal(z, -version * _X)):
                    self.failures.append(f"version {version} answered {y} and {z}")
                self.versions_seen.add(version)
