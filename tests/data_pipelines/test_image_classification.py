"""Images of a folder come with their classes, in the size, number and order that were asked for; bad files are named."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import experiments_manager
from data_pipelines.images.class_balancing import balanced_order
from DataProvider_input_pipeline import FileListProcessor_image_classification, class_names_of
from expman.errors import TrainingError
from tests.support.settings_files import write_experiment

COUNTS = {"chat noir": 2, "âne": 7, "鸟": 3}


def image(number: int, shape: tuple[int, ...] = (6, 5, 3), dtype: type = np.uint8) -> np.ndarray:
    """Random pixels whose first value is the number, by which tests know the image."""
    pixels = np.random.default_rng(number).integers(0, 255, shape).astype(dtype)
    pixels[0, 0] = number
    return pixels


def write_image(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    extension = path.suffix
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[pixels.shape[-1]]
    cv2.imencode(extension, pixels[..., order])[1].tofile(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images numbered 0 … 11 in the order of their paths."""
    number = 0
    for name, count in sorted(COUNTS.items()):
        for _ in range(count):
            write_image(tmp_path / "data" / name / f"photo {number:02d}.png", image(number))
            number += 1
    return tmp_path / "data"


def pipeline(folder, **options) -> tf.data.Dataset:
    options = {"batch_size": 4, "shuffle_batches": False, "resize_mode": "none", "seed": 3, **options}
    return FileListProcessor_image_classification(folder, "*.png", **options)


def numbers_of(dataset: tf.data.Dataset) -> list[int]:
    return [int(number) for images, _ in dataset for number in images[:, 0, 0, 0]]


