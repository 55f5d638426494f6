"""Lowers the learning rate when evaluations no longer improve."""

from __future__ import annotations

import logging

from expman.training.after_evaluations import AfterEvaluations
from expman.training.progress import TrainingProgress

_LOGGER = logging.getLogger(__name__)


class Plateau(AfterEvaluations):
    """Multiplies the learning rate after some evaluations without a new best, and then counts anew.

    The same as Keras' `ReduceLROnPlateau(min_delta=0)` on what decides which evaluation is best; it remembers over a restart.
    The epoch's logs get the rate that the epoch was trained with.

    Arguments:
        progress: read for `evaluated` and `improved`; counts in `plateau_epochs`.
        patience: evaluations without improvement before the rate is lowered.
        factor: what it is multiplied by, below 1.
    """

    def __init__(self, *, progress: TrainingProgress, patience: int, factor: float) -> None:
        super().__init__(progress=progress)
        self._patience = patience
        self._factor = factor

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)  # the epoch's own, as Keras' callback has it
        super().on_epoch_end(epoch, logs)

    def on_evaluation(self) -> None:
        progress, optimizer = self._progress, self.model.optimizer
        progress.plateau_epochs = 0 if progress.improved else progress.plateau_epochs + 1
        if progress.plateau_epochs >= self._patience:
            progress.plateau_epochs = 0
            optimizer.learning_rate = float(optimizer.learning_rate) * self._factor
            _LOGGER.info("No improvement for %d evaluations: the learning rate is now %.4g.", self._patience,
                         float(optimizer.learning_rate))
