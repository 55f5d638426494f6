"""Reads a volume: a NumPy file, one array of an archive of such, or a folder of slices."""

from __future__ import annotations

import fnmatch
import os
import re
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np

from data_pipelines.clutter import is_hidden
from data_pipelines.images.reading import read_image


def read_volume(path: str, *, key: str | None = None, slices_pattern: str | Sequence[str] = "*", reader: str = "opencv",
                palette: str = "colours") -> np.ndarray:
    """Reads a volume with its channels.

    Arguments:
        path: `.npy`: memory-mapped, so that only the parts that are used are read; `.npz`: one of its arrays, read whole; a
            folder: its images are the slices along the depth, numbers in their names counting as numbers (`slice2` before
            `slice10`).
        key: the array's name in an `.npz`; may be left out where there is only one.
        slices_pattern: which files of a folder are slices, as shell wildcards; a list gives several.
        reader, palette: of the slices, as for `read_image`.

    Returns:
        `[depth, height, width, channels]`; an array `[depth, height, width]` gets one channel.

    Raises:
        ValueError: the file is damaged, has no such array, has another rank, or the slices differ in shape or type.
        OSError: it cannot be opened.
    """
    volume = _read_slices(path, slices_pattern, reader, palette) if os.path.isdir(path) else _read_numpy(path, key)
    if volume.ndim not in (3, 4):
        raise ValueError("a volume must be [depth, height, width] or [depth, height, width, channels]. "
                         f"Its shape is {list(volume.shape)}")
    return volume if volume.ndim == 4 else volume[..., None]


def _read_numpy(path: str, key: str | None) -> np.ndarray:
    try:
        if path.endswith(".npy"):
            return np.load(path, mmap_mode="r")
        content = np.load(path)
        if isinstance(content, np.ndarray):
            return content
        with content as archive:
            return archive[_chosen_key(archive.files, key)]
    except (EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(str(error)) from error


def _chosen_key(keys: list[str], key: str | None) -> str:
    if key in keys:
        return key
    if key is None and len(keys) == 1:
        return keys[0]
    raise ValueError(f"choose one of its arrays {keys} by raw_key or labels_key. Got {key!r}")


def _read_slices(folder: str, slices_pattern: str | Sequence[str], reader: str, palette: str) -> np.ndarray:
    patterns = [slices_pattern] if isinstance(slices_pattern, str) else slices_pattern
    fitting = {name for pattern in patterns for name in fnmatch.filter(os.listdir(folder), pattern)}
    names = [name for name in sorted(fitting, key=_by_numbers)
             if not is_hidden(name) and os.path.isfile(os.path.join(folder, name))]
    if not names:
        raise ValueError(f"no file in the folder fits slices_pattern={slices_pattern!r}")
    slices = [_read_slice(os.path.join(folder, name), reader, palette) for name in names]
    for name, image in zip(names, slices, strict=True):
        if (image.shape, image.dtype) != (slices[0].shape, slices[0].dtype):
            raise ValueError(f"the slice {name} is {list(image.shape)} {image.dtype}, where {names[0]} is "
                             f"{list(slices[0].shape)} {slices[0].dtype}")
    return np.stack(slices)


def _read_slice(path: str, reader: str, palette: str) -> np.ndarray:
    try:
        return read_image(path, reader=reader, palette=palette)
    except (OSError, ValueError) as error:
        raise ValueError(f"the slice {os.path.basename(path)}: {error}") from error


def _by_numbers(name: str) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(True, int(part), part) if part.isdecimal() else (False, 0, part) for part in parts]
