"""The REST server opens its port when asked to, and ends without dropping a request that it has accepted."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from expman.errors import ServingError
from expman.serving.endpoint import available_port
from expman.serving.observers.observed_request import NOT_OBSERVED, NotObserved
from expman.serving.rest_api.rest_server import RestServer
from expman.wire.protos import classification_pb2
from tests.support.rest_client import predict, rest
from tests.support.serving_models import running_endpoints, save_affine_model, save_slow_model

_CLASSIFY = "/v1/models/m:classify"
_BODY = json.dumps({"examples": [{"x": 1.0}]})
_REQUEST = f"POST {_CLASSIFY} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(_BODY)}\r\n\r\n{_BODY}".encode()


class _Inference:
    """Answers Classify when it may.

    Attributes:
        num_begun: requests that have come.
    """

    def __init__(self) -> None:
        self.num_begun = 0
        self.may_answer = threading.Event()

    def observed(self, _: str, **__: str) -> NotObserved:
        return NOT_OBSERVED

    def classify(self, _: Any, *, timeout_seconds: float | None, observed: NotObserved
                 ) -> classification_pb2.ClassificationResponse:
        self.num_begun += 1
        self.may_answer.wait()
        response = classification_pb2.ClassificationResponse()
        response.result.classifications.add().classes.add(label="a", score=1.0)
        return response

    def wait_for(self, num_requests: int) -> None:
        while self.num_begun < num_requests:
            time.sleep(0.01)


def _rest_server(inference: Any, **options: Any) -> RestServer:
    store = SimpleNamespace(available_versions=lambda: {"m": [1]})
    return RestServer(**{"inference": inference, "store": store, "address": "127.0.0.1", "port": 0, **options})


def _free(inference: _Inference) -> _Inference:
    inference.may_answer.set()
    return inference


def _is_refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _answer(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_start_tells_the_port_and_drain_frees_it() -> None:
    server = _rest_server(_free(_Inference()))
    port = server.start()
    assert rest(port, "POST", _CLASSIFY, _BODY).status == 200
    assert server.drain()
    assert _is_refused(port)
    again = _rest_server(_free(_Inference()), port=port)
    assert again.start() == port
    again.drain()


def test_port_in_use_is_told_in_the_same_words_everywhere() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServingError) as expected:
            available_port("127.0.0.1", port)
        server = _rest_server(_Inference(), port=port)
        for attempt in (server.check_port, server.start):
            with pytest.raises(ServingError) as caught:
                attempt()
            assert str(caught.value) == str(expected.value)
        assert server.drain()


def test_servers_may_share_a_port() -> None:
    first = _rest_server(_free(_Inference()), shares_port=True)
    port = first.start()
    second = _rest_server(_free(_Inference()), port=port, shares_port=True)
    second.check_port()
    assert second.start() == port
    first.drain()
    assert rest(port, "POST", _CLASSIFY, _BODY).status == 200
    second.drain()


def test_server_that_was_not_started_can_be_ended() -> None:
    server = _rest_server(_Inference())
    server.refuse()
    assert server.drain()


def test_requests_that_run_are_answered() -> None:
    inference = _Inference()
    server = _rest_server(inference, num_threads=2)
    port = server.start()
    with_answers = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
    for connection in with_answers:
        connection.sendall(_REQUEST)
    inference.wait_for(2)  # The others wait in the queue.
    draining = threading.Thread(target=server.drain)
    draining.start()
    while not _is_refused(port):
        time.sleep(0.01)
    inference.may_answer.set()
    for connection in with_answers:
        answer = _answer(connection)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Connection: close" in answer
        connection.close()
    draining.join()


def test_connections_that_the_system_has_accepted_are_answered() -> None:
    server = _rest_server(_free(_Inference()))
    port = server.start()
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    server.refuse()
    assert _is_refused(port)
    for connection in connections:
        connection.sendall(_REQUEST)
    draining = threading.Thread(target=server.drain)
    draining.start()
    for connection in connections:
        assert _answer(connection).startswith(b"HTTP/1.1 200 OK\r\n")
        connection.close()
    draining.join()


def test_body_that_is_being_sent_is_waited_for() -> None:
    server = _rest_server(_free(_Inference()))
    port = server.start()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(_REQUEST[:-10])
        while not server._app.num_requests:
            time.sleep(0.01)
        draining = threading.Thread(target=server.drain)
        draining.start()
        time.sleep(0.6)  # Longer than the time for requests that are on their way.
        connection.sendall(_REQUEST[-10:])
        assert _answer(connection).startswith(b"HTTP/1.1 200 OK\r\n")
    draining.join()


def test_connection_that_is_kept_is_told_to_close_and_that_the_server_is_not_ready() -> None:
    server = _rest_server(_free(_Inference()))
    connection = http.client.HTTPConnection("127.0.0.1", server.start())
    connection.request("GET", "/v1/health/ready")
    response = connection.getresponse()
    assert (response.status, response.getheader("Connection"), response.read()) == (200, None, b'{"ready": true}')
    server.refuse()
    connection.request("GET", "/v1/health/ready")
    response = connection.getresponse()
    assert (response.status, response.getheader("Connection"), response.read()) == (503, "close", b'{"ready": false}')
    server.drain()


def test_large_answer_is_sent_to_its_end_before_the_server_ends() -> None:
    inference = _Inference()
    label = "x" * 20_000_000

    def classify(_: Any, *, timeout_seconds: float | None, observed: NotObserved) -> classification_pb2.ClassificationResponse:
        inference.num_begun += 1
        response = classification_pb2.ClassificationResponse()
        response.result.classifications.add().classes.add(label=label, score=1.0)
        return response

    server = _rest_server(SimpleNamespace(classify=classify, observed=inference.observed))
    with socket.create_connection(("127.0.0.1", server.start())) as connection:
        connection.sendall(_REQUEST)
        inference.wait_for(1)
        draining = threading.Thread(target=server.drain)
        draining.start()
        time.sleep(0.5)
        head, _, body = _answer(connection).partition(b"\r\n\r\n")
    draining.join()
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json.loads(body) == {"results": [[[label, 1.0]]]}


def test_forced_server_drops_what_still_runs() -> None:
    inference = _Inference()
    server = _rest_server(inference)
    with socket.create_connection(("127.0.0.1", server.start())) as connection:
        connection.sendall(_REQUEST)
        inference.wait_for(1)
        force = iter([False, False, True])
        assert not server.drain(force=lambda: next(force, True))
        assert _answer(connection) == b""
    inference.may_answer.set()


def test_no_request_of_a_load_is_lost_when_the_server_ends(tmp_path: Path) -> None:
    save_affine_model(tmp_path / "1")
    failures, numbers = [], []
    with running_endpoints(tmp_path, rest_port=0) as endpoints:
        load = [threading.Thread(target=_load, args=(endpoints.rest_port, failures, numbers)) for _ in range(8)]
        for thread in load:
            thread.start()
        while len(numbers) < 200:
            time.sleep(0.01)
    for thread in load:
        thread.join()
    assert failures == []
    assert set(numbers) == {2.5}


def _load(port: int, failures: list[BaseException | str], numbers: list[float]) -> None:
    """Asks on one connection after the other, as clients that keep them do, until the port is closed."""
    body = json.dumps({"signature_name": "with_shift", "inputs": {"x": [[1]], "shift": 0.5}})
    try:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.connect()
            except ConnectionRefusedError:
                return
            closes = False
            while not closes:
                connection.request("POST", "/v1/models/m:predict", body)
                response = connection.getresponse()
                document = json.loads(response.read())
                numbers.append(document["outputs"][0][0])
                closes = response.getheader("Connection") == "close"
            connection.close()
    except Exception as error:
        failures.append(error)


def test_model_is_unloaded_only_after_its_last_request(tmp_path: Path) -> None:
    save_slow_model(tmp_path / "m" / "1")
    replies = []
    with running_endpoints(tmp_path / "m", rest_port=0) as endpoints:
        asking = threading.Thread(target=lambda: replies.append(predict(
            endpoints.rest_port, {"inputs": {"seconds": 1, "started": str(tmp_path / "started")}})))
        asking.start()
        while not (tmp_path / "started").exists():
            time.sleep(0.01)
    asking.join()
    assert replies[0].status == 200
    assert replies[0].json()["outputs"] > 0
