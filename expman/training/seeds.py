"""Seeds everything that draws random numbers."""

from __future__ import annotations

import random

import keras
import numpy as np


def seed_everything(random_seed: int | None) -> None:
    """Seeds Python, NumPy, TensorFlow and Keras.

    Called before each part of an experiment that draws random numbers (data, weights), so that no part depends on how
    much another one has drawn.

    Arguments:
        random_seed: 0 to 2³²−1; None leaves everything random.
    """
    if random_seed is None:
        return
    keras.utils.set_random_seed(random_seed)


def seed_epoch(random_seed: int | None, epoch: int) -> None:
    """Seeds Python's and NumPy's global generators by an epoch's number, from 0.

    Pipelines that draw from these generators thereby depend on the epoch alone, not on all that was drawn before it.
    """
    if random_seed is not None:
        seed = (random_seed + epoch) % 2**32
        random.seed(seed)
        np.random.seed(seed)
