"""The server swaps versions without failing a request, opens its port only when it can serve, and stops cleanly."""

from __future__ import annotations

import signal
import socket
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2

from expman.errors import ServingError
from expman.serving.embedded_server import EmbeddedServer
from expman.serving.models.model_config import ModelConfig
from expman.serving.server_options import ServerOptions
from tests.support.serving_models import (
    OfficialClient,
    free_port,
    predict_request,
    running_server,
    save_affine_model,
    save_slow_model,
)
from tests.support.serving_process import server_process

_X = np.array([[1, 2], [3, 4]], np.float32)


def options(base_path: Path, port: int, *, address: str = "127.0.0.1") -> ServerOptions:
    return ServerOptions(models=[ModelConfig(name="m", base_path=base_path)], address=address, grpc_port=port)


@pytest.mark.slow
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
    assert states == dict.fromkeys(versions[:-1], get_model_status_pb2.ModelVersionStatus.END) | {
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
        second = EmbeddedServer(options(tmp_path, port))
        with pytest.raises(ServingError, match=f"port {port} on 127.0.0.1 is already in use.*`--port`"):
            second.start()


def test_address_of_another_machine_is_an_error(tmp_path: Path) -> None:
    server = EmbeddedServer(options(tmp_path, 0, address="192.0.2.1"))
    with pytest.raises(ServingError, match="cannot listen on address '192.0.2.1'.*127.0.0.1"):
        server.start()


def test_port_stays_closed_when_no_version_can_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\xff" * 100)
    port = free_port()
    server = EmbeddedServer(options(tmp_path, port))
    with pytest.raises(ServingError, match="version 1: .*is not a SavedModel"):
        server.start()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_stop_signal_lets_the_request_in_flight_be_answered_and_exits_0(tmp_path: Path, stop_signal: int) -> None:
    save_slow_model(tmp_path / "m" / "1")
    started = tmp_path / "started"
    with server_process(tmp_path / "m") as server:
        process = server.process
        with OfficialClient(server.port) as official_client:
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


def test_server_never_imports_tensorflow(tmp_path: Path) -> None:
    save_affine_model(tmp_path / "1")
    with server_process(tmp_path) as server:
        process = server.process
        with OfficialClient(server.port) as official_client:
            official_client.predict({"x": _X})
        libraries = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")
    assert "libtensorflow_cc.so" in libraries
    assert "_pywrap_tensorflow" not in libraries


def test_second_signal_cancels_the_request_in_flight(tmp_path: Path) -> None:
    save_slow_model(tmp_path / "m" / "1")
    started = tmp_path / "started"
    with server_process(tmp_path / "m") as server:
        process = server.process
        with OfficialClient(server.port) as official_client:
            answer = official_client.prediction.Predict.future(
                predict_request({"seconds": np.float64(5), "started": str(started).encode()}), timeout=60)
            while not started.exists():
                assert not answer.done(), answer.exception()
                time.sleep(0.01)
            # At once, as when a terminal and a parent process both end it; two signals of one kind may arrive as one.
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
            assert answer.exception(timeout=60).code() is grpc.StatusCode.UNAVAILABLE  # not answered after 5 seconds
        assert process.wait(60) == 130
        assert "Traceback" not in process.stderr.read()


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
