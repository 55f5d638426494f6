"""Each filter gives the same picture from all its engines, and that of the libraries that it is named after."""

from __future__ import annotations

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from skimage import transform

from data_pipelines.images.resizing import ENGINES
from DataProvider_input_pipeline import resize

SIZES = [((67, 45), (31, 20)), ((64, 64), (32, 32)), ((20, 31), (47, 64)), ((20, 60), (50, 31)), ((60, 20), (31, 50)),
         ((1, 5), (3, 2)), ((7, 7), (1, 1)), ((301, 777), (33, 224)), ((20, 31), (20, 31))]
DTYPES = ["uint8", "int8", "uint16", "int16", "float16", "float32"]
LIBRARIES = {
    "antialias": lambda plane, size: np.asarray(Image.fromarray(plane).resize(size[::-1], Image.Resampling.BILINEAR)),
    "bilinear": lambda plane, size: cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR),
    "area": lambda plane, size: tf.image.resize(plane[..., None], size, method="area").numpy()[..., 0]}


def image(*shape: int, dtype: str = "uint8") -> np.ndarray:
    values = np.random.default_rng(0).random(shape)
    if dtype.startswith("float"):
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.round(limits.min + values * (limits.max - limits.min)).astype(dtype)


def level_of(dtype: str) -> float:
    return {"float16": 1e-3, "float32": 1e-4}.get(dtype, 1)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max())


@pytest.mark.parametrize("filter_name", ENGINES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_engines_agree_within_a_level_and_with_the_library(filter_name, dtype):
    level = level_of(dtype)
    for before, after in SIZES:
        pixels = image(*before, 2, dtype=dtype)
        found = {engine: resize(pixels, after, filter_name, engine) for engine in (*ENGINES[filter_name], "auto")}
        for engine, picture in found.items():
            assert picture.dtype == dtype and picture.shape == (*after, 2)
            assert difference(picture, found["tensorflow"]) <= level, (engine, before, after)
        if dtype == "uint8":
            expected = LIBRARIES[filter_name](np.ascontiguousarray(pixels[..., 0]), after)
            assert difference(found["tensorflow"][..., 0], expected) <= level, (before, after)


@pytest.mark.parametrize("filter_name", ENGINES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("num_bands", [1, 3, 4])
def test_layouts_batches_tensors_and_graphs_give_the_same_picture(filter_name, dtype, num_bands):
    batch = image(2, 21, 34, num_bands, dtype=dtype)
    expected = np.stack([resize(each, (13, 45), filter_name) for each in batch])
    level = level_of(dtype)
    first = np.moveaxis(batch, -1, 1)
    in_graph = tf.function(lambda x: resize(x, (13, 45), filter_name),
                           input_signature=[tf.TensorSpec([None, None, None, num_bands], dtype)])
    np.testing.assert_array_equal(resize(batch, (13, 45), filter_name), expected)
    for engine in ENGINES[filter_name]:
        assert difference(np.moveaxis(resize(first, (13, 45), filter_name, engine, data_format="channels_first"), 1, -1),
                          expected) <= level
    for found in (resize(tf.constant(batch), (13, 45), filter_name), in_graph(batch),
                  resize(tf.constant(batch), (13, 45), filter_name, ENGINES[filter_name][0])):
        assert tf.is_tensor(found) and found.dtype == dtype and difference(found.numpy(), expected) <= level


@pytest.mark.parametrize("filter_name", ENGINES)
@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_16_bits_agree_within_a_level_in_large_images_of_odd_sides(filter_name, dtype):
    pixels, size = image(499, 701, 1, dtype=dtype), (1033, 1501)
    expected = transform.resize(pixels[..., 0].astype(np.float64), size, order=1, mode="edge", anti_aliasing=False)
    for engine in ENGINES[filter_name]:
        found = resize(pixels, size, filter_name, engine)
        assert difference(found, resize(pixels, size, filter_name)) <= 1
        if filter_name != "area":  # enlarging, the two others are the four nearest pixels
            assert difference(found[..., 0], expected) <= 1


@pytest.mark.parametrize("filter_name", ENGINES)
def test_a_grey_image_needs_no_axis_for_its_band(filter_name):
    pixels = image(21, 34)
    for engine in ENGINES[filter_name]:
        expected = resize(pixels[..., None], (13, 45), filter_name, engine)[..., 0]
        np.testing.assert_array_equal(resize(pixels, (13, 45), filter_name, engine), expected)
    in_graph = tf.function(lambda x: resize(x, (13, 45), filter_name), input_signature=[tf.TensorSpec([None, None], tf.uint8)])
    np.testing.assert_array_equal(in_graph(pixels), resize(pixels, (13, 45), filter_name, "tensorflow"))


def test_antialias_is_that_of_keras_and_area_the_mean_of_scikit_image():
    pixels = image(60, 84, 3)
    by_keras = keras.ops.image.resize(pixels[None].astype("float32"), (23, 31), antialias=True)[0]
    assert difference(resize(pixels, (23, 31)), np.asarray(by_keras)) <= 1
    expected = transform.downscale_local_mean(pixels, (4, 3, 1))
    assert difference(resize(pixels, (15, 28), "area"), expected) <= 0.5


def test_filters_differ_so_that_crossing_them_shows():
    pixels = image(60, 84, 3)
    assert difference(resize(pixels, (15, 28)), resize(pixels, (15, 28), "bilinear")) > 20


def test_what_cannot_be_is_refused_in_words():
    pixels = image(6, 5, 3)
    for arguments, words in (((pixels, (3, 3), "cubic"), "filter must be one of 'antialias'"),
                             ((pixels, (3, 3), "antialias", "opencv"), "engine for filter='antialias' must be one of"),
                             ((pixels, 3), r"size must be \(height, width\)"), ((pixels, (3, 0)), "at least 1"),
                             ((pixels.astype(np.int64), (3, 3)), "Got int64. Convert it"),
                             ((pixels[0, 0], (3, 3)), r"Its shape is \[3\]")):
        with pytest.raises(ValueError, match=words):
            resize(*arguments)
    with pytest.raises(ValueError, match="cannot resize a tensor of a graph"):
        tf.function(lambda x: resize(x, (3, 3), "area", "opencv"))(pixels)
