"""Maps TensorFlow's types to NumPy's and back."""

from __future__ import annotations

import ml_dtypes
import numpy as np

STRING_NUMBER = 7

# The keys are those of the DataType enum (tensorflow/core/framework/types.proto), stable by contract. Strings are
# `bytes` in arrays of Python objects.
NUMPY_DTYPE_OF_NUMBER = {number: np.dtype(element) for number, element in {
    1: np.float32, 2: np.float64, 3: np.int32, 4: np.uint8, 5: np.int16, 6: np.int8, STRING_NUMBER: object,
    8: np.complex64, 9: np.int64, 10: np.bool_, 14: ml_dtypes.bfloat16, 17: np.uint16, 18: np.complex128,
    19: np.float16, 22: np.uint32, 23: np.uint64,
}.items()}
NUMBER_OF_NUMPY_DTYPE = {dtype: number for number, dtype in NUMPY_DTYPE_OF_NUMBER.items()}


def data_type_name(number: int) -> str:
    """TensorFlow's name of a type: `float32`, `string` …; the number itself for one that requests cannot carry."""
    if number == STRING_NUMBER:
        return "string"
    dtype = NUMPY_DTYPE_OF_NUMBER.get(number)
    return f"number {number}" if dtype is None else dtype.name
