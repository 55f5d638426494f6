"""The functions of TensorFlow's C library, which the wheel brings, as Python can call them without TensorFlow's package.

They are those of tensorflow/c/c_api.h, tf_tensor.h, tf_status.h, tf_buffer.h and tf_tstring.h, whose contracts the comments of
the callers refer to.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any, ClassVar

from expman.runtimes.tensorflow_notices import hidden_notices
from expman.wire.status import StatusError


class Output(ctypes.Structure):
    """TF_Output: one output of one operation of a graph."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [("operation", c_void_p), ("index", c_int)]


class Buffer(ctypes.Structure):
    """TF_Buffer: bytes that TensorFlow owns."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p)]


Deallocator = ctypes.CFUNCTYPE(None, c_void_p, c_size_t, c_void_p)

# Name -> type of the result and of the arguments; handles, and addresses that each request passes, are void pointers.
_FUNCTIONS = {
    "TF_NewGraph": (c_void_p, []),
    "TF_DeleteGraph": (None, [c_void_p]),
    "TF_GraphOperationByName": (c_void_p, [c_void_p, c_char_p]),
    "TF_OperationNumOutputs": (c_int, [c_void_p]),
    "TF_NewSessionOptions": (c_void_p, []),
    "TF_SetConfig": (None, [c_void_p, c_char_p, c_size_t, c_void_p]),
    "TF_DeleteSessionOptions": (None, [c_void_p]),
    "TF_NewSession": (c_void_p, [c_void_p, c_void_p, c_void_p]),
    "TF_LoadSessionFromSavedModel": (
        c_void_p, [c_void_p, POINTER(Buffer), c_char_p, POINTER(c_char_p), c_int, c_void_p, POINTER(Buffer), c_void_p]),
    "TF_SessionRun": (None, [c_void_p, POINTER(Buffer), c_void_p, c_void_p, c_int, c_void_p, c_void_p, c_int, c_void_p, c_int,
                             c_void_p, c_void_p]),
    "TF_CloseSession": (None, [c_void_p, c_void_p]),
    "TF_DeleteSession": (None, [c_void_p, c_void_p]),
    "TF_SessionListDevices": (c_void_p, [c_void_p, c_void_p]),
    "TF_DeviceListCount": (c_int, [c_void_p]),
    "TF_DeviceListType": (c_char_p, [c_void_p, c_int, c_void_p]),
    "TF_DeleteDeviceList": (None, [c_void_p]),
}
# Each request calls many of these, and none takes longer than giving the GIL away and waiting to have it back.
_SHORT_FUNCTIONS = {
    "TF_NewStatus": (c_void_p, []),
    "TF_DeleteStatus": (None, [c_void_p]),
    "TF_GetCode": (c_int, [c_void_p]),
    "TF_Message": (c_char_p, [c_void_p]),
    "TF_NewBuffer": (POINTER(Buffer), []),
    "TF_NewBufferFromString": (POINTER(Buffer), [c_char_p, c_size_t]),
    "TF_DeleteBuffer": (None, [POINTER(Buffer)]),
    "TF_NewTensor": (c_void_p, [c_int, c_void_p, c_int, c_void_p, c_size_t, Deallocator, c_void_p]),
    "TF_AllocateTensor": (c_void_p, [c_int, c_void_p, c_int, c_size_t]),
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
}


@functools.cache
def tensorflow_library() -> ctypes.CDLL:
    """Opens TensorFlow's library, once for the process.

    Its functions release the GIL while they run, but for the short ones.

    Raises:
        OSError: it is not there, cannot be opened here, or lacks a function.
    """
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise OSError("TensorFlow is not installed")
    folder = Path(spec.submodule_search_locations[0])
    with hidden_notices():
        # It brings libtensorflow_framework.so.2 along. Not with global symbols: TensorFlow has its own OpenSSL in it, which
        # Python's `ssl` and `hashlib` would take for theirs when they are imported later, and crash.
        library = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"))
    holding_the_gil = ctypes.PyDLL(library._name, handle=library._handle)
    try:
        for source, functions in ((library, _FUNCTIONS), (holding_the_gil, _SHORT_FUNCTIONS)):
            for name, (result_type, argument_types) in functions.items():
                function = getattr(source, name)
                function.restype, function.argtypes = result_type, argument_types
                setattr(library, name, function)
    except AttributeError as error:
        raise OSError(str(error)) from error
    return library


def check_status(status: int) -> None:
    """Does nothing when the last call that got the status was successful.

    Raises:
        StatusError: it failed; with the code and the words of TensorFlow.
    """
    library = tensorflow_library()
    if code := library.TF_GetCode(status):
        raise StatusError(code, library.TF_Message(status).decode("utf-8", "replace"))


@contextmanager
def checked_status() -> Iterator[int]:
    """Hands out a status for one or several calls.

    Raises:
        StatusError: at the end of the block, when the last call that got the status has failed.
    """
    library = tensorflow_library()
    status = library.TF_NewStatus()
    try:
        yield status
        check_status(status)
    finally:
        library.TF_DeleteStatus(status)
