"""The learning rate falls where Keras' ReduceLROnPlateau lets it fall; a restart remembers the count."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from expman.training.callbacks.plateau import Plateau
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit, small_model

VALUES = [5.0, 3.0, 4.0, 3.5, 3.0, 2.0, 9.0, 9.0, 9.0]


def rates(values, *, patience, factor=0.5, progress=None, model=None):
    progress, seen = progress or TrainingProgress(), []
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["learning_rate"]))
    fit(Plateau(progress=progress, patience=patience, factor=factor), keep, progress=progress, num_epochs=len(values),
        values=values, model=model or small_model(learning_rate=0.5))
    return seen


def rates_of_keras(values, *, patience):
    seen, model = [], small_model(learning_rate=0.5)

    class Results(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = values[epoch]

    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(float(logs["learning_rate"])))
    model.fit(np.ones([1, 1]), np.ones([1, 1]), epochs=len(values), verbose=0, callbacks=[
        Results(), keras.callbacks.ReduceLROnPlateau("val_loss", patience=patience, factor=0.5, min_delta=0), keep])
    return seen


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_the_rates_are_those_of_keras(patience):
    found = rates(VALUES, patience=patience)
    assert found == rates_of_keras(VALUES, patience=patience) and found[-1] < found[0] == 0.5


def test_epochs_without_evaluation_do_not_count():
    assert rates([1.0, None, None, None, 2.0, 2.0, 2.0], patience=2) == [0.5] * 6 + [0.25]


def test_a_restart_goes_on_with_the_count_and_the_rate():
    whole = rates(VALUES, patience=2)
    progress, model = TrainingProgress(), small_model(learning_rate=0.5)
    first = rates(VALUES[:4], patience=2, progress=progress, model=model)
    assert first + rates(VALUES, patience=2, progress=progress, model=model) == whole
