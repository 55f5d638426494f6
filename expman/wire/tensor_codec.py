"""Translates between TensorProto messages and NumPy arrays without starting TensorFlow or looping over elements."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from expman.wire.data_types import NUMBER_OF_NUMPY_DTYPE, NUMPY_DTYPE_OF_NUMBER, STRING_NUMBER
from expman.wire.protos import tensor_pb2, tensor_shape_pb2
from expman.wire.varints import packed_varints, varint

if TYPE_CHECKING:
    from tensorflow.core.framework.tensor_pb2 import TensorProto
    from tensorflow.core.framework.tensor_shape_pb2 import TensorShapeProto

# No message can carry a larger tensor.
_LARGEST_TENSOR_BYTES = 2**31
# A few bytes that stand for one value repeated over a huge shape must not exhaust the receiver's memory and time.
_LARGEST_FILLED_BYTES = 2**26

_LENGTH_DELIMITED = 2  # The wire type of packed repeated fields.

# Requests may carry any shape; what is remembered of them must stay small.
_MAX_REMEMBERED_SHAPE_BYTES = 256

# Up to this size a copy takes less time than a view.
_SMALL_BYTES = 4096

# Up to so many elements, one by one is faster than what it takes to set up the faster ways.
_FEW_ELEMENTS = 50


@dataclass(frozen=True)
class _ElementType:
    """The way in which TensorProto stores elements of one type.

    Attributes:
        number: TensorFlow's number of the type, a key of `NUMPY_DTYPE_OF_NUMBER`.
        field: the typed repeated field.
        field_dtype: the NumPy type of the field's values.
        stored_dtype: what they hold; complex elements take two, half ones their bits.
        is_copied_as_bytes: True when the packed field's bytes are those of the array.
    """

    number: int
    field: str
    field_dtype: np.dtype
    stored_dtype: np.dtype
    is_copied_as_bytes: bool = False

    @property
    def dtype(self) -> np.dtype:
        """The NumPy type of an element."""
        return NUMPY_DTYPE_OF_NUMBER[self.number]


def _element_type(number: int, field: str, field_dtype: type, stored_dtype: type | None = None, *,
                  is_copied_as_bytes: bool = False) -> _ElementType:
    return _ElementType(number, field, np.dtype(field_dtype), np.dtype(stored_dtype or field_dtype), is_copied_as_bytes)


_STRING = _element_type(STRING_NUMBER, "string_val", object)

_ELEMENT_TYPES = (
    _element_type(1, "float_val", np.float32, is_copied_as_bytes=True),
    _element_type(2, "double_val", np.float64, is_copied_as_bytes=True),
    _element_type(3, "int_val", np.int32),
    _element_type(4, "int_val", np.int32, np.uint8),
    _element_type(5, "int_val", np.int32, np.int16),
    _element_type(6, "int_val", np.int32, np.int8),
    _STRING,
    _element_type(8, "scomplex_val", np.float32, is_copied_as_bytes=True),
    _element_type(9, "int64_val", np.int64),
    _element_type(10, "bool_val", np.bool_, is_copied_as_bytes=True),
    _element_type(14, "half_val", np.int32, np.uint16),
    _element_type(17, "int_val", np.int32, np.uint16),
    _element_type(18, "dcomplex_val", np.float64, is_copied_as_bytes=True),
    _element_type(19, "half_val", np.int32, np.uint16),
    _element_type(22, "uint32_val", np.uint32),
    _element_type(23, "uint64_val", np.uint64),
)
_TYPE_OF_NUMBER = {element_type.number: element_type for element_type in _ELEMENT_TYPES}


def to_numpy(tensor_proto: TensorProto, *, writable: bool = True) -> np.ndarray:
    """Decodes a TensorProto.

    As in TensorFlow, a typed field with fewer values than elements repeats its last value, and one without any is
    all zeros (strings: empty).

    Arguments:
        writable: False saves a copy of `tensor_content`: the array may be read-only then.

    Returns:
        An array of the message's shape and type; strings come as `bytes` in an array of dtype object.

    Raises:
        ValueError: the message has a type that is not supported, or its values do not fit its shape.
    """
    element_type = _TYPE_OF_NUMBER.get(tensor_proto.dtype)
    if element_type is None:
        raise ValueError(f"tensor has the unsupported dtype number {tensor_proto.dtype}.")
    shape = _shape_of(tensor_proto.tensor_shape)
    num_elements = math.prod(shape)
    if num_elements * element_type.dtype.itemsize > _LARGEST_TENSOR_BYTES:
        raise ValueError(f"tensor of shape {list(shape)} is larger than the 2 GiB that a message can carry.")
    if content := tensor_proto.tensor_content:
        elements = _from_content(content, element_type, num_elements)
        return (elements.copy() if writable else elements).reshape(shape)
    return _from_typed_field(getattr(tensor_proto, element_type.field), element_type, num_elements).reshape(shape)


def to_tensor_proto(array: np.ndarray, *, typed_fields: bool = True) -> TensorProto:
    """Encodes an array.

    Arguments:
        array: any shape; numbers, booleans, `str` (sent as UTF-8) or `bytes`.
        typed_fields: True for `float_val` and its like, as TensorFlow Serving answers; False for `tensor_content`,
            which is more compact for most types. Strings always come in `string_val`.

    Raises:
        ValueError: the array's type has no counterpart in a TensorProto.
    """
    return tensor_pb2.TensorProto.FromString(b"".join(serialized_tensor(array, typed_fields=typed_fields)))


def serialized_tensor(array: np.ndarray, *, typed_fields: bool = True) -> list[bytes | memoryview]:
    """The bytes of `to_tensor_proto`, in pieces to be joined: large arrays are not copied before that.

    Raises:
        ValueError: the array's type has no counterpart in a TensorProto.
    """
    array = np.asarray(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    element_type = _STRING if array.dtype.kind in "USO" else _TYPE_OF_NUMBER.get(NUMBER_OF_NUMPY_DTYPE.get(array.dtype, 0))
    if element_type is None:
        raise ValueError(f"an array of dtype {array.dtype} cannot be sent as a tensor.")
    begin = _begin_of_message(element_type.number, array.shape)
    if element_type is _STRING:
        return [begin, tensor_pb2.TensorProto(string_val=_byte_strings(array)).SerializeToString()]
    if not array.size:
        return [begin]
    if not typed_fields:
        return [begin, _begin_of_field("tensor_content", array.nbytes), _bytes_of(array)]
    if element_type.is_copied_as_bytes:
        return [begin, _begin_of_field(element_type.field, array.nbytes), _bytes_of(array)]
    packed = packed_varints(array.ravel().view(element_type.stored_dtype))
    return [begin, _begin_of_field(element_type.field, len(packed)), packed]


def _bytes_of(array: np.ndarray) -> bytes | memoryview:
    if array.nbytes <= _SMALL_BYTES:
        return array.tobytes()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _shape_of(tensor_shape: TensorShapeProto) -> tuple[int, ...]:
    serialized = tensor_shape.SerializeToString()
    if len(serialized) > _MAX_REMEMBERED_SHAPE_BYTES:
        return _parsed_shape.__wrapped__(serialized)
    return _parsed_shape(serialized)


# Shapes repeat from request to request, and reading or building one takes longer than all the rest of a small tensor.
@functools.lru_cache(maxsize=1024)
def _parsed_shape(tensor_shape: bytes) -> tuple[int, ...]:
    message = tensor_shape_pb2.TensorShapeProto.FromString(tensor_shape)
    shape = tuple(dimension.size for dimension in message.dim)
    if message.unknown_rank or any(size < 0 for size in shape):
        raise ValueError(f"tensor must have a fully known shape. Got {list(shape) or 'an unknown rank'}.")
    return shape


@functools.lru_cache(maxsize=1024)
def _begin_of_message(number: int, shape: tuple[int, ...]) -> bytes:
    """A serialized TensorProto without values."""
    message = tensor_pb2.TensorProto(dtype=number)
    message.tensor_shape.SetInParent()  # A scalar's shape is empty, yet there.
    for size in shape:
        message.tensor_shape.dim.add(size=size)
    return message.SerializeToString()


def _from_content(content: bytes, element_type: _ElementType, num_elements: int) -> np.ndarray:
    if element_type is _STRING:
        raise ValueError("a tensor of strings must use string_val, not tensor_content.")
    num_bytes = num_elements * element_type.dtype.itemsize
    if len(content) != num_bytes:
        raise ValueError(f"tensor_content must hold {num_bytes} bytes ({num_elements} elements of "
                         f"{element_type.dtype}). Got {len(content)}.")
    return np.frombuffer(content, element_type.dtype)


def _from_typed_field(values: Sequence[Any], element_type: _ElementType, num_elements: int) -> np.ndarray:
    elements = _typed_elements(values, element_type)
    if elements.size == num_elements:
        return elements
    if elements.size > num_elements:
        raise ValueError(f"{element_type.field} must hold at most the {num_elements} elements of the tensor's shape. "
                         f"Got {elements.size}.")
    if num_elements * element_type.dtype.itemsize > _LARGEST_FILLED_BYTES:
        raise ValueError(f"{element_type.field} holds {elements.size} of the tensor's {num_elements} elements: only up to "
                         "64 MiB are filled with the last one. Send all.")
    if elements.size == 0:
        return np.full(num_elements, b"" if element_type is _STRING else 0, dtype=element_type.dtype)
    return np.concatenate([elements, np.full(num_elements - elements.size, elements[-1], dtype=element_type.dtype)])


def _typed_elements(values: Sequence[Any], element_type: _ElementType) -> np.ndarray:
    if element_type is _STRING:
        return np.fromiter(values, object, len(values))
    if len(values) <= _FEW_ELEMENTS:
        stored = np.fromiter(values, element_type.field_dtype, len(values))
    else:
        stored = np.array(values, dtype=element_type.field_dtype)
    # Numbers that do not fit into a narrow type wrap around, as TensorFlow has it.
    stored = stored.astype(element_type.stored_dtype, copy=False)
    if stored.nbytes % element_type.dtype.itemsize:
        raise ValueError(f"{element_type.field} must hold pairs of numbers. Got {len(stored)} numbers.")
    return stored.view(element_type.dtype)


@functools.lru_cache(maxsize=1024)
def _begin_of_field(field: str, num_bytes: int) -> bytes:
    tag = varint(tensor_pb2.TensorProto.DESCRIPTOR.fields_by_name[field].number << 3 | _LENGTH_DELIMITED)
    return tag + varint(num_bytes)


def _byte_strings(array: np.ndarray) -> list[bytes]:
    values = array.ravel().tolist()
    return values if set(map(type, values)) <= {bytes} else [_as_bytes(value) for value in values]


def _as_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8")
    raise ValueError(f"an array of Python objects must hold str or bytes to be sent. Got {type(value).__name__}.")
