"""Where patches lie in images and volumes: random ones, and grids that cover all; and back from a grid to the whole."""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Sequence

import numpy as np


def patch_shape(patch_ratio_vs_input: float | Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
    """The lengths of a patch along the axes.

    Arguments:
        patch_ratio_vs_input: a float of at most 1.0: that fraction of the smallest side, along all axes; a number of pixels:
            along all axes; or one number of pixels for each axis.
        size: `(height, width)` or `(depth, height, width)`.

    Raises:
        ValueError: it is none of these, or there are not as many as axes.
    """
    name = f"patch_ratio_vs_input={patch_ratio_vs_input!r}"
    is_float = _is_number(patch_ratio_vs_input) and not isinstance(patch_ratio_vs_input, numbers.Integral)
    if is_float and 0 < patch_ratio_vs_input <= 1:
        return (max(1, int(patch_ratio_vs_input * min(size))),) * len(size)
    is_list = isinstance(patch_ratio_vs_input, (tuple, list))
    lengths = list(patch_ratio_vs_input) if is_list else [patch_ratio_vs_input] * len(size)
    if len(lengths) != len(size):
        raise ValueError(f"{name} must have one length for each of the {len(size)} axes. Got {len(lengths)}.")
    if not all(_is_number(length) and length >= 1 and float(length).is_integer() for length in lengths):
        raise ValueError(f"{name} must be a fraction above 0 and at most 1.0, a whole number of pixels, or a tuple of whole "
                         "numbers of pixels.")
    return tuple(int(length) for length in lengths)


def check_fits(size: Sequence[int], patch: Sequence[int]) -> None:
    """Raises ValueError when the patch is larger than the image or volume along some axis."""
    if any(length > available for length, available in zip(patch, size, strict=True)):
        raise ValueError(f"its size {_times(size)} is smaller than the patch {_times(patch)}. "
                         "Lower patch_ratio_vs_input, or leave the file out.")


def num_random_patches(size: Sequence[int], patch: Sequence[int], *, max_patches_per_image: int,
                       image_area_coverage_factor: float) -> int:
    """Returns the number of random patches of an image or volume: as many as cover its area so many times, within 1 … the maximum."""
    return max(1, int(min(max_patches_per_image, image_area_coverage_factor * math.prod(size) / math.prod(patch))))


def random_position(rng: np.random.Generator, size: Sequence[int], patch: Sequence[int]) -> tuple[int, ...]:
    """The first corner of a patch that lies inside; all places are equally likely."""
    return tuple(int(rng.integers(available - length + 1)) for available, length in zip(size, patch, strict=True))


def window(position: Sequence[int], patch: Sequence[int]) -> tuple[slice, ...]:
    """The slices of a patch, one for each axis."""
    return tuple(slice(start, start + length) for start, length in zip(position, patch, strict=True))


def grid_positions(size: Sequence[int], patch: Sequence[int], *, field_of_view: int = 0) -> np.ndarray:
    """The first corners of patches that cover all of an image or volume.

    Neighbours are patch − 2·((field_of_view − 1) // 2) apart, so that each pixel lies in some patch as far from that patch's
    borders as half the field of view, but for those near the border of the whole. The last patches along each axis are aligned
    to the border.

    Arguments:
        size: `(height, width)` or `(depth, height, width)`.
        patch: the lengths of a patch along the same axes.
        field_of_view: of the network, in pixels; 0 or 1: the patches do not overlap (but for the aligned ones).

    Returns:
        int64 `[num_patches, num_axes]`, the last axis varying fastest.

    Raises:
        ValueError: the patch is larger than the whole, or not larger than the field of view allows.
    """
    check_fits(size, patch)
    starts = [_axis_starts(available, length, field_of_view) for available, length in zip(size, patch, strict=True)]
    return np.array(list(itertools.product(*starts)), np.int64)


def grid_patches(image: np.ndarray, patch: Sequence[int], *, field_of_view: int = 0) -> np.ndarray:
    """The patches of a grid that covers an array, e.g. to predict a large image by parts.

    Arguments:
        image: `[height, width, …]` or `[depth, height, width, …]`; the first `len(patch)` axes are cut.
        patch: the lengths of a patch.
        field_of_view: as for `grid_positions`.

    Returns:
        `[num_patches, *patch, …]` of the same dtype, in the order of `grid_positions`.

    Raises:
        ValueError: as for `grid_positions`.
    """
    positions = grid_positions(image.shape[:len(patch)], patch, field_of_view=field_of_view)
    return np.stack([image[window(position, patch)] for position in positions])


def assemble_patches(patches: np.ndarray, size: Sequence[int], *, field_of_view: int = 0) -> np.ndarray:
    """Puts the patches of a grid, or what was predicted from them, together to the whole.

    Where patches overlap, each gives the half of the overlap that is nearer to its centre.

    Arguments:
        patches: `[num_patches, *patch, …]` in the order of `grid_positions`.
        size: of the whole.
        field_of_view: as given to `grid_positions`.

    Returns:
        `[*size, …]` of the same dtype.

    Raises:
        ValueError: there are not as many patches as the grid has.
    """
    patch = patches.shape[1:1 + len(size)]
    check_fits(size, patch)
    parts = [_owned_parts(available, length, field_of_view) for available, length in zip(size, patch, strict=True)]
    num_patches = math.prod(len(axis_parts) for axis_parts in parts)
    if len(patches) != num_patches:
        raise ValueError(f"the grid of patches {_times(patch)} over {_times(size)} with field_of_view={field_of_view} has "
                         f"{num_patches} patches. Got {len(patches)}.")
    whole = np.empty([*size, *patches.shape[1 + len(size):]], patches.dtype)
    for one, axis_parts in zip(patches, itertools.product(*parts), strict=True):
        inside_whole = tuple(slice(first, end) for _, first, end in axis_parts)
        inside_patch = tuple(slice(first - start, end - start) for start, first, end in axis_parts)
        whole[inside_whole] = one[inside_patch]
    return whole


def check_field_of_view(field_of_view: int, patch: Sequence[int]) -> None:
    """Raises ValueError when patches whose borders are worth nothing could not cover anything."""
    if not isinstance(field_of_view, (int, np.integer)) or field_of_view < 0:
        raise ValueError(f"field_of_view must be a whole number of pixels, 0 for none. Got {field_of_view!r}.")
    if 2 * _margin(field_of_view) >= min(patch):
        raise ValueError(f"field_of_view must be smaller than the patch {_times(patch)}, as 2·((field_of_view − 1) // 2) of "
                         f"it are borders. Got {field_of_view}.")


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _margin(field_of_view: int) -> int:
    return (max(field_of_view, 1) - 1) // 2


def _axis_starts(available: int, length: int, field_of_view: int) -> list[int]:
    check_field_of_view(field_of_view, [length])
    stride = length - 2 * _margin(field_of_view)
    num_patches = math.ceil((available - length) / stride) + 1
    return [min(index * stride, available - length) for index in range(num_patches)]


def _owned_parts(available: int, length: int, field_of_view: int) -> list[tuple[int, int, int]]:
    """Along an axis, for each patch: its start, and first and end of what it gives; borders lie amid the overlaps."""
    starts = _axis_starts(available, length, field_of_view)
    borders = [0, *((start + length + following) // 2 for start, following in itertools.pairwise(starts)), available]
    return [(start, *ends) for start, ends in zip(starts, itertools.pairwise(borders), strict=True)]


def _times(lengths: Sequence[int]) -> str:
    return " × ".join(str(int(length)) for length in lengths)
