"""What systems and tools leave among data is no class and no sample in any pipeline, nor in the fingerprint; other misfits of
names, classes and labels are told."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from data_pipelines.patches.pairing import paired_references
from DataProvider_input_pipeline import (
    FileListProcessor_csv_lines,
    FileListProcessor_csv_time_series,
    FileListProcessor_image_classification,
    FileListProcessor_Semantic_Segmentation,
    FileListProcessor_volumes,
    class_names_of,
    extractFilenames,
    read_image,
    read_tfrecords,
    write_tfrecords,
)
from expman.records.data_fingerprint import fingerprint_folder
from expman.records.data_record import _changed_files
from expman.records.file_hash_cache import FileHashCache

ONE_PATCH = {"batch_size": 8, "shuffle_samples": False, "patch_ratio_vs_input": 4}


def picture(number: int) -> np.ndarray:
    return np.full([4, 4], number, np.uint8)


def write_picture(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def litter(folder: Path, extension: str) -> None:
    """Leaves in a folder and beside its data files what macOS, Windows, Jupyter and LibreOffice leave."""
    for below in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        files = [path for path in sorted(below.iterdir()) if path.is_file()]
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", f"._0{extension}", f".~lock.0{extension}#"):
            (below / name).write_bytes(b"\0\0\0\1Bud1\0")
        for place in (".ipynb_checkpoints", "__MACOSX"):
            (below / place).mkdir()
            for path in files:
                shutil.copy(path, below / place / f"{path.stem}-checkpoint{extension}")
            (below / place / f"._0{extension}").write_bytes(b"\0\5\26\7")


def values_of(dataset: tf.data.Dataset) -> list[int]:
    """The first value of each sample's features."""
    return [int(np.ravel(sample)[0]) for features, _ in dataset.as_numpy_iterator() for sample in features]


def test_images_in_class_folders(tmp_path):
    for number in range(6):
        write_picture(tmp_path / "ab"[number % 2] / f"{number}.png", picture(number))
    litter(tmp_path, ".png")
    options = {"batch_size": 4, "shuffle_batches": False, "resize_mode": "none"}
    assert values_of(FileListProcessor_image_classification(tmp_path, "*.png", **options)) == [0, 2, 4, 1, 3, 5]
    assert class_names_of(tmp_path, "*.png") == ["a", "b"]
    assert values_of(FileListProcessor_image_classification(tmp_path, "*", **options)) == [0, 2, 4, 1, 3, 5]
    everything = list(tmp_path.rglob("*.png"))
    assert len(everything) > 6 and class_names_of(everything) == ["a", "b"]


def test_patches_of_images_and_labels(tmp_path):
    for number in range(3):
        write_picture(tmp_path / "raw" / f"{number}.png", picture(number))
        write_picture(tmp_path / "labels" / f"{number}.png", picture(number + 10))
    litter(tmp_path, ".png")
    for files in (extractFilenames, lambda folder, pattern: sorted(folder.rglob("*.png"))):
        dataset = FileListProcessor_Semantic_Segmentation(files(tmp_path / "raw", "*"), files(tmp_path / "labels", "*"),
                                                          **ONE_PATCH)
        (raw, labels), = dataset
        assert raw[:, 0, 0, 0].numpy().tolist() == [0, 1, 2] and labels[:, 0, 0].numpy().tolist() == [10, 11, 12]


def test_rows_of_csv_files(tmp_path):
    for number in range(2):
        pd.DataFrame({"t": ["x", "x"], "value": [number, number + 0.5]}).to_csv(tmp_path / f"{number}.csv", index=False)
    litter(tmp_path, ".csv")
    for files in (extractFilenames(tmp_path, "*.csv"), sorted(tmp_path.rglob("*.csv"))):
        blocks = FileListProcessor_csv_time_series(files, nblines_per_block=2, batch_size=8)
        assert values_of(blocks) == [0, 1]
        lines = FileListProcessor_csv_lines(files, columns=["value"], label_columns=["value"], batch_size=8)
        assert [row for features, _ in lines for row in features[:, 0].numpy()] == [0, 0.5, 1, 1.5]


