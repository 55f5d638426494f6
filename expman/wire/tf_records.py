"""Reads TFRecord files without TensorFlow."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from expman.wire.status import Code, StatusError

# A record: its length (uint64), a check of the length (uint32), the data, a check of the data (uint32); little endian.
_HEAD = struct.Struct("<QI")
_TAIL_BYTES = 4
_CASTAGNOLI = 0x82F63B78
_MASK = 0xA282EAD8


def read_records(file: Path) -> Iterator[bytes]:
    """Reads one record after the other.

    The checks of the data are skipped, since they would take longer in Python than all else.

    Raises:
        OSError: the file cannot be read.
        StatusError: DATA_LOSS, it is no TFRecord file, or was cut short.
    """
    with file.open("rb") as stream:
        index = 0
        while head := stream.read(_HEAD.size):
            if len(head) < _HEAD.size:
                raise _damaged(file, index, "is cut short")
            length, check = _HEAD.unpack(head)
            if check != _masked_crc(head[:8]):
                raise _damaged(file, index, "has a length that does not fit its check")
            body = stream.read(length + _TAIL_BYTES)
            if len(body) < length + _TAIL_BYTES:
                raise _damaged(file, index, "is cut short")
            yield body[:length]
            index += 1


def _damaged(file: Path, index: int, what: str) -> StatusError:
    return StatusError(Code.DATA_LOSS, f"{file}: record {index} {what}. Please verify your data is in TFRecord format, and "
                                       "write the file again.")


def _masked_crc(data: bytes) -> int:
    """CRC-32C, rotated and shifted as TFRecord wants it (tensorflow/core/lib/hash/crc32c.h)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (_CASTAGNOLI if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF
