"""Clients with the official stubs get right answers, and TensorFlow Serving's code and words for each wrong request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_management_pb2, predict_pb2
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from expman.runtimes.saved_model_predictor import SavedModelPredictor
from expman.serving.models.model_config import ModelConfig
from tests.support.serving_models import (
    MAX_MESSAGE_BYTES,
    OfficialClient,
    predict_request,
    running_endpoints,
    running_server,
    save_affine_model,
    save_slow_model,
    save_text_model,
)

_X = np.array([[1, 2], [3, 4]], np.float32)


@pytest.fixture(scope="module")
def base_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 3 of the affine model."""
    folder = tmp_path_factory.mktemp("affine")
    save_affine_model(folder / "3")
    return folder


@pytest.fixture(scope="module")
def server_port(base_path: Path) -> Iterator[int]:
    with running_server(base_path, models=[ModelConfig(name="m", base_path=base_path, labels={"stable": 3})]) as port:
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


def test_answer_carries_tensor_content_when_asked(base_path: Path) -> None:
    with running_server(base_path, typed_fields=False) as port, OfficialClient(port) as official_client:
        output = official_client.predict({"x": _X}).outputs["y"]
    assert output.tensor_content == (2 * _X).tobytes()
    assert not output.float_val


def test_version_label_signature_and_output_filter_are_respected(client: OfficialClient) -> None:
    assert list(client.predict({"x": _X}, version=3, output_filter=("z",)).outputs) == ["z"]
    labelled = client.predict({"x": _X}, label="stable").model_spec
    assert labelled.version.value == 3 and not labelled.version_label
    response = client.predict({"x": _X, "shift": np.float32(5)}, signature_name="with_shift")
    np.testing.assert_allclose(tf.make_ndarray(response.outputs["y"]), 2 * _X + 5)
    assert response.model_spec.signature_name == "with_shift"


