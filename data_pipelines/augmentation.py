"""Random changes of training samples: flips and turns of raw data and labels alike, light and colour of raw data only."""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import numpy as np

GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the grey value: luma of Recommendation ITU-R BT.601."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Changes that may be made at random to images `[height, width, bands]` and volumes `[depth, height, width, bands]`.

    A flip is done in half of the cases; of the turns that fit, each is as likely as the others. Every draw comes from the
    generator that is passed, so one seed gives one result.

    Arguments:
        flip_left_right: along the width.
        flip_up_down: along the height.
        flip_depth: along the depth; volumes only.
        rotate_90: by 0°, 90°, 180° or 270° in the plane of height and width; by 0° or 180° where these two differ, so that
            the shape stays.
        rotate_90_depth: also in the planes of depth and height, and of depth and width; volumes only.
        brightness: adds b · range to all bands, b uniform in ±brightness.
        contrast: mean + c · (x − mean) with the mean of each band, c uniform in 1 ± contrast.
        saturation: grey + s · (x − grey) with the grey value of `GREY_WEIGHTS`, s uniform in 1 ± saturation; only for the
            three bands red, green, blue.
        value_range: the range of the raw data. None: 255 for uint8, 65535 for uint16, the largest value of other integer
            types; for floating-point types the largest minus the smallest value of the sample.

    Raises:
        ValueError: brightness or value_range is not above 0, or contrast or saturation not above 0 and at most 1.
    """

    flip_left_right: bool = False
    flip_up_down: bool = False
    flip_depth: bool = False
    rotate_90: bool = False
    rotate_90_depth: bool = False
    brightness: float | None = None
    contrast: float | None = None
    saturation: float | None = None
    value_range: float | None = None

    def __post_init__(self) -> None:
        for name, most in (("brightness", np.inf), ("contrast", 1), ("saturation", 1), ("value_range", np.inf)):
            value = getattr(self, name)
            is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if value is not None and not (is_number and 0 < value <= most and np.isfinite(value)):
                limits = "above 0" if most == np.inf else f"above 0 and at most {most}"
                raise ValueError(f"{name} must be a number {limits}, or None. Got {value!r}.")

    @property
    def is_geometric(self) -> bool:
        """Tells whether `geometric` may change something."""
        return self.flip_left_right or self.flip_up_down or self.flip_depth or self.rotate_90 or self.rotate_90_depth

    @property
    def is_photometric(self) -> bool:
        """Tells whether `photometric` may change something."""
        return any(amount is not None for amount in (self.brightness, self.contrast, self.saturation))

    def check_sample(self, *, num_spatial_axes: int, num_bands: int | None) -> None:
        """Tells before any work whether samples of a kind can be changed in the chosen ways.

        Arguments:
            num_spatial_axes: 2 for images, 3 for volumes.
            num_bands: None: not known yet.

        Raises:
            ValueError: a change of the depth for images, or a saturation for other than 3 bands.
        """
        for name in ("flip_depth", "rotate_90_depth"):
            if getattr(self, name):
                _check_has_depth(name, num_spatial_axes)
        if self.saturation is not None and num_bands not in (None, 3):
            raise ValueError(f"saturation needs 3 bands: red, green, blue. Got {num_bands}. Leave saturation out.")

    def geometric(self, rng: np.random.Generator, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Flips and turns all arrays in the same way.

        Arguments:
            rng: draws what is done.
            arrays: the first one `[height, width, bands]` or `[depth, height, width, bands]`, the others with the same
                spatial axes, with or without bands (a label map `[height, width]`).

        Returns:
            As many contiguous arrays, of unchanged shapes and dtypes.

        Raises:
            ValueError: the spatial axes differ, or a change of the depth is asked of images.
        """
        num_spatial_axes = arrays[0].ndim - 1
        _check_same_space(arrays, num_spatial_axes)
        self.check_sample(num_spatial_axes=num_spatial_axes, num_bands=None)
        depth, height, width = range(num_spatial_axes - 3, num_spatial_axes)
        flips = ((self.flip_left_right, width), (self.flip_up_down, height), (self.flip_depth, depth))
        flipped_axes = tuple(axis for is_wanted, axis in flips if is_wanted and rng.integers(2))
        changed = [np.flip(array, flipped_axes) for array in arrays]
        for is_wanted, plane in ((self.rotate_90, (height, width)), (self.rotate_90_depth, (depth, height)),
                                 (self.rotate_90_depth, (depth, width))):
            if is_wanted:
                is_square = arrays[0].shape[plane[0]] == arrays[0].shape[plane[1]]
                num_quarters = int(rng.integers(4)) if is_square else 2 * int(rng.integers(2))
                changed = [np.rot90(array, num_quarters, plane) for array in changed]
        return tuple(np.ascontiguousarray(array) for array in changed)

    def photometric(self, rng: np.random.Generator, raw: np.ndarray) -> np.ndarray:
        """Changes brightness, then contrast, then saturation.

        Arguments:
            rng: draws how much.
            raw: `[..., bands]` in the data's own type, which tells the range when `value_range` is None. NaN stays NaN.

        Returns:
            float32 of the same shape; values may leave the range.

        Raises:
            ValueError: a saturation is asked of other than 3 bands.
        """
        self.check_sample(num_spatial_axes=raw.ndim - 1, num_bands=raw.shape[-1])
        changed = raw.astype(np.float32)
        if self.brightness is not None:
            changed += np.float32(rng.uniform(-self.brightness, self.brightness) * self._range_of(raw))
        if self.contrast is not None:
            mean = _mean_of_bands(changed)
            changed = mean + np.float32(rng.uniform(1 - self.contrast, 1 + self.contrast)) * (changed - mean)
        if self.saturation is not None:
            grey = changed @ np.array(GREY_WEIGHTS, np.float32)[:, None]
            changed = grey + np.float32(rng.uniform(1 - self.saturation, 1 + self.saturation)) * (changed - grey)
        return changed

    def _range_of(self, raw: np.ndarray) -> float:
        if self.value_range is not None:
            return self.value_range
        if np.issubdtype(raw.dtype, np.integer):
            return float(np.iinfo(raw.dtype).max)
        present = raw[np.isfinite(raw)]
        return float(present.max()) - float(present.min()) if present.size else 0.0


def _check_has_depth(name: str, num_spatial_axes: int) -> None:
    if num_spatial_axes < 3:
        raise ValueError(f"{name} needs volumes [depth, height, width, bands]. Got images. Leave {name} out.")


def _check_same_space(arrays: tuple[np.ndarray, ...], num_spatial_axes: int) -> None:
    if num_spatial_axes not in (2, 3):
        raise ValueError("the first array must be [height, width, bands] or [depth, height, width, bands]. "
                         f"Got the shape {list(arrays[0].shape)}.")
    spaces = [array.shape[:num_spatial_axes] for array in arrays]
    if any(space != spaces[0] for space in spaces):
        raise ValueError(f"all arrays must have the same spatial axes. Got {', '.join(str(list(space)) for space in spaces)}.")


def _mean_of_bands(raw: np.ndarray) -> np.ndarray:
    """The mean of each band over the values that are finite, in double precision, as float32."""
    is_finite = np.isfinite(raw)
    axes = tuple(range(raw.ndim - 1))
    if is_finite.all():
        return raw.mean(axis=axes, dtype=np.float64).astype(np.float32)
    sums = raw.sum(axis=axes, dtype=np.float64, where=is_finite)
    return (sums / np.maximum(is_finite.sum(axis=axes), 1)).astype(np.float32)
