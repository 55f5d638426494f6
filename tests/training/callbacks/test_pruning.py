"""A pruner is asked once after each evaluation; what it answers ends the training with that reason."""

from __future__ import annotations

import keras

from expman.training.callbacks.pruning import Pruning
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit


def pruned(answers, values):
    progress, asked = TrainingProgress(), []

    def pruner():
        asked.append((progress.epoch, progress.last_metrics["loss"]))
        return answers[len(asked) - 1]

    fit(Pruning(pruner=pruner, progress=progress), progress=progress, num_epochs=len(values), values=values)
    return progress, asked


def test_a_reason_ends_the_training_as_pruned():
    progress, asked = pruned([None, "others are better"], [3.0, 2.0, 1.0])
    assert (progress.epoch, progress.is_pruned, progress.stop_reason) == (2, True, "others are better")
    assert asked == [(1, 3.0), (2, 2.0)] and not progress.stopped_early


def test_epochs_without_evaluation_are_not_asked_about():
    progress, asked = pruned([None, None], [3.0, None, 1.0])
    assert asked == [(1, 3.0), (3, 1.0)] and not progress.is_pruned and progress.epoch == 3


def test_what_the_pruner_meets_is_not_hidden():
    import pytest
    progress = TrainingProgress()

    def pruner():
        raise OSError("trial.json is gone")

    with pytest.raises(OSError, match="trial.json is gone"):
        fit(Pruning(pruner=pruner, progress=progress), progress=progress, values=[1.0] * 3)


def test_within_an_epoch_it_is_asked_too_and_the_training_ends_with_the_running_epoch():
    progress = TrainingProgress()
    evaluate = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: setattr(progress, "evaluated", batch == 1))
    fit(evaluate, Pruning(pruner=lambda: f"after step {progress.step}", progress=progress), progress=progress)
    assert progress.stop_reason == "after step 2" and progress.epoch < 3
