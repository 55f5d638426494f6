"""Opens images for cutting patches: decoded whole, or as a file that is read in windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from data_pipelines.images.orientation import file_orientation
from data_pipelines.images.reading import check_reader, read_image
from data_pipelines.patches.labelled_files import ArrayLike

_WINDOWED = (".tif", ".tiff", ".vrt")  # of other formats GDAL decodes all for any window, or hides that a file is cut off


@dataclass(frozen=True)
class ImageOpener:
    """Opens image files as `[height, width, bands]`, those with a noted orientation as they are to be seen.

    Arguments:
        reader: 'opencv' or 'rasterio', see `read_image`. Rasterio reads windows of TIFF and VRT files.
        whole: whether all images are decoded whole, e.g. to keep them.
        palette: 'colours' or, for label maps, 'indices'; see `read_image`.

    Raises:
        ValueError: there is no such reader.
        ImportError: it is not installed.
    """

    reader: str
    whole: bool
    palette: str = "colours"

    def __post_init__(self) -> None:
        check_reader(self.reader)

    def __call__(self, path: str) -> ArrayLike:
        """The image; raises ValueError or OSError when it cannot be read."""
        if self.reads_windows(path) and file_orientation(path) == 1:
            return RasterioWindows(path)
        return read_image(path, reader=self.reader, palette=self.palette)

    def reads_windows(self, path: str) -> bool:
        """Tells whether a file is opened fast and only the windows that are cut are read."""
        return self.reader == "rasterio" and not self.whole and path.lower().endswith(_WINDOWED)


class RasterioWindows:
    """An image that is read where it is indexed by slices of rows and columns.

    Arguments:
        path: the file; it is closed when the object is no longer used.

    Attributes:
        shape: `(height, width, bands)`.
        dtype: of the values.

    Raises:
        ValueError: the file, or later a part of it, cannot be read.
    """

    def __init__(self, path: str) -> None:
        import rasterio
        self._fault = rasterio.errors.RasterioError
        try:
            self._file = rasterio.open(path)
        except self._fault as error:
            raise ValueError(f"rasterio cannot read it: {error}") from error
        self.shape: tuple[int, ...] = (*self._file.shape, self._file.count)
        self.dtype: np.dtype[Any] = np.result_type(*self._file.dtypes)

    def __getitem__(self, slices: tuple[slice, ...]) -> np.ndarray:
        rows, columns = ((each.start, each.stop) for each in slices)
        try:
            return np.moveaxis(self._file.read(window=(rows, columns)), 0, -1)
        except self._fault as error:
            raise ValueError(f"rasterio cannot read it: {error.__cause__ or error}") from error
