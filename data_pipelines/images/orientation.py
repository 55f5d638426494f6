"""Turns a picture as its camera noted in the file (EXIF), so that it stands as viewers show it.

Source of the numbers: JEITA CP-3451, "Exchangeable image file format for digital still cameras (EXIF)", tag 274.
"""

from __future__ import annotations

import mmap
import os
import re
import struct

import numpy as np

from data_pipelines.images.tiff_layout import tiff_orientation

_TAG = 0x0112
_MOST_BYTES = 2**16
_MARKS = {rb"\xff\xd8": (b"Exif\0\0", 0), rb"\x89PNG": (b"eXIf", 4), rb"RIFF....WEBP": (b"EXIF", 8)}  # start: mark, its bytes


def file_orientation(path: str) -> int:
    """The orientation from 1 (upright) to 8 that a JPEG, PNG, WebP or TIFF notes; 1 where none can be read, and of other formats.

    Raises:
        OSError: the file cannot be opened.
    """
    if not os.path.getsize(path):
        return 1
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as encoded:
        return max(noted_orientation(encoded), tiff_orientation(encoded))


def orientation_if_any(path: str) -> int:
    """As `file_orientation`; 1 of what cannot be opened as a file, such as a folder of slices."""
    try:
        return file_orientation(path)
    except OSError:
        return 1


def noted_orientation(encoded: bytes | mmap.mmap) -> int:
    """As `file_orientation` of the content of a file, but 1 of a TIFF, which OpenCV and Pillow turn themselves.

    The note is looked for by its mark: Pillow itself would decode a PNG for it, and refuse very large pictures.
    """
    mark, offset = next((found for start, found in _MARKS.items() if re.match(start, encoded, re.DOTALL)), (b"", 0))
    place = encoded.find(mark) if mark else -1
    if place < 0:
        return 1
    from PIL import Image
    exif = Image.Exif()
    try:
        exif.load(encoded[place + offset:place + offset + _MOST_BYTES])
        orientation = exif.get(_TAG, 1)
    except (SyntaxError, ValueError, OSError, struct.error):  # a damaged note; viewers show such a picture as it is stored
        return 1
    return orientation if orientation in range(1, 9) else 1


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """The picture `[height, width, bands]` as it is to be seen; for orientations from 5 the sides change places."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
