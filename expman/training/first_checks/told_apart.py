"""Outputs that differ from sample to sample, for checks of what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf


def told_apart(outputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The outputs of a batch, those of each sample moved by noise of its own: a network that starts at zero answers all alike.

    Probabilities stay above 0, since the noise is positive.
    """
    generator = np.random.default_rng(0)

    def apart(tensor: tf.Tensor) -> tf.Tensor:
        if not (tensor.dtype.is_floating and tensor.shape.rank):
            return tensor
        share = tf.constant(generator.uniform(size=[tensor.shape[0]] + [1] * (tensor.shape.rank - 1)), tensor.dtype)
        return tensor * (1 + 0.1 * share) + 0.01 * share

    return {name: apart(tensor) for name, tensor in outputs.items()}
