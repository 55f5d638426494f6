"""Label maps as the segmentation losses need them: one plane a class, nothing where the label is void."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def one_hot_labels(labels: Any, logits: Any, *, void_label: int | None) -> tf.Tensor:
    """Turns label maps into planes of zeros and ones.

    Arguments:
        labels: integers `[batch, …]`: the class of each pixel, from 0, or `void_label`.
        logits: `[batch, …, classes]`, of which the shape is taken.
        void_label: the label of pixels that do not count; None: all count.

    Returns:
        float32 `[batch, …, classes]`, all zero at a void pixel: the sum over the classes tells which pixels count.

    Raises:
        ValueError: labels are no integers, or the shapes do not fit.
        tf.errors.InvalidArgumentError: while it runs: a label is neither a class nor `void_label`.
    """
    labels, logits = tf.convert_to_tensor(labels), tf.convert_to_tensor(logits)
    if not labels.dtype.is_integer:
        raise ValueError(f"labels must be integers, one class a pixel. Got {labels.dtype.name}. Use tf.cast or tf.argmax.")
    if not labels.shape.is_compatible_with(logits.shape[:-1]) or logits.shape[-1] is None:
        raise ValueError(f"labels must be [batch, …] and logits [batch, …, classes]. Got {labels.shape} and {logits.shape}. "
                         "Where the labels have a last axis of size 1, use tf.squeeze(labels, axis=-1).")
    num_classes = logits.shape[-1]
    labels = tf.cast(labels, tf.int32)
    is_void = labels == void_label if void_label is not None else tf.zeros_like(labels, tf.bool)
    is_known = tf.reduce_all(is_void | ((labels >= 0) & (labels < num_classes)))
    message = f"labels must be classes from 0 to {num_classes - 1} or void_label={void_label}; the least and largest are"
    with tf.control_dependencies([tf.debugging.Assert(is_known, [message, tf.reduce_min(labels), tf.reduce_max(labels)])]):
        return tf.one_hot(tf.where(is_void, -1, labels), num_classes)
