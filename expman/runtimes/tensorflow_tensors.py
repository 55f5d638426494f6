"""Copies NumPy arrays into tensors of TensorFlow's C library, and back."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence

import numpy as np

from expman.runtimes.tensorflow_c_api import Deallocator, tensorflow_library
from expman.wire.data_types import (
    NUMBER_OF_NUMPY_DTYPE,
    NUMPY_DTYPE_OF_NUMBER,
    STRING_NUMBER,
    data_type_name,
)

_STRING_BYTES = 24  # sizeof(TF_TString)

# Up to this size the way over `bytes` costs less than asking an array for its address, and less than others gain by the
# GIL while the memory is copied.
_SMALL_BYTES = 16 * 2**10


class _StringBuffers:
    """Memory of string tensors that TensorFlow reads; freed when TensorFlow drops the last tensor that shares it."""

    def __init__(self) -> None:
        self._buffers: dict[int, np.ndarray] = {}
        # TensorFlow calls it from any of its threads; an entry that is gone with the interpreter needs no call.
        self.deallocator = Deallocator(self._deallocate)

    def __len__(self) -> int:
        return len(self._buffers)

    def filled(self, values: Sequence[bytes]) -> int:
        """Returns the address of strings laid out as TensorFlow wants them."""
        library = tensorflow_library()
        # Never empty, so that its address is its own.
        buffer = np.empty(max(len(values), 1) * _STRING_BYTES // 8, np.uint64)
        address = buffer.ctypes.data
        for index, value in enumerate(values):
            library.TF_StringInit(address + index * _STRING_BYTES)
            library.TF_StringCopy(address + index * _STRING_BYTES, value, len(value))
        self._buffers[address] = buffer
        return address

    def _deallocate(self, address: int, num_bytes: int, _: None) -> None:
        for offset in range(0, num_bytes, _STRING_BYTES):
            tensorflow_library().TF_StringDealloc(address + offset)
        del self._buffers[address]


STRING_BUFFERS = _StringBuffers()


def new_tensor(array: np.ndarray) -> int:
    """Copies an array into a tensor, which the caller deletes.

    Arguments:
        array: of a type in `data_types`; strings as `bytes`.
    """
    library = tensorflow_library()
    dimensions = struct.pack(f"{array.ndim}q", *array.shape)
    number = NUMBER_OF_NUMPY_DTYPE[array.dtype]
    num_bytes = array.nbytes
    if number == STRING_NUMBER:
        tensor = library.TF_NewTensor(number, dimensions, array.ndim, STRING_BUFFERS.filled(array.ravel().tolist()),
                                      array.size * _STRING_BYTES, STRING_BUFFERS.deallocator, None)
    else:
        tensor = library.TF_AllocateTensor(number, dimensions, array.ndim, num_bytes)
    if tensor is None:
        raise MemoryError(f"TensorFlow cannot make a tensor of {array.size} elements of {data_type_name(number)}.")
    # A copy, since TensorFlow takes over no memory that is less aligned than its own, as NumPy's is.
    if number != STRING_NUMBER:
        source = array.tobytes() if num_bytes <= _SMALL_BYTES else np.ascontiguousarray(array).ctypes.data_as(ctypes.c_void_p)
        ctypes.memmove(library.TF_TensorData(tensor), source, num_bytes)
    return tensor


def take_array(tensor: int) -> np.ndarray:
    """Turns a tensor into an array, which takes it over: the caller uses it no more.

    Returns:
        A copy, or for a large tensor a read-only view, since its memory may be that of a variable; strings come as `bytes`
        in an array of dtype object.

    Raises:
        TypeError: a message can carry no such tensor.
    """
    library = tensorflow_library()
    number = library.TF_TensorType(tensor)
    dtype = NUMPY_DTYPE_OF_NUMBER.get(number)
    shape = tuple([library.TF_Dim(tensor, index) for index in range(library.TF_NumDims(tensor))])
    num_bytes = library.TF_TensorByteSize(tensor)
    if num_bytes > _SMALL_BYTES and dtype is not None and number != STRING_NUMBER:
        return np.asarray(_TensorMemory(tensor, shape, dtype)).view(dtype)
    try:
        if dtype is None:
            raise TypeError(f"a tensor of type {data_type_name(number)} cannot be sent.")
        address = library.TF_TensorData(tensor)
        if number == STRING_NUMBER:
            return _strings(address, shape)
        return np.ndarray(shape, dtype, bytearray(ctypes.string_at(address, num_bytes)))
    finally:
        library.TF_DeleteTensor(tensor)


class _TensorMemory:
    """Deletes a tensor when the last array that reads its memory is gone."""

    def __init__(self, tensor: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        library = tensorflow_library()
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype.str,
                                    "data": (library.TF_TensorData(tensor), True)}
        self._tensor, self._delete = tensor, library.TF_DeleteTensor

    def __del__(self) -> None:
        self._delete(self._tensor)


def _strings(address: int, shape: tuple[int, ...]) -> np.ndarray:
    library = tensorflow_library()
    array = np.empty(shape, dtype=object)
    addresses = range(address, address + array.size * _STRING_BYTES, _STRING_BYTES)
    array.reshape(-1)[:] = [ctypes.string_at(library.TF_StringGetDataPointer(string), library.TF_StringGetSize(string))
                            for string in addresses]
    return array
