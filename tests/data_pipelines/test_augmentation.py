"""Flips and turns are the same for raw data and labels, light and colour follow the formulas, bad choices are told."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import transform

from data_pipelines.augmentation import Augmentation

GEOMETRIC_IMAGES = {"flip_left_right": True, "flip_up_down": True, "rotate_90": True}


def sample(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape).astype(dtype)


def results(augmentation: Augmentation, array: np.ndarray, *, num_draws: int = 100) -> list[np.ndarray]:
    return [augmentation.geometric(np.random.default_rng(seed), array)[0] for seed in range(num_draws)]


def kinds_of(arrays: list[np.ndarray]) -> set[bytes]:
    return {array.tobytes() for array in arrays}


@pytest.mark.parametrize(("options", "expected"), [
    ({}, lambda image: [image]),
    ({"flip_left_right": True}, lambda image: [image, cv2.flip(image, 1)]),
    ({"flip_up_down": True}, lambda image: [image, cv2.flip(image, 0)]),
    ({"flip_left_right": True, "flip_up_down": True}, lambda image: [image, *(cv2.flip(image, code) for code in (0, 1, -1))]),
    ({"rotate_90": True}, lambda image: [image, *(cv2.rotate(image, code) for code in (
        cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE))])])
def test_square_images_become_exactly_what_opencv_makes(options, expected):
    image = sample(7, 7, 3)
    assert kinds_of(results(Augmentation(**options), image)) == kinds_of(expected(image))


def test_each_quarter_turn_is_as_likely_as_the_others():
    image = sample(3, 3, 1)
    drawn = [turned.tobytes() for turned in results(Augmentation(rotate_90=True), image, num_draws=2000)]
    shares = [drawn.count(kind) / len(drawn) for kind in set(drawn)]
    np.testing.assert_allclose(shares, [0.25] * 4, atol=0.04)  # four standard deviations


def test_images_that_are_not_square_turn_by_180_degrees_only():
    image = sample(4, 5, 3)
    turned = results(Augmentation(rotate_90=True), image)
    assert {result.shape for result in turned} == {(4, 5, 3)}
    assert kinds_of(turned) == kinds_of([image, cv2.rotate(image, cv2.ROTATE_180)])
    half = transform.rotate(image, 180, preserve_range=True, order=0).astype(np.uint8)
    assert kinds_of(turned) == kinds_of([image, half])


@pytest.mark.parametrize("label_shape", [(6, 6, 1), (6, 6)])
def test_raw_and_label_stay_together(label_shape):
    raw = sample(6, 6, 12)
    label = raw[..., 0].astype(np.int64).reshape(label_shape)
    for seed in range(50):
        changed, changed_label = Augmentation(**GEOMETRIC_IMAGES).geometric(np.random.default_rng(seed), raw, label)
        assert changed_label.shape == label_shape and changed_label.dtype == np.int64 and changed.flags.c_contiguous
        np.testing.assert_array_equal(changed[..., 0], changed_label.reshape(6, 6))


def test_volumes_flip_along_the_depth_and_turn_in_the_slices():
    volume = sample(3, 4, 4, 2)
    assert kinds_of(results(Augmentation(flip_depth=True), volume)) == kinds_of([volume, volume[::-1]])
    turned = results(Augmentation(rotate_90=True), volume)
    expected = [np.stack([cv2.rotate(piece, code) for piece in volume]) for code in range(3)]
    assert kinds_of(turned) == kinds_of([volume, *expected])


def test_cubes_turn_into_all_24_orientations():
    cube = sample(3, 3, 3, 1)
    turned = results(Augmentation(rotate_90=True, rotate_90_depth=True), cube, num_draws=600)
    assert len(kinds_of(turned)) == 24
    flat = sample(2, 3, 3, 1)
    assert {result.shape for result in results(Augmentation(rotate_90_depth=True), flat)} == {(2, 3, 3, 1)}


def test_one_seed_gives_one_result():
    augmentation = Augmentation(**GEOMETRIC_IMAGES, brightness=0.2, contrast=0.2, saturation=0.2)
    image = sample(5, 5, 3)
    first, second = (augmentation.photometric(rng, augmentation.geometric(rng, image)[0])
                     for rng in (np.random.default_rng(3), np.random.default_rng(3)))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("raw", "options", "value_range"), [
    (sample(5, 4, 3), {}, 255), (sample(5, 4, 1, dtype=np.uint16), {}, 65535), (sample(5, 4, 12, dtype=np.int16), {}, 32767),
    (sample(5, 4, 3, dtype=np.float32) / 255 - 3, {}, None), (sample(5, 4, 3, dtype=np.uint16), {"value_range": 4095}, 4095)])
def test_brightness_adds_one_number_within_the_share_of_the_range(raw, options, value_range):
    if value_range is None:
        value_range = float(np.ptp(raw))
    added = []
    for seed in range(200):
        changed = Augmentation(brightness=0.2, **options).photometric(np.random.default_rng(seed), raw)
        assert changed.dtype == np.float32
        difference = changed - raw
        np.testing.assert_allclose(difference, difference.mean(), atol=value_range * 1e-6)
        added.append(difference.mean() / value_range)
    assert -0.2001 <= min(added) < -0.19 and 0.19 < max(added) <= 0.2001


def test_contrast_scales_about_the_mean_of_each_band():
    raw = sample(9, 7, 12, dtype=np.uint16)
    mean = np.asarray(cv2.mean(raw[..., :4])[:4])
    factors = []
    for seed in range(100):
        changed = Augmentation(contrast=0.3).photometric(np.random.default_rng(seed), raw)[..., :4]
        np.testing.assert_allclose(changed.mean(axis=(0, 1)), mean, rtol=1e-5)
        factor = changed.std() / raw[..., :4].std()
        np.testing.assert_allclose(changed, mean + (changed[0, 0, 0] - mean[0]) / (raw[0, 0, 0] - mean[0])
                                   * (raw[..., :4] - mean), atol=1e-2)
        factors.append(factor)
    assert max(factors) > 1.1 and min(factors) < 0.9


def test_saturation_scales_about_opencv_s_grey_value():
    raw = sample(6, 5, 3)
    grey = cv2.cvtColor(raw.astype(np.float32), cv2.COLOR_RGB2GRAY)[..., None]
    for seed in range(20):
        changed = Augmentation(saturation=1.0).photometric(np.random.default_rng(seed), raw)
        np.testing.assert_allclose(cv2.cvtColor(changed, cv2.COLOR_RGB2GRAY)[..., None], grey, atol=1e-3)
        factor = (changed - grey)[0, 0, 0] / (raw - grey)[0, 0, 0]
        assert -1e-3 <= factor <= 2
        np.testing.assert_allclose(changed, grey + factor * (raw - grey), atol=2e-2)


def test_missing_values_stay_missing_and_do_not_spread():
    raw = sample(6, 5, 2, dtype=np.float32)
    raw[2, 3, 1] = np.nan
    changed = Augmentation(brightness=0.1, contrast=0.5).photometric(np.random.default_rng(0), raw)
    np.testing.assert_array_equal(np.isnan(changed), np.isnan(raw))


def test_the_input_is_not_written_to():
    image = sample(5, 5, 3, dtype=np.float32)
    image.flags.writeable = False  # tensors that NumPy looks into are not to be written either
    Augmentation(brightness=0.1, contrast=0.1, saturation=0.1).photometric(np.random.default_rng(0), image)


def test_it_says_what_it_may_change():
    assert not Augmentation().is_geometric and not Augmentation().is_photometric
    assert Augmentation(rotate_90_depth=True).is_geometric and not Augmentation(rotate_90_depth=True).is_photometric
    assert Augmentation(contrast=0.1).is_photometric and not Augmentation(value_range=255).is_photometric


@pytest.mark.parametrize(("name", "value"), [
    ("brightness", 0), ("brightness", -0.1), ("brightness", float("inf")), ("brightness", "0.1"), ("brightness", True),
    ("contrast", 1.5), ("saturation", float("nan")), ("value_range", 0)])
def test_amounts_that_make_no_sense_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a number above 0.*Got {value!r}"):
        Augmentation(**{name: value})


@pytest.mark.parametrize("num_bands", [1, 4, 12])
def test_saturation_of_other_than_three_bands_is_an_error(num_bands):
    augmentation = Augmentation(saturation=0.1)
    with pytest.raises(ValueError, match=f"saturation needs 3 bands: red, green, blue. Got {num_bands}"):
        augmentation.photometric(np.random.default_rng(0), sample(4, 4, num_bands))
    with pytest.raises(ValueError, match="saturation needs 3 bands"):
        augmentation.check_sample(num_spatial_axes=2, num_bands=num_bands)


@pytest.mark.parametrize("name", ["flip_depth", "rotate_90_depth"])
def test_changes_of_the_depth_of_images_are_an_error(name):
    with pytest.raises(ValueError, match=f"{name} needs volumes"):
        Augmentation(**{name: True}).geometric(np.random.default_rng(0), sample(4, 4, 3))


def test_arrays_that_do_not_fit_are_an_error():
    with pytest.raises(ValueError, match=r"same spatial axes. Got \[4, 4\], \[4, 5\]"):
        Augmentation().geometric(np.random.default_rng(0), sample(4, 4, 3), sample(4, 5))
    with pytest.raises(ValueError, match=r"Got the shape \[4, 4\]"):
        Augmentation().geometric(np.random.default_rng(0), sample(4, 4))