def all_of(dataset: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    images, classes = zip(*dataset.as_numpy_iterator())
    return np.concatenate(images), np.concatenate(classes)


def test_images_come_as_written_with_the_number_of_their_folder(folder):
    dataset = pipeline(folder)
    assert dataset.element_spec == (tf.TensorSpec([None, 6, 5, 3], tf.float32), tf.TensorSpec([None], tf.int64))
    assert dataset.cardinality() == 3
    images, classes = all_of(dataset)
    np.testing.assert_array_equal(images, [image(number) for number in range(12)])
    np.testing.assert_array_equal(classes, [0] * 2 + [1] * 7 + [2] * 3)
    assert class_names_of(folder, "*.png") == ["chat noir", "âne", "鸟"]


def test_a_list_of_files_takes_the_classes_from_their_folders_and_keeps_its_order(folder):
    files = sorted(folder.rglob("*.png"))[5:]
    _, classes = all_of(pipeline(reversed(files)))
    np.testing.assert_array_equal(classes, [1] * 3 + [0] * 4)
    _, classes = all_of(pipeline(files, class_names=["鸟", "chat noir", "âne"]))
    np.testing.assert_array_equal(classes, [2] * 4 + [0] * 3)


def test_classes_come_from_a_csv_file_on_request(folder, tmp_path):
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    table = pd.DataFrame({"quality": 1, "class": ["NA", "x, y", "été"] * 4, "filename": files})
    table.sample(frac=1, random_state=0).to_csv(tmp_path / "classes.csv", index=False, encoding="utf-8-sig")
    dataset = pipeline(folder, class_csv=tmp_path / "classes.csv")
    assert numbers_of(dataset) == list(range(12))
    np.testing.assert_array_equal(all_of(dataset)[1], [0, 1, 2] * 4)
    assert class_names_of(folder, class_csv=tmp_path / "classes.csv") == ["NA", "x, y", "été"]


def test_one_file_is_enough(tmp_path):
    write_image(tmp_path / "only" / "one.png", image(7, (1, 1, 1)))
    images, classes = all_of(pipeline(tmp_path, batch_size=8, shuffle_batches=True))
    np.testing.assert_array_equal(images, image(7, (1, 1, 1))[None])
    np.testing.assert_array_equal(classes, [0])


@pytest.mark.parametrize(("drop_remainder", "sizes"), [(False, [5, 5, 2]), (True, [5, 5])])
def test_a_last_batch_that_is_not_full_can_be_left_out(folder, drop_remainder, sizes):
    dataset = pipeline(folder, batch_size=5, drop_remainder=drop_remainder)
    assert [len(images) for images, _ in dataset] == sizes and dataset.cardinality() == len(sizes)
    assert dataset.element_spec[0].shape[0] == (5 if drop_remainder else None)


@pytest.mark.parametrize(("shape", "dtype", "extension"), [
    ((6, 5, 1), np.uint8, "png"), ((6, 5, 4), np.uint8, "png"), ((6, 5, 3), np.uint16, "png"), ((7, 9, 1), np.uint16, "png"),
    ((6, 5, 3), np.float32, "tif"), ((6, 5, 1), np.float64, "tif")])
def test_bands_and_values_of_other_files_are_kept(tmp_path, shape, dtype, extension):
    pixels = image(200, shape, dtype) * dtype(1.5 if "f" in np.dtype(dtype).kind else 100 if dtype == np.uint16 else 1)
    write_image(tmp_path / "a" / f"x.{extension}", pixels)
    dataset = FileListProcessor_image_classification(tmp_path, f"*.{extension}", batch_size=1, shuffle_batches=False,
                                                     resize_mode="none")
    np.testing.assert_array_equal(all_of(dataset)[0][0], pixels.astype(np.float32))


def test_twelve_bands_are_read_by_rasterio_and_resized(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    bands = np.random.default_rng(0).integers(0, 60000, (12, 8, 6)).astype(np.uint16)
    (tmp_path / "field").mkdir()
    with rasterio.open(tmp_path / "field" / "x.tif", "w", driver="GTiff", height=8, width=6, count=12, dtype="uint16") as file:
        file.write(bands)
    dataset = FileListProcessor_image_classification(tmp_path, "tif", batch_size=1, shuffle_batches=False, reader="rasterio",
                                                     image_size=(4, 3), apply_random_brightness=None)
    expected = bands.reshape(12, 4, 2, 3, 2).mean(axis=(2, 4)).transpose(1, 2, 0)
    np.testing.assert_allclose(all_of(dataset)[0][0], expected, atol=0.501)  # rounded to 16 bits


def test_whitening_gives_mean_0_and_deviation_1_and_spares_plain_images(tmp_path):
    pixels = [image(0), np.full([6, 5, 3], 9, np.uint8)]
    for number, one in enumerate(pixels):
        write_image(tmp_path / "a" / f"{number}.png", one)
    images, _ = all_of(pipeline(tmp_path, apply_whitening=True))
    np.testing.assert_allclose(images[0], (pixels[0] - pixels[0].mean()) / pixels[0].std(), atol=1e-5)
    np.testing.assert_array_equal(images[1], np.zeros([6, 5, 3]))
    reference = tf.image.per_image_standardization(np.stack(pixels).astype(np.float32))
    np.testing.assert_allclose(images, reference, atol=1e-6)


def test_each_pass_has_an_order_of_its_own_and_each_run_the_same(folder):
    first = pipeline(folder, shuffle_batches=True)
    passes = [numbers_of(first) for _ in range(3)]
    assert all(sorted(numbers) == list(range(12)) for numbers in passes) and len({tuple(numbers) for numbers in passes}) == 3
    again = pipeline(folder, shuffle_batches=True)
    assert [numbers_of(again) for _ in range(3)] == passes
    assert numbers_of(pipeline(folder, shuffle_batches=True, seed=4)) != passes[0]


def test_without_a_seed_of_its_own_the_global_seed_counts(folder):
    def drawn():
        tf.random.set_seed(11)
        return all_of(pipeline(folder, shuffle_batches=True, apply_random_brightness=0.5, balance_classes_distribution=True,
                               seed=None))[0]

    np.testing.assert_array_equal(drawn(), drawn())


@pytest.mark.parametrize("options", [{"apply_random_brightness": 0.5, "apply_random_flip_up_down": True},
                                     {"balance_classes_distribution": True, "apply_random_contrast": 0.5},
                                     {"cache": True, "apply_random_saturation": 0.5}])
def test_passes_that_are_skipped_leave_later_ones_as_they_were(folder, options):
    options = {"shuffle_batches": True, **options}
    dataset = pipeline(folder, **options)
    passes = [all_of(dataset)[0] for _ in range(4)]
    assert len({one.tobytes() for one in passes}) == 4
    restarted = pipeline(folder, **options)
    for _ in range(3):
        iter(restarted)
    np.testing.assert_array_equal(all_of(restarted)[0], passes[3])


def test_images_stay_with_their_classes_through_shuffles_and_changes(folder):
    dataset = pipeline(folder, shuffle_batches=True, balance_classes_distribution=True, apply_random_flip_left_right=True)
    expected = {image(number).tobytes(): label for number, label in enumerate([0] * 2 + [1] * 7 + [2] * 3)}
    images, classes = all_of(dataset)
    labels = [expected.get(one.astype(np.uint8).tobytes(), expected.get(one[:, ::-1].astype(np.uint8).tobytes()))
              for one in images]
    assert labels == list(classes)


@pytest.mark.parametrize(("option", "changed"), [
    ("apply_random_flip_left_right", lambda pixels: [cv2.flip(pixels, 1)]),
    ("apply_random_flip_up_down", lambda pixels: [cv2.flip(pixels, 0)]),
    ("apply_random_rotate_90", lambda pixels: [cv2.rotate(pixels, code) for code in range(3)])])
def test_geometric_changes_are_those_of_opencv(tmp_path, option, changed):
    pixels = image(1, (5, 5, 3))
    write_image(tmp_path / "a" / "x.png", pixels)
    dataset = pipeline(tmp_path, **{option: True})
    found = {all_of(dataset)[0].astype(np.uint8).tobytes() for _ in range(40)}
    assert found == {one.tobytes() for one in [pixels, *changed(pixels)]}


def test_brightness_is_a_share_of_the_range_of_the_files(tmp_path):
    pixels = image(1, (5, 5, 1), np.uint16)
    write_image(tmp_path / "a" / "x.png", pixels)
    for options, value_range in (({}, 65535), ({"value_range": 4095}, 4095)):
        dataset = pipeline(tmp_path, apply_random_brightness=0.1, **options)
        added = [float((all_of(dataset)[0][0] - pixels).mean()) for _ in range(40)]
        assert 0.08 * value_range < max(map(abs, added)) <= 0.1001 * value_range


@pytest.mark.parametrize("in_folder", [False, True])
def test_a_cache_spares_the_decoding_and_keeps_random_changes_fresh(folder, tmp_path, monkeypatch, in_folder):
    decoded = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: decoded.append(1) or decode(*arguments))
    options = {"shuffle_batches": True, "apply_random_brightness": 0.5, "balance_classes_distribution": True}
    uncached = pipeline(folder, **options)
    expected = [all_of(uncached)[0] for _ in range(2)]
    decoded.clear()
    cache = tmp_path / "cache" if in_folder else True
    dataset = pipeline(folder, cache=cache, **options)
    np.testing.assert_array_equal([all_of(dataset)[0] for _ in range(2)], expected)
    assert 12 <= len(decoded) <= 24  # threads may decode one image at the same time
    assert not np.array_equal(*expected)
    if in_folder:
        decoded.clear()
        np.testing.assert_array_equal(all_of(pipeline(folder, cache=cache, **options))[0], expected[0])
        assert not decoded
        assert all_of(pipeline(folder, cache=cache, resize_mode="stretch", image_size=(3, 2)))[0].shape[1:] == (3, 2, 3)
        write_image(folder / "âne" / "photo 05.png", image(99))
        assert numbers_of(pipeline(folder, cache=cache))[5] == 99


def test_balancing_gives_each_class_as_many_places_as_the_largest_one(folder):
    dataset = pipeline(folder, shuffle_batches=True, balance_classes_distribution=True)
    assert dataset.cardinality() == 6  # 3 classes of 7 places, in batches of 4
    extras = set()
    for _ in range(5):
        counts = np.bincount(numbers_of(dataset), minlength=12)
        assert sorted(counts[:2]) == [3, 4] and all(counts[2:9] == 1) and sorted(counts[9:]) == [2, 2, 3]
        extras.add(counts.tobytes())
    assert len(extras) > 1


def test_balancing_without_shuffling_is_the_same_in_all_passes(folder):
    dataset = pipeline(folder, balance_classes_distribution=True)
    _images, classes = all_of(dataset)
    np.testing.assert_array_equal(classes, [0, 1, 2] * 7)
    assert numbers_of(dataset) == [0, 2, 9, 1, 3, 10, 0, 4, 11, 1, 5, 9, 0, 6, 10, 1, 7, 11, 0, 8, 9]


def test_which_samples_come_once_more_is_fair():
    classes = np.array([5] * 3 + [2] * 10)
    counts = sum(np.bincount(balanced_order(classes, rng=np.random.default_rng(seed)), minlength=13) for seed in range(3000))
    np.testing.assert_array_equal(counts[3:], 3000)
    np.testing.assert_allclose(counts[:3] / 3000, 10 / 3, atol=0.05)  # six standard deviations


def test_broken_files_are_named_by_the_error_of_the_pass(folder):
    broken = folder / "âne" / "photo 05.png"
    broken.write_bytes(broken.read_bytes()[:60])
    dataset = pipeline(folder, shuffle_batches=True)
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        list(dataset)
    assert f"{broken}: OpenCV cannot decode it" in error.value.message


@pytest.mark.parametrize(("pixels", "reason"), [
    (image(5, (6, 7, 3)), r"uint8 of the shape \[6, 7, 3\], but .*photo 00.png is uint8 of the shape \[6, 5, 3\]"),
    (image(5, (6, 5, 1)), r"uint8 of the shape \[6, 5, 1\]"), (image(5, dtype=np.uint16), r"uint16 of the shape \[6, 5, 3\]")])
@pytest.mark.parametrize("policy", ["raise", "skip"])
def test_files_that_differ_from_the_first_one_are_named_whatever_the_policy(folder, pixels, reason, policy):
    write_image(folder / "âne" / "photo 05.png", pixels)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"photo 05.png: it is {reason}"):
        list(pipeline(folder, on_unreadable_file=policy))


