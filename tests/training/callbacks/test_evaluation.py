"""Evaluations come when they shall, decide what is best, and leave the random numbers of a training alone."""

from __future__ import annotations

import math
import random

import keras
import numpy as np
import pytest

from expman.training.callbacks.evaluation import Evaluation
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit
from tests.support.training_runs import read_metrics


def evaluated(results, *, progress=None, num_epochs=None, seconds=0.0, mode="min", metric="loss", every_steps=None, agree=bool,
              further=()):
    """The progress after a training whose evaluations gave these results, and the logs of its epochs."""
    progress, left = progress or TrainingProgress(), iter(results)
    num_epochs = num_epochs or len(results)
    logs_of_epochs = []
    evaluation = Evaluation(evaluate=lambda: next(left), progress=progress, metric=metric, mode=mode, num_epochs=num_epochs,
                            least_seconds_between=seconds, every_steps=every_steps, steps_per_epoch=4, agree=agree)
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs_of_epochs.append(dict(logs)))
    fit(evaluation, *further, keep, progress=progress, num_epochs=num_epochs)
    return progress, logs_of_epochs


def losses(*values):
    return [{"loss": value} for value in values]


def test_the_best_evaluation_is_known_by_epoch_step_number_and_metrics():
    progress, logs = evaluated(losses(3.0, 1.0, 2.0))
    assert (progress.best_value, progress.best_epoch, progress.best_step, progress.best_evaluation) == (1.0, 2, 8, 2)
    assert progress.best_metrics == {"loss": 1.0} and progress.last_metrics == {"loss": 2.0}
    assert [row["val_loss"] for row in logs] == [3.0, 1.0, 2.0]
    assert progress.evaluated and not progress.improved


def test_in_mode_max_the_greatest_value_of_the_metric_is_best():
    results = [{"loss": 1.0, "accuracy": value} for value in (0.5, 0.7, 0.6)]
    progress, _ = evaluated(results, mode="max", metric="accuracy")
    assert (progress.best_value, progress.best_epoch) == (0.7, 2)


def test_nan_is_never_best_and_what_follows_it_is():
    progress, _ = evaluated(losses(math.nan, 5.0, math.nan))
    assert (progress.best_value, progress.best_epoch) == (5.0, 2)
    assert evaluated(losses(math.nan))[0].best_value is None


@pytest.mark.parametrize(("metric", "expected"), [("accuracy", 3), ("far/accuracy", 2)])
def test_of_equal_values_the_lower_loss_on_the_same_data_decides(metric, expected):
    results = [{"loss": loss, "accuracy": 1.0, "far/loss": far, "far/accuracy": 1.0} for loss, far in ((3, 3), (2, 1), (1, 2))]
    assert evaluated(results, metric=metric, mode="max")[0].best_epoch == expected


def test_evaluations_keep_their_distance_and_the_last_epoch_has_one():
    progress, logs = evaluated(losses(1.0, 2.0), num_epochs=5, seconds=1e9)
    assert ["val_loss" in row for row in logs] == [True, False, False, False, True]
    assert progress.num_evaluations == 2


def test_all_workers_evaluate_when_the_chief_does():
    asked = []
    progress, _ = evaluated(losses(1.0, 1.0), num_epochs=4, agree=lambda is_due: bool(asked.append(is_due)) or False)
    assert asked == [True] * 4 and progress.num_evaluations == 1  # none was agreed on; the last epoch has one all the same


def test_within_epochs_there_is_one_after_each_so_many_steps_and_the_end_of_the_epoch_has_its_own():
    steps = []
    progress = TrainingProgress()
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: progress.evaluated and steps.append(progress.step),
        on_epoch_end=lambda epoch, logs: progress.evaluated and steps.append(progress.step))
    evaluated(losses(*range(4)), progress=progress, num_epochs=2, every_steps=2, further=[note])
    assert steps == [2, 4, 6, 8] and (progress.best_step, progress.best_epoch) == (2, 1)


def test_an_evaluation_within_an_epoch_draws_nothing_from_its_random_numbers():
    def numbers(every_steps):
        random.seed(5)
        np.random.seed(5)
        drawn, left = [], iter(range(100))
        evaluation = Evaluation(evaluate=lambda: {"loss": random.random() + np.random.rand() + next(left)}, metric="loss",
                                progress=(progress := TrainingProgress()), mode="min", num_epochs=1, least_seconds_between=0.0,
                                every_steps=every_steps, steps_per_epoch=4)
        draw = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: drawn.append((random.random(), np.random.rand())))
        fit(evaluation, draw, progress=progress, num_epochs=1)
        return drawn

    assert numbers(2) == numbers(None)


def test_the_numbers_of_a_real_training_are_those_of_its_best_row(trained):
    rows = read_metrics(trained["sessionFolder"])
    best = min(rows, key=lambda row: float(row["val_loss"]))
    assert trained["loss"] == float(best["val_loss"]) and trained["mae"] == float(best["val_mae"])
