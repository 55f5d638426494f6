"""Lovász-softmax: a loss for segmentation whose minimum is that of 1 − mean intersection over union.

Source: Berman, Rannen Triki, Blaschko, "The Lovász-Softmax loss: A tractable surrogate for the optimization of the
intersection-over-union measure in neural networks", CVPR 2018, equations 8, 9 and 12, and section 3.1.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from model_zoo.losses.segmentation_labels import one_hot_labels


def lovasz_softmax_loss(labels: Any, logits: Any, *, void_label: int | None = None, per_image: bool = False) -> tf.Tensor:
    """Measures the errors by the convex extension of 1 − intersection over union, averaged over the classes present.

    It refines a network that cross-entropy has brought near; the two are often added.

    Arguments:
        labels: integers `[batch, …]`: the class of each pixel, from 0, or `void_label`.
        logits: `[batch, …, classes]`, before the softmax.
        void_label: the label of pixels that do not count; None: all count.
        per_image: whether to measure each image alone and average, instead of the batch as one image.

    Returns:
        float32 scalar in 0 … 1; 0 where nothing but void is labelled.

    Raises:
        ValueError: labels are no integers, or the shapes do not fit.
        tf.errors.InvalidArgumentError: while it runs: a label is neither a class nor `void_label`.
    """
    truth = one_hot_labels(labels, logits, void_label=void_label)
    num_classes = truth.shape[-1]
    num_groups = tf.shape(truth)[0] if per_image else 1
    by_class = [tf.transpose(tf.reshape(tensor, [num_groups, -1, num_classes]), [0, 2, 1])
                for tensor in (truth, tf.nn.softmax(tf.cast(logits, tf.float32)))]
    truth, probabilities = by_class  # [groups, classes, pixels]
    # A void pixel's error is zero: it comes last and weighs nothing, and the shapes stay as XLA needs them.
    errors = tf.abs(truth - probabilities) * tf.reduce_sum(truth, axis=1, keepdims=True)
    sorted_errors, order = tf.math.top_k(errors, k=tf.shape(errors)[-1])
    increments = _jaccard_increments(tf.gather(truth, order, batch_dims=2))
    is_present = tf.cast(tf.reduce_any(truth > 0, axis=-1), tf.float32)
    class_losses = tf.reduce_sum(sorted_errors * increments, axis=-1) * is_present
    num_present = tf.reduce_sum(is_present, axis=-1)
    return tf.reduce_mean(tf.reduce_sum(class_losses, axis=-1) / tf.maximum(num_present, 1.0))


def _jaccard_increments(truth: tf.Tensor) -> tf.Tensor:
    """By how much each pixel raises 1 − intersection over union when the pixels become wrong one after the other.

    Written out instead of taken as differences of neighbours, which differ by less than float32 resolves in large images.

    Arguments:
        truth: `[…, pixels]`, 1 where a pixel belongs to the class, the largest error first.
    """
    intersection = tf.reduce_sum(truth, axis=-1, keepdims=True) - tf.cumsum(truth, axis=-1)
    union = tf.reduce_sum(truth, axis=-1, keepdims=True) + tf.cumsum(1.0 - truth, axis=-1)
    for_others = intersection / tf.maximum(union * (union - 1.0), 1.0)
    return tf.where(truth > 0, 1.0 / tf.maximum(union, 1.0), for_others)
