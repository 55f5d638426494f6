"""What HTTP adds to the answers: codes, compression, limits, other origins, health; and clients that behave badly."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from expman.serving.observers.observed_request import NOT_OBSERVED, NotObserved
from expman.serving.rest_api import request_bodies
from expman.serving.rest_api.rest_server import RestServer
from expman.wire.protos import classification_pb2
from expman.wire.status import Code, StatusError
from tests.support.prometheus_pages import scraped
from tests.support.rest_client import predict, rest
from tests.support.serving_models import running_endpoints, save_affine_model, save_slow_model

_PREDICT = "/v1/models/m:predict"
_CLASSIFY = "/v1/models/m:classify"
_X = {"signature_name": "with_shift", "inputs": {"x": [[1, 2]], "shift": 0.5}}
_Y = {"outputs": [[2.5, 4.5]]}
_EXAMPLES = {"examples": [{"x": 1.0}]}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server that takes bodies of up to 100 kB."""
    base_path = tmp_path_factory.mktemp("affine")
    save_affine_model(base_path / "1")
    with running_endpoints(base_path, rest_port=0, rest_max_body_bytes=100_000) as endpoints:
        yield endpoints.rest_port


class _Inference:
    """Answers Classify with one label, after something else; unobserved."""

    def __init__(self, label: str = "a") -> None:
        self.label = label
        self.timeouts: list[float | None] = []

    def before(self) -> None:
        pass

    def observed(self, _: str, **__: str) -> NotObserved:
        return NOT_OBSERVED

    def classify(self, _: Any, *, timeout_seconds: float | None, observed: NotObserved) -> classification_pb2.ClassificationResponse:
        self.timeouts.append(timeout_seconds)
        self.before()
        response = classification_pb2.ClassificationResponse()
        response.result.classifications.add().classes.add(label=self.label, score=1.0)
        return response


@contextmanager
def _server(inference: Any, **options: Any) -> Iterator[int]:
    store = SimpleNamespace(available_versions=lambda: {"m": [1]})
    server = RestServer(**{"inference": inference, "store": store, "address": "127.0.0.1", "port": 0, "num_threads": 2,
                           **options})
    yield server.start()
    server.drain()


def _classify(port: int) -> Any:
    return predict(port, _EXAMPLES, path=_CLASSIFY)


