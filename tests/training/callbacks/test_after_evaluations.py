"""What follows evaluations acts once after each, within epochs and at their end, and draws nothing from a running epoch."""

from __future__ import annotations

import random

import keras
import pytest

from expman.training.after_evaluations import AfterEvaluations
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit


class Drawing(AfterEvaluations):
    def __init__(self, *, progress):
        super().__init__(progress=progress)
        self.steps = []

    def on_evaluation(self):
        random.random()
        self.steps.append((self._progress.epoch, self._progress.step))


def test_it_acts_after_evaluations_within_epochs_and_at_their_end():
    progress = TrainingProgress()
    evaluate = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: setattr(progress, "evaluated", batch == 1),
        on_epoch_end=lambda epoch, logs: setattr(progress, "evaluated", epoch == 1))
    drawing = Drawing(progress=progress)
    fit(evaluate, drawing, progress=progress, num_epochs=2)
    assert drawing.steps == [(0, 2), (1, 6), (2, 8)]


def test_what_it_draws_within_an_epoch_leaves_no_trace_in_it():
    def numbers(acts):
        progress, drawn = TrainingProgress(), []
        random.seed(3)
        before = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: random.seed(epoch),
            on_train_batch_end=lambda batch, logs: setattr(progress, "evaluated", acts))
        after = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: drawn.append(random.random()))
        fit(before, Drawing(progress=progress), after, progress=progress, num_epochs=1)
        return drawn

    assert numbers(True) == numbers(False)


def test_a_subclass_must_say_what_it_does():
    progress = TrainingProgress()
    with pytest.raises(NotImplementedError):
        fit(AfterEvaluations(progress=progress), progress=progress, values=[1.0] * 3)
