"""The learning rate over the steps of a training."""

from __future__ import annotations

import keras


def learning_rate_schedule(*, initial: float, epochs_per_decay: float | None, decay_factor: float | None,
                           steps_per_epoch: int | None) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """A constant, or the staircase `initial · decay_factor^floor(step / (epochs_per_decay · steps_per_epoch))`.

    Arguments:
        initial: learning rate of the first step.
        epochs_per_decay: length of a stair in epochs; None for a constant rate.
        decay_factor: factor between two stairs; None for a constant rate.
        steps_per_epoch: steps of an epoch; needed for a staircase.
    """
    if epochs_per_decay is None or decay_factor is None:
        return initial
    return keras.optimizers.schedules.ExponentialDecay(
        initial, decay_steps=max(1, round(epochs_per_decay * steps_per_epoch)), decay_rate=decay_factor, staircase=True)
