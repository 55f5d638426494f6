"""Requests in rows, in columns and of examples become the services' messages, or are refused in TensorFlow Serving's words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from expman.serving.rest_api.json_requests import asks_for_rows, examples_input, predict_inputs, signature_name
from expman.wire.protos import input_pb2, meta_graph_pb2
from expman.wire.status import Code, StatusError

_NAN = float("nan")


def _inputs(**dtypes: tf.DType) -> Any:
    signature = meta_graph_pb2.SignatureDef()
    for name, dtype in dtypes.items():
        signature.inputs[name].dtype = dtype.as_datatype_enum
    return signature.inputs


_ONE = _inputs(x=tf.int32)
_TWO = _inputs(x=tf.float32, text=tf.string)


def _predict_fault(document: dict[str, Any], inputs: Any = _ONE) -> str:
    with pytest.raises(StatusError) as caught:
        predict_inputs(document, inputs)
    assert caught.value.code == Code.INVALID_ARGUMENT
    return caught.value.message


def _examples_fault(document: dict[str, Any]) -> str:
    with pytest.raises(StatusError) as caught:
        examples_input(document)
    assert caught.value.code == Code.INVALID_ARGUMENT
    return caught.value.message


def test_rows_of_one_input_are_joined() -> None:
    arrays = predict_inputs({"instances": [[1, 2], [3, 4], [5, 6]]}, _ONE)
    assert list(arrays) == ["x"]
    assert arrays["x"].dtype == np.int32
    np.testing.assert_array_equal(arrays["x"], [[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize("instances", [
    [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}], [{"text": "hello"}, {"text": {"b64": "d29ybGQ="}}], ["hello", "world"]])
def test_rows_of_one_input_may_be_named_or_bytes(instances: list) -> None:
    arrays = predict_inputs({"instances": instances}, _inputs(text=tf.string))
    assert arrays["text"].tolist() == [b"hello", b"world"]


def test_rows_of_several_inputs_are_joined_by_name() -> None:
    arrays = predict_inputs({"instances": [{"x": [1.5, _NAN], "text": "a"}, {"text": "b", "x": [2, float("inf")]}]}, _TWO)
    assert arrays["text"].tolist() == [b"a", b"b"]
    np.testing.assert_array_equal(arrays["x"], np.array([[1.5, np.nan], [2, np.inf]], np.float32))


@pytest.mark.parametrize("value", [[[1, 2], [3, 4]], {"x": [[1, 2], [3, 4]]}, {"x": [[1, 2], [3, 4]], "extra": "ignored"}])
def test_columns_of_one_input_may_be_named(value: Any) -> None:
    np.testing.assert_array_equal(predict_inputs({"inputs": value}, _ONE)["x"], [[1, 2], [3, 4]])


def test_columns_may_differ_in_shape() -> None:
    arrays = predict_inputs({"inputs": {"x": 0.5, "text": [["a"], ["b"]]}}, _TWO)
    assert arrays["x"].shape == () and arrays["x"] == 0.5
    assert arrays["text"].tolist() == [[b"a"], [b"b"]]


def test_form_of_the_request_is_that_of_the_answer() -> None:
    assert asks_for_rows({"instances": []})
    assert not asks_for_rows({"inputs": []})


@pytest.mark.parametrize(("document", "words"), [
    ({}, "Missing 'inputs' or 'instances' key"),
    ({"instances": [1], "inputs": [1]},
     "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "),
    ({"instances": 1}, "Excepting 'instances' to be an list/array"),
    ({"instances": []}, "No values in 'instances' array"),
    ({"instances": [[1, 2], [3, 4], [5, 6, 7]]}, "Failed to process element: 2 of 'instances' list. Error: INVALID_ARGUMENT: "
                                                 "Expecting tensor size: 2 but got: 3"),
    ({"instances": [[1, 2], [3, 4], [[5, 6]]]}, "Failed to process element: 2 of 'instances' list. Error: INVALID_ARGUMENT: "
                                                "Expecting shape [2] but got: [1,2]"),
    ({"instances": [1, [1]]}, "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
                              "Expecting shape [] but got: [1]"),
    ({"instances": [[1, 2], ["a", "b"]]}, "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
                                          'JSON Value: "a" Type: String is not of expected type: int32'),
    ({"instances": [[1], {"x": [2]}]}, "Expecting value/list but got object at item 1 of input list"),
    ({"instances": [{"x": [1]}, [2]]}, "Expecting object but got list at item 1 of input list"),
    ({"instances": [{"x": 1}, {"y": 2}]}, "Failed to process element: 1 key: y of 'instances' list. Error: INVALID_ARGUMENT: "
                                          "JSON object: does not have named input: y"),
    ({"inputs": {"y": 1}}, "Missing named input: x in 'inputs' object."),
    ({"inputs": [[1], [2, 3]]}, "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
])
def test_fault_of_one_input_is_told(document: dict[str, Any], words: str) -> None:
    message = _predict_fault(document)
    assert message == words or (message.startswith("JSON Value: {") and message.endswith(f"}} {words}"))


@pytest.mark.parametrize(("document", "words"), [
    ({"instances": [[1]]}, "instances is a plain list, but expecting list of objects as multiple input tensors required as "
                           "per tensorinfo_map"),
    ({"inputs": [1]}, "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                      "tensorinfo_map"),
    ({"instances": [{"x": 1, "text": "a"}, {"x": 1}]},
     "Failed to process element: 1 of 'instances' list. JSON object: {\n    \"x\": 1\n} keys must be equal to: text,x"),
    ({"instances": [{"x": 1, "text": "a"}, {"x": 1, "text": 2}]},
     "Failed to process element: 1 key: text of 'instances' list. Error: INVALID_ARGUMENT: "
     "JSON Value: 2 Type: Number is not of expected type: string"),
    ({"instances": [{"x": [1], "text": "a"}, {"x": [1, 2], "text": "b"}]},
     "Failed to process element: 1 key: x of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 1 but got: 2"),
    ({"inputs": {"x": 1}}, "Missing named input: text in 'inputs' object."),
])
def test_fault_of_several_inputs_is_told(document: dict[str, Any], words: str) -> None:
    assert _predict_fault(document, _TWO) == words


def test_type_that_json_cannot_carry_is_told_with_the_instance() -> None:
    assert _predict_fault({"instances": [1]}, _inputs(x=tf.complex64)) == (
        "Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: "
        "Conversion of JSON Value: 1 to type: complex64")


@pytest.mark.parametrize(("document", "name"), [({}, ""), ({"signature_name": "s"}, "s")])
def test_signature_is_that_of_the_request(document: dict[str, Any], name: str) -> None:
    assert signature_name(document) == name


def test_signature_must_be_a_string() -> None:
    with pytest.raises(StatusError, match="not formatted correctly. 'signature_name' key must be a string value."):
        signature_name({"signature_name": 5})


def test_examples_have_features_of_three_kinds() -> None:
    message = examples_input({"examples": [
        {"names": ["foo", {"b64": "aGVsbG8="}], "ratings": [8.0, float("-inf")], "mix": [1, True, False], "empty": []},
        {"names": "bar", "ratings": 6.5, "mix": -2**63}]})
    assert message == text_format.Parse("""
        example_list {
          examples { features {
            feature { key: "names" value { bytes_list { value: "foo" value: "hello" } } }
            feature { key: "ratings" value { float_list { value: 8.0 value: -inf } } }
            feature { key: "mix" value { int64_list { value: 1 value: 1 value: 0 } } }
            feature { key: "empty" value { } } } }
          examples { features {
            feature { key: "names" value { bytes_list { value: "bar" } } }
            feature { key: "ratings" value { float_list { value: 6.5 } } }
            feature { key: "mix" value { int64_list { value: -9223372036854775808 } } } } }
        }""", input_pb2.Input())


def test_feature_may_be_nan() -> None:
    message = examples_input({"examples": [{"x": [1.0, _NAN]}]})
    np.testing.assert_array_equal(message.example_list.examples[0].features.feature["x"].float_list.value, [1, np.nan])


def test_context_goes_with_the_examples() -> None:
    message = examples_input({"context": {"query": "pizza", "places": ["a", "b"]}, "examples": [{"x": 1}, {}]})
    assert message == text_format.Parse("""
        example_list_with_context {
          context { features {
            feature { key: "query" value { bytes_list { value: "pizza" } } }
            feature { key: "places" value { bytes_list { value: "a" value: "b" } } } } }
          examples { features { feature { key: "x" value { int64_list { value: 1 } } } } }
          examples { }
        }""", input_pb2.Input())


@pytest.mark.parametrize(("document", "words"), [
    ({}, "When method is classify, key 'examples' is expected and was not found"),
    ({"examples": {"x": 1}}, "Expecting 'examples' value to be an list/array"),
    ({"examples": []}, "'examples' value is an empty array"),
    ({"examples": [[{"x": 1}]]}, "Example must be JSON object but got JSON Array"),
    ({"context": [1], "examples": [{}]}, "Example must be JSON object but got JSON Array"),
    ({"examples": [{"x": [10, None]}]}, "Feature: x has element with unexpected JSON type: Null"),
    ({"examples": [{"x": [10, {"test": 10}]}]}, "Feature: x has element with unexpected JSON type: Object"),
    ({"examples": [{"x": [[10], 20]}]}, "Feature: x has element with unexpected JSON type: Array"),
    ({"examples": [{"x": [10, 10.0]}]}, "Unexpected element type in feature: x expecting type: int64"),
    ({"examples": [{"x": [10.0, 10]}]}, "Unexpected element type in feature: x expecting type: float"),
    ({"examples": [{"x": ["a", 10]}]}, "Unexpected element type in feature: x expecting type: bytes"),
    ({"examples": [{"x": [20, 18446744073709551603]}]}, "Feature: x has uint64 element. Only int64 is supported."),
    ({"examples": [{"x": 1e300}]}, "Cannot convert JSON value: 1e+300 to float without loss of precision."),
    ({"examples": [{"x": {"b64": "?"}}]}, "Unable to base64 decode"),
])
def test_fault_of_examples_is_told(document: dict[str, Any], words: str) -> None:
    message = _examples_fault(document)
    assert message == words or (message.startswith("JSON Value: {") and message.endswith(f"}} {words}"))
