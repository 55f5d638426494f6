"""Encodes integers as protobuf does on the wire: seven bits a byte, the lowest first, the top bit set on all but the last."""

from __future__ import annotations

import numpy as np

_LOW_BITS = 7
_MORE_FOLLOW = 1 << _LOW_BITS


def varint(number: int) -> bytes:
    """Encodes one number, which is not negative."""
    encoded = bytearray()
    while number >= _MORE_FOLLOW:
        encoded.append(number & (_MORE_FOLLOW - 1) | _MORE_FOLLOW)
        number >>= _LOW_BITS
    encoded.append(number)
    return bytes(encoded)


def packed_varints(values: np.ndarray) -> bytes:
    """Encodes numbers, one behind the other.

    Arguments:
        values: integers [n] of any type, at least one; negative ones are encoded in 64 bits, as protobuf has it.
    """
    rest = values.astype(np.int64).view(np.uint64) if values.dtype.kind == "i" else values.astype(np.uint64)
    largest = int(rest.max())
    if largest < _MORE_FOLLOW:
        return rest.astype(np.uint8).tobytes()
    num_bytes = np.ones(len(rest), np.int64)
    for shift in range(_LOW_BITS, largest.bit_length(), _LOW_BITS):
        num_bytes += rest >= np.uint64(1 << shift)
    ends = np.cumsum(num_bytes)
    places = ends - num_bytes
    encoded = np.empty(ends[-1], np.uint8)
    while True:
        following = np.flatnonzero(rest >= _MORE_FOLLOW)
        lowest = rest.astype(np.uint8)
        lowest[following] |= _MORE_FOLLOW
        encoded[places] = lowest
        if not len(following):
            return encoded.tobytes()
        places, rest = places[following] + 1, rest[following] >> np.uint64(_LOW_BITS)
