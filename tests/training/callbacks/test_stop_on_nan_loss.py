"""A training compiled by XLA ends at the first loss that is not finite."""

from __future__ import annotations

import math

import numpy as np
import pytest

from expman.errors import TrainingError
from expman.training.callbacks.stop_on_nan_loss import StopOnNanLoss
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit, small_model


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_a_loss_that_is_not_finite_is_told_with_its_place_and_a_way_on(value):
    callback = StopOnNanLoss(progress=TrainingProgress(step=17, epoch=2))
    callback.on_train_batch_end(0, {"loss": 1e30})
    with pytest.raises(TrainingError, match="step 17 or just before, epoch 3: the loss is not finite") as error:
        callback.on_train_batch_end(1, {"loss": value})
    assert "Set useXLA = False to learn which tensor" in str(error.value)


def test_it_ends_a_real_fit_whose_weights_grow_without_bounds():
    progress = TrainingProgress()
    with pytest.raises(TrainingError, match="the loss is not finite"):
        fit(StopOnNanLoss(progress=progress), progress=progress, num_epochs=50, model=small_model(learning_rate=1e20))
    assert progress.step < 50 * 4
    good = TrainingProgress()
    fit(StopOnNanLoss(progress=good), progress=good)
    assert good.epoch == 3
