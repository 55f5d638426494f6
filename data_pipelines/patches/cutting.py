"""Cuts the patches of a file in NumPy, the same way for images and for volumes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_pipelines.patches.filters import PatchFilterError
from data_pipelines.patches.labelled_files import LabelledArray, LabelledFiles
from data_pipelines.patches.options import PatchOptions
from data_pipelines.patches.positions import (
    check_field_of_view,
    check_fits,
    grid_positions,
    num_random_patches,
    patch_shape,
    random_position,
)
from data_pipelines.unreadable_files import UnreadableFiles

TRIES_PER_PATCH = 10
_MOST_BYTES_AT_ONCE = 64 << 20
_ALL = np.iinfo(np.int64).max
_ALIGNMENT = 64
_KEPT_TYPES = ("uint8", "uint16", "int8", "int16")  # smaller to batch and shuffle than what the others become

Patch = tuple[np.ndarray, "np.ndarray | None"]


@dataclass(frozen=True, kw_only=True)
class PatchLayout:
    """The properties that all patches of a pipeline share.

    Arguments:
        path: the file that all this was read from.
        patch: the lengths along the axes.
        num_bands: of the raw data.
        label_shape: `patch` or `(*patch, channels)`; None: there are no labels.
        raw_dtype, label_dtype: what raw data and labels are kept in until they are batched: uint8 and other small integers as
            they are, for speed.
    """

    path: str
    patch: tuple[int, ...]
    num_bands: int
    label_shape: tuple[int, ...] | None
    raw_dtype: np.dtype[Any]
    label_dtype: np.dtype[Any]


class PatchCutter:
    """Opens files and cuts random patches or patches of a grid; the result depends on the arguments of the call alone.

    Arguments:
        files: where raw data and labels are.
        options: how patches are chosen and changed.
        num_axes: 2 for images, 3 for volumes.

    Attributes:
        layout: of the first file that can be read.
        dtypes: of the raw patches and labels that are returned.

    Raises:
        ValueError: an option does not fit to the data, or no file can be read.
    """

    def __init__(self, files: LabelledFiles, options: PatchOptions, *, num_axes: int) -> None:
        patch_shape(options.patch_ratio_vs_input, [1] * num_axes)  # lest a wrong one is taken for a file's fault
        self._files, self._options = files, options
        self._unreadable = UnreadableFiles(options.on_unreadable_file)
        self.layout = self._first_layout()
        check_field_of_view(options.field_of_view, self.layout.patch)
        if options.classes_entropy_threshold is not None and self.layout.label_shape is None:
            raise ValueError(f"classes_entropy_threshold={options.classes_entropy_threshold} needs labels. Say where they "
                             "are, or remove it.")
        options.augmentation.check_sample(num_spatial_axes=num_axes, num_bands=self.layout.num_bands)
        raw_dtype = np.dtype(np.float32) if options.augmentation.is_photometric else self.layout.raw_dtype
        self.dtypes = (raw_dtype, self.layout.label_dtype)

    def parts(self) -> np.ndarray:
        """Returns the arguments of calls: int64 `[num_parts, 3]`: a file's index, and first and end of its patches of the grid.

        A file has one part, unless it is read in windows: then its grid comes in parts of at most 64 MiB.
        """
        bytes_per_patch = 4 * math.prod(self.layout.patch) * self.layout.num_bands
        num_at_once = max(1, _MOST_BYTES_AT_ONCE // bytes_per_patch)
        parts = []
        for index, path in enumerate(self._files.paths):
            num_patches = None
            if not self._options.shuffle_samples and self._files.reads_windows(index):
                num_patches = self._unreadable.read(lambda _, index=index: len(self._grid(self._opened(index))), path)
            if num_patches is None:
                parts.append((index, 0, _ALL))
            else:
                parts += [(index, first, first + num_at_once) for first in range(0, num_patches, num_at_once)]
        return np.array(parts, np.int64)

    def __call__(self, index: int, first: int, end: int, seed: int) -> list[np.ndarray]:
        """Cuts the patches of a part.

        Arguments:
            index, first, end: a row of `parts`.
            seed: of the random patches and changes.

        Returns:
            Raw `[num_patches, *patch, bands]` and, if there are labels, these `[num_patches, *label_shape]`, in `dtypes`. Of a
            file that is skipped there are none (num_patches 0).

        Raises:
            UnreadableFileError: the file cannot be read, and this is not to be skipped.
            PatchFilterError: a user's filter raised.
        """
        path = self._files.paths[index]
        try:
            patches = self._unreadable.read(lambda _: list(self._cut(int(index), int(first), int(end), int(seed))), path)
        except PatchFilterError as error:
            raise PatchFilterError(f"{path}: {error}") from error
        return self._stacked(patches or [])

    def _first_layout(self) -> PatchLayout:
        for index, path in enumerate(self._files.paths):
            layout = self._unreadable.read(lambda _, index=index: self._layout_of(index), path)
            if layout is not None:
                return layout
        raise ValueError(f"none of {len(self._files)} files can be read. The first one: "
                         f"{self._unreadable.reasons[self._files.paths[0]]}")

    def _layout_of(self, index: int) -> PatchLayout:
        source = self._files.opened(index)
        patch = patch_shape(self._options.patch_ratio_vs_input, source.size)
        check_fits(source.size, patch)
        raw, labels = source.cut([0] * len(patch), patch)
        return PatchLayout(path=self._files.paths[index], patch=patch, num_bands=raw.shape[-1],
                           label_shape=None if labels is None else labels.shape, raw_dtype=_kept_dtype(raw.dtype, np.float32),
                           label_dtype=_kept_dtype(source.label_dtype, np.int32))

    def _opened(self, index: int) -> LabelledArray:
        source = self._files.opened(index)
        layout = self.layout
        if (source.num_bands, _kept_dtype(source.raw.dtype, np.float32)) != (layout.num_bands, layout.raw_dtype):
            raise ValueError(f"it has {source.num_bands} bands of {source.raw.dtype}, where {layout.path} has "
                             f"{layout.num_bands} of {layout.raw_dtype}: bring all to one kind")
        if _kept_dtype(source.label_dtype, np.int32) != layout.label_dtype:
            raise ValueError(f"its labels are {source.label_dtype}, where those of {layout.path} are {layout.label_dtype}: "
                             "bring all to one type")
        check_fits(source.size, self.layout.patch)
        return source

    def _cut(self, index: int, first: int, end: int, seed: int) -> Iterator[Patch]:
        source = self._opened(index)
        if self._options.shuffle_samples:
            return self._random_patches(source, np.random.default_rng(seed))
        patches = (source.cut(position, self.layout.patch) for position in self._grid(source)[first:end])
        return (kept for kept in (self._options.filters.apply(*patch) for patch in patches) if kept is not None)

    def _grid(self, source: LabelledArray) -> np.ndarray:
        return grid_positions(source.size, self.layout.patch, field_of_view=self._options.field_of_view)

    def _random_patches(self, source: LabelledArray, rng: np.random.Generator) -> Iterator[Patch]:
        num_patches = num_random_patches(source.size, self.layout.patch,
                                         max_patches_per_image=self._options.max_patches_per_image,
                                         image_area_coverage_factor=self._options.image_area_coverage_factor)
        for _ in range(num_patches):
            for _ in range(TRIES_PER_PATCH):
                position = random_position(rng, source.size, self.layout.patch)
                kept = self._options.filters.apply(*source.cut(position, self.layout.patch))
                if kept is not None:
                    yield self._augmented(rng, *kept)
                    break

    def _augmented(self, rng: np.random.Generator, raw: np.ndarray, labels: np.ndarray | None) -> Patch:
        augmentation = self._options.augmentation
        if augmentation.is_geometric:
            raw, *changed_labels = augmentation.geometric(rng, *(array for array in (raw, labels) if array is not None))
            labels = changed_labels[0] if changed_labels else None
        return augmentation.photometric(rng, raw) if augmentation.is_photometric else raw, labels

    def _stacked(self, patches: list[Patch]) -> list[np.ndarray]:
        layout = self.layout
        shapes = [(*layout.patch, layout.num_bands)] + ([] if layout.label_shape is None else [layout.label_shape])
        stacked = [_aligned([len(patches), *shape], dtype) for shape, dtype in zip(shapes, self.dtypes, strict=False)]
        for index, patch in enumerate(patches):
            for whole, part in zip(stacked, patch, strict=False):  # without labels these are None
                whole[index] = part
        return stacked


def _kept_dtype(dtype: np.dtype[Any], otherwise: type[np.number]) -> np.dtype[Any]:
    if dtype.kind not in "buif":
        raise ValueError(f"its values must be numbers. Got {dtype}")
    return np.dtype(dtype.name if dtype.name in _KEPT_TYPES else otherwise)


def _aligned(shape: list[int], dtype: np.dtype[Any]) -> np.ndarray:
    """An array that TensorFlow takes over without copying it."""
    num_bytes = math.prod(shape) * dtype.itemsize
    memory = np.empty(num_bytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start:start + num_bytes].view(dtype).reshape(shape)
