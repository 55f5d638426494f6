"""Writes tensors as the kinds of summaries that TensorBoard draws, to the default writer and step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf
from tensorboard.plugins.histogram.summary import histogram_pb

_MAX_IMAGES = 8


def write_weight_histograms(weights: Iterable[keras.Variable]) -> None:
    """A histogram of each weight, `weights/<its path>`."""
    for weight in weights:
        # Computed by NumPy: TensorFlow's op makes a dozen small ones of it, or a graph of them that takes long to trace.
        summary = histogram_pb(f"weights/{weight.path}", weight.numpy())
        tf.summary.experimental.write_raw_pb(summary.SerializeToString())


def write_by_rank(tensors: Mapping[str, Any]) -> None:
    """Tensors of rank 4 as images, of rank 0 as scalars, the rest as histograms; a tag each."""
    for tag, tensor in tensors.items():
        if tensor.shape.rank == 4:
            tf.summary.image(tag, tensor, max_outputs=_MAX_IMAGES)
        elif tensor.shape.rank == 0:
            tf.summary.scalar(tag, tensor)
        else:
            tf.summary.histogram(tag, tensor)
