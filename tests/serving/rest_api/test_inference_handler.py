"""Requests that the event loop of REST takes itself: answered as by a thread, and never keeping others waiting for long."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expman.serving.batching.batching_parameters import BatchingParameters
from expman.serving.models.model_store import ModelStore
from expman.serving.rest_api import inference_handler
from tests.support.noted_requests import NotedRequests
from tests.support.rest_client import Reply, predict, rest
from tests.support.serving_models import noted_threads_of_runs, running_endpoints, save_affine_model, save_slow_model

_X = [[1.0, 2.0], [3.0, 4.0]]
_SHIFTED = {"signature_name": "with_shift", "inputs": {"x": _X, "shift": 0.5}}
_SHIFTED_ANSWER = {"outputs": [[2.5, 4.5], [6.5, 8.5]]}
_LOOP, _WORKER = "rest-server", "rest_"
# More runs than it takes to know that a model is quick.
_MANY_RUNS = 80
_HOUR_MICROS = 3_600_000_000


@pytest.fixture(scope="module")
def base_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("affine")
    save_affine_model(folder / "1")
    return folder


@pytest.fixture
def threads_of_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return noted_threads_of_runs(monkeypatch)


@pytest.fixture
def noted() -> NotedRequests:
    return NotedRequests()


@contextmanager
def _server(base_path: Path, **options: object) -> Iterator[int]:
    with running_endpoints(base_path, rest_port=0, **options) as endpoints:
        yield endpoints.rest_port


def _wait_until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.01)


def _make_quick(port: int) -> None:
    for _ in range(_MANY_RUNS):
        assert predict(port, _SHIFTED).json() == _SHIFTED_ANSWER


def test_quick_model_is_run_by_the_event_loop(base_path: Path, threads_of_runs: list[str], noted: NotedRequests) -> None:
    num_requests = 0
    with _server(base_path, observers=[noted]) as port:
        while num_requests < _MANY_RUNS or threads_of_runs[-1] != _LOOP:  # On a busy machine it may be a worker's now and then.
            assert predict(port, _SHIFTED).json() == _SHIFTED_ANSWER
            num_requests += 1
            assert num_requests < 100 * _MANY_RUNS
    assert threads_of_runs[0].startswith(_WORKER)  # As long as nothing is known about it.
    assert noted.num_by_code() == {"OK": num_requests}


@pytest.mark.parametrize("kind", ["large", "compressed", "not strict"])
def test_body_that_takes_long_to_read_is_a_workers(base_path: Path, threads_of_runs: list[str], kind: str) -> None:
    x, headers = _X, {}
    if kind == "large":
        x = [[1.0, 2.0]] * 10_000
    elif kind == "not strict":
        x = [[float("inf"), 2.0], [3.0, 4.0]]
    body = json.dumps({"inputs": x, "signature_name": "serving_default"}).encode()
    if kind == "compressed":
        body, headers = gzip.compress(body), {"Content-Encoding": "gzip"}
    with _server(base_path) as port:
        for _ in range(_MANY_RUNS if kind != "large" else 20):
            outputs = rest(port, "POST", "/v1/models/m:predict", body, headers).json()["outputs"]
            np.testing.assert_array_equal(outputs["y"], 2 * np.array(x))
    assert all(name.startswith(_WORKER) for name in threads_of_runs)


@pytest.mark.parametrize("num_rows", [400, 2000])
def test_answer_of_a_quick_model_is_compressed_for_who_can_read_it(base_path: Path, num_rows: int) -> None:
    document = {"signature_name": "with_shift", "inputs": {"x": [[1, 2]] * num_rows, "shift": 0}}
    with _server(base_path) as port:
        for _ in range(_MANY_RUNS):
            reply = predict(port, document, headers={"Accept-Encoding": "gzip"})
        assert reply.headers["content-encoding"] == "gzip"
        assert json.loads(gzip.decompress(reply.body)) == {"outputs": [[2.0, 4.0]] * num_rows}
        assert predict(port, document).json() == {"outputs": [[2.0, 4.0]] * num_rows}


@pytest.mark.parametrize("shape", [[2, 0], [0], [1] * 6, [1000, 2]])
def test_arrays_of_odd_shapes_are_written_alike_in_either_thread(base_path: Path, shape: list[int]) -> None:
    document = {"signature_name": "with_shift", "inputs": {"x": np.ones(shape).tolist(), "shift": 0}}
    with _server(base_path) as port:
        answers = {predict(port, document).body for _ in range(_MANY_RUNS)}
    assert len(answers) == 1
    assert json.loads(answers.pop()) == {"outputs": np.full(shape, 2.0).tolist()}


def test_model_whose_time_depends_on_values_keeps_nobody_waiting(tmp_path: Path) -> None:
    save_slow_model(tmp_path / "models" / "1")

    def inputs(seconds: float) -> dict[str, Any]:
        return {"inputs": {"seconds": seconds, "started": str(tmp_path / f"started {seconds}")}}

    with _server(tmp_path / "models") as port, ThreadPoolExecutor() as clients:
        for _ in range(_MANY_RUNS):
            assert predict(port, inputs(0.0)).status == 200
        slow = clients.submit(predict, port, inputs(3.0))
        _wait_until((tmp_path / "started 3.0").exists)
        assert rest(port, "GET", "/v1/health/live").status == 200
        assert predict(port, inputs(0.0)).status == 200
        assert not slow.done()
        assert slow.result().json()["outputs"] > 0


def test_bug_in_the_event_loop_is_told_as_internal_and_the_next_request_is_answered(
        base_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, noted: NotedRequests) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    with _server(base_path, observers=[noted]) as port:
        with monkeypatch.context() as patch:
            patch.setattr(inference_handler, "are_written_at_once", broken)
            replies = [predict(port, _SHIFTED)]
            while replies[-1].status == 200:
                assert len(replies) < 100 * _MANY_RUNS
                replies.append(predict(port, _SHIFTED))
        assert replies[-1].status == 500 and "ZeroDivisionError" in replies[-1].error
        assert "a bug" in caplog.text
        assert predict(port, _SHIFTED).json() == _SHIFTED_ANSWER
    assert noted.num_by_code() == {"INTERNAL": 1, "OK": len(replies)}


_FAULTY: list[tuple[Any, int]] = [
    ({"inputs": [["a", 1.0]]}, 400),  # Of another type.
    ({"inputs": [[1.0], [1.0, 2.0]]}, 400),
    ({"instances": []}, 400),
    ({"inputs": 1.0, "signature_name": "none"}, 400),
    ({"inputs": 1.0, "signature_name": 1}, 400),
    ({"inputs": [[1.0, 2.0]], "signature_name": "inverse"}, 400),  # Fails when it runs.
    ({"instances": [1.0], "signature_name": "with_shift"}, 400),
    ({}, 400),
    ([], 400),
]


def test_version_is_given_back_whatever_fails(tmp_path: Path, noted: NotedRequests) -> None:
    base_path = tmp_path / "m"
    save_affine_model(base_path / "1")
    with _server(base_path, observers=[noted]) as port:
        for _ in range(2):
            for document, status in _FAULTY:
                assert predict(port, document).status == status, document
            _make_quick(port)
        assert rest(port, "POST", "/v1/models/m:predict", "{").status == 400
        save_affine_model(tmp_path / "2", slope=3.0)
        (tmp_path / "2").rename(base_path / "2")

        def states() -> dict[str, str]:
            return {status["version"]: status["state"]
                    for status in rest(port, "GET", "/v1/models/m").json()["model_version_status"]}

        # It ends only once nobody holds it any more.
        _wait_until(lambda: states() == {"1": "END", "2": "AVAILABLE"})
        assert predict(port, {"inputs": _X, "signature_name": "serving_default"}).json()["outputs"]["y"][0] == [3.0, 6.0]
    assert noted.num_by_code() == {"INVALID_ARGUMENT": 2 * len(_FAULTY) + 1, "OK": 2 * _MANY_RUNS + 1}


class _FullWorkers:
    """Take a job that never begins, and is dropped at the end."""

    def submit(self, *_: object) -> Future[Any]:
        job: Future[Any] = Future()
        job.cancel()
        return job


class _ClosedWorkers:
    """Refuse jobs."""

    def submit(self, *_: object) -> Future[Any]:
        raise RuntimeError("cannot schedule new futures after shutdown")


@pytest.mark.parametrize("workers", [_FullWorkers(), _ClosedWorkers()])
def test_version_of_a_job_that_never_begins_is_given_back(
        base_path: Path, workers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[Any] = []
    acquire = ModelStore.acquire

    def noting(self: ModelStore, *arguments: object, **named: object) -> Any:
        held.append(acquire(self, *arguments, **named))
        return held[-1]

    monkeypatch.setattr(ModelStore, "acquire", noting)
    construct = inference_handler.InferenceHandler.__init__
    monkeypatch.setattr(inference_handler.InferenceHandler, "__init__",
                        lambda self, **named: construct(self, **{**named, "workers": workers}))
    with _server(base_path) as port, suppress(OSError):  # A request that is cancelled ends with its connection.
        predict(port, _SHIFTED)
    assert [served._num_requests for served in held] == [0]


@pytest.fixture
def batching_port(base_path: Path, noted: NotedRequests) -> Iterator[int]:
    """Two requests of `_X` fill a batch; one alone waits for an hour."""
    parameters = BatchingParameters(max_batch_size=4, batch_timeout_micros=_HOUR_MICROS, num_batch_threads=1)
    with _server(base_path, batching=parameters, observers=[noted]) as port:
        yield port


def _inputs(factor: float) -> dict[str, Any]:
    return {"signature_name": "serving_default", "instances": (factor * np.array(_X)).tolist()}


def _y(reply: Reply) -> np.ndarray:
    return np.array([row["y"] for row in reply.json()["predictions"]])


def _assert_next_two_share_a_batch(port: int) -> None:
    """Were another request still in the queue, the first would fill its batch, and the second wait for an hour."""
    with ThreadPoolExecutor() as clients:
        first = clients.submit(predict, port, _inputs(1))
        time.sleep(0.2)
        assert not first.done()
        second = clients.submit(predict, port, _inputs(10))
        np.testing.assert_array_equal(_y(first.result()), 2 * np.array(_X))
        np.testing.assert_array_equal(_y(second.result()), 20 * np.array(_X))


def test_joined_requests_hold_no_worker(base_path: Path, threads_of_runs: list[str]) -> None:
    num_requests = 40  # More than there are workers.
    parameters = BatchingParameters(max_batch_size=2 * num_requests, batch_timeout_micros=_HOUR_MICROS, num_batch_threads=1)
    with _server(base_path, batching=parameters) as port, ThreadPoolExecutor(num_requests) as clients:
        replies = list(clients.map(lambda factor: predict(port, _inputs(factor)), range(num_requests)))
    for factor, reply in enumerate(replies):
        np.testing.assert_array_equal(_y(reply), 2 * factor * np.array(_X))
    assert len(threads_of_runs) == 1
    assert threads_of_runs[0] != _LOOP and not threads_of_runs[0].startswith(_WORKER)


def test_joined_request_whose_client_leaves_is_withdrawn(batching_port: int, noted: NotedRequests) -> None:
    body = json.dumps(_inputs(7)).encode()
    with socket.create_connection(("127.0.0.1", batching_port)) as connection:
        connection.sendall(b"POST /v1/models/m:predict HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        time.sleep(0.1)
    _wait_until(lambda: noted.num_by_code())
    assert noted.num_by_code() == {"CANCELLED": 1}
    _assert_next_two_share_a_batch(batching_port)


def test_joined_request_whose_time_is_over_is_withdrawn_and_told(base_path: Path, noted: NotedRequests) -> None:
    parameters = BatchingParameters(max_batch_size=4, batch_timeout_micros=_HOUR_MICROS, num_batch_threads=1)
    with _server(base_path, observers=[noted], batching=parameters, rest_timeout_seconds=1.0) as port:
        reply = predict(port, _inputs(7))
        assert reply.status == 504 and "timeout" in reply.error
        _assert_next_two_share_a_batch(port)
    assert noted.num_by_code() == {"DEADLINE_EXCEEDED": 1, "OK": 2}


def test_error_of_a_joined_request_is_its_own(batching_port: int, noted: NotedRequests) -> None:
    reply = predict(batching_port, {"signature_name": "serving_default", "instances": [[1.0, 2.0]] * 5})
    assert reply.status == 400
    assert "Task size 5 is larger than maximum input batch size 4" in reply.error
    assert noted.num_by_code() == {"INVALID_ARGUMENT": 1}
    _assert_next_two_share_a_batch(batching_port)


def test_request_without_samples_is_not_run_by_the_event_loop(base_path: Path, threads_of_runs: list[str]) -> None:
    parameters = BatchingParameters(max_batch_size=4, batch_timeout_micros=_HOUR_MICROS, num_batch_threads=1)
    with _server(base_path, batching=parameters) as port:
        reply = predict(port, {"signature_name": "serving_default", "inputs": np.ones([0, 2]).tolist()})
    assert reply.json() == {"outputs": {"y": [], "z": []}}
    assert len(threads_of_runs) == 1 and threads_of_runs[0].startswith(_WORKER)


def test_version_of_joined_requests_is_given_back(tmp_path: Path) -> None:
    base_path = tmp_path / "m"
    save_affine_model(base_path / "1")
    parameters = BatchingParameters(max_batch_size=4, batch_timeout_micros=1000, num_batch_threads=1)
    with _server(base_path, batching=parameters) as port:
        predict(port, _inputs(1))
        predict(port, {"signature_name": "serving_default", "instances": [[1.0, 2.0]] * 5})
        predict(port, {"signature_name": "inverse", "instances": [[1.0, 2.0]]})
        save_affine_model(tmp_path / "2", slope=3.0)
        (tmp_path / "2").rename(base_path / "2")
        _wait_until(lambda: [status["state"] for status in rest(port, "GET", "/v1/models/m").json()["model_version_status"]]
                    == ["AVAILABLE", "END"])
