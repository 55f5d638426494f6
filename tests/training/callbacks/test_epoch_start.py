"""Each epoch has its own random numbers, whatever came before it, and sums of its own."""

from __future__ import annotations

import random

import keras
import numpy as np

from expman.training.callbacks.epoch_start import EpochStart
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import NoSums, fit, small_model


class Drawn(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.numbers = {}

    def on_epoch_begin(self, epoch, logs=None):
        self.numbers[epoch] = (random.random(), float(np.random.rand()))

    def on_epoch_end(self, epoch, logs=None):
        self.losses = {**getattr(self, "losses", {}), epoch: logs["loss"]}


def drawn(*, seed, first_epoch=0, sums=None, resumed_epoch=None, model=None):
    progress, numbers = TrainingProgress(epoch=first_epoch), Drawn()
    fit(EpochStart(random_seed=seed, epoch_sums=sums or NoSums(), resumed_epoch=resumed_epoch), numbers, progress=progress, model=model)
    return numbers


def test_the_numbers_of_an_epoch_depend_on_its_number_and_the_seed_alone():
    whole, restarted, other = drawn(seed=3), drawn(seed=3, first_epoch=2), drawn(seed=4)
    assert len(set(whole.numbers.values())) == 3
    assert restarted.numbers == {2: whole.numbers[2]} and other.numbers[2] != whole.numbers[2]


def test_without_a_seed_the_generators_are_left_alone():
    model = small_model()  # whose layers draw seeds
    random.seed(1)
    np.random.seed(1)
    expected = [(random.random(), float(np.random.rand())) for _ in range(3)]
    random.seed(1)
    np.random.seed(1)
    assert [*drawn(seed=None, model=model).numbers.values()] == expected


def test_sums_begin_anew_but_in_the_epoch_that_goes_on():
    begun, resumed = NoSums(), NoSums()
    drawn(seed=0, sums=begun)
    drawn(seed=0, sums=resumed, resumed_epoch=0)
    assert (begun.num_resets, resumed.num_resets) == (3, 2)


def test_the_loss_of_an_epoch_is_that_of_the_sums():
    assert drawn(seed=0).losses == {0: 0.5, 1: 0.5, 2: 0.5}


def test_the_mean_of_a_real_epoch_weighs_its_short_last_batch_by_its_samples(trained):
    from tests.support.training_runs import read_metrics
    from tests.training.test_estimator import read_scalars
    losses = [value for _, value in read_scalars(f"{trained['sessionFolder']}/logs/train")["loss"]]
    sizes = [16] * 5 + [10]
    np.testing.assert_allclose([float(row["loss"]) for row in read_metrics(trained["sessionFolder"])],
                               [np.average(losses[:6], weights=sizes), np.average(losses[6:], weights=sizes)], rtol=1e-5)
