"""JSON values become arrays of the signature's types; what does not fit is refused in TensorFlow Serving's words."""

from __future__ import annotations

import base64
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from expman.serving.rest_api.json_tensors import array_of, type_name
from expman.wire.status import Code, StatusError

_FLOAT, _DOUBLE, _INT32, _STRING, _BOOL = 1, 2, 3, 7, 10


def _fault(value: Any, type_number: int) -> StatusError:
    with pytest.raises(StatusError) as caught:
        array_of(value, type_number)
    return caught.value


@pytest.mark.parametrize("dtype", [
    tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32,
    tf.uint64, tf.bool, tf.string], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3), (0,), (2, 0)], ids=str)
def test_every_type_and_shape_is_what_tensorflow_makes_of_it(dtype: tf.DType, shape: tuple[int, ...]) -> None:
    numbers = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    values = (numbers % 2 == 0) if dtype is tf.bool else numbers.astype(str) if dtype is tf.string else numbers
    array = array_of(values.tolist(), dtype.as_datatype_enum)
    expected = tf.constant(values.tolist(), dtype, shape).numpy()
    assert array.shape == shape
    assert array.dtype == (object if dtype is tf.string else dtype.as_numpy_dtype)
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16], ids=lambda dtype: dtype.__name__)
def test_decimals_are_rounded_to_the_type(dtype: type) -> None:
    values = [0.1, -1 / 3, 1, 1e-45, 2.5, float("inf"), float("-inf"), float("nan")]
    array = array_of(values, tf.as_dtype(dtype).as_datatype_enum)
    assert array.dtype == dtype
    np.testing.assert_array_equal(array.astype(np.float64), np.array(values).astype(dtype).astype(np.float64))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64],
                         ids=lambda dtype: dtype.__name__)
def test_whole_numbers_go_to_the_ends_of_the_type_and_no_further(dtype: type) -> None:
    number, limits = tf.as_dtype(dtype).as_datatype_enum, np.iinfo(dtype)
    assert array_of([int(limits.min), int(limits.max)], number).tolist() == [limits.min, limits.max]
    for value in (int(limits.min) - 1, int(limits.max) + 1):
        assert _fault([value], number).message == (
            f"JSON Value: {value} Type: Number is not of expected type: {np.dtype(dtype).name}")


@pytest.mark.parametrize(("value", "type_number", "words"), [
    (1.0, _INT32, "JSON Value: 1.0 Type: Number is not of expected type: int32"),
    (float("nan"), _INT32, "JSON Value: NaN Type: Number is not of expected type: int32"),
    (True, _INT32, "JSON Value: true Type: True is not of expected type: int32"),
    (True, _FLOAT, "JSON Value: true Type: True is not of expected type: float"),
    (None, _FLOAT, "JSON Value: null Type: Null is not of expected type: float"),
    ("1", _FLOAT, 'JSON Value: "1" Type: String is not of expected type: float'),
    ({"b64": "AA=="}, _FLOAT, 'JSON Value: {\n    "b64": "AA=="\n} Type: Object is not of expected type: float'),
    (1, _BOOL, "JSON Value: 1 Type: Number is not of expected type: bool"),
    (1, _STRING, "JSON Value: 1 Type: Number is not of expected type: string"),
    ({"b64": 1}, _STRING, 'JSON Value: {\n    "b64": 1\n} not formatted correctly for base64 data'),
    ({"b64": "?"}, _STRING, "Unable to base64 decode"),
    ({"b64": "é"}, _STRING, "Unable to base64 decode"),
    (1e39, _FLOAT, "Cannot convert JSON value: 1e+39 to float without loss of precision."),
    (16777216, _FLOAT, "Cannot convert JSON value: 16777216 to float without loss of precision."),
    (-2**53, _DOUBLE, "Cannot convert JSON value: -9007199254740992 to double without loss of precision."),
    (70000.0, 19, "Cannot convert JSON value: 70000.0 to half without loss of precision."),
])
@pytest.mark.parametrize("others", [[], [None]], ids=["alone", "in a list"])
def test_value_that_does_not_fit_is_named(value: Any, type_number: int, words: str, others: list) -> None:
    fault = _fault([value] if others else value, type_number)
    assert (fault.code, fault.message) == (Code.INVALID_ARGUMENT, words)


def test_great_floats_need_not_be_whole() -> None:
    assert array_of([16777216.0, 1e30, 3.4028234e38, 1.5], _FLOAT).tolist() == np.array(
        [16777216, 1e30, 3.4028234e38, 1.5], np.float32).tolist()


@pytest.mark.parametrize(("value", "words"), [
    ([[1, 2], [3]], "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
    ([[], [3]], "Encountered list at unexpected size: 1 at level: 1 expected size: 0"),
    ([1, [2]], "Encountered list at unexpected level: 1 expected < 1"),
    ([[1], 2], "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    ([[[1]], [2]], "JSON Value: 2 found at incorrect level: 3 in the JSON DOM. Expected at level: 3"),
    ([["a"], [1, 2]], 'JSON Value: "a" Type: String is not of expected type: float'),
])
def test_lists_that_make_no_array_are_refused_at_the_first_fault(value: Any, words: str) -> None:
    assert _fault(value, _FLOAT).message == words


def test_more_levels_than_an_array_can_have_are_refused() -> None:
    def nested(depth: int) -> Any:
        return [nested(depth - 1)] if depth else 1
    assert array_of(nested(64), _FLOAT).shape == (1,) * 64
    assert "nested more than 64 deep" in _fault(nested(65), _FLOAT).message
    assert "nested more than 64 deep" in _fault([nested(900), 1], _FLOAT).message


def test_strings_are_bytes_in_utf_8_and_base64_stands_for_bytes() -> None:
    raw = bytes(range(256))
    array = array_of([["é\x00", {"b64": base64.b64encode(raw).decode()}], ["", {"b64": "AQ"}]], _STRING)
    assert array.tolist() == [["é\x00".encode(), raw], [b"", b"\x01"]]


@pytest.mark.parametrize(("type_number", "name"), [(8, "complex64"), (18, "complex128"), (20, "resource")])
def test_types_that_json_cannot_carry_are_told(type_number: int, name: str) -> None:
    fault = _fault([1], type_number)
    assert (fault.code, fault.message) == (Code.UNIMPLEMENTED, f"Conversion of JSON Value: 1 to type: {name}")


def test_types_have_the_names_of_the_protocol() -> None:
    assert [type_name(number) for number in (1, 2, 3, 7, 14, 19)] == ["float", "double", "int32", "string", "bfloat16", "half"]
