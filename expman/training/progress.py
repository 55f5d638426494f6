"""The place that a training has reached: what a checkpoint stores beside the variables, and what `state.json` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass
class TrainingProgress:
    """The counters of a training; shared by its callbacks, saved with each checkpoint.

    Attributes:
        epoch: completed epochs.
        step: completed training steps.
        step_in_epoch: completed steps of the epoch that is not completed yet.
        num_evaluations: completed evaluations.
        num_projections: how often the validation data were read for TensorBoard's Projector.
        best_value: best value so far of the metric that decides what 'best' means; None before the first evaluation that gave a
            number.
        best_epoch: the epoch, from 1, in or after which that value was measured.
        best_evaluation: the number of that evaluation, from 1.
        evaluated_step: the step after which the last evaluation was made.
        evaluated_learning_rate: the learning rate of the step after which the last evaluation within an epoch was made.
        best_step: the step after which it was measured; names the best checkpoint.
        best_metrics: all validation metrics of that evaluation.
        last_metrics: the validation metrics of the last evaluation.
        last_exported_model: folder of the newest exported version, relative to the experiment's folder.
        exported_step: the step whose weights that version has.
        improved: whether the batch or epoch that just ended had the best evaluation so far.
        evaluated: whether the batch or epoch that just ended had an evaluation.
        plateau_epochs: evaluations without improvement since the best one or since the learning rate was lowered.
        patience_start: the epoch after which early stopping begins to count, at the earliest; 0: it counts from the best one.
        patience_start_evaluation: the same as a number of evaluations.
        stopped_early: whether training ended since it no longer improved, or since a callback of the user stopped it.
        is_pruned: whether training ended since it was not worth its time in comparison with others.
        stop_reason: why training ends before its last epoch; '' while it goes on.
    """

    epoch: int = 0
    step: int = 0
    step_in_epoch: int = 0
    num_evaluations: int = 0
    num_projections: int = 0
    best_value: float | None = None
    best_epoch: int = 0
    best_evaluation: int = 0
    best_step: int = 0
    evaluated_step: int = 0
    evaluated_learning_rate: float | None = None
    best_metrics: Mapping[str, float] | None = None
    last_metrics: Mapping[str, float] | None = None
    last_exported_model: str | None = None
    exported_step: int = 0
    improved: bool = False
    evaluated: bool = False
    plateau_epochs: int = 0
    patience_start: int = 0
    patience_start_evaluation: int = 0
    stopped_early: bool = False
    is_pruned: bool = False
    stop_reason: str = ""

    @property
    def running_epoch(self) -> int:
        """The epoch, from 1, to which the last step belongs."""
        return self.epoch + bool(self.step_in_epoch)

    def as_dict(self) -> dict[str, Any]:
        """Returns the values by name, as `state.json` keeps them."""
        return asdict(self)

    def update(self, saved: Mapping[str, Any]) -> None:
        """Takes over the counters of `as_dict`; names of other versions of this project are left out."""
        known = {field.name for field in fields(self)}
        for name, value in saved.items():
            if name in known:
                setattr(self, name, value)
