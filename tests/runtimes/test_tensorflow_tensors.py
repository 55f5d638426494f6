"""Arrays become tensors of TensorFlow's C library, and tensors arrays, without a change."""

from __future__ import annotations

import ctypes
import weakref

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from expman.runtimes.tensorflow_c_api import tensorflow_library
from expman.runtimes.tensorflow_tensors import new_tensor, take_array

_LONG_STRING = b"far longer than the 22 bytes that a TF_TString holds in itself \0 with a zero byte"


def _array(values: list) -> np.ndarray:
    array = np.empty(np.shape(values), dtype=object)
    array[...] = values
    return array


def _round_trip(array: np.ndarray) -> np.ndarray:
    return take_array(new_tensor(array))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,), (2, 0, 3)], ids=str)
@pytest.mark.parametrize("dtype", [
    np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16,
    np.uint32, np.uint64, np.bool_, np.complex64, np.complex128], ids=lambda dtype: np.dtype(dtype).name)
def test_numbers_come_back_from_a_tensor_as_they_were(dtype: type, shape: tuple[int, ...]) -> None:
    array = np.asarray(np.random.default_rng(7).integers(0, 100, shape), dtype)
    returned = _round_trip(array)
    assert (returned.dtype, returned.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(returned, array)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int8, np.bool_, np.complex128],
                         ids=lambda dtype: np.dtype(dtype).name)
def test_large_tensor_is_read_where_it_lies(dtype: type) -> None:
    array = (np.arange(60_000).reshape(3, 20_000) % 100).astype(dtype)
    tensor = new_tensor(array)
    address = tensorflow_library().TF_TensorData(tensor)
    returned = take_array(tensor)
    assert (returned.dtype, returned.shape, returned.ctypes.data) == (array.dtype, array.shape, address)
    assert not returned.flags.writeable
    np.testing.assert_array_equal(returned, array)


def test_part_of_a_large_array_keeps_its_memory() -> None:
    array = np.arange(100_000)
    part = take_array(new_tensor(array))[5:10]
    others = [take_array(new_tensor(np.zeros_like(array))) for _ in range(5)]
    np.testing.assert_array_equal(part, array[5:10])
    assert not any(other.any() for other in others)


def test_memory_goes_with_the_last_array_that_reads_it() -> None:
    array = take_array(new_tensor(np.arange(100_000)))
    owner = array.base
    while isinstance(owner, np.ndarray):
        owner = owner.base
    owner_is_gone = weakref.ref(owner)
    part = array[:3]
    del array, owner
    assert owner_is_gone() is not None
    del part
    assert owner_is_gone() is None


@pytest.mark.parametrize("size", [4, 10_000], ids=["small", "large"])
def test_array_that_is_not_contiguous_keeps_its_order(size: int) -> None:
    array = np.arange(3 * size, dtype=np.float32).reshape(3, size).T[::2]
    np.testing.assert_array_equal(_round_trip(array), array)


@pytest.mark.parametrize("values", [b"", b"ab\0", [b"", b"x" * 22, b"x" * 23, _LONG_STRING], [[b"a"], [b"b"]], []], ids=str)
def test_strings_come_back_from_a_tensor_as_they_were(values: object) -> None:
    array = _array(values)
    returned = _round_trip(array)
    assert returned.dtype == object and returned.shape == array.shape
    assert returned.tolist() == array.tolist()


def test_tensor_that_no_message_can_carry_is_refused() -> None:
    library = tensorflow_library()
    tensor = library.TF_AllocateTensor(tf.qint8.as_datatype_enum, (ctypes.c_int64 * 1)(4), 1, 4)
    with pytest.raises(TypeError, match="number 11 cannot be sent"):
        take_array(tensor)

