"""Resizes images by TensorFlow, also in a graph and at sizes that are unknown when it is made."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def resized_tensor(image: np.ndarray | tf.Tensor, size: tuple[int, int], filter: str,  # noqa: A002  (field's word)
                   data_format: str) -> tf.Tensor:
    """What `resize` promises, for checked arguments.

    16 bits are resized by float64 matrices: TensorFlow's own float32 coordinates are wrong by several levels there.
    """
    image = tf.convert_to_tensor(image)
    dtype = image.dtype
    if data_format == "channels_first":
        image = _moved(image, [1, 2, 0])
    if dtype == tf.uint16:
        rows, columns = (_weights(tf.shape(image)[axis], side, filter) for axis, side in zip((-3, -2), size))
        resized = tf.einsum("ih,...hwc,jw->...ijc", rows, tf.cast(image, tf.float64), columns)
    else:
        method = "area" if filter == "area" else "bilinear"
        resized = tf.image.resize(image, size, method=method, antialias=filter == "antialias")
    if dtype != tf.float32:
        resized = tf.cast(tf.round(resized), dtype)
    return _moved(resized, [2, 0, 1]) if data_format == "channels_first" else resized


def _moved(image: tf.Tensor, order: list[int]) -> tf.Tensor:
    """The last three axes in another order."""
    first = image.shape.rank - 3
    return tf.transpose(image, [*range(first), *(first + axis for axis in order)])


def _weights(num_before: tf.Tensor, num_after: int, filter: str) -> tf.Tensor:  # noqa: A002
    """`[num_after, num_before]`: how much each pixel before counts in each one after."""
    before = tf.range(tf.cast(num_before, tf.float64), dtype=tf.float64)[None]
    step = tf.cast(num_before, tf.float64) / num_after
    after = tf.range(num_after, dtype=tf.float64)[:, None]
    if filter == "area":
        weights = tf.nn.relu(tf.minimum((after + 1) * step, before + 1) - tf.maximum(after * step, before))
    else:
        width = tf.maximum(step, 1.0) if filter == "antialias" else tf.ones([], tf.float64)
        centre = (after + 0.5) * step - 0.5
        if filter == "bilinear":
            centre = tf.clip_by_value(centre, 0.0, tf.cast(num_before - 1, tf.float64))
        weights = tf.nn.relu(1 - tf.abs(before - centre) / width)
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)
