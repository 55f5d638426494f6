"""Seeds everything that draws random numbers."""

from __future__ import annotations

import random

import keras
import numpy as np
import tensorflow as tf


def seed_everything(random_seed: int | None) -> None:
    """Seeds Python, NumPy, TensorFlow and Keras, and makes the ops of TensorFlow deterministic.

    Called before each part of an experiment that draws random numbers (data, weights), so that no part depends on how
    much another one has drawn. Determinism of the ops cannot be turned off again within a process.

    Arguments:
        random_seed: 0 to 2³²−1; None leaves everything random, and fast.
    """
    if random_seed is None:
        return
    keras.utils.set_random_seed(random_seed)
    tf.config.experimental.enable_op_determinism()


def seed_epoch(random_seed: int | None, epoch: int) -> None:
    """Seeds Python's and NumPy's global generators by an epoch's number, from 0.

    Pipelines that draw from these generators thereby depend on the epoch alone, not on all that was drawn before it.
    """
    if random_seed is not None:
        seed = (random_seed + epoch) % 2**32
        random.seed(seed)
        np.random.seed(seed)
