"""Trains on one batch repeated: a model that cannot learn that will learn nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence

import keras
import numpy as np

from expman.dry_run.check import Finding
from expman.dry_run.dry_run import DryRun
from expman.dry_run.fitting import fit_steps
from expman.errors import CheckError
from expman.settings.loading import Settings
from expman.training.steps.optimizer_group import OptimizerGroup

_NUM_STEPS = 40
_LEAST_STEPS = 8
_LONGEST_SECONDS = 6.0
_NOISE_FACTOR = 2.0
_MOST_NAMED = 3


def check_falling_loss(run: DryRun) -> Finding:
    """Requires that the loss falls within some tens of steps by more than the noise, e.g. of dropout.

    That of a `train_step` of the user need not fall, e.g. where two networks compete: there each optimizer must change weights.
    """
    model = run.estimator.model
    before = [weight.numpy() for weight in model.trainable_variables]
    losses = _LossRecorder()
    fit_steps(model, run.estimator.train_data.dataset.repeat(), steps_per_execution=1, num_steps=_NUM_STEPS, callback=losses)
    unchanged = [weight.path for weight, old in zip(model.trainable_variables, before, strict=True)
                 if np.array_equal(weight.numpy(), old)]
    course = f"from {losses.values[0]:.4g} to {losses.values[-1]:.4g} in {len(losses.values)} steps"
    if run.settings.defines("train_step"):
        _require_all_parts_change(model.optimizer, unchanged, place=run.settings.place_of("train_step"))
        course += "; it need not fall, since train_step is your own"
    elif not falls(losses.values):
        raise CheckError(f"The loss of one batch repeated does not fall: {course}.\n"
                         + _hints(run.settings, losses.values, unchanged=unchanged, num_weights=len(before)))
    reason = "train_step does not update them" if run.settings.defines("train_step") else "the loss does not depend on them"
    warnings = (f"warning: {_listed(unchanged)} never changed: {reason}",) if unchanged else ()
    return Finding(course, warnings)


def _require_all_parts_change(optimizers: OptimizerGroup, unchanged: Sequence[str], *, place: str) -> None:
    for name, weights in optimizers.parts.items():
        if all(weight.path in unchanged for weight in weights):
            raise CheckError(f"{place}: train_step never changes a weight of '{name}'. Compute their gradients from a loss that "
                             f"depends on them, and give these to optimizers['{name}'].apply_gradients.")


def falls(losses: Sequence[float]) -> bool:
    """Returns whether the last quarter of losses lies below the first by more than the noise, and not above where they began."""
    quarter = max(len(losses) // 4, 2)
    first, last = np.asarray(losses[:quarter], np.float64), np.asarray(losses[-quarter:], np.float64)
    # The differences of neighbours tell the noise; the spread itself would count the fall as noise too.
    noise = np.abs(np.diff(last)).mean()
    is_falling = first.mean() - last.mean() > _NOISE_FACTOR * noise / np.sqrt(quarter)
    return bool(is_falling and last.mean() < losses[0] + noise)  # a rate that is too high makes a loss leap, then fall


class _LossRecorder(keras.callbacks.Callback):
    """Notes the loss of each step, and stops when a slow model has taken long enough."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.values = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.values.append(float(np.mean(logs["loss"])))  # one value for each worker
        if len(self.values) == 1:
            self._start = time.monotonic()  # the first step compiles
        is_late = time.monotonic() - self._start > _LONGEST_SECONDS
        self.model.stop_training = is_late and len(self.values) >= _LEAST_STEPS


def _hints(settings: Settings, losses: Sequence[float], *, unchanged: Sequence[str], num_weights: int) -> str:
    rate = f"initial_learning_rate = {settings.initial_learning_rate:g}"
    if unchanged:
        return (f"{len(unchanged)} of {num_weights} weights never changed ({_listed(unchanged)}): {rate} is too small, or "
                "getOptimizer does not use the learning rate that it is given, or the loss does not depend on them.")
    if losses[-1] > losses[0]:
        return f"It rises: lower {rate}, set gradient_clip_norm, or check the sign of get_total_loss."
    return f"Raise {rate}, and check that get_total_loss compares the right output with the labels."


def _listed(paths: Sequence[str]) -> str:
    more = len(paths) - _MOST_NAMED
    return ", ".join(paths[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
