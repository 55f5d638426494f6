"""Stops a training that no longer improves."""

from __future__ import annotations

from expman.training.after_evaluations import AfterEvaluations
from expman.training.progress import TrainingProgress


class EarlyStopping(AfterEvaluations):
    """Stops when the best evaluation lies too far back; unlike Keras' own, it remembers over a restart.

    Arguments:
        progress: read for the best evaluation and for where patience begins; gets the reason of the stop.
        patience: epochs or evaluations without improvement before stopping.
        counts_evaluations: whether patience is counted in evaluations, of which an epoch has several.
    """

    def __init__(self, *, progress: TrainingProgress, patience: int, counts_evaluations: bool = False) -> None:
        super().__init__(progress=progress)
        self._patience = patience
        self._counts_evaluations = counts_evaluations

    def on_evaluation(self) -> None:
        progress = self._progress
        num_waited, unit = progress.epoch - max(progress.best_epoch, progress.patience_start), "epochs"
        if self._counts_evaluations:
            start = max(progress.best_evaluation, progress.patience_start_evaluation)
            num_waited, unit = progress.num_evaluations - start, "evaluations"
        if num_waited >= self._patience:
            progress.stop_reason = f"no improvement for {num_waited} {unit}"
            progress.stopped_early = True
            self.model.stop_training = True
