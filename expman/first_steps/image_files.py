"""Finds images below a folder and looks at some of them, as the pipelines read them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from expman.errors import UsageError
from expman.first_steps.file_names import check_decodable

EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp")
_TRAINING_NAMES = ("train", "training")
_VALIDATION_NAMES = ("val", "valid", "validation", "dev", "test", "testing")  # the first that is there
_MOST_LOOKED_AT = 300
_ROUND_TO_PIXELS = 8


@dataclass(frozen=True, kw_only=True)
class ImageLook:
    """The properties that images share.

    Attributes:
        sizes: (height, width) → how many of those that were looked at.
        bands: numbers of bands that were met: 1 is grey, 3 colour, 4 colour with opacity.
        largest_value: of their type: 255 or 65535; of floating-point numbers the largest that was met.
        unreadable: file → why, of those that were looked at.
    """

    sizes: Counter[tuple[int, int]]
    bands: set[int]
    largest_value: float
    unreadable: dict[str, str]

    @property
    def num_bands(self) -> int:
        """1 where all are grey, else 3."""
        return 1 if self.bands == {1} else 3

    @property
    def sizes_text(self) -> str:
        """Says which heights and widths there are."""
        heights, widths = zip(*self.sizes, strict=True)
        if len(self.sizes) == 1:
            return f"{heights[0]} × {widths[0]} pixels"
        return f"{min(heights)} to {max(heights)} pixels high and {min(widths)} to {max(widths)} wide"


def training_and_validation(root: Path) -> tuple[Path, Path | None]:
    """Returns the folders of the two parts, where a folder holds such by name, else the folder itself and None."""
    subfolders = {name.lower(): root / name for name in _subfolders(root)}
    training = next((subfolders[name] for name in _TRAINING_NAMES if name in subfolders), None)
    validation = next((subfolders[name] for name in _VALIDATION_NAMES if name in subfolders), None)
    if training is None:
        return root, None
    return training, validation


def image_files(root: Path) -> list[Path]:
    """Returns the images of a folder and all below it, sorted, without hidden files."""
    from data_pipelines.clutter import is_hidden
    from data_pipelines.filenames import visible_folders
    return sorted(Path(folder) / name for folder, _, names in visible_folders(str(root)) for name in names
                  if Path(name).suffix.lower() in EXTENSIONS and not is_hidden(name))


def existing_images(option: str, root: Path) -> list[Path]:
    """Returns the images of a folder.

    Raises:
        UsageError: it is no folder, or holds no image; the message says what it holds.
    """
    if not root.is_dir():
        raise UsageError(f"{option} {root}: it is a file. Name the folder that holds the images.")
    files = image_files(root)
    if not files:
        others = Counter(path.suffix.lower() or "no extension" for path in root.rglob("*") if path.is_file())
        found = "It holds " + ", ".join(f"{count} files of "
                                        f"{suffix}" for suffix, count in others.most_common(3)) if others else "It is empty"
        raise UsageError(f"{option} {root}: there is no image in the folder or below it ({', '.join(EXTENSIONS)}). {found}.")
    check_decodable(option, files)
    return files


def patterns_of(files: Sequence[Path]) -> list[str]:
    """Returns the patterns of file names that all fit."""
    return sorted({f"*{file.suffix}" for file in files})


def look_at_images(option: str, files: Sequence[Path]) -> ImageLook:
    """Reads some images, spread over all.

    Raises:
        UsageError: none can be read, a pixel is no finite number, or they are of several types.
    """
    from data_pipelines.images.reading import read_image
    sizes: Counter[tuple[int, int]] = Counter()
    unreadable: dict[str, str] = {}
    first_of_type: dict[str, Path] = {}
    bands, largest_met = set(), 0
    for file in spread(files, _MOST_LOOKED_AT):
        try:
            image = read_image(str(file))
        except (ValueError, OSError) as error:
            unreadable[str(file)] = str(error)
            continue
        num_odd = int((~np.isfinite(image)).sum())
        if num_odd:
            raise UsageError(f"{option}: {num_odd} values of pixels in {file} are infinite or no number (NaN), with which "
                             "nothing can be learnt. Replace them by numbers, or leave the file out.")
        sizes[image.shape[:2]] += 1
        bands.add(image.shape[-1])
        largest_met = max(largest_met, image.max())
        first_of_type.setdefault(str(image.dtype), file)
    if not sizes:
        unread, reason = next(iter(unreadable.items()))
        raise UsageError(f"{option}: none of the images can be read, e.g. {unread}: {reason.rstrip('.')}.")
    if len(first_of_type) > 1:
        raise UsageError(f"{option}: the images are of several types: "
                         + ", ".join(f"{dtype} ({path})" for dtype, path in first_of_type.items())
                         + ". Convert them to one, or leave one kind out.")
    largest = {"uint8": 255, "uint16": 65535, "int16": 32767}.get(next(iter(first_of_type)), float(largest_met) or 1.0)
    return ImageLook(sizes=sizes, bands=bands, largest_value=largest, unreadable=unreadable)


def fitting_size(sizes: Counter[tuple[int, int]], *, largest_side: int) -> tuple[int, int]:
    """Returns the height and width to bring images to: their own where all have one that is not too large, else the middle."""
    if len(sizes) == 1:
        height, width = next(iter(sizes))
        if max(height, width) <= largest_side:
            return height, width
    ordered = sorted(sizes.elements())
    height = ordered[len(ordered) // 2][0]
    width = sorted(size[1] for size in ordered)[len(ordered) // 2]
    scale = min(1.0, largest_side / max(height, width))
    height, width = (max(_ROUND_TO_PIXELS, round(side * scale / _ROUND_TO_PIXELS) * _ROUND_TO_PIXELS) for side in (height, width))
    return height, width


def spread(files: Sequence[Path], number: int) -> list[Path]:
    """Returns at most so many files, spread over all."""
    step = max(1, -(-len(files) // number))
    return list(files[::step])


def _subfolders(root: Path) -> list[str]:
    from data_pipelines.clutter import is_hidden
    return sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not is_hidden(entry.name))
