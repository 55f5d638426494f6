"""Reads the images of a list, each brought to one shape and type."""

from __future__ import annotations

import numpy as np

from data_pipelines.array_cache import ArrayCache
from data_pipelines.images.fitting import ImageFitting
from data_pipelines.images.reading import read_image
from data_pipelines.unreadable_files import UnreadableFileError, UnreadableFiles


class ImageDecoder:
    """Reads images by their number in a list.

    Arguments:
        files: the paths.
        reader: see `read_image`.
        fitting: what size and bands they are brought to.
        cache: keeps them.
        unreadable: what happens when one cannot be read, or not be brought to the bands.

    Attributes:
        shape: `(height, width, bands)` of all images: those of the first one that can be read.
        dtype: type of all images, likewise.

    Raises:
        ValueError: no image can be read, or the first one cannot and none is to be skipped.
    """

    def __init__(self, files: list[str], *, reader: str, fitting: ImageFitting, cache: ArrayCache,
                 unreadable: UnreadableFiles) -> None:
        self._files = files
        self._reader, self._fitting, self._cache, self._unreadable = reader, fitting, cache, unreadable
        for path in files:
            image = self._read(path)
            if image is not None:
                self._first_file, self.shape, self.dtype = path, image.shape, image.dtype
                return
        raise ValueError(f"none of {len(files)} images can be read. The first one: {unreadable.reasons[files[0]]}")

    def image(self, index: int) -> np.ndarray | None:
        """An image `[height, width, bands]`, or None when it is skipped.

        Raises:
            UnreadableFileError: it cannot be read, or differs from the first one in shape or type.
        """
        image = self._read(self._files[index])
        if image is not None and (image.shape, image.dtype) != (self.shape, self.dtype):
            raise UnreadableFileError(self._files[index], (
                f"it is {image.dtype} of the shape {list(image.shape)}, but {self._first_file} is {self.dtype} of the shape "
                f"{list(self.shape)}, and all must agree. image_size and num_channels bring them to one shape"))
        return image

    def _read(self, path: str) -> np.ndarray | None:
        try:
            return self._cache.get(path, f"{self._reader} upright {self._fitting}", self._decoded)
        except _SkippedError:
            return None

    def _decoded(self, path: str) -> np.ndarray:
        image = self._unreadable.read(lambda name: self._fitting.fitted(read_image(name, reader=self._reader)), path)
        if image is None:
            raise _SkippedError
        return image


class _SkippedError(Exception):
    """Leads past the cache, which keeps images only."""