def test_broken_files_are_skipped_and_counted_on_request(folder, caplog):
    for number, content in ((0, b""), (5, b"no image")):
        path = next(folder.rglob(f"photo {number:02d}.png"))
        path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        dataset = pipeline(folder, on_unreadable_file="skip", cache=True)
        assert [numbers_of(dataset) for _ in range(2)] == [[1, 2, 3, 4, 6, 7, 8, 9, 10, 11]] * 2
    messages = [record.message for record in caplog.records if record.message.startswith("skipped")]
    assert len(messages) == 2 and "photo 00.png: the file is empty" in messages[0] and "(2 so far)" in messages[1]


def test_skipping_all_files_is_an_error(folder):
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="none of 12 images can be read. The first one: .*photo 00.png: the file is empty"):
        pipeline(folder, on_unreadable_file="skip")


def test_a_training_tells_the_file_that_it_cannot_read(folder, tmp_path):
    broken = folder / "鸟" / "photo 10.png"
    broken.write_bytes(broken.read_bytes()[:60])
    pipeline_of_settings = f"""
    from DataProvider_input_pipeline import FileListProcessor_image_classification
    dataset = FileListProcessor_image_classification({str(folder)!r}, "*.png", batch_size=4, image_size=(1, 1), num_channels=3,
                                                     shuffle_batches=False)
    return dataset.map(lambda images, classes: (images[:, 0, 0], tf.cast(classes[:, None], tf.float32)))
    """
    returned = "return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)"
    file = write_experiment(tmp_path, (returned, pipeline_of_settings))
    with pytest.raises(TrainingError) as error:
        experiments_manager.run(file)
    assert f"{broken}: OpenCV cannot decode it" in str(error.value)


