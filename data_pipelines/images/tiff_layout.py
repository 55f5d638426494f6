"""Which TIFF files OpenCV reads as they are (others it reads in part, scrambled or blended, without a word), and which are turned.

Source of the format: Adobe, "TIFF Revision 6.0", 1992, and the directory of BigTIFF (its 64-bit form) as in libtiff.
"""

from __future__ import annotations

import mmap
import struct

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_CHUNKY, _RGB, _YCBCR, _UNASSOCIATED_ALPHA = 1, 2, 6, 2
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLES_PER_PIXEL, _PLANAR_CONFIGURATION, _EXTRA_SAMPLES = 258, 262, 277, 284, 338
_ORIENTATION = 274


def check_opencv_reads_it_whole(encoded: bytes) -> None:
    """Raises ValueError for a TIFF that OpenCV would change; other formats pass.

    OpenCV gives one band of several that are not declared as red, green, blue; scrambles bands that are stored one after
    another; multiplies 8-bit bands by a fourth one that is declared as opacity.

    Arguments:
        encoded: the file's bytes.
    """
    if encoded[:4] not in _SIGNATURES:
        return
    try:
        tags = _first_directory(encoded)
    except struct.error as error:
        raise ValueError("the TIFF's directory is cut off") from error
    num_bands = tags.get(_SAMPLES_PER_PIXEL, 1)
    fault = None
    if num_bands == 1:
        return
    if num_bands not in (3, 4) or tags.get(_PHOTOMETRIC) not in (_RGB, _YCBCR):
        fault = f"its {num_bands} bands are not declared as red, green, blue(, alpha)"
    elif tags.get(_PLANAR_CONFIGURATION, _CHUNKY) != _CHUNKY:
        fault = "its bands are stored one after another"
    elif num_bands == 4 and tags.get(_EXTRA_SAMPLES) == _UNASSOCIATED_ALPHA and tags.get(_BITS_PER_SAMPLE) == 8:
        fault = "its fourth band is declared as opacity, by which OpenCV multiplies the others"
    if fault:
        raise ValueError(f"OpenCV would not read this TIFF as it is: {fault}. Use reader='rasterio'")


def tiff_orientation(encoded: bytes | mmap.mmap) -> int:
    """The orientation from 1 (upright) to 8 that a TIFF notes; 1 where none can be read, and of other formats."""
    if encoded[:4] not in _SIGNATURES:
        return 1
    try:
        orientation = _first_directory(encoded).get(_ORIENTATION, 1)
    except struct.error:
        return 1
    return orientation if orientation in range(1, 9) else 1


def _first_directory(encoded: bytes | mmap.mmap) -> dict[int, int]:
    """The first value of each tag that holds 16-bit numbers; what is stored elsewhere in the file is read there."""
    order = "<" if encoded[:1] == b"I" else ">"
    is_big = 43 in encoded[2:4]
    entry, count = (f"{order}HHQ8s", "Q") if is_big else (f"{order}HHL4s", "H")
    offset = struct.unpack_from(f"{order}{'Q' if is_big else 'L'}", encoded, 8 if is_big else 4)[0]
    num_entries = struct.unpack_from(order + count, encoded, offset)[0]
    tags = {}
    for index in range(num_entries):
        place = offset + struct.calcsize(order + count) + index * struct.calcsize(entry)
        tag, kind, num_values, value = struct.unpack_from(entry, encoded, place)
        if kind == 3 and num_values:
            if 2 * num_values > len(value):
                value = encoded[struct.unpack(f"{order}{'Q' if is_big else 'L'}", value)[0]:][:2]
            tags[tag] = struct.unpack_from(f"{order}H", value)[0]
    return tags
