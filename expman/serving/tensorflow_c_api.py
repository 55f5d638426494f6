"""Runs SavedModels through TensorFlow's C API, in the library that the wheel brings, without its Python package.

The functions are those of tensorflow/c/c_api.h, tf_tensor.h, tf_status.h, tf_buffer.h and tf_tstring.h, whose contracts the
comments here refer to. All calls release the GIL while they run.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

import numpy as np

from expman.serving.data_types import (
    NUMBER_OF_NUMPY_DTYPE,
    NUMPY_DTYPE_OF_NUMBER,
    STRING_NUMBER,
    data_type_name,
)
from expman.serving.tensorflow_error import NOT_FOUND_CODE, TensorFlowError
from expman.tensorflow_notices import hidden_notices

_STRING_BYTES = 24  # sizeof(TF_TString)


class _Output(ctypes.Structure):
    """TF_Output: one output of one operation of a graph."""

    _fields_ = [("operation", c_void_p), ("index", c_int)]


class _Buffer(ctypes.Structure):
    """TF_Buffer: bytes that TensorFlow owns."""

    _fields_ = [("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p)]


_Deallocator = ctypes.CFUNCTYPE(None, c_void_p, c_size_t, c_void_p)

# Name -> type of the result and of the arguments; handles are void pointers.
_FUNCTIONS = {
    "TF_NewStatus": (c_void_p, []),
    "TF_DeleteStatus": (None, [c_void_p]),
    "TF_GetCode": (c_int, [c_void_p]),
    "TF_Message": (c_char_p, [c_void_p]),
    "TF_NewBuffer": (POINTER(_Buffer), []),
    "TF_DeleteBuffer": (None, [POINTER(_Buffer)]),
    "TF_NewTensor": (c_void_p, [c_int, POINTER(c_int64), c_int, c_void_p, c_size_t, _Deallocator, c_void_p]),
    "TF_AllocateTensor": (c_void_p, [c_int, POINTER(c_int64), c_int, c_size_t]),
    "TF_DeleteTensor": (None, [c_void_p]),
    "TF_TensorType": (c_int, [c_void_p]),
    "TF_NumDims": (c_int, [c_void_p]),
    "TF_Dim": (c_int64, [c_void_p, c_int]),
    "TF_TensorByteSize": (c_size_t, [c_void_p]),
    "TF_TensorData": (c_void_p, [c_void_p]),
    "TF_StringInit": (None, [c_void_p]),
    "TF_StringCopy": (None, [c_void_p, c_char_p, c_size_t]),
    "TF_StringGetDataPointer": (c_void_p, [c_void_p]),
    "TF_StringGetSize": (c_size_t, [c_void_p]),
    "TF_StringDealloc": (None, [c_void_p]),
    "TF_NewGraph": (c_void_p, []),
    "TF_DeleteGraph": (None, [c_void_p]),
    "TF_GraphOperationByName": (c_void_p, [c_void_p, c_char_p]),
    "TF_OperationNumOutputs": (c_int, [c_void_p]),
    "TF_NewSessionOptions": (c_void_p, []),
    "TF_SetConfig": (None, [c_void_p, c_char_p, c_size_t, c_void_p]),
    "TF_DeleteSessionOptions": (None, [c_void_p]),
    "TF_NewSession": (c_void_p, [c_void_p, c_void_p, c_void_p]),
    "TF_LoadSessionFromSavedModel": (
        c_void_p, [c_void_p, c_void_p, c_char_p, POINTER(c_char_p), c_int, c_void_p, POINTER(_Buffer), c_void_p]),
    "TF_SessionRun": (None, [c_void_p, c_void_p, POINTER(_Output), POINTER(c_void_p), c_int, POINTER(_Output),
                             POINTER(c_void_p), c_int, c_void_p, c_int, c_void_p, c_void_p]),
    "TF_CloseSession": (None, [c_void_p, c_void_p]),
    "TF_DeleteSession": (None, [c_void_p, c_void_p]),
    "TF_SessionListDevices": (c_void_p, [c_void_p, c_void_p]),
    "TF_DeviceListCount": (c_int, [c_void_p]),
    "TF_DeviceListType": (c_char_p, [c_void_p, c_int, c_void_p]),
    "TF_DeleteDeviceList": (None, [c_void_p]),
}


@functools.cache
def tensorflow_library() -> ctypes.CDLL:
    """Opens TensorFlow's library, once for the process.

    Raises:
        OSError: it is not there, cannot be opened here, or lacks a function.
    """
    spec = importlib.util.find_spec("tensorflow")
    if spec is None:
        raise OSError("TensorFlow is not installed")
    folder = Path(spec.submodule_search_locations[0])
    with hidden_notices():
        # The other library takes its symbols from this one.
        ctypes.CDLL(str(folder / "libtensorflow_framework.so.2"), mode=ctypes.RTLD_GLOBAL)
        library = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"))
    try:
        for name, (result_type, argument_types) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result_type, argument_types
    except AttributeError as error:
        raise OSError(str(error)) from error
    return library


@contextmanager
def checked_status() -> Iterator[int]:
    """Hands out a status for one or several calls.

    Raises:
        TensorFlowError: at the end of the block, when the last call that got the status has failed.
    """
    library = tensorflow_library()
    status = library.TF_NewStatus()
    try:
        yield status
        if code := library.TF_GetCode(status):
            raise TensorFlowError(code, library.TF_Message(status).decode("utf-8", "replace"))
    finally:
        library.TF_DeleteStatus(status)


class _StringBuffers:
    """Memory of string tensors that TensorFlow reads; freed when TensorFlow drops the last tensor that shares it."""

    def __init__(self) -> None:
        self._buffers: dict[int, np.ndarray] = {}
        # TensorFlow calls it from any of its threads; an entry that is gone with the interpreter needs no call.
        self.deallocator = _Deallocator(self._deallocate)

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
    dimensions = (c_int64 * array.ndim)(*array.shape)
    number = NUMBER_OF_NUMPY_DTYPE[array.dtype]
    if number == STRING_NUMBER:
        tensor = library.TF_NewTensor(number, dimensions, array.ndim, STRING_BUFFERS.filled(array.ravel().tolist()),
                                      array.size * _STRING_BYTES, STRING_BUFFERS.deallocator, None)
    else:
        tensor = library.TF_AllocateTensor(number, dimensions, array.ndim, array.nbytes)
    if tensor is None:
        raise MemoryError(f"TensorFlow cannot make a tensor of {array.size} elements of {data_type_name(number)}.")
    if number != STRING_NUMBER:
        # A copy, since TensorFlow takes over no memory that is less aligned than its own, as NumPy's is.
        ctypes.memmove(library.TF_TensorData(tensor), np.ascontiguousarray(array).ctypes.data, array.nbytes)
    return tensor


def to_array(tensor: int) -> np.ndarray:
    """Copies a tensor into an array; strings come as `bytes` in an array of dtype object.

    Raises:
        TypeError: a message can carry no such tensor.
    """
    library = tensorflow_library()
    number = library.TF_TensorType(tensor)
    dtype = NUMPY_DTYPE_OF_NUMBER.get(number)
    if dtype is None:
        raise TypeError(f"a tensor of type {data_type_name(number)} cannot be sent.")
    shape = tuple(library.TF_Dim(tensor, index) for index in range(library.TF_NumDims(tensor)))
    array = np.empty(shape, dtype)
    address = library.TF_TensorData(tensor)
    if number != STRING_NUMBER:
        ctypes.memmove(array.ctypes.data, address, library.TF_TensorByteSize(tensor))
        return array
    for index in range(math.prod(shape)):
        string = address + index * _STRING_BYTES
        array.flat[index] = ctypes.string_at(library.TF_StringGetDataPointer(string), library.TF_StringGetSize(string))
    return array


class CApiSession:
    """A loaded SavedModel with its variables restored and its tables filled; safe to run from several threads.

    Arguments:
        folder: holds `saved_model.pb`.
        tag: which of the model's graphs to load.
        config: a serialized ConfigProto.

    Attributes:
        meta_graph: the graph's serialized MetaGraphDef; drop it when it is read, since it can be large.

    Raises:
        TensorFlowError: TensorFlow cannot load it.
        OSError: see `tensorflow_library`.
    """

    def __init__(self, folder: Path, *, tag: str, config: bytes) -> None:
        self._library = tensorflow_library()
        _start_devices(config)
        self._outputs: dict[str, _Output] = {}
        self._graph: int | None = self._library.TF_NewGraph()
        self._session: int | None = None
        try:
            self._session, self.meta_graph = _load(self._graph, folder, tag=tag, config=config)
        except BaseException:
            self.close()
            raise

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        """Computes tensors.

        Arguments:
            feeds: tensor name (`operation:0`) -> value.
            fetches: names of tensors.

        Raises:
            TensorFlowError: a value does not fit, or an operation failed.
        """
        library = self._library
        inputs = (_Output * len(feeds))(*map(self._output, feeds))
        outputs = (_Output * len(fetches))(*map(self._output, fetches))
        input_tensors = (c_void_p * len(feeds))()
        output_tensors = (c_void_p * len(fetches))()
        try:
            for index, array in enumerate(feeds.values()):
                input_tensors[index] = new_tensor(array)
            with checked_status() as status:
                library.TF_SessionRun(self._session, None, inputs, input_tensors, len(feeds), outputs, output_tensors,
                                      len(fetches), None, 0, None, status)
            return [to_array(tensor) for tensor in output_tensors]
        finally:
            for tensor in (*input_tensors, *output_tensors):
                if tensor is not None:
                    library.TF_DeleteTensor(tensor)

    def device_types(self) -> set[str]:
        """What the model can run on: 'CPU', 'GPU' …"""
        library = self._library
        with checked_status() as status:
            devices = library.TF_SessionListDevices(self._session, status)
        try:
            with checked_status() as status:
                return {library.TF_DeviceListType(devices, index, status).decode()
                        for index in range(library.TF_DeviceListCount(devices))}
        finally:
            library.TF_DeleteDeviceList(devices)

    def close(self) -> None:
        """Gives the model's memory back; call it when no `run` is under way. A second call does nothing."""
        session, self._session = self._session, None
        graph, self._graph = self._graph, None
        with ExitStack() as undo:
            if graph is not None:
                undo.callback(self._library.TF_DeleteGraph, graph)
            if session is not None:
                undo.callback(_call_with_status, self._library.TF_DeleteSession, session)
                _call_with_status(self._library.TF_CloseSession, session)

    def _output(self, name: str) -> _Output:
        if name not in self._outputs:
            operation_name, _, index = name.partition(":")
            operation = self._library.TF_GraphOperationByName(self._graph, operation_name.encode())
            if operation is None or int(index or 0) >= self._library.TF_OperationNumOutputs(operation):
                raise TensorFlowError(NOT_FOUND_CODE, f"The model's graph has no tensor '{name}'.")
            self._outputs[name] = _Output(operation, int(index or 0))
        return self._outputs[name]


@functools.cache
def _start_devices(config: bytes) -> None:
    """Lets TensorFlow look for devices, which it does once in a process, without its notices about those it lacks."""
    library = tensorflow_library()
    with hidden_notices(), _session_options(config) as options, ExitStack() as undo:
        graph = library.TF_NewGraph()
        undo.callback(library.TF_DeleteGraph, graph)
        with checked_status() as status:
            session = library.TF_NewSession(graph, options, status)
        _call_with_status(library.TF_DeleteSession, session)


@contextmanager
def _session_options(config: bytes) -> Iterator[int]:
    library = tensorflow_library()
    options = library.TF_NewSessionOptions()
    try:
        with checked_status() as status:
            library.TF_SetConfig(options, config, len(config), status)
        yield options
    finally:
        library.TF_DeleteSessionOptions(options)


def _load(graph: int, folder: Path, *, tag: str, config: bytes) -> tuple[int, bytes]:
    """Loads a SavedModel into a graph; returns the session and the serialized MetaGraphDef."""
    library = tensorflow_library()
    with _session_options(config) as options, ExitStack() as undo:
        meta_graph = library.TF_NewBuffer()
        undo.callback(library.TF_DeleteBuffer, meta_graph)
        tags = (c_char_p * 1)(tag.encode())
        with checked_status() as status:
            session = library.TF_LoadSessionFromSavedModel(options, None, str(folder).encode(), tags, len(tags), graph,
                                                           meta_graph, status)
        return session, ctypes.string_at(meta_graph.contents.data, meta_graph.contents.length)


def _call_with_status(function: Callable[[int, int], None], handle: int) -> None:
    with checked_status() as status:
        function(handle, status)