@pytest.mark.parametrize(("options", "message"), [
    ({"batch_size": 0}, "batch_size must be a whole number of at least 1. Got 0"),
    ({"batch_size": "4"}, "batch_size must be a whole number"),
    ({"resize_mode": "fit"}, "resize_mode must be one of 'stretch', 'crop', 'pad', 'none'. Got 'fit'"),
    ({"resize_mode": "crop"}, r"image_size does not fit resize_mode='crop'. Got None. Give \(height, width\)"),
    ({"image_size": (4, 4)}, r"image_size does not fit resize_mode='none'. Got \(4, 4\). Remove it"),
    ({"resize_mode": "pad", "image_size": 4}, r"image_size must be \(height, width\). Got 4"),
    ({"resize_mode": "pad", "image_size": (4, 0)}, "image_size must be a whole number of at least 1. Got 0"),
    ({"num_channels": 0}, "num_channels must be a whole number of at least 1"),
    ({"num_channels": 1, "apply_random_saturation": 0.5}, "saturation needs 3 bands: red, green, blue. Got 1"),
    ({"apply_random_brightness": -1}, "brightness must be a number above 0"),
    ({"reader": "pillow"}, "reader must be one of"),
    ({"on_unreadable_file": "ignore"}, "on_unreadable_file must be one of 'raise', 'skip'"),
    ({"cache": 3}, "cache must be True"),
    ({"class_names": ["âne", "鸟"]}, r"class_names lacks 'chat noir': .*photo 00.png' is of the class 'chat noir'"),
    ({"class_names": ["âne", "鸟", "âne"]}, "class_names must be distinct"),
    ({"class_names": "âne"}, "class_names must be a list of str. Got 'âne'"),
    ({"class_names": ["âne", "鸟", "chat noir", "loup"], "balance_classes_distribution": True}, "There is none of 'loup'")])
