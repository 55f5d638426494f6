"""Makes the optimizer of an experiment: the user's own, with the schedule, clipping and averaging of the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from expman.errors import UserCodeError
from expman.settings import Settings
from expman.training.input_data import InputData
from expman.training.learning_rate import learning_rate_schedule
from expman.training.weights_averaging import keep_averages

_FUNCTION = "getOptimizer"


def build_optimizer(settings: Settings, *, train_data: InputData, loss: Callable[..., Any]) -> keras.optimizers.Optimizer:
    """Calls the user's `getOptimizer` and configures what it returns.

    Arguments:
        settings: the experiment.
        train_data: counted when the schedule or the user asks for the number of steps.
        loss: the loss function, offered to the user.

    Raises:
        UserCodeError: it returned no Keras optimizer, or one that clips by itself although `gradient_clip_norm` is set.
    """
    decays = settings.num_epochs_per_decay is not None
    learning_rate = learning_rate_schedule(
        initial=settings.initial_learning_rate, epochs_per_decay=settings.num_epochs_per_decay,
        decay_factor=settings.learning_rate_decay_factor, steps_per_epoch=train_data.count_steps() if decays else None)
    total_steps = train_data.count_steps() * settings.nbEpoch if settings.declares(_FUNCTION, "total_steps") else None
    optimizer = settings.call(_FUNCTION, loss=loss, learning_rate=learning_rate, global_step=0, total_steps=total_steps)
    place = settings.place_of(_FUNCTION)
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise UserCodeError(f"{place}: {_FUNCTION} must return a Keras optimizer, e.g. keras.optimizers.Adam(learning_rate). "
                            f"Got {type(optimizer).__name__}.")
    if settings.gradient_clip_norm is not None:
        if optimizer.clipnorm or optimizer.global_clipnorm or optimizer.clipvalue:
            raise UserCodeError(f"{place}: the optimizer of {_FUNCTION} clips gradients by itself, and gradient_clip_norm is "
                                "set too. Remove one of them.")
        optimizer.global_clipnorm = settings.gradient_clip_norm
    if settings.gradient_accumulation_steps > 1:
        optimizer.gradient_accumulation_steps = settings.gradient_accumulation_steps
    if settings.predict_using_smoothed_parameters:
        keep_averages(optimizer, decay=settings.weights_moving_average_decay)
    return optimizer
