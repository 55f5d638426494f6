"""Answers over real HTTP are what TensorFlow itself computes, for every method, form and type of the REST API."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format

from expman.serving.embedded_server import EmbeddedServer
from expman.serving.models.model_config import ModelConfig, model_configs
from expman.serving.server_options import ServerOptions
from expman.wire.protos import get_model_metadata_pb2, model_server_config_pb2, saved_model_pb2
from tests.support.rest_client import predict, rest
from tests.support.serving_models import running_endpoints, save_affine_model, save_example_model, save_text_model

_DTYPES = (tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16,
           tf.uint32, tf.uint64, tf.bool, tf.string)
_X = np.array([[1, 2], [3, -4.5], [0.1, 1 / 3]], np.float32)


def _save_mirror_model(folder: Path) -> Path:
    """Saves a model with a signature for each type: x of that type -> y, the same values in the opposite order."""
    class Mirror(tf.Module):
        @tf.function
        def mirror(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": x[::-1]}

        @tf.function
        def bytes_of(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"raw_bytes": text, "raw": text}

        @tf.function
        def complex_of(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": tf.complex(x, x)}

    model = Mirror()
    signatures = {dtype.name: model.mirror.get_concrete_function(tf.TensorSpec([None], dtype, "x")) for dtype in _DTYPES}
    signatures["bytes"] = model.bytes_of.get_concrete_function(tf.TensorSpec([None], tf.string, "text"))
    signatures["to_complex"] = model.complex_of.get_concrete_function(tf.TensorSpec([None], tf.float32, "x"))
    signatures["of_complex"] = model.mirror.get_concrete_function(tf.TensorSpec([None], tf.complex64, "x"))
    tf.saved_model.save(model, str(folder), signatures=signatures)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_affine_model(folder / "affine" / "1")
    save_affine_model(folder / "affine" / "2", slope=10.0)
    save_text_model(folder / "text" / "1")
    save_example_model(folder / "examples" / "1")
    _save_mirror_model(folder / "mirror" / "1")
    return folder


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    models = [ModelConfig(name=name, base_path=folder / name) for name in ("text", "examples", "mirror")]
    models.append(_with_labels(folder / "affine", {"old": 1, "new": 2}))
    server = EmbeddedServer(ServerOptions(models=models, address="127.0.0.1", grpc_port=None, rest_port=0))
    yield server.start().rest_port
    server.stop()


def _with_labels(base_path: Path, labels: dict[str, int]) -> ModelConfig:
    config = model_server_config_pb2.ModelServerConfig()
    model = config.model_config_list.config.add(name="affine", base_path=str(base_path), model_platform="tensorflow")
    model.model_version_policy.specific.versions.extend([1, 2])
    model.version_labels.update(labels)
    return model_configs(config)[0]


def _post(port: int, path: str, document: Any) -> Any:
    reply = predict(port, document, path=path)
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == "application/json"
    return reply.json()


def _signature(folder: Path, name: str = "serving_default") -> Any:
    return tf.saved_model.load(str(folder)).signatures[name]


def test_rows_are_those_of_tensorflow(port: int, folder: Path) -> None:
    answer = _post(port, "/v1/models/affine:predict", {"instances": _X.tolist()})
    expected = _signature(folder / "affine" / "2")(x=tf.constant(_X))
    np.testing.assert_array_equal(np.array([row["y"] for row in answer["predictions"]], np.float32), expected["y"])
    np.testing.assert_array_equal(np.array([row["z"] for row in answer["predictions"]], np.float32), expected["z"])


def test_columns_are_those_of_tensorflow(port: int, folder: Path) -> None:
    answer = _post(port, "/v1/models/affine:predict", {"inputs": {"x": _X.tolist()}})
    expected = _signature(folder / "affine" / "2")(x=tf.constant(_X))
    for name in ("y", "z"):
        np.testing.assert_array_equal(np.array(answer["outputs"][name], np.float32), expected[name])


def test_signature_with_two_inputs_of_different_shapes(port: int, folder: Path) -> None:
    answer = _post(port, "/v1/models/affine:predict",
                   {"signature_name": "with_shift", "inputs": {"x": _X.tolist(), "shift": 0.25}})
    expected = _signature(folder / "affine" / "2", "with_shift")(x=tf.constant(_X), shift=tf.constant(0.25))["y"]
    np.testing.assert_array_equal(np.array(answer["outputs"], np.float32), expected)


@pytest.mark.parametrize(("place", "slope"), [("", 10), ("/versions/1", 2), ("/versions/2", 10), ("/labels/old", 2),
                                              ("/labels/new", 10)])
def test_version_or_label_in_the_path_is_what_answers(port: int, place: str, slope: float) -> None:
    answer = _post(port, f"/v1/models/affine{place}:predict",
                   {"signature_name": "with_shift", "inputs": {"x": [[1, 2]], "shift": 0}})
    assert answer == {"outputs": [[slope, 2 * slope]]}


def test_not_a_number_and_infinities_go_both_ways(port: int) -> None:
    reply = rest(port, "POST", "/v1/models/affine:predict", '{"instances": [[NaN, -Infinity], [Inf, 1e38]]}')
    assert reply.body == b"""{
    "predictions": [
        {
            "y": [NaN, -Infinity],
            "z": [NaN, Infinity]
        },
        {
            "y": [Infinity, Infinity],
            "z": [-Infinity, -Infinity]
        }
    ]
}"""


@pytest.mark.parametrize("dtype", _DTYPES, ids=lambda dtype: dtype.name)
def test_every_type_goes_both_ways(port: int, dtype: tf.DType) -> None:
    if dtype is tf.string:
        values = ["é", 'a"b\\\n\x01', "", "😀"]
    elif dtype is tf.bool:
        values = [True, False, True]
    elif dtype.is_integer:
        values = [dtype.min, dtype.max, 1]
    else:
        values = tf.constant([0.1, -2.5, float(dtype.max), 1 / 3], dtype).numpy().astype(np.float64).tolist()
    for form, answer in (("instances", "predictions"), ("inputs", "outputs")):
        got = _post(port, "/v1/models/mirror:predict", {"signature_name": dtype.name, form: values})[answer]
        if dtype.is_floating:
            got = np.array(got).astype(dtype.as_numpy_dtype).astype(np.float64).tolist()
        assert got == values[::-1]


def test_bytes_go_in_and_out_as_base64(port: int) -> None:
    raw = [bytes(range(256)), b"plain"]
    encoded = [{"b64": base64.b64encode(value).decode()} for value in raw]
    answer = predict(port, {"signature_name": "bytes", "inputs": encoded}, path="/v1/models/mirror:predict").body
    # The output that is not called bytes is written as it is, which is no UTF-8 here.
    document = json.loads(answer.decode("utf-8", "surrogateescape"))
    assert document["outputs"]["raw_bytes"] == encoded
    assert [text.encode("utf-8", "surrogateescape") for text in document["outputs"]["raw"]] == raw


def test_strings_are_text(port: int) -> None:
    answer = _post(port, "/v1/models/text:predict", {"inputs": ["déjà vu", "b"]})
    assert answer == {"outputs": {
        "upper": ["DéJà VU", "B"], "joined": "déjà vub", "length": [len("déjà vu".encode()), 1]}}


def test_output_without_a_batch_makes_no_rows(port: int) -> None:
    reply = predict(port, {"instances": ["a"]}, path="/v1/models/text:predict")
    assert (reply.status, reply.error) == (400, "Tensor name: joined has no shape information ")


@pytest.mark.parametrize(("signature", "form", "status", "words"), [
    ("to_complex", "instances", 400, "Failed to write JSON value for tensor type: complex64"),
    ("of_complex", "inputs", 501, "Conversion of JSON Value: 1 to type: complex64"),
    ("of_complex", "instances", 400, "Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: "
                                     "Conversion of JSON Value: 1 to type: complex64"),
])
def test_complex_numbers_are_refused(port: int, signature: str, form: str, status: int, words: str) -> None:
    reply = predict(port, {"signature_name": signature, form: [1]}, path="/v1/models/mirror:predict")
    assert (reply.status, reply.error) == (status, words)


@pytest.mark.parametrize(("signature", "labels"), [
    ("", ["low", "high"]), ("classify", ["low", "high"]), ("scores_only", ["", ""])])
def test_classify(port: int, signature: str, labels: list[str]) -> None:
    answer = _post(port, "/v1/models/examples:classify",
                   {"signature_name": signature, "examples": [{"x": 0.5}, {"x": [-2.0], "w": 3.0}]})
    assert answer == {"results": [[[labels[0], 0.5], [labels[1], -0.5]], [[labels[0], -6.0], [labels[1], 6.0]]]}


def test_classify_with_context(port: int) -> None:
    answer = _post(port, "/v1/models/examples:classify", {"context": {"w": 4.0}, "examples": [{"x": 0.5}, {"x": 1.0}]})
    assert answer == {"results": [[["low", 2.0], ["high", -2.0]], [["low", 4.0], ["high", -4.0]]]}


@pytest.mark.parametrize("signature", ["regress", "regress_flat"])
def test_regress(port: int, signature: str) -> None:
    reply = predict(port, {"signature_name": signature, "examples": [{"x": 0.5}, {"x": -0.25, "w": 2.0}]},
                    path="/v1/models/examples/versions/1:regress")
    assert reply.body == b'{\n    "results": [5.0, -5.0]\n}'


def test_examples_of_another_type_bring_the_kernels_own_words(port: int) -> None:
    reply = predict(port, {"examples": [{"x": 1}]}, path="/v1/models/examples:classify")
    assert reply.status == 400
    assert "Data types don't match. Data type: int64 but expected type: float" in reply.error


def test_status_tells_all_versions_newest_first(port: int) -> None:
    reply = rest(port, "GET", "/v1/models/affine")
    assert reply.json() == {"model_version_status": [
        {"version": version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        for version in ("2", "1")]}
    assert reply.body.startswith(b'{\n "model_version_status": [\n  {\n   "version": "2",\n')


@pytest.mark.parametrize(("place", "version"), [("/versions/1", "1"), ("/labels/new", "2")])
def test_status_of_one_version(port: int, place: str, version: str) -> None:
    status, = rest(port, "GET", f"/v1/models/affine{place}").json()["model_version_status"]
    assert status["version"] == version


def test_metadata_are_the_signatures_of_the_export(port: int, folder: Path) -> None:
    document = rest(port, "GET", "/v1/models/affine/labels/old/metadata").json()
    assert document["model_spec"] == {"name": "affine", "version": "1", "signature_name": ""}
    told = json_format.ParseDict(document["metadata"]["signature_def"], get_model_metadata_pb2.SignatureDefMap())
    graph, = saved_model_pb2.SavedModel.FromString((folder / "affine" / "1" / "saved_model.pb").read_bytes()).meta_graphs
    for name in ("serving_default", "with_shift", "inverse"):
        assert told.signature_def[name] == graph.signature_def[name]


@pytest.mark.parametrize(("method", "path", "document", "status", "words"), [
    ("POST", "/v1/models/none:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(none)"),
    ("POST", "/v1/models/affine/versions/7:predict", {"instances": [1]}, 404,
     "Servable not found for request: Specific(affine, 7)"),
    ("POST", "/v1/models/affine/labels/x:predict", {"instances": [1]}, 400, "Unrecognized servable version label: x"),
    ("POST", "/v1/models/none:classify", {"examples": [{}]}, 404, "Servable not found for request: Latest(none)"),
    ("GET", "/v1/models/none", None, 404, "Could not find any versions of model none"),
    ("GET", "/v1/models/none/metadata", None, 404, "Servable not found for request: Latest(none)"),
    ("GET", "/v1/models", None, 400, "Missing model name in request."),
    ("GET", "/v1/foo", None, 400, "Malformed request: GET /v1/foo"),
    ("PUT", "/v1/models/affine:predict", {}, 400, "Malformed request: PUT /v1/models/affine:predict"),
    ("POST", "/v1/models/affine:predict?a=b", {}, 400, "Malformed request: POST /v1/models/affine:predict?a=b"),
    ("GET", "/elsewhere", None, 404, "Not found: GET /elsewhere"),
    ("OPTIONS", "*", None, 404, "404: Not Found"),
    ("POST", "/v1/models/affine:predict", {"signature_name": "s", "instances": [1]}, 400,
     'Serving signature name: "s" not found in signature def'),
    ("POST", "/v1/models/affine:predict", {"signature_name": ["s"]}, 400, None),
    ("POST", "/v1/models/affine:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
    ("POST", "/v1/models/affine:predict", [1], 400, "JSON Value: [\n    1\n] Is not object"),
    ("POST", "/v1/models/examples:classify", {"signature_name": "s", "examples": [{"x": 1.0}]}, 400,
     "No signature was found with the name: s"),
    ("POST", "/v1/models/examples:regress", {"signature_name": "regress_wrong", "examples": [{"x": 1.0}]}, 400,
     "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [1,3]"),
    ("POST", "/v1/models/examples:classify", {"examples": []}, 400, None),
])
def test_request_that_cannot_be_answered_is_told_why(port: int, method: str, path: str, document: Any, status: int,
                                                     words: str | None) -> None:
    reply = rest(port, method, path, None if document is None else json.dumps(document))
    assert reply.status == status
    assert reply.error == words if words else reply.error.startswith("JSON Value: {")


def test_text_that_is_no_json_is_a_fault_even_without_the_model(port: int) -> None:
    reply = rest(port, "POST", "/v1/models/none:predict", "instances = [1, 2]")
    assert (reply.status, reply.error) == (400, "JSON Parse error: Invalid value. at offset: 0")
    assert rest(port, "POST", "/v1/models/none:predict").error == "JSON Parse error: The document is empty. at offset: 0"


def test_words_of_the_kernel_come_back(port: int) -> None:
    reply = predict(port, {"signature_name": "inverse", "inputs": [[1, 2, 3]]}, path="/v1/models/affine:predict")
    assert reply.status == 400
    assert "Input matrix must be square" in reply.error


def test_names_are_decoded(tmp_path: Path) -> None:
    save_affine_model(tmp_path / "1")
    with running_endpoints(tmp_path, model_name="a/b é:c", rest_port=0) as endpoints:
        path = "/v1/models/a%2Fb%20%C3%A9%3Ac"
        assert rest(endpoints.rest_port, "GET", path).status == 200
        assert predict(endpoints.rest_port, {"instances": [[1, 2]]}, path=f"{path}:predict").status == 200


def test_large_body_and_large_answer_are_those_of_tensorflow(port: int) -> None:
    values = np.random.default_rng(3).standard_normal((5000, 100)).astype(np.float32).ravel()
    body = json.dumps({"signature_name": "float32", "instances": [float(value) for value in values]})
    assert len(body) > 10_000_000
    reply = rest(port, "POST", "/v1/models/mirror:predict", body)
    np.testing.assert_array_equal(np.array(reply.json()["predictions"], np.float32), values[::-1])


def test_mutated_requests_are_refused_and_valid_ones_still_answered(port: int) -> None:
    generator = np.random.default_rng(11)
    valid = json.dumps({"signature_name": "with_shift", "inputs": {"x": [[1, 2.5], [3, -4e3]], "shift": 0.5}}).encode()
    statuses = set()
    for _ in range(400):
        body = bytearray(valid)
        for _ in range(generator.integers(1, 4)):
            place = int(generator.integers(len(body)))
            kind = generator.integers(3)
            if kind == 0:
                body[place] = int(generator.integers(256))
            elif kind == 1:
                del body[place:place + int(generator.integers(1, 9))]
            else:
                body[place:place] = body[:place] * int(generator.integers(1, 3))
        reply = rest(port, "POST", "/v1/models/affine:predict", bytes(body))
        statuses.add(reply.status)
        assert reply.status == 200 or reply.error
    assert {400} < statuses <= {200, 400}
    assert rest(port, "POST", "/v1/models/affine:predict", valid).status == 200
