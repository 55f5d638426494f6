"""What a function draws after an evaluation goes to its event file, at the step of the training."""

from __future__ import annotations

import tensorflow as tf

from expman.training.callbacks.evaluation_summaries import EvaluationSummaries
from expman.training.progress import TrainingProgress
from tests.support.callback_runs import fit
from tests.training.test_estimator import read_scalars


def test_there_is_a_point_an_evaluation_at_the_step_of_the_training(tmp_path):
    progress = TrainingProgress()
    write = lambda: tf.summary.scalar("twice", 2 * progress.last_metrics["loss"])  # noqa: E731
    fit(EvaluationSummaries(folder=tmp_path, write=write, progress=progress), progress=progress, values=[3.0, None, 1.0])
    assert read_scalars(tmp_path)["twice"] == [(4, 6.0), (12, 2.0)]


def test_points_are_on_the_disk_while_the_training_goes_on(tmp_path):
    progress, seen = TrainingProgress(), []

    def write():
        seen.append(len(read_scalars(tmp_path).get("value", [])) if seen else 0)
        tf.summary.scalar("value", 1.0)

    fit(EvaluationSummaries(folder=tmp_path, write=write, progress=progress), progress=progress, values=[1.0] * 3)
    assert seen == [0, 1, 2]


def test_what_the_function_meets_is_not_hidden(tmp_path):
    import pytest
    progress = TrainingProgress()

    def write():
        raise ValueError("no image")

    with pytest.raises(ValueError, match="no image"):
        fit(EvaluationSummaries(folder=tmp_path, write=write, progress=progress), progress=progress, values=[1.0] * 3)
