"""Translates between TensorProto messages and NumPy arrays without starting TensorFlow or looping over elements."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expman.serving.data_types import NUMBER_OF_NUMPY_DTYPE, NUMPY_DTYPE_OF_NUMBER, STRING_NUMBER

if TYPE_CHECKING:
    from tensorflow.core.framework.tensor_pb2 import TensorProto

# No message can carry a larger tensor; one value repeated over a huge shape must not exhaust the memory either.
_LARGEST_TENSOR_BYTES = 2**31

_LENGTH_DELIMITED = 2  # The wire type of packed repeated fields.


@dataclass(frozen=True)
class _ElementType:
    """How TensorProto stores elements of one type.

    Attributes:
        number: TensorFlow's number of the type, a key of `NUMPY_DTYPE_OF_NUMBER`.
        field: the typed repeated field.
        stored_dtype: the NumPy type of one value of that field; complex elements take two, half ones their bits.
        is_copied_as_bytes: True when the packed field's bytes are those of the array.
    """

    number: int
    field: str
    stored_dtype: np.dtype
    is_copied_as_bytes: bool = False

    @property
    def dtype(self) -> np.dtype:
        """The NumPy type of an element."""
        return NUMPY_DTYPE_OF_NUMBER[self.number]


_STRING = _ElementType(STRING_NUMBER, "string_val", np.dtype(object))

_ELEMENT_TYPES = (
    _ElementType(1, "float_val", np.dtype(np.float32), True),
    _ElementType(2, "double_val", np.dtype(np.float64), True),
    _ElementType(3, "int_val", np.dtype(np.int32)),
    _ElementType(4, "int_val", np.dtype(np.uint8)),
    _ElementType(5, "int_val", np.dtype(np.int16)),
    _ElementType(6, "int_val", np.dtype(np.int8)),
    _STRING,
    _ElementType(8, "scomplex_val", np.dtype(np.float32), True),
    _ElementType(9, "int64_val", np.dtype(np.int64)),
    _ElementType(10, "bool_val", np.dtype(np.bool_), True),
    _ElementType(14, "half_val", np.dtype(np.uint16)),
    _ElementType(17, "int_val", np.dtype(np.uint16)),
    _ElementType(18, "dcomplex_val", np.dtype(np.float64), True),
    _ElementType(19, "half_val", np.dtype(np.uint16)),
    _ElementType(22, "uint32_val", np.dtype(np.uint32)),
    _ElementType(23, "uint64_val", np.dtype(np.uint64)),
)
_TYPE_OF_NUMBER = {element_type.number: element_type for element_type in _ELEMENT_TYPES}


def to_numpy(tensor_proto: TensorProto) -> np.ndarray:
    """Decodes a TensorProto.

    As in TensorFlow, a typed field with fewer values than elements repeats its last value, and one without any is
    all zeros (strings: empty).

    Returns:
        A writable array of the message's shape and type; strings come as `bytes` in an array of dtype object.

    Raises:
        ValueError: the message has a type that is not supported, or its values do not fit its shape.
    """
    element_type = _TYPE_OF_NUMBER.get(tensor_proto.dtype)
    if element_type is None:
        raise ValueError(f"tensor has the unsupported dtype number {tensor_proto.dtype}.")
    shape = _shape_of(tensor_proto)
    num_elements = math.prod(shape)
    if num_elements * element_type.dtype.itemsize > _LARGEST_TENSOR_BYTES:
        raise ValueError(f"tensor of shape {list(shape)} is larger than the 2 GiB that a message can carry.")
    if tensor_proto.tensor_content:
        elements = _from_content(tensor_proto.tensor_content, element_type, num_elements)
    else:
        elements = _from_typed_field(getattr(tensor_proto, element_type.field), element_type, num_elements)
    return elements.reshape(shape)


def to_tensor_proto(array: np.ndarray, *, typed_fields: bool = True) -> TensorProto:
    """Encodes an array.

    Arguments:
        array: any shape; numbers, booleans, `str` (sent as UTF-8) or `bytes`.
        typed_fields: True for `float_val` and its like, as TensorFlow Serving answers; False for `tensor_content`,
            which is more compact for most types. Strings always come in `string_val`.

    Raises:
        ValueError: the array's type has no counterpart in a TensorProto.
    """
    from expman.serving.protos import tensor_pb2

    array = np.asarray(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    element_type = _STRING if array.dtype.kind in "USO" else _TYPE_OF_NUMBER.get(NUMBER_OF_NUMPY_DTYPE.get(array.dtype))
    if element_type is None:
        raise ValueError(f"an array of dtype {array.dtype} cannot be sent as a tensor.")
    message = tensor_pb2.TensorProto(dtype=element_type.number)
    message.tensor_shape.SetInParent()  # A scalar's shape is empty, yet there.
    for size in array.shape:
        message.tensor_shape.dim.add(size=size)
    if element_type is _STRING:
        message.string_val.extend(_as_bytes(value) for value in array.ravel().tolist())
    elif not typed_fields:
        message.tensor_content = array.tobytes()
    elif element_type.is_copied_as_bytes:
        _merge_packed_field(message, element_type.field, array.tobytes())
    else:
        values = np.frombuffer(array.tobytes(), element_type.stored_dtype)
        getattr(message, element_type.field).extend(values.tolist())
    return message


def _shape_of(tensor_proto: TensorProto) -> tuple[int, ...]:
    shape = tuple(dimension.size for dimension in tensor_proto.tensor_shape.dim)
    if tensor_proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise ValueError(f"tensor must have a fully known shape. Got {list(shape) or 'an unknown rank'}.")
    return shape


def _from_content(content: bytes, element_type: _ElementType, num_elements: int) -> np.ndarray:
    if element_type is _STRING:
        raise ValueError("a tensor of strings must use string_val, not tensor_content.")
    num_bytes = num_elements * element_type.dtype.itemsize
    if len(content) != num_bytes:
        raise ValueError(f"tensor_content must hold {num_bytes} bytes ({num_elements} elements of "
                         f"{element_type.dtype}). Got {len(content)}.")
    return np.frombuffer(content, element_type.dtype).copy()


def _from_typed_field(values, element_type: _ElementType, num_elements: int) -> np.ndarray:
    if element_type is _STRING:
        elements = np.empty(len(values), dtype=object)
        elements[:] = list(values)
    else:
        stored = np.array(values, dtype=element_type.stored_dtype)
        if stored.nbytes % element_type.dtype.itemsize:
            raise ValueError(f"{element_type.field} must hold pairs of numbers. Got {len(stored)} numbers.")
        elements = stored.view(element_type.dtype)
    if elements.size == num_elements:
        return elements
    if elements.size > num_elements:
        raise ValueError(f"{element_type.field} must hold at most the {num_elements} elements of the tensor's shape. "
                         f"Got {elements.size}.")
    if elements.size == 0:
        return np.full(num_elements, b"" if element_type is _STRING else 0, dtype=element_type.dtype)
    return np.concatenate([elements, np.full(num_elements - elements.size, elements[-1], dtype=element_type.dtype)])


def _merge_packed_field(message: TensorProto, field: str, packed: bytes) -> None:
    """Sets a repeated field from its bytes on the wire: a copy of memory, where `extend` boxes each number."""
    number = message.DESCRIPTOR.fields_by_name[field].number
    message.MergeFromString(_varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(packed)) + packed)


def _varint(number: int) -> bytes:
    """Encodes a number as protobuf does: seven bits a byte, the lowest first, the top bit set on all but the last."""
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _as_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8")
    raise ValueError(f"an array of Python objects must hold str or bytes to be sent. Got {type(value).__name__}.")
