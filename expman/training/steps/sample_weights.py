"""Weights of samples, the third member of a batch, as in Keras: (features, labels, sample weights)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def unpacked(batch: tuple[Any, ...]) -> tuple[Any, Any, tf.Tensor | None]:
    """Features, labels and sample weights as float32, as Keras casts them; None for a batch that brings none."""
    features, labels, *weights = batch
    return features, labels, tf.cast(weights[0], tf.float32) if weights else None
