"""Makes TensorFlow's operations deterministic, as far as the setting `deterministic_ops` wants it and the device can."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from expman.errors import TrainingError, UserCodeError
from expman.internals.tensorflow_internals import disable_determinism, is_deterministic
from expman.settings.loading import Settings
from expman.training.op_errors import DETERMINISM_REMEDY, NO_DETERMINISM

if TYPE_CHECKING:
    from expman.training.experiment_model import ExperimentModel

_LOGGER = logging.getLogger(__name__)


def wants_determinism(settings: Settings) -> bool:
    """Returns whether a training shall be deterministic: 'auto' means whenever it has a seed."""
    wish = settings.deterministic_ops
    return settings.random_seed is not None if wish == "auto" else wish


def set_determinism(is_on: bool) -> None:
    """Turns deterministic operations on, or off again after another experiment of the process.

    Raises:
        TrainingError: they are on, and this TensorFlow cannot turn them off.
    """
    if is_on:
        tf.config.experimental.enable_op_determinism()
    elif is_deterministic():
        disable_determinism()


def refuses_determinism(error: BaseException) -> bool:
    """Returns whether an operation failed since it has no deterministic implementation."""
    return isinstance(error, tf.errors.OpError) and NO_DETERMINISM.search(str(error.message)) is not None


def settle_determinism(settings: Settings, model: ExperimentModel, batch: tuple[Any, Any]) -> str:
    """Computes one gradient where operations may lack a deterministic implementation, and decides what follows.

    On a GPU, 'auto' leaves determinism off for this training and says so. On the CPU only `True` is tried before training:
    nearly all operations are deterministic there.

    Arguments:
        settings: the experiment.
        model: compiled; no weight changes.
        batch: of the training data.

    Returns:
        Why determinism was left off, with the operation's name; '' otherwise.

    Raises:
        TrainingError: `deterministic_ops` is True, and an operation has no deterministic implementation.
    """
    is_tried = settings.used_gpu_IDs or settings.deterministic_ops is True
    if not (is_tried and is_deterministic() and model.runs_without_strategy):
        return ""
    steps_by_user = settings.defines("train_step")
    touched = (list(itertools.chain.from_iterable(model.training_state().values())) if steps_by_user
               else model.network.non_trainable_variables)
    states = [(variable, variable.numpy()) for variable in touched]
    try:
        tf.function(model.train_step if steps_by_user else model.gradients, autograph=False)(batch)
    except (UserCodeError, tf.errors.OpError, ValueError) as error:
        if not refuses_determinism(error):
            return ""  # told by the check of the first batch, with its shapes
        reason = next(line.strip() for line in str(error.message).splitlines() if NO_DETERMINISM.search(line))
        if settings.deterministic_ops is True:
            raise TrainingError(f"deterministic_ops = True: {reason} {DETERMINISM_REMEDY}") from error
        set_determinism(False)
        _LOGGER.warning("Operations are not deterministic in this training: %s", reason)
        return reason
    finally:
        # Moving statistics and random generators, and what a step of the user's own updates, begin as without the trial.
        for variable, value in states:
            variable.assign(value)
    return ""

