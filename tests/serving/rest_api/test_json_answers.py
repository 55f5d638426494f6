"""Answers have the layout of TensorFlow Serving, to the byte; the texts here are those that its documentation shows."""

from __future__ import annotations

import base64
import json

import ml_dtypes
import numpy as np
import pytest

from expman.serving.rest_api.json_answers import (
    classification_answer,
    column_answer,
    error_answer,
    metadata_answer,
    regression_answer,
    row_answer,
    status_answer,
)
from expman.wire.protos import classification_pb2, get_model_metadata_pb2, get_model_status_pb2, regression_pb2
from expman.wire.status import Code, StatusError


def _strings(*values: bytes) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def test_row_of_numbers() -> None:
    assert row_answer({"y": np.array([3.5, 4, 5.5], np.float32)}) == b"""{
    "predictions": [3.5, 4.0, 5.5
    ]
}"""


def test_row_of_lists() -> None:
    assert row_answer({"y": np.arange(8).reshape(2, 2, 2)}) == b"""{
    "predictions": [[[0, 1], [2, 3]], [[4, 5], [6, 7]]
    ]
}"""


def test_row_of_objects_has_the_names_in_order() -> None:
    assert row_answer({"z": np.array([True, False]), "a": np.array([[1, 2], [3, 4]], np.uint8)}) == b"""{
    "predictions": [
        {
            "a": [1, 2],
            "z": true
        },
        {
            "a": [3, 4],
            "z": false
        }
    ]
}"""


def test_column_of_one_output() -> None:
    assert column_answer({"y": np.array([[1.5, 2], [3, np.nan]], np.float64)}) == b"""{
    "outputs": [
        [
            1.5,
            2.0
        ],
        [
            3.0,
            NaN
        ]
    ]
}"""


def test_column_of_a_scalar() -> None:
    assert column_answer({"y": np.array(7)}) == b'{\n    "outputs": 7\n}'


def test_column_of_several_outputs() -> None:
    assert column_answer({"b": _strings(b"x"), "a": np.array(-0.5, np.float32)}) == b"""{
    "outputs": {
        "a": -0.5,
        "b": [
            "x"
        ]
    }
}"""


def test_bytes_are_base64_where_the_name_says_so() -> None:
    assert row_answer({"a_bytes": _strings(b"hello", b"tf").reshape(2, 1)}) == b"""{
    "predictions": [[{
                "b64": "aGVsbG8="
            }], [{
                "b64": "dGY="
            }]
    ]
}"""
    assert column_answer({"a_bytes": _strings(b"hello"), "b": np.array(1)}) == b"""{
    "outputs": {
        "a_bytes": [
            {
                "b64": "aGVsbG8="
            }
        ],
        "b": 1
    }
}"""


def test_numbers_that_are_called_bytes_stay_numbers() -> None:
    assert json.loads(column_answer({"num_bytes": np.array([1, 2])})) == {"outputs": [1, 2]}


@pytest.mark.parametrize("shape", [(0,), (0, 2), (3, 0), (2, 0, 3), (2, 3, 0)], ids=str)
def test_empty_lists_are_written_as_such(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, np.float32)
    assert json.loads(column_answer({"y": array})) == {"outputs": array.tolist()}
    assert json.loads(row_answer({"y": array})) == {"predictions": array.tolist()}
    if shape[0]:
        assert json.loads(row_answer({"y": array, "z": array})) == {"predictions": [
            {"y": row, "z": row} for row in array.tolist()]}


@pytest.mark.parametrize("dtype", [
    np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16,
    np.uint32, np.uint64, np.bool_], ids=lambda dtype: dtype.__name__)
def test_every_type_reads_back(dtype: type) -> None:
    array = (np.random.default_rng(1).standard_normal((4, 3, 2)) * 50).astype(np.int64).astype(dtype)
    for answer, key in ((row_answer, "predictions"), (column_answer, "outputs")):
        np.testing.assert_array_equal(np.array(json.loads(answer({"y": array}))[key], dtype), array)


def test_strings_are_escaped_and_bytes_that_are_no_utf_8_come_as_they_are() -> None:
    texts = ['a"b\\c\n\t\x00\x1f', "é😀", ""]
    values = [text.encode() for text in texts]
    assert json.loads(row_answer({"y": _strings(*values)})) == {"predictions": texts}
    assert b'"\xff\xfea"' in row_answer({"y": _strings(b"\xff\xfea")})