def test_volumes_and_their_slices(tmp_path):
    for number in range(2):
        for depth in range(4):
            write_picture(tmp_path / f"scan {number}" / f"slice{depth}.png", picture(10 * number + depth))
    litter(tmp_path, ".png")
    (raw, _), = FileListProcessor_volumes(list(tmp_path.iterdir()), **ONE_PATCH)
    expected = [[10 * number + depth for depth in range(4)] for number in range(2)]
    assert sorted(volume[:, 0, 0, 0].tolist() for volume in raw.numpy()) == expected


def test_tfrecords_and_the_fingerprint(tmp_path):
    numbers = tf.data.Dataset.range(6).map(lambda number: (tf.fill([2], number), number))
    assert write_tfrecords(numbers.batch(2), tmp_path / "records", num_shards=2) == 6
    cache = FileHashCache(tmp_path / "cache")
    before = fingerprint_folder(tmp_path / "records", cache=cache, cancelled=threading.Event())
    litter(tmp_path / "records", ".tfrecords")
    assert values_of(read_tfrecords(tmp_path / "records", shuffle_batches=False, batch_size=4)) == list(range(6))
    assert fingerprint_folder(tmp_path / "records", cache=cache, cancelled=threading.Event()) == before
    assert len(before) == 3


def test_clutter_in_the_record_of_an_older_experiment_is_no_change(tmp_path):
    (tmp_path / "a.csv").write_text("1")
    now = fingerprint_folder(tmp_path, cache=FileHashCache(tmp_path.parent / "cache"), cancelled=threading.Event())
    older = [*now, *(type(now[0])(name, 1, "f") for name in (".DS_Store", "__MACOSX/._a.csv"))]
    assert _changed_files(older, now) == ""
    assert _changed_files([*older, type(now[0])("b.csv", 1, "f")], now) == "1 file removed (b.csv)"


def test_other_spellings_of_the_extension_are_counted_with_the_remedy(tmp_path, caplog):
    for name in ("a/0.jpg", "a/1.JPG", "b/2.jpeg", "b/3.Jpg", "b/4.png"):
        write_picture((tmp_path / name).with_suffix(".png"), picture(1)).rename(tmp_path / name)
    with caplog.at_level(logging.WARNING):
        assert len(extractFilenames(tmp_path)) == 1
    assert "3 files, such as '1.JPG', do not fit '*.jpg' only by the spelling of their extension" in caplog.text
    remedy = ["*.jpg", "*.JPG", "*.Jpg", "*.jpeg"]
    assert str(remedy) in caplog.text
    assert [Path(path).name for path in extractFilenames(tmp_path, remedy)] == ["0.jpg", "1.JPG", "2.jpeg", "3.Jpg"]
    with pytest.raises(FileNotFoundError, match=r"fits '\*.JPEG'. 4 files, such as '0.jpg', do not fit"):
        extractFilenames(tmp_path, "*.JPEG")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert len(extractFilenames(tmp_path, "*.png")) == 1
    assert not caplog.text


def test_folders_that_would_be_classes_without_images_are_named(tmp_path, caplog):
    write_picture(tmp_path / "full" / "0.png", picture(0))
    write_picture(tmp_path / "photographs" / "0.gif", picture(0))
    (tmp_path / "empty").mkdir()
    with caplog.at_level(logging.WARNING):
        assert class_names_of(tmp_path, "*.png") == ["full"]
    assert "2 folders hold no file that fits '*.png', and are no classes: 'empty', 'photographs'." in caplog.text


@pytest.mark.parametrize(("raw", "references", "expected"), [
    (["0_photo.jpg", "1_photo.jpg", "10_photo.jpg"], ["0_labels.png", "1_labels.png", "10_labels.png"], [0, 1, 2]),
    (["0_photo.jpg", "1_photo.jpg"], ["1_labels.png", "0_labels.png"], [1, 0]),
    (["raw/10.png", "raw/9.png"], ["labels/9.png", "labels/10.png"], [1, 0]),
    (["a/raw.png", "b/raw.png"], ["b/mask.png", "a/mask.png"], [1, 0]),
    (["one.png"], ["other.png"], [0]),
    (["x.png", "y.png"], ["mask 2.png", "mask 1.png"], [0, 1])])
def test_files_belong_together_by_their_names_where_these_tell(raw, references, expected, caplog):
    with caplog.at_level(logging.WARNING):
        assert paired_references(raw, references) == [references[place] for place in expected]
    is_told = "paired by" in caplog.text
    assert is_told == (expected != list(range(len(raw))) or raw[0] == "x.png")
    caplog.clear()
    assert paired_references(raw, references, pair_by="order") == references and not caplog.text


