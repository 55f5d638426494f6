"""What goes wrong in a server's life goes by without harm: swaps and stops under load, damaged requests, broken clients.

Each test runs against a server process of its own on loopback.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf

from tests.support.serving_models import OfficialClient, free_port, predict_request, save_affine_model, save_slow_model
from tests.support.serving_process import ServerProcess, server_process

_X = np.array([[1, 2], [3, 4]], np.float32)
_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_REST_BODY = json.dumps({"instances": _X.tolist()}).encode()


@pytest.fixture(scope="module")
def base_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("affine")
    save_affine_model(folder / "1")
    return folder


@pytest.fixture(scope="module")
def rest_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(base_path: Path, rest_port: int) -> Iterator[ServerProcess]:
    """Shared by the tests after which it must still answer."""
    with server_process(base_path, f"--rest_api_port={rest_port}", "--rest_api_max_body_bytes=1000000",
                        "--enable_grpc_healthcheck_service",
                        "--grpc_channel_arguments=grpc.max_receive_message_length=1000000") as running:
        yield running


def assert_answers(server: ServerProcess, rest_port: int | None = None) -> None:
    """The server is up, and right."""
    assert server.process.poll() is None
    with OfficialClient(server.port) as client:
        assert tf.make_ndarray(client.predict({"x": _X}).outputs["y"]).tolist() == (2 * _X).tolist()
    if rest_port is not None:
        status, body = post(rest_port, _REST_BODY)
        assert status == 200
        assert [row["y"] for row in json.loads(body)["predictions"]] == (2 * _X).tolist()


def post(port: int, body: bytes, path: str = "/v1/models/m:predict") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class Load:
    """Clients that ask without a pause, each on a connection of its own."""

    def __init__(self, port: int, *, num_clients: int) -> None:
        self.num_answers = 0
        self.versions: Counter[int] = Counter()
        self.failures: list[str] = []
        self.refusals: list[str] = []
        self._port = port
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(num_clients)]
        for thread in self._threads:
            thread.start()

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until something is so, or a request has failed."""
        while not condition() and not self.failures:
            time.sleep(0.001)

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with OfficialClient(self._port) as client:
            while not self._is_over.is_set():
                try:
                    response = client.predict({"x": _X})
                except grpc.RpcError as error:
                    is_refusal = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
                    (self.refusals if is_refusal else self.failures).append(f"{error.code()}: {error.details()}")
                    return
                version = response.model_spec.version.value
                y, z = (tf.make_ndarray(response.outputs[name]) for name in ("y", "z"))
                with self._lock:
                    self.num_answers += 1
                    self.versions[version] += 1
                if not (np.array_equal(y, _slope(version) * _X) and np.array_equal(z, -_slope(version) * _X)):
                    self.failures.append(f"version {version} answered {y} and {z}")


def _slope(version: int) -> float:
    return 2.0 if version == 1 else float(version)


@pytest.mark.slow
def test_thirty_swaps_under_load_fail_nothing_mix_nothing_and_give_the_memory_back(tmp_path: Path) -> None:
    num_versions = 31
    hidden, served = tmp_path / "written", tmp_path / "m"
    for number in range(1, num_versions + 1):
        save_affine_model(hidden / str(number), slope=_slope(number), num_unused_bytes=2**23)
    served.mkdir()
    (hidden / "1").rename(served / "1")
    with server_process(served) as server:
        load = Load(server.port, num_clients=4)
        memory = {}
        for number in range(2, num_versions + 1):
            load.wait(lambda number=number: load.versions[number - 1] > 3)
            memory[number - 1] = server.resident_bytes()
            (hidden / str(number)).rename(served / str(number))
        load.wait(lambda: load.versions[num_versions] > 3)
        load.stop()
        assert load.failures == load.refusals == []
        assert set(load.versions) == set(range(1, num_versions + 1))
        while sum(status.state == 30 for status in _statuses(server)) > 1:
            time.sleep(0.05)
        # Each version holds 8 MB: 30 that were kept would be 240 MB. The first few warm the allocators up.
        settled = np.median([memory[number] for number in range(5, 11)])
        assert server.resident_bytes() <= 1.1 * settled


