"""Makes an epoch start the same whether the training came to it or was restarted at it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import keras
import numpy as np


class EpochStart(keras.callbacks.Callback):
    """Seeds Python's and NumPy's global generators by the epoch's number, and continues the means of a resumed epoch.

    Pipelines that draw from these generators thereby depend on the epoch alone, not on all that was drawn before it.

    Arguments:
        random_seed: of the experiment; None: no seeding.
        running_means: the variables of the means over the epoch, with the values of the checkpoint; Keras sets them to zero
            when an epoch starts.
        resumed_epoch: the epoch, from 0, that starts in its middle; None when none does.
    """

    def __init__(self, *, random_seed: int | None, running_means: Sequence[keras.Variable], resumed_epoch: int | None) -> None:
        super().__init__()
        self._random_seed = random_seed
        self._resumed_epoch = resumed_epoch
        self._resumed_means = [(variable, variable.numpy()) for variable in running_means]

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self._random_seed is not None:
            seed = (self._random_seed + epoch) % 2**32
            random.seed(seed)
            np.random.seed(seed)
        if epoch == self._resumed_epoch:
            for variable, value in self._resumed_means:
                variable.assign(value)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        # Keras gives no loss when a resumed epoch has no step left.
        logs.setdefault("loss", float(self._resumed_means[0][0] / self._resumed_means[1][0]))
