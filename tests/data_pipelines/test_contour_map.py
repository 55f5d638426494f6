"""Contours of label maps, against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from skimage.segmentation import find_boundaries

from data_pipelines.patches.contour_map import convert_semanticMap_contourMap


def label_map(shape, dtype=np.int32):
    """Blobs and single pixels of some classes."""
    rng = np.random.default_rng(sum(shape))
    coarse = rng.integers(0, 4, [*shape[:-2], -(-shape[-2] // 5), -(-shape[-1] // 5)])
    labels = np.repeat(np.repeat(coarse, 5, -2), 5, -1)[..., :shape[-2], :shape[-1]]
    return np.where(rng.random(shape) < 0.02, 9, labels).astype(dtype)


@pytest.mark.parametrize("shape", [(37, 53), (1, 20), (20, 1), (1, 1), (2, 2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_contours_are_scikit_images_thick_ones(shape, dtype):
    labels = label_map(shape, dtype)
    expected = find_boundaries(labels, connectivity=1, mode="thick")
    for contours in (convert_semanticMap_contourMap(labels), convert_semanticMap_contourMap(tf.constant(labels)).numpy()):
        assert contours.dtype == np.uint8
        np.testing.assert_array_equal(contours, expected)


@pytest.mark.parametrize("convert", [np.asarray, tf.constant])
def test_images_of_a_batch_do_not_touch_each_other(convert):
    labels = label_map((3, 21, 17))
    contours = np.asarray(convert_semanticMap_contourMap(convert(labels)))
    for one, expected in zip(contours, labels, strict=True):
        np.testing.assert_array_equal(one, find_boundaries(expected, connectivity=1, mode="thick"))


def test_it_runs_in_graphs_of_unknown_sizes():
    graph = tf.function(convert_semanticMap_contourMap, input_signature=[tf.TensorSpec([None, None, None], tf.int32)])
    labels = label_map((2, 11, 13))
    np.testing.assert_array_equal(graph(labels), convert_semanticMap_contourMap(labels))


def test_one_class_has_no_contour():
    assert not convert_semanticMap_contourMap(np.full([9, 9], 4)).any()


def test_another_rank_is_refused():
    with pytest.raises(ValueError, match="label_map must be.*\\[5\\]"):
        convert_semanticMap_contourMap(np.zeros(5, int))
