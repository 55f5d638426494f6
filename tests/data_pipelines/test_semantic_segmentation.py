"""Patches of images and label maps. The pixels tell where they are in which image, so that each patch can be found again."""

from __future__ import annotations

import logging
import math
import time

import cv2
import numpy as np
import pytest
import rasterio
import tensorflow as tf

from data_pipelines.patches.contour_map import convert_semanticMap_contourMap
from data_pipelines.patches.positions import assemble_patches, grid_patches, grid_positions
from data_pipelines.patches.semantic_segmentation import FileListProcessor_Semantic_Segmentation as segmentation

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def located(index, height, width):
    """uint16 `[height, width, 3]`: row, column, number of the image."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, index)], -1).astype(np.uint16)


def class_at(raw):
    """The label that belongs to a pixel of `located`."""
    rows, columns, index = np.moveaxis(np.asarray(raw).astype(int), -1, 0)
    return (rows * 7 + columns * 13 + index * 50) % 251


def write_tif(path, image):
    height, width, count = image.shape
    with rasterio.open(path, "w", driver="GTiff", height=height, width=width, count=count, dtype=image.dtype, tiled=True,
                       blockxsize=16, blockysize=16, transform=rasterio.Affine(1, 0, 0, 0, -1, 0)) as file:
        file.write(np.moveaxis(image, -1, 0))


@pytest.fixture
def pairs(tmp_path):
    """Three images of odd sizes and their label maps, in folders whose names have spaces and accents."""
    folder = tmp_path / "données été"
    folder.mkdir()
    raw_files, reference_files = [], []
    for index, (height, width) in enumerate([(61, 83), (45, 45), (97, 46)]):
        image = located(index, height, width)
        raw_files.append(folder / f"imäge {index}.png")
        reference_files.append(folder / f"läbel {index}.png")
        for path, array in ((raw_files[-1], image[..., ::-1]), (reference_files[-1], class_at(image).astype(np.uint8))):
            path.write_bytes(cv2.imencode(".png", array)[1].tobytes())
    return raw_files, reference_files


def all_patches(dataset):
    batches = [(raw.numpy(), labels.numpy()) for raw, labels in dataset]
    return np.concatenate([raw for raw, _ in batches]), np.concatenate([labels for _, labels in batches])


def corners(raw):
    """(image, row, column) of each patch."""
    return [(int(patch[0, 0, 2]), int(patch[0, 0, 0]), int(patch[0, 0, 1])) for patch in raw]


def test_random_patches_are_parts_of_the_images_with_their_labels(pairs):
    dataset = segmentation(*pairs, batch_size=4, shuffle_samples=True, patch_ratio_vs_input=17, max_patches_per_image=9,
                           image_area_coverage_factor=1000., seed=3)
    assert dataset.element_spec == (tf.TensorSpec([None, 17, 17, 3], tf.float32), tf.TensorSpec([None, 17, 17], tf.int32))
    raw, labels = all_patches(dataset)
    assert len(raw) == 3 * 9
    for patch, (index, row, column) in zip(raw, corners(raw), strict=True):
        np.testing.assert_array_equal(patch, located(index, 200, 200)[row:row + 17, column:column + 17])
    np.testing.assert_array_equal(labels, class_at(raw))
    assert sorted({index for index, _, _ in corners(raw)}) == [0, 1, 2]


@pytest.mark.parametrize("field_of_view", [0, 1, 5, 8])
def test_the_grid_is_what_numpy_cuts_of_what_opencv_reads_in_order(pairs, field_of_view):
    dataset = segmentation(*pairs, batch_size=4, shuffle_samples=False, patch_ratio_vs_input=20, field_of_view=field_of_view)
    expected = [[], []]
    for files, patches in zip(pairs, expected, strict=True):
        for file in files:
            image = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_UNCHANGED)
            image = image[..., ::-1] if image.ndim == 3 else image
            patches.append(grid_patches(image, (20, 20), field_of_view=field_of_view))
    for _ in range(2):
        raw, labels = all_patches(dataset)
        np.testing.assert_array_equal(raw, np.concatenate(expected[0]))
        np.testing.assert_array_equal(labels, np.concatenate(expected[1]))
    first = len(grid_positions((61, 83), (20, 20), field_of_view=field_of_view))
    np.testing.assert_array_equal(assemble_patches(raw[:first], (61, 83), field_of_view=field_of_view), located(0, 61, 83))


def test_geometric_changes_keep_raw_and_labels_together(pairs):
    raw, labels = all_patches(segmentation(
        *pairs, batch_size=4, shuffle_samples=True, patch_ratio_vs_input=16, max_patches_per_image=40,
        image_area_coverage_factor=1000., apply_random_flip_left_right=True, apply_random_flip_up_down=True,
        apply_random_rotate_90=True, seed=1))
    np.testing.assert_array_equal(labels, class_at(raw))
    steps = {(int(patch[1, 0, 0] - patch[0, 0, 0]), int(patch[0, 1, 0] - patch[0, 0, 0]), int(patch[1, 0, 1] - patch[0, 0, 1]),
              int(patch[0, 1, 1] - patch[0, 0, 1])) for patch in raw}
    assert len(steps) == 8  # all turns and mirror images of a square


def test_photometric_changes_are_of_the_raw_data_only_and_evaluation_changes_nothing(pairs):
    options = {"batch_size": 4, "patch_ratio_vs_input": 16, "apply_random_brightness": 0.01,
               "apply_random_flip_left_right": True}
    raw, labels = all_patches(segmentation(pairs[0][:1], pairs[1][:1], shuffle_samples=True, seed=1, **options))
    shifts = raw[..., 2:]  # the number of this image is 0
    assert len(np.unique(shifts.round(1))) == len(raw) and 100 < np.abs(shifts).max() < 656
    np.testing.assert_array_equal(labels, class_at((raw - shifts).round()))
    raw, labels = all_patches(segmentation(pairs[0][:1], pairs[1][:1], shuffle_samples=False, **options))
    np.testing.assert_array_equal(raw, grid_patches(located(0, 61, 83), (16, 16)))
    np.testing.assert_array_equal(labels, class_at(raw))


def test_the_seed_decides_all_draws_and_each_pass_has_its_own(pairs):
    options = {"batch_size": 4, "shuffle_samples": True, "patch_ratio_vs_input": 16, "apply_random_flip_up_down": True}
    dataset = segmentation(*pairs, **options, seed=5)
    first, second = all_patches(dataset)[0], all_patches(dataset)[0]
    again = segmentation(*pairs, **options, seed=5)
    np.testing.assert_array_equal(all_patches(again)[0], first)
    np.testing.assert_array_equal(all_patches(again)[0], second)
    assert not np.array_equal(first, second)
    assert not np.array_equal(all_patches(segmentation(*pairs, **options, seed=6))[0], first)


@pytest.mark.parametrize("cache", [False, True])
def test_unused_iterators_count_as_passes_when_ops_are_deterministic(pairs, cache):
    options = {"batch_size": 4, "shuffle_samples": True, "patch_ratio_vs_input": 16, "cache": cache}
    tf.keras.utils.set_random_seed(11)
    tf.config.experimental.enable_op_determinism()
    passes = [all_patches(dataset)[0] for dataset in [segmentation(*pairs, **options)] * 4]
    tf.keras.utils.set_random_seed(11)
    dataset = segmentation(*pairs, **options)
    for _ in range(3):
        iter(dataset)
    np.testing.assert_array_equal(all_patches(dataset)[0], passes[3])
    assert not np.array_equal(passes[2], passes[3])


def test_patches_are_cut_in_parallel_when_ops_are_deterministic(pairs):
    now, most = [0], [0]

    def slow_filter(raw, labels):
        now[0] += 1
        most[0] = max(most[0], now[0])
        time.sleep(0.05)
        now[0] -= 1
        return True

    tf.keras.utils.set_random_seed(11)
    tf.config.experimental.enable_op_determinism()
    dataset = segmentation([*pairs[0]] * 4, [*pairs[1]] * 4, batch_size=4, shuffle_samples=True, patch_ratio_vs_input=32,
                           max_patches_per_image=2, additional_filters=[slow_filter])
    assert len(all_patches(dataset)[0]) == 24
    assert most[0] > 1


@pytest.mark.parametrize(("size", "num"), [((40, 40), 1), ((40, 41), 2), ((41, 41), 4)])
def test_an_image_as_small_as_the_patch_gives_one_patch(tmp_path, size, num):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros(size, np.uint8))
    raw, labels = all_patches(segmentation([tmp_path / "a.png"], batch_size=4, shuffle_samples=False, patch_ratio_vs_input=40))
    assert raw.shape == (num, 40, 40, 1)
    np.testing.assert_array_equal(raw, labels)


def test_an_image_smaller_than_the_patch_is_named_with_both_sizes(pairs):
    with pytest.raises(ValueError, match="imäge 0.png: its size 61 × 83 is smaller than the patch 62 × 62"):
        segmentation(*pairs, batch_size=4, shuffle_samples=False, patch_ratio_vs_input=62)
    with pytest.raises(tf.errors.InvalidArgumentError, match="imäge 1.png: its size 45 × 45 is smaller than the patch 50"):
        all_patches(segmentation(*pairs, batch_size=4, shuffle_samples=False, patch_ratio_vs_input=50))


@pytest.mark.parametrize("value", [0.5, (30, 20)])
def test_the_patch_may_be_a_fraction_or_a_rectangle(pairs, value):
    raw, _ = all_patches(segmentation(*pairs, batch_size=4, shuffle_samples=True, patch_ratio_vs_input=value,
                                      apply_random_rotate_90=True))
    assert raw.shape[1:3] == ((30, 30) if value == 0.5 else (30, 20))


def test_the_number_of_patches_follows_the_coverage_within_one_and_the_maximum(pairs):
    for coverage, most in ((1.0, 100), (0.001, 100), (3.0, 7)):
        raw, _ = all_patches(segmentation(*pairs, batch_size=4, shuffle_samples=True, patch_ratio_vs_input=10,
                                          image_area_coverage_factor=coverage, max_patches_per_image=most))
        assert len(raw) == sum(max(1, min(most, math.floor(coverage * area / 100))) for area in (61 * 83, 45 * 45, 97 * 46))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("bands", [1, 3, 12])
@pytest.mark.parametrize("shuffle", [False, True])
def test_types_and_bands_keep_their_values_and_labels_may_be_the_last_bands(tmp_path, dtype, bands, shuffle):
    image = np.random.default_rng(0).integers(0, 200, [33, 47, bands + 1]).astype(dtype)
    image[..., 0] = np.arange(33 * 47).reshape(33, 47) % 251
    write_tif(tmp_path / "a.tif", image)
    raw, labels = all_patches(segmentation(
        [tmp_path / "a.tif"], batch_size=4, shuffle_samples=shuffle, patch_ratio_vs_input=33, num_label_channels=1,
        reader="rasterio", image_area_coverage_factor=9.))
    assert (raw.dtype, raw.shape[1:], labels.dtype, labels.shape[1:]) == (np.float32, (33, 33, bands), np.int32, (33, 33))
    for patch, classes in zip(raw, labels, strict=True):
        column = int(np.flatnonzero((image[:1, :15, :bands] == patch[:1, :1]).all((0, 2)))[0])
        np.testing.assert_array_equal(patch, image[:, column:column + 33, :bands])
        np.testing.assert_array_equal(classes, image[:, column:column + 33, bands])


def test_several_last_bands_are_labels_with_channels(tmp_path):
    image = np.random.default_rng(0).integers(0, 9, [20, 20, 5]).astype(np.int16)
    write_tif(tmp_path / "a.tif", image)
    raw, labels = all_patches(segmentation([tmp_path / "a.tif"], batch_size=1, shuffle_samples=False, patch_ratio_vs_input=1.0,
                                           num_label_channels=2, reader="rasterio"))
    np.testing.assert_array_equal(raw[0], image[..., :3])
    np.testing.assert_array_equal(labels[0], image[..., 3:])


def test_georeferenced_files_are_read_in_windows_with_the_same_result(tmp_path, monkeypatch):
    image = located(0, 200, 300)
    write_tif(tmp_path / "a.tif", image)
    options = {"batch_size": 4, "shuffle_samples": False, "patch_ratio_vs_input": 64, "field_of_view": 9, "reader": "rasterio"}
    whole = all_patches(segmentation([tmp_path / "a.tif"], **options, cache=True))[0]
    monkeypatch.setattr("data_pipelines.images.opening.read_image", None)  # windows need no whole image
    monkeypatch.setattr("data_pipelines.patches.cutting._MOST_BYTES_AT_ONCE", 64 * 64 * 3 * 4 * 7)  # parts of seven patches
    raw = all_patches(segmentation([tmp_path / "a.tif"], **options))[0]
    np.testing.assert_array_equal(raw, grid_patches(image, (64, 64), field_of_view=9))
    np.testing.assert_array_equal(raw, whole)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:len(content) // 2])
    with pytest.raises(tf.errors.InvalidArgumentError, match="a.tif: rasterio cannot read it"):
        list(segmentation([tmp_path / "a.tif"], **options))


@pytest.mark.parametrize("is_folder", [False, True])
def test_cached_images_are_decoded_once_and_give_the_same_patches(pairs, tmp_path, monkeypatch, is_folder):
    options = {"batch_size": 4, "shuffle_samples": True, "patch_ratio_vs_input": 16, "seed": 5}
    expected = segmentation(*pairs, **options)
    expected = [all_patches(expected) for _ in range(2)]
    from data_pipelines.images.reading import read_image
    read = []

    def counting(path, **options):
        read.append(path)
        return read_image(path, **options)

    monkeypatch.setattr("data_pipelines.images.opening.read_image", counting)
    dataset = segmentation(*pairs, **options, cache=tmp_path / "cache" if is_folder else True)
    for raw, labels in expected:
        cached_raw, cached_labels = all_patches(dataset)
        np.testing.assert_array_equal(cached_raw, raw)
        np.testing.assert_array_equal(cached_labels, labels)
    assert sorted(read) == sorted(str(path) for path in (*pairs[0], *pairs[1]))


def test_whitening_makes_each_patch_mean_0_and_deviation_1(pairs, tmp_path):
    options = {"batch_size": 4, "shuffle_samples": False, "patch_ratio_vs_input": 20}
    raw, _ = all_patches(segmentation(*pairs, **options))
    white, labels = all_patches(segmentation(*pairs, **options, apply_whitening=True))
    axes = (1, 2, 3)
    expected = (raw.astype(np.float64) - raw.mean(axes, np.float64, keepdims=True)) / raw.std(axes, np.float64, keepdims=True)
    np.testing.assert_allclose(white, expected, atol=1e-5)
    np.testing.assert_array_equal(labels, class_at(raw))
    cv2.imwrite(str(tmp_path / "flat.png"), np.full([20, 20], 7, np.uint8))
    assert not all_patches(segmentation([tmp_path / "flat.png"], **options, apply_whitening=True))[0].any()


def test_the_users_function_makes_of_the_batch_what_is_yielded(pairs):
    dataset = segmentation(*pairs, batch_size=4, shuffle_samples=False, patch_ratio_vs_input=20,
                           crops_postprocess=lambda raw, labels: ({"image": raw / 2}, convert_semanticMap_contourMap(labels)))
    features, contours = next(iter(dataset))
    assert features["image"].shape == (4, 20, 20, 3) and contours.shape == (4, 20, 20) and contours.dtype == tf.uint8


def test_batches_may_drop_the_remainder(pairs):
    options = {"shuffle_samples": False, "patch_ratio_vs_input": 20}
    num_patches = len(all_patches(segmentation(*pairs, batch_size=7, **options))[0])
    dataset = segmentation(*pairs, batch_size=7, **options, drop_remainder=True)
    assert num_patches % 7 and len(all_patches(dataset)[0]) == num_patches // 7 * 7
    assert dataset.element_spec[0].shape == [7, 20, 20, 3]


def test_filtered_patches_are_drawn_again(tmp_path):
    labels = np.zeros([64, 64], np.uint8)
    labels[:, 16:32] = np.arange(16)
    cv2.imwrite(str(tmp_path / "raw.png"), labels)
    cv2.imwrite(str(tmp_path / "labels.png"), labels)
    raw, classes = all_patches(segmentation(
        [tmp_path / "raw.png"] * 10, [tmp_path / "labels.png"] * 10, batch_size=4, shuffle_samples=True,
        patch_ratio_vs_input=8, max_patches_per_image=20, classes_entropy_threshold=1.5, seed=0))
    assert len(raw) > 180  # of 200; a single draw would keep about a third
    assert all(len(np.unique(patch)) > 2 for patch in classes)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_pass_without_any_patch_is_an_error(pairs, shuffle):
    dataset = segmentation(*pairs, batch_size=4, shuffle_samples=shuffle, patch_ratio_vs_input=20,
                           additional_filters=[lambda raw, labels: False])
    with pytest.raises(tf.errors.InvalidArgumentError, match="all patches of all 3 files were dropped"):
        list(dataset)


def test_nan_is_avoided_or_replaced(tmp_path):
    image = np.ones([40, 40, 2], np.float32)
    image[3, 4, 0] = image[30, 31, 1] = np.nan
    write_tif(tmp_path / "a.tif", image)
    options = {"batch_size": 9, "shuffle_samples": False, "patch_ratio_vs_input": 20, "num_label_channels": 1,
               "reader": "rasterio"}
    assert len(all_patches(segmentation([tmp_path / "a.tif"], **options, manage_nan_values="avoid"))[0]) == 2
    raw, labels = all_patches(segmentation([tmp_path / "a.tif"], **options, manage_nan_values="zeros"))
    assert (raw.sum(), labels.sum()) == (1599, 1599)
    with pytest.raises(tf.errors.InvalidArgumentError, match="a.tif: its labels must be whole numbers"):
        list(segmentation([tmp_path / "a.tif"], **options))


def test_files_that_cannot_be_read_are_named_or_skipped_and_counted(pairs, caplog):
    raw_files, reference_files = pairs
    raw_files[0].write_bytes(b"")
    reference_files[2].write_bytes(b"no image")
    options = {"batch_size": 4, "patch_ratio_vs_input": 20}
    with pytest.raises(ValueError, match="imäge 0.png: the file is empty"):
        segmentation(*pairs, shuffle_samples=True, **options)
    with pytest.raises(tf.errors.InvalidArgumentError, match="imäge 2.png: its reference .*läbel 2.png: OpenCV cannot decode"):
        list(segmentation(raw_files[1:], reference_files[1:], shuffle_samples=True, **options))
    for shuffle in (False, True):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            raw, _ = all_patches(segmentation(*pairs, shuffle_samples=shuffle, **options, on_unreadable_file="skip"))
        assert {index for index, _, _ in corners(raw)} == {1}
        assert "skipped (2 so far)" in caplog.text
    with pytest.raises(ValueError, match="none of 1 files can be read.*imäge 0.png"):
        segmentation(raw_files[:1], shuffle_samples=True, **options, on_unreadable_file="skip")


def test_a_users_filter_that_raises_is_no_unreadable_file(pairs):
    dataset = segmentation(*pairs, batch_size=4, shuffle_samples=False, patch_ratio_vs_input=20, on_unreadable_file="skip",
                           additional_filters=[lambda raw, labels: raw[1000, 0] > 3])
    with pytest.raises(tf.errors.OpError, match=r"imäge 0.png: additional_filters\[0\] raised IndexError"):
        list(dataset)


def test_pairs_that_do_not_fit_are_named(pairs, tmp_path):
    raw_files, reference_files = pairs
    options = {"batch_size": 4, "shuffle_samples": False, "patch_ratio_vs_input": 20}
    with pytest.raises(ValueError, match="reference_files must be as many as raw_files. Got 2 and 3"):
        segmentation(raw_files, reference_files[:2], **options)
    with pytest.raises(ValueError, match=r"imäge 0.png: its shape \[61, 83, 3\] does not fit to its reference .*läbel 2.png"):
        segmentation(raw_files, reference_files[::-1], pair_by="order", **options)
    with pytest.raises(ValueError, match="its reference .* one band"):
        segmentation(raw_files, raw_files, **options)
    cv2.imwrite(str(tmp_path / "8 bits.png"), np.zeros([50, 50, 3], np.uint8))
    with pytest.raises(tf.errors.InvalidArgumentError, match="8 bits.png: it has 3 bands of uint8, where .*imäge 0.*uint16"):
        list(segmentation([*raw_files, tmp_path / "8 bits.png"], **options))


@pytest.mark.parametrize(("options", "message"), [
    ({"batch_size": 0}, "batch_size must be"), ({"max_patches_per_image": 0}, "max_patches_per_image must be"),
    ({"image_area_coverage_factor": -1}, "image_area_coverage_factor must"), ({"patch_ratio_vs_input": 1.5}, "patch_ratio_vs"),
    ({"field_of_view": 99}, "field_of_view must be"), ({"classes_entropy_threshold": 1}, "classes_entropy_threshold=1 needs"),
    ({"manage_nan_values": "skip"}, "manage_nan_values must be"), ({"apply_random_flip_depth": True}, "flip_depth needs"),
    ({"apply_random_brightness": -1}, "brightness must be"), ({"reader": "pillow"}, "reader must be"),
    ({"cache": 3}, "cache must be"), ({"shuffle_buffer": -1}, "shuffle_buffer must be"),
    ({"on_unreadable_file": "ignore"}, "on_unreadable_file must be"), ({"crops_postprocess": 3}, "crops_postprocess must be"),
    ({"num_label_channels": 3}, "num_label_channels=3"), ({"num_label_channels": 1, "reference_files": True}, "two sources")])
def test_a_wrong_argument_is_named(pairs, options, message):
    options = {"batch_size": 4, "shuffle_samples": True, "patch_ratio_vs_input": 20, **options}
    if options.pop("reference_files", False):
        options["reference_files"] = pairs[1]
    with pytest.raises(ValueError, match=message):
        segmentation(pairs[0], **options)