def _exchange(port: int, data: bytes) -> bytes:
    """Sends bytes and returns all that comes back until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def _traces(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records if record.exc_info or record.levelno >= logging.ERROR]


@pytest.mark.parametrize(("code", "status"), [
    (Code.CANCELLED, 499), (Code.UNKNOWN, 500), (Code.INVALID_ARGUMENT, 400), (Code.DEADLINE_EXCEEDED, 504),
    (Code.NOT_FOUND, 404), (Code.ALREADY_EXISTS, 409), (Code.PERMISSION_DENIED, 403), (Code.RESOURCE_EXHAUSTED, 429),
    (Code.FAILED_PRECONDITION, 400), (Code.ABORTED, 409), (Code.OUT_OF_RANGE, 400), (Code.UNIMPLEMENTED, 501),
    (Code.INTERNAL, 500), (Code.UNAVAILABLE, 503), (Code.DATA_LOSS, 500), (Code.UNAUTHENTICATED, 401)])
def test_every_code_has_its_status(code: Code, status: int) -> None:
    inference = _Inference()

    def fail() -> None:
        raise StatusError(code, f"words of {code.name}")

    inference.before = fail
    with _server(inference) as port:
        reply = _classify(port)
    assert (reply.status, reply.error) == (status, f"words of {code.name}")


def test_bug_is_logged_and_told_as_internal(caplog: pytest.LogCaptureFixture) -> None:
    inference = _Inference()
    inference.before = lambda: {}["missing"]
    with _server(inference) as port:
        reply = _classify(port)
    assert reply.status == 500
    assert "whose log has the details: KeyError" in reply.error
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError]


def test_time_that_is_left_is_passed_on() -> None:
    inference = _Inference()
    with _server(inference, timeout_seconds=20) as port:
        assert _classify(port).status == 200
    assert 15 < inference.timeouts[0] <= 20
    with _server(inference, timeout_seconds=None) as port:
        assert _classify(port).status == 200
    assert inference.timeouts[1] is None


def test_computation_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    save_slow_model(tmp_path / "m" / "1")
    with running_endpoints(tmp_path / "m", rest_port=0, rest_timeout_seconds=0.2) as endpoints:
        reply = predict(endpoints.rest_port, {"inputs": {"seconds": 60, "started": str(tmp_path / "started")}})
    assert reply.status == 504
    assert reply.error


def test_time_in_the_queue_counts(tmp_path: Path) -> None:
    save_affine_model(tmp_path / "1")
    with running_endpoints(tmp_path, rest_port=0, rest_timeout_seconds=1e-9) as endpoints:
        assert predict(endpoints.rest_port, _X).status == 504


@pytest.mark.parametrize("name", ["gzip", "GZIP", "x-gzip"])
def test_compressed_body_is_read(port: int, name: str) -> None:
    body = gzip.compress(json.dumps(_X).encode())
    assert rest(port, "POST", _PREDICT, body, {"Content-Encoding": name}).json() == _Y


def test_compressed_body_may_consist_of_several_files(port: int) -> None:
    text = json.dumps(_X).encode()
    body = gzip.compress(text[:20]) + gzip.compress(text[20:])
    assert rest(port, "POST", _PREDICT, body, {"Content-Encoding": "gzip"}).json() == _Y


@pytest.mark.parametrize(("body", "encoding", "status", "words"), [
    (b"no gzip", "gzip", 400, "is no gzip"),
    (gzip.compress(b"{}" * 500, mtime=0)[:-9], "gzip", 400, "is no gzip: it was cut short"),
    (b"{}", "br", 415, "Content-Encoding must be gzip, or the body sent as it is. Got 'br'."),
    (gzip.compress(b" " * 100_001, mtime=0), "gzip", 413, "larger than 100000 bytes"),
    (gzip.compress(b" " * 60_000, mtime=0) * 2, "gzip", 413, "larger than 100000 bytes"),
])
def test_body_that_cannot_be_decompressed_is_refused(port: int, body: bytes, encoding: str, status: int, words: str) -> None:
    reply = rest(port, "POST", _PREDICT, body, {"Content-Encoding": encoding})
    assert reply.status == status
    assert words in reply.error


def test_bomb_is_not_decompressed_further_than_to_the_limit() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    with pytest.raises(Exception, match="Too Large"):
        request_bodies.decoded_body(bomb, encoding="gzip", max_bytes=1000)


@pytest.mark.parametrize(("accept", "is_compressed"), [
    ("gzip", True), ("deflate, gzip;q=0.5", True), ("*", True), ("", False), ("gzip;q=0", False), ("br", False)])
def test_large_answer_is_compressed_for_who_accepts_it(accept: str, is_compressed: bool) -> None:
    with _server(_Inference("é" * 5000)) as port:
        reply = predict(port, _EXAMPLES, path=_CLASSIFY, headers={"Accept-Encoding": accept})
        assert reply.headers["vary"] == "Accept-Encoding"
        assert reply.headers.get("content-encoding") == ("gzip" if is_compressed else None)
        body = gzip.decompress(reply.body) if is_compressed else reply.body
        assert json.loads(body) == {"results": [[["é" * 5000, 1.0]]]}
        assert (len(reply.body) < 1000) == is_compressed


def test_small_answer_is_not_compressed(port: int) -> None:
    assert "content-encoding" not in predict(port, _X, headers={"Accept-Encoding": "gzip"}).headers


@pytest.mark.parametrize("is_chunked", [False, True])
def test_body_over_the_limit_is_refused_and_one_at_the_limit_is_not(port: int, is_chunked: bool) -> None:
    text = json.dumps(_X).encode()
    for size, status in ((100_000, 200), (100_001, 413)):
        body = text + b" " * (size - len(text))
        request = urllib.request.Request(f"http://127.0.0.1:{port}{_PREDICT}", iter([body]) if is_chunked else body)
        try:
            with urllib.request.urlopen(request) as response:
                got = response.status
        except urllib.error.HTTPError as error:
            got = error.code
            assert json.loads(error.read()) == {
                "error": "The body of the request is larger than 100000 bytes, which is the limit here."}
        assert got == status


@pytest.mark.parametrize(("size", "beginning"), [(len(json.dumps(_X)), b"HTTP/1.1 100 Continue\r\n\r\n"),
                                                 (100_001, b"HTTP/1.1 413 Request Entity Too Large\r\n")])
def test_who_asks_before_sending_is_told(port: int, size: int, beginning: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(f"POST {_PREDICT} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n"
                           "Expect: 100-continue\r\nConnection: close\r\n\r\n".encode())
        assert connection.recv(65536).startswith(beginning)
        if b"100" in beginning:
            connection.sendall(json.dumps(_X).encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_other_expectations_are_refused(port: int) -> None:
    assert rest(port, "POST", _PREDICT, "{}", {"Expect": "more"}).status == 417


def test_other_origins_are_let_in_only_if_asked_for(port: int) -> None:
    names = {"access-control-allow-origin": "*", "access-control-allow-methods": "POST, GET",
             "access-control-allow-headers": "Content-Type"}
    with _server(_Inference(), enable_cors=True) as open_port:
        for reply in (rest(open_port, "OPTIONS", _CLASSIFY), _classify(open_port), rest(open_port, "GET", "/v1/models")):
            assert names.items() <= reply.headers.items()
        assert (rest(open_port, "OPTIONS", _CLASSIFY).status, rest(open_port, "OPTIONS", _CLASSIFY).body) == (200, b"")
    assert rest(port, "OPTIONS", _PREDICT).status == 400
    assert not names.keys() & predict(port, _X).headers.keys()


def test_health_is_told_while_all_workers_are_busy() -> None:
    inference, may_end = _Inference(), threading.Event()
    inference.before = may_end.wait
    with _server(inference, num_threads=1) as port:
        busy = [threading.Thread(target=_classify, args=(port,)) for _ in range(3)]
        for thread in busy:
            thread.start()
        while not inference.timeouts:
            time.sleep(0.01)
        for method in ("GET", "HEAD"):
            assert rest(port, method, "/v1/health/live").status == 200
            assert rest(port, method, "/v1/health/ready").status == 200
        may_end.set()
        for thread in busy:
            thread.join()
    assert len(inference.timeouts) == 3


@pytest.mark.parametrize(("versions", "status"), [({"m": [1], "n": [2, 3]}, 200), ({"m": [1], "n": []}, 503), ({}, 200)])
def test_ready_means_that_every_model_has_a_version(versions: dict[str, list[int]], status: int) -> None:
    with _server(_Inference(), store=SimpleNamespace(available_versions=lambda: versions)) as port:
        reply = rest(port, "GET", "/v1/health/ready")
    assert (reply.status, reply.json()) == (status, {"ready": status == 200})


def test_readiness_of_one_model(port: int) -> None:
    assert rest(port, "GET", "/v1/models/m/ready").json() == {"ready": True}
    assert rest(port, "GET", "/v1/models/m/versions/1/ready").status == 200
    assert rest(port, "GET", "/v1/models/none/ready").status == 404
    assert rest(port, "GET", "/v1/models/m/versions/9/ready").status == 404


def test_metrics_are_told_where_asked_for(port: int, tmp_path: Path) -> None:
    save_affine_model(tmp_path / "1")
    with running_endpoints(tmp_path, model_name="counted", rest_port=0, prometheus_path="/metrics") as endpoints:
        path = "/v1/models/counted:predict"
        assert [predict(endpoints.rest_port, document, path=path).status for document in (_X, _X, {})] == [200, 200, 400]
        reply = rest(endpoints.rest_port, "GET", "/metrics?from=prometheus")
    assert reply.headers["content-type"].startswith("text/plain")
    metrics = scraped(reply.body)
    assert metrics[":tensorflow:serving:request_count", "counted", "OK"] == 2
    assert metrics[":tensorflow:serving:request_count", "counted", "INVALID_ARGUMENT"] == 1
    assert metrics[":tensorflow:serving:request_latency_count", "predict", "REST", "counted"] == 2
    assert rest(port, "GET", "/metrics").status == 404


@pytest.mark.parametrize("data", [
    b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), b"GET / HTTP/9.9\r\n\r\n",
    b"GET /v1/models/m HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
    b"POST /v1/models/m:predict HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/models/m:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/models/m:predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n",
])
def test_what_is_no_http_is_refused_without_a_trace_in_the_log(port: int, data: bytes,
                                                               caplog: pytest.LogCaptureFixture) -> None:
    assert _exchange(port, data).startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert predict(port, _X).json() == _Y
    assert _traces(caplog) == []


def test_requests_behind_one_another_are_answered_in_order(port: int) -> None:
    body = json.dumps(_X)
    first = f"POST {_PREDICT} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    second = "GET /v1/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answers = _exchange(port, (first + first + second).encode())
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert answers.index(b"outputs") < answers.index(b"live")


def test_path_with_the_servers_address_is_read(port: int) -> None:
    answer = _exchange(port, b"GET http://a:1/v1/models/m HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert b'"state": "AVAILABLE"' in answer


def test_client_that_leaves_while_it_sends_is_harmless(port: int, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"POST {_PREDICT} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{{".encode())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # With a reset.
    assert predict(port, _X).json() == _Y
    assert _traces(caplog) == []


def test_client_that_leaves_before_its_answer_is_harmless(caplog: pytest.LogCaptureFixture) -> None:
    inference, may_end = _Inference("x" * 1_000_000), threading.Event()
    inference.before = may_end.wait
    with _server(inference) as port:
        body = json.dumps(_EXAMPLES)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"POST {_CLASSIFY} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            while not inference.timeouts:
                time.sleep(0.01)
        may_end.set()
        assert _classify(port).status == 200
    assert _traces(caplog) == []


def test_who_sends_too_slowly_is_cut_off_and_others_are_served(monkeypatch: pytest.MonkeyPatch,
                                                               caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(request_bodies, "_PATIENCE_SECONDS", 0.3)
    with _server(_Inference(), idle_seconds=0.3) as port:
        begun = f"POST {_CLASSIFY} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n"
        ends = [threading.Thread(target=lambda data=data: answers.append(_exchange(port, data)))
                for data in (b"", begun.encode(), f"{begun}\r\n{{".encode())]
        answers: list[bytes] = []
        for thread in ends:
            thread.start()
        assert _classify(port).status == 200
        for thread in ends:
            thread.join()
    assert sorted(answer[:13] for answer in answers) == [b"", b"", b"HTTP/1.1 408 "]
    assert _traces(caplog) == []


def test_who_does_not_read_his_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(request_bodies, "_PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(request_bodies, "_SLOWEST_BYTES_PER_SECOND", 1e9)
    with _server(_Inference("x" * 30_000_000)) as port:
        body = json.dumps(_EXAMPLES)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"POST {_CLASSIFY} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            time.sleep(1.5)
            assert 0 < sum(map(len, iter(lambda: connection.recv(1 << 20), b""))) < 30_000_000
    assert _traces(caplog) == []


def test_hundreds_of_idle_connections_leave_room_for_others(port: int) -> None:
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(500)]
    try:
        assert predict(port, _X).json() == _Y
    finally:
        for connection in connections:
            connection.close()
