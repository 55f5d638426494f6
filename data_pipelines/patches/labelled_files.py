"""Raw files with the files that hold their labels, opened together and checked against each other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from data_pipelines.array_cache import ArrayCache
from data_pipelines.checks import at_least, file_list, one_of
from data_pipelines.images.orientation import orientation_if_any
from data_pipelines.patches.pairing import PAIRINGS, paired_references
from data_pipelines.patches.positions import window


class ArrayLike(Protocol):
    """An opened file: a NumPy array, a memory map, or what reads windows of a file when it is indexed by slices."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, slices: tuple[slice, ...]) -> np.ndarray: ...


class Opener(Protocol):
    """Opens files as `[*size, bands]`; its `repr` tells what it does."""

    def __call__(self, path: str) -> ArrayLike:
        """The content; raises ValueError or OSError when it cannot be read."""

    def reads_windows(self, path: str) -> bool:
        """Tells whether a file is opened fast and only the windows that are cut are read."""


@dataclass(frozen=True)
class LabelledArray:
    """The content of a raw file and of its reference file.

    Arguments:
        raw: `[*size, bands]`.
        reference: `[*size, 1]` or None.
        num_label_channels: how many of the last bands of `raw` are labels.
    """

    raw: ArrayLike
    reference: ArrayLike | None
    num_label_channels: int

    @property
    def size(self) -> tuple[int, ...]:
        """`(height, width)` or `(depth, height, width)`."""
        return self.raw.shape[:-1]

    @property
    def num_bands(self) -> int:
        """Bands without those that are labels."""
        return self.raw.shape[-1] - self.num_label_channels

    @property
    def label_dtype(self) -> np.dtype[Any]:
        """Of the labels in the file; without labels, that of the raw data."""
        return self.raw.dtype if self.reference is None else self.reference.dtype

    def cut(self, position: Sequence[int], patch: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
        """A patch: raw `[*patch, bands]`, and labels `[*patch]`, `[*patch, channels]` where there are several, or None."""
        raw = self.raw[window(position, patch)]
        if self.reference is not None:
            return raw, self.reference[window(position, patch)][..., 0]
        if not self.num_label_channels:
            return raw, None
        labels = raw[..., self.num_bands:]
        return raw[..., :self.num_bands], labels if self.num_label_channels > 1 else labels[..., 0]


class LabelledFiles:
    """A list of raw files and where their labels are: in reference files, in the last bands, or nowhere.

    Arguments:
        raw_files: the paths.
        reference_files: as many; or None.
        pair_by: how they belong together, see `paired_references`.
        num_label_channels: how many of the last bands of the raw files are labels; 0 with reference files.
        open_raw, open_reference: how the files are opened.
        cache: whether opened files are kept, see `ArrayCache`.

    Attributes:
        paths: of the raw files.
        references: the reference file of each, or None.

    Raises:
        ValueError: an argument is wrong, or the files do not belong together.
        FileNotFoundError: files do not exist.
    """

    def __init__(self, raw_files: Iterable[str | os.PathLike[str]],
                 reference_files: Iterable[str | os.PathLike[str]] | None = None, *, num_label_channels: int = 0,
                 pair_by: str = "name", open_raw: Opener, open_reference: Opener, cache: bool | str | os.PathLike[str] = False) -> None:
        at_least("num_label_channels", num_label_channels, 0)
        one_of("pair_by", pair_by, PAIRINGS)
        self.paths = _paths("raw_files", raw_files)
        self.references = None if reference_files is None else _paths("reference_files", reference_files)
        if self.references is not None:
            if num_label_channels:
                raise ValueError(f"num_label_channels={num_label_channels} and reference_files or labels_key are two "
                                 "sources of labels. Remove one of them.")
            self.references = paired_references(self.paths, self.references, pair_by=pair_by)
        self._num_label_channels = num_label_channels
        self._open_raw, self._open_reference = open_raw, open_reference
        self._cache = ArrayCache(cache)

    def __len__(self) -> int:
        return len(self.paths)

    def reads_windows(self, index: int) -> bool:
        """Tells whether a raw file and its reference are opened fast, and only the windows that are cut are read."""
        return self._open_raw.reads_windows(self.paths[index]) and (
            self.references is None or self._open_reference.reads_windows(self.references[index]))

    def opened(self, index: int) -> LabelledArray:
        """Opens a raw file and its reference.

        Raises:
            OSError, ValueError: one cannot be read, or they do not fit together.
        """
        raw = self._cache.get(self.paths[index], repr(self._open_raw), self._open_raw)
        if raw.shape[-1] <= self._num_label_channels:
            raise ValueError(f"it has {raw.shape[-1]} bands, of which none is left without the labels "
                             f"(num_label_channels={self._num_label_channels})")
        if self.references is None:
            return LabelledArray(raw, None, self._num_label_channels)
        path = self.references[index]
        try:
            reference = self._cache.get(path, repr(self._open_reference), self._open_reference)
        except (OSError, ValueError) as error:
            raise ValueError(f"its reference {path}: {error}") from error
        if reference.shape != (*raw.shape[:-1], 1):
            raise ValueError(f"its shape {list(raw.shape)} does not fit to its reference {path} of {list(reference.shape)}: "
                             f"sizes must be equal and references have one band{_orientations(self.paths[index], path)}")
        return LabelledArray(raw, reference, 0)


def _orientations(raw: str, reference: str) -> str:
    of_raw, of_reference = orientation_if_any(raw), orientation_if_any(reference)
    if of_raw == of_reference:
        return ""
    return (f". It is turned as it notes (orientation {of_raw}), its reference as it notes ({of_reference}; 1 is not at all): a "
            "reference that was drawn on the picture as it is stored needs the same note")


def _paths(name: str, files: Iterable[str | os.PathLike[str]]) -> list[str]:
    try:
        return file_list(files)
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"{name}: {error}") from None
