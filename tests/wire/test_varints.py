"""Integers are encoded as protobuf itself encodes them."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import wrappers_pb2
from tensorflow.core.framework import tensor_pb2

from expman.wire.varints import packed_varints, varint

_ENDS = [0, 1, 127, 128, 2**14 - 1, 2**14, 2**28, 2**35, 2**49, 2**56 - 1, 2**56, 2**63 - 1]


@pytest.mark.parametrize("number", [*_ENDS, 2**64 - 1])
def test_one_number_is_encoded(number: int) -> None:
    message = wrappers_pb2.UInt64Value(value=number)
    assert varint(number) == (message.SerializeToString()[1:] or b"\0")  # A zero is left out of a message.


@pytest.mark.parametrize("values", [
    np.arange(128, dtype=np.uint8),
    np.arange(256, dtype=np.uint8),
    np.array([*_ENDS, *(-end for end in _ENDS), -2**63]),
    np.array([*_ENDS, 2**63, 2**64 - 1], np.uint64),
    np.array([-128, -1, 0, 1, 127], np.int8),
    np.random.default_rng(7).integers(-2**40, 2**40, 1000),
    np.array([0]),
], ids=["one byte each", "one or two bytes", "ends of int64", "ends of uint64", "int8", "random", "zero"])
def test_numbers_are_encoded_one_behind_the_other(values: np.ndarray) -> None:
    field, num_tag_bytes = ("uint64_val", 2) if values.dtype.kind == "u" else ("int64_val", 1)
    message = tensor_pb2.TensorProto(**{field: values.tolist()}).SerializeToString()
    packed = packed_varints(values)
    assert message[num_tag_bytes:] == varint(len(packed)) + packed
