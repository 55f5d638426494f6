"""Reads an image file into a NumPy array, through OpenCV or, for georeferenced and many-band files, through rasterio."""

from __future__ import annotations

import cv2
import numpy as np

READERS = ("opencv", "rasterio")


def read_image(path: str, *, reader: str = "opencv") -> np.ndarray:
    """Reads an image with all its bands, in the file's own type.

    Arguments:
        path: the file. OpenCV reads the common formats and multi-band TIFF; rasterio reads what GDAL reads.
        reader: 'opencv' or 'rasterio' (`pip install -r requirements-rasterio.txt`).

    Returns:
        `[height, width, bands]`, uint8, uint16, int16, float32 …; three and four bands come in the order red, green, blue(, alpha).

    Raises:
        ValueError: the file is no image that the reader knows.
        OSError: the file cannot be opened.
        ImportError: rasterio is asked for and not installed.
    """
    return _READERS[reader](path)


def _read_by_opencv(path: str) -> np.ndarray:
    encoded = np.fromfile(path, np.uint8)  # names the fault of a missing file, and OpenCV's own opener knows no unicode on Windows
    image = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if encoded.size else None
    if image is None:
        raise ValueError("OpenCV cannot decode it as an image" if encoded.size else "the file is empty")
    if image.ndim == 2:
        return image[..., None]
    if image.shape[-1] in (3, 4):  # OpenCV's order is blue, green, red
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[-1] == 3 else cv2.COLOR_BGRA2RGBA)
    return image


def _read_by_rasterio(path: str) -> np.ndarray:
    try:
        import rasterio
    except ImportError as error:
        raise ImportError("reader='rasterio' needs rasterio: pip install -r requirements-rasterio.txt") from error
    try:
        with rasterio.open(path) as file:
            return np.moveaxis(file.read(), 0, -1)
    except rasterio.errors.RasterioError as error:
        raise ValueError(str(error)) from error


_READERS = {"opencv": _read_by_opencv, "rasterio": _read_by_rasterio}
