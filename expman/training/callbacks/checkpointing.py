"""Saves a checkpoint and the state file at the end of each epoch."""

from __future__ import annotations

from collections.abc import Callable

import keras


class Checkpointing(keras.callbacks.Callback):
    """Saves after all other callbacks of the epoch have done their work, so that a restart repeats none of it.

    Arguments:
        save: writes the checkpoint and the state.
    """

    def __init__(self, *, save: Callable[[], None]) -> None:
        super().__init__()
        self._save = save

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._save()
