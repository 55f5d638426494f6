"""Observers are told of each request once, with what went in and came out; what they do costs no request its answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from expman.errors import ServingError
from expman.runtimes.saved_model_predictor import SavedModelPredictor
from expman.serving.batching.batching_parameters import BatchingParameters
from expman.serving.embedded_server import EmbeddedServer
from expman.serving.inference.inference import Inference
from expman.serving.models.model_config import ModelConfig
from expman.serving.models.version_policy import AllVersions
from expman.serving.models.warmup import WARM_UP_FILE
from expman.serving.observers.observed_request import NOT_OBSERVED, ObservedRequest
from expman.serving.observers.observer_loading import ObserverContext, make_observer
from expman.serving.observers.observers import Observers
from expman.serving.server_options import ServerOptions
from expman.wire.status import Code
from tests.support.noted_requests import NotedRequests
from tests.support.project import ROOT
from tests.support.rest_client import predict, rest
from tests.support.serving_models import (
    OfficialClient,
    predict_request,
    running_endpoints,
    save_affine_model,
    save_example_model,
    save_slow_model,
)

_X = np.array([[1, 2], [3, 4]], np.float32)
_EXAMPLE = tf.train.Example(features=tf.train.Features(feature={
    "x": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5]))}))


@pytest.fixture(scope="module")
def affine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("affine")
    save_affine_model(folder / "3")
    return folder


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    save_example_model(folder / "1")
    return folder


@pytest.fixture
def noted() -> NotedRequests:
    return NotedRequests()


@pytest.fixture(params=["alone", "batched"])
def options(request: pytest.FixtureRequest, noted: NotedRequests) -> dict[str, Any]:
    """Of a server with REST that tells `noted`."""
    batching = BatchingParameters(max_batch_size=8, batch_timeout_micros=1000, num_batch_threads=1)
    return {"observers": [noted], "rest_port": 0, **({"batching": batching} if request.param == "batched" else {})}


def _wait_until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.01)


@pytest.mark.parametrize("num_rows", [2, 8000])  # The larger one is read in another thread.
def test_predict_over_grpc_is_told_with_its_arrays(affine: Path, options: dict, noted: NotedRequests, num_rows: int) -> None:
    x = np.ones([num_rows, 2], np.float32)
    if num_rows > 8:
        options.pop("batching", None)
    before = time.time()
    with running_endpoints(affine, **options) as endpoints, OfficialClient(endpoints.grpc_port) as client:
        client.predict({"x": x}, output_filter=("y",))
    told, = noted.requests
    assert (told.method, told.entrypoint, told.model, told.version, told.signature_name) == (
        "Predict", "GRPC", "m", 3, "serving_default")
    assert isinstance(told.request, predict_pb2.PredictRequest) and told.request.output_filter == ["y"]
    assert list(told.inputs) == ["x"] and list(told.outputs) == ["y"]
    np.testing.assert_array_equal(told.inputs["x"], x)
    np.testing.assert_array_equal(told.outputs["y"], 2 * x)
    assert told.code == Code.OK and told.message == "" and told.response is None
    assert before <= told.started_at <= time.time() and 0 < told.seconds <= time.time() - before


@pytest.mark.parametrize("num_requests", [1, 50])  # Later ones are run by the event loop.
def test_predict_over_rest_is_told_with_its_arrays(
        affine: Path, options: dict, noted: NotedRequests, num_requests: int) -> None:
    with running_endpoints(affine, **options) as endpoints:
        for _ in range(num_requests):
            assert predict(endpoints.rest_port, {"instances": _X.tolist(), "signature_name": "serving_default"}).status == 200
    assert len(noted.requests) == num_requests
    for told in noted.requests:
        assert (told.method, told.entrypoint, told.model, told.version, told.signature_name, told.request) == (
            "Predict", "REST", "m", 3, "serving_default", None)
        np.testing.assert_array_equal(told.inputs["x"], _X)
        np.testing.assert_array_equal(told.outputs["z"], -2 * _X)
        assert told.code == Code.OK


def test_arrays_are_not_copied_for_observers(affine: Path, noted: NotedRequests, monkeypatch: pytest.MonkeyPatch) -> None:
    is_quick, seen = SavedModelPredictor.is_quick, []

    def noting(self: SavedModelPredictor, feeds: dict, fetches: list) -> bool:
        seen.append(feeds)
        return is_quick(self, feeds, fetches)

    monkeypatch.setattr(SavedModelPredictor, "is_quick", noting)
    with running_endpoints(affine, observers=[noted]) as endpoints, OfficialClient(endpoints.grpc_port) as client:
        client.predict({"x": _X})
    assert noted.requests[0].inputs["x"] is next(iter(seen[0].values()))


@pytest.mark.parametrize("wrong, code, version", [
    ({"inputs": {"x": _X}, "name": "none"}, Code.NOT_FOUND, None),
    ({"inputs": {"x": _X}, "version": 7}, Code.NOT_FOUND, None),
    ({"inputs": {"x": _X}, "signature_name": "none"}, Code.FAILED_PRECONDITION, 3),
    ({"inputs": {"other": _X}}, Code.INVALID_ARGUMENT, 3),
    ({"inputs": {"matrix": _X[:1]}, "signature_name": "inverse"}, Code.INVALID_ARGUMENT, 3),
])
def test_failed_predict_over_grpc_is_told_with_its_request(
        affine: Path, options: dict, noted: NotedRequests, wrong: dict, code: Code, version: int | None) -> None:
    with running_endpoints(affine, **options) as endpoints, OfficialClient(endpoints.grpc_port) as client, \
            pytest.raises(grpc.RpcError) as caught:
        client.predict(**wrong)
    told, = noted.requests
    assert (told.code, told.model, told.version) == (code, wrong.get("name", "m"), version)
    assert told.message == caught.value.details() and told.outputs == {}
    assert told.request == predict_request(**wrong)


@pytest.mark.parametrize("path, body, code", [
    ("/v1/models/none:predict", '{"instances": [[1, 2]]}', Code.NOT_FOUND),
    ("/v1/models/m:predict", "{", Code.INVALID_ARGUMENT),
    ("/v1/models/m:predict", '{"inputs": [["a"]], "signature_name": "serving_default"}', Code.INVALID_ARGUMENT),
    ("/v1/models/m:predict", '{"inputs": [[1, 2]], "signature_name": "inverse"}', Code.INVALID_ARGUMENT),
    ("/v1/models/m:classify", '{"examples": [{"x": 1}]}', Code.FAILED_PRECONDITION),
])
def test_failed_request_over_rest_is_told(
        affine: Path, options: dict, noted: NotedRequests, path: str, body: str, code: Code) -> None:
    with running_endpoints(affine, **options) as endpoints:
        reply = rest(endpoints.rest_port, "POST", path, body)
    told, = noted.requests
    assert (told.code, told.entrypoint, told.model, told.outputs) == (code, "REST", path.split("/")[3].split(":")[0], {})
    assert told.message == reply.error


def test_bytes_that_are_no_request_are_told(affine: Path, noted: NotedRequests) -> None:
    with running_endpoints(affine, observers=[noted]) as endpoints, \
            grpc.insecure_channel(f"127.0.0.1:{endpoints.grpc_port}") as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/tensorflow.serving.PredictionService/Predict")(b"\xff" * 9, timeout=60)
    told, = noted.requests
    assert (told.method, told.code, told.model, told.version, told.request) == ("Predict", Code.INTERNAL, "", None, None)


@pytest.fixture
def example_ports(examples: Path, noted: NotedRequests) -> Iterator[Any]:
    with running_endpoints(examples, rest_port=0, observers=[noted]) as endpoints:
        yield endpoints


def _fill(request: Any) -> Any:
    request.model_spec.name = "m"
    request.input.example_list.examples.add().CopyFrom(_EXAMPLE)
    return request


def _send(endpoints: Any, method: str, request: Any) -> Any:
    with grpc.insecure_channel(f"127.0.0.1:{endpoints.grpc_port}") as channel:
        return getattr(prediction_service_pb2_grpc.PredictionServiceStub(channel), method)(request, timeout=60)


def test_classify_and_regress_are_told_with_request_and_response(example_ports: Any, noted: NotedRequests) -> None:
    classify = _fill(classification_pb2.ClassificationRequest())
    regress = _fill(regression_pb2.RegressionRequest())
    regress.model_spec.signature_name = "regress"
    answers = [_send(example_ports, "Classify", classify), _send(example_ports, "Regress", regress)]
    assert [told.method for told in noted.requests] == ["Classify", "Regress"]
    assert [told.signature_name for told in noted.requests] == ["serving_default", "regress"]
    assert [told.request for told in noted.requests] == [classify, regress]
    assert [told.response for told in noted.requests] == answers
    assert all((told.version, told.code, told.inputs) == (1, Code.OK, {}) for told in noted.requests)


def test_classify_over_rest_is_told_with_the_messages_it_becomes(example_ports: Any, noted: NotedRequests) -> None:
    reply = rest(example_ports.rest_port, "POST", "/v1/models/m:classify", '{"examples": [{"x": 0.5}]}')
    assert reply.json() == {"results": [[["low", 0.5], ["high", -0.5]]]}
    told, = noted.requests
    assert (told.method, told.entrypoint) == ("Classify", "REST")
    assert told.request == _fill(classification_pb2.ClassificationRequest())
    assert told.response.result.classifications[0].classes[0].score == 0.5


def test_multi_inference_is_told_once(example_ports: Any, noted: NotedRequests) -> None:
    request = inference_pb2.MultiInferenceRequest()
    for signature_name, method in (("classify", "classify"), ("regress", "regress")):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = "m", signature_name
    request.input.example_list.examples.add().CopyFrom(_EXAMPLE)
    answer = _send(example_ports, "MultiInference", request)
    told, = noted.requests
    assert (told.method, told.model, told.version, told.signature_name) == ("MultiInference", "m", 1, None)
    assert told.request == request and told.response == answer


def test_what_runs_no_model_is_not_told(affine: Path, noted: NotedRequests) -> None:
    with running_endpoints(affine, rest_port=0, observers=[noted]) as endpoints, \
            OfficialClient(endpoints.grpc_port) as client:
        client.statuses("m")
        rest(endpoints.rest_port, "GET", "/v1/models/m")
        rest(endpoints.rest_port, "GET", "/v1/models/m/metadata")
    assert noted.requests == []


def test_cancelled_request_is_told_as_such_once(tmp_path: Path, noted: NotedRequests) -> None:
    save_slow_model(tmp_path / "m" / "1")
    started = tmp_path / "started"
    with running_endpoints(tmp_path / "m", observers=[noted]) as endpoints, OfficialClient(endpoints.grpc_port) as client:
        call = client.prediction.Predict.future(predict_request(
            {"seconds": np.float64(1), "started": str(started).encode()}), timeout=60)
        _wait_until(started.exists)
        call.cancel()
        _wait_until(lambda: noted.requests)
    assert len(noted.requests) == 1


def test_warm_up_is_not_told(tmp_path: Path, noted: NotedRequests) -> None:
    save_affine_model(tmp_path / "1")
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(predict_request({"x": _X}))
    file = tmp_path / "1" / WARM_UP_FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(log.SerializeToString())
    with running_endpoints(tmp_path, observers=[noted]):
        pass
    assert noted.requests == []


class _Broken:
    error = ZeroDivisionError

    def __init__(self, _: object) -> None:
        pass

    def observe(self, _: ObservedRequest) -> None:
        raise self.error("an observer's bug")

    def close(self) -> None:
        raise ZeroDivisionError("another bug")


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_observer_that_raises_costs_nobody_an_answer_and_is_logged_once(
        affine: Path, options: dict, noted: NotedRequests, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
        error: type[BaseException]) -> None:
    monkeypatch.setattr(_Broken, "error", error)
    options["observers"] = [_Broken, noted]
    with running_endpoints(affine, **options) as endpoints, OfficialClient(endpoints.grpc_port) as client:
        for _ in range(5):
            np.testing.assert_array_equal(tf.make_ndarray(client.predict({"x": _X}).outputs["y"]), 2 * _X)
            assert predict(endpoints.rest_port, {"instances": _X.tolist(), "signature_name": "serving_default"}).status == 200
    assert noted.num_by_code() == {"OK": 10}
    assert noted.is_closed
    assert caplog.text.count("the observer _Broken failed at a request") == 1
    assert "an observer's bug" in caplog.text and "another bug" in caplog.text


def test_observer_can_ask_another_version_unobserved(tmp_path: Path, noted: NotedRequests) -> None:
    """What shadow traffic needs."""
    save_affine_model(tmp_path / "1")
    save_affine_model(tmp_path / "2", slope=3.0)
    config = ModelConfig(name="m", base_path=tmp_path, version_policy=AllVersions())
    server = EmbeddedServer(ServerOptions(models=[config], address="127.0.0.1", grpc_port=0, observers=[noted]))
    with OfficialClient(server.start().grpc_port) as client:
        client.predict({"x": _X})
        request = predict_request({"x": noted.requests[0].inputs["x"]}, version=1)
        np.testing.assert_array_equal(noted.context.inference.predict(request).outputs["y"], 2 * _X)
    server.stop()
    assert [told.version for told in noted.requests] == [2]
    assert noted.context.models == [config] and noted.context.worker_number == 0


class _WithPage(_Broken):
    def observe(self, _: ObservedRequest) -> None:
        pass

    def pages(self) -> dict[str, Any]:
        return {"/monitor": lambda: ("text/html", b"<p>hello</p>")}


def test_page_of_an_observer_is_shown_at_the_rest_port(affine: Path) -> None:
    with running_endpoints(affine, rest_port=0, observers=[_WithPage]) as endpoints:
        reply = rest(endpoints.rest_port, "GET", "/monitor")
        assert (reply.status, reply.headers["content-type"], reply.body) == (200, "text/html", b"<p>hello</p>")


@pytest.mark.parametrize("factories, words", [
    (["nothing"], "must be package.module:function, separated by commas. Got 'nothing'"),
    (["no.such.module:f"], "cannot import 'no.such.module' of 'no.such.module:f'"),
    (["json:no_such_function"], "'json' has no function 'no_such_function'"),
    (["builtins:range"], "cannot make 'builtins:range': TypeError: "),
    (["builtins:exit"], "cannot make 'builtins:exit': SystemExit"),
    ([lambda context: __import__("no_such_module")], "No module named 'no_such_module'"),
    (["builtins:repr"], "must return an object with the method observe(request). Got str."),
    ([_WithPage, _WithPage], "two observers show a page at /monitor"),
])
def test_wrong_observers_are_refused_before_anything_is_loaded(tmp_path: Path, factories: list, words: str) -> None:
    server = EmbeddedServer(ServerOptions(models=[ModelConfig(name="m", base_path=tmp_path)], address="127.0.0.1", grpc_port=0,
                                          observers=factories))
    with pytest.raises(ServingError) as caught:
        server.start()
    assert words in str(caught.value)


def test_observer_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_observers.py").write_text("class Mine:\n    def __init__(self, context):\n        self.context = context\n"
                                              "    def observe(self, request):\n        pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    context = ObserverContext(inference=Inference(None), models=[])
    observer = make_observer("my_observers:Mine", context)
    assert type(observer).__name__ == "Mine" and observer.context is context


def test_without_observers_no_notes_are_taken() -> None:
    observers = Observers()
    assert observers.begin("Predict", entrypoint="GRPC") is NOT_OBSERVED
    observers.add(NotedRequests())
    assert observers.begin("Predict", entrypoint="GRPC") is not NOT_OBSERVED


def test_request_ends_once() -> None:
    told: list[ObservedRequest] = []
    request = ObservedRequest(told.append, method="Predict", entrypoint="REST")
    request.end(Code.DEADLINE_EXCEEDED, "time is over")
    request.note_outputs({"y": _X})
    request.end(Code.OK)
    assert told == [request] and (request.code, request.outputs) == (Code.DEADLINE_EXCEEDED, {})


def test_example_of_the_docs_is_told_and_shows_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs/serving.md").read_text(encoding="utf-8").partition("## Observers")[2]
    (tmp_path / "slow_requests.py").write_text(text.partition("```python\n")[2].partition("```")[0], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    save_slow_model(tmp_path / "m" / "1")
    inputs = {"seconds": np.float64(1.1), "started": str(tmp_path / "started").encode()}
    with running_endpoints(tmp_path / "m", rest_port=0, observers=["slow_requests:SlowRequests"]) as endpoints, \
            OfficialClient(endpoints.grpc_port) as client:
        client.predict(inputs)
        client.predict({**inputs, "seconds": np.float64(0)})
        assert rest(endpoints.rest_port, "GET", "/slow").body == b"1"
