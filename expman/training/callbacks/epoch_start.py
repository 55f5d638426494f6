"""Makes an epoch start the same whether the training came to it or was restarted at it."""

from __future__ import annotations

import keras

from expman.training.steps.epoch_sums import EpochSums
from expman.training.steps.seeds import seed_epoch


class EpochStart(keras.callbacks.Callback):
    """Seeds Python's and NumPy's global generators by the epoch's number, and starts or resumes the sums over the epoch.

    At the epoch's end its mean loss goes into the logs, with the means of what else a `train_step` of the user returns.

    Arguments:
        random_seed: of the experiment; None: no seeding.
        epoch_sums: the model's; holds the values of the checkpoint when an epoch is resumed.
        resumed_epoch: the epoch, from 0, that starts in its middle; None when none does.
    """

    def __init__(self, *, random_seed: int | None, epoch_sums: EpochSums, resumed_epoch: int | None) -> None:
        super().__init__()
        self._random_seed = random_seed
        self._epoch_sums = epoch_sums
        self._resumed_epoch = resumed_epoch

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        seed_epoch(self._random_seed, epoch)
        if epoch != self._resumed_epoch:
            self._epoch_sums.reset()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs.update(self._epoch_sums.means_of_epoch())
