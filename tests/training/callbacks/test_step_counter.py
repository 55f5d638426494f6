"""The counters are true for every callback behind the first one, also in a resumed epoch."""

from __future__ import annotations

import keras

from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit, small_model


class Seen(keras.callbacks.Callback):
    def __init__(self, progress):
        super().__init__()
        self.progress, self.rows = progress, []

    def on_train_batch_end(self, batch, logs=None):
        self.rows.append((self.progress.epoch, self.progress.step, self.progress.step_in_epoch, self.progress.running_epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append((self.progress.epoch, self.progress.step, self.progress.step_in_epoch, self.progress.running_epoch))


def test_steps_and_epochs_are_counted_before_others_read_them():
    progress = TrainingProgress()
    seen = Seen(progress)
    fit(seen, progress=progress, num_epochs=2, num_steps=2)
    assert seen.rows == [(0, 1, 1, 1), (0, 2, 2, 1), (1, 2, 0, 1), (1, 3, 1, 2), (1, 4, 2, 2), (2, 4, 0, 2)]


def test_a_resumed_epoch_counts_on_from_the_optimizer():
    progress, model = TrainingProgress(), small_model()
    fit(progress=progress, num_epochs=1, num_steps=3, model=model)
    progress.epoch, progress.step_in_epoch = 0, 3  # as a checkpoint within the first epoch has it
    seen = Seen(progress)
    fit(seen, progress=progress, num_epochs=1, num_steps=2, model=model)
    assert seen.rows == [(0, 4, 4, 1), (0, 5, 5, 1), (1, 5, 0, 1)]


def test_with_accumulated_gradients_steps_are_counted_and_not_updates():
    progress, model = TrainingProgress(), small_model()
    model.compile(optimizer=keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), loss="mse")
    fit(progress=progress, num_epochs=1, num_steps=4, model=model)
    assert progress.step == 4 and int(model.optimizer.iterations) == 2


def test_an_execution_of_several_steps_that_meets_the_end_of_the_data_counts_what_it_did():
    progress, model = TrainingProgress(), small_model()
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse", steps_per_execution=3)
    fit(progress=progress, num_epochs=2, num_steps=4, model=model)
    assert (progress.step, progress.epoch) == (8, 2)
