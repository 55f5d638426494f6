"""Reads the numbers of the colours of a palette image: in label maps they are the classes; OpenCV gives colours or their grey."""

from __future__ import annotations

import io

import numpy as np

from data_pipelines.images.orientation import noted_orientation, upright

_PNG, _PALETTE_PNG, _COLOUR_TYPE = b"\x89PNG\r\n\x1a\n", 3, 25
_OTHER_FORMATS = (b"BM", b"GIF8", b"II*\0", b"MM\0*")


def palette_indices(path: str) -> np.ndarray | None:
    """The numbers of the colours, uint8 `[height, width]`, upright (see `read_image`), or None when the file is no palette image.

    Raises:
        ValueError: it is one, and damaged, or larger than Pillow reads.
        OSError: the file cannot be opened, or is cut off.
    """
    with open(path, "rb") as file:
        beginning = file.read(_COLOUR_TYPE + 1)
        if beginning.startswith(_PNG):
            may_have_palette = beginning[_COLOUR_TYPE:] == bytes([_PALETTE_PNG])
        else:
            may_have_palette = beginning.startswith(_OTHER_FORMATS)
        encoded = beginning + file.read() if may_have_palette else b""
    indices = _indices_by_pillow(encoded) if may_have_palette else None
    return None if indices is None else upright(indices, noted_orientation(encoded))


def _indices_by_pillow(encoded: bytes) -> np.ndarray | None:
    from PIL import Image  # few label maps have a palette
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            if image.mode != "P":
                return None
            image.load()  # which turns a TIFF: its sides may change places
            return np.array(image)
    except Image.UnidentifiedImageError:
        return None
    except Image.DecompressionBombError as error:
        raise ValueError(f"Pillow refuses it: {error}. Use reader='rasterio'") from error
    except (SyntaxError, EOFError) as error:
        raise ValueError(f"Pillow cannot decode it: {error}") from error
