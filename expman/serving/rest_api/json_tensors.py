"""Makes arrays of JSON values, of the types that a signature declares."""

from __future__ import annotations

import base64
import functools
from itertools import chain
from typing import Any

import ml_dtypes
import numpy as np

from expman.serving.rest_api.json_documents import json_text, json_type_name
from expman.wire.data_types import NUMPY_DTYPE_OF_NUMBER, STRING_NUMBER
from expman.wire.protos import types_pb2
from expman.wire.status import Code, StatusError

_MOST_DIMENSIONS = 64  # NumPy's limit.
_BASE64_KEY = "b64"


def type_name(number: int) -> str:
    """TensorFlow's name of a type in messages: `float`, `int32`, `string` …."""
    return types_pb2.DataType.Name(number).removeprefix("DT_").lower()


def is_base64(value: object) -> bool:
    """Tells whether a JSON value stands for bytes: `{"b64": "…"}`."""
    return type(value) is dict and len(value) == 1 and type(value.get(_BASE64_KEY)) is str


def base64_bytes(value: dict[str, str]) -> bytes:
    """The bytes that `{"b64": "…"}` stands for; the padding may be missing.

    Raises:
        StatusError: INVALID_ARGUMENT, it is no base64.
    """
    text = "".join(value[_BASE64_KEY].split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise StatusError(Code.INVALID_ARGUMENT, "Unable to base64 decode") from None


def array_of(value: Any, type_number: int) -> np.ndarray:
    """Makes an array of a JSON value: a number, a string, or lists of lists of them.

    Arguments:
        type_number: the array's type, a number of TensorFlow's DataType.

    Returns:
        The array; strings as `bytes` in dtype object.

    Raises:
        StatusError: INVALID_ARGUMENT, a value is not of the type or does not fit into it, or lists differ in length;
            UNIMPLEMENTED, JSON cannot carry the type.
    """
    array = array_or_none(value, type_number)
    if array is None:
        raise _first_error(value, type_number, shape=_first_shape(value))
    return array


def array_or_none(value: Any, type_number: int) -> np.ndarray | None:
    """As `array_of`, but None for what does not fit; without a loop over the elements in Python.

    Raises:
        StatusError: INVALID_ARGUMENT, there are more dimensions than an array can have.
    """
    shape, leaves = [], [value]
    while leaves and type(leaves[0]) is list:
        if set(map(type, leaves)) != {list}:
            return None
        sizes = set(map(len, leaves))
        if len(sizes) > 1:
            return None
        shape += sizes
        _check_depth(shape)
        leaves = list(chain.from_iterable(leaves))
    elements = _elements(leaves, type_number)
    return None if elements is None else elements.reshape(shape)


def _check_depth(shape: list[int]) -> None:
    if len(shape) > _MOST_DIMENSIONS:
        raise StatusError(Code.INVALID_ARGUMENT, f"JSON Value: lists are nested more than {_MOST_DIMENSIONS} deep")


def _elements(leaves: list[Any], type_number: int) -> np.ndarray | None:
    """An array of shape [number of leaves], or None where one does not fit."""
    kinds = set(map(type, leaves))
    dtype = NUMPY_DTYPE_OF_NUMBER.get(type_number)
    if dtype is None:
        return None
    if type_number == STRING_NUMBER:
        return _strings(leaves) if kinds <= {str, dict} else None
    if dtype.kind == "b":
        return np.array(leaves, dtype) if kinds <= {bool} else None
    if dtype.kind in "iu":
        try:
            return np.array(leaves, dtype) if kinds <= {int} else None
        except OverflowError:
            return None
    if dtype.kind == "c":  # What is left, bfloat16 among it, is floating-point.
        return None if leaves else np.array(leaves, dtype)
    return _floats(leaves, dtype) if kinds <= {int, float} else None


def _strings(leaves: list[Any]) -> np.ndarray | None:
    if not all(type(leaf) is str or is_base64(leaf) for leaf in leaves):
        return None
    elements = np.empty(len(leaves), object)
    try:
        elements[:] = [leaf.encode("utf-8") if type(leaf) is str else base64_bytes(leaf) for leaf in leaves]
    except StatusError:
        return None
    return elements


def _floats(leaves: list[Any], dtype: np.dtype) -> np.ndarray | None:
    doubles = np.array(leaves, np.float64)
    magnitudes = np.abs(doubles)
    largest, largest_whole_number = _limits(dtype)
    if np.fmax.reduce(magnitudes, initial=0.0) > largest_whole_number:
        if (magnitudes[np.isfinite(doubles)] > largest).any():
            return None
        for index in np.flatnonzero(magnitudes > largest_whole_number):
            if type(leaves[index]) is int:
                return None
    return doubles.astype(dtype)


@functools.cache
def _limits(dtype: np.dtype) -> tuple[float, int]:
    """The greatest number of a floating-point type, and the greatest of the whole numbers that can all be told apart.

    TensorFlow Serving takes whole numbers up to there only.
    """
    limits = ml_dtypes.finfo(dtype)
    return float(limits.max), 2 ** (limits.nmant + 1) - 1


def _first_shape(value: Any) -> list[int]:
    """The shape that the first element of each list leads to."""
    shape = []
    while type(value) is list:
        shape.append(len(value))
        _check_depth(shape)
        if not value:
            break
        value = value[0]
    return shape


def _first_error(value: Any, type_number: int, *, shape: list[int], level: int = 0) -> StatusError | None:
    """Finds the first element that TensorFlow Serving, which takes one after the other, would refuse."""
    rank = len(shape)
    if type(value) is not list:
        if level != rank:
            return StatusError(Code.INVALID_ARGUMENT, (
                f"JSON Value: {json_text(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {rank}"))
        return _error_of_element(value, type_number)
    if level >= rank:
        return StatusError(Code.INVALID_ARGUMENT, f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        return StatusError(Code.INVALID_ARGUMENT, (
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"))
    for element in value:
        if error := _first_error(element, type_number, shape=shape, level=level + 1):
            return error
    return None


def _error_of_element(value: Any, type_number: int) -> StatusError | None:
    if _elements([value], type_number) is not None:
        return None
    text, name = json_text(value), type_name(type_number)
    dtype = NUMPY_DTYPE_OF_NUMBER.get(type_number)
    if dtype is None or dtype.kind == "c":
        return StatusError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {text} to type: {name}")
    if type_number == STRING_NUMBER and type(value) is dict:
        words = "Unable to base64 decode" if is_base64(value) else \
            f"JSON Value: {text} not formatted correctly for base64 data"
    elif dtype.kind not in "biuO" and type(value) in (int, float):
        words = f"Cannot convert JSON value: {text} to {name} without loss of precision."
    else:
        words = f"JSON Value: {text} Type: {json_type_name(value)} is not of expected type: {name}"
    return StatusError(Code.INVALID_ARGUMENT, words)
