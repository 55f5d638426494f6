"""Training ends when the best evaluation lies too far back, and not before."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from expman.training.callbacks.early_stopping import EarlyStopping
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit, small_model

VALUES = [5.0, 3.0, 4.0, 3.5, 3.0, 9.0, 1.0]


def stopped(values, *, patience, progress=None, counts_evaluations=False, **restarted):
    progress = progress or TrainingProgress(**restarted)
    fit(EarlyStopping(progress=progress, patience=patience, counts_evaluations=counts_evaluations), progress=progress,
        num_epochs=len(values), values=values)
    return progress


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 4), (3, 5), (5, 7)])
def test_it_ends_where_keras_own_ends(patience, epochs):
    progress = stopped(VALUES, patience=patience)
    assert progress.epoch == epochs == len(keras_epochs(patience))
    assert progress.stopped_early == (epochs < len(VALUES))
    assert progress.stop_reason == (f"no improvement for {patience} epochs" if epochs < len(VALUES) else "")


def keras_epochs(patience):
    class Results(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = VALUES[epoch]

    history = small_model().fit(np.ones([1, 1]), np.ones([1, 1]), epochs=len(VALUES), verbose=0, callbacks=[
        Results(), keras.callbacks.EarlyStopping("val_loss", patience=patience)])
    return history.epoch


def test_epochs_without_evaluation_are_waited_too_but_end_nothing():
    assert stopped([5.0, None, None, 6.0, 1.0], patience=2).epoch == 4
    assert stopped([5.0, None, None, 4.0, 3.0], patience=2).epoch == 5


def test_a_restart_remembers_how_long_it_has_waited():
    progress = TrainingProgress(epoch=4, best_value=3.0, best_epoch=2)
    assert stopped(VALUES, patience=3, progress=progress).epoch == 5


def test_an_extension_begins_a_new_patience():
    progress = TrainingProgress(epoch=4, best_value=0.0, best_epoch=1, patience_start=4)
    assert stopped([9.0] * 9, patience=3, progress=progress).epoch == 7


def test_evaluations_may_be_counted_instead_of_epochs():
    progress = stopped([5.0, None, 6.0, None, 7.0, 8.0], patience=2, counts_evaluations=True)
    assert (progress.epoch, progress.stop_reason) == (5, "no improvement for 2 evaluations")