def test_names_are_escaped() -> None:
    assert json.loads(column_answer({'a"\n': np.array(1), "ü%s": np.array(2)})) == {"outputs": {'a"\n': 1, "ü%s": 2}}
    assert json.loads(row_answer({'a"': np.array([1]), "%": np.array([2])})) == {"predictions": [{'a"': 1, "%": 2}]}


@pytest.mark.parametrize(("outputs", "words"), [
    ({}, "Cannot convert empty tensor map to JSON"),
    ({"y": np.array(1)}, "Tensor name: y has no shape information "),
    ({"a": np.zeros(2), "b": np.zeros(3)}, "Tensor name: b has inconsistent batch size: 3 expecting: 2"),
    ({"y": np.zeros(2, np.complex64)}, "Failed to write JSON value for tensor type: complex64"),
])
def test_outputs_that_make_no_rows_are_told(outputs: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(StatusError) as caught:
        row_answer(outputs)
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, words)


@pytest.mark.parametrize(("outputs", "words"), [
    ({}, "Cannot convert empty tensor map to JSON"),
    ({"y": np.zeros(2, np.complex128)}, "Failed to write JSON value for tensor type: complex128"),
])
def test_outputs_that_make_no_columns_are_told(outputs: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(StatusError) as caught:
        column_answer(outputs)
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, words)


def test_classification() -> None:
    result = classification_pb2.ClassificationResult()
    for scores in ((0.2, 0.7), (1, -1 / 3)):
        result.classifications.add().classes.extend(
            classification_pb2.Class(label=label, score=score) for label, score in zip(("car", 'b"'), scores))
    result.classifications.add()
    assert classification_answer(result) == b"""{
    "results": [[["car", 0.2], ["b\\"", 0.7]], [["car", 1.0], ["b\\"", -0.333333343]], []
    ]
}"""


def test_regression() -> None:
    values = (0.2, float("inf"), 1, float("-inf"), float("nan"))
    result = regression_pb2.RegressionResult(regressions=[regression_pb2.Regression(value=value) for value in values])
    assert regression_answer(result) == b"""{
    "results": [0.2, Infinity, 1.0, -Infinity, NaN]
}"""


def test_results_without_any_are_faults() -> None:
    with pytest.raises(StatusError, match="Cannot convert empty ClassificationResults to JSON"):
        classification_answer(classification_pb2.ClassificationResult())
    with pytest.raises(StatusError, match="Cannot convert empty RegressionResults to JSON"):
        regression_answer(regression_pb2.RegressionResult())


def test_status() -> None:
    response = get_model_status_pb2.GetModelStatusResponse()
    response.model_version_status.add(version=123, state=30).status.error_code = 0
    assert status_answer(response) == b"""{
 "model_version_status": [
  {
   "version": "123",
   "state": "AVAILABLE",
   "status": {
    "error_code": "OK",
    "error_message": ""
   }
  }
 ]
}
"""


def test_metadata() -> None:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signatures.signature_def["serving_default"].inputs["x"].name = "x:0"
    signatures.signature_def["serving_default"].inputs["x"].tensor_shape.dim.add(size=-1)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = "m"
    response.model_spec.version.value = 3
    response.metadata["signature_def"].Pack(signatures)
    answer = metadata_answer(response)
    assert answer.startswith(b'{\n"model_spec":{\n "name": "m",\n')
    assert b'\n}\n,\n"metadata": {"signature_def": {\n "signature_def": {\n  "serving_default": {\n   "inputs": {\n' in answer
    assert answer.endswith(b"}\n}\n}\n")
    assert json.loads(answer) == {
        "model_spec": {"name": "m", "version": "3", "signature_name": ""},
        "metadata": {"signature_def": {"signature_def": {"serving_default": {
            "inputs": {"x": {"name": "x:0", "dtype": "DT_INVALID", "tensor_shape": {
                "dim": [{"size": "-1", "name": ""}], "unknown_rank": False}}},
            "outputs": {}, "method_name": "", "defaults": {}}}}}}


def test_error() -> None:
    assert error_answer('a "b"\n') == b'{\n    "error": "a \\"b\\"\\n"\n}'


def test_large_outputs_of_bytes_are_those_of_the_model() -> None:
    values = [bytes([index % 256]) * 3 for index in range(9000)]
    rows = json.loads(row_answer({"y_bytes": _strings(*values)}))["predictions"]
    assert [base64.b64decode(row["b64"]) for row in rows] == values
