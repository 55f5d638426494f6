"""Reads an image file into a NumPy array, through OpenCV or, for georeferenced and many-band files, through rasterio."""

from __future__ import annotations

from types import ModuleType

import cv2
import numpy as np

from data_pipelines.checks import one_of
from data_pipelines.images.orientation import file_orientation, noted_orientation, upright
from data_pipelines.images.palette import palette_indices
from data_pipelines.images.tiff_layout import check_opencv_reads_it_whole

READERS = ("opencv", "rasterio")
PALETTES = ("colours", "indices")
CHANNELS = ("RGB", "BGR")
_SWAPPED_BY_OPENCV = (np.uint8, np.uint16, np.float32)
_FILLED_BY_GDAL = ("PNG", "JPEG", "BMP")  # of files that are cut off it fills the rest and only warns; OpenCV refuses them


def check_reader(reader: str) -> None:
    """Tells before any work whether a reader can be used.

    Raises:
        ValueError: there is no such reader.
        ImportError: it is rasterio, which is not installed; the message says how to install it.
    """
    one_of("reader", reader, READERS)
    if reader == "rasterio":
        _imported_rasterio()


def read_image(path: str, *, reader: str = "opencv", palette: str = "colours", channels: str = "RGB") -> np.ndarray:
    """Reads an image with all its bands, in the file's own type.

    An orientation that is noted in a JPEG, PNG, WebP (EXIF) or TIFF is applied, so that the image stands as viewers show it. Else
    the pixels come as they are stored; values that stand for "no data" are not replaced. Of several images in a file the first
    one is read.

    Arguments:
        path: the file. OpenCV reads PNG, JPEG, WebP, BMP, TIFF … of 1, 3 or 4 bands; rasterio reads what GDAL reads, with any
            number of bands. A TIFF that OpenCV would read in part or changed is refused.
        reader: 'opencv' or 'rasterio' (`pip install rasterio`; the version that is tested is in requirements-rasterio.txt).
        palette: what the reader 'opencv' gives of an image with a palette: 'colours', or 'indices': the numbers of the colours, one band,
            as in label maps. Rasterio always gives the numbers.
        channels: the order of colours: 'RGB', as in all pipelines; 'BGR', as of `cv2.imread`, for a network that was trained so.
            Opacity stays last; images of 1 band have no order. Rasterio gives the bands in the order of the file.

    Returns:
        `[height, width, bands]`, uint8, uint16, int16, float32 …; bands in the order red, green, blue(, alpha), of rasterio in
        the order of the file.

    Raises:
        ValueError: the file is no image that the reader knows, or is cut off; or there is no such reader, palette or order of
            colours, or it is not the reader's.
        OSError: the file cannot be opened.
        ImportError: rasterio is asked for and not installed.
    """
    one_of("reader", reader, READERS)
    one_of("palette", palette, PALETTES)
    one_of("channels", channels, CHANNELS)
    if channels == "BGR" and reader == "rasterio":
        raise ValueError("channels='BGR' does not go with reader='rasterio', which gives the bands in the order of the file. "
                         "Reorder them: image[..., [2, 1, 0]].")
    if palette == "indices" and reader == "opencv":
        indices = palette_indices(path)
        if indices is not None:
            return indices[..., None]
    image = _READERS[reader](path)
    return _swapped(image) if channels == "BGR" and image.shape[-1] in (3, 4) else image


def _read_by_opencv(path: str) -> np.ndarray:
    with open(path, "rb") as file:  # names the fault of a missing file; on Windows OpenCV's own opener knows no unicode
        encoded = file.read()
    if not encoded:
        raise ValueError("the file is empty")
    check_opencv_reads_it_whole(encoded)
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(f"OpenCV cannot decode it: {error}") from error
    if image is None:
        raise ValueError("OpenCV cannot decode it: it is no image, is cut off, or is of a kind for reader='rasterio'")
    if image.ndim == 2:
        image = image[..., None]
    return upright(_swapped(image) if image.shape[-1] in (3, 4) else image, noted_orientation(encoded))


def _swapped(image: np.ndarray) -> np.ndarray:
    """Brings the order blue, green, red(, alpha) to red, green, blue(, alpha), and back."""
    has_alpha = image.shape[-1] == 4
    if image.dtype in _SWAPPED_BY_OPENCV:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if has_alpha else cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(image[..., [2, 1, 0, 3] if has_alpha else [2, 1, 0]])


def _read_by_rasterio(path: str) -> np.ndarray:
    rasterio = _imported_rasterio()
    try:
        with rasterio.open(path) as file:
            if file.driver in _FILLED_BY_GDAL:
                _read_by_opencv(path)
            return upright(np.moveaxis(file.read(), 0, -1), file_orientation(path))
    except rasterio.errors.RasterioError as error:
        raise ValueError(f"rasterio cannot read it: {error.__cause__ or error}") from error


def _imported_rasterio() -> ModuleType:
    try:
        import rasterio
    except ImportError as error:
        raise ImportError("reader='rasterio' needs rasterio: pip install rasterio, or, in a clone, "
                          "pip install -r requirements-rasterio.txt") from error
    return rasterio


_READERS = {"opencv": _read_by_opencv, "rasterio": _read_by_rasterio}
