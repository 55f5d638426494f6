"""Seeds everything that draws random numbers."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

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


@contextlib.contextmanager
def kept_generators() -> Iterator[None]:
    """Gives Python's and NumPy's global generators back the state that they had, whatever is drawn meanwhile."""
    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def seed_epoch(random_seed: int | None, epoch: int) -> None:
    """Seeds Python's and NumPy's global generators by an epoch's number, from 0.

    Pipelines that draw from these generators thereby depend on the epoch alone, not on all that was drawn before it.
    """
    if random_seed is not None:
        seed = (random_seed + epoch) % 2**32
        random.seed(seed)
        np.random.seed(seed)
