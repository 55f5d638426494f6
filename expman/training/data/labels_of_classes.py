"""Labels that are classes, one a sample, a pixel or a step: which class each is, and what it weighs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

_REMEDY = "Cast classes to integers in the pipeline, e.g. tf.cast(labels, tf.int32), or remove class_weights."


def labels_error(labels: Any) -> str | None:
    """Why the labels of a batch are no classes, with the remedy; None where they are."""
    if not isinstance(labels, tf.Tensor):
        return f"one dense tensor. Got {type(labels).__name__}. Remove class_weights, and yield sample weights."
    shown = f"{labels.dtype.name} of shape {labels.shape}"
    if labels.shape.rank == 0:
        return f"a batch of them. Got a scalar, {shown}."
    values = labels.numpy()
    if _is_one_hot(labels):
        return None if _has_one_hot_rows(values) else (f"rows with one 1 and zeros, or integers. Got {shown}, whose rows "
                                                       f"are something else. {_REMEDY}")
    if not (labels.dtype.is_integer or labels.dtype.is_bool):
        return f"integers [batch] or [batch, 1], or one-hot rows. Got {shown}. {_REMEDY}"
    if labels.shape.rank > 1 and labels.shape[-1] > 1 and _has_one_hot_rows(values):
        return (f"integers of one-hot rows cannot be told from classes 0 and 1. Got {shown}. Cast them to float32, or yield the "
                "classes themselves.")
    return None


def classes_of_labels(labels: tf.Tensor) -> tf.Tensor:
    """The class of each label, int64: of integers [batch, …] themselves, without a last dimension of 1; of one-hot rows the place
    of the 1.
    """
    if not _is_one_hot(labels):
        classes = tf.cast(labels, tf.int64)
        return tf.squeeze(classes, -1) if labels.shape.rank > 1 and labels.shape[-1] == 1 else classes
    is_valid = tf.reduce_all((tf.reduce_max(labels, -1) == 1) & (tf.reduce_sum(tf.abs(labels), -1) == 1))
    with tf.control_dependencies([tf.debugging.Assert(is_valid, ["class_weights: a row of the labels is not one-hot."])]):
        return tf.argmax(labels, -1)


def weighted(dataset: tf.data.Dataset, class_weights: Mapping[int, float]) -> tf.data.Dataset:
    """The dataset with the weight of each label's class as sample weights, times those that it brings.

    Arguments:
        dataset: of (features, labels) or (features, labels, sample weights).
        class_weights: class → weight; a label of another class is an error when it is read.
    """
    known, weights = zip(*sorted(class_weights.items()))
    known, weights = np.array(known, np.int64), np.array(weights, np.float32)

    def with_weights(features: Any, labels: tf.Tensor, *given: tf.Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
        classes = classes_of_labels(labels)
        found = tf.minimum(tf.searchsorted(known, tf.reshape(classes, [-1])), len(known) - 1)
        is_known = tf.reshape(tf.gather(known, found), tf.shape(classes)) == classes
        told = ["class_weights has no weight for these labels:", tf.boolean_mask(classes, ~is_known)]
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(is_known), told)]):
            own = tf.reshape(tf.gather(weights, found), tf.shape(classes))
        own.set_shape(classes.shape)
        return features, labels, _product(own, *given)

    return dataset.map(tf.autograph.experimental.do_not_convert(with_weights))


def weighted_alike(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset with sample weights of 1, unless it brings some: for a loss that counts on them."""
    if len(dataset.element_spec) == 3:
        return dataset
    return dataset.map(lambda features, labels: (features, labels, tf.ones_like(classes_of_labels(labels), tf.float32)))


def _product(own: tf.Tensor, given: tf.Tensor | None = None) -> tf.Tensor:
    """Of weights [batch, …], of which one may have fewer dimensions: then one weight holds for all of a sample's labels."""
    if given is None:
        return own
    given = tf.cast(given, tf.float32)
    rank = max(own.shape.rank, given.shape.rank)
    own, given = (tensor[(..., *[tf.newaxis] * (rank - tensor.shape.rank))] for tensor in (own, given))
    return own * given


def _is_one_hot(labels: tf.Tensor) -> bool:
    """Returns whether labels of such a type and shape are meant as one-hot rows."""
    return labels.dtype.is_floating and labels.shape.rank > 1 and labels.shape[-1] != 1


def _has_one_hot_rows(values: np.ndarray) -> bool:
    return bool(np.isin(values, (0, 1)).all() and (values.sum(axis=-1) == 1).all())
