"""Counts training steps, of which several make one update when gradients are accumulated."""

from __future__ import annotations

import keras

from expman.training.steps.weights_averaging import innermost


def completed_steps(optimizer: keras.optimizers.Optimizer) -> int:
    """The training steps that an optimizer has seen; Keras' `iterations` would be its updates, and a restart between two of
    them would read batches again.
    """
    return int(innermost(optimizer)._iterations.numpy())  # Keras has no public name for it
