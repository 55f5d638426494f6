"""Runs the user's own callbacks, whose state goes on over restarts."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from expman.errors import ExperimentFolderError
from expman.records.experiment_folder import read_json, write_json
from expman.settings.user_module import user_code
from expman.training.progress import TrainingProgress
from expman.training.user_functions.callback_state import CallbackState

_LOGGER = logging.getLogger(__name__)
_STATES = "addon_callbacks.json"
_ARRAYS = "addon_callbacks.npz"
_UNREADABLE = (OSError, ValueError, KeyError, IndexError, ImportError, AttributeError, zipfile.BadZipFile)


class AddonCallbacks(keras.callbacks.Callback):
    """Passes on to the user's callbacks what happens; saves their state with a checkpoint.

    A restart within an epoch calls `fit` twice; for the user's callbacks it is one training. Their `on_train_begin` resets
    what it likes, then the state of the checkpoint is restored.

    Arguments:
        callbacks: of `addon_callbacks`.
        given: what the function was given, see `CallbackState`.
        progress: read for the epoch; gets the reason when one of the callbacks stops the training.
        num_epochs: after this epoch training ends.
        place: of `addon_callbacks`, for messages.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], *, given: Sequence[Any], progress: TrainingProgress,
                 num_epochs: int, place: str) -> None:
        super().__init__()
        self._place = place
        self._callbacks = list(callbacks)
        self._states = [CallbackState(callback, given=given) for callback in callbacks]
        self._progress = progress
        self._num_epochs = num_epochs
        self._saved: list[dict[str, Any]] = []
        self._arrays: list[np.ndarray] = []
        self._has_begun = self._begins_new_patience = False
        self._told: set[str] = set()

    def save(self, checkpoint: Path) -> None:
        """Writes the state of the callbacks into the folder of a checkpoint; nothing when there are none."""
        if not self._states:
            return
        arrays: list[np.ndarray] = []
        states = [state.to_json(arrays) for state in self._states]
        write_json(checkpoint / _STATES, {"callbacks": states, "num_arrays": len(arrays)})
        np.savez(checkpoint / _ARRAYS, **{str(index): array for index, array in enumerate(arrays)})
        self._tell_unsaved()

    def load(self, checkpoint: Path) -> None:
        """Reads what the callbacks get when training begins.

        Raises:
            ExperimentFolderError: the state is damaged.
        """
        if not self._states:
            return
        if not (checkpoint / _STATES).exists():
            _LOGGER.warning("%s holds no state of addon_callbacks, since an older version wrote it: they begin anew.", checkpoint)
            return
        content = read_json(checkpoint / _STATES)
        try:
            with np.load(checkpoint / _ARRAYS, allow_pickle=False) as file:
                arrays = [file[str(index)] for index in range(content["num_arrays"])]
            saved = content["callbacks"]
            is_same = [state["class"] for state in saved] == [state.name for state in self._states]
        except _UNREADABLE as error:
            raise ExperimentFolderError(f"{checkpoint / _ARRAYS} cannot be read ({error}).") from error
        if is_same:
            self._saved, self._arrays = saved, arrays
        else:
            _LOGGER.warning("addon_callbacks returned other callbacks than when the checkpoint was written (%s): they begin anew.",
                            ", ".join(state["class"] for state in saved))

    def begin_new_patience(self) -> None:
        """Lets Keras' EarlyStopping, once restored, count anew."""
        self._begins_new_patience = True

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        for callback in self._callbacks:
            callback.set_params(params)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        for callback in self._callbacks:
            callback.set_model(model)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if self._has_begun:
            return
        self._has_begun = True
        self._call_all("on_train_begin", logs)
        for state, saved in zip(self._states, self._saved):
            state.restore(saved, self._arrays)
        for callback in self._callbacks:
            if self._begins_new_patience and isinstance(callback, keras.callbacks.EarlyStopping):
                callback.wait = callback.stopped_epoch = 0

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        if self.model.stop_training or self._progress.epoch >= self._num_epochs:
            self._call_all("on_train_end", logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._call_all("on_epoch_begin", epoch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        for callback in self._callbacks:
            self._call(callback, "on_epoch_end", epoch, logs)
            if self.model.stop_training and not self._progress.stopped_early:
                self._progress.stopped_early = True
                self._progress.stop_reason = f"{type(callback).__name__} of addon_callbacks stopped the training"

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._call_all("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._call_all("on_train_batch_end", batch, logs)

    def _call_all(self, method: str, *arguments: Any) -> None:
        for callback in self._callbacks:
            self._call(callback, method, *arguments)

    def _call(self, callback: keras.callbacks.Callback, method: str, *arguments: Any) -> None:
        with user_code(f"{type(callback).__name__}.{method} of addon_callbacks", default_place=self._place,
                       lets_through=(OSError, tf.errors.OpError)):  # a full disk and a failed step are told as of the training
            getattr(callback, method)(*arguments)

    def _tell_unsaved(self) -> None:
        for state in self._states:
            for name in state.newly_unsaved():
                if f"{state.name}.{name}" not in self._told:
                    self._told.add(f"{state.name}.{name}")
                    _LOGGER.warning("%s.%s of addon_callbacks became in training what no checkpoint can hold: a restart will "
                                    "not have it. Keep numbers, texts, lists, dicts and NumPy arrays.", state.name, name)
