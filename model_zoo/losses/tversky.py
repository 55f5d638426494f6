"""Tversky loss: overlap of prediction and truth for segmentation, with a weight for false alarms and one for misses.

Source: Salehi, Erdogmus, Gholipour, "Tversky loss function for image segmentation using 3D fully convolutional deep
networks", MLMI 2017, equation 2, extended from one class to the mean over several.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from model_zoo.losses.segmentation_labels import one_hot_labels


def tversky_loss(labels: Any, logits: Any, *, alpha: float = 0.3, beta: float = 0.7,
                 void_label: int | None = None) -> tf.Tensor:
    """1 − TP / (TP + alpha · FP + beta · FN) with soft counts over the whole batch, averaged over the classes present.

    Keras' loss of that name (3.15) knows no void label, and weighs misses by its alpha and false alarms by its beta.

    Arguments:
        labels: integers `[batch, …]`: the class of each pixel, from 0, or `void_label`.
        logits: `[batch, …, classes]`, before the softmax.
        alpha: weight of the false positives; the default is the paper's best.
        beta: weight of the false negatives; above `alpha` for small objects that must not be missed.
        void_label: the label of pixels that do not count; None: all count.

    Returns:
        float32 scalar in 0 … 1; 0 where nothing but void is labelled.

    Raises:
        ValueError: a weight is negative, labels are no integers, or the shapes do not fit.
        tf.errors.InvalidArgumentError: while it runs: a label is neither a class nor `void_label`.
    """
    for name, weight in (("alpha", alpha), ("beta", beta)):
        if weight < 0:
            raise ValueError(f"{name} must be at least 0. Got {weight!r}.")
    truth = one_hot_labels(labels, logits, void_label=void_label)
    counts = tf.reduce_sum(truth, axis=-1, keepdims=True)
    pixel_axes = list(range(truth.shape.rank - 1))
    probabilities = tf.nn.softmax(tf.cast(logits, tf.float32)) * counts
    hits = tf.reduce_sum(probabilities * truth, axis=pixel_axes)
    false_alarms = tf.reduce_sum(probabilities * (1.0 - truth), axis=pixel_axes)
    misses = tf.reduce_sum((1.0 - probabilities) * truth, axis=pixel_axes)
    index = tf.math.divide_no_nan(hits, hits + alpha * false_alarms + beta * misses)
    is_present = tf.cast(tf.reduce_any(truth > 0, axis=pixel_axes), tf.float32)
    return tf.reduce_sum((1.0 - index) * is_present) / tf.maximum(tf.reduce_sum(is_present), 1.0)
