"""Reads the numbers of the colours of a palette image: in label maps they are the classes; OpenCV gives colours or their grey."""

from __future__ import annotations

import numpy as np

_PNG, _PALETTE_PNG, _COLOUR_TYPE = b"\x89PNG\r\n\x1a\n", 3, 25
_OTHER_FORMATS = (b"BM", b"GIF8", b"II*\0", b"MM\0*")


def palette_indices(path: str) -> np.ndarray | None:
    """The numbers of the colours, uint8 `[height, width]`, or None when the file is no palette image.

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
    return _indices_by_pillow(path) if may_have_palette else None


def _indices_by_pillow(path: str) -> np.ndarray | None:
    from PIL import Image  # few label maps have a palette
    try:
        with Image.open(path) as image:
            return np.array(image) if image.mode == "P" else None
    except Image.UnidentifiedImageError:
        return None
    except Image.DecompressionBombError as error:
        raise ValueError(f"Pillow refuses it: {error}. Use reader='rasterio'") from error
    except (SyntaxError, EOFError) as error:
        raise ValueError(f"Pillow cannot decode it: {error}") from error
