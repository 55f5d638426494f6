"""Acts after each evaluation, whether it comes at the end of an epoch or within it."""

from __future__ import annotations

import keras

from expman.training.progress import TrainingProgress
from expman.training.steps.seeds import kept_generators


class AfterEvaluations(keras.callbacks.Callback):
    """Calls `on_evaluation` after each evaluation; stands behind `Evaluation` in the list of callbacks.

    What is drawn from Python's and NumPy's generators there leaves no trace in an epoch that goes on.

    Arguments:
        progress: read for `evaluated`.
    """

    def __init__(self, *, progress: TrainingProgress) -> None:
        super().__init__()
        self._progress = progress

    def on_evaluation(self) -> None:
        """Does the work of the subclass."""
        raise NotImplementedError

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Acts when this step was followed by an evaluation."""
        if self._progress.evaluated:
            with kept_generators():
                self.on_evaluation()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Acts when this epoch was followed by an evaluation."""
        if self._progress.evaluated:
            self.on_evaluation()
