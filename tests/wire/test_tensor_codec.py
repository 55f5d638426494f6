"""The codec agrees with TensorFlow's own tf.make_tensor_proto and tf.make_ndarray."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from expman.wire.tensor_codec import to_numpy, to_tensor_proto

_NUMBER_DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.int8, np.int16, np.int32, np.int64,
                  np.uint8, np.uint16, np.uint32, np.uint64, np.bool_, np.complex64, np.complex128]
_SHAPES = [(), (1,), (3,), (2, 3), (2, 1, 4), (0,), (2, 0, 3), (3, 40)]  # Few elements take another way than many.


def _sample(dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers over the type's range, negative ones and its ends among them."""
    generator = np.random.default_rng(7)
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = generator.integers(limits.min, limits.max, size=shape, dtype=dtype, endpoint=True)
        if values.size > 1:
            values.flat[:2] = limits.min, limits.max
        return np.asarray(values, dtype)
    if dtype.kind == "b":
        return np.asarray(generator.integers(0, 2, size=shape), bool)
    values = generator.normal(size=shape) * 100
    return np.asarray(values + 1j * values[..., ::-1] if dtype.kind == "c" and values.ndim else values, dtype)


def _typed_by_tensorflow(array: np.ndarray) -> tensor_pb2.TensorProto:
    """TensorFlow's encoding with typed fields, put together of single elements, which it encodes so."""
    message = tensor_pb2.TensorProto(dtype=tf.as_dtype(array.dtype).as_datatype_enum)
    message.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    for index in range(array.size):
        for descriptor, field in tf.make_tensor_proto(array.ravel()[index:index + 1]).ListFields():
            if descriptor.name.endswith("_val"):
                getattr(message, descriptor.name).extend(field)
    return message


def _assert_same(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("shape", _SHAPES, ids=str)
@pytest.mark.parametrize("dtype", _NUMBER_DTYPES, ids=lambda dtype: np.dtype(dtype).name)
class TestNumbers:
    def test_decodes_tensor_content(self, dtype: type, shape: tuple[int, ...]) -> None:
        array = _sample(dtype, shape)
        _assert_same(to_numpy(tf.make_tensor_proto(array)), array)

    def test_decodes_typed_fields(self, dtype: type, shape: tuple[int, ...]) -> None:
        array = _sample(dtype, shape)
        _assert_same(to_numpy(_typed_by_tensorflow(array)), array)

    def test_typed_encoding_equals_that_of_tensorflow(self, dtype: type, shape: tuple[int, ...]) -> None:
        array = _sample(dtype, shape)
        message = to_tensor_proto(array)
        assert message == _typed_by_tensorflow(array)
        assert not message.tensor_content
        _assert_same(tf.make_ndarray(message), array)

    def test_content_encoding_is_read_by_tensorflow(self, dtype: type, shape: tuple[int, ...]) -> None:
        array = _sample(dtype, shape)
        message = to_tensor_proto(array, typed_fields=False)
        assert not any(descriptor.name.endswith("_val") for descriptor, _ in message.ListFields())
        _assert_same(tf.make_ndarray(message), array)


@pytest.mark.parametrize("dtype", _NUMBER_DTYPES, ids=lambda dtype: np.dtype(dtype).name)
def test_array_that_need_not_be_writable_is_the_same(dtype: type) -> None:
    array = _sample(dtype, (3, 40))
    for message in (tf.make_tensor_proto(array), to_tensor_proto(array)):
        _assert_same(to_numpy(message, writable=False), array)


@pytest.mark.parametrize("dtype", _NUMBER_DTYPES, ids=lambda dtype: np.dtype(dtype).name)
def test_single_value_is_repeated_over_the_shape(dtype: type) -> None:
    message = _typed_by_tensorflow(np.ones(1, dtype))
    message.tensor_shape.CopyFrom(tf.TensorShape([2, 3]).as_proto())
    _assert_same(to_numpy(message), np.ones((2, 3), dtype))


def test_too_few_values_repeat_the_last_one_as_tensorflow_does() -> None:
    message = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1, 2])
    message.tensor_shape.CopyFrom(tf.TensorShape([5]).as_proto())
    _assert_same(to_numpy(message), tf.make_ndarray(message))


@pytest.mark.parametrize("num_elements", [1, 100], ids=["few", "many"])
def test_number_too_large_for_a_narrow_type_wraps_around(num_elements: int) -> None:
    message = _message([num_elements], dtype=types_pb2.DT_UINT8, int_val=[300] * num_elements)
    assert to_numpy(message).tolist() == [300 - 256] * num_elements


