"""Makes the optimizer of an experiment: the user's own, with the schedule, clipping and averaging of the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from expman.errors import UserCodeError
from expman.internals.keras_internals import schedule_of, take_gradients_as_averaged
from expman.settings.loading import Settings
from expman.training.data.input_data import InputData
from expman.training.steps.optimizer_group import OptimizerGroup, PartsError, members_of, weights_of_parts
from expman.training.steps.optimizer_state import innermost
from expman.training.steps.weights_averaging import keep_averages

_FUNCTION, _TRAIN_STEP = "getOptimizer", "train_step"


def build_optimizer(settings: Settings, *, network: keras.Model, train_data: InputData,
                    loss: Callable[..., Any]) -> keras.optimizers.Optimizer:
    """Calls the user's `getOptimizer` and configures what it returns.

    Arguments:
        settings: the experiment.
        network: has the layers that several optimizers are named after.
        train_data: counted when the schedule or the user asks for the number of steps.
        loss: the loss function, offered to the user.

    Returns:
        The user's optimizer; a group for several, and for a `train_step` of the user, whose steps the group counts.

    Raises:
        UserCodeError: it returned neither a Keras optimizer nor a dict of some; one clips by itself although
            `gradient_clip_norm` is set; or their names do not fit to the network.
    """
    decays = settings.num_epochs_per_decay is not None
    learning_rate = learning_rate_schedule(
        initial=settings.initial_learning_rate, epochs_per_decay=settings.num_epochs_per_decay,
        decay_factor=settings.learning_rate_decay_factor, steps_per_epoch=train_data.count_steps() if decays else None)
    total_steps = train_data.count_steps() * settings.nbEpoch if settings.declares(_FUNCTION, "total_steps") else None
    returned = settings.call(_FUNCTION, loss=loss, learning_rate=learning_rate, global_step=0, total_steps=total_steps)
    place = settings.place_of(_FUNCTION)
    if settings.defines(_TRAIN_STEP) or (isinstance(returned, Mapping) and returned):
        optimizer = _group(returned, network=network, is_stepped_by_user=settings.defines(_TRAIN_STEP), place=place)
    else:
        optimizer = returned
        _check_is_optimizer(optimizer, place=place)
    for member in members_of(optimizer):
        _configure(settings, innermost(member), place=place)  # a LossScaleOptimizer of the user's own clips nothing itself
    if settings.predict_using_smoothed_parameters:
        keep_averages(optimizer, decay=settings.weights_moving_average_decay)
    return optimizer


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


def _group(returned: Any, *, network: keras.Model, is_stepped_by_user: bool, place: str) -> OptimizerGroup:
    """The user's optimizers as a group; a single one, for a `train_step`, has all weights and the name 'optimizer'."""
    members = dict(returned) if isinstance(returned, Mapping) and returned else {"optimizer": returned}
    for name, member in members.items():
        _check_is_optimizer(member, place=place, name=name)
        if isinstance(member, keras.optimizers.LossScaleOptimizer) or keras.config.dtype_policy().name == "mixed_float16":
            raise UserCodeError(f"{place}: '{name}' of {_FUNCTION} would have to scale the loss, which is not possible with "
                                "several optimizers or a train_step. Set enable_mixed_precision = False, and return no "
                                "LossScaleOptimizer.")
        if schedule_of(member) is None and float(member.learning_rate) == 0:
            raise UserCodeError(f"{place}: the learning rate of '{name}' of {_FUNCTION} is 0. To train the other weights only, "
                                f"set trainable = False on the layers of '{name}', and leave it out.")
    try:
        parts = weights_of_parts(network, members) if isinstance(returned, Mapping) else {
            "optimizer": network.trainable_variables}
    except PartsError as error:
        raise UserCodeError(f"{place}: {_FUNCTION} returned optimizers for {', '.join(map(repr, members))}: {error}") from error
    group = OptimizerGroup(members, parts=parts)
    if is_stepped_by_user:
        group.require_finite_gradients()
    return group


def _check_is_optimizer(optimizer: Any, *, place: str, name: str | None = None) -> None:
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        subject = f"{_FUNCTION} must return" if name in (None, "optimizer") else f"'{name}' of {_FUNCTION} must be"
        raise UserCodeError(f"{place}: {subject} a Keras optimizer, e.g. keras.optimizers.Adam(learning_rate). "
                            f"Got {type(optimizer).__name__}.")


def _configure(settings: Settings, optimizer: keras.optimizers.Optimizer, *, place: str) -> None:
    if settings.gradient_clip_norm is not None:
        if optimizer.clipnorm or optimizer.global_clipnorm or optimizer.clipvalue:
            raise UserCodeError(f"{place}: the optimizer of {_FUNCTION} clips gradients by itself, and gradient_clip_norm is "
                                "set too. Remove one of them.")
        optimizer.global_clipnorm = settings.gradient_clip_norm
    if settings.gradient_accumulation_steps > 1:
        optimizer.gradient_accumulation_steps = settings.gradient_accumulation_steps
    take_gradients_as_averaged(optimizer)
