"""Curves have their points at the steps of the training, in order, without a gap or a repetition."""

from __future__ import annotations

import pytest

from expman.training.callbacks.tensorboard_scalars import TensorBoardScalars
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit
from tests.training.test_estimator import read_scalars


def curves(folder, *, points_per_epoch, steps_per_epoch=4, values=(3.0, None, 1.0), progress=None):
    progress = progress or TrainingProgress()
    fit(TensorBoardScalars(train_logs=folder / "train", validation_logs=folder / "validation", progress=progress,
                           points_per_epoch=points_per_epoch, steps_per_epoch=steps_per_epoch),
        progress=progress, num_epochs=len(values), values=list(values))
    return read_scalars(folder / "train"), read_scalars(folder / "validation")


@pytest.mark.parametrize(("points", "steps_per_epoch", "expected"), [
    (2, 4, [2, 4, 6, 8, 10, 12]), (100, 4, list(range(1, 13))), (1, 4, [4, 8, 12]), (3, None, [4, 8, 12])])
def test_an_epoch_has_as_many_training_points_as_asked(tmp_path, points, steps_per_epoch, expected):
    train, _ = curves(tmp_path, points_per_epoch=points, steps_per_epoch=steps_per_epoch)
    assert [step for step, _ in train["loss"]] == [step for step, _ in train["learning_rate"]] == expected
    assert all(value == pytest.approx(0.1) for _, value in train["learning_rate"])
    assert all(value > 0 for _, value in train["steps_per_second"])


def test_evaluations_have_their_points_at_the_same_axis(tmp_path):
    _, validation = curves(tmp_path, points_per_epoch=2)
    assert validation["loss"] == [(4, 3.0), (12, 1.0)]


def test_a_restart_goes_on_at_its_step(tmp_path):
    curves(tmp_path, points_per_epoch=2, values=[3.0, 2.0])
    train, validation = curves(tmp_path, points_per_epoch=2, values=[3.0, 2.0, 1.0],
                               progress=TrainingProgress(epoch=2, step=8, num_evaluations=2))
    assert [step for step, _ in validation["loss"]] == [4, 8, 12]
    assert [step for step, _ in train["loss"]] == [2, 4, 6, 8, 10, 12]


def test_the_points_of_a_real_training_are_means_since_the_point_before(trained):
    train = read_scalars(f"{trained['sessionFolder']}/logs/train")
    assert [step for step, _ in train["loss"]] == [step for step, _ in train["gradient_norm"]] == list(range(1, 13))
