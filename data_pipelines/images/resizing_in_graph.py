"""Resizes images by TensorFlow or Keras, also in a graph and at sizes that are unknown when it is made."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf


def resized_tensor(image: np.ndarray | tf.Tensor, size: tuple[int, int], filter: str, engine: str,
                   data_format: str) -> tf.Tensor:
    """Resizes in the graph as `resize` promises, for checked arguments.

    Whole numbers of 16 bits are resized by float64 matrices: the float32 coordinates of TensorFlow and Keras are wrong by several
    levels there.
    """
    image = tf.convert_to_tensor(image)
    dtype = image.dtype
    if data_format == "channels_first":
        image = _moved(image, [1, 2, 0])
    if dtype in (tf.uint16, tf.int16):
        rows, columns = (_weights(tf.shape(image)[axis], side, filter) for axis, side in zip((-3, -2), size))
        resized = tf.einsum("ih,...hwc,jw->...ijc", rows, tf.cast(image, tf.float64), columns)
    elif engine == "keras":
        resized = keras.ops.image.resize(tf.cast(image, tf.float32), size, antialias=True, data_format="channels_last")
    else:
        method = "area" if filter == "area" else "bilinear"
        resized = tf.image.resize(image, size, method=method, antialias=filter == "antialias")
    resized = tf.cast(tf.round(resized) if dtype.is_integer else resized, dtype)
    return _moved(resized, [2, 0, 1]) if data_format == "channels_first" else resized


def _moved(image: tf.Tensor, order: list[int]) -> tf.Tensor:
    """The last three axes in another order."""
    first = image.shape.rank - 3
    return tf.transpose(image, [*range(first), *(first + axis for axis in order)])


def _weights(num_before: tf.Tensor, num_after: int, filter: str) -> tf.Tensor:
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
