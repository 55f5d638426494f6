"""Runs the user's `train_step`: a training step that computes its gradients and updates its weights by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from expman.errors import UserCodeError
from expman.records.epochs_done import EPOCHS_DONE
from expman.settings.loading import Settings
from expman.training.steps.finite_check import require_finite
from expman.training.steps.optimizer_group import OptimizerGroup

FUNCTION = "train_step"
_TAKEN = ("epoch", "step", EPOCHS_DONE, "seconds", "learning_rate", "steps_per_second")
_EXAMPLE = "{'loss': loss}"


def run_train_step(settings: Settings, *, network: keras.Model, data: tuple[Any, ...],
                   optimizers: OptimizerGroup) -> dict[str, tf.Tensor]:
    """Calls the user's function and counts the step.

    Arguments:
        settings: the experiment.
        network: offered as `model`.
        data: (preprocessed features, labels) or (…, …, sample weights).
        optimizers: their members are offered.

    Returns:
        The scalars that it returned, float32, finite once they are computed, 'loss' among them.

    Raises:
        UserCodeError: the function raised or returned something else.
    """
    returned = settings.call(FUNCTION, model=network, data=data, optimizers=optimizers.members)
    place = settings.place_of(FUNCTION)
    if not isinstance(returned, Mapping) or "loss" not in returned:
        names = ", ".join(map(repr, returned)) if isinstance(returned, Mapping) else ""
        got = f"a dict of {names or 'nothing'}" if isinstance(returned, Mapping) else type(returned).__name__
        raise UserCodeError(f"{place}: {FUNCTION} must return a dict from names to scalar tensors with 'loss' among them, e.g. "
                            f"{_EXAMPLE}. Got {got}.")
    scalars = {name: _checked_scalar(name, value, place=place) for name, value in returned.items()}
    with tf.control_dependencies(list(scalars.values())):
        optimizers.count_step()
    return scalars


def _checked_scalar(name: Any, value: Any, *, place: str) -> tf.Tensor:
    if not isinstance(name, str) or name in _TAKEN or name.startswith("val_"):
        raise UserCodeError(f"{place}: {FUNCTION} must not return the name {name!r}: names are str, {', '.join(_TAKEN)} are "
                            "taken, and 'val_' begins those of the evaluation. Choose another name.")
    try:
        tensor = tf.cast(value, tf.float32)
    except (TypeError, ValueError, tf.errors.OpError) as error:
        raise UserCodeError(f"{place}: '{name}' of {FUNCTION} must be a scalar tensor. Got {type(value).__name__}.") from error
    if tensor.shape.rank != 0:
        raise UserCodeError(f"{place}: '{name}' of {FUNCTION} must be a scalar tensor. Got shape {tensor.shape}. "
                            "Average it, e.g. by tf.reduce_mean.")
    return require_finite(tensor, f"'{name}' that train_step returns")
