"""Checkpoints come at the end of each epoch, at once after a new best within one, and from time to time."""

from __future__ import annotations

import keras
import pytest

from expman.training.callbacks.checkpointing import Checkpointing
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit


def saved(*, every_seconds, improved_batches=()):
    progress, steps = TrainingProgress(), []
    improve = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: setattr(progress, "improved", batch in improved_batches))
    fit(improve, Checkpointing(save=lambda: steps.append((progress.step, progress.step_in_epoch)), every_seconds=every_seconds,
                               progress=progress), progress=progress, num_epochs=2)
    return steps


@pytest.mark.parametrize(("every_seconds", "batches", "expected"), [
    (1e9, (), [(4, 0), (8, 0)]), (1e9, (1,), [(2, 2), (4, 0), (6, 2), (8, 0)]),
    (0.0, (), [(1, 1), (2, 2), (3, 3), (4, 4), (4, 0), (5, 1), (6, 2), (7, 3), (8, 4), (8, 0)])])
def test_when_a_checkpoint_is_saved(every_seconds, batches, expected):
    assert saved(every_seconds=every_seconds, improved_batches=batches) == expected


def test_a_disk_that_is_full_ends_the_training():
    def save():
        raise OSError(28, "No space left on device")

    progress = TrainingProgress()
    with pytest.raises(OSError, match="No space left on device"):
        fit(Checkpointing(save=save, every_seconds=1e9, progress=progress), progress=progress)
    assert progress.step == 4


def test_it_saves_what_the_other_callbacks_of_the_epoch_have_done():
    progress, seen = TrainingProgress(), []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(progress, "exported_step", progress.step))
    fit(note, Checkpointing(save=lambda: seen.append(progress.exported_step), every_seconds=1e9, progress=progress),
        progress=progress)
    assert seen == [4, 8, 12]