def test_shapes_are_not_held_against_the_signature(client: OfficialClient) -> None:
    outputs = client.predict({"x": np.array([1, 2, 3], np.float32)}).outputs  # the signature says [-1, 2]
    np.testing.assert_allclose(tf.make_ndarray(outputs["y"]), [2, 4, 6])


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
    "unknown label": (predict_request({"x": _X}, label="canary"), "INVALID_ARGUMENT",
                      "Unrecognized servable version label: canary"),
    "unknown signature": (predict_request({"x": _X}, signature_name="wrong"), "FAILED_PRECONDITION",
                          'Serving signature key "wrong" not found.'),
    "missing input": (predict_request({}), "INVALID_ARGUMENT",
                      "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. "
                      "Missing but required: {x}."),
    "further input": (predict_request({"x": _X, "w": _X}), "INVALID_ARGUMENT",
                      "input size does not match signature: 2!=1 len({w,x}) != len({x}). Sent extra: {w}. "
                      "Missing but required: {}."),
    "unknown input": (predict_request({"w": _X}), "INVALID_ARGUMENT",
                      "input tensor alias not found in signature: w. Inputs expected to be in the set {x}."),
    "unknown output": (predict_request({"x": _X}, output_filter=("q",)), "INVALID_ARGUMENT",
                       "output tensor alias not found in signature: q Outputs expected to be in the set {y,z}."),
    "output twice": (predict_request({"x": _X}, output_filter=("y", "y")), "INVALID_ARGUMENT",
                     "duplicate output tensor alias: y"),
    "wrong dtype": (predict_request({"x": _X.astype(np.float64)}), "INVALID_ARGUMENT",
                    "Expects arg[0] to be float but double is provided"),
    "wrong dtype, told for the input": (predict_request({"x": _X.astype(np.float64)}), "INVALID_ARGUMENT",
                                        "input 'x' must be float32 of shape [-1, 2] (-1: any size). "
                                        "Got float64 of shape [2, 2]."),
    "refused by the kernel": (predict_request({"matrix": _X[:1]}, signature_name="inverse"), "INVALID_ARGUMENT",
                              "must be square"),
    "no model_spec": (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
    "no name": (predict_request({"x": _X}, name="", version=1), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    "long name of an input": (predict_request({"ä" * 20_000: _X}), "INVALID_ARGUMENT", "input tensor alias not found"),
}


@pytest.mark.parametrize("case", _REFUSED_PREDICTIONS)
def test_wrong_prediction_request_gets_its_code_and_words(client: OfficialClient, case: str) -> None:
    request, code, message = _REFUSED_PREDICTIONS[case]
    _assert_refused(client.prediction.Predict, request, code=code, message=message)


def test_malformed_tensor_is_invalid(client: OfficialClient) -> None:
    request = predict_request({"x": _X})
    request.inputs["x"].tensor_content = b"short"
    _assert_refused(client.prediction.Predict, request, code="INVALID_ARGUMENT", message="tensor parsing error: x")


@pytest.mark.parametrize(("fields", "message"), [
    ([], "GetModelMetadataRequest must specify at least one metadata_field"),
    (["other"], "Metadata field other is not supported")])
def test_other_metadata_are_invalid(client: OfficialClient, fields: list[str], message: str) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = "m"
    _assert_refused(client.prediction.GetModelMetadata, request, code="INVALID_ARGUMENT", message=message)


def test_status_of_an_unknown_model_is_not_found(client: OfficialClient) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "other"
    _assert_refused(client.model.GetModelStatus, request, code="NOT_FOUND",
                    message="Could not find any versions of model other")


def test_new_configuration_replaces_the_models(base_path: Path, tmp_path: Path) -> None:
    save_affine_model(tmp_path / "1", slope=7.0)
    with running_server(base_path) as port, OfficialClient(port) as official_client:
        _reload(official_client, {"n": tmp_path, "m": base_path})
        assert tf.make_ndarray(official_client.predict({"x": _X}, name="n").outputs["y"])[0, 0] == 7
        assert tf.make_ndarray(official_client.predict({"x": _X}, name="m").outputs["y"])[0, 0] == 2
        _reload(official_client, {"n": tmp_path})
        _assert_refused(official_client.prediction.Predict, predict_request({"x": _X}), code="NOT_FOUND",
                        message="Servable not found for request: Latest(m)")


def test_wrong_configuration_is_refused_and_changes_nothing(base_path: Path) -> None:
    with running_server(base_path) as port, OfficialClient(port) as official_client:
        with pytest.raises(grpc.RpcError) as caught:
            _reload(official_client, {"n": Path("relative/path")})
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        _assert_refused(official_client.model.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest(),
                        code="INVALID_ARGUMENT", message="no model_config_list")
        official_client.predict({"x": _X})


def test_deadline_ends_the_run_of_the_model(tmp_path: Path) -> None:
    save_slow_model(tmp_path / "m" / "1")
    with running_server(tmp_path / "m", warms_up=False) as port, OfficialClient(port) as official_client:
        inputs = {"seconds": np.float64(60), "started": str(tmp_path / "started").encode()}
        with pytest.raises(grpc.RpcError) as caught:
            official_client.prediction.Predict(predict_request(inputs), timeout=0.5)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    # Leaving the block waits for the requests that run: 60 s, had the deadline not ended this one.


def test_health_service_says_serving(client: OfficialClient) -> None:
    stub = health_pb2_grpc.HealthStub(client.channel)
    for service in ("", "tensorflow.serving.PredictionService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_unix_socket_answers_as_the_port_does(base_path: Path, tmp_path: Path) -> None:
    socket_path = str(tmp_path / "s.sock")
    with running_endpoints(base_path, grpc_port=None, grpc_socket_path=socket_path) as endpoints:
        assert endpoints.grpc_port is None
        with grpc.insecure_channel(f"unix:{socket_path}") as channel:
            response = PredictionServiceStub(channel).Predict(predict_request({"x": _X}), timeout=60)
    np.testing.assert_allclose(tf.make_ndarray(response.outputs["y"]), 2 * _X)


def test_bug_of_the_server_is_internal_and_logged_with_its_traceback(
        base_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    with running_server(base_path) as port, OfficialClient(port) as official_client:
        monkeypatch.setattr("expman.serving.inference.inference.PreparedPredict", broken)
        _assert_refused(official_client.prediction.Predict, predict_request({"x": _X}), code="INTERNAL",
                        message="ZeroDivisionError: a bug")
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


def test_saved_model_of_plain_tensorflow_runs_as_tensorflow_runs_it(base_path: Path, client: OfficialClient) -> None:
    expected = tf.saved_model.load(str(base_path / "3")).signatures["serving_default"](x=tf.constant(_X))
    outputs = client.predict({"x": _X}).outputs
    assert {name: tf.make_ndarray(value).tolist() for name, value in outputs.items()} == {
        name: value.numpy().tolist() for name, value in expected.items()}
    assert set(SavedModelPredictor(base_path / "3").signatures) >= {"serving_default", "with_shift", "inverse"}


def _reload(client: OfficialClient, models: dict[str, Path]) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    for name, path in models.items():
        request.config.model_config_list.config.add(name=name, base_path=str(path), model_platform="tensorflow")
    client.model.HandleReloadConfigRequest(request, timeout=60)


def _assert_refused(method: grpc.UnaryUnaryMultiCallable, request: object, *, code: str, message: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        method(request, timeout=60)
    assert caught.value.code().name == code, caught.value.details()
    assert message in caught.value.details()