def test_arguments_that_make_no_sense_are_named(folder, options, message):
    with pytest.raises(ValueError, match=message):
        pipeline(folder, **options)


def test_files_outside_of_the_folders_of_classes_are_an_error(folder):
    write_image(folder / "loose.png", image(0))
    with pytest.raises(ValueError, match="1 files, such as '.*loose.png', lie in no folder of a class"):
        pipeline(folder)


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file in"):
        pipeline(tmp_path)
    with pytest.raises(ValueError, match="files is empty"):
        pipeline([])


@pytest.mark.parametrize(("text", "message"), [
    ("", "No columns to parse"), ("file,class\nx.png,a\n", "must have the columns filename and class.*file, class"),
    ("filename,class\nchat noir/photo 00.png,\n", "entry 1 after the first line has no class"),
    ("filename,class\nchat noir/photo 00.png,a\nchat noir/photo 00.png,b\n", "names '.*photo 00.png' 2 times"),
    ("filename,class\n", "files is empty"), ("filename,class\na,b,c,d\ne,f\n", "lines with more values"),
    ("filename,class\nchat noir/photo 00.png,a\nchat noir/photo 01.png\n", "entry 2 after the first line has no class"),
    ("filename,class\nnowhere.png,a\n", "1 of 1 files do not exist: .*nowhere.png")])
def test_a_csv_file_that_is_not_as_described_is_an_error(folder, tmp_path, text, message):
    (tmp_path / "classes.csv").write_text(text, encoding="utf-8")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        pipeline(folder, class_csv=tmp_path / "classes.csv")


def test_a_csv_file_needs_the_folder_of_its_files(folder, tmp_path):
    with pytest.raises(ValueError, match="must be the folder that the filenames of class_csv start from"):
        pipeline(list(folder.rglob("*.png")), class_csv=tmp_path / "classes.csv")
    with pytest.raises(FileNotFoundError, match="classes.csv"):
        pipeline(folder, class_csv=tmp_path / "classes.csv")


def test_a_missing_rasterio_is_told_before_any_work(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rasterio", None)
    with pytest.raises(ImportError, match="pip install -r requirements-rasterio.txt"):
        pipeline(folder, reader="rasterio")
