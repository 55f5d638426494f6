"""Tells at the end of a training that it went on long after its best evaluation."""

from __future__ import annotations

from expman.settings.loading import Settings
from expman.training.progress import TrainingProgress

_LEAST_EPOCHS = 5
_LEAST_FRACTION = 0.25


def told_late_epochs(progress: TrainingProgress, settings: Settings) -> str:
    """Returns what to tell of the epochs after the best one; '' when they are few, or early stopping watched over them."""
    num_late = progress.epoch - progress.best_epoch
    if settings.early_stopping_patience or progress.best_value is None \
            or num_late < max(_LEAST_EPOCHS, _LEAST_FRACTION * progress.epoch):
        return ""
    metric = settings.earlystopping_metric
    exported = "The best one is exported." if settings.export_policy == "best" else \
        "The last one is exported, since export_policy = 'latest'."
    return (f"The best evaluation was that of epoch {progress.best_epoch} of {progress.epoch}, {metric} {progress.best_value:.4g}; "
            f"the last one has {progress.last_metrics[metric]:.4g}. {exported} early_stopping_patience = {_LEAST_EPOCHS} would end "
            "such a training sooner; by default it is off.")
