"""Requests that gRPC's own thread takes are answered as from a pool of threads, and keep nobody waiting for long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import Message

from expman.serving.batching.batching_parameters import BatchingParameters
from tests.support.serving_models import (
    OfficialClient,
    noted_threads_of_runs,
    predict_request,
    running_server,
    save_affine_model,
    save_slow_model,
)

_X = np.array([[1, 2], [3, 4]], np.float32)
_PREDICT = "/tensorflow.serving.PredictionService/Predict"
# More runs than it takes to know that a model is quick.
_MANY_RUNS = 80


@pytest.fixture(scope="module")
def base_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("affine")
    save_affine_model(folder / "3")
    return folder


@pytest.fixture
def threads_of_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return noted_threads_of_runs(monkeypatch)


@pytest.fixture
def without_event_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a version of grpcio that has nothing but its public interface."""
    monkeypatch.setattr("expman.serving.grpc_api.grpc_server.missing_names", lambda server: ["a name"])


def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


@pytest.mark.parametrize("way", ["events", "pool"])
def test_both_ways_answer_alike(base_path: Path, way: str, request: pytest.FixtureRequest) -> None:
    if way == "pool":
        request.getfixturevalue("without_event_calls")
    with running_server(base_path) as port, OfficialClient(port) as client:
        for _ in range(_MANY_RUNS):
            np.testing.assert_array_equal(tf.make_ndarray(client.predict({"x": _X}).outputs["y"]), 2 * _X)
        for wrong, code, words in ((predict_request({"x": _X}, name="other"), grpc.StatusCode.NOT_FOUND, "Servable not found"),
                                   (predict_request({"x": _X.astype(np.float64)}), grpc.StatusCode.INVALID_ARGUMENT,
                                    "Expects arg[0] to be float but double is provided"),
                                   (predict_request({}, name=""), grpc.StatusCode.INVALID_ARGUMENT, "no name specified")):
            with pytest.raises(grpc.RpcError) as caught:
                client.prediction.Predict(wrong, timeout=60)
            assert caught.value.code() == code and words in caught.value.details()
        assert [status.version for status in client.statuses()] == [3]


def test_quick_model_is_run_by_the_thread_that_reads_its_requests(base_path: Path, threads_of_runs: list[str]) -> None:
    with running_server(base_path) as port, OfficialClient(port) as client:
        client.predict({"x": _X})
        assert threads_of_runs[0].startswith("grpc-")  # As long as nothing is known about it.
        while threads_of_runs[-1].startswith("grpc-"):
            assert len(threads_of_runs) < 100 * _MANY_RUNS  # A busy machine may take some more.
            client.predict({"x": _X})


def test_large_request_is_never_decoded_by_the_thread_that_others_wait_for(
        base_path: Path, threads_of_runs: list[str]) -> None:
    x = np.ones([20000, 2], np.float32)
    with running_server(base_path) as port, OfficialClient(port) as client:
        for _ in range(_MANY_RUNS):
            np.testing.assert_array_equal(tf.make_ndarray(client.predict({"x": x}).outputs["y"]), 2 * x)
        assert {name.partition("-")[0] for name in threads_of_runs} == {"grpc"}


def test_model_whose_time_depends_on_values_keeps_nobody_waiting(tmp_path: Path) -> None:
    save_slow_model(tmp_path / "models" / "1")
    with running_server(tmp_path / "models") as port, OfficialClient(port) as client:
        def inputs(seconds: float) -> dict:
            return {"seconds": np.float64(seconds), "started": str(tmp_path / f"started {seconds}")}

        for _ in range(_MANY_RUNS):
            client.predict(inputs(0.0))
        slow = client.prediction.Predict.future(predict_request(inputs(3.0)), timeout=60)
        wait_until((tmp_path / "started 3.0").exists)
        client.predict(inputs(0.0))
        assert client.statuses()
        assert not slow.done()
        assert slow.result().outputs["count"].int64_val[0] > 0


@pytest.mark.parametrize("requests, code", [((), grpc.StatusCode.UNIMPLEMENTED), ((b"\xff",), grpc.StatusCode.INTERNAL)])
def test_call_without_a_request_ends_with_a_status(base_path: Path, requests: tuple, code: grpc.StatusCode) -> None:
    with running_server(base_path) as port, OfficialClient(port) as client:
        with pytest.raises(grpc.RpcError) as caught:
            client.channel.stream_unary(_PREDICT)(iter(requests), timeout=60)
        assert caught.value.code() == code
        client.predict({"x": _X})


def test_bug_in_the_thread_of_all_is_internal_and_the_next_request_is_answered(
        base_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    with running_server(base_path) as port, OfficialClient(port) as client:
        with monkeypatch.context() as patch, pytest.raises(grpc.RpcError) as caught:
            patch.setattr("expman.serving.grpc_api.predict_method.Exchange.request", broken)
            patch.setattr("expman.serving.grpc_api.predict_method.Exchange.fail", broken)
            client.predict({"x": _X})
        assert caught.value.code() == grpc.StatusCode.INTERNAL and "log" in caught.value.details()
        assert "a bug" in caplog.text
        client.predict({"x": _X})


@pytest.fixture
def batching_client(base_path: Path) -> Iterator[OfficialClient]:
    """Two requests of `_X` fill a batch; one alone waits for an hour."""
    parameters = BatchingParameters(max_batch_size=4, batch_timeout_micros=3_600_000_000, num_batch_threads=1)
    with running_server(base_path, batching=parameters) as port, OfficialClient(port) as client:
        yield client


def future(client: OfficialClient, x: np.ndarray, *, timeout: float = 60.0) -> grpc.Future:
    request: Message = predict_request({"x": x})
    return client.prediction.Predict.future(request, timeout=timeout)


def test_joined_requests_get_each_its_own_answer(batching_client: OfficialClient) -> None:
    first, second = future(batching_client, _X), future(batching_client, 10 * _X)
    np.testing.assert_array_equal(tf.make_ndarray(first.result().outputs["y"]), 2 * _X)
    np.testing.assert_array_equal(tf.make_ndarray(second.result().outputs["y"]), 20 * _X)


@pytest.mark.parametrize("cause", ["cancelled", "deadline"])
def test_request_that_nobody_waits_for_leaves_its_batch(batching_client: OfficialClient, cause: str) -> None:
    gone = future(batching_client, 7 * _X, timeout=60 if cause == "cancelled" else 0.2)
    time.sleep(0.1)
    if cause == "cancelled":
        gone.cancel()
    with pytest.raises((grpc.RpcError, grpc.FutureCancelledError)):
        gone.result()
    time.sleep(0.2)
    # Had it stayed, the first of these would fill its batch, and the second wait for an hour.
    first = future(batching_client, _X)
    time.sleep(0.2)
    assert not first.done()
    second = future(batching_client, 10 * _X)
    np.testing.assert_array_equal(tf.make_ndarray(first.result().outputs["y"]), 2 * _X)
    np.testing.assert_array_equal(tf.make_ndarray(second.result().outputs["y"]), 20 * _X)


def test_error_of_a_joined_request_names_what_does_not_fit(batching_client: OfficialClient) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        future(batching_client, np.ones([5, 2], np.float32)).result()
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "Task size 5 is larger than maximum input batch size 4" in caught.value.details()