def _statuses(server: ServerProcess) -> list:
    with OfficialClient(server.port) as client:
        return client.statuses()


@pytest.mark.slow
def test_memory_stays_flat_over_a_hundred_thousand_requests(server: ServerProcess) -> None:
    request = predict_request({"x": _X}).SerializeToString()
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]

    async def ask(num_requests: int) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
            predict = channel.unary_unary(_PREDICT)
            for _ in range(num_requests):
                await predict(request, timeout=60)

    async def ask_together(num_requests: int) -> None:
        await asyncio.gather(*(ask(num_requests // 8) for _ in range(8)))

    asyncio.run(ask_together(10_000))
    before = server.resident_bytes()
    asyncio.run(ask_together(100_000))
    assert server.resident_bytes() <= before + 5 * 2**20


def mutated(request: bytes, source: random.Random) -> bytes:
    """A request with some bytes flipped, cut, doubled or put in."""
    data = bytearray(request)
    for _ in range(source.randint(1, 4)):
        place = source.randrange(len(data) + 1)
        match source.randrange(5):
            case 0:
                data[place:place + 1] = bytes([source.randrange(256)])
            case 1:
                del data[place:place + source.randint(1, 8)]
            case 2:
                data[place:place] = source.randbytes(source.randint(1, 8))
            case 3:
                data[place:place] = data[place:place + 20]
            case 4 if data:
                data[min(place, len(data) - 1)] ^= 1 << source.randrange(8)
        if not data:
            break
    return bytes(data)


def deformed(source: random.Random) -> bytes:
    """A well-formed message of which some fields are not as they should be."""
    request = predict_request({"x": _X}, signature_name="serving_default", version=1)
    tensor = request.inputs["x"]
    number = source.choice([-(2**63), -1, 0, 1, 3, 7, 255, 2**31, 2**40, 2**63 - 1])
    for _ in range(source.randint(1, 2)):
        match source.randrange(9):
            case 0:
                request.model_spec.name = source.choice(["", "n", "m" * 10_000, "\0", "../m"])
            case 1:
                request.model_spec.version.value = number
            case 2:
                request.model_spec.version_label = source.choice(["", "stable", "\n" * 100])
            case 3:
                request.model_spec.signature_name = source.choice(["", "with_shift", "inverse", "__saved_model_init_op", "?"])
            case 4:
                tensor.dtype = source.choice([*range(24), 101, 2**31 - 1])
            case 5:
                tensor.tensor_shape.dim.add(size=number)
            case 6:
                tensor.tensor_content = source.randbytes(source.choice([0, 1, 15, 17, 1000]))
            case 7:
                tensor.float_val.extend([float("nan")] * source.choice([1, 3, 5]))
            case 8:
                request.output_filter.append(source.choice(["", "y", "q", "y" * 3000]))
    return request.SerializeToString()


@pytest.mark.slow
def test_ten_thousand_damaged_requests_get_a_code_each_and_leave_the_server_right(server: ServerProcess,
                                                                                  rest_port: int) -> None:
    source = random.Random(0)
    valid = predict_request({"x": _X}, signature_name="serving_default", version=1).SerializeToString()
    codes: Counter[str] = Counter()
    with OfficialClient(server.port) as client:
        predict = client.channel.unary_unary(_PREDICT)
        for calls in range(0, 8000, 100):
            requests = [deformed(source) if source.random() < 0.5 else mutated(valid, source) for _ in range(100)]
            futures = [predict.future(request, timeout=20) for request in requests]
            for future in futures:
                codes[future.code().name] += 1
            if calls % 2000 == 0:
                assert_answers(server)
    # Bytes that are no message at all are INTERNAL, as gRPC has it.
    assert set(codes) <= {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "INTERNAL"}, codes
    assert codes["INVALID_ARGUMENT"] > 100 and codes["NOT_FOUND"] > 100, codes
    statuses: Counter[int] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", rest_port, timeout=60)
    for _ in range(2000):
        connection.request("POST", "/v1/models/m:predict", mutated(_REST_BODY, source))
        response = connection.getresponse()
        body = response.read()
        statuses[response.status] += 1
        assert response.status == 200 or json.loads(body)["error"]
    connection.close()
    assert set(statuses) <= {200, 400}, statuses
    assert statuses[400] > 500, statuses
    assert_answers(server, rest_port)


def test_requests_that_are_no_messages_take_no_thread_for_good(server: ServerProcess) -> None:
    methods = [_PREDICT, "/tensorflow.serving.ModelService/GetModelStatus", "/grpc.health.v1.Health/Check"]
    with OfficialClient(server.port) as client:
        for method in methods:
            for _ in range(50):  # more than there are threads
                future = client.channel.unary_unary(method).future(b"\xff\xff", timeout=20)
                assert future.code() is grpc.StatusCode.INTERNAL
                assert "the request is no " in future.details()
    assert_answers(server)


@pytest.mark.parametrize("rest_size", [0, 2_000_000])
def test_body_over_the_limit_is_refused(server: ServerProcess, rest_port: int, rest_size: int) -> None:
    if rest_size:
        status, body = post(rest_port, b" " * rest_size)
        assert status in (413, 400) and "error" in json.loads(body)
    else:
        with OfficialClient(server.port) as client, pytest.raises(grpc.RpcError) as caught:
            client.predict({"x": np.ones((200_000, 2), np.float32)})
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert_answers(server, rest_port)


def test_clients_that_stall_or_leave_disturb_nobody(server: ServerProcess, rest_port: int) -> None:
    head = f"POST /v1/models/m:predict HTTP/1.1\r\nHost: m\r\nContent-Length: {len(_REST_BODY)}\r\n\r\n".encode()
    stalled = []
    for data in (b"", b"POST /v1/mod", head, head + _REST_BODY[:5]):
        for port in (rest_port, server.port):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(data)
            stalled.append(connection)
    assert_answers(server, rest_port)
    for connection in stalled:  # in the middle of a request
        connection.close()
    for _ in range(50):
        with OfficialClient(server.port) as client:
            client.prediction.Predict.future(predict_request({"x": _X}), timeout=60).cancel()
        with socket.create_connection(("127.0.0.1", rest_port)) as connection:
            connection.sendall(head + _REST_BODY)  # and gone before the answer
    assert_answers(server, rest_port)


def test_five_hundred_idle_connections_disturb_nobody(server: ServerProcess, rest_port: int) -> None:
    idle = [socket.create_connection(("127.0.0.1", port)) for port in (server.port, rest_port) for _ in range(250)]
    assert_answers(server, rest_port)
    for connection in idle:
        connection.close()
    assert_answers(server, rest_port)


def test_cancelled_request_lets_the_next_ones_through(tmp_path: Path) -> None:
    save_slow_model(tmp_path / "m" / "1")
    with server_process(tmp_path / "m", "--grpc_max_threads=1") as server, OfficialClient(server.port) as client:
        started = [tmp_path / name for name in ("first", "second")]
        calls = []
        for file in started:
            calls.append(client.prediction.Predict.future(predict_request(
                {"seconds": np.float64(1), "started": str(file).encode()}), timeout=60))
            while not started[0].exists():  # so that the second finds the only thread taken
                time.sleep(0.01)
        time.sleep(0.2)
        calls[1].cancel()
        assert calls[0].result().outputs["count"].int64_val
        client.predict({"seconds": np.float64(0), "started": str(tmp_path / "third").encode()})
        assert not started[1].exists()


def test_sigterm_under_load_answers_all_that_was_accepted_and_exits_0(base_path: Path) -> None:
    rest_port = free_port()
    monitoring = base_path.parent / "monitoring.pbtxt"
    monitoring.write_text("prometheus_config { enable: true }")
    with server_process(base_path, f"--rest_api_port={rest_port}", f"--monitoring_config_file={monitoring}") as server:
        load = Load(server.port, num_clients=8)
        load.wait(lambda: load.num_answers > 500)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        load.stop()
        errors = server.process.stderr.read()
    assert load.failures == []
    assert len(load.refusals) <= 8
    assert "Traceback" not in errors
