"""Functions of TensorFlow's C library that Python calls do what is expected of them."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from expman.runtimes import tensorflow_c_api as c_api
from expman.runtimes.tensorflow_tensors import new_tensor
from expman.wire.status import Code, StatusError
from tests.support.project import ROOT

_LONG_STRING = b"far longer than the 22 bytes that a TF_TString holds in itself \0 with a zero byte"


def test_tensor_tells_type_dimensions_and_size() -> None:
    library = c_api.tensorflow_library()
    tensor = new_tensor(np.zeros((2, 5), np.int16))
    assert library.TF_TensorType(tensor) == tf.int16.as_datatype_enum
    assert [library.TF_Dim(tensor, index) for index in range(library.TF_NumDims(tensor))] == [2, 5]
    assert library.TF_TensorByteSize(tensor) == 20
    assert library.TF_TensorData(tensor)
    library.TF_DeleteTensor(tensor)


def test_one_string_is_laid_out_measured_and_freed() -> None:
    library = c_api.tensorflow_library()
    string = (ctypes.c_uint64 * 3)()
    address = ctypes.addressof(string)
    library.TF_StringInit(address)
    assert library.TF_StringGetSize(address) == 0
    library.TF_StringCopy(address, _LONG_STRING, len(_LONG_STRING))
    assert library.TF_StringGetSize(address) == len(_LONG_STRING)
    assert ctypes.string_at(library.TF_StringGetDataPointer(address), len(_LONG_STRING)) == _LONG_STRING
    library.TF_StringDealloc(address)
    assert library.TF_StringGetSize(address) == 0


def test_buffer_holds_a_copy_of_the_bytes() -> None:
    library = c_api.tensorflow_library()
    buffer = library.TF_NewBufferFromString(b"a\0b", 3)
    assert ctypes.string_at(buffer.contents.data, buffer.contents.length) == b"a\0b"
    library.TF_DeleteBuffer(buffer)


def test_failed_call_raises_with_code_and_message() -> None:
    library = c_api.tensorflow_library()
    options = library.TF_NewSessionOptions()
    with pytest.raises(StatusError, match="Unparseable ConfigProto") as caught, c_api.checked_status() as status:
        library.TF_SetConfig(options, b"\xff", 1, status)
    assert caught.value.code == Code.INVALID_ARGUMENT
    library.TF_DeleteSessionOptions(options)


@pytest.mark.parametrize("name", ["TF_SessionRun", "TF_TensorData"], ids=["long function", "short function"])
def test_library_that_lacks_a_function_cannot_be_opened(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for functions in (c_api._FUNCTIONS, c_api._SHORT_FUNCTIONS):
        if name in functions:
            monkeypatch.setitem(functions, "TF_Other", functions[name])
    with pytest.raises(OSError, match="TF_Other"):
        c_api.tensorflow_library.__wrapped__()


def test_encryption_of_python_can_be_imported_after_the_library() -> None:
    program = ("from expman.runtimes.tensorflow_c_api import tensorflow_library; tensorflow_library(); "
               "import hashlib, ssl; print(hashlib.sha256(b'').hexdigest()[:8], ssl.create_default_context().protocol.name)")
    finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout == "e3b0c442 PROTOCOL_TLS_CLIENT\n"
