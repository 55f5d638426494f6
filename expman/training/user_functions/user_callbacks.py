"""Makes the user's own callbacks, and tells before training what of them will not work."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import keras

from expman.errors import UserCodeError
from expman.internals.keras_internals import schedule_of
from expman.settings.loading import Settings
from expman.training.steps.optimizer_group import members_of
from expman.training.steps.optimizer_state import innermost
from expman.training.user_functions.callback_state import CallbackState

_LOGGER = logging.getLogger(__name__)
_FUNCTION = "addon_callbacks"
_SET_THE_LEARNING_RATE = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)


def user_callbacks(settings: Settings, *, model: keras.Model, train_samples: Any, val_samples: Any
                   ) -> list[keras.callbacks.Callback]:
    """Calls `addon_callbacks`, if the user defines it, and warns of what a restart could not give back to its callbacks.

    Arguments:
        settings: the experiment.
        model: compiled.
        train_samples, val_samples: the first batches, offered to the user.

    Raises:
        UserCodeError: it returned neither a list nor a dict of callbacks; or a callback, or `plateau_patience`, would set a
            learning rate that a schedule sets already.
    """
    offered = {"model": model, "train_samples": train_samples, "val_samples": val_samples}
    callbacks = settings.call(_FUNCTION, **offered) if settings.defines(_FUNCTION) else []
    if isinstance(callbacks, Mapping):  # named, for the user's own overview
        callbacks = list(callbacks.values())
    if not isinstance(callbacks, (list, tuple)) or not all(isinstance(each, keras.callbacks.Callback) for each in callbacks):
        raise UserCodeError(f"{settings.place_of(_FUNCTION)}: {_FUNCTION} must return a list of Keras callbacks. "
                            f"Got {callbacks!r}.")
    callbacks = list(callbacks)
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.ModelCheckpoint) and not callback.save_weights_only:
            raise UserCodeError(f"{settings.place_of(_FUNCTION)}: ModelCheckpoint of {_FUNCTION} would save the whole model, "
                                "which Keras cannot do with the functions of a settings file. The experiment's folder has "
                                "checkpoints and exports already; for weights of your own add save_weights_only=True.")
    setters = [f"{settings.place_of(_FUNCTION)}: {type(callback).__name__} of {_FUNCTION}" for callback in callbacks
               if isinstance(callback, _SET_THE_LEARNING_RATE)]
    if settings.plateau_patience is not None:
        setters.append(f"{settings.place_of('getOptimizer')}: plateau_patience = {settings.plateau_patience}")
    if setters and any(schedule_of(member) for member in members_of(innermost(model.optimizer))):
        raise UserCodeError("\n".join(
            f"{setter} would set the learning rate, but the optimizer of getOptimizer has a schedule, which sets it at each step: "
            "that of num_epochs_per_decay and learning_rate_decay_factor, or one of your own. Remove one of the two."
            for setter in setters))
    for state in (CallbackState(callback, given=given_to_callbacks(**offered)) for callback in callbacks):
        if state.unsaved:
            _LOGGER.warning("%s: no checkpoint can hold %s of %s: a restart begins with what %s makes. Keep numbers, texts, lists, "
                            "dicts and NumPy arrays in attributes whose values a restart needs.", settings.place_of(_FUNCTION),
                            ", ".join(state.unsaved), state.name, _FUNCTION)
    return callbacks


def given_to_callbacks(*, model: keras.Model, train_samples: Any, val_samples: Any) -> list[Any]:
    """Returns all that callbacks may keep of what they were given."""
    return [model, model.network, *model.network.layers, *model.variables, model.optimizer, train_samples, val_samples]