def test_files_without_a_partner_are_named():
    with pytest.raises(ValueError, match=r"1 raw_files without reference: c\.png; 1 reference_files without raw file: d\.gif"):
        paired_references(["a.png", "b.png", "c.png"], ["a.gif", "b.gif", "d.gif"])
    with pytest.raises(ValueError, match=r"Got 2 and 3: 1 raw_files without reference: raw/b\.png"):
        paired_references(["raw/a.png", "raw/b.png", "raw/c.png"], ["a.gif", "c.gif"])


def test_pairs_in_another_order_give_each_image_its_own_labels(tmp_path):
    raw = [write_picture(tmp_path / "raw" / f"{number}.png", picture(number)) for number in (9, 10, 11)]
    labels = [write_picture(tmp_path / f"{number}_mask.png", picture(number + 100)) for number in (10, 11, 9)]
    (raw, labels), = FileListProcessor_Semantic_Segmentation(raw, labels, **ONE_PATCH)
    np.testing.assert_array_equal(labels, raw[..., 0] + 100)


def test_masks_of_0_and_255_and_labels_in_jpeg_are_told(tmp_path, caplog):
    mask = np.kron([[0, 1], [1, 0]], np.ones([4, 4])).astype(np.uint8)
    raw = [write_picture(tmp_path / "raw.png", mask)]
    painted = [write_picture(tmp_path / "mask.png", mask * 255)]
    classes = [write_picture(tmp_path / "classes.png", mask)]
    lossy = [write_picture(tmp_path / "lossy.jpg", mask * 200)]
    for labels, options, message in (
            (classes, {}, ""), (painted, {}, "The labels are 0, 255, as in"),
            (painted, {"crops_postprocess": lambda raw, labels: (raw, labels // 255)}, ""),
            (lossy, {}, "1 of 1 label files are JPEG")):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            dataset = FileListProcessor_Semantic_Segmentation(raw, labels, **ONE_PATCH, **options)
        assert message in caplog.text and bool(message) == bool(caplog.text)
        if "crops_postprocess" in options:
            (_, labels), = dataset
            assert np.unique(labels).tolist() == [0, 1]


@pytest.mark.parametrize(("name", "options"), [
    ("p.png", {}), ("p.png", {"bits": 1}), ("p.png", {"bits": 4}), ("p.png", {"transparency": 0}), ("p.gif", {}), ("p.bmp", {}),
    ("p.tif", {})])
@pytest.mark.parametrize("grey_palette", [False, True])
def test_label_maps_with_a_palette_are_read_as_numbers(tmp_path, name, options, grey_palette):
    numbers = np.arange(48, dtype=np.uint8).reshape(6, 8) % (2 if options.get("bits") == 1 else 5)
    image = Image.fromarray(numbers)
    image.putpalette([20, 20, 20, 9, 9, 9, 7, 7, 7, 60, 60, 60, 1, 1, 1] if grey_palette else
                     [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128])
    image.save(tmp_path / name, **options)
    assert Image.open(tmp_path / name).mode == "P"
    np.testing.assert_array_equal(read_image(str(tmp_path / name), palette="indices")[..., 0], numbers)
    raw = [write_picture(tmp_path / "raw.png", numbers)]
    (_, labels), = FileListProcessor_Semantic_Segmentation(raw, [tmp_path / name], **ONE_PATCH)
    expected = [numbers[:4, :4], numbers[:4, 4:], numbers[2:, :4], numbers[2:, 4:]]
    np.testing.assert_array_equal(labels, expected)


def test_what_has_no_palette_is_read_alike_and_a_palette_image_that_is_cut_off_is_refused(tmp_path):
    grey = write_picture(tmp_path / "grey.png", picture(3))
    colours = write_picture(tmp_path / "colours.tif", np.zeros([4, 4, 3], np.uint8))
    for path in (grey, colours):
        np.testing.assert_array_equal(read_image(str(path), palette="indices"), read_image(str(path)))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 9, [64, 64], np.uint8))
    image.putpalette(list(range(27)))
    image.save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:-800])
    with pytest.raises((OSError, ValueError)):
        read_image(str(tmp_path / "cut.png"), palette="indices")
    with pytest.raises(ValueError, match="palette must be one of 'colours', 'indices'. Got 'numbers'."):
        read_image(str(grey), palette="numbers")
