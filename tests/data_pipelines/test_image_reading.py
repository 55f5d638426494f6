"""Images come with all bands and values that were written, or not at all: none is changed or cut in silence."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image, ImageOps
from rasterio.transform import from_origin
from skimage import io as skimage_io

from data_pipelines.images.opening import ImageOpener
from data_pipelines.images.reading import check_reader
from data_pipelines.patches.labelled_files import LabelledFiles
from DataProvider_input_pipeline import (
    FileListProcessor_image_classification,
    FileListProcessor_Semantic_Segmentation,
    read_image,
)
from tests.support.project import ROOT

TRANSPOSITIONS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
                  5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
                  8: Image.Transpose.ROTATE_90}  # as in EXIF and TIFF
NAMES = ["plain", "mit Leerzeichen und Umläuten äöü", "图像 (1)"]


def image(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    values = np.random.default_rng(0).random(shape)
    return (values * (np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1)).astype(dtype)


def write_geotiff(path: Path, bands: np.ndarray, **options) -> str:
    """Writes `[height, width, bands]` with coordinates of the Earth."""
    height, width, num_bands = bands.shape
    with rasterio.open(path, "w", driver="GTiff", height=height, width=width, count=num_bands, dtype=bands.dtype,
                       crs="EPSG:4326", transform=from_origin(1.5, 43.5, 0.1, 0.1), **options) as file:
        file.write(np.moveaxis(bands, -1, 0))
    return str(path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reader", ["opencv", "rasterio"])
def test_colours_come_as_red_green_blue_whatever_the_name(tmp_path, name, reader):
    path = tmp_path / f"{name}.png"
    skimage_io.imsave(path, image(7, 5, 3), check_contrast=False)
    np.testing.assert_array_equal(read_image(str(path), reader=reader), image(7, 5, 3))


@pytest.mark.parametrize(("shape", "dtype", "extension"), [
    ((7, 5, 1), np.uint8, "png"), ((7, 5, 4), np.uint8, "png"), ((7, 5, 1), np.uint16, "png"), ((7, 5, 3), np.uint16, "png"),
    ((7, 5, 4), np.uint16, "png"), ((7, 5, 3), np.uint8, "bmp"), ((1, 1, 3), np.uint8, "png"),
    ((7, 5, 1), np.float32, "tif"), ((7, 5, 3), np.float32, "tif"), ((7, 5, 3), np.uint16, "tif"),
    ((7, 5, 4), np.uint8, "tif"), ((7, 5, 3), np.float64, "tif"), ((7, 5, 3), np.int16, "tif"), ((7, 5, 4), np.int32, "tif")])
def test_type_bands_and_values_are_those_that_opencv_wrote(tmp_path, shape, dtype, extension):
    expected = image(*shape, dtype=dtype)
    path = str(tmp_path / f"image.{extension}")
    swapped = expected[..., [2, 1, 0, 3][:shape[-1]]] if shape[-1] > 1 else expected
    assert cv2.imwrite(path, swapped)
    found = read_image(path)
    assert found.dtype == dtype and found.flags.c_contiguous
    np.testing.assert_array_equal(found, expected)


def test_a_photograph_is_the_one_that_scikit_image_reads(tmp_path):
    path = str(tmp_path / "photo.jpg")
    smooth = cv2.GaussianBlur(image(60, 81, 3), (0, 0), 5)
    cv2.imwrite(path, smooth)
    np.testing.assert_allclose(read_image(path).astype(int), skimage_io.imread(path).astype(int), atol=3)  # two JPEG decoders


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["png", "jpg", "webp"])
@pytest.mark.parametrize("reader", ["opencv", "rasterio"])
def test_an_orientation_noted_by_the_camera_is_applied_as_by_pillow(tmp_path, orientation, extension, reader):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{extension}"
    smooth = cv2.GaussianBlur(image(40, 23, 3), (0, 0), 4)
    Image.fromarray(smooth).save(path, exif=exif, **({"lossless": True} if extension == "webp" else {"quality": 95}))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    found = read_image(str(path), reader=reader)
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=3)  # two JPEG decoders


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("mode", "compression"), [("RGB", None), ("RGB", "tiff_lzw"), ("L", None), ("P", None), ("P", "tiff_lzw")])
def test_all_readers_turn_a_tiff_as_it_notes(tmp_path, orientation, mode, compression):
    path = str(tmp_path / "turned.tif")
    stored = image(40, 23, 3) if mode == "RGB" else image(40, 23) % 5
    picture = Image.fromarray(stored)
    if mode == "P":
        picture.putpalette([0, 0, 0, 9, 9, 9, 30, 30, 30, 90, 90, 90, 200, 200, 200])
    picture.save(path, tiffinfo={0x0112: orientation}, compression=compression)
    expected = np.asarray(picture.transpose(TRANSPOSITIONS[orientation]) if orientation > 1 else picture).reshape(
        *((40, 23) if orientation < 5 else (23, 40)), -1)
    for reader in ("opencv", "rasterio"):
        np.testing.assert_array_equal(read_image(path, reader=reader, palette="indices"), expected)
        opened = ImageOpener(reader, whole=False, palette="indices")(path)
        np.testing.assert_array_equal(opened[3:20, 2:9], expected[3:20, 2:9])


def test_colours_come_as_blue_green_red_when_asked_for_and_never_else(tmp_path):
    for num_bands in (1, 3, 4):
        path = str(tmp_path / f"{num_bands}.png")
        cv2.imwrite(path, image(7, 5, num_bands))  # takes blue, green, red
        by_opencv = cv2.imread(path, cv2.IMREAD_UNCHANGED).reshape(7, 5, num_bands)
        np.testing.assert_array_equal(read_image(path, channels="BGR"), by_opencv)
        np.testing.assert_array_equal(read_image(path)[..., :3], by_opencv[..., :3][..., ::-1])
    with pytest.raises(ValueError, match="channels must be one of 'RGB', 'BGR'"):
        read_image(path, channels="bgr")
    with pytest.raises(ValueError, match="gives the bands in the order of the file"):
        read_image(path, channels="BGR", reader="rasterio")


def test_a_damaged_note_of_the_orientation_leaves_the_image_as_it_is_stored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "damaged.jpg"
    Image.fromarray(image(7, 5, 3)).save(path, exif=exif)
    for old, new in ((b"Exif\0\0MM\0*", b"Exif\0\0MMxx"), (b"Exif\0\0II*\0", b"Exif\0\0IIxx")):
        path.write_bytes(path.read_bytes().replace(old, new))
    assert read_image(str(path)).shape == (7, 5, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pipelines_turn_images_and_label_maps_alike(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, labels = image(8, 12, 3), image(8, 12)
    for name, array in (("raw", pixels), ("labels", labels)):
        (tmp_path / name / "class").mkdir(parents=True)
        Image.fromarray(array).save(tmp_path / name / "class" / "x.png", exif=exif)
    raw, reference = (str(tmp_path / name / "class" / "x.png") for name in ("raw", "labels"))
    seen, seen_labels = (np.asarray(ImageOps.exif_transpose(Image.open(path))) for path in (raw, reference))
    found, _ = next(iter(FileListProcessor_image_classification(
        str(tmp_path / "raw"), "*.png", batch_size=1, shuffle_batches=False, resize_mode="none")))
    np.testing.assert_array_equal(found[0], seen)
    files = LabelledFiles([raw], [reference], open_raw=ImageOpener("opencv", True), open_reference=ImageOpener("opencv", True))
    cut, cut_labels = files.opened(0).cut((0, 0), seen_labels.shape)
    np.testing.assert_array_equal(cut, seen)
    np.testing.assert_array_equal(cut_labels, seen_labels)


@pytest.mark.parametrize(("size", "orientation", "label_size", "outcome"), [
    ((12, 12), 6, (12, 12), "told"), ((12, 16), 3, (12, 16), "told"), ((12, 16), 6, (16, 12), "right"),
    ((12, 16), 6, (12, 16), "refused"), ((12, 12), 1, (12, 12), "right")])
def test_a_turned_image_with_a_label_map_that_is_not_turned_is_noticed(tmp_path, caplog, size, orientation, label_size, outcome):
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw, reference = str(tmp_path / "a_raw.jpg"), str(tmp_path / "a_labels.png")
    Image.fromarray(image(*size, 3)).save(raw, exif=exif)
    Image.fromarray(image(*label_size) % 3).save(reference)

    def batches() -> list[tuple]:
        return list(FileListProcessor_Semantic_Segmentation([raw], [reference], batch_size=1, shuffle_samples=False,
                                                            patch_ratio_vs_input=8))
    if outcome == "refused":
        with pytest.raises(ValueError, match=r"turned as it notes \(orientation 6\), its reference as it notes \(1; 1 is not"):
            batches()
    else:
        assert batches()
    told = [message for message in caplog.messages if "is turned as it notes" in message]
    assert len(told) == (outcome == "told")
    assert not told or f"{raw} is turned as it notes (orientation {orientation}), its label map {reference} notes 1" in told[0]


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize(("num_bands", "dtype"), [(1, np.uint8), (2, np.uint16), (3, np.uint8), (4, np.float32),
                                                  (12, np.uint16), (12, np.float32)])
def test_rasterio_reads_georeferenced_files_of_any_number_of_bands(tmp_path, num_bands, dtype, interleave):
    expected = image(13, 11, num_bands, dtype=dtype)
    found = read_image(write_geotiff(tmp_path / "earth.tif", expected, interleave=interleave), reader="rasterio")
    assert found.dtype == dtype and found.flags.c_contiguous
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("options", [{}, {"interleave": "band"}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"},
                                     {"BIGTIFF": "YES", "ENDIANNESS": "BIG"}, {"photometric": "RGB"},
                                     {"photometric": "RGB", "interleave": "band"}, {"compress": "deflate"},
                                     {"tiled": True, "blockxsize": 16, "blockysize": 16}])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("num_bands", [1, 2, 3, 4, 5, 12])
def test_opencv_reads_a_tiff_as_it_is_or_refuses_it(tmp_path, num_bands, dtype, options):
    if num_bands < 3:
        options = {key: value for key, value in options.items() if key != "photometric"}
    expected = image(20, 17, num_bands, dtype=dtype)
    path = write_geotiff(tmp_path / "earth.tif", expected, **options)
    try:
        np.testing.assert_array_equal(read_image(path), expected)
        assert num_bands in (1, 3, 4)
    except ValueError as error:
        assert "reader='rasterio'" in str(error)
        assert num_bands > 1 or "tiled" in options  # OpenCV 5 knows no tiles as small as 16 pixels


def test_usual_colour_tiffs_are_not_refused(tmp_path):
    for number, options in enumerate(({}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}, {"compress": "lzw"})):
        path = write_geotiff(tmp_path / f"{number}.tif", image(20, 17, 3), photometric="RGB", interleave="pixel", **options)
        np.testing.assert_array_equal(read_image(path), image(20, 17, 3))


@pytest.mark.parametrize(("reader", "reason"), [("opencv", "the file is empty"), ("rasterio", "not recognized as being in")])
def test_an_empty_file_is_an_error(tmp_path, reader, reason):
    path = tmp_path / "empty.png"
    path.touch()
    with pytest.raises(ValueError, match=reason):
        read_image(str(path), reader=reader)


@pytest.mark.parametrize("extension", ["jpg", "png", "tif", "bmp"])
@pytest.mark.parametrize("reader", ["opencv", "rasterio"])
@pytest.mark.parametrize("share", [0.0005, 0.3, 0.9])
def test_a_file_that_is_cut_off_is_an_error(tmp_path, extension, reader, share):
    whole = cv2.imencode(f".{extension}", image(90, 80, 3))[1]
    path = tmp_path / f"cut.{extension}"
    path.write_bytes(whole[:int(len(whole) * share)].tobytes())
    with pytest.raises(ValueError, match="OpenCV cannot decode it|rasterio cannot read it|cut off"):
        read_image(str(path), reader=reader)


@pytest.mark.parametrize("reader", ["opencv", "rasterio"])
def test_a_file_that_is_no_image_is_an_error(tmp_path, reader):
    path = tmp_path / "text.jpg"
    for text in ("no image at all", "II*\0", "II*\0\xff\xff\xff\x7f", "M"):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(ValueError):
            read_image(str(path), reader=reader)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.png"):
        read_image(str(tmp_path / "nowhere.png"))
    with pytest.raises(ValueError, match="No such file"):
        read_image(str(tmp_path / "nowhere.png"), reader="rasterio")
    with pytest.raises(OSError):
        read_image(str(tmp_path))


def test_an_unknown_reader_is_an_error():
    for check in (check_reader, lambda reader: read_image("x.png", reader=reader)):
        with pytest.raises(ValueError, match="reader must be one of 'opencv', 'rasterio'. Got 'pillow'."):
            check("pillow")


def test_a_missing_rasterio_is_told_with_the_line_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    for call in (lambda: check_reader("rasterio"), lambda: read_image(str(tmp_path / "x.tif"), reader="rasterio")):
        with pytest.raises(ImportError, match="pip install -r requirements-rasterio.txt"):
            call()
    check_reader("opencv")
    cv2.imwrite(str(tmp_path / "x.png"), image(4, 4, 3))
    assert read_image(str(tmp_path / "x.png")).shape == (4, 4, 3)


def test_the_install_line_names_a_file_that_pins_rasterio():
    lines = (ROOT / "requirements-rasterio.txt").read_text().split()
    assert lines == [f"rasterio=={rasterio.__version__}"]
