"""Clients with the official stubs get right answers, and the right code and reason for each wrong request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving_models import (
    MAX_MESSAGE_BYTES,
    OfficialClient,
    predict_request,
    running_server,
    save_affine_model,
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

from expman.serving.embedded_server import EmbeddedServer
from expman.serving.version_store import VersionStore

_X = np.array([[1, 2], [3, 4]], np.float32)


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


def _assert_refused(method: grpc.UnaryUnaryMultiCallable, request: object, *, code: str, message: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        method(request, timeout=60)
    assert caught.value.code().name == code, caught.value.details()
    assert message in caught.value.details()
