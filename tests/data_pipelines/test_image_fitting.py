"""Images are brought to one size and number of bands as scikit-image, TensorFlow and OpenCV do it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import tensorflow as tf
from skimage import transform

from data_pipelines.images.fitting import ImageFitting


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)


def fit(pixels: np.ndarray, mode: str, size: tuple[int, int], num_channels: int | None = None) -> np.ndarray:
    return ImageFitting(image_size=size, resize_mode=mode, num_channels=num_channels).fitted(pixels)


@pytest.mark.parametrize("num_bands", [1, 3, 4, 12])
def test_shrinking_to_a_whole_fraction_averages_the_pixels(num_bands):
    pixels = np.random.default_rng(0).random((12, 21, num_bands)).astype(np.float32)
    expected = transform.downscale_local_mean(pixels, (4, 3, 1))
    np.testing.assert_allclose(fit(pixels, "stretch", (3, 7)), expected, atol=1e-6)


@pytest.mark.parametrize("num_bands", [1, 3, 12])
def test_enlarging_interpolates_linearly(num_bands):
    pixels = np.random.default_rng(0).random((5, 7, num_bands)).astype(np.float32)
    expected = tf.image.resize(pixels, (11, 16), method="bilinear").numpy()
    np.testing.assert_allclose(fit(pixels, "stretch", (11, 16)), expected, atol=1e-5)


def test_a_side_that_shrinks_is_averaged_even_where_the_other_one_grows():
    stripes = np.tile(np.array([0, 1], np.float32), 8)[None, :, None].repeat(4, axis=0)
    np.testing.assert_allclose(fit(stripes, "stretch", (9, 4)), np.full([9, 4, 1], 0.5), atol=1e-6)


@pytest.mark.parametrize(("shape", "size"), [((40, 60), (20, 20)), ((41, 59), (20, 21)), ((7, 5), (13, 29)), ((9, 9), (4, 9))])
def test_a_crop_is_the_middle_of_the_covering_image(shape, size):
    pixels = image(*shape, 3)
    scale = max(size[0] / shape[0], size[1] / shape[1])
    covering = [max(length, round(scale * side)) for length, side in zip(size, shape)]
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(pixels, covering[::-1], interpolation=interpolation)
    top, left = [(whole - part) // 2 for whole, part in zip(covering, size)]
    found = fit(pixels, "crop", size)
    assert found.shape == (*size, 3) and found.flags.c_contiguous
    np.testing.assert_array_equal(found, scaled[top:top + size[0], left:left + size[1]])


@pytest.mark.parametrize(("shape", "size", "inner"), [((40, 60), (20, 20), (13, 20)), ((60, 40), (21, 20), (21, 14)),
                                                      ((5, 7), (14, 14), (10, 14)), ((1000, 1), (10, 10), (10, 1))])
def test_a_letterbox_holds_the_whole_image_between_zeros(shape, size, inner):
    pixels = image(*shape, 3)
    interpolation = cv2.INTER_AREA if inner[0] < shape[0] else cv2.INTER_LINEAR
    scaled = cv2.resize(pixels, inner[::-1], interpolation=interpolation)
    before = [(whole - part) // 2 for whole, part in zip(size, inner)]
    after = [whole - part - first for whole, part, first in zip(size, inner, before)]
    expected = np.pad(scaled, [(before[0], after[0]), (before[1], after[1]), (0, 0)])
    np.testing.assert_array_equal(fit(pixels, "pad", size), expected)


def test_colours_become_grey_and_grey_becomes_colours():
    colours = image(6, 5, 4)
    np.testing.assert_array_equal(fit(colours, "none", None, 1)[..., 0], cv2.cvtColor(colours[..., :3], cv2.COLOR_RGB2GRAY))
    np.testing.assert_array_equal(fit(colours, "none", None, 3), colours[..., :3])
    np.testing.assert_array_equal(fit(colours[..., :1], "none", None, 3), colours[..., :1].repeat(3, axis=-1))
    assert fit(colours.astype(np.int32), "none", None, 1).dtype == np.float32
    with pytest.raises(ValueError, match="it has 3 bands, which cannot be brought to num_channels=4"):
        fit(colours[..., :3], "none", None, 4)
