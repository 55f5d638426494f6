"""Brings images of different sizes and numbers of bands to one size and number."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from data_pipelines.checks import one_of, whole_number

RESIZE_MODES = ("stretch", "crop", "pad", "none")
_CONVERTED_BY_OPENCV = (np.uint8, np.uint16, np.float32)
_RESIZED_AT_ONCE = 4  # bands, by OpenCV's averaging over areas


@dataclass(frozen=True, kw_only=True)
class ImageFitting:
    """The size and the bands that images are brought to.

    Sides that shrink are averaged over areas, sides that grow are interpolated linearly.

    Arguments:
        image_size: (height, width) in pixels; None for the mode 'none'.
        resize_mode: 'stretch': each side on its own; 'crop': scaled until the image covers the size, then the middle is cut
            out; 'pad': scaled until it fits in the size, zeros around it; 'none': left as it is.
        num_channels: 1: colours become the grey value 0.299 red + 0.587 green + 0.114 blue; 3: grey is repeated, opacity is
            dropped; another number: what the file must have. None: left as they are.

    Raises:
        ValueError: a value is not possible, or size and mode contradict each other.
    """

    image_size: tuple[int, int] | None
    resize_mode: str = "stretch"
    num_channels: int | None = None

    def __post_init__(self) -> None:
        one_of("resize_mode", self.resize_mode, RESIZE_MODES)
        if (self.image_size is None) != (self.resize_mode == "none"):
            remedy = "Give (height, width)" if self.image_size is None else "Remove it, or choose another mode"
            raise ValueError(f"image_size does not fit resize_mode={self.resize_mode!r}. Got {self.image_size!r}. {remedy}.")
        if self.image_size is not None:
            if not isinstance(self.image_size, (tuple, list)) or len(self.image_size) != 2:
                raise ValueError(f"image_size must be (height, width). Got {self.image_size!r}.")
            for value in self.image_size:
                whole_number("image_size", value, 1)
        if self.num_channels is not None:
            whole_number("num_channels", self.num_channels, 1)

    def fitted(self, image: np.ndarray) -> np.ndarray:
        """Brings an image to the size and the bands.

        Arguments:
            image: `[height, width, bands]`, any type of numbers.

        Returns:
            `[height, width, bands]`; uint8, uint16 and float32 stay what they are, other types become float32.

        Raises:
            ValueError: its bands cannot be brought to `num_channels`.
        """
        if image.dtype not in _CONVERTED_BY_OPENCV:
            image = image.astype(np.float32)
        image = _with_channels(image, self.num_channels)
        if self.resize_mode == "none":
            return image
        height, width = self.image_size
        if self.resize_mode == "stretch":
            return _resized(image, height, width)
        return _covering(image, height, width) if self.resize_mode == "crop" else _letterboxed(image, height, width)


def _with_channels(image: np.ndarray, num_channels: int | None) -> np.ndarray:
    num_present = image.shape[-1]
    if num_channels in (None, num_present):
        return image
    if num_channels == 1 and num_present in (3, 4):
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY if num_present == 3 else cv2.COLOR_RGBA2GRAY)[..., None]
    if num_channels == 3 and num_present in (1, 4):
        return np.repeat(image, 3, axis=-1) if num_present == 1 else np.ascontiguousarray(image[..., :3])
    raise ValueError(f"it has {num_present} bands, which cannot be brought to num_channels={num_channels}")


def _covering(image: np.ndarray, height: int, width: int) -> np.ndarray:
    scale = max(height / image.shape[0], width / image.shape[1])
    image = _resized(image, max(height, round(image.shape[0] * scale)), max(width, round(image.shape[1] * scale)))
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[top:top + height, left:left + width])


def _letterboxed(image: np.ndarray, height: int, width: int) -> np.ndarray:
    scale = min(height / image.shape[0], width / image.shape[1])
    image = _resized(image, min(height, max(1, round(image.shape[0] * scale))),
                     min(width, max(1, round(image.shape[1] * scale))))
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    padded = np.zeros([height, width, image.shape[-1]], image.dtype)
    padded[top:top + image.shape[0], left:left + image.shape[1]] = image
    return padded


def _resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Shrinks first, then enlarges: OpenCV averages areas only where both sides shrink."""
    for size, interpolation in (((min(height, image.shape[0]), min(width, image.shape[1])), cv2.INTER_AREA),
                                ((height, width), cv2.INTER_LINEAR)):
        if size != image.shape[:2]:
            parts = [cv2.resize(image[..., first:first + _RESIZED_AT_ONCE], size[::-1], interpolation=interpolation)
                     for first in range(0, image.shape[-1], _RESIZED_AT_ONCE)]
            image = np.concatenate([part.reshape(*size, -1) for part in parts], axis=-1)
    return image