@pytest.mark.parametrize("in_pieces", [
    lambda field: b"".join(b"\x2d" + value.tobytes() for value in field),  # A tag for each: not packed.
    lambda field: b"".join(b"\x2a\x28" + field[begin:begin + 10].tobytes() for begin in range(0, 100, 10)),
], ids=["not packed", "in ten parts"])
def test_values_that_do_not_come_in_one_piece_are_put_together(in_pieces: Callable[[np.ndarray], bytes]) -> None:
    array = np.arange(100, dtype=np.float32)
    message = tensor_pb2.TensorProto.FromString(
        _message([100], dtype=types_pb2.DT_FLOAT).SerializeToString() + in_pieces(array))
    _assert_same(to_numpy(message), array)


def test_no_values_are_zeros_as_tensorflow_does() -> None:
    message = tensor_pb2.TensorProto(dtype=types_pb2.DT_INT64)
    message.tensor_shape.CopyFrom(tf.TensorShape([2]).as_proto())
    _assert_same(to_numpy(message), np.zeros(2, np.int64))


@pytest.mark.parametrize("shape", [(), (1,), (2, 2)], ids=str)
def test_strings_go_both_ways(shape: tuple[int, ...]) -> None:
    array = np.empty(shape, dtype=object)
    array[...] = "zwölf".encode()
    array.flat[0] = b"ends with a zero byte\0"
    decoded = to_numpy(tf.make_tensor_proto(array.tolist(), dtype=tf.string))
    assert decoded.dtype == object and decoded.shape == shape
    assert decoded.tolist() == array.tolist()
    assert tf.make_ndarray(to_tensor_proto(array)).tolist() == array.tolist()
    assert to_tensor_proto(array, typed_fields=False) == to_tensor_proto(array)


def test_python_text_is_sent_as_utf8() -> None:
    assert to_tensor_proto(np.array(["zwölf"])).string_val == ["zwölf".encode()]


def test_array_that_is_not_contiguous_or_not_native_is_encoded_in_order() -> None:
    array = np.arange(12, dtype=">f4").reshape(3, 4).T
    for typed_fields in (True, False):
        np.testing.assert_array_equal(tf.make_ndarray(to_tensor_proto(array, typed_fields=typed_fields)), array)


def test_decoded_array_can_be_written() -> None:
    for typed_fields in (True, False):
        array = to_numpy(to_tensor_proto(np.zeros(3, np.float32), typed_fields=typed_fields))
        array += 1
        assert array.tolist() == [1, 1, 1]


def _message(shape: list[int], **fields: object) -> tensor_pb2.TensorProto:
    message = tensor_pb2.TensorProto(**fields)
    for size in shape:
        message.tensor_shape.dim.add(size=size)
    return message


@pytest.mark.parametrize(("message", "text"), [
    (_message([2], dtype=types_pb2.DT_FLOAT, tensor_content=b"1234"), "must hold 8 bytes.*Got 4"),
    (_message([1], dtype=types_pb2.DT_FLOAT, float_val=[1, 2]), "at most the 1 elements.*Got 2"),
    (_message([2], dtype=types_pb2.DT_COMPLEX64, scomplex_val=[1, 2, 3]), "pairs of numbers. Got 3"),
    (_message([-1], dtype=types_pb2.DT_FLOAT, float_val=[1]), "fully known shape.*-1"),
    (_message([2**20, 2**20], dtype=types_pb2.DT_FLOAT, float_val=[1]), "larger than the 2 GiB"),
    (_message([1], dtype=types_pb2.DT_STRING, tensor_content=b"\1a"), "string_val"),
    (_message([1], dtype=types_pb2.DT_RESOURCE), "unsupported dtype number 20"),
    (_message([1]), "unsupported dtype number 0"),
    (_message([1] * 300, dtype=types_pb2.DT_FLOAT, float_val=[1]), "dimension"),
], ids=["content too short", "too many values", "half a complex number", "negative dimension", "huge", "string content",
        "resource", "no dtype", "too many dimensions"])
def test_malformed_tensor_is_refused_with_the_reason(message: tensor_pb2.TensorProto, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        to_numpy(message)


@pytest.mark.parametrize("array", [np.array(["2024-01-01"], "datetime64[D]"), np.array([object()])],
                         ids=["dates", "objects"])
def test_array_without_counterpart_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="sent"):
        to_tensor_proto(array)
